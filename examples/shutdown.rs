//! Ending in three steps: close the intake, let the consumers catch up until a deadline, take back what is left.
//!
//! `cargo run --example shutdown`

use std::time::Duration;

use pushpull::prelude::*;
use pushpull::pump::Ended;
use pushpull::{push, queue};
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() {
    in_time().await;
    out_of_time().await;
    on_a_signal().await;
}

/// The consumer catches up, so there is nothing left.
async fn in_time() {
    let (tx, rx) = queue::bounded(100);
    for n in 0..100 {
        tx.push(n).await.expect("the consumer is there");
    }
    let workers = rx
        .clone()
        .workers(2, |_| async { tokio::task::yield_now().await });

    tx.close();
    assert!(tx.push(100).await.expect_err("it is closed").is_closed());
    let drained = rx.drain(Duration::from_secs(60)).await;
    workers.await;
    assert!(!drained.timed_out);
    assert!(drained.left.is_empty());
}

/// The consumer is stuck. What it did not take is handed back, and every item is accounted for.
async fn out_of_time() {
    let (tx, rx) = queue::bounded(10);
    for n in 0..10 {
        tx.push(n).await.expect("the consumer is there");
    }
    let stuck = rx.clone().workers(1, |_| std::future::pending());
    while rx.len() == 10 {
        tokio::task::yield_now().await;
    }

    let drained = rx.drain(Duration::from_millis(20)).await;
    assert!(drained.timed_out);
    assert_eq!(drained.left, (1..10).collect::<Vec<_>>());
    drop(stuck); // its task ends with its handle

    let stats = rx.stats();
    assert_eq!((stats.pushed, stats.pulled, stats.len), (10, 10, 0));
    println!("{} came back", drained.left.len());
}

/// One token ends any number of pumps, each after the item that it holds.
async fn on_a_signal() {
    let stop = CancellationToken::new();
    let (tx, rx) = queue::bounded(10);
    tx.push("before").await.expect("the pump is there");
    let print = push::each(|line| async move {
        println!("{line}");
        Ok::<_, std::convert::Infallible>(())
    });
    let pump = tokio::spawn(rx.pump_into(print).until(stop.clone().cancelled_owned()));
    while !tx.is_empty() {
        tokio::task::yield_now().await;
    }

    stop.cancel(); // in a server: when `tokio::signal::ctrl_c()` comes
    let pumped = pump
        .await
        .expect("it does not panic")
        .expect("printing does not fail");
    assert_eq!((pumped.items, pumped.ended), (1, Ended::Until));
    assert!(
        tx.push("after")
            .await
            .expect_err("the consumer has gone")
            .is_closed()
    );
}
