//! The queue.
//!
//! guarantee: T8

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use pushpull::queue::{self, Overflow, PullError, PushError};

const LARGE: [usize; 3] = [1 << 40, usize::MAX - 1, usize::MAX];
const DAY: Duration = Duration::from_secs(86_400);

/// The message of the panic that this must end with.
#[track_caller]
fn panic_of<R>(run: impl FnOnce() -> R) -> String {
    let Err(payload) = catch_unwind(AssertUnwindSafe(run)) else {
        panic!("it did not panic")
    };
    match (
        payload.downcast_ref::<String>(),
        payload.downcast_ref::<&str>(),
    ) {
        (Some(text), _) => text.clone(),
        (None, Some(text)) => (*text).to_owned(),
        (None, None) => panic!("a panic without a message"),
    }
}

/// Resident memory of this process, in bytes. 0 where it cannot be read.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let pages = pages.and_then(|text| text.split(' ').nth(1)?.parse::<usize>().ok());
    pages.unwrap_or_default() * 4_096
}

#[test]
fn a_bound_of_zero_panics_with_its_name() {
    // guarantee: Q1
    assert!(panic_of(|| queue::bounded::<u8>(0)).contains("capacity"));
    assert!(panic_of(|| queue::builder::<u8>().capacity(0)).contains("capacity"));
    assert!(panic_of(|| queue::builder::<u8>().max_weight(0, |_| 1)).contains("weight"));
    let (tx, rx) = queue::bounded::<u8>(1);
    assert!(panic_of(|| tx.resize(0)).contains("capacity"));
    assert!(panic_of(|| rx.resize(0)).contains("capacity"));
    assert!(panic_of(|| tx.set_max_weight(1)).contains("weight"));
    assert!(panic_of(|| rx.try_pull_many(&mut Vec::new(), 0)).contains("limit"));
    assert!(!panic_of(|| futures::executor::block_on(rx.pull_many(&mut Vec::new(), 0))).is_empty());
    assert!(!panic_of(|| futures::executor::block_on(rx.pull_batch(0, DAY))).is_empty());
    // None of these did any harm.
    assert!(tx.try_push(1).is_ok());
    assert_eq!(rx.try_pull(), Ok(1));
}

#[test]
fn the_largest_bounds_allocate_nothing_ahead() {
    // guarantee: Q1
    let before = resident();
    for bound in LARGE {
        for overflow in [
            Overflow::Wait,
            Overflow::Reject,
            Overflow::DropNewest,
            Overflow::DropOldest,
        ] {
            let (tx, rx) = queue::builder()
                .capacity(bound)
                .max_weight(bound, |_: &[u64; 8]| usize::MAX / 2)
                .overflow(overflow)
                .build();
            if bound >= usize::MAX / 2 {
                assert!(tx.try_push([1; 8]).is_ok());
                assert!(tx.try_push([2; 8]).is_ok());
                // The sum of the weights would overflow.
                let third = tx.try_push([3; 8]);
                assert_eq!(
                    third.is_ok(),
                    matches!(overflow, Overflow::DropNewest | Overflow::DropOldest)
                );
                assert_eq!(rx.len(), 2);
            } else {
                assert!(matches!(tx.try_push([1; 8]), Err(PushError::TooHeavy(_))));
            }
            tx.resize(bound);
            tx.resize(1);
            tx.resize(bound);
            assert_eq!(tx.capacity(), bound);
        }
        let (tx, rx) = queue::bounded(bound);
        let mut run: VecDeque<u32> = (0..100).collect();
        assert_eq!(tx.try_push_many(&mut run), Ok(100));
        let mut out = Vec::new();
        assert_eq!(rx.try_pull_many(&mut out, bound), Ok(100));
        assert!(out.capacity() < 10_000, "sized by what is there");
        assert!(out.into_iter().eq(0..100));
    }
    assert!(
        resident() < before + (64 << 20),
        "{before} -> {}",
        resident()
    );
}

#[tokio::test(start_paused = true)]
async fn a_queue_of_one_passes_everything() {
    // guarantee: Q1, Q2
    let (tx, rx) = queue::bounded(1);
    let pushing = tokio::spawn(async move {
        let mut run: VecDeque<u32> = (0..500).collect();
        assert_eq!(tx.push_many(&mut run).await, Ok(500));
        for value in 500..1_000 {
            assert!(tx.push(value).await.is_ok());
        }
    });
    assert!(rx.collect::<Vec<_>>().await.into_iter().eq(0..1_000));
    pushing.await.expect("all pushed");
}

#[tokio::test(start_paused = true)]
async fn times_of_nothing_and_of_for_ever() {
    let (tx, rx) = queue::bounded(1);
    let begun = tokio::time::Instant::now();
    assert_eq!(
        rx.pull_timeout(Duration::ZERO).await,
        Err(PullError::Timeout)
    );
    assert_eq!(rx.pull_batch(3, Duration::ZERO).await, Some(Vec::new()));
    assert_eq!(tx.push_timeout(1, Duration::ZERO).await, Ok(()));
    assert_eq!(
        tx.push_timeout(2, Duration::ZERO).await,
        Err(PushError::Timeout(2))
    );
    assert_eq!(rx.pull_timeout(Duration::ZERO).await, Ok(1));
    assert_eq!(begun.elapsed(), Duration::ZERO);

    let (sender, receiver) = (tx.clone(), rx.clone());
    let later = tokio::spawn(async move {
        tokio::time::sleep(DAY).await;
        assert!(sender.push(3).await.is_ok());
        tokio::time::sleep(DAY).await;
        assert!(sender.push(4).await.is_ok());
        assert!(sender.push(5).await.is_ok());
    });
    assert_eq!(rx.pull_timeout(Duration::MAX).await, Ok(3));
    assert_eq!(
        rx.pull_batch(2, Duration::MAX).await,
        Some(vec![4]),
        "a full queue cuts the run short"
    );
    later.await.expect("pushed");
    assert_eq!(
        tx.push_timeout(6, Duration::MAX).now_or_pending().await,
        None
    );
    assert_eq!(receiver.try_pull(), Ok(5));
    assert_eq!(tx.push_timeout(7, Duration::MAX).await, Ok(()));
    tx.close();
    let drained = rx.drain(Duration::MAX).now_or_pending().await;
    assert!(drained.is_none() || drained.is_some_and(|drained| drained.left.len() <= 1));
    let drained = rx.drain(Duration::ZERO).await;
    assert!(drained.left.len() <= 1);
    assert!(rx.is_empty());
}

/// A future's output if it is ready within a virtual second.
trait NowOrPending: Future + Sized {
    async fn now_or_pending(self) -> Option<Self::Output> {
        tokio::time::timeout(Duration::from_secs(1), self)
            .await
            .ok()
    }
}

impl<F: Future> NowOrPending for F {}

#[test]
fn items_of_no_size() {
    // guarantee: Q1, Q3
    let (tx, rx) = queue::bounded::<()>(3);
    let mut run: VecDeque<()> = (0..5).map(|_| ()).collect();
    assert_eq!(tx.try_push_many(&mut run), Ok(3));
    assert_eq!((run.len(), tx.len()), (2, 3));
    assert_eq!(tx.try_push(()), Err(PushError::Full(())));
    assert_eq!(tx.force_push(()), Ok(Some(())));
    let mut out = Vec::new();
    assert_eq!(rx.try_pull_many(&mut out, usize::MAX), Ok(3));
    assert_eq!(rx.try_pull(), Err(PullError::Empty));
    tx.resize(usize::MAX);
    for _ in 0..10_000 {
        assert!(tx.try_push(()).is_ok());
    }
    assert_eq!(rx.abort().len(), 10_000);
}

#[test]
fn items_of_a_mebibyte() {
    // guarantee: Q3
    // They pass over the stack by value, several frames deep.
    let roomy = std::thread::Builder::new().stack_size(256 << 20);
    let run = roomy.spawn(|| {
        let (tx, rx) = queue::bounded::<[u8; 1 << 20]>(8);
        for value in 0..8 {
            assert!(tx.try_push([value; 1 << 20]).is_ok());
        }
        assert!(tx.try_push([8; 1 << 20]).is_err());
        for value in 0..8 {
            let item = rx.try_pull().ok();
            assert_eq!(
                item.map(|item| (item[0], item[(1 << 20) - 1])),
                Some((value, value))
            );
        }
    });
    assert!(run.is_ok_and(|run| run.join().is_ok()));
}

#[test]
fn capacities_for_extreme_rates() {
    for (producer, consumer) in [
        (0.0, 0.0),
        (1.0, f64::MAX),
        (f64::MAX, 0.0),
        (f64::MAX, f64::MAX),
    ] {
        for delay in [Duration::ZERO, Duration::from_nanos(1), DAY, Duration::MAX] {
            let capacity = queue::capacity_for(producer, consumer, delay);
            assert!(capacity >= 1, "{producer} {consumer} {delay:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_sink_and_a_stream_over_the_smallest_queue() {
    // guarantee: Q10
    let (mut tx, rx) = queue::bounded::<u32>(1);
    let pushing = tokio::spawn(async move {
        for value in 0..100 {
            tx.send(value).await.expect("open");
        }
        SinkExt::close(&mut tx).await.expect("closed");
    });
    assert!(rx.collect::<Vec<_>>().await.into_iter().eq(0..100));
    pushing.await.expect("all sent");
}
