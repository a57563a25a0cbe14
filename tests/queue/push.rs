//! Pushing in all its forms.

use std::collections::VecDeque;
use std::time::Duration;

use futures::{FutureExt, SinkExt};
use pushpull::queue::{self, DropReason, Overflow, PushError};
use tokio::time::Instant;
use tokio_test::task::spawn;
use tokio_test::{assert_pending, assert_ready, assert_ready_eq};

use crate::{SECOND, logged, taken};

// guarantee: Q2
#[test]
fn waiting_pushes_are_served_in_the_order_in_which_they_came() {
    let (tx, rx) = queue::bounded(1);
    tx.try_push(0).unwrap();
    let mut pushes: Vec<_> = (1..=4).map(|n| spawn(tx.push(n))).collect();
    for push in &mut pushes {
        assert_pending!(push.poll());
    }
    for n in 0..4 {
        assert_eq!(rx.try_pull(), Ok(n));
        // Polled in the wrong order, only the one whose turn it is gets in.
        for push in pushes.iter_mut().skip(1).rev() {
            assert_pending!(push.poll());
        }
        let mut first = pushes.remove(0);
        assert!(first.is_woken());
        assert_ready_eq!(first.poll(), Ok(()));
    }
    assert_eq!(rx.try_pull(), Ok(4));
}

// guarantee: Q2
#[test]
fn a_waiter_is_overtaken_32_times_and_then_room_is_held_for_it() {
    let (tx, rx) = queue::bounded(1);
    tx.try_push(0).unwrap();
    let mut waiter = spawn(tx.push(1000));
    assert_pending!(waiter.poll());
    let mut overtakes = 0;
    loop {
        assert!(rx.try_pull().is_ok());
        assert!(waiter.is_woken());
        if tx.try_push(1).is_err() {
            break;
        }
        overtakes += 1;
        assert_pending!(waiter.poll());
    }
    assert_eq!(overtakes, 32);
    assert_ready_eq!(waiter.poll(), Ok(()));
    assert_eq!(rx.try_pull(), Ok(1000));
    tx.try_push(2).expect("nothing is held when nobody waits");
}

// guarantee: Q4
#[test]
fn a_push_dropped_while_it_waits_hands_its_item_on_and_passes_its_wake() {
    let (tx, rx, log) = logged(1, Overflow::Wait);
    tx.try_push(0).unwrap();
    let mut first = spawn(tx.push(1));
    let mut second = spawn(tx.push(2));
    assert_pending!(first.poll());
    assert_pending!(second.poll());
    assert_eq!(rx.try_pull(), Ok(0));
    assert!(first.is_woken());
    drop(first);
    assert_eq!(taken(&log), [(1, DropReason::Cancelled)]);
    assert!(second.is_woken());
    assert_ready_eq!(second.poll(), Ok(()));
    drop(second);
    let stats = tx.stats();
    assert_eq!(
        (stats.pushed, stats.cancelled, stats.waiting_producers),
        (2, 1, 0)
    );
    drop(tx.push(3));
    assert_eq!(
        taken(&log),
        [(3, DropReason::Cancelled)],
        "also when it was never polled"
    );
}

// guarantee: Q4
#[test]
fn push_from_leaves_the_item_with_the_caller_until_it_is_in() {
    let (tx, rx) = queue::bounded(1);
    tx.try_push(1).unwrap();
    let mut slot = Some(2);
    {
        let mut push = spawn(tx.push_from(&mut slot));
        assert_pending!(push.poll());
    }
    assert_eq!(slot, Some(2));
    assert_eq!(rx.try_pull(), Ok(1));
    assert_eq!(tx.push_from(&mut slot).now_or_never(), Some(Ok(())));
    assert_eq!(slot, None);
    assert_eq!(
        tx.push_from(&mut slot).now_or_never(),
        Some(Ok(())),
        "nothing is pushed at once"
    );
    rx.close();
    slot = Some(3);
    assert_eq!(
        tx.push_from(&mut slot).now_or_never(),
        Some(Err(PushError::Closed(())))
    );
    assert_eq!((slot, tx.stats().pushed), (Some(3), 2));
}

#[test]
fn an_empty_slot_is_pushed_as_nothing_whoever_is_closed() {
    let (mut tx, rx) = queue::bounded::<u8>(1);
    let other = tx.clone();
    assert_eq!(
        SinkExt::close(&mut tx).now_or_never(),
        Some(Ok(())),
        "this handle"
    );
    assert_eq!(tx.push_from(&mut None).now_or_never(), Some(Ok(())));
    rx.close();
    assert_eq!(other.push_from(&mut None).now_or_never(), Some(Ok(())));
    assert_eq!(
        tx.push_from(&mut Some(1)).now_or_never(),
        Some(Err(PushError::Closed(())))
    );
}

// guarantee: Q3
#[test]
fn each_policy_does_what_it_says_when_full() {
    let (tx, rx, log) = logged(2, Overflow::Reject);
    assert_eq!(
        (1..=3).fold(None, |_, n| Some(tx.try_push(n))),
        Some(Err(PushError::Full(3)))
    );
    assert_eq!(tx.push(4).now_or_never(), Some(Err(PushError::Full(4))));
    assert_eq!(
        (rx.try_pull(), tx.stats().refused, taken(&log)),
        (Ok(1), 2, vec![])
    );

    let (tx, rx, log) = logged(2, Overflow::DropNewest);
    (1..=3).for_each(|n| tx.try_push(n).unwrap());
    assert_eq!(tx.push(4).now_or_never(), Some(Ok(())));
    assert_eq!(
        taken(&log),
        [(3, DropReason::Newest), (4, DropReason::Newest)]
    );
    let stats = rx.stats();
    assert_eq!(
        (stats.pushed, stats.dropped, stats.dropped_newest, stats.len),
        (4, 2, 2, 2)
    );
    assert_eq!((rx.try_pull(), rx.try_pull()), (Ok(1), Ok(2)));

    let (tx, rx, log) = logged(2, Overflow::DropOldest);
    (1..=3).for_each(|n| tx.try_push(n).unwrap());
    assert_eq!(tx.push(4).now_or_never(), Some(Ok(())));
    assert_eq!(
        taken(&log),
        [(1, DropReason::Oldest), (2, DropReason::Oldest)]
    );
    let stats = rx.stats();
    assert_eq!(
        (stats.pushed, stats.dropped, stats.dropped_oldest, stats.len),
        (4, 2, 2, 2)
    );
    assert_eq!((rx.try_pull(), rx.try_pull()), (Ok(3), Ok(4)));
}

// guarantee: Q10
#[test]
fn force_push_that_finds_only_reservations_is_full() {
    let (tx, _rx) = queue::bounded(2);
    let first = tx.try_reserve().unwrap();
    tx.try_push(1).unwrap();
    assert_eq!(tx.force_push(2), Ok(Some(1)));
    let _second = {
        tx.resize(3);
        tx.try_reserve().unwrap()
    };
    tx.resize(2);
    assert_eq!(tx.force_push(3), Err(PushError::Full(3)));
    assert_eq!(tx.len(), 1, "nothing was taken out for nothing");
    drop(first);
    assert_eq!(tx.force_push(3), Ok(Some(2)));
}

#[test]
fn push_many_moves_from_the_front_and_leaves_the_rest() {
    let (tx, rx) = queue::bounded(3);
    let mut items = VecDeque::from_iter(1..=5);
    assert_eq!(tx.try_push_many(&mut items), Ok(3));
    assert_eq!(items, [4, 5]);
    assert_eq!(tx.try_push_many(&mut items), Err(PushError::Full(())));
    {
        let mut push = spawn(tx.push_many(&mut items));
        assert_pending!(push.poll());
        assert_eq!(rx.try_pull(), Ok(1));
        assert!(push.is_woken());
        assert_pending!(push.poll());
    }
    assert_eq!(items, [5], "4 went in before the future was dropped");
    assert_eq!(rx.abort(), [2, 3, 4]);
    assert_eq!(
        tx.push_many(&mut items).now_or_never(),
        Some(Err(PushError::Closed(())))
    );
    assert_eq!(items, [5]);
    assert_eq!(
        tx.push_many(&mut VecDeque::new()).now_or_never(),
        Some(Ok(0))
    );
}

#[test]
fn push_many_stops_at_an_item_that_is_too_heavy() {
    let (tx, rx) = queue::builder().max_weight(10, |n: &usize| *n).build();
    let mut items = VecDeque::from([1, 2, 11, 3]);
    assert_eq!(
        tx.push_many(&mut items).now_or_never(),
        Some(Err(PushError::TooHeavy(())))
    );
    assert_eq!(items, [11, 3]);
    assert_eq!(rx.len(), 2);
    items.pop_front();
    assert_eq!(tx.try_push_many(&mut items), Ok(1));
}

#[test]
fn push_many_under_the_drop_policies_always_goes_through() {
    let (tx, rx, log) = logged(2, Overflow::DropOldest);
    assert_eq!(
        tx.push_many(&mut VecDeque::from_iter(1..=5)).now_or_never(),
        Some(Ok(5))
    );
    assert_eq!(taken(&log).len(), 3);
    assert_eq!(rx.abort(), [4, 5]);
    let (tx, rx, log) = logged(2, Overflow::DropNewest);
    assert_eq!(tx.try_push_many(&mut VecDeque::from_iter(1..=5)), Ok(5));
    assert_eq!(taken(&log).len(), 3);
    assert_eq!(rx.abort(), [1, 2]);
}

// guarantee: Q4
#[test]
fn reserve_waits_in_turn_and_reserves_nothing_when_dropped() {
    let (tx, rx) = queue::bounded(1);
    tx.try_push(1).unwrap();
    let mut reserve = spawn(tx.reserve());
    assert_pending!(reserve.poll());
    assert_eq!(rx.try_pull(), Ok(1));
    let permit = assert_ready!(reserve.poll()).unwrap();
    assert_eq!(tx.stats().reserved, 1);
    let mut waits = spawn(tx.reserve());
    assert_pending!(waits.poll());
    drop(waits);
    drop(permit);
    assert_eq!((tx.stats().reserved, tx.stats().waiting_producers), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn push_timeout_waits_that_long_and_gives_the_item_back() {
    let (tx, rx) = queue::bounded(1);
    let start = Instant::now();
    assert_eq!(tx.push_timeout(1, SECOND).await, Ok(()));
    assert_eq!(tx.push_timeout(2, SECOND).await, Err(PushError::Timeout(2)));
    assert_eq!(start.elapsed(), SECOND);
    assert_eq!(
        tx.push_timeout(2, Duration::ZERO).await,
        Err(PushError::Timeout(2))
    );
    let late = tokio::spawn(async move {
        tokio::time::sleep(SECOND).await;
        (rx.pull().await, rx)
    });
    assert_eq!(tx.push_timeout(3, Duration::MAX).await, Ok(()));
    let (pulled, rx) = late.await.unwrap();
    assert_eq!(pulled, Some(1));
    rx.close();
    assert_eq!(tx.push_timeout(4, SECOND).await, Err(PushError::Closed(4)));
    assert_eq!(tx.stats().waiting_producers, 0);
}
