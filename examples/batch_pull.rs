//! Batches: up to so many messages, or what has come when the time is up.
//!
//! `cargo run --example batch_pull`

use std::time::Duration;

use futures::{StreamExt, stream};
use pushpull::batch::{BatchPolicy, FlushReason};
use pushpull::prelude::*;
use pushpull::queue::{self, PullError};

#[tokio::main]
async fn main() {
    let (tx, rx) = queue::bounded(100);
    let soon = Duration::from_millis(10);

    // One call, one batch.
    for n in 0..5 {
        tx.push(n).await.expect("the consumer is there");
    }
    assert_eq!(rx.pull_batch(3, soon).await, Some(vec![0, 1, 2])); // it is full: no wait
    assert_eq!(rx.pull_batch(3, soon).await, Some(vec![3, 4])); // time is up
    assert_eq!(rx.pull_batch(3, soon).await, Some(vec![])); // nothing has come
    assert_eq!(rx.pull_timeout(soon).await, Err(PullError::Timeout));

    // A stream of batches. On a queue, a whole run moves under one lock.
    let producer = tokio::spawn(async move {
        for n in 0..7 {
            tx.push(n).await.expect("the consumer is there");
        }
    });
    let mut batches = rx.batch(3, Duration::from_secs(1));
    let mut sizes = Vec::new();
    while let Some(batch) = batches.next().await {
        sizes.push(batch.len());
    }
    producer.await.expect("the producer does not panic");
    assert_eq!(sizes, [3, 3, 1]); // the end of the queue closes the last one at once

    // Any other stream can be batched too, by weight for one, and each batch says why it was closed.
    let lines = stream::iter(["push", "pull", "batch", "broadcast", "."]);
    let policy = BatchPolicy::items(100)
        .weight(10, |line: &&str| line.len())
        .within(soon);
    let batches: Vec<_> = lines.batch_with(policy).collect().await;
    let closed: Vec<_> = batches
        .iter()
        .map(|batch| (batch.items.join(" "), batch.reason))
        .collect();
    assert_eq!(closed[0], ("push pull".into(), FlushReason::Weight));
    assert_eq!(closed[1], ("batch".into(), FlushReason::Weight));
    assert_eq!(closed[2].0, "broadcast .");
    println!("{closed:?}");
}
