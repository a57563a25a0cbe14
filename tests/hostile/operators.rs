//! Closures given to operators, and sinks and streams that panic under them.
//!
//! guarantee: T7

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use futures::{FutureExt, SinkExt, StreamExt, stream};
use pushpull::batch::BatchPolicy;
use pushpull::prelude::*;
use pushpull::{broadcast, push, queue};

const DAY: Duration = Duration::from_secs(86_400);

/// Whether the future panics.
async fn panics<F: Future>(future: F) -> bool {
    AssertUnwindSafe(future).catch_unwind().await.is_err()
}

#[tokio::test(start_paused = true)]
async fn a_batch_whose_weight_panics_holds_every_item() {
    // guarantee: B3
    let policy = BatchPolicy::items(10)
        .within(DAY)
        .weight(100, |value: &u32| {
            assert_ne!(*value, 3, "weight panics");
            1
        });
    let mut batches = stream::iter(0..6).batch_with(policy);
    assert!(panics(batches.next()).await);
    let (rest, held) = batches.into_parts();
    let all: Vec<u32> = held
        .into_iter()
        .chain(rest.collect::<Vec<_>>().await)
        .collect();
    assert!(all.into_iter().eq(0..6));
}

#[tokio::test(start_paused = true)]
async fn a_batch_of_a_queue_whose_predicate_panics_holds_every_item() {
    // guarantee: B3, B7
    let (tx, rx) = queue::bounded(8);
    for value in 0..6 {
        assert_eq!(tx.try_push(value), Ok(()));
    }
    let policy = BatchPolicy::items(10).within(DAY).until(|value: &u32| {
        assert_ne!(*value, 3, "predicate panics");
        false
    });
    let mut batches = rx.batch_with(policy);
    assert!(panics(batches.next()).await);
    let (rx, held) = batches.into_parts();
    let all: Vec<u32> = held.into_iter().chain(rx.abort()).collect();
    assert!(all.into_iter().eq(0..6));
    let stats = tx.stats();
    assert_eq!((stats.pushed, stats.pulled, stats.len), (6, 6, 0));
}

struct PanicOnWake;

impl Wake for PanicOnWake {
    fn wake(self: Arc<Self>) {
        panic!("waker panics");
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_taking_panics_stays_in_the_batch_of_a_queue() {
    // guarantee: B1, B2, B3
    for (max, judged) in [(3, false), (10, false), (3, true), (10, true)] {
        let (tx, rx) = queue::bounded(3);
        for value in 0..3 {
            assert_eq!(tx.try_push(value), Ok(()));
        }
        // It waits for the room that the run leaves behind.
        let mut next = Box::pin(tx.push(3));
        let waker = Waker::from(Arc::new(PanicOnWake));
        assert!(
            next.poll_unpin(&mut Context::from_waker(&waker))
                .is_pending()
        );

        let policy = BatchPolicy::items(max).within(Duration::from_secs(1));
        let mut batches = rx.batch_with(match judged {
            true => policy.until(|_| false),
            false => policy,
        });
        assert!(panics(batches.next()).await);
        assert_eq!(batches.held(), 3);
        drop(next);
        let batch = tokio::time::timeout(DAY, batches.next()).await;
        let batch = batch.expect("its clock runs").expect("three items");
        assert_eq!(batch.items, [0, 1, 2], "max {max}, judged {judged}");
    }
}

/// The third one's clone panics once.
#[derive(Debug)]
struct Fragile(u32, Arc<AtomicBool>);

impl Clone for Fragile {
    fn clone(&self) -> Self {
        let breaks = self.0 == 2 && self.1.swap(false, Ordering::Relaxed);
        assert!(!breaks, "clone panics");
        Self(self.0, self.1.clone())
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_clone_panics_stays_in_the_batch_of_a_subscriber() {
    // guarantee: B2, B3, C1
    for (max, judged) in [(2, false), (3, false), (10, false), (2, true), (10, true)] {
        let publisher = broadcast::channel(8);
        let subscriber = publisher.subscribe();
        let _other = publisher.subscribe();
        let breaks = Arc::new(AtomicBool::new(true));
        for value in 0..5 {
            assert!(
                publisher
                    .try_publish(Fragile(value, breaks.clone()))
                    .is_ok()
            );
        }
        let policy = BatchPolicy::items(max).within(Duration::from_secs(1));
        let mut batches = subscriber.batch_with(match judged {
            true => policy.until(|_| false),
            false => policy,
        });
        let mut seen = vec![];
        let mut panicked = 0;
        while seen.len() < 5 {
            let next = AssertUnwindSafe(batches.next()).catch_unwind();
            match tokio::time::timeout(DAY, next)
                .await
                .expect("its clock runs")
            {
                Ok(batch) => seen.extend(batch.expect("open").items.into_iter().map(|item| item.0)),
                Err(_) => panicked += 1,
            }
        }
        assert_eq!((seen, panicked), (vec![0, 1, 2, 3, 4], 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_sink_batch_whose_weight_panics_goes_on_with_the_others() {
    // guarantee: B8
    let (out, collected) = futures::channel::mpsc::unbounded();
    let policy = BatchPolicy::items(10).weight(100, |value: &u32| {
        assert_ne!(*value, 3, "weight panics");
        1
    });
    let mut sink = out.with(|batch: pushpull::batch::Batch<u32>| {
        std::future::ready(Ok::<_, futures::channel::mpsc::SendError>(batch.items))
    });
    {
        let mut batched = (&mut sink).sink_batch_with(policy);
        for value in 0..3 {
            assert!(batched.feed(value).await.is_ok());
        }
        assert!(panics(batched.feed(3)).await);
        let held = catch_unwind(AssertUnwindSafe(|| batched.into_remainder()));
        let held = held.unwrap_or_default();
        assert!(held == [0, 1, 2] || held == [0, 1, 2, 3], "{held:?}");
    }
    drop(sink);
    assert_eq!(collected.collect::<Vec<_>>().await, [[0; 0]; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_function_that_panics_takes_only_its_own_item_along() {
    for concurrency in [1, 3] {
        let done = Arc::new(AtomicUsize::new(0));
        let mut sink = push::each({
            let done = done.clone();
            move |value: u32| {
                let done = done.clone();
                async move {
                    tokio::task::yield_now().await;
                    assert_ne!(value, 3, "function panics");
                    done.fetch_add(1, Ordering::Relaxed);
                    Ok::<_, ()>(())
                }
            }
        })
        .concurrency(concurrency);
        let mut sent = 0;
        let mut panicked = 0;
        while sent < 6 {
            match AssertUnwindSafe(std::future::poll_fn(|cx| {
                SinkExt::<u32>::poll_ready_unpin(&mut sink, cx)
            }))
            .catch_unwind()
            .await
            {
                Ok(ready) => {
                    assert_eq!(ready, Ok(()));
                    sink.start_send_unpin(sent).expect("taken");
                    sent += 1;
                }
                Err(_) => panicked += 1,
            }
        }
        while panics(SinkExt::<u32>::close(&mut sink)).await {
            panicked += 1;
        }
        assert_eq!(
            (panicked, done.load(Ordering::Relaxed)),
            (1, 5),
            "{concurrency} at a time"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_pump_whose_stream_panics_leaves_the_queue_behind_it_whole() {
    // guarantee: P1, Q6
    let (tx, rx) = queue::bounded(8);
    let exploding = stream::iter(0..6).inspect(|value| assert_ne!(*value, 3, "stream panics"));
    let pumped = tokio::spawn(exploding.pump_into(tx.clone())).await;
    assert!(pumped.is_err_and(|error| error.is_panic()));
    drop(tx);
    assert_eq!(rx.collect::<Vec<_>>().await, [0, 1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_leg_that_panics_loses_no_more_than_its_own_copy() {
    let (left, left_rx) = futures::channel::mpsc::unbounded();
    let (right, right_rx) = futures::channel::mpsc::unbounded();
    let leg = |out: futures::channel::mpsc::UnboundedSender<u32>, bad: Option<u32>| {
        out.with(move |value: u32| {
            assert_ne!(Some(value), bad, "leg panics");
            std::future::ready(Ok::<_, futures::channel::mpsc::SendError>(value))
        })
    };
    let mut both = push::fan_out([leg(left, Some(1)), leg(right, None)]);
    for value in 0..4 {
        assert_eq!(panics(both.send(value)).await, value == 1);
    }
    drop(both);
    let (left, right): (Vec<_>, Vec<_>) = (left_rx.collect().await, right_rx.collect().await);
    assert_eq!(left, [0, 2, 3]);
    assert!(right == [0, 1, 2, 3] || right == [0, 2, 3], "{right:?}");
}
