//! `buffer` and `buffer_with`.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use futures::channel::mpsc;
use futures::stream::FusedStream;
use futures::{FutureExt, Stream, StreamExt, stream};
use pushpull::prelude::*;
use pushpull::queue::{self, DropReason, Overflow};
use tokio::time::{Instant, sleep, timeout};

use crate::{SECOND, ends_once, settle, tasks};

#[tokio::test(start_paused = true)]
async fn runs_ahead_by_its_capacity_and_keeps_the_order() {
    let slow = ends_once(1..=6).then(|n| async move {
        sleep(SECOND).await;
        n
    });
    let mut ahead = slow.buffer(2);
    sleep(60 * SECOND).await;
    let stats = ahead.stats();
    assert_eq!(
        (stats.len, stats.pushed),
        (2, 2),
        "and one more waits in the task"
    );
    let started = Instant::now();
    let first_three: Vec<_> = ahead.by_ref().take(3).collect().await;
    assert_eq!(
        (first_three, started.elapsed()),
        (vec![1, 2, 3], Duration::ZERO)
    );
    assert_eq!(ahead.by_ref().collect::<Vec<_>>().await, [4, 5, 6]);
    assert_eq!((ahead.next().await, ahead.is_terminated()), (None, true));
    assert_eq!((ahead.size_hint(), tasks()), ((0, Some(0)), 0));
}

#[tokio::test(start_paused = true)]
async fn its_task_ends_with_it() {
    // guarantee: P2
    for waiting in [0, 3] {
        let (tx, rx) = mpsc::unbounded();
        let ahead = rx.buffer(1);
        for n in 0..waiting {
            tx.unbounded_send(n).unwrap();
        }
        settle().await;
        assert_eq!(tasks(), 1);
        drop(ahead);
        settle().await;
        assert!(tx.is_closed(), "the input is dropped");
        assert_eq!(tasks(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn every_item_is_accounted_for_when_it_is_dropped() {
    // guarantee: Q3, P2
    for pulled in 0..6 {
        let dropped = Arc::new(Mutex::new(Vec::new()));
        let seen = dropped.clone();
        let on_drop = move |n: u32, why: DropReason| seen.lock().unwrap().push((n, why));
        let queue = queue::builder().capacity(2).on_drop(on_drop);
        let mut ahead = stream::iter(0..).buffer_with(queue);
        let taken: Vec<_> = ahead.by_ref().take(pulled).collect().await;
        settle().await;
        drop(ahead);
        settle().await;
        let mut dropped = std::mem::take(&mut *dropped.lock().unwrap());
        dropped.sort_unstable_by_key(|(n, _)| *n);
        let next = taken.len() as u32;
        use DropReason::{Abandoned, Cancelled};
        let last = dropped.pop().unwrap();
        // The one in the task's hand: cancelled in the middle of its push, or refused by then.
        assert_eq!(last.0, next + 2);
        assert!(
            matches!(last.1, Cancelled | DropReason::Closed),
            "{:?}",
            last.1
        );
        assert_eq!(dropped, [(next, Abandoned), (next + 1, Abandoned)]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_input_comes_after_what_came_before_it_and_once() {
    // guarantee: T7
    let mut ahead = stream::iter(1..=3)
        .inspect(|n| assert!(*n != 3, "no threes"))
        .buffer(8);
    assert_eq!((ahead.next().await, ahead.next().await), (Some(1), Some(2)));
    let panic = AssertUnwindSafe(ahead.next())
        .catch_unwind()
        .await
        .unwrap_err();
    assert!(
        panic
            .downcast_ref::<&str>()
            .is_some_and(|text| *text == "no threes")
    );
    assert_eq!((ahead.next().await, tasks()), (None, 0));
}

#[tokio::test(start_paused = true)]
async fn refused_items_are_handed_over_and_the_stream_goes_on() {
    let refused = Arc::new(Mutex::new(Vec::new()));
    let seen = refused.clone();
    let queue = queue::builder()
        .capacity(2)
        .overflow(Overflow::Reject)
        .on_drop(move |n: u32, why| seen.lock().unwrap().push((n, why)));
    let ahead = stream::iter(1..=4).buffer_with(queue);
    settle().await;
    assert_eq!(ahead.stats().refused, 2);
    assert_eq!(ahead.collect::<Vec<_>>().await, [1, 2]);
    let newest = |n| (n, DropReason::Newest);
    assert_eq!(*refused.lock().unwrap(), [newest(3), newest(4)]);
}

#[tokio::test(start_paused = true)]
async fn an_input_that_is_always_ready_lets_its_neighbours_run() {
    // guarantee: Q8
    let queue = queue::builder().capacity(1).overflow(Overflow::DropOldest);
    let ahead = stream::repeat(0).buffer_with(queue);
    tokio::task::yield_now().await;
    assert!((1..=128).contains(&ahead.stats().pushed));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_next_loses_nothing() {
    // guarantee: T5
    let (tx, rx) = mpsc::unbounded();
    let mut ahead = rx.buffer(4);
    for n in 0..10 {
        assert!(timeout(SECOND, ahead.next()).await.is_err());
        tx.unbounded_send(n).unwrap();
        assert_eq!(ahead.next().await, Some(n));
    }
}

#[test]
#[should_panic(expected = "capacity must be at least 1")]
fn no_capacity_panics() {
    let _ahead = stream::poll_fn(|_| Poll::Ready(Some(1))).buffer(0);
}

#[tokio::test(start_paused = true)]
async fn a_huge_capacity_is_fine() {
    // guarantee: T8
    let all: Vec<_> = stream::iter(0..100).buffer(usize::MAX).collect().await;
    assert_eq!(all.len(), 100);
}
