//! Capacity, weight, and how they change.

use std::collections::VecDeque;
use std::time::Duration;

use pushpull::queue::{self, Overflow, PushError};
use tokio_test::task::spawn;
use tokio_test::{assert_pending, assert_ready_eq};

use crate::{Log, SECOND, logged, taken};

// guarantee: Q1
#[test]
fn the_bound_is_exact_with_any_number_of_handles() {
    for capacity in [1, 2, 3, 7, 100] {
        let (tx, rx) = queue::bounded(capacity);
        let producers: Vec<_> = (0..10).map(|_| tx.clone()).collect();
        let accepted = (0..1000)
            .filter(|n| producers[n % 10].try_push(*n).is_ok())
            .count();
        assert_eq!(accepted, capacity);
        assert_eq!(
            (rx.len(), rx.capacity(), tx.stats().peak_len),
            (capacity, capacity, capacity)
        );
        assert!(!rx.is_empty());
    }
}

// guarantee: Q1
#[test]
fn a_capacity_of_usize_max_neither_allocates_nor_overflows() {
    let (tx, rx) = queue::bounded(usize::MAX);
    tx.try_push(1u64).unwrap();
    tx.resize(usize::MAX);
    let _permit = tx.try_reserve().unwrap();
    assert_eq!(rx.try_pull(), Ok(1));
}

#[test]
#[should_panic(expected = "capacity must be at least 1")]
fn a_capacity_of_zero_panics() {
    let _ = queue::bounded::<u8>(0);
}

#[test]
#[should_panic(expected = "capacity must be at least 1")]
fn resizing_to_zero_panics() {
    queue::bounded::<u8>(1).0.resize(0);
}

#[test]
#[should_panic(expected = "limit of 0")]
fn a_limit_of_zero_panics() {
    let _ = queue::bounded::<u8>(1).1.try_pull_many(&mut Vec::new(), 0);
}

#[test]
fn without_a_capacity_it_is_1024_or_unbounded_where_weight_bounds() {
    assert_eq!(queue::builder::<u8>().build().0.capacity(), 1024);
    let (tx, _rx) = queue::builder().max_weight(10, |_: &u8| 1).build();
    assert_eq!(tx.capacity(), usize::MAX);
    assert_eq!((0..20).filter(|n| tx.try_push(*n).is_ok()).count(), 10);
}

// guarantee: Q1
#[test]
fn weight_is_bounded_and_what_can_never_fit_is_too_heavy_at_once() {
    let (tx, rx) = queue::builder().max_weight(10, |n: &usize| *n).build();
    assert_eq!(tx.try_push(11), Err(PushError::TooHeavy(11)));
    tx.try_push(6).unwrap();
    assert_eq!(tx.try_push(5), Err(PushError::Full(5)));
    tx.try_push(4).unwrap();
    assert_eq!(tx.stats().weight, 10);
    assert_eq!(rx.try_pull(), Ok(6));
    assert_eq!(rx.stats().weight, 4);
    rx.set_max_weight(3);
    assert_eq!(tx.try_push(4), Err(PushError::TooHeavy(4)));
}

#[test]
#[should_panic(expected = "built without `max_weight`")]
fn a_weight_bound_on_a_queue_without_weights_panics() {
    queue::bounded::<u8>(1).0.set_max_weight(1);
}

// guarantee: Q1, Q3
#[test]
fn a_heavy_item_evicts_as_many_old_ones_as_it_needs() {
    let dropped = Log::default();
    let to = dropped.clone();
    let (tx, rx) = queue::builder()
        .max_weight(10, |n: &usize| *n)
        .overflow(Overflow::DropOldest)
        .on_drop(move |item, reason| to.lock().unwrap().push((item, reason)))
        .build();
    for n in [1, 2, 3, 4] {
        tx.try_push(n).unwrap();
    }
    tx.try_push(9).unwrap();
    assert_eq!(taken(&dropped).len(), 4);
    assert_eq!((rx.len(), rx.stats().weight), (1, 9));
    tx.try_push(1).unwrap();
    assert_eq!(tx.force_push(8), Ok(Some(9)));
    assert_eq!((rx.try_pull(), rx.try_pull()), (Ok(1), Ok(8)));
}

// guarantee: Q9
#[test]
fn shrinking_drops_nothing_unless_the_policy_drops_the_oldest() {
    let (tx, rx) = queue::bounded(4);
    tx.try_push_many(&mut VecDeque::from([1, 2, 3, 4])).unwrap();
    rx.resize(2);
    assert_eq!(rx.len(), 4);
    assert_eq!((rx.try_pull(), rx.try_pull()), (Ok(1), Ok(2)));
    assert!(tx.try_push(5).unwrap_err().is_full());
    assert_eq!(rx.try_pull(), Ok(3));
    tx.try_push(5).unwrap();

    let (tx, rx, log) = logged(40, Overflow::DropOldest);
    tx.try_push_many(&mut VecDeque::from_iter(0..40)).unwrap();
    tx.resize(3);
    assert_eq!(taken(&log).len(), 37);
    assert_eq!(rx.abort(), [37, 38, 39]);
}

// guarantee: Q9
#[test]
fn growing_wakes_as_many_producers_as_now_fit() {
    let (tx, rx) = queue::bounded(1);
    tx.try_push(0).unwrap();
    let mut pushes: Vec<_> = (1..=5).map(|n| spawn(tx.push(n))).collect();
    for push in &mut pushes {
        assert_pending!(push.poll());
    }
    rx.resize(4);
    assert_eq!(pushes.iter().filter(|push| push.is_woken()).count(), 3);
    for push in pushes.iter_mut().take(3) {
        assert_ready_eq!(push.poll(), Ok(()));
    }
    assert_eq!(rx.len(), 4);
}

// guarantee: Q9
#[test]
fn a_waiting_push_that_became_too_heavy_is_refused() {
    let (tx, rx) = queue::builder().max_weight(10, |n: &usize| *n).build();
    tx.try_push(9).unwrap();
    let mut push = spawn(tx.push(8));
    assert_pending!(push.poll());
    rx.set_max_weight(7);
    assert!(push.is_woken());
    assert_ready_eq!(push.poll(), Err(PushError::TooHeavy(8)));
}

#[test]
fn capacity_for_rates() {
    assert_eq!(queue::capacity_for(1000, 800, 2 * SECOND), 400);
    assert_eq!(queue::capacity_for(1000.5, 1000.0, SECOND), 1);
    assert_eq!(queue::capacity_for(1, 2, Duration::MAX), 1);
    assert_eq!(queue::capacity_for(f64::INFINITY, 0.0, SECOND), usize::MAX);
    assert_eq!(queue::capacity_for(f64::INFINITY, f64::INFINITY, SECOND), 1);
}

#[test]
#[should_panic(expected = "rates are items per second")]
fn capacity_for_a_negative_rate_panics() {
    queue::capacity_for(-1, 2, SECOND);
}
