//! Bounded queues: many producers push, many consumers pull, each item goes to one.
//!
//! ```
//! use pushpull::queue::{self, Overflow};
//!
//! # tokio_test::block_on(async {
//! let (tx, rx) = queue::builder().capacity(2).overflow(Overflow::DropOldest).build();
//! for n in 1..=3 {
//!     tx.push(n).await.unwrap();
//! }
//! drop(tx);
//! assert_eq!(rx.pull().await, Some(2));
//! assert_eq!(rx.pull().await, Some(3));
//! assert_eq!(rx.pull().await, None);
//! assert_eq!(rx.stats().dropped_oldest, 1);
//! # });
//! ```
//!
//! # What holds
//!
//! * **The bound is exact.** Never more than [`capacity`](Builder::capacity) items are queued, nor more than
//!   [`max_weight`](Builder::max_weight), however many handles there are. Memory grows with use.
//! * **Order.** Items of one producer are pulled in the order in which they were pushed. Calls that wait are served in
//!   the order in which they came. A call that finds room at once may overtake a waiter that is on its way, at most 32
//!   times; then room is held for the waiter.
//! * **Nothing is lost unseen.** `pushed == pulled + dropped + len`, always ([`QueueStats`]); what is dropped is
//!   counted by reason and handed to [`on_drop`](Builder::on_drop).
//! * **Cancelling is safe.** Each method says what happens to the item; a wake is never lost with a dropped future.
//! * **Closed is closed.** After [`close`](Producer::close) pushes are refused with their items, and what is queued,
//!   or was promised a slot before, is still pulled.
//! * **Your code runs outside of the lock**: destructors, closures, wakers. It may use the queue again, and may panic.
//! * **Polite.** Waiting calls spend tokio's cooperative budget, so a queue that is always ready cannot starve its
//!   neighbours.

mod builder;
mod consumer;
mod control;
mod error;
#[cfg(feature = "tracing")]
mod events;
mod fit;
mod look;
mod permit;
mod producer;
mod pulling;
mod pushing;
#[expect(
    unsafe_code,
    reason = "items move as memory, in runs, between ends that share no lock"
)]
mod ring;
mod shared;
mod sink;
mod state;
mod stats;
mod victims;
mod waiters;
mod weak;
mod workers;

use std::time::Duration;

pub use builder::{Builder, DropReason, Overflow, builder};
pub use consumer::{Consumer, Drained};
pub use error::{PullError, PushError};
pub(crate) use fit::{Port, Unfit};
pub use permit::Permit;
pub use producer::Producer;
pub use stats::QueueStats;
pub use weak::WeakProducer;
pub use workers::{Workers, WorkersReport};

/// Makes a queue of at most `capacity` items whose pushes wait for room. [`builder`] has more to choose.
///
/// # Panics
/// If `capacity` is 0.
#[track_caller]
pub fn bounded<T>(capacity: usize) -> (Producer<T>, Consumer<T>) {
    builder().capacity(capacity).build()
}

/// The capacity that lets producers run ahead of consumers for as long as `delay`: what they gain on them in that time,
/// rounded up, and at least 1. Rates are items per second.
///
/// ```
/// use pushpull::queue::capacity_for;
/// use std::time::Duration;
///
/// assert_eq!(capacity_for(1000, 800, Duration::from_secs(2)), 400);
/// assert_eq!(capacity_for(800, 1000, Duration::from_secs(2)), 1);
/// ```
///
/// # Panics
/// If a rate is negative or not a number.
#[track_caller]
pub fn capacity_for(
    producer_rate: impl Into<f64>,
    consumer_rate: impl Into<f64>,
    delay: Duration,
) -> usize {
    let (producer_rate, consumer_rate) = (producer_rate.into(), consumer_rate.into());
    assert!(
        producer_rate >= 0.0 && consumer_rate >= 0.0,
        "rates are items per second, 0 or more; got {producer_rate} and {consumer_rate}"
    );
    let gained = (producer_rate - consumer_rate).max(0.0) * delay.as_secs_f64();
    // A cast from a float saturates, and the difference of two infinities is not a number: 0 then.
    (gained.ceil() as usize).max(1)
}

#[cfg(test)]
impl<T> Producer<T> {
    /// How many critical sections there have been.
    pub(crate) fn locks(&self) -> usize {
        let sections = &self.shared.lanes.sections;
        sections.load(std::sync::atomic::Ordering::Relaxed)
    }
}
