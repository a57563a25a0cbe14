//! The producer as a sink.

use futures::sink::SinkExt;
use futures::{FutureExt, Sink};
use pushpull::queue::{self, DropReason, Overflow, PushError};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio_test::task::spawn;
use tokio_test::{assert_pending, assert_ready_eq};

use crate::{logged, taken};

fn ready<S: Sink<T> + Unpin, T>(sink: &mut S) -> Poll<Result<(), S::Error>> {
    let waker = futures::task::noop_waker();
    Pin::new(sink).poll_ready(&mut Context::from_waker(&waker))
}

fn flush<S: Sink<T> + Unpin, T>(sink: &mut S) -> Poll<Result<(), S::Error>> {
    let waker = futures::task::noop_waker();
    Pin::new(sink).poll_flush(&mut Context::from_waker(&waker))
}

fn send<S: Sink<T> + Unpin, T>(sink: &mut S, item: T) -> Result<(), S::Error> {
    Pin::new(sink).start_send(item)
}

fn heavy(max: usize, overflow: Overflow) -> (queue::Producer<usize>, queue::Consumer<usize>) {
    queue::builder()
        .max_weight(max, |n| *n)
        .overflow(overflow)
        .build()
}

// guarantee: Q10
#[test]
fn under_wait_ready_reserves_a_slot_that_goes_back_on_drop() {
    let (mut tx, rx) = queue::bounded(1);
    let other = tx.clone();
    assert_ready_eq!(ready(&mut tx), Ok(()));
    assert_ready_eq!(ready(&mut tx), Ok(()));
    assert_eq!((tx.stats().reserved, tx.len()), (1, 0));
    assert_eq!(other.try_push(1), Err(PushError::Full(1)));
    let mut waits = spawn(other.push(1));
    assert_pending!(waits.poll());
    drop(tx);
    assert!(waits.is_woken());
    assert_ready_eq!(waits.poll(), Ok(()));
    assert_eq!(rx.try_pull(), Ok(1));
}

// guarantee: Q10
#[test]
fn under_reject_ready_answers_full_and_the_sink_stays_usable() {
    let (mut tx, rx, log) = logged(1, Overflow::Reject);
    assert_ready_eq!(ready(&mut tx), Ok(()));
    send(&mut tx, 1).unwrap();
    assert_ready_eq!(ready(&mut tx), Err(PushError::Full(())));
    assert_eq!(rx.try_pull(), Ok(1));
    assert_eq!(tx.send(2).now_or_never(), Some(Ok(())));
    assert_eq!((rx.try_pull(), taken(&log)), (Ok(2), vec![]));
}

// guarantee: Q10
#[test]
fn under_the_drop_policies_ready_holds_nothing_and_sending_applies_them() {
    for (overflow, reason, left) in [
        (Overflow::DropNewest, DropReason::Newest, 1),
        (Overflow::DropOldest, DropReason::Oldest, 2),
    ] {
        let (mut tx, rx, log) = logged(1, overflow);
        assert_eq!(tx.send(1).now_or_never(), Some(Ok(())));
        assert_ready_eq!(ready(&mut tx), Ok(()));
        assert_eq!(tx.stats().reserved, 0);
        send(&mut tx, 2).unwrap();
        assert_eq!(taken(&log), [(3 - left, reason)]);
        assert_eq!(rx.try_pull(), Ok(left));
        rx.close();
        assert_ready_eq!(ready(&mut tx), Err(PushError::Closed(())));
    }
}

// guarantee: Q10
#[test]
fn dropping_the_oldest_where_all_slots_are_reserved_drops_the_new_one() {
    let (mut tx, rx, log) = logged(1, Overflow::DropOldest);
    let permit = tx.try_reserve().unwrap();
    assert_eq!(tx.send(1).now_or_never(), Some(Ok(())));
    assert_eq!(taken(&log), [(1, DropReason::Newest)]);
    permit.push(2).unwrap();
    assert_eq!(rx.try_pull(), Ok(2));
}

#[test]
#[should_panic(expected = "without a `poll_ready`")]
fn sending_without_ready_panics() {
    let (mut tx, _rx) = queue::bounded(1);
    let _ = send(&mut tx, 1);
}

#[test]
#[should_panic(expected = "without a `poll_ready`")]
fn one_ready_is_good_for_one_item() {
    let (mut tx, _rx) = queue::bounded(2);
    assert_ready_eq!(ready(&mut tx), Ok(()));
    send(&mut tx, 1).unwrap();
    let _ = send(&mut tx, 2);
}

// guarantee: Q5
#[test]
fn a_slot_reserved_before_close_is_good_and_one_revoked_hands_the_item_on() {
    let (mut tx, rx, log) = logged(2, Overflow::Wait);
    assert_ready_eq!(ready(&mut tx), Ok(()));
    rx.close();
    send(&mut tx, 1).unwrap();
    assert_ready_eq!(ready(&mut tx), Err(PushError::Closed(())));
    assert_eq!(rx.try_pull(), Ok(1));

    let (mut tx, rx, _) = logged(2, Overflow::Wait);
    assert_ready_eq!(ready(&mut tx), Ok(()));
    rx.abort();
    assert_eq!(taken(&log), []);
    assert_eq!(send(&mut tx, 1), Err(PushError::Closed(())));

    let (mut tx, rx, log) = logged(2, Overflow::Wait);
    assert_ready_eq!(ready(&mut tx), Ok(()));
    drop(rx);
    assert_eq!(send(&mut tx, 3), Err(PushError::Closed(())));
    assert_eq!(taken(&log), [(3, DropReason::Closed)]);
    let stats = tx.stats();
    assert_eq!((stats.pushed, stats.refused, stats.reserved), (0, 1, 0));
}

#[test]
fn closing_the_sink_closes_its_handle_and_may_be_repeated() {
    let (mut tx, rx) = queue::bounded(4);
    let mut other = tx.clone();
    for _ in 0..2 {
        assert_eq!(SinkExt::<u8>::close(&mut tx).now_or_never(), Some(Ok(())));
    }
    assert!(tx.is_closed() && !other.is_closed());
    assert_eq!(tx.try_push(1), Err(PushError::Closed(1)));
    assert_eq!(tx.push(1).now_or_never(), Some(Err(PushError::Closed(1))));
    assert_eq!(tx.force_push(1), Err(PushError::Closed(1)));
    assert!(tx.try_reserve().unwrap_err().is_closed());
    assert!(
        tx.clone().is_closed(),
        "a clone of a closed handle is closed"
    );
    assert_eq!(rx.stats().producers, 1);
    other.try_push(2).unwrap();
    assert_eq!(
        SinkExt::<u8>::close(&mut other).now_or_never(),
        Some(Ok(()))
    );
    drop(tx);
    drop(other);
    assert_eq!(rx.pull().now_or_never(), Some(Some(2)));
    assert_eq!(rx.pull().now_or_never(), Some(None));
}

// guarantee: Q10
#[test]
fn an_item_that_does_not_fit_by_weight_is_parked_and_enters_in_turn() {
    let (mut tx, rx) = heavy(10, Overflow::Wait);
    let other = tx.clone();
    other.try_push(8).unwrap();
    assert_ready_eq!(ready(&mut tx), Ok(()));
    send(&mut tx, 5).unwrap();
    let stats = tx.stats();
    assert_eq!(
        (stats.parked, stats.reserved, stats.len, stats.pushed),
        (1, 1, 1, 1)
    );
    let mut flushing = spawn(());
    assert_pending!(flushing.enter(|cx, _| Pin::new(&mut tx).poll_flush(cx)));
    assert_pending!(ready(&mut tx));
    rx.close();
    assert_eq!(
        rx.try_pull(),
        Ok(8),
        "what was taken over before close still comes"
    );
    let mut pull = spawn(rx.pull());
    assert_pending!(pull.poll());
    assert_ready_eq!(flush(&mut tx), Ok(()));
    assert_ready_eq!(pull.poll(), Some(5));
    let stats = tx.stats();
    assert_eq!((stats.parked, stats.reserved, stats.pulled), (0, 0, 2));
}

// guarantee: Q10
#[test]
fn a_parked_item_is_woken_for_by_the_weight_it_needs() {
    let (mut tx, rx) = heavy(10, Overflow::Wait);
    for n in [4, 4] {
        tx.try_push(n).unwrap();
    }
    assert_ready_eq!(ready(&mut tx), Ok(()));
    send(&mut tx, 9).unwrap();
    let mut flushing = spawn(());
    assert_pending!(flushing.enter(|cx, _| Pin::new(&mut tx).poll_flush(cx)));
    rx.try_pull().unwrap();
    assert!(!flushing.is_woken());
    rx.try_pull().unwrap();
    assert!(flushing.is_woken());
    assert_ready_eq!(flush(&mut tx), Ok(()));
    assert_eq!(rx.try_pull(), Ok(9));
}

// guarantee: Q10
#[test]
fn the_parked_item_of_a_dropped_or_aborted_sink_is_handed_on() {
    let log = crate::Log::default();
    let build = || {
        let to = Arc::clone(&log);
        queue::builder()
            .max_weight(10, |n: &usize| *n)
            .on_drop(move |item, reason| to.lock().unwrap().push((item, reason)))
            .build()
    };
    let park = |tx: &mut queue::Producer<usize>| {
        tx.try_push(8).unwrap();
        assert_ready_eq!(ready(tx), Ok(()));
        send(tx, 5).unwrap();
        assert_pending!(flush(tx));
    };
    let (mut tx, rx) = build();
    park(&mut tx);
    drop(tx);
    assert_eq!(taken(&log), [(5, DropReason::Cancelled)]);
    let stats = rx.stats();
    assert_eq!((stats.cancelled, stats.parked, stats.reserved), (1, 0, 0));

    let (mut tx, rx) = build();
    park(&mut tx);
    assert_eq!(rx.abort(), [8]);
    assert_ready_eq!(flush(&mut tx), Err(PushError::Closed(())));
    assert_eq!(taken(&log), [(5, DropReason::Closed)]);
    assert_eq!((rx.stats().parked, rx.stats().refused), (0, 1));

    let (mut tx, _rx) = build();
    assert_ready_eq!(ready(&mut tx), Ok(()));
    assert_eq!(send(&mut tx, 11), Err(PushError::TooHeavy(())));
    assert_eq!(taken(&log), [(11, DropReason::Newest)]);
}

// guarantee: Q1
#[test]
fn a_permit_holds_no_weight() {
    let (tx, _rx) = heavy(10, Overflow::Wait);
    let permits: Vec<_> = (0..3).map(|_| tx.try_reserve().unwrap()).collect();
    let mut permits = permits.into_iter();
    permits.next().unwrap().push(8).unwrap();
    assert_eq!(permits.next().unwrap().push(5), Err(PushError::Full(5)));
    assert_eq!(
        permits.next().unwrap().push(11),
        Err(PushError::TooHeavy(11))
    );
    assert_eq!(tx.stats().reserved, 0);
    let (tx, rx) = heavy(10, Overflow::DropOldest);
    let permit = tx.try_reserve().unwrap();
    tx.try_push(8).unwrap();
    permit.push(5).unwrap();
    assert_eq!((rx.try_pull(), rx.stats().dropped_oldest), (Ok(5), 1));
}

#[test]
fn a_waiting_sink_keeps_its_turn_and_gives_it_up_on_drop() {
    let (tx, rx) = queue::bounded(1);
    tx.try_push(0).unwrap();
    let mut first = tx.clone();
    let mut turn = spawn(());
    assert_pending!(turn.enter(|cx, _| Pin::new(&mut first).poll_ready(cx)));
    let mut second = spawn(tx.push(2));
    assert_pending!(second.poll());
    rx.try_pull().unwrap();
    assert!(turn.is_woken() && !second.is_woken());
    drop(first);
    assert!(second.is_woken());
    assert_ready_eq!(second.poll(), Ok(()));
}
