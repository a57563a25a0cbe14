//! Operators and the broadcast.
//!
//! guarantee: T8

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use futures::{SinkExt, Stream, StreamExt, stream};
use pushpull::batch::BatchPolicy;
use pushpull::broadcast::{self, Lagged, Lossy};
use pushpull::prelude::*;
use pushpull::push::{self, SendTimeoutError};
use pushpull::queue;

const LARGE: [usize; 3] = [1 << 40, usize::MAX - 1, usize::MAX];
const TIMES: [Duration; 4] = [
    Duration::ZERO,
    Duration::from_nanos(1),
    Duration::from_secs(1),
    Duration::MAX,
];

/// The message of the panic that this must end with.
#[track_caller]
fn panic_of<R>(run: impl FnOnce() -> R) -> String {
    let Err(payload) = catch_unwind(AssertUnwindSafe(run)) else {
        panic!("it did not panic")
    };
    match (
        payload.downcast_ref::<String>(),
        payload.downcast_ref::<&str>(),
    ) {
        (Some(text), _) => text.clone(),
        (None, Some(text)) => (*text).to_owned(),
        (None, None) => panic!("a panic without a message"),
    }
}

/// A hundred items, one a millisecond.
fn trickle() -> impl Stream<Item = u32> {
    stream::unfold(0, |n| async move {
        tokio::time::sleep(Duration::from_millis(1)).await;
        (n < 100).then_some((n, n + 1))
    })
}

#[test]
fn bounds_of_zero_panic_with_their_name() {
    let empty = || stream::empty::<u32>();
    for text in [
        panic_of(|| empty().batch(0, Duration::MAX)),
        panic_of(|| empty().map(Ok::<_, ()>).try_batch(0, Duration::MAX)),
        panic_of(|| BatchPolicy::<u32>::items(0)),
        panic_of(|| BatchPolicy::<u32>::items(1).weight(0, |_| 1)),
        panic_of(|| futures::sink::drain::<Vec<u32>>().sink_batch::<u32>(0, Duration::MAX)),
        panic_of(|| broadcast::channel::<u32>(0)),
        panic_of(|| broadcast::builder::<u32>().capacity(0)),
        panic_of(|| broadcast::builder::<u32>().capacity(3).replay(4).build()),
        panic_of(|| empty().broadcast(0)),
    ] {
        assert!(text.len() > 10, "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn batches_of_every_size_and_time_keep_every_item() {
    // guarantee: B1, B5
    for max in [1, 2].into_iter().chain(LARGE) {
        for within in TIMES {
            let batches: Vec<Vec<u32>> = trickle().batch(max, within).collect().await;
            assert!(
                batches
                    .iter()
                    .all(|batch| !batch.is_empty() && batch.len() <= max)
            );
            assert!(
                batches.iter().flatten().copied().eq(0..100),
                "{max} {within:?}"
            );

            let policy = BatchPolicy::items(max)
                .weight(max, |_| 1)
                .within(within)
                .idle(within);
            let batches: Vec<_> = trickle().batch_with(policy).collect().await;
            assert!(
                batches
                    .iter()
                    .flat_map(|batch| batch.items.iter().copied())
                    .eq(0..100)
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_without_a_bound_takes_what_its_items_need() {
    // guarantee: B5
    let mut batches = stream::iter(0..3).batch(usize::MAX, Duration::MAX);
    let batch = batches.next().await.unwrap_or_default();
    assert!(
        batch.len() == 3 && batch.capacity() < 1_000,
        "{}",
        batch.capacity()
    );
}

#[tokio::test(start_paused = true)]
async fn weights_at_the_brink_of_overflow() {
    // guarantee: B1
    let policy = BatchPolicy::items(10).weight(usize::MAX, |weight: &usize| *weight);
    let weights = [usize::MAX - 1, 1, 1, usize::MAX, 0, 5];
    let batches: Vec<_> = stream::iter(weights)
        .batch_with(policy)
        .map(|batch| batch.items)
        .collect()
        .await;
    // A batch that has reached its bound leaves at once, so the last two are not with the heaviest.
    let expected = [
        vec![usize::MAX - 1, 1],
        vec![1],
        vec![usize::MAX],
        vec![0, 5],
    ];
    assert_eq!(batches, expected);
}

#[tokio::test(start_paused = true)]
async fn items_of_no_size() {
    let batches: Vec<Vec<()>> = stream::iter([(); 10])
        .batch(4, Duration::MAX)
        .collect()
        .await;
    assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [4, 4, 2]);

    let publisher = broadcast::channel::<()>(usize::MAX);
    let mut subscriber = publisher.subscribe();
    for _ in 0..10_000 {
        assert_eq!(publisher.try_publish(()), Ok(1));
    }
    let mut all = Vec::new();
    assert_eq!(subscriber.pull_many(&mut all, usize::MAX).await, 10_000);
}

#[tokio::test(start_paused = true)]
async fn broadcasts_of_every_capacity() {
    // guarantee: C3
    for capacity in [1, 2].into_iter().chain(LARGE) {
        let publisher = broadcast::builder()
            .capacity(capacity)
            .replay(capacity)
            .build();
        let mut lossless = publisher.subscribe();
        let mut lossy = publisher.subscribe_lossy(Lossy::DropOldest);
        let held = capacity.min(5);
        for value in 0..held {
            assert_eq!(publisher.try_publish(value), Ok(2));
        }
        assert_eq!(publisher.try_publish(9).is_ok(), held < capacity);
        let mut newcomer = publisher.subscribe();
        assert_eq!(newcomer.try_pull(), Ok(0), "replayed");
        assert_eq!(lossless.try_pull(), Ok(0));
        assert_eq!(lossy.try_pull(), Ok(Ok(0)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_lossy_subscriber_over_one_slot() {
    // guarantee: C1
    let publisher = broadcast::channel(1);
    let mut lossy = publisher.subscribe_lossy(Lossy::DropOldest);
    for value in 0..1_000 {
        assert_eq!(publisher.try_publish(value), Ok(1));
    }
    assert!(matches!(
        lossy.next().await,
        Some(Err(Lagged { missed: 999, .. }))
    ));
    assert_eq!(lossy.next().await, Some(Ok(999)));
}

#[tokio::test(start_paused = true)]
async fn items_of_a_mebibyte() {
    let block = |value: u8| vec![value; 1 << 20];
    let publisher = broadcast::channel(2);
    let hub = stream::iter((0..8).map(block))
        .batch(3, Duration::MAX)
        .broadcast(2);
    let sizes: Vec<_> = hub
        .subscribe()
        .map(|batch| batch.concat().len())
        .collect()
        .await;
    assert_eq!(sizes, [3 << 20, 3 << 20, 2 << 20]);
    let mut subscriber = publisher.subscribe();
    assert_eq!(publisher.publish(block(7)).await, Ok(1));
    assert!(subscriber.next().await == Some(block(7)));
}

#[tokio::test(start_paused = true)]
async fn silences_of_nothing_and_of_for_ever() {
    let seen: Vec<_> = trickle()
        .item_timeout(Duration::MAX)
        .map(Result::ok)
        .collect()
        .await;
    assert!(seen.into_iter().eq((0..100).map(Some)));

    // A silence of nothing has passed at once, again and again: it is for whoever polls at times of their own.
    let mut items = Box::pin(trickle().item_timeout(Duration::ZERO));
    for value in 0..100 {
        assert!(matches!(items.next().await, Some(Err(_))));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(items.next().await.and_then(Result::ok), Some(value));
    }
}

#[tokio::test(start_paused = true)]
async fn sends_within_nothing_and_for_ever() {
    let (mut tx, rx) = queue::bounded(1);
    assert_eq!(tx.send_timeout(1, Duration::ZERO).await, Ok(()));
    let full = tx.send_timeout(2, Duration::ZERO).await;
    assert_eq!(full.map_err(SendTimeoutError::into_item), Err(Some(2)));
    let puller = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(86_400)).await;
        assert_eq!(rx.pull().await, Some(1));
        rx.pull().await
    });
    assert_eq!(tx.send_timeout(3, Duration::MAX).await, Ok(()));
    assert_eq!(puller.await.ok(), Some(Some(3)));
}

#[tokio::test(start_paused = true)]
async fn functions_one_at_a_time_and_all_at_once() {
    assert!(
        panic_of(|| push::each(|_: u32| async { Ok::<_, ()>(()) }).concurrency(0)).contains("1")
    );
    for concurrency in [1, usize::MAX] {
        let begun = tokio::time::Instant::now();
        let sink = push::each(|_: u32| async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok::<_, ()>(())
        });
        let pump = stream::iter(0..100).pump_into(sink.concurrency(concurrency));
        assert_eq!(pump.await.map(|pumped| pumped.items), Ok(100));
        let seconds = if concurrency == 1 { 100 } else { 1 };
        assert_eq!(begun.elapsed().as_secs(), seconds);
    }
}

#[tokio::test(start_paused = true)]
async fn a_fan_out_to_nobody_and_to_a_thousand() {
    let nobody: [futures::channel::mpsc::UnboundedSender<u32>; 0] = [];
    let mut none = push::fan_out::<u32, _>(nobody);
    assert!(none.is_empty());
    let sent = none.send(1).await;
    assert!(sent.is_err() || sent.is_ok(), "it neither hangs nor panics");
    let (legs, ends): (Vec<_>, Vec<_>) = (0..1_000).map(|_| queue::bounded(4)).unzip();
    assert!(
        stream::iter(0..4)
            .pump_into(push::fan_out(legs))
            .await
            .is_ok()
    );
    assert!(ends.iter().all(|end| end.len() == 4));
}
