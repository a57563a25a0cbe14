//! Errors, what is held and given back, and what the types promise.

use std::convert::Infallible;
use std::pin::{Pin, pin};

use futures::channel::mpsc::{self, UnboundedSender};
use futures::stream::{self, FusedStream, Stream, StreamExt};
use pushpull::batch::{Batch, BatchPolicy, Batched, Detailed, FlushReason, SinkBatch, TryBatched};
use pushpull::prelude::*;
use tokio::time::{Instant, timeout};
use tokio_test::assert_pending;
use tokio_test::task::spawn;

use super::{HOUR, SECOND, ms, timed, when};

// -- errors --

#[tokio::test(start_paused = true)]
async fn what_came_before_an_error_comes_before_it() {
    // guarantee: B3 B6
    let input = [
        Ok(1),
        Ok(2),
        Err("x"),
        Err("y"),
        Ok(3),
        Ok(4),
        Ok(5),
        Ok(6),
        Err("z"),
    ];
    let all: Vec<_> = stream::iter(input).try_batch(3, SECOND).collect().await;
    assert_eq!(
        all,
        [
            Ok(vec![1, 2]),
            Err("x"),
            Err("y"),
            Ok(vec![3, 4, 5]),
            Ok(vec![6]),
            Err("z")
        ]
    );
    let all: Vec<_> = stream::iter(input)
        .try_batch_with(BatchPolicy::items(3))
        .map(|batch| batch.map(|batch| batch.reason))
        .collect()
        .await;
    assert_eq!(all[0], Ok(FlushReason::Error));
    assert_eq!(all[3], Ok(FlushReason::Size));
    assert_eq!(all[4], Ok(FlushReason::Error));
}

#[tokio::test(start_paused = true)]
async fn errors_leave_the_clock_of_the_next_batch_alone() {
    // guarantee: B2 B3
    let input = timed([(0, Ok(1)), (600, Err("x")), (700, Ok(2)), (5_000, Ok(3))]);
    let all = when(input.try_batch(9, SECOND)).await;
    assert_eq!(
        all,
        [
            (600, Ok(vec![1])),
            (600, Err("x")),
            (1_700, Ok(vec![2])),
            (5_000, Ok(vec![3]))
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn an_error_that_waits_is_given_back() {
    // guarantee: B3
    let input = stream::iter([Ok(1), Err("x"), Ok(2)]);
    let mut batches = input.try_batch(3, SECOND);
    assert_eq!(batches.next().await, Some(Ok(vec![1])));
    assert_eq!((batches.size_hint(), batches.held()), ((2, Some(2)), 0));
    assert!(!batches.is_terminated());
    let (mut input, held) = batches.into_parts();
    assert_eq!(held, [Err("x")]);
    assert_eq!(input.next().await, Some(Ok(2)));
}

// -- what is held --

#[tokio::test(start_paused = true)]
async fn what_is_held_is_given_back() {
    // guarantee: B3
    let (tx, rx) = mpsc::unbounded();
    let mut batches = spawn(rx.batch(9, SECOND));
    (1..=3).for_each(|n| tx.unbounded_send(n).unwrap());
    assert_pending!(batches.poll_next());
    let batches = batches.into_inner();
    assert_eq!(batches.held(), 3);
    let (rx, held) = batches.into_parts();
    assert_eq!(held, [1, 2, 3]);
    tx.unbounded_send(4).unwrap();
    drop(tx);

    // Pinned, it can be emptied and used on.
    let mut batches = Box::pin(rx.batch(9, SECOND));
    assert!(batches.as_mut().take_remainder().is_empty());
    assert_eq!(batches.next().await, Some(vec![4]));
    assert!(batches.is_terminated());

    let mut batches = stream::iter([1, 2])
        .chain(stream::pending())
        .batch(9, SECOND);
    assert!(timeout(ms(10), batches.next()).await.is_err());
    assert_eq!(Pin::new(&mut batches).take_remainder(), [1, 2]);
    assert!(timeout(HOUR, batches.next()).await.is_err()); // its clock went with them
}

#[tokio::test(start_paused = true)]
async fn a_dropped_next_loses_nothing() {
    // guarantee: B3
    let input = timed([(0, 1), (400, 2), (2_000, 3)]);
    let mut batches = pin!(input.batch(9, SECOND));
    for _ in 0..9 {
        assert!(timeout(ms(100), batches.next()).await.is_err());
    }
    let start = Instant::now();
    assert_eq!(batches.next().await, Some(vec![1, 2]));
    assert_eq!(start.elapsed(), ms(100)); // the clock ran on
}

#[test]
fn hints_count_what_is_held() {
    let (tx, rx) = mpsc::unbounded();
    let policy = BatchPolicy::items(4).weight(10, |n: &usize| *n);
    let mut batches = spawn(rx.chain(stream::iter([1; 9])).batch_with(policy));
    tx.unbounded_send(9).unwrap();
    assert_pending!(batches.poll_next());
    assert_eq!(batches.size_hint(), (3, None)); // 10 items, 4 at most in each
    assert!(!batches.is_terminated());
    drop(tx);
    let mut batches = batches.into_inner();
    let mut left = vec![];
    while let Some(batch) = futures::executor::block_on(batches.next()) {
        left.push((batch.items.len(), batches.size_hint()));
    }
    assert_eq!(
        left,
        [(2, (2, Some(8))), (4, (1, Some(4))), (4, (0, Some(0)))]
    );
}

#[test]
fn names_for_struct_fields() {
    struct Held<S: Stream<Item = Result<u8, Infallible>>, T> {
        _plain: Option<Batched<S>>,
        _detailed: Option<Batched<S, Detailed>>,
        _fallible: Option<TryBatched<S>>,
        _boxed: Option<Batched<Pin<Box<dyn Stream<Item = u8> + Send + Sync>>>>,
        _sink: Option<SinkBatch<UnboundedSender<Vec<T>>, T>>,
        _sink_detailed: Option<SinkBatch<UnboundedSender<Batch<T>>, T, Detailed>>,
    }
    fn thread_safe<T: Send + Sync + Unpin>() {}
    type Input = stream::Empty<Result<u8, Infallible>>;
    thread_safe::<Held<Input, u8>>();
    thread_safe::<BatchPolicy<u8>>();
    let policy = BatchPolicy::items(2)
        .until(|_: &u8| true)
        .within(SECOND)
        .clone();
    let text = format!("{:?}", stream::empty::<u8>().batch_with(policy));
    assert!(
        text.starts_with("Batched(") && text.contains("until: true"),
        "{text}"
    );
}

#[test]
fn batches_are_handy() {
    let mut batches = stream::iter([1, 2]).batch_with(BatchPolicy::items(2));
    let batch = futures::executor::block_on(batches.next()).unwrap();
    assert_eq!((batch.len(), batch.is_empty()), (2, false));
    assert_eq!(batch.iter().sum::<i32>(), (&batch).into_iter().sum::<i32>());
    assert_eq!(batch.clone().into_iter().collect::<Vec<_>>(), batch.items);
    let reasons = [
        FlushReason::Size,
        FlushReason::Weight,
        FlushReason::Age,
        FlushReason::Idle,
        FlushReason::Predicate,
        FlushReason::End,
        FlushReason::Error,
        FlushReason::Flush,
    ];
    assert!(reasons.is_sorted());
    let words = reasons.map(|reason| reason.to_string()).join(" ");
    assert_eq!(words, "size weight age idle predicate end error flush");
    assert_eq!(format!("{:>6}", FlushReason::End), "   end");
}

#[tokio::test(start_paused = true)]
async fn batches_in_a_task_and_behind_a_type_parameter() {
    async fn lengths<S: Stream<Item = u64> + Send + 'static>(input: S) -> Vec<usize> {
        let batches = input.batch(10, SECOND).map(|batch| batch.len());
        tokio::spawn(batches.collect()).await.unwrap()
    }
    assert_eq!(lengths(timed((0..15).map(|n| (n * 10, n)))).await, [10, 5]);
    let boxed: Pin<Box<dyn Stream<Item = u64> + Send>> = Box::pin(stream::iter(0..15));
    assert_eq!(lengths(boxed).await, [10, 5]);
}
