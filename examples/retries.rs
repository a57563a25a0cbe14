//! Trying again: a push into a queue that is full, a handler that fails, a connection that breaks.
//!
//! `cargo run --example retries --features retry`

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use backon::ExponentialBuilder;
use futures::{SinkExt, StreamExt, stream};
use pushpull::prelude::*;
use pushpull::push;
use pushpull::queue::{self, Overflow, PullError, PushError};

#[tokio::main]
async fn main() {
    a_full_queue().await;
    a_handler_that_fails().await;
    a_connection_that_breaks().await;
}

fn backoff() -> ExponentialBuilder {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(1))
        .with_max_times(5)
}

/// The queue refuses rather than waits, and the producer comes back with growing delays.
async fn a_full_queue() {
    let (tx, rx) = queue::builder()
        .capacity(1)
        .overflow(Overflow::Reject)
        .build();
    tx.try_push("first").expect("there is room");

    // Nobody pulls: after the last attempt the item comes back.
    assert_eq!(
        tx.push_retry("second", backoff()).await,
        Err(PushError::Full("second"))
    );

    // The consumer's side of patience.
    assert_eq!(rx.pull_timeout(Duration::from_secs(1)).await, Ok("first"));
    assert_eq!(
        rx.pull_timeout(Duration::from_millis(1)).await,
        Err(PullError::Timeout)
    );
    assert_eq!(tx.push_retry("second", backoff()).await, Ok(()));
}

/// An async function as a sink: each item is tried until it works, here up to four at once.
async fn a_handler_that_fails() {
    let attempts = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&attempts);
    let unreliable = push::each(move |_order: u32| {
        let attempt = counted.fetch_add(1, Ordering::Relaxed);
        async move {
            if attempt % 2 == 0 {
                Err("try again")
            } else {
                Ok(())
            }
        }
    });
    let sink = unreliable.concurrency(4).retry(backoff());
    let pumped = stream::iter(0..20)
        .pump_into(sink)
        .await
        .expect("each works in the end");
    assert_eq!(pumped.items, 20);
    println!("20 orders, {} attempts", attempts.load(Ordering::Relaxed));
}

/// A sink that breaks is made anew, and gets again what the last one may not have passed on: at least once.
async fn a_connection_that_breaks() {
    let (broken, gone) = queue::bounded(8);
    let (working, received) = queue::bounded(8);
    drop(gone);
    let mut connections = vec![working, broken];

    let connect = || ready(connections.pop().ok_or(PushError::Closed(())));
    let mut sink = push::retry(connect, backoff());
    for n in 1..=3 {
        sink.send(n).await.expect("the second connection works");
    }
    assert_eq!(sink.made(), 2);
    sink.close().await.expect("the second connection works");
    drop(sink);
    assert_eq!(received.collect::<Vec<_>>().await, [1, 2, 3]);
}
