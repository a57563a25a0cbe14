//! A notification service: one publisher, fast and slow subscribers. The slow ones lose messages, nobody waits for them,
//! and every loss is recorded.
//!
//! `cargo run --example slow_subscriber`

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::StreamExt;
use pushpull::broadcast::{self, Lagged, Lossy};
use pushpull::queue::{self, DropReason, Overflow};

#[tokio::main]
async fn main() {
    one_log_for_all().await;
    a_queue_for_each().await;
}

/// A broadcast keeps one log. Who falls out of it is told how many messages it missed, and where.
async fn one_log_for_all() {
    let news = broadcast::channel(4);
    let mut careful = news.subscribe();
    let archive = tokio::spawn(async move {
        let mut seen = Vec::new();
        while let Some(message) = careful.next().await {
            seen.push(message);
        }
        seen
    });
    let mut oldest_first_out = news.subscribe_lossy(Lossy::DropOldest);
    let mut cut_off = news.subscribe_lossy(Lossy::Disconnect);

    for n in 1..=10 {
        news.publish(n).await.expect("it is open");
    }
    news.close();

    // The publisher waited for the one that wants everything, and only for that one.
    assert_eq!(
        archive.await.expect("the archive does not panic"),
        (1..=10).collect::<Vec<_>>()
    );

    let mut seen = Vec::new();
    while let Some(message) = oldest_first_out.next().await {
        seen.push(message.map_err(|Lagged { missed }| missed));
    }
    assert_eq!(seen, [Err(6), Ok(7), Ok(8), Ok(9), Ok(10)]);

    assert!(matches!(cut_off.next().await, Some(Err(Lagged { .. }))));
    assert!(cut_off.next().await.is_none());
    println!("broadcast: {} messages are lost", news.stats().missed);
}

/// A queue for each subscriber has a policy of its own, here the one that keeps what came first.
async fn a_queue_for_each() {
    let lost = Arc::new(AtomicU64::new(0));
    let record = Arc::clone(&lost);
    let (outbox, inbox) = queue::builder()
        .name("slow phone")
        .capacity(3)
        .overflow(Overflow::DropNewest)
        .on_drop(move |message, reason| {
            assert_eq!(reason, DropReason::Newest);
            record.fetch_add(1, Ordering::Relaxed);
            println!("queue: message {message} is lost");
        })
        .build();

    for n in 1..=5 {
        outbox.push(n).await.expect("a drop policy never refuses");
    }
    drop(outbox);
    assert_eq!(inbox.stats().dropped, 2);
    assert_eq!(lost.load(Ordering::Relaxed), 2);
    assert_eq!(inbox.collect::<Vec<_>>().await, [1, 2, 3]);
}
