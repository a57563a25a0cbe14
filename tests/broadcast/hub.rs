//! A stream published to whoever subscribes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use futures::stream::FusedStream;
use futures::{Stream, StreamExt, stream};
use pushpull::broadcast::{Hub, Lagged, Lossy};
use pushpull::prelude::*;
use pushpull::queue;

use super::*;

async fn settle() {
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

/// Counts from 1 for ever; the counter shows how many were pulled, `usize::MAX` that it was dropped.
fn counting() -> (impl Stream<Item = usize>, Arc<AtomicUsize>) {
    struct Gone(Arc<AtomicUsize>);
    impl Drop for Gone {
        fn drop(&mut self) {
            self.0.store(usize::MAX, Relaxed);
        }
    }
    let pulled = Arc::new(AtomicUsize::new(0));
    let gone = Gone(Arc::clone(&pulled));
    (
        stream::repeat(()).map(move |()| gone.0.fetch_add(1, Relaxed) + 1),
        pulled,
    )
}

// guarantee: C1
#[tokio::test(start_paused = true)]
async fn it_starts_with_the_first_subscription_and_ends_with_the_input() {
    let (tx, rx) = queue::bounded(4);
    let hub = rx.broadcast(4);
    tx.push(1).await.unwrap();
    settle().await;
    assert_eq!(tx.len(), 1, "nobody has subscribed");
    let (first, second) = (hub.subscribe(), hub.clone().subscribe());
    assert_eq!((hub.subscriber_count(), hub.capacity()), (2, 4));
    settle().await;
    assert_eq!(tx.len(), 0);
    let mut late = hub.subscribe();
    tx.push(2).await.unwrap();
    assert_eq!(late.next().await, Some(2));
    assert!(!hub.is_closed());
    drop(tx);
    assert_eq!(first.collect::<Vec<_>>().await, [1, 2]);
    assert_eq!(second.collect::<Vec<_>>().await, [1, 2]);
    assert!(hub.is_closed());
    assert_eq!(late.next().await, None);
    assert_eq!(hub.subscribe().next().await, None);
    assert_eq!(hub.stats().published, 2);
}

// guarantee: C2, C3
#[tokio::test(start_paused = true)]
async fn the_slowest_holds_the_input_back() {
    let (input, pulled) = counting();
    let hub = input.broadcast(3);
    let mut slow = hub.subscribe();
    settle().await;
    assert_eq!(pulled.load(Relaxed), 4, "the log is full, and one waits");
    assert_eq!(slow.next().await, Some(1));
    settle().await;
    assert_eq!(pulled.load(Relaxed), 5);
}

// guarantee: C2
#[tokio::test(start_paused = true)]
async fn a_lossy_one_does_not() {
    let hub = stream::iter(1..=1000).broadcast(3);
    let lossy = hub.subscribe_lossy(Lossy::DropOldest);
    let all: Vec<_> = hub.subscribe().collect().await;
    assert_eq!(all.len(), 1000);
    let seen: Vec<_> = lossy.collect().await;
    assert_eq!(
        seen,
        [Err(Lagged { missed: 997 }), Ok(998), Ok(999), Ok(1000)]
    );
}

// guarantee: C1
#[tokio::test(start_paused = true)]
async fn it_rests_while_nobody_is_subscribed_and_loses_nothing() {
    let (input, pulled) = counting();
    let hub = input.broadcast(2);
    let mut first = hub.subscribe();
    assert_eq!(first.next().await, Some(1));
    settle().await;
    assert_eq!(pulled.load(Relaxed), 4);
    drop(first);
    settle().await;
    assert_eq!(pulled.load(Relaxed), 4, "it does not run on");
    let mut second = hub.subscribe_lossy(Lossy::Disconnect);
    assert_eq!(
        second.next().await,
        Some(Ok(4)),
        "what was pulled and never published comes next"
    );
    assert_eq!(hub.stats().abandoned, 2);
}

// guarantee: P2
#[tokio::test(start_paused = true)]
async fn its_task_ends_when_nobody_can_listen_any_more() {
    for hub_first in [true, false] {
        let (input, pulled) = counting();
        let hub = input.broadcast(1);
        let subscriber = hub.subscribe();
        settle().await;
        let (first, last): (Box<dyn Send>, Box<dyn Send>) = if hub_first {
            (Box::new(hub), Box::new(subscriber))
        } else {
            (Box::new(subscriber), Box::new(hub))
        };
        drop(first);
        settle().await;
        assert_eq!(pulled.load(Relaxed), 2, "{hub_first}");
        drop(last);
        settle().await;
        assert_eq!(pulled.load(Relaxed), usize::MAX, "the input is dropped");
    }
    // While it waits for the input, too.
    let (tx, rx) = queue::bounded::<u8>(1);
    let hub = rx.broadcast(1);
    let subscriber = hub.subscribe();
    settle().await;
    drop((hub, subscriber));
    settle().await;
    assert!(tx.is_closed());
}

// guarantee: P2
#[tokio::test(start_paused = true)]
async fn a_hub_that_never_started_drops_its_input() {
    let (input, pulled) = counting();
    let hub = input.broadcast(1);
    let copy = hub.clone();
    drop(hub);
    assert_eq!(pulled.load(Relaxed), 0);
    drop(copy);
    assert_eq!(pulled.load(Relaxed), usize::MAX);
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_input_ends_it() {
    let hub = stream::iter(0..5)
        .inspect(|n| assert!(*n < 2, "as planned"))
        .broadcast(8);
    let (one, two) = (hub.subscribe(), hub.subscribe());
    assert_eq!(one.collect::<Vec<_>>().await, [0, 1]);
    assert_eq!(two.collect::<Vec<_>>().await, [0, 1]);
    assert!(hub.is_closed());
}

#[test]
fn it_needs_a_runtime_for_its_first_subscription_only() {
    let hub = stream::iter(0..3).broadcast(8);
    assert!(panic_of(|| hub.subscribe()).contains("runtime"));
    assert_eq!(hub.subscriber_count(), 0);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let first = runtime.block_on(async { hub.subscribe() });
    let second = hub.subscribe();
    assert_eq!(runtime.block_on(first.collect::<Vec<_>>()), [0, 1, 2]);
    assert_eq!(runtime.block_on(second.collect::<Vec<_>>()), [0, 1, 2]);
}

// guarantee: Q11
#[tokio::test(start_paused = true)]
async fn the_input_is_not_polled_after_its_end() {
    struct Once(Option<u8>);
    impl Stream for Once {
        type Item = u8;
        fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<u8>> {
            static ENDED: AtomicUsize = AtomicUsize::new(0);
            let item = self.0.take();
            assert!(
                item.is_some() || ENDED.fetch_add(1, Relaxed) == 0,
                "polled after its end"
            );
            Poll::Ready(item)
        }
    }
    let hub = Once(Some(1)).broadcast(1);
    let mut subscriber = hub.subscribe();
    assert_eq!(subscriber.next().await, Some(1));
    assert_eq!(subscriber.next().await, None);
    settle().await;
    assert_eq!(subscriber.next().await, None);
    assert!(subscriber.is_terminated());
}

/// The hub's type names the item alone.
struct Feed {
    hub: Hub<u32>,
}

#[tokio::test(start_paused = true)]
async fn it_fits_into_a_field() {
    let feed = Feed {
        hub: stream::iter(0..3).broadcast(1),
    };
    assert_eq!(
        feed.hub
            .subscribe()
            .map(|n| n * 2)
            .collect::<Vec<_>>()
            .await,
        [0, 2, 4]
    );
}
