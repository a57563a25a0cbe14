//! A task queue: many producers, workers that compete for the tasks, and an end at which nothing is left over.
//!
//! `cargo run --example workers`

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pushpull::queue;

#[tokio::main]
async fn main() {
    let (tasks, inbox) = queue::bounded(16);
    let done = Arc::new(AtomicU64::new(0));

    let workers = {
        let done = Arc::clone(&done);
        inbox.workers(4, move |task: u64| {
            let done = Arc::clone(&done);
            async move {
                tokio::time::sleep(Duration::from_millis(1)).await; // the work
                done.fetch_add(task, Ordering::Relaxed);
            }
        })
    };

    let producers: Vec<_> = (0..3)
        .map(|producer| {
            let tasks = tasks.clone();
            tokio::spawn(async move {
                for n in 0..50 {
                    tasks
                        .push(producer * 50 + n)
                        .await
                        .expect("the workers are there");
                }
            })
        })
        .collect();
    for producer in producers {
        producer.await.expect("a producer does not panic");
    }

    // Closing refuses new tasks, and lets the workers finish those that are queued.
    tasks.close();
    let refused = tasks.push(999).await.expect_err("it is closed");
    assert!(refused.is_closed());
    assert_eq!(refused.into_item(), 999);
    let report = workers.join().await;
    assert_eq!((report.handled, report.panicked), (150, 0));

    assert_eq!(done.load(Ordering::Relaxed), (0..150).sum::<u64>());
    let stats = tasks.stats();
    assert_eq!((stats.pushed, stats.pulled, stats.len), (150, 150, 0));
    println!("150 tasks, each done once by one of 4 workers");
}
