//! Pulling in all its forms.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::{Stream, StreamExt, poll};
use pushpull::queue::{self, PullError, PushError};
use tokio::time::Instant;
use tokio_test::task::spawn;
use tokio_test::{assert_pending, assert_ready_eq};

use crate::SECOND;

// guarantee: Q2, Q7
#[test]
fn waiting_pulls_are_served_in_order_one_wake_an_item() {
    let (tx, rx) = queue::bounded(10);
    let mut pulls: Vec<_> = (0..3).map(|_| spawn(rx.pull())).collect();
    for pull in &mut pulls {
        assert_pending!(pull.poll());
    }
    tx.try_push(1).unwrap();
    assert_eq!(
        [
            pulls[0].is_woken(),
            pulls[1].is_woken(),
            pulls[2].is_woken()
        ],
        [true, false, false]
    );
    tx.try_push(2).unwrap();
    assert_eq!([pulls[1].is_woken(), pulls[2].is_woken()], [true, false]);
    assert_pending!(pulls[2].poll(), "both items are spoken for");
    assert_ready_eq!(pulls[1].poll(), Some(1));
    assert_ready_eq!(pulls[0].poll(), Some(2));
}

// guarantee: Q7
#[test]
fn a_run_of_items_wakes_as_many_as_there_are() {
    let (tx, rx) = queue::bounded(10);
    let mut pulls: Vec<_> = (0..5).map(|_| spawn(rx.pull())).collect();
    for pull in &mut pulls {
        assert_pending!(pull.poll());
    }
    assert_eq!(tx.try_push_many(&mut VecDeque::from([1, 2, 3])), Ok(3));
    assert_eq!(pulls.iter().filter(|pull| pull.is_woken()).count(), 3);
}

// guarantee: Q4
#[test]
fn a_wake_that_a_dropped_pull_had_goes_to_the_next() {
    let (tx, rx) = queue::bounded(10);
    let mut first = spawn(rx.pull());
    let mut second = spawn(rx.pull());
    assert_pending!(first.poll());
    assert_pending!(second.poll());
    tx.try_push(1).unwrap();
    assert!(first.is_woken() && !second.is_woken());
    drop(first);
    assert!(second.is_woken());
    assert_ready_eq!(second.poll(), Some(1));
    assert_eq!(rx.stats().waiting_consumers, 0);
}

#[test]
fn force_push_gives_the_oldest_back_and_counts_it_as_pulled() {
    let (tx, rx) = queue::bounded(2);
    assert_eq!(
        [tx.force_push(1), tx.force_push(2), tx.force_push(3)],
        [Ok(None), Ok(None), Ok(Some(1))]
    );
    let stats = rx.stats();
    assert_eq!(
        (stats.pushed, stats.pulled, stats.dropped, stats.len),
        (3, 1, 0, 2)
    );
}

#[tokio::test(start_paused = true)]
async fn pull_timeout_waits_that_long() {
    let (tx, rx) = queue::bounded(1);
    let start = Instant::now();
    assert_eq!(rx.pull_timeout(SECOND).await, Err(PullError::Timeout));
    assert_eq!(start.elapsed(), SECOND);
    tx.push(1).await.unwrap();
    assert_eq!(
        rx.pull_timeout(Duration::ZERO).await,
        Ok(1),
        "what is there is taken first"
    );
    drop(tx);
    assert_eq!(rx.pull_timeout(Duration::MAX).await, Err(PullError::Closed));
}

#[tokio::test(start_paused = true)]
async fn pull_many_takes_a_run_and_waits_for_the_first() {
    let (tx, rx) = queue::bounded(10);
    let mut out = vec![0];
    let (pulled, ()) = tokio::join!(rx.pull_many(&mut out, 3), async {
        for n in 1..=4 {
            tx.push(n).await.unwrap();
        }
    });
    assert_eq!((pulled, &out[..]), (3, &[0, 1, 2, 3][..]));
    assert_eq!(rx.try_pull_many(&mut out, usize::MAX), Ok(1));
    assert_eq!(rx.try_pull_many(&mut out, 1), Err(PullError::Empty));
    drop(tx);
    assert_eq!(rx.pull_many(&mut out, 1).await, 0);
    assert_eq!(rx.try_pull_many(&mut out, 1), Err(PullError::Closed));
}

#[tokio::test]
async fn poll_pull_many_shares_the_place_of_the_stream() {
    let (tx, mut rx) = queue::bounded(10);
    let mut out = Vec::new();
    let pending =
        std::future::poll_fn(|cx| std::task::Poll::Ready(rx.poll_pull_many(cx, &mut out, 5)));
    assert_pending!(pending.await);
    assert_eq!(rx.stats().waiting_consumers, 1);
    tx.try_push_many(&mut VecDeque::from([1, 2])).unwrap();
    assert_eq!(
        std::future::poll_fn(|cx| rx.poll_pull_many(cx, &mut out, 5)).await,
        2
    );
    assert_eq!((out, rx.stats().waiting_consumers), (vec![1, 2], 0));
}

// guarantee: Q4
#[tokio::test(start_paused = true)]
async fn pull_batch_waits_for_a_full_batch_or_the_time_and_takes_nothing_before() {
    let (tx, rx) = queue::bounded(10);
    let start = Instant::now();
    assert_eq!(rx.pull_batch(3, SECOND).await, Some(vec![]));
    assert_eq!(start.elapsed(), SECOND);
    tx.push(1).await.unwrap();
    tx.push(2).await.unwrap();
    {
        let mut batch = std::pin::pin!(rx.pull_batch(3, SECOND));
        assert_pending!(poll!(&mut batch));
    }
    assert_eq!(rx.len(), 2, "a dropped batch took nothing");
    assert_eq!(rx.pull_batch(3, SECOND).await, Some(vec![1, 2]));
    assert_eq!(start.elapsed(), 2 * SECOND);
    let (batch, ()) = tokio::join!(rx.pull_batch(3, SECOND), async {
        for n in 1..=4 {
            tx.push(n).await.unwrap();
        }
    });
    assert_eq!((batch, start.elapsed()), (Some(vec![1, 2, 3]), 2 * SECOND));
    drop(tx);
    assert_eq!(
        rx.pull_batch(3, SECOND).await,
        Some(vec![4]),
        "nothing more can come"
    );
    assert_eq!(rx.pull_batch(3, SECOND).await, None);
    assert_eq!(start.elapsed(), 2 * SECOND);
}

// guarantee: Q7
#[tokio::test(start_paused = true)]
async fn a_batch_that_waits_does_not_hold_back_a_pull_behind_it_nor_stuck_producers() {
    let (tx, rx) = queue::bounded(2);
    let mut batch = spawn(rx.pull_batch(5, SECOND));
    let mut pull = spawn(rx.pull());
    assert_pending!(batch.poll());
    assert_pending!(pull.poll());
    tx.try_push(1).unwrap();
    assert!(pull.is_woken() && !batch.is_woken());
    assert_ready_eq!(pull.poll(), Some(1));
    drop(pull);
    tx.try_push(2).unwrap();
    tx.try_push(3).unwrap();
    assert!(!batch.is_woken(), "full is no reason to hurry");
    let mut stuck = spawn(tx.push(4));
    assert_pending!(stuck.poll());
    assert!(
        batch.is_woken(),
        "a producer that only this batch can free is"
    );
    assert_ready_eq!(batch.poll(), Some(vec![2, 3]));
    assert!(stuck.is_woken());
}

#[test]
fn blocking_calls_wait_on_a_thread() {
    let (tx, rx) = queue::bounded(1);
    let producer = std::thread::spawn(move || {
        for n in 0..100 {
            tx.blocking_push(n).unwrap();
        }
        tx
    });
    for n in 0..100 {
        assert_eq!(rx.blocking_pull(), Some(n));
    }
    let tx = producer.join().unwrap();
    drop(rx);
    assert_eq!(tx.blocking_push(1), Err(PushError::Closed(1)));
    drop(tx);
    let (tx, rx) = queue::bounded::<u8>(1);
    drop(tx);
    assert_eq!(rx.blocking_pull(), None);
}

// guarantee: Q11
#[tokio::test]
async fn the_stream_is_fused_and_its_size_hint_true() {
    use futures::stream::FusedStream;
    let (tx, mut rx) = queue::bounded(10);
    tx.try_push_many(&mut VecDeque::from([1, 2, 3])).unwrap();
    assert_eq!(
        rx.size_hint(),
        (0, None),
        "more may come, and the oldest may be taken by another"
    );
    let permit = tx.try_reserve().unwrap();
    tx.close();
    assert_eq!(rx.size_hint(), (3, Some(4)));
    drop(permit);
    assert_eq!(rx.size_hint(), (3, Some(3)));
    let other = rx.clone();
    assert_eq!(rx.size_hint(), (0, Some(3)));
    drop(other);
    assert!(!rx.is_terminated());
    assert_eq!(rx.by_ref().collect::<Vec<_>>().await, [1, 2, 3]);
    assert!(rx.is_terminated());
    for _ in 0..3 {
        assert_eq!(rx.next().await, None);
    }
    assert_eq!(rx.size_hint(), (0, Some(0)));
}

// guarantee: Q8
#[tokio::test]
async fn an_always_ready_queue_lets_its_neighbours_run() {
    let (tx, rx) = queue::bounded(1);
    let turns = Arc::new(AtomicUsize::new(0));
    let neighbour = {
        let turns = turns.clone();
        tokio::spawn(async move {
            for _ in 0..100 {
                turns.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
            }
        })
    };
    for n in 0..50_000 {
        tx.push(n).await.unwrap();
        assert_eq!(rx.pull().await, Some(n));
    }
    assert!(
        turns.load(Ordering::Relaxed) >= 45,
        "{turns:?} turns in 100,000 ready operations, of which 128 x 16 make a turn"
    );
    neighbour.await.unwrap();
}
