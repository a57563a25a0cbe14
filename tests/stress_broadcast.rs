//! Threads that publish, read, come and go at once: one order for all, nothing missed unseen, and nobody sleeps for ever.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::Poll;
use std::time::Duration;

use pushpull::broadcast::{self, BroadcastStats, Lossy, LossySubscriber, Publisher, Subscriber};
use tokio::task::{JoinHandle, yield_now};

/// Which publisher, and its how-manieth value; behind a count, so that a value lost or doubled is a leak or worse.
type Value = Arc<(u8, u32)>;

const PUBLISHERS: u8 = 3;
const EACH: u32 = 2_000;
const ALL: usize = PUBLISHERS as usize * EACH as usize;

/// Decides nothing; it tells a hang from a slow machine.
const HANG: Duration = Duration::from_secs(60);

/// Polls once and drops the future.
async fn once<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

async fn publish(publisher: Publisher<Value>, number: u8) {
    for n in 0..EACH {
        let value = Arc::new((number, n));
        if n % 3 == 0 {
            while publisher.try_publish(value.clone()).is_err() {
                yield_now().await;
            }
        } else {
            publisher.publish(value).await.expect("open");
        }
    }
}

/// Reads to the end, each value another way, and gives up many a call before.
async fn read(mut subscriber: Subscriber<Value>) -> Vec<(u8, u32)> {
    let mut got = Vec::new();
    let mut run = Vec::new();
    for turn in 0_u32.. {
        match turn % 4 {
            0 => got.extend(once(subscriber.pull()).await.flatten().map(|value| *value)),
            1 => {
                let limit = 1 + turn as usize % 40;
                let _cancelled = once(subscriber.pull_many(&mut run, limit)).await;
                got.extend(run.drain(..).map(|value| *value));
            }
            2 => got.extend(subscriber.try_pull().ok().map(|value| *value)),
            _ => match subscriber.pull().await {
                Some(value) => got.push(*value),
                None => break,
            },
        }
    }
    got
}

/// Reads to the end, slower than they come; answers what it got and how many it was told to have missed.
async fn read_some(mut subscriber: LossySubscriber<Value>) -> (Vec<(u8, u32)>, u64) {
    let (mut got, mut missed) = (Vec::new(), 0);
    while let Some(read) = subscriber.pull().await {
        match read {
            Ok(value) => got.push(*value),
            Err(lagged) => missed += lagged.missed,
        }
        yield_now().await;
    }
    (got, missed)
}

/// Subscribes, reads a little, and leaves again, until the publishers are done.
async fn come_and_go(publisher: Publisher<Value>, published: Arc<AtomicU8>) {
    while published.load(Ordering::Relaxed) < PUBLISHERS {
        let mut subscriber = publisher.subscribe();
        let mut lossy = publisher.subscribe_lossy(Lossy::Disconnect);
        let mut last = [None; PUBLISHERS as usize];
        for _ in 0..5 {
            if let Some(Some(value)) = once(subscriber.pull()).await {
                let last = &mut last[usize::from(value.0)];
                assert!(last.is_none_or(|last| value.1 == last + 1), "a gap");
                *last = Some(value.1);
            }
            let _ = once(lossy.pull()).await;
            yield_now().await;
        }
    }
}

fn is_whole(stats: &BroadcastStats) {
    let accounted = stats.delivered + stats.missed + stats.abandoned + stats.unread;
    assert_eq!(stats.sent, accounted, "{stats:?}");
    assert!(stats.len + stats.reserved <= stats.capacity, "{stats:?}");
}

async fn watch(publisher: Publisher<Value>, published: Arc<AtomicU8>) {
    while published.load(Ordering::Relaxed) < PUBLISHERS {
        is_whole(&publisher.stats());
        yield_now().await;
    }
}

async fn end<T>(task: JoinHandle<T>, publisher: &Publisher<Value>) -> T {
    match tokio::time::timeout(HANG, task).await {
        Ok(answer) => answer.expect("no panic"),
        Err(_) => panic!("somebody sleeps for ever: {:?}", publisher.stats()),
    }
}

async fn stress(publisher: Publisher<Value>) {
    // guarantee: C1 C2
    let whole = [(); 3].map(|()| tokio::spawn(read(publisher.subscribe())));
    let lossy = publisher.subscribe_lossy(Lossy::DropOldest);
    let lossy = tokio::spawn(read_some(lossy));
    // Publishers that are done.
    let published = Arc::new(AtomicU8::new(0));
    let around = [
        tokio::spawn(come_and_go(publisher.clone(), published.clone())),
        tokio::spawn(come_and_go(publisher.clone(), published.clone())),
        tokio::spawn(watch(publisher.clone(), published.clone())),
    ];
    let publishing: Vec<_> = (0..PUBLISHERS)
        .map(|number| tokio::spawn(publish(publisher.clone(), number)))
        .collect();
    for task in publishing {
        end(task, &publisher).await;
        published.fetch_add(1, Ordering::Relaxed);
    }
    for task in around {
        end(task, &publisher).await;
    }
    publisher.close();
    let mut seen = Vec::new();
    for task in whole {
        seen.push(end(task, &publisher).await);
    }
    let (some, missed) = end(lossy, &publisher).await;

    let order = &seen[0];
    assert_eq!(order.len(), ALL);
    assert!(seen.iter().all(|other| other == order), "two orders");
    for number in 0..PUBLISHERS {
        let own = order.iter().filter(|value| value.0 == number);
        assert!(own.map(|value| value.1).eq(0..EACH), "out of order");
    }
    assert_eq!(some.len() as u64 + missed, ALL as u64);
    let mut order = order.iter();
    assert!(some.iter().all(|value| order.any(|other| other == value)));
    let stats = publisher.stats();
    is_whole(&stats);
    assert_eq!(
        (stats.published, stats.unread),
        (ALL as u64, 0),
        "{stats:?}"
    );
    assert_eq!(
        (stats.waiting_publishers, stats.waiting_subscribers),
        (0, 0)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_value_at_a_time_under_threads() {
    stress(broadcast::channel(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wider_broadcast_under_threads() {
    stress(broadcast::channel(17)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broadcast_with_replay_under_threads() {
    let publisher = broadcast::builder().capacity(16).replay(5).build();
    stress(publisher).await;
}
