//! Batches of what is queued, taken in whole runs.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use super::open::Open;
use super::shell::{Filled, fill_runs};
use super::{BatchPolicy, Batched, Detailed};
use crate::queue::Consumer;

impl<T> Consumer<T> {
    /// Batches of at most `max` items, as [`PullExt::batch`](crate::PullExt::batch) makes them, but taken from the queue
    /// in whole runs: a full batch costs one lock, and another where its buffer has to grow beyond that of the batch before.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use futures::StreamExt;
    /// use pushpull::queue;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// let (tx, rx) = queue::bounded(100);
    /// let mut batches = rx.batch(3, Duration::from_secs(1));
    /// for n in 1..=5 {
    ///     tx.push(n).await.expect("somebody pulls");
    /// }
    /// assert_eq!(batches.next().await, Some(vec![1, 2, 3])); // full
    /// assert_eq!(batches.next().await, Some(vec![4, 5])); // a second old
    ///
    /// tx.push(6).await.expect("somebody pulls");
    /// tx.close();
    /// assert!(tx.push(7).await.is_err());
    /// assert_eq!(batches.next().await, Some(vec![6])); // closed with the queue
    /// assert_eq!(batches.next().await, None);
    /// # }
    /// ```
    ///
    /// # Back-pressure
    ///
    /// An item makes room in the queue when its batch takes it, so a queue and its batch hold up to `capacity + max`
    /// together.
    ///
    /// # Cancel safety
    ///
    /// Dropping a `next()` loses nothing. Dropping the operator drops what its open batch holds, which is counted as
    /// pulled; [`Batched::into_parts`] gives it back.
    ///
    /// # Panics
    ///
    /// If `max` is 0. When a batch has to wait outside of a tokio runtime, or in one without its time driver.
    #[track_caller]
    pub fn batch(self, max: usize, within: Duration) -> Batched<Self> {
        Batched::filled_by(self, BatchPolicy::plain(max, within), fill)
    }

    /// Batches after a [`BatchPolicy`], as [`PullExt::batch_with`](crate::PullExt::batch_with) makes them, but taken from
    /// the queue in whole runs.
    ///
    /// ```
    /// use futures::StreamExt;
    /// use pushpull::batch::{BatchPolicy, FlushReason};
    /// use pushpull::queue;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let (tx, rx) = queue::bounded(100);
    /// let mut batches = rx.batch_with(BatchPolicy::items(100).weight(8, |s: &&str| s.len()));
    /// for word in ["push", "pull", "stream"] {
    ///     tx.push(word).await.expect("somebody pulls");
    /// }
    /// let batch = batches.next().await.expect("three words");
    /// assert_eq!((batch.items, batch.reason), (vec!["push", "pull"], FlushReason::Weight));
    /// assert!(tx.is_empty()); // "stream" came with the run
    /// assert_eq!(batches.into_remainder(), ["stream"]);
    /// # }
    /// ```
    ///
    /// # Back-pressure
    ///
    /// As [`batch`](Self::batch). A policy with weight or predicate looks at items outside of the queue's lock: it takes
    /// a run of as many as the batch has room for, but no more than 1024 (or the length of the batch before, where that
    /// was greater), and holds what the batch does not need. Other consumers of the queue do not see these.
    ///
    /// # Cancel safety
    ///
    /// As [`batch`](Self::batch).
    ///
    /// # Panics
    ///
    /// When a batch has to wait outside of a tokio runtime, or in one without its time driver. A panic in a closure of
    /// the policy goes through to who polls; the items stay in the operator.
    pub fn batch_with(self, policy: BatchPolicy<T>) -> Batched<Self, Detailed> {
        Batched::filled_by(self, policy, fill)
    }
}

/// Takes items run by run.
fn fill<T>(
    mut consumer: Pin<&mut Consumer<T>>,
    cx: &mut Context<'_>,
    open: &mut Open<T>,
) -> Poll<Filled<Infallible>> {
    fill_runs(open, |out, limit| consumer.poll_pull_many(cx, out, limit))
}
