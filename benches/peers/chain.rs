//! The whole chain: producers, a queue, batches of 100, a rate limit that does not bind, and a pump into a sink.

use std::convert::Infallible;
use std::num::NonZeroU32;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::{Sink, SinkExt, StreamExt};
use governor::prelude::StreamRateLimitExt;
use governor::{DefaultDirectRateLimiter as Governor, Quota};
use pushpull::PullExt;
use pushpull::queue;
use pushpull::rate::RateLimit;
use tokio::sync::mpsc::{self, Receiver};
use tokio::time::{Instant, sleep_until};
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;

use crate::harness::{Case, Contender};
use crate::race::{MODES, Mode, Tally, race, share};

const CAPACITY: usize = 1024;
const MAX: usize = 100;
const WITHIN: Duration = Duration::from_secs(1);
const LIMIT: RateLimit = RateLimit::per_second(1_000_000_000).burst(u32::MAX);

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for producers in [1, 4] {
        for mode in MODES {
            let case = Case::new(
                format!("u64/1024/{producers}P"),
                mode.name(),
                chain(mode, producers),
            );
            cases.push(case.column(
                "queue(1024) -> batch(100, 1 s) -> rate limit -> pump, u64",
                format!("{} {producers}P", mode.name()),
            ));
        }
    }
    cases
}

/// Where the chain ends: a sink that counts.
#[derive(Default)]
struct Counter(Tally);

impl Sink<Vec<u64>> for Counter {
    type Error = Infallible;

    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn start_send(mut self: Pin<&mut Self>, batch: Vec<u64>) -> Result<(), Infallible> {
        assert!(
            (1..=MAX).contains(&batch.len()),
            "a batch of {}",
            batch.len()
        );
        batch.into_iter().for_each(|number| self.0.add(number));
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }
}

fn governor() -> Governor {
    let nonzero = |n| NonZeroU32::new(n).expect("not zero");
    Governor::direct(
        Quota::per_second(nonzero(LIMIT.units())).allow_burst(nonzero(LIMIT.max_burst())),
    )
}

/// "tokio glue" is tokio's mpsc, tokio-stream's `chunks_timeout`, governor's stream and futures' `forward`; "(loop)" waits for
/// governor in a loop instead; "by hand" does without `chunks_timeout`.
fn chain(mode: Mode, producers: usize) -> Vec<Contender> {
    vec![
        Contender::ours(move |items| {
            let (tx, rx) = queue::bounded(CAPACITY);
            let pushing = (0..producers).map(|index| {
                let (tx, share) = (tx.clone(), share(items, producers, index));
                async move {
                    for number in share {
                        tx.push(number).await.expect("open");
                    }
                }
            });
            let pushing = pushing.collect();
            drop(tx);
            let pumping = async move {
                let mut counter = Counter::default();
                let batches = rx.batch(MAX, WITHIN).rate_limit(LIMIT);
                batches.pump_into(&mut counter).await.expect("no errors");
                counter.0
            };
            race(mode, items, pushing, vec![pumping])
        }),
        Contender::glue("tokio glue", move |items| {
            over_tokio(mode, producers, items, |rx| async move {
                let mut counter = Counter::default();
                let limiter = governor();
                let chunks = pin!(ReceiverStream::new(rx).chunks_timeout(MAX, WITHIN));
                let limited = chunks.ratelimit_stream(&limiter);
                StreamExt::map(limited, Ok)
                    .forward(&mut counter)
                    .await
                    .expect("no errors");
                counter.0
            })
        }),
        Contender::glue("tokio glue (loop)", move |items| {
            over_tokio(mode, producers, items, |rx| async move {
                let mut counter = Counter::default();
                let limiter = governor();
                let mut chunks = pin!(ReceiverStream::new(rx).chunks_timeout(MAX, WITHIN));
                while let Some(chunk) = StreamExt::next(&mut chunks).await {
                    limiter.until_ready().await;
                    counter.feed(chunk).await.expect("no errors");
                }
                counter.close().await.expect("no errors");
                counter.0
            })
        }),
        Contender::peer("tokio by hand", move |items| {
            over_tokio(mode, producers, items, |mut rx| async move {
                let mut counter = Counter::default();
                let limiter = governor();
                while let Some(chunk) = receive_chunk(&mut rx).await {
                    limiter.until_ready().await;
                    counter.feed(chunk).await.expect("no errors");
                }
                counter.close().await.expect("no errors");
                counter.0
            })
        }),
    ]
}

/// What those write who have seen what `chunks_timeout` costs: whatever is there is taken at once, and a timer is there
/// only while a part of a chunk waits.
async fn receive_chunk(rx: &mut Receiver<u64>) -> Option<Vec<u64>> {
    let mut chunk = Vec::with_capacity(MAX);
    if rx.recv_many(&mut chunk, MAX).await == 0 {
        return None;
    }
    if chunk.len() == MAX {
        return Some(chunk);
    }
    let mut end = pin!(sleep_until(Instant::now() + WITHIN));
    while chunk.len() < MAX {
        let room = MAX - chunk.len();
        tokio::select! {
            biased;
            received = rx.recv_many(&mut chunk, room) => if received == 0 { break },
            () = &mut end => break,
        }
    }
    Some(chunk)
}

fn over_tokio<F>(
    mode: Mode,
    producers: usize,
    items: u64,
    consume: impl FnOnce(Receiver<u64>) -> F,
) -> Duration
where
    F: Future<Output = Tally> + Send + 'static,
{
    let (tx, rx) = mpsc::channel(CAPACITY);
    let pushing = (0..producers).map(|index| {
        let (tx, share) = (tx.clone(), share(items, producers, index));
        async move {
            for number in share {
                tx.send(number).await.expect("open");
            }
        }
    });
    let pushing = pushing.collect();
    drop(tx);
    race(mode, items, pushing, vec![consume(rx)])
}
