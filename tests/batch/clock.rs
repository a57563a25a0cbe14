//! Age, idle gaps, late polls and the task's budget.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::channel::mpsc;
use futures::stream::{self, Stream, StreamExt};
use pushpull::batch::{BatchPolicy, FlushReason};
use pushpull::prelude::*;
use tokio::task::coop;
use tokio::time::{Instant, advance, timeout};
use tokio_test::task::spawn;
use tokio_test::{assert_pending, assert_ready, assert_ready_eq};

use super::{HOUR, SECOND, ms, seen, timed, when};

// -- age --

#[tokio::test(start_paused = true)]
async fn the_clock_starts_at_the_first_item() {
    // guarantee: B2. Neither when the operator is made, nor at the batch before, nor when somebody asks.
    let input = timed([(700, 1), (800, 2), (5_250, 3)]);
    let all = when(
        input
            .batch_with(BatchPolicy::items(100).within(SECOND))
            .map(seen),
    )
    .await;
    assert_eq!(all[0], (1_700, (vec![1, 2], FlushReason::Age, SECOND)));
    // The end came with the last item.
    assert_eq!(all[1], (5_250, (vec![3], FlushReason::End, Duration::ZERO)));
}

#[tokio::test(start_paused = true)]
async fn a_trickle_does_not_postpone_age() {
    // guarantee: B2
    let input = timed((0..40).map(|n| (n * 100, n)));
    let all = when(input.batch(1000, SECOND)).await;
    // What comes with the timer is taken first.
    let expected: Vec<(u64, Vec<u64>)> =
        vec![(1_000, (0..=10).collect()), (2_100, (11..=21).collect())];
    assert_eq!(all[..2], expected);
}

#[tokio::test(start_paused = true)]
async fn a_timer_of_an_earlier_batch_closes_no_later_one() {
    // guarantee: B2. The timer of the first batch would fire at 1,000.
    let input = timed([(0, 1), (900, 2), (950, 3), (10_000, 4)]);
    let all = when(input.batch(2, SECOND)).await;
    assert_eq!(
        all,
        [(900, vec![1, 2]), (1_950, vec![3]), (10_000, vec![4])]
    );
}

#[tokio::test(start_paused = true)]
async fn a_late_poll_takes_what_is_ready_and_emits_at_once() {
    // guarantee: B2 B4
    let (tx, rx) = mpsc::unbounded();
    let policy = BatchPolicy::items(3).within(SECOND);
    let mut batches = spawn(rx.batch_with(policy));
    tx.unbounded_send(1).unwrap();
    assert_pending!(batches.poll_next());
    (2..=5).for_each(|n| tx.unbounded_send(n).unwrap());
    advance(HOUR).await;
    let first = assert_ready!(batches.poll_next()).map(seen);
    assert_eq!(first, Some((vec![1, 2, 3], FlushReason::Size, HOUR)));
    // The next batch is as old as the poll that takes it, however long its items were ready.
    assert_pending!(batches.poll_next());
    tx.unbounded_send(6).unwrap();
    advance(ms(1_001)).await;
    let second = assert_ready!(batches.poll_next()).map(seen);
    assert_eq!(second, Some((vec![4, 5, 6], FlushReason::Size, ms(1_001))));
    tx.unbounded_send(7).unwrap();
    assert_pending!(batches.poll_next());
    tx.unbounded_send(8).unwrap();
    advance(ms(1_500)).await;
    let third = assert_ready!(batches.poll_next()).map(seen);
    assert_eq!(third, Some((vec![7, 8], FlushReason::Age, ms(1_500))));
}

#[tokio::test(start_paused = true)]
async fn nothing_fires_while_nobody_polls() {
    // guarantee: B4
    let (tx, rx) = mpsc::unbounded();
    let mut batches = spawn(rx.batch(3, SECOND));
    tx.unbounded_send(1).unwrap();
    assert_pending!(batches.poll_next());
    advance(ms(999)).await;
    assert!(!batches.is_woken());
    advance(ms(1)).await;
    assert!(batches.is_woken());
    advance(HOUR).await;
    assert_eq!(batches.held(), 1);
    assert_ready_eq!(batches.poll_next(), Some(vec![1]));
    assert_pending!(batches.poll_next());
    assert!(!batches.is_woken());
}

#[tokio::test(start_paused = true)]
async fn zero_waits_for_nothing_and_takes_what_is_ready() {
    // guarantee: B2
    for policy in [
        BatchPolicy::items(3).within(Duration::ZERO),
        BatchPolicy::items(3).idle(Duration::ZERO),
    ] {
        let (tx, rx) = mpsc::unbounded();
        let mut batches = spawn(rx.batch_with(policy).map(|batch| batch.items));
        assert_pending!(batches.poll_next());
        (1..=5).for_each(|n| tx.unbounded_send(n).unwrap());
        assert_ready_eq!(batches.poll_next(), Some(vec![1, 2, 3]));
        assert_ready_eq!(batches.poll_next(), Some(vec![4, 5]));
        assert_pending!(batches.poll_next());
    }
}

#[tokio::test(start_paused = true)]
async fn ages_beyond_reach_wait_for_the_other_bounds() {
    // guarantee: B2 B5
    for within in [
        Duration::MAX,
        farthest(),
        Duration::from_secs(30 * 365 * 86_400),
    ] {
        let policy = BatchPolicy::items(2).within(within).idle(within);
        let input = timed([(0, 1), (1_000_000_000, 2), (1_000_000_001, 3)]);
        let all = when(input.batch_with(policy).map(|batch| batch.items)).await;
        assert_eq!(all, [(1_000_000_000, vec![1, 2]), (1_000_000_001, vec![3])]);
    }
}

/// The longest time after which there still is an instant.
fn farthest() -> Duration {
    let (now, mut far) = (Instant::now(), Duration::ZERO);
    let mut step = Duration::from_secs(1 << 63);
    while step > Duration::ZERO {
        match now.checked_add(far.saturating_add(step)) {
            Some(_) => far = far.saturating_add(step),
            None => step /= 2,
        }
    }
    far
}

#[tokio::test(start_paused = true)]
async fn a_late_poll_need_not_wait_for_its_timer() {
    // guarantee: B4. The clock has moved, and no timer has been told yet.
    let (tx, rx) = mpsc::unbounded();
    let mut batches = spawn(rx.batch(3, SECOND));
    tx.unbounded_send(1).unwrap();
    assert_pending!(batches.poll_next());
    let mut jump = spawn(advance(SECOND));
    assert_pending!(jump.poll());
    assert!(!batches.is_woken());
    assert_ready_eq!(batches.poll_next(), Some(vec![1]));
}

// -- idle gap --

#[tokio::test(start_paused = true)]
async fn an_idle_gap_closes_and_age_bounds_it() {
    // guarantee: B2 B6
    let input = timed([
        (0, 1),
        (90, 2),
        (180, 3),
        (1_000, 4),
        (1_099, 5),
        (1_198, 6),
        (1_290, 7),
    ]);
    let policy = BatchPolicy::items(100).idle(ms(100)).within(ms(250));
    let all = when(input.batch_with(policy).map(seen)).await;
    assert_eq!(
        all,
        [
            (250, (vec![1, 2, 3], FlushReason::Age, ms(250))), // idle at 280 only
            (1_250, (vec![4, 5, 6], FlushReason::Age, ms(250))),
            (1_290, (vec![7], FlushReason::End, ms(0))),
        ]
    );
    let input = timed([(0, 1), (99, 2), (300, 3), (9_999, 4)]);
    let policy = BatchPolicy::items(100).idle(ms(100));
    let all = when(input.batch_with(policy).map(seen)).await;
    assert_eq!(
        all,
        [
            (199, (vec![1, 2], FlushReason::Idle, ms(199))),
            (400, (vec![3], FlushReason::Idle, ms(100))),
            (9_999, (vec![4], FlushReason::End, ms(0))),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_gap_that_was_over_stays_over_for_a_late_poll() {
    // guarantee: B2
    let (tx, rx) = mpsc::unbounded();
    let mut batches = spawn(rx.batch_with(BatchPolicy::items(9).idle(SECOND)).map(seen));
    tx.unbounded_send(1).unwrap();
    assert_pending!(batches.poll_next());
    advance(ms(1_500)).await;
    tx.unbounded_send(2).unwrap();
    let expected = (vec![1, 2], FlushReason::Idle, ms(1_500));
    assert_ready_eq!(batches.poll_next(), Some(expected));
}

#[tokio::test(start_paused = true)]
async fn age_is_reported_where_it_ties_with_idleness() {
    // guarantee: B6
    let policy = BatchPolicy::items(9).idle(SECOND).within(SECOND);
    let all = when(timed([(0, 1), (5_000, 2)]).batch_with(policy).map(seen)).await;
    assert_eq!(all[0], (1_000, (vec![1], FlushReason::Age, SECOND)));
}

// -- budget --

/// Ready for ever, at the cost of a unit of the budget for each item, as a queue of tokio's.
fn costly<T>(mut next: impl FnMut() -> Option<T>) -> impl Stream<Item = T> {
    stream::poll_fn(move |cx| {
        std::task::ready!(coop::poll_proceed(cx)).made_progress();
        Poll::Ready(next())
    })
}

#[tokio::test(start_paused = true)]
async fn no_budget_is_not_idleness() {
    // guarantee: B2. A budget is 128 units, so this takes several polls.
    for policy in [
        BatchPolicy::items(1_000).idle(Duration::ZERO),
        BatchPolicy::items(1_000).within(Duration::ZERO),
    ] {
        let mut items = 0..2_500;
        let batches = costly(move || items.next()).batch_with(policy);
        let lengths: Vec<_> = batches.map(|batch| batch.len()).collect().await;
        assert_eq!(lengths, [1_000, 1_000, 500]);
    }
}

#[tokio::test(start_paused = true)]
async fn without_budget_the_task_is_woken_all_the_same() {
    // guarantee: B2. The input pends without a wake of its own, while others have spent the budget.
    let (tx, rx) = mpsc::unbounded();
    tx.unbounded_send(1).unwrap();
    let mut batches = rx.batch(9, SECOND);
    let mut polls = 0;
    let next = poll_fn(|cx| {
        polls += 1;
        while polls == 1 && coop::has_budget_remaining() {
            if let Poll::Ready(restore) = coop::poll_proceed(cx) {
                restore.made_progress();
            }
        }
        batches.poll_next_unpin(cx)
    });
    let start = Instant::now();
    assert_eq!(timeout(HOUR, next).await, Ok(Some(vec![1])));
    assert_eq!(start.elapsed(), SECOND);
}

#[tokio::test(start_paused = true)]
async fn input_that_never_pauses_keeps_no_batch_for_ever() {
    // guarantee: Q8 B2
    let clock = tokio::spawn(async {
        loop {
            advance(ms(1)).await;
        }
    });
    let mut items = 0..1_000_000;
    let input = costly(move || items.next());
    let mut batches = input.batch_with(BatchPolicy::items(usize::MAX).within(ms(50)));
    let batch = batches.next().await.unwrap();
    assert_eq!(batch.reason, FlushReason::Age);
    assert!(
        ms(100) < batch.age && batch.age < ms(110),
        "{:?}",
        batch.age
    );
    clock.abort();
}

#[tokio::test(start_paused = true)]
async fn operators_spend_no_budget() {
    // guarantee: Q8
    fn left(cx: &mut Context<'_>) -> usize {
        let mut left = 0;
        while let Poll::Ready(restore) = coop::poll_proceed(cx) {
            restore.made_progress();
            left += 1;
        }
        left
    }
    let full = tokio::spawn(poll_fn(|cx| Poll::Ready(left(cx))))
        .await
        .unwrap();
    let spent = tokio::spawn(async move {
        let (tx, rx) = mpsc::unbounded();
        let mut batches = rx.batch(2, SECOND);
        (0..1_001).for_each(|n| tx.unbounded_send(n).unwrap());
        let mut fired = false;
        poll_fn(move |cx| {
            // All full batches, and in the second poll one that a timer closes.
            while let Poll::Ready(Some(batch)) = batches.poll_next_unpin(cx) {
                fired |= batch.len() == 1;
            }
            if fired {
                Poll::Ready(left(cx))
            } else {
                Poll::Pending
            }
        })
        .await
    });
    assert_eq!(spent.await.unwrap(), full);
}
