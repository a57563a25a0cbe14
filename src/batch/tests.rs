//! The open batch without a runtime, and what a queue pays for it.

use std::time::Duration;

use tokio::time::Instant;

use super::open::Open;
use super::{BatchPolicy, FlushReason};

const SECOND: Duration = Duration::from_secs(1);

fn run(open: &mut Open<u64>, items: impl IntoIterator<Item = u64>) -> usize {
    let mut items = items.into_iter();
    open.push_run(|out, limit| {
        out.extend(items.by_ref().take(limit));
        limit
    })
}

#[test]
fn a_run_is_no_longer_than_the_batch_has_room() {
    // guarantee: B1 B7
    let mut open = Open::new(BatchPolicy::items(10));
    assert_eq!(run(&mut open, 0..4), 10);
    assert_eq!(open.closed(), None);
    assert_eq!(run(&mut open, 4..20), 6);
    assert_eq!(open.closed(), Some(FlushReason::Size));
    assert_eq!(open.close(FlushReason::Size).items, Vec::from_iter(0..10));
    assert_eq!(run(&mut open, 10..11), 10);
    assert_eq!(open.take_all(), [10]);
}

#[test]
fn a_run_that_must_be_judged_hoards_no_whole_queue() {
    // guarantee: B7 B5
    let mut open = Open::new(BatchPolicy::items(usize::MAX).until(|n| n % 5_000 == 0));
    assert_eq!(run(&mut open, 1..), 1_024);
    while open.closed().is_none() {
        let next = open.len() as u64 + 1;
        assert_eq!(run(&mut open, next..), 1_024);
    }
    // 5 x 1,024 were taken; what the batch did not need stays.
    let closed = open.close(FlushReason::Predicate);
    assert_eq!((closed.items.len(), open.len()), (5_000, 120));
    open.sift();
    assert_eq!(run(&mut open, 5_121..5_122), 5_000); // as long as the batch before
    assert_eq!(open.take_all(), Vec::from_iter(5_001..5_122));
    assert!(open.is_empty());
}

#[test]
fn what_a_run_left_keeps_its_time() {
    // guarantee: B2
    let start = Instant::now();
    let policy = BatchPolicy::items(9)
        .weight(10, |n: &u64| *n as usize)
        .within(SECOND);
    let mut open = Open::new(policy);
    run(&mut open, [9, 8, 7, 1]);
    assert_eq!(open.close(FlushReason::Weight).since, None); // filled in one poll
    open.settle_rest(|| start);
    open.sift();
    assert_eq!(open.close(FlushReason::Weight).since, Some(start));
    open.settle_rest(|| panic!("its time is known"));
    open.sift();
    assert_eq!(open.due(), Some(start + SECOND));
    // What comes later changes nothing.
    run(&mut open, [1]);
    open.settle(start + SECOND / 2);
    assert_eq!((open.due(), open.lapsed()), (Some(start + SECOND), None));
    open.settle(start + SECOND);
    assert_eq!(open.lapsed(), Some(FlushReason::Age));
    assert_eq!(open.close(FlushReason::Age).items, [7, 1, 1]);
    // The next run has a time of its own.
    run(&mut open, [10, 2]);
    assert_eq!(open.close(FlushReason::Weight).since, None);
    open.settle_rest(|| start + 5 * SECOND);
    open.sift();
    assert_eq!(open.due(), Some(start + 6 * SECOND));
}

#[test]
fn the_clock_may_stand_jump_and_run_backwards() {
    // guarantee: B2 B4
    let start = Instant::now() + 10 * SECOND;
    let mut open = Open::new(BatchPolicy::items(9).within(SECOND).idle(SECOND / 2));
    open.settle(start);
    assert_eq!((open.due(), open.lapsed()), (None, None)); // no item, no time
    open.push(1);
    for now in [start, start, start - 5 * SECOND, start] {
        open.settle(now);
        assert_eq!(
            (open.due(), open.lapsed()),
            (Some(start + SECOND / 2), None)
        );
    }
    open.push(2);
    open.settle(start - 5 * SECOND);
    assert_eq!(open.lapsed(), None);
    open.settle(start + 1_000 * SECOND);
    assert_eq!(open.lapsed(), Some(FlushReason::Idle)); // the first of the two
    open.settle(start);
    assert_eq!(open.lapsed(), Some(FlushReason::Idle)); // over is over
    open.close(FlushReason::Idle);
    open.push(3);
    open.settle(start);
    assert_eq!(
        (open.due(), open.lapsed()),
        (Some(start + SECOND / 2), None)
    );
}

#[test]
fn input_that_never_pauses_is_cut_after_twice_the_age() {
    let start = Instant::now();
    let mut open = Open::new(BatchPolicy::items(usize::MAX).within(SECOND));
    open.push(1);
    open.settle(start);
    assert_eq!(open.overdue(start + 9 * SECOND), None); // nobody has noticed yet
    open.settle(start + 2 * SECOND);
    assert_eq!(open.overdue(start + 3 * SECOND), None);
    let later = start + 3 * SECOND + Duration::from_nanos(1);
    assert_eq!(open.overdue(later), Some(FlushReason::Age));
    let mut open = Open::new(BatchPolicy::items(usize::MAX).idle(SECOND));
    open.push(1);
    open.settle(start);
    open.settle(start + 2 * SECOND);
    assert_eq!(open.overdue(start + 99 * SECOND), None); // it has no age
}

#[cfg(not(pushpull_loom))]
mod queue {
    use std::pin::Pin;
    use std::task::Poll;

    use futures_core::Stream;

    use super::SECOND;
    use crate::batch::BatchPolicy;
    use crate::prelude::*;
    use crate::queue::{self, Producer};

    const BATCH: u64 = 100;

    fn push(tx: &Producer<u64>, items: std::ops::Range<u64>) {
        for item in items {
            tx.try_push(item).unwrap();
        }
    }

    fn next<S: Stream + Unpin>(batches: &mut S) -> Poll<Option<S::Item>> {
        tokio_test::task::spawn(()).enter(|cx, _| Pin::new(batches).poll_next(cx))
    }

    #[test]
    fn a_full_batch_costs_one_lock() {
        // guarantee: B7
        let (tx, rx) = queue::bounded(1_000);
        push(&tx, 0..1_000);
        let mut batches = rx.batch(100, SECOND);
        let mut costs = vec![];
        for n in 0..10 {
            let before = tx.locks();
            let batch = Vec::from_iter(n * BATCH..(n + 1) * BATCH);
            assert_eq!(next(&mut batches), Poll::Ready(Some(batch)));
            costs.push(tx.locks() - before);
        }
        assert_eq!(costs, [1; 10]);

        // Item by item, as behind a type parameter, it is one for each.
        let (tx, rx) = queue::bounded(1_000);
        push(&tx, 0..100);
        let mut batches = PullExt::batch(rx, 100, SECOND);
        let before = tx.locks();
        assert!(next(&mut batches).is_ready());
        assert_eq!(tx.locks() - before, 100);
    }

    #[test]
    fn a_run_costs_one_lock_however_many_batches_it_makes() {
        // guarantee: B7
        let (tx, rx) = queue::bounded(1_000);
        push(&tx, 0..100);
        let mut batches = rx.batch_with(BatchPolicy::items(100).until(|n| n % 20 == 19));
        assert!(next(&mut batches).is_ready());
        let before = tx.locks();
        for _ in 1..5 {
            assert!(next(&mut batches).is_ready());
        }
        assert_eq!(tx.locks() - before, 0);
        push(&tx, 0..100);
        let before = tx.locks();
        assert!(next(&mut batches).is_ready());
        assert_eq!((tx.locks() - before, batches.held()), (1, 80));
    }
}
