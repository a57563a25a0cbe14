//! A producer pushes, a consumer pulls, and the queue between them is as large as the lag that it has to bridge.
//!
//! `cargo run --example producer_consumer`

use std::time::Duration;

use futures::{SinkExt, StreamExt, stream};
use pushpull::queue;

#[tokio::main]
async fn main() {
    // 1,000 orders/s come in, 600/s go out, and for half a second nobody can do anything about it.
    let capacity = queue::capacity_for(1000.0, 600.0, Duration::from_millis(500));
    assert_eq!(capacity, 200);
    let (mut orders, mut inbox) = queue::bounded(capacity);

    // By method or as a `Sink`: both wait for room.
    let producer = tokio::spawn(async move {
        for n in 0..500 {
            orders.push(n).await.expect("the consumer is there");
        }
        orders
            .send_all(&mut stream::iter(500..1000).map(Ok))
            .await
            .expect("the consumer is there");
        orders.stats()
    });

    // By method or as a `Stream`. It ends when the last producer has gone and the queue is empty.
    let mut seen = Vec::new();
    while let Some(order) = inbox.pull().await {
        seen.push(order);
        if seen.len() == 700 {
            break;
        }
    }
    while let Some(order) = inbox.next().await {
        seen.push(order);
    }
    assert_eq!(seen, (0..1000).collect::<Vec<_>>(), "in order, each once");

    let stats = producer.await.expect("the producer does not panic");
    assert_eq!(stats.pushed, 1000);
    assert!(stats.peak_len <= capacity);
    println!(
        "1000 orders through a queue of {capacity}, never more than {} in it",
        stats.peak_len
    );
}
