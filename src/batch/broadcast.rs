//! Batches of what a lossless subscriber reads, taken in whole runs.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use super::open::Open;
use super::shell::{Filled, fill_runs};
use super::{BatchPolicy, Batched, Detailed};
use crate::broadcast::Subscriber;

impl<T: Clone> Subscriber<T> {
    /// Batches of at most `max` values, as [`PullExt::batch`](crate::PullExt::batch) makes them, but read from the log
    /// in whole runs, each under one lock.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use futures::StreamExt;
    /// use pushpull::broadcast;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// let publisher = broadcast::channel(100);
    /// let mut batches = publisher.subscribe().batch(3, Duration::from_secs(1));
    /// for n in 1..=5 {
    ///     publisher.publish(n).await.expect("open");
    /// }
    /// assert_eq!(batches.next().await, Some(vec![1, 2, 3])); // full
    /// assert_eq!(batches.next().await, Some(vec![4, 5])); // a second old
    /// publisher.close();
    /// assert!(publisher.publish(6).await.is_err());
    /// assert_eq!(batches.next().await, None);
    /// # }
    /// ```
    ///
    /// # Back-pressure
    ///
    /// A value counts as read when its batch takes it, so publishers may be up to `capacity + max` values ahead.
    ///
    /// # Cancel safety
    ///
    /// Dropping a `next()` loses nothing. Dropping the operator drops what its open batch holds;
    /// [`Batched::into_parts`] gives it back.
    ///
    /// # Panics
    ///
    /// If `max` is 0. When a batch has to wait outside of a tokio runtime, or in one without its time driver.
    #[track_caller]
    pub fn batch(self, max: usize, within: Duration) -> Batched<Self> {
        Batched::filled_by(self, BatchPolicy::plain(max, within), fill)
    }

    /// Batches after a [`BatchPolicy`], as [`PullExt::batch_with`](crate::PullExt::batch_with) makes them, but read from
    /// the log in whole runs. A policy with weight or predicate holds what its batch does not need of a run.
    ///
    /// # Back-pressure
    ///
    /// As [`batch`](Self::batch).
    ///
    /// # Cancel safety
    ///
    /// As [`batch`](Self::batch).
    ///
    /// # Panics
    ///
    /// When a batch has to wait outside of a tokio runtime, or in one without its time driver.
    pub fn batch_with(self, policy: BatchPolicy<T>) -> Batched<Self, Detailed> {
        Batched::filled_by(self, policy, fill)
    }
}

/// Takes values run by run.
fn fill<T: Clone>(
    mut subscriber: Pin<&mut Subscriber<T>>,
    cx: &mut Context<'_>,
    open: &mut Open<T>,
) -> Poll<Filled<Infallible>> {
    fill_runs(open, |out, limit| subscriber.poll_pull_many(cx, out, limit))
}
