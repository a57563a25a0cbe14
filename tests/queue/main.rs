//! The queue's methods and guarantees, one by one, on paused time.

mod bounds;
mod close;
mod pull;
mod push;
mod sink;
mod turns;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use pushpull::queue::{self, DropReason, Overflow};

const SECOND: Duration = Duration::from_secs(1);

type Log<T> = Arc<Mutex<Vec<(T, DropReason)>>>;

/// A queue that writes down what it drops.
fn logged<T: Send + 'static>(
    capacity: usize,
    overflow: Overflow,
) -> (queue::Producer<T>, queue::Consumer<T>, Log<T>) {
    let log = Log::default();
    let to = log.clone();
    let (tx, rx) = queue::builder()
        .capacity(capacity)
        .overflow(overflow)
        .on_drop(move |item, reason| to.lock().unwrap().push((item, reason)))
        .build();
    (tx, rx, log)
}

fn taken<T>(log: &Log<T>) -> Vec<(T, DropReason)> {
    std::mem::take(&mut log.lock().unwrap())
}
