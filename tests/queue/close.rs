//! Closing, draining, aborting, and who is told.

use std::collections::VecDeque;
use std::sync::Arc;

use futures::FutureExt;
use pushpull::queue::{self, DropReason, Overflow, PullError, PushError};
use tokio::time::Instant;
use tokio_test::task::spawn;
use tokio_test::{assert_pending, assert_ready, assert_ready_eq};

use crate::{SECOND, logged, taken};

// guarantee: Q5
#[test]
fn a_reservation_made_before_close_is_honoured() {
    let (tx, rx) = queue::bounded(2);
    let permit = tx.try_reserve().unwrap();
    let unused = tx.try_reserve().unwrap();
    tx.close();
    assert!(tx.try_reserve().unwrap_err().is_closed());
    let mut pull = spawn(rx.pull());
    assert_pending!(pull.poll());
    permit.push(7).unwrap();
    assert!(pull.is_woken());
    assert_ready_eq!(pull.poll(), Some(7));
    let mut pull = spawn(rx.pull());
    assert_pending!(pull.poll(), "one slot is still promised");
    drop(unused);
    assert!(pull.is_woken());
    assert_ready_eq!(pull.poll(), None);
}

// guarantee: Q5
#[test]
fn abort_and_the_last_consumer_revoke_reservations() {
    let (tx, rx) = queue::bounded(2);
    let permit = tx.try_reserve().unwrap();
    assert_eq!(rx.abort(), [0; 0]);
    assert_eq!(permit.push(1), Err(PushError::Closed(1)));
    assert_eq!(tx.stats().reserved, 0);

    let (tx, rx) = queue::bounded(2);
    let permit = tx.try_reserve().unwrap();
    drop(rx);
    assert_eq!(permit.push(1), Err(PushError::Closed(1)));
    assert_eq!(tx.stats().reserved, 0);
}

// guarantee: Q5
#[test]
fn close_refuses_new_pushes_gives_waiting_ones_back_and_lets_the_rest_be_pulled() {
    let (tx, rx) = queue::bounded(1);
    tx.try_push(1).unwrap();
    let mut waiting = spawn(tx.push(2));
    assert_pending!(waiting.poll());
    let mut closed = spawn(tx.closed());
    let mut drained = spawn(tx.drained());
    assert_pending!(closed.poll());
    assert_pending!(drained.poll());
    rx.close();
    assert!(waiting.is_woken() && closed.is_woken() && !drained.is_woken());
    assert_ready_eq!(waiting.poll(), Err(PushError::Closed(2)));
    assert_ready!(closed.poll());
    assert_eq!(tx.try_push(3), Err(PushError::Closed(3)));
    assert!(tx.is_closed() && rx.is_closed());
    assert_eq!(rx.try_pull(), Ok(1));
    assert!(drained.is_woken());
    assert_ready!(drained.poll());
    for _ in 0..3 {
        assert_eq!(rx.try_pull(), Err(PullError::Closed));
        assert_eq!(rx.pull().now_or_never(), Some(None));
    }
}

// guarantee: Q5
#[test]
fn the_last_producer_closes_and_the_last_consumer_abandons() {
    let (tx, rx) = queue::bounded(2);
    let other = tx.clone();
    let mut pull = spawn(rx.pull());
    assert_pending!(pull.poll());
    drop(tx);
    assert!(!pull.is_woken());
    drop(other);
    assert!(pull.is_woken());
    assert_ready_eq!(pull.poll(), None::<u8>);

    let (tx, rx, log) = logged(1, Overflow::Wait);
    tx.try_push(1).unwrap();
    let mut waiting = spawn(tx.push(2));
    assert_pending!(waiting.poll());
    let other = rx.clone();
    drop(rx);
    assert!(!waiting.is_woken());
    drop(other);
    assert_ready_eq!(waiting.poll(), Err(PushError::Closed(2)));
    assert_eq!(taken(&log), [(1, DropReason::Abandoned)]);
    let stats = tx.stats();
    assert_eq!(
        (stats.pushed, stats.dropped, stats.abandoned, stats.len),
        (1, 1, 1, 0)
    );
}

#[test]
fn a_weak_producer_does_not_keep_the_queue_open() {
    let (tx, rx) = queue::bounded::<u8>(1);
    let weak = tx.downgrade();
    let again = weak.clone().upgrade().unwrap();
    drop(tx);
    again.try_push(1).unwrap();
    drop(again);
    assert!(weak.upgrade().is_none());
    assert!(weak.is_closed());
    assert_eq!((weak.stats().producers, weak.stats().len), (0, 1));
    assert_eq!(
        (rx.try_pull(), rx.try_pull()),
        (Ok(1), Err(PullError::Closed))
    );
}

#[cfg(feature = "retry")]
#[tokio::test(start_paused = true)]
async fn push_retry_pauses_as_the_backoff_says_and_hears_of_close_at_once() {
    let backoff = backon::ConstantBuilder::default()
        .with_delay(SECOND)
        .with_max_times(3);
    let (tx, rx) = queue::bounded(1);
    tx.push(0).await.unwrap();
    let start = Instant::now();
    assert_eq!(tx.push_retry(1, backoff).await, Err(PushError::Full(1)));
    assert_eq!(start.elapsed(), 3 * SECOND);
    let (pushed, _) = tokio::join!(tx.push_retry(2, backoff), async {
        tokio::time::sleep(SECOND * 3 / 2).await;
        rx.try_pull()
    });
    assert_eq!((pushed, start.elapsed()), (Ok(()), 5 * SECOND));
    let (pushed, ()) = tokio::join!(tx.push_retry(3, backoff), async { rx.close() });
    assert_eq!(
        (pushed, start.elapsed()),
        (Err(PushError::Closed(3)), 5 * SECOND)
    );
}

// guarantee: P2
#[tokio::test(start_paused = true)]
async fn drain_waits_for_the_consumers_and_takes_the_rest() {
    let (tx, rx) = queue::bounded(10);
    for n in 1..=5 {
        tx.push(n).await.unwrap();
    }
    let slow = rx.clone();
    let worker = tokio::spawn(async move {
        let mut got = Vec::new();
        while let Some(n) = slow.pull().await {
            got.push(n);
            tokio::time::sleep(SECOND).await;
        }
        got
    });
    let drained = rx.drain(SECOND * 5 / 2).await;
    assert_eq!(
        (drained.pulled, drained.left, drained.timed_out),
        (3, vec![4, 5], true)
    );
    assert_eq!(worker.await.unwrap(), [1, 2, 3]);
    assert_eq!(tx.try_push(6), Err(PushError::Closed(6)));
    let stats = rx.stats();
    assert_eq!(
        (stats.pushed, stats.pulled, stats.dropped, stats.len),
        (5, 5, 0, 0)
    );
    let again = rx.drain(SECOND).await;
    assert_eq!(
        (again.pulled, again.left, again.timed_out),
        (0, vec![], false)
    );
}

// guarantee: P2
#[tokio::test(start_paused = true)]
async fn drain_on_the_only_handle_waits_and_then_hands_back_what_nobody_pulled() {
    let (tx, rx) = queue::bounded(10);
    tx.push(1).await.unwrap();
    let start = Instant::now();
    let drained = rx.drain(SECOND).await;
    assert_eq!(
        (drained.pulled, drained.left, drained.timed_out),
        (0, vec![1], true)
    );
    assert_eq!(start.elapsed(), SECOND);
}

// guarantee: P2
#[test]
fn abort_closes_and_gives_back_what_is_left() {
    let (tx, rx) = queue::bounded(10);
    tx.try_push_many(&mut VecDeque::from([1, 2])).unwrap();
    assert_eq!(rx.abort(), [1, 2]);
    assert_eq!(rx.abort(), [0; 0]);
    assert!(tx.try_push(3).unwrap_err().is_closed());
    let stats = rx.stats();
    assert_eq!((stats.pushed, stats.pulled, stats.len), (2, 2, 0));
}

#[test]
fn errors_give_the_item_back_and_say_what_happened() {
    let error = PushError::Timeout(Arc::new(1));
    assert_eq!(format!("{error:?}"), "Timeout(..)");
    assert!(error.is_timeout() && !error.is_closed() && !error.is_full() && !error.is_too_heavy());
    assert_eq!(error.clone().map(|n| *n + 1).into_item(), 2);
    let error: Box<dyn std::error::Error> = Box::new(PushError::Closed(()));
    assert!(error.to_string().contains("closed"));
    assert!(PullError::Empty.to_string().contains("empty"));
}

#[test]
fn whoever_watches_keeps_nothing_open_and_can_close() {
    let (tx, rx) = queue::bounded(1);
    let watch = tx.downgrade();
    tx.try_push(1).unwrap();
    let mut push = spawn(tx.push(2));
    assert_pending!(push.poll());
    watch.close();
    assert_ready_eq!(push.poll(), Err(PushError::Closed(2)));
    drop(rx);
    assert_eq!((watch.stats().abandoned, watch.stats().consumers), (1, 0));
}
