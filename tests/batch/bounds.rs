//! Size, weight, closing items, buffers and the extremes of each.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::task::Poll;
use std::time::Duration;

use futures::channel::mpsc;
use futures::stream::{self, FusedStream, Stream, StreamExt};
use pushpull::batch::{Batch, BatchPolicy, FlushReason};
use pushpull::prelude::*;
use tokio::time::{Instant, advance, timeout};
use tokio_test::task::spawn;
use tokio_test::{assert_pending, assert_ready, assert_ready_eq};

use super::{HOUR, SECOND, ms, seen, timed, when};

// -- size, end, emptiness --

#[tokio::test(start_paused = true)]
async fn full_batches_leave_at_once_and_the_end_brings_the_rest() {
    // guarantee: B1 B2 B3
    let mut batches = stream::iter(1..=7).batch(3, SECOND);
    let start = Instant::now();
    assert_eq!(batches.next().await, Some(vec![1, 2, 3]));
    assert_eq!(batches.next().await, Some(vec![4, 5, 6]));
    assert_eq!(batches.next().await, Some(vec![7]));
    assert_eq!(batches.next().await, None);
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert!(batches.is_terminated());
    // `Iter` is not fused: it would panic or go on, had it been polled again.
    assert_eq!(batches.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn batches_of_one() {
    // guarantee: B1 B3
    let all: Vec<_> = stream::iter(1..=3).batch(1, SECOND).collect().await;
    assert_eq!(all, [[1], [2], [3]]);
}

#[tokio::test(start_paused = true)]
async fn there_is_no_empty_batch() {
    // guarantee: B1
    let none: Vec<Vec<u8>> = stream::empty().batch(3, Duration::ZERO).collect().await;
    assert!(none.is_empty());
    // Idle for long, and an end that comes just after a full batch.
    let input = timed([
        (HOUR.as_millis() as u64, 1),
        (2 * HOUR.as_millis() as u64, 2),
    ]);
    let all = when(input.batch(1, ms(1))).await;
    assert_eq!(all, [(3_600_000, vec![1]), (7_200_000, vec![2])]);
    let mut never = stream::pending::<u8>().batch(1, Duration::ZERO);
    assert!(timeout(HOUR, never.next()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn the_input_is_not_polled_after_its_end() {
    // guarantee: B3
    let mut ended = false;
    let input = stream::poll_fn(move |_| {
        assert!(!ended, "polled after its end");
        ended = true;
        Poll::Ready(None::<u8>)
    });
    let mut batches = input.batch(3, SECOND);
    for _ in 0..3 {
        assert_eq!(batches.next().await, None);
        assert_eq!(batches.size_hint(), (0, Some(0)));
    }
}

// -- weight and predicate --

#[tokio::test(start_paused = true)]
async fn the_weight_limit_is_hard() {
    // guarantee: B1 B6
    let weights = [4, 6, 1, 10, 25, 3, 8, 0, 2, 0];
    let policy = BatchPolicy::items(100).weight(10, |n: &usize| *n);
    let all: Vec<_> = stream::iter(weights)
        .batch_with(policy)
        .map(|batch| (batch.items, batch.reason))
        .collect()
        .await;
    assert_eq!(
        all,
        [
            (vec![4, 6], FlushReason::Weight), // exactly as heavy as may be: at once
            (vec![1], FlushReason::Weight),
            (vec![10], FlushReason::Weight),
            (vec![25], FlushReason::Weight), // alone heavier: alone
            (vec![3], FlushReason::Weight),
            (vec![8, 0, 2], FlushReason::Weight),
            (vec![0], FlushReason::End),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn weights_do_not_overflow() {
    // guarantee: B1
    let most = usize::MAX;
    let policy = BatchPolicy::items(most).weight(most, |n: &usize| *n);
    let input = stream::iter([most - 1, most - 1, most, 1, most]);
    let all: Vec<_> = input
        .batch_with(policy)
        .map(|batch| batch.items)
        .collect()
        .await;
    assert_eq!(
        all,
        [
            vec![most - 1],
            vec![most - 1],
            vec![most],
            vec![1],
            vec![most]
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn an_item_too_heavy_for_one_batch_starts_the_clock_of_the_next() {
    // guarantee: B2. It was taken at 500, whenever the next poll comes.
    let (tx, rx) = mpsc::unbounded();
    let policy = BatchPolicy::items(9)
        .weight(10, |n: &usize| *n)
        .within(SECOND);
    let mut batches = spawn(rx.batch_with(policy));
    tx.unbounded_send(7).unwrap();
    assert_pending!(batches.poll_next());
    advance(ms(500)).await;
    tx.unbounded_send(5).unwrap();
    let first = assert_ready!(batches.poll_next()).map(seen);
    assert_eq!(first, Some((vec![7], FlushReason::Weight, ms(500))));
    assert_eq!((batches.held(), batches.size_hint().0), (1, 1));
    advance(ms(700)).await;
    assert_pending!(batches.poll_next());
    advance(ms(300)).await;
    assert!(batches.is_woken());
    let second = assert_ready!(batches.poll_next()).map(seen);
    assert_eq!(second, Some((vec![5], FlushReason::Age, SECOND)));
}

#[tokio::test(start_paused = true)]
async fn an_item_that_says_so_is_the_last_of_its_batch() {
    // guarantee: B6
    let policy = BatchPolicy::items(3).until(|word: &&str| word.ends_with('.'));
    let input = stream::iter(["a", "b.", "c.", "d", "e", "f.", "g", "h", "i", "j"]);
    let all: Vec<_> = input
        .batch_with(policy)
        .map(|batch| (batch.items, batch.reason))
        .collect()
        .await;
    assert_eq!(
        all,
        [
            (vec!["a", "b."], FlushReason::Predicate),
            (vec!["c."], FlushReason::Predicate),
            (vec!["d", "e", "f."], FlushReason::Size), // the first reason of several
            (vec!["g", "h", "i"], FlushReason::Size),
            (vec!["j"], FlushReason::End),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn each_item_is_weighed_and_asked_about_once() {
    let asked: &'static Mutex<Vec<usize>> = Box::leak(Box::default());
    let policy = BatchPolicy::items(9)
        .weight(10, |n: &usize| {
            asked.lock().unwrap().push(*n);
            *n
        })
        .until(|n| {
            asked.lock().unwrap().push(100 + n);
            false
        });
    let all: Vec<_> = stream::iter([6, 5, 7]).batch_with(policy).collect().await;
    assert_eq!(all.len(), 3);
    assert_eq!(*asked.lock().unwrap(), [6, 106, 5, 105, 7, 107]);
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_closure_loses_nothing() {
    let asked = std::sync::atomic::AtomicUsize::new(0);
    let policy = BatchPolicy::items(3)
        .weight(100, move |n: &usize| {
            let asked = asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            assert!(asked != 1, "the second time");
            *n
        })
        .until(|n| {
            assert!(*n != 3, "three");
            false
        });
    let mut batches = spawn(stream::iter([1, 2, 3, 4]).batch_with(policy));
    assert!(catch_unwind(AssertUnwindSafe(|| batches.poll_next())).is_err()); // weighing 2
    assert_eq!(batches.held(), 2);
    assert!(catch_unwind(AssertUnwindSafe(|| batches.poll_next())).is_err()); // asking about 3
    assert!(catch_unwind(AssertUnwindSafe(|| batches.poll_next())).is_err()); // again
    assert_eq!(batches.into_inner().into_remainder(), [1, 2, 3]);
}

// -- bounds and buffers --

#[tokio::test(start_paused = true)]
async fn a_bound_beyond_reach_allocates_nothing() {
    // guarantee: B5
    let mut batches = stream::iter(0..3).batch(usize::MAX, Duration::MAX);
    assert_eq!(batches.size_hint(), (1, Some(3)));
    let all = batches.next().await.unwrap();
    assert_eq!(all, [0, 1, 2]);
    assert!(all.capacity() < 10);
    let mut batches = stream::iter(0..3).batch(1 << 40, SECOND);
    assert!(batches.next().await.unwrap().capacity() < 10);
    let units: Vec<_> = stream::iter([(); 5]).batch(3, SECOND).collect().await;
    assert_eq!(units, [vec![(); 3], vec![(); 2]]);
}

#[tokio::test(start_paused = true)]
async fn buffers_are_sized_from_the_batch_before() {
    // guarantee: B5
    let sizes = [700, 700, 2, 1, 50_000, 1];
    let input = sizes
        .into_iter()
        .flat_map(|n| (1..=n).map(move |item| (item, item == n)));
    let policy = BatchPolicy::items(usize::MAX).until(|(_, last): &(usize, bool)| *last);
    let all: Vec<_> = stream::iter(input).batch_with(policy).collect().await;
    let capacities: Vec<_> = all.iter().map(|batch| batch.items.capacity()).collect();
    assert_eq!(all.iter().map(Batch::len).collect::<Vec<_>>(), sizes);
    assert_eq!(capacities[1..4], [700, 700, 2]); // and no more than needed from then on
    assert_eq!(capacities[5], 16_384); // 256 KiB
}

#[test]
fn no_timer_is_made_while_input_is_ready() {
    // guarantee: B5. There is no runtime here to make one in.
    let all: Vec<_> = futures::executor::block_on(stream::iter(0..5).batch(2, SECOND).collect());
    assert_eq!(all, [vec![0, 1], vec![2, 3], vec![4]]);
    // Nor is there for a time that will not come.
    for far in [Duration::MAX, Duration::from_secs(30 * 365 * 86_400)] {
        let (tx, rx) = mpsc::unbounded();
        let policy = BatchPolicy::items(2).within(far).idle(far);
        let mut batches = spawn(rx.batch_with(policy).map(|batch| batch.items));
        tx.unbounded_send(1).unwrap();
        assert_pending!(batches.poll_next());
        tx.unbounded_send(2).unwrap();
        assert_ready_eq!(batches.poll_next(), Some(vec![1, 2]));
    }
}

#[test]
fn bounds_of_zero_panic_where_they_are_given() {
    thread_local! {
        static PLACE: Cell<Option<&'static str>> = const { Cell::new(None) };
    }
    fn place(f: impl FnOnce()) -> &'static str {
        assert!(catch_unwind(AssertUnwindSafe(f)).is_err());
        PLACE.take().unwrap()
    }
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        PLACE.set(info.location().map(|at| &*at.file().to_owned().leak()));
        hook(info);
    }));
    let (tx, _rx) = mpsc::unbounded::<Vec<u8>>();
    assert_eq!(place(|| drop(BatchPolicy::<u8>::items(0))), file!());
    assert_eq!(
        place(|| drop(BatchPolicy::items(1).weight(0, |_: &u8| 1))),
        file!()
    );
    assert_eq!(place(|| drop(stream::iter([1]).batch(0, SECOND))), file!());
    assert_eq!(
        place(|| drop(stream::iter([Ok::<_, u8>(1)]).try_batch(0, SECOND))),
        file!()
    );
    assert_eq!(place(|| drop(tx.sink_batch(0, SECOND))), file!());
}
