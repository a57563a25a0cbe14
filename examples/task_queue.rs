//! A task queue on a topic: handlers compete for tasks; what fails is tried again, and what fails too often is put aside with
//! the reason.
//!
//! `cargo run --example task_queue --features broker`

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pushpull::broker::{
    Broker, Consumer, ConsumerConfig, Listen, Order, Producer, Record, TopicConfig, listen,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let broker = Broker::in_memory();
    broker
        .create_topic("tasks", TopicConfig::partitions(2))
        .await?;
    let producer = broker.producer();
    for task in 0..100 {
        producer
            .push(Record::new("tasks", format!("task {task}")))
            .await?;
    }

    let config = ConsumerConfig::group("workers")
        .max_attempts(3)
        .dead_letter("tasks.failed");
    let consumer = broker.consumer(config.clone());
    consumer.subscribe(["tasks"]).await?;
    let done = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&done);
    let listener = listen(
        consumer,
        Listen::new(8).order(Order::None),
        move |delivery| {
            let done = Arc::clone(&counter);
            async move {
                tokio::time::sleep(Duration::from_millis(1)).await; // the work
                match delivery.record.value.as_ref() {
                    b"task 13" => return Err("thirteen never works"),
                    b"task 7" if delivery.attempt == 1 => {
                        return Err("seven works the second time");
                    }
                    _ => {}
                }
                done.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
        },
    );

    // What failed for good is a record like any other.
    let failed = broker.consumer(ConsumerConfig::group("support"));
    failed.subscribe(["tasks.failed"]).await?;
    let aside = failed.poll(1, Duration::from_secs(10)).await?;
    let aside = &aside[0].record;
    println!(
        "put aside: {:?} after {:?} attempts: {:?}",
        aside.value,
        aside
            .header_value("dead-letter-attempts")
            .ok_or("a header is missing")?,
        aside
            .header_value("dead-letter-reason")
            .ok_or("a header is missing")?,
    );

    while done.load(Ordering::Relaxed) < 99 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let report = listener.stop(Duration::from_secs(1)).await;
    println!("{report:?}");
    assert_eq!((report.handled, report.failed, report.panicked), (99, 4, 0));
    Ok(())
}
