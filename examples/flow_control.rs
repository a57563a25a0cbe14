//! Rate limits, pulling and pushing: slow down, refuse, share one limit, and change it while it is used.
//!
//! `cargo run --example flow_control`

use std::time::Duration;

use futures::{SinkExt, StreamExt, stream};
use pushpull::prelude::*;
use pushpull::queue;
use pushpull::rate::{RateLimit, RateLimiter};
use tokio::time::Instant;

#[tokio::main]
async fn main() {
    // Pull: 10 at once, the others at 200 a second.
    let limit = RateLimit::per_second(200).burst(10);
    let begin = Instant::now();
    let seen: Vec<_> = stream::iter(0..30).rate_limit(limit).collect().await;
    assert_eq!(seen, (0..30).collect::<Vec<_>>());
    assert!(begin.elapsed() >= Duration::from_millis(99));
    println!("30 pulled in {:?}", begin.elapsed());

    // Push: the same limit before a sink. `send` waits for its turn.
    let (tx, rx) = queue::bounded(100);
    let mut limited = tx.sink_rate_limit(limit);
    let begin = Instant::now();
    for n in 0..30 {
        limited.send(n).await.expect("the consumer is there");
    }
    assert!(begin.elapsed() >= Duration::from_millis(99));
    assert_eq!(rx.len(), 30);

    // Police: what comes too fast is handed back, with the time after which it may come again.
    let mut policed = stream::iter(0..3).police(RateLimit::per_minute(2).burst(2));
    assert_eq!(policed.next().await, Some(Ok(0)));
    assert_eq!(policed.next().await, Some(Ok(1)));
    let refused = policed
        .next()
        .await
        .expect("there are three")
        .expect_err("two are through");
    assert_eq!(refused.item, 2);
    assert!(refused.retry_after > Duration::from_secs(20));

    // A limiter can be shared, weighed (bytes, say), and changed while somebody waits for it.
    let bytes = RateLimiter::new(RateLimit::per_second(1).burst(1000));
    let messages = ["x".repeat(600), "y".repeat(600)];
    let mut sent =
        Box::pin(stream::iter(&messages).rate_limit_weighted(&bytes, |text| text.len() as u32));
    assert_eq!(sent.next().await, Some(&messages[0]));
    let second = tokio::time::timeout(Duration::from_millis(10), sent.next()).await;
    assert!(second.is_err(), "200 bytes are missing, a byte a second");
    bytes.set_limit(RateLimit::per_second(1_000_000).burst(1000));
    assert_eq!(sent.next().await, Some(&messages[1]));
}
