//! Whose turn it is where some wait, some were woken and others did not wait.

use std::collections::VecDeque;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::Sink;
use futures_test::task::{new_count_waker, noop_waker};
use pushpull::queue::{self, Overflow, Producer, PushError};

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// Pushes past the waiter at the head as often as that is allowed.
fn overtake(tx: &Producer<u32>, rx: &queue::Consumer<u32>) {
    for _ in 0..32 {
        rx.try_pull().unwrap();
        tx.try_push(1).unwrap();
    }
}

#[test]
fn a_push_that_was_overtaken_comes_before_one_woken_behind_it() {
    // guarantee: Q2
    let (tx, rx) = queue::bounded(2);
    tx.try_push_many(&mut VecDeque::from([1, 1])).unwrap();
    let (mut first, mut second) = (Box::pin(tx.push(2)), Box::pin(tx.push(3)));
    assert!(poll(first.as_mut()).is_pending());
    assert!(poll(second.as_mut()).is_pending());
    rx.try_pull().unwrap();
    rx.try_pull().unwrap();
    tx.try_push_many(&mut VecDeque::from([1, 1])).unwrap();
    assert!(poll(first.as_mut()).is_pending());
    rx.try_pull().unwrap();
    assert!(poll(second.as_mut()).is_pending());
    assert_eq!(poll(first.as_mut()), Poll::Ready(Ok(())));
}

#[test]
fn a_pull_that_was_overtaken_comes_before_one_woken_behind_it() {
    // guarantee: Q2
    let (tx, rx) = queue::bounded(2);
    let (mut first, mut second) = (Box::pin(rx.pull()), Box::pin(rx.pull()));
    assert!(poll(first.as_mut()).is_pending());
    assert!(poll(second.as_mut()).is_pending());
    tx.try_push_many(&mut VecDeque::from([1, 2])).unwrap();
    assert_eq!((rx.try_pull(), rx.try_pull()), (Ok(1), Ok(2)));
    assert!(poll(first.as_mut()).is_pending());
    tx.try_push(3).unwrap();
    assert!(poll(second.as_mut()).is_pending());
    assert_eq!(poll(first.as_mut()), Poll::Ready(Some(3)));
}

#[test]
fn a_run_leaves_the_items_of_those_before_it() {
    // guarantee: Q2
    let (tx, rx) = queue::bounded(4);
    let mut out = Vec::new();
    let mut first = Box::pin(rx.pull());
    let mut run = Box::pin(rx.pull_many(&mut out, 4));
    assert!(poll(first.as_mut()).is_pending());
    assert!(poll(run.as_mut()).is_pending());
    tx.try_push_many(&mut VecDeque::from([1, 2, 3])).unwrap();
    assert_eq!(poll(run.as_mut()), Poll::Ready(2));
    assert_eq!(poll(first.as_mut()), Poll::Ready(Some(3)));
    drop(run);
    assert_eq!(out, [1, 2]);
}

#[test]
fn closing_does_not_change_the_turns() {
    // guarantee: Q2, Q5
    let (tx, rx) = queue::bounded(4);
    let (mut first, mut second) = (Box::pin(rx.pull()), Box::pin(rx.pull()));
    assert!(poll(first.as_mut()).is_pending());
    assert!(poll(second.as_mut()).is_pending());
    tx.try_push_many(&mut VecDeque::from([1, 2])).unwrap();
    tx.close();
    rx.try_pull().unwrap();
    assert!(poll(second.as_mut()).is_pending());
    assert_eq!(poll(first.as_mut()), Poll::Ready(Some(2)));
    assert_eq!(poll(second.as_mut()), Poll::Ready(None));
}

#[test]
fn force_push_takes_out_an_item_rather_than_held_room() {
    // guarantee: Q2
    let (tx, rx) = queue::bounded(2);
    tx.try_push_many(&mut VecDeque::from([1, 1])).unwrap();
    let mut push = pin!(tx.push(2));
    assert!(poll(push.as_mut()).is_pending());
    // It takes no room from the waiter, however often.
    for _ in 0..100 {
        assert_eq!(tx.force_push(1), Ok(Some(1)));
    }
    overtake(&tx, &rx);
    rx.try_pull().unwrap();
    assert_eq!(tx.try_push(3), Err(PushError::Full(3)));
    assert_eq!(tx.force_push(3), Ok(Some(1)));
    assert_eq!(rx.len(), 1);
    assert_eq!(poll(push), Poll::Ready(Ok(())));
}

#[test]
fn an_eviction_takes_out_an_item_rather_than_held_room() {
    // guarantee: Q2
    let (tx, rx) = queue::builder()
        .capacity(2)
        .overflow(Overflow::DropOldest)
        .build();
    tx.try_push_many(&mut VecDeque::from([1, 1])).unwrap();
    let mut reserve = pin!(tx.reserve());
    assert!(poll(reserve.as_mut()).is_pending());
    overtake(&tx, &rx);
    rx.try_pull().unwrap();
    tx.try_push(3).unwrap();
    assert_eq!((rx.len(), rx.stats().dropped_oldest), (1, 1));
    assert!(poll(reserve).is_ready());
}

#[test]
fn permits_do_not_starve_a_heavy_item() {
    // guarantee: Q2, Q10
    let (tx, rx) = queue::builder()
        .max_weight(10, |item: &u32| *item as usize)
        .build();
    tx.try_push(10).unwrap();
    let mut heavy = pin!(tx.push(10));
    assert!(poll(heavy.as_mut()).is_pending());
    rx.try_pull().unwrap();
    let mut pushed = 0;
    while tx.try_reserve().unwrap().push(1).is_ok() {
        pushed += 1;
        rx.try_pull().unwrap();
        assert!(pushed < 100, "the heavy item is overtaken for ever");
    }
    assert_eq!(poll(heavy), Poll::Ready(Ok(())));
}

#[test]
fn one_that_became_too_heavy_is_told_at_once_wherever_it_waits() {
    // guarantee: Q7, Q9
    let (tx, _rx) = queue::builder()
        .max_weight(8, |item: &u32| *item as usize)
        .build();
    tx.try_push(5).unwrap();
    let (mut first, mut second) = (Box::pin(tx.push(4)), Box::pin(tx.push(6)));
    assert!(poll(first.as_mut()).is_pending());
    let (waker, woken) = new_count_waker();
    let mut cx = Context::from_waker(&waker);
    assert!(second.as_mut().poll(&mut cx).is_pending());
    tx.set_max_weight(5);
    assert_eq!(woken.get(), 1);
    assert_eq!(
        second.as_mut().poll(&mut cx),
        Poll::Ready(Err(PushError::TooHeavy(6)))
    );
}

#[tokio::test(start_paused = true)]
async fn a_late_batch_wakes_nobody_for_what_it_takes_itself() {
    // guarantee: Q7
    let (tx, rx) = queue::bounded(4);
    let mut batch = Box::pin(rx.pull_batch(2, Duration::from_secs(1)));
    assert!(poll(batch.as_mut()).is_pending());
    tx.try_push_many(&mut VecDeque::from([1, 2])).unwrap();
    rx.try_pull().unwrap();
    rx.try_pull().unwrap();
    let (waker, woken) = new_count_waker();
    let mut pull = Box::pin(rx.pull());
    assert!(
        pull.as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_pending()
    );
    tokio::time::advance(Duration::from_secs(1)).await;
    tokio::task::yield_now().await;
    tx.try_push(3).unwrap();
    assert_eq!(poll(batch.as_mut()), Poll::Ready(Some(vec![3])));
    assert_eq!(woken.get(), 0);
}

#[test]
fn a_sink_is_told_of_a_close_between_its_send_and_its_flush() {
    // guarantee: Q5, Q7
    let (mut tx, rx) = queue::bounded::<u32>(2);
    let (waker, woken) = new_count_waker();
    let mut cx = Context::from_waker(&waker);
    let flush = |tx: &mut Producer<u32>, cx: &mut Context<'_>| Pin::new(tx).poll_flush(cx);
    assert!(Pin::new(&mut tx).poll_ready(&mut cx).is_ready());
    assert_eq!(flush(&mut tx, &mut cx), Poll::Ready(Ok(())));
    assert_eq!(Pin::new(&mut tx).start_send(1), Ok(()));
    rx.close();
    assert_eq!(woken.get(), 1);
    // The poll that the wake was for: what was sent has been handed over, and the close is still to be told.
    assert_eq!(flush(&mut tx, &mut cx), Poll::Ready(Ok(())));
    assert_eq!(woken.get(), 2);
    assert_eq!(
        flush(&mut tx, &mut cx),
        Poll::Ready(Err(PushError::Closed(())))
    );
}

#[test]
fn a_permit_used_after_a_shrink_evicts_down_to_the_bound() {
    // guarantee: Q1, Q9
    let (tx, rx) = queue::builder()
        .capacity(3)
        .overflow(Overflow::DropOldest)
        .build();
    let permits: Vec<_> = (0..3).map(|_| tx.try_reserve().unwrap()).collect();
    tx.resize(1);
    for (n, permit) in permits.into_iter().enumerate() {
        permit.push(n).unwrap();
        assert_eq!(rx.len(), 1);
    }
    assert_eq!((rx.try_pull(), rx.stats().dropped_oldest), (Ok(2), 2));
}

#[test]
fn a_closed_queue_that_may_still_evict_promises_no_items() {
    // guarantee: Q11
    use futures::Stream;
    let (tx, rx) = queue::builder()
        .capacity(3)
        .overflow(Overflow::DropOldest)
        .build();
    tx.try_push_many(&mut VecDeque::from([1, 2, 3])).unwrap();
    tx.close();
    assert_eq!(rx.size_hint(), (0, Some(3)));
    rx.resize(1);
    assert_eq!((rx.try_pull(), rx.is_empty()), (Ok(3), true));
}

#[test]
fn refused_counts_the_calls_that_answer_with_an_error() {
    // guarantee: Q3
    let (mut tx, _rx) = queue::builder()
        .capacity(2)
        .overflow(Overflow::Reject)
        .build();
    let mut items = VecDeque::from([1, 2, 3]);
    let waker = noop_waker();
    let mut cx = Context::from_waker(&waker);
    assert_eq!(
        pin!(tx.push_many(&mut items)).poll(&mut cx),
        Poll::Ready(Ok(2))
    );
    assert_eq!(tx.stats().refused, 0);
    assert!(tx.try_push_many(&mut items).unwrap_err().is_full());
    assert_eq!(tx.stats().refused, 1);
    assert!(Pin::new(&mut tx).poll_close(&mut cx).is_ready());
    assert!(tx.try_push(4).unwrap_err().is_closed());
    assert!(tx.try_reserve().is_err());
    assert_eq!(tx.stats().refused, 3);
}
