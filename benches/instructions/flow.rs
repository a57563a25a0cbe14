//! Batches, rate limits that do not bind, and the whole chain.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::{Sink, Stream, StreamExt, stream};
use pushpull::PullExt;
use pushpull::queue::{Consumer, Producer};
use pushpull::rate::{RateLimit, RateLimiter};
use tokio::runtime::Runtime;
use tokio::spawn;

use crate::{ITEMS, Stage, Tally};

const MAX: usize = 100;
const WITHIN: Duration = Duration::from_secs(1);
/// The clock stands still: the burst is what there is.
pub(crate) const PLENTY: RateLimit = RateLimit::per_second(1_000_000_000).burst(u32::MAX);

async fn produce(tx: Producer<u64>) {
    for number in 0..ITEMS {
        tx.push(number).await.expect("open");
    }
}

async fn count<T>(items: impl Stream<Item = T>, mut add: impl FnMut(&mut Tally, T)) {
    let mut items = pin!(items);
    let mut tally = Tally::default();
    while let Some(item) = items.next().await {
        add(&mut tally, item);
    }
    tally.is_complete();
}

pub(crate) fn queue_to_batch(stage: Stage<(Producer<u64>, Consumer<u64>)>) -> Runtime {
    let (tx, rx) = stage.parts;
    stage.runtime.block_on(async {
        spawn(produce(tx));
        let batches = rx.batch(MAX, WITHIN);
        spawn(count(batches, |tally, batch| tally.add_all(&batch)))
            .await
            .expect("complete");
    });
    stage.runtime
}

pub(crate) fn iter_to_batch(stage: Stage<()>) -> Runtime {
    stage.runtime.block_on(async {
        let batches = stream::iter(0..ITEMS).batch(MAX, WITHIN);
        count(batches, |tally, batch| tally.add_all(&batch)).await;
    });
    stage.runtime
}

pub(crate) fn rate_limited_stream(stage: Stage<RateLimiter>) -> Runtime {
    stage.runtime.block_on(async {
        let limited = stream::iter(0..ITEMS).rate_limit(&stage.parts);
        count(limited, Tally::add).await;
    });
    stage.runtime
}

pub(crate) fn try_acquire(stage: Stage<RateLimiter>) -> Runtime {
    stage.runtime.block_on(async {
        let mut tally = Tally::default();
        for _ in 0..ITEMS {
            tally.0 += u64::from(stage.parts.try_acquire(1).is_ok());
        }
        tally.is_complete();
    });
    stage.runtime
}

/// The end of the chain.
impl Sink<Vec<u64>> for Tally {
    type Error = Infallible;

    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn start_send(mut self: Pin<&mut Self>, batch: Vec<u64>) -> Result<(), Infallible> {
        self.add_all(&batch);
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }
}

pub(crate) fn chain(stage: Stage<(Producer<u64>, Consumer<u64>)>) -> Runtime {
    let (tx, rx) = stage.parts;
    stage.runtime.block_on(async {
        spawn(produce(tx));
        let pumping = spawn(async move {
            let mut tally = Tally::default();
            let batches = rx.batch(MAX, WITHIN).rate_limit(PLENTY);
            batches.pump_into(&mut tally).await.expect("no errors");
            tally.is_complete();
        });
        pumping.await.expect("complete");
    });
    stage.runtime
}
