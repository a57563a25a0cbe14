//! Publishers and the subscribers they wait for.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use futures::stream::FusedStream;
use futures::{Stream, StreamExt};
use futures_test::task::new_count_waker;
use pushpull::batch::{BatchPolicy, FlushReason};
use pushpull::broadcast::{self, Publisher};
use pushpull::queue::{PullError, PushError};
use tokio::time::Instant;

use super::*;

// guarantee: C1
#[tokio::test(start_paused = true)]
async fn everybody_sees_everything_since_it_subscribed_in_one_order() {
    let publisher = broadcast::channel(8);
    let early = publisher.subscribe();
    assert_eq!(publisher.publish(1).await, Ok(1));
    let late = publisher.subscribe();
    assert_eq!(publisher.subscriber_count(), 2);
    assert_eq!(publisher.publish(2).await, Ok(2));
    assert_eq!(publisher.clone().publish(3).await, Ok(2));
    drop(publisher);
    assert_eq!(early.collect::<Vec<_>>().await, [1, 2, 3]);
    assert_eq!(late.collect::<Vec<_>>().await, [2, 3]);
}

// guarantee: C2, C3
#[test]
fn the_slowest_bounds_the_publisher_exactly() {
    for capacity in [1, 2, 3, 5, 6, 100] {
        let publisher = broadcast::channel(capacity);
        let (mut slow, mut quick) = (publisher.subscribe(), publisher.subscribe());
        assert_eq!(publisher.capacity(), capacity);
        for n in 0..capacity {
            assert_eq!(publisher.try_publish(n), Ok(2), "{n} of {capacity}");
        }
        assert_eq!(publisher.try_publish(0), Err(PushError::Full(0)));
        assert_eq!(quick.try_pull(), Ok(0));
        assert_eq!(
            publisher.try_publish(0),
            Err(PushError::Full(0)),
            "the slow one has not read"
        );
        assert_eq!(slow.try_pull(), Ok(0));
        assert_eq!(publisher.try_publish(capacity), Ok(2));
        assert_eq!(
            publisher.try_publish(0),
            Err(PushError::Full(0)),
            "one read, one more"
        );
        assert_eq!(publisher.stats().peak_len, capacity);
        assert!(rest(&mut slow).into_iter().eq(1..=capacity));
        assert!(rest(&mut quick).into_iter().eq(1..=capacity));
        assert_eq!(publisher.stats().len, 0);
    }
}

// guarantee: C4
#[tokio::test(start_paused = true)]
async fn without_subscribers_publishing_succeeds_at_once_and_is_counted() {
    let publisher = broadcast::channel(1);
    for n in 0..10 {
        assert_eq!(
            poll(&mut Box::pin(publisher.publish(n))),
            Poll::Ready(Ok(0))
        );
        assert_eq!(publisher.try_publish(n), Ok(0));
    }
    let stats = publisher.stats();
    assert_eq!(
        (stats.published, stats.sent, stats.len, stats.peak_len),
        (20, 0, 0, 0)
    );
    assert_eq!(publisher.subscribe().try_pull(), Err(PullError::Empty));
}

// guarantee: C2
#[test]
fn publishers_that_wait_are_served_in_order() {
    let publisher = broadcast::channel(2);
    let mut subscriber = publisher.subscribe();
    for n in [0, 1] {
        assert_eq!(publisher.try_publish(n), Ok(1));
    }
    let mut waiting: Vec<_> = (2..6).map(|n| Box::pin(publisher.publish(n))).collect();
    for publish in waiting.iter_mut().rev() {
        assert!(poll(publish).is_pending());
    }
    assert_eq!(publisher.stats().waiting_publishers, 4);
    assert_eq!(subscriber.try_pull(), Ok(0));
    // The last one was polled first, and so is first in line; a newcomer finds it full.
    assert_eq!(publisher.try_publish(9), Err(PushError::Full(9)));
    for (n, publish) in waiting.iter_mut().enumerate() {
        assert_eq!(poll(publish).is_ready(), n == 3);
    }
    assert_eq!(rest(&mut subscriber), [1, 5, 4, 3, 2]);
    for publish in &mut waiting[..3] {
        assert_eq!(poll(publish), Poll::Ready(Ok(1)));
    }
}

// guarantee: C2
#[tokio::test(start_paused = true)]
async fn a_slow_subscriber_that_leaves_frees_the_publishers() {
    let publisher = broadcast::channel(1);
    let slow = publisher.subscribe();
    let mut other = publisher.subscribe();
    assert_eq!(publisher.publish(1).await, Ok(2));
    assert_eq!(other.try_pull(), Ok(1));
    let (waker, woken) = new_count_waker();
    let mut publish = Box::pin(publisher.publish(2));
    assert!(poll_with(&mut publish, &waker).is_pending());
    drop(slow);
    assert_eq!(woken.get(), 1);
    assert_eq!(poll(&mut publish), Poll::Ready(Ok(1)));
    assert_eq!(other.try_pull(), Ok(2));
    assert_eq!(publisher.stats().abandoned, 1);
}

/// Counts how often it was cloned.
#[derive(Debug)]
struct Counted(u32, Arc<AtomicUsize>);

impl Clone for Counted {
    fn clone(&self) -> Self {
        self.1.fetch_add(1, Relaxed);
        Self(self.0, Arc::clone(&self.1))
    }
}

// guarantee: C5
#[tokio::test(start_paused = true)]
async fn the_last_one_to_read_gets_it_moved() {
    for subscribers in [1, 2, 5] {
        let clones = Arc::new(AtomicUsize::new(0));
        let publisher = broadcast::channel(8);
        let mut reading: Vec<_> = (0..subscribers).map(|_| publisher.subscribe()).collect();
        for n in 0..6 {
            publisher
                .publish(Counted(n, Arc::clone(&clones)))
                .await
                .unwrap();
        }
        for subscriber in &mut reading {
            assert_eq!(subscriber.next().await.unwrap().0, 0);
            assert_eq!(subscriber.try_pull().unwrap().0, 1);
            let mut run = Vec::new();
            assert_eq!(subscriber.pull_many(&mut run, 8).await, 4);
            assert!(run.iter().map(|value| value.0).eq(2..6));
        }
        assert_eq!(clones.load(Relaxed), 6 * (subscribers - 1));
    }
}

// guarantee: Q6
#[test]
fn a_clone_may_use_the_broadcast() {
    struct Nosy(Option<Publisher<Self>>);
    impl Clone for Nosy {
        fn clone(&self) -> Self {
            let publisher = self.0.as_ref().unwrap();
            assert_eq!(publisher.stats().subscribers, 2);
            assert!(matches!(publisher.try_publish(Self(None)), Ok(2)));
            Self(None)
        }
    }
    let publisher = broadcast::channel(4);
    let (mut one, mut two) = (publisher.subscribe(), publisher.subscribe());
    assert!(publisher.try_publish(Nosy(Some(publisher.clone()))).is_ok());
    assert!(one.try_pull().is_ok());
    assert!(two.try_pull().is_ok(), "moved");
    assert_eq!((one.len(), two.len()), (1, 1));
}

// guarantee: Q7
#[test]
fn a_value_wakes_those_who_wait_for_it_once_and_nobody_else() {
    let publisher = broadcast::channel(4);
    let mut waiting: Vec<_> = (0..5)
        .map(|_| (publisher.subscribe(), new_count_waker()))
        .collect();
    for (subscriber, (waker, _)) in &mut waiting {
        for _ in 0..2 {
            assert!(
                subscriber
                    .poll_next_unpin(&mut Context::from_waker(waker))
                    .is_pending()
            );
        }
    }
    assert_eq!(publisher.stats().waiting_subscribers, 5);
    assert_eq!(
        publisher.stats().subscriber_waits,
        5,
        "polls during one wait count as one"
    );
    for n in 0..3 {
        assert_eq!(publisher.try_publish(n), Ok(5));
    }
    for (subscriber, (_, woken)) in &mut waiting {
        assert_eq!(woken.get(), 1);
        assert_eq!(rest(subscriber), [0, 1, 2]);
    }
    assert_eq!(publisher.try_publish(3), Ok(5));
    assert!(
        waiting.iter().all(|(_, (_, woken))| woken.get() == 1),
        "nobody sleeps"
    );
}

// guarantee: Q8
#[tokio::test(start_paused = true)]
async fn neither_side_starves_its_neighbours() {
    let publisher = broadcast::channel(100_000);
    let mut subscriber = publisher.subscribe();
    let ticks = Arc::new(AtomicUsize::new(0));
    let ticking = tokio::spawn({
        let ticks = Arc::clone(&ticks);
        async move {
            loop {
                ticks.fetch_add(1, Relaxed);
                tokio::task::yield_now().await;
            }
        }
    });
    // One unit of the 128 that a task has buys at most 16 operations.
    for n in 0..100_000 {
        publisher.publish(n).await.unwrap();
    }
    let while_publishing = ticks.swap(0, Relaxed);
    assert!(while_publishing >= 100_000 / 128 / 16, "{while_publishing}");
    for n in 0..95_000 {
        assert_eq!(subscriber.next().await, Some(n));
    }
    let while_reading = ticks.swap(0, Relaxed);
    assert!(while_reading >= 95_000 / 128 / 16, "{while_reading}");
    // A run costs one unit, however long it is.
    let mut run = Vec::new();
    assert_eq!(subscriber.pull_many(&mut run, usize::MAX).await, 5_000);
    assert!(ticks.load(Relaxed) <= 1);
    ticking.abort();
}

// guarantee: Q4
#[test]
fn a_forgotten_publish_holds_nobody_up() {
    let publisher = broadcast::channel(1);
    let mut subscriber = publisher.subscribe();
    assert_eq!(publisher.try_publish(1), Ok(1));
    let mut forgotten = Box::pin(publisher.publish(2));
    assert!(poll(&mut forgotten).is_pending());
    std::mem::forget(forgotten);
    let (waker, woken) = new_count_waker();
    let mut publish = Box::pin(publisher.publish(3));
    assert!(poll_with(&mut publish, &waker).is_pending());
    assert_eq!(subscriber.try_pull(), Ok(1));
    assert_eq!(
        subscriber.try_pull(),
        Ok(2),
        "it was in line, and its turn has come"
    );
    assert_eq!(woken.get(), 1);
    assert_eq!(poll(&mut publish), Poll::Ready(Ok(1)));
    assert_eq!(subscriber.try_pull(), Ok(3));
}

// guarantee: Q11
#[tokio::test(start_paused = true)]
async fn the_hint_is_exact_and_the_end_is_for_ever() {
    let publisher = broadcast::channel(4);
    let mut subscriber = publisher.subscribe();
    assert!(subscriber.is_empty());
    for n in 0..3 {
        publisher.publish(n).await.unwrap();
    }
    assert_eq!((subscriber.len(), subscriber.size_hint()), (3, (3, None)));
    assert!(!subscriber.is_closed());
    drop(publisher);
    assert!(subscriber.is_closed());
    assert_eq!(subscriber.size_hint(), (3, Some(3)));
    assert_eq!(
        subscriber.by_ref().take(3).collect::<Vec<_>>().await,
        [0, 1, 2]
    );
    assert!(!subscriber.is_terminated());
    for _ in 0..3 {
        assert_eq!(subscriber.next().await, None);
        assert_eq!(subscriber.pull().await, None);
        assert_eq!(subscriber.pull_many(&mut Vec::new(), 1).await, 0);
        assert_eq!(subscriber.try_pull(), Err(PullError::Closed));
    }
    assert!(subscriber.is_terminated());
    assert_eq!(subscriber.size_hint(), (0, Some(0)));
}

// guarantee: C1
#[test]
fn resubscribing_begins_anew() {
    let publisher = broadcast::channel(4);
    let mut first = publisher.subscribe();
    assert_eq!(publisher.try_publish(1), Ok(1));
    let mut second = first.resubscribe();
    assert_eq!(publisher.try_publish(2), Ok(2));
    assert_eq!((rest(&mut first), rest(&mut second)), (vec![1, 2], vec![2]));
}

#[tokio::test(start_paused = true)]
async fn a_limit_of_nothing_panics() {
    let publisher = broadcast::channel::<u8>(1);
    let mut subscriber = publisher.subscribe();
    let mut cx = Context::from_waker(Waker::noop());
    let message = panic_of(|| subscriber.poll_pull_many(&mut cx, &mut Vec::new(), 0));
    assert!(message.contains("limit of 0"), "{message}");
    let message = panic_of(|| poll(&mut Box::pin(subscriber.pull_many(&mut Vec::new(), 0))));
    assert!(message.contains("limit of 0"), "{message}");
    assert!(
        subscriber
            .poll_pull_many(&mut cx, &mut Vec::new(), usize::MAX)
            .is_pending()
    );
}

// guarantee: C2
#[tokio::test(start_paused = true)]
async fn many_tasks_on_both_sides_agree_on_one_order() {
    let publisher = broadcast::channel(3);
    let reading: Vec<_> = (0..4)
        .map(|_| tokio::spawn(publisher.subscribe().collect::<Vec<_>>()))
        .collect();
    let publishing: Vec<_> = (0..4)
        .map(|who| {
            let publisher = publisher.clone();
            tokio::spawn(async move {
                for n in 0..100 {
                    assert_eq!(publisher.publish((who, n)).await, Ok(4));
                }
            })
        })
        .collect();
    for task in publishing {
        task.await.unwrap();
    }
    drop(publisher);
    let mut orders = Vec::new();
    for task in reading {
        orders.push(task.await.unwrap());
    }
    assert_eq!(orders[0].len(), 400);
    assert!(orders.iter().all(|order| order == &orders[0]));
    for who in 0..4 {
        let own = orders[0]
            .iter()
            .filter(|value| value.0 == who)
            .map(|value| value.1);
        assert!(own.eq(0..100));
    }
}

// guarantee: B1, C3
#[tokio::test(start_paused = true)]
async fn batches_read_whole_runs() {
    let publisher = broadcast::channel(8);
    let mut batches = publisher.subscribe().batch(3, Duration::from_secs(1));
    for n in 0..8 {
        assert_eq!(publisher.try_publish(n), Ok(1));
    }
    assert_eq!(batches.next().await, Some(vec![0, 1, 2]));
    assert_eq!(
        publisher.stats().unread,
        5,
        "no more than the batch takes is read"
    );
    assert_eq!(batches.next().await, Some(vec![3, 4, 5]));
    let publishing = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(500)).await;
        publisher.publish(8).await.unwrap();
        publisher
    });
    let before = Instant::now();
    assert_eq!(
        batches.next().await,
        Some(vec![6, 7, 8]),
        "full before its time"
    );
    assert_eq!(before.elapsed(), Duration::from_millis(500));
    let publisher = publishing.await.unwrap();
    publisher.publish(9).await.unwrap();
    drop(publisher);
    assert_eq!(
        (batches.next().await, batches.next().await),
        (Some(vec![9]), None)
    );
}

// guarantee: B6
#[tokio::test(start_paused = true)]
async fn detailed_batches_keep_what_a_run_brought_beyond_them() {
    let publisher = broadcast::channel(8);
    let policy = BatchPolicy::items(8).until(|n| n % 3 == 0);
    let mut batches = publisher.subscribe().batch_with(policy);
    for n in 1..=5 {
        assert_eq!(publisher.try_publish(n), Ok(1));
    }
    drop(publisher);
    let batch = batches.next().await.unwrap();
    assert_eq!(
        (batch.items, batch.reason),
        (vec![1, 2, 3], FlushReason::Predicate)
    );
    let batch = batches.next().await.unwrap();
    assert_eq!((batch.items, batch.reason), (vec![4, 5], FlushReason::End));
    assert!(batches.next().await.is_none());
}
