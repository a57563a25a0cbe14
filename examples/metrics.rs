//! Seeing inside: the counters of a queue, always on, and a table of all that has a name.
//!
//! `cargo run --example metrics`

use std::time::Duration;

use futures::{StreamExt, stream};
use pushpull::prelude::*;
use pushpull::queue::Overflow;
use pushpull::{meter, queue};

#[tokio::main]
async fn main() {
    let (tx, rx) = queue::builder()
        .name("orders")
        .capacity(5)
        .overflow(Overflow::DropOldest)
        .build();
    for order in stream::iter(0..8)
        .metered("parsed")
        .collect::<Vec<_>>()
        .await
    {
        tx.push(order).await.expect("the consumer is there");
    }

    // One consistent moment: pushed = pulled + dropped + len, whenever it is asked for.
    let stats = rx.stats();
    assert_eq!(
        (stats.pushed, stats.pulled, stats.dropped, stats.len),
        (8, 0, 3, 5)
    );
    assert_eq!(
        stats.pushed,
        stats.pulled + stats.dropped + stats.len as u64
    );
    assert_eq!(stats.peak_len, 5);

    drop(tx);
    let batches: Vec<_> = rx
        .batch(3, Duration::from_secs(1))
        .metered("batches")
        .collect()
        .await;
    assert_eq!(batches, [vec![3, 4, 5], vec![6, 7]]);

    let snapshot = meter::registry().snapshot();
    let table = snapshot.to_string();
    for name in ["orders", "parsed", "batches"] {
        assert!(table.contains(name), "{name} in\n{table}");
    }
    println!("{table}");
}
