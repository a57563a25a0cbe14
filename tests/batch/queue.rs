//! Batches of what a queue holds.

use std::time::Duration;

use futures::{Stream, StreamExt};
use pushpull::batch::{BatchPolicy, Batched, FlushReason};
use pushpull::prelude::*;
use pushpull::queue::{self, Consumer};
use tokio::time::{Instant, advance, sleep};
use tokio_test::task::spawn;
use tokio_test::{assert_pending, assert_ready, assert_ready_eq};

use super::{HOUR, SECOND, ms, seen, when};

#[tokio::test(start_paused = true)]
async fn batches_of_a_queue() {
    // guarantee: B1 B2 B3 B6
    let (tx, rx) = queue::bounded(10);
    tokio::spawn(async move {
        for n in 0..25 {
            tx.push(n).await.unwrap();
            if n >= 20 {
                sleep(ms(300)).await;
            }
        }
    });
    let all = when(
        rx.batch_with(BatchPolicy::items(8).within(SECOND))
            .map(seen),
    )
    .await;
    assert_eq!(
        all,
        [
            (0, ((0..8).collect(), FlushReason::Size, ms(0))),
            (0, ((8..16).collect(), FlushReason::Size, ms(0))),
            (900, ((16..24).collect(), FlushReason::Size, ms(900))),
            (1_500, (vec![24], FlushReason::End, ms(300))),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_batch_may_be_longer_than_its_queue() {
    // guarantee: B1 Q1
    let (tx, rx) = queue::bounded(3);
    tokio::spawn(async move {
        for n in 0..250 {
            tx.push(n).await.unwrap();
        }
    });
    let lengths: Vec<_> = rx.batch(100, HOUR).map(|batch| batch.len()).collect().await;
    assert_eq!(lengths, [100, 100, 50]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_taken_beyond_a_plain_batch() {
    // guarantee: B7
    let (tx, rx) = queue::bounded(10);
    (0..10).for_each(|n| tx.try_push(n).unwrap());
    let mut batches = rx.batch(4, SECOND);
    assert_eq!(batches.next().await, Some(vec![0, 1, 2, 3]));
    assert_eq!((tx.len(), batches.held()), (6, 0));
    assert_eq!(batches.get_ref().try_pull(), Ok(4));
}

#[tokio::test(start_paused = true)]
async fn what_a_run_left_belongs_to_the_operator() {
    // guarantee: B7 B3
    let (tx, rx) = queue::bounded(10);
    (1..=9).for_each(|n| tx.try_push(n).unwrap());
    let mut batches = rx.batch_with(BatchPolicy::items(9).until(|n| *n == 3).within(SECOND));
    assert_eq!(
        batches.next().await.map(|batch| batch.items),
        Some(vec![1, 2, 3])
    );
    assert_eq!((tx.len(), batches.held()), (0, 6));
    assert_eq!(batches.size_hint().0, 1);
    // Its time runs from when it was taken.
    advance(ms(600)).await;
    let start = Instant::now();
    let second = batches.next().await.map(seen);
    assert_eq!(
        second,
        Some((vec![4, 5, 6, 7, 8, 9], FlushReason::Age, SECOND))
    );
    assert_eq!(start.elapsed(), ms(400));

    (1..=5).for_each(|n| tx.try_push(n).unwrap());
    assert!(batches.next().await.is_some());
    let (rx, held) = batches.into_parts();
    assert_eq!(held, [4, 5]);
    assert_eq!(rx.stats().pulled, rx.stats().pushed);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_queue_brings_what_runs_left() {
    // guarantee: B3 B7
    let (tx, rx) = queue::bounded(10);
    (1..=6).for_each(|n| tx.try_push(n).unwrap());
    tx.close();
    let batches = rx.batch_with(BatchPolicy::items(9).weight(5, |n| *n));
    let all: Vec<_> = batches
        .map(|batch| (batch.items, batch.reason))
        .collect()
        .await;
    let weight = FlushReason::Weight;
    assert_eq!(
        all,
        [
            (vec![1, 2], weight),
            (vec![3], weight),
            (vec![4], weight),
            (vec![5], weight),
            (vec![6], weight)
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_late_poll_takes_what_is_queued() {
    // guarantee: B2 B4
    let (tx, rx) = queue::bounded(10);
    let mut batches = spawn(rx.batch(3, SECOND));
    tx.try_push(1).unwrap();
    assert_pending!(batches.poll_next());
    advance(HOUR).await;
    (2..=5).for_each(|n| tx.try_push(n).unwrap());
    assert_ready_eq!(batches.poll_next(), Some(vec![1, 2, 3]));
    assert_pending!(batches.poll_next()); // 4 and 5 are as old as this poll
    advance(SECOND).await;
    assert!(batches.is_woken());
    assert_ready_eq!(batches.poll_next(), Some(vec![4, 5]));
}

#[tokio::test(start_paused = true)]
async fn a_batch_of_a_competing_consumer_lets_others_pull() {
    // guarantee: Q7. What it waits for goes to who is there.
    let (tx, rx) = queue::bounded(10);
    let other = rx.clone();
    let mut batches = spawn(rx.batch(3, SECOND));
    let mut pull = spawn(other.pull());
    assert_pending!(batches.poll_next());
    assert_pending!(pull.poll());
    tx.try_push(1).unwrap();
    assert!(batches.is_woken() && !pull.is_woken()); // it came first
    assert_pending!(batches.poll_next());
    tx.try_push(2).unwrap();
    assert_eq!(assert_ready!(pull.poll()), Some(2));
    tx.try_push(3).unwrap();
    drop(batches); // with the item that it held; the next is passed on
    assert_eq!(other.pull().await, Some(3));
}

#[test]
fn one_name_for_both_ways() {
    // A field of this type holds either.
    struct Held(Batched<Consumer<u8>>);
    let (_tx, rx) = queue::bounded(1);
    let by_item = Held(PullExt::batch(rx.clone(), 2, SECOND));
    let by_run = Held(rx.batch(2, Duration::MAX));
    assert_eq!(by_item.0.held() + by_run.0.held(), 0);
    let (_, none) = by_run.0.into_parts();
    assert!(none.is_empty());
}
