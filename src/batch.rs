//! Batches: many items handled as one, closed by size, weight, age, idleness or an item that says so.
//!
//! [`PullExt::batch`](crate::PullExt::batch) makes batches of a stream's items,
//! [`PushExt::sink_batch`](crate::PushExt::sink_batch) makes them in front of a sink, and one [`BatchPolicy`] says for
//! both when a batch closes. On a [`queue::Consumer`](crate::queue::Consumer) whole runs move into a batch under one
//! lock.
//!
//! - A batch is never empty, never longer than its `max`, and never heavier than its weight limit, except for one item
//!   that is heavier alone: it goes alone.
//! - Its clock starts when its first item arrives, which is the poll that took it. A batch that is full leaves at once;
//!   input that is ready is taken before the clock is honoured; a timer of one batch never closes another.
//! - At the end of the input the rest is emitted, then the end. Where the input fails, what came before the error is
//!   emitted first. `into_remainder` gives back what is held.
//! - The operators have no task of their own: nothing fires while nobody polls, and a late poll emits at once.
//! - A buffer grows with the items in it and with the batch before, never with `max`, so `usize::MAX` is a fine bound.
//!
//! ```
//! use std::time::Duration;
//!
//! use futures::StreamExt;
//! use pushpull::batch::{BatchPolicy, FlushReason};
//! use pushpull::prelude::*;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! // At most 100 lines, 10 bytes or one second, whatever comes first.
//! let policy = BatchPolicy::items(100)
//!     .weight(10, |line: &&str| line.len())
//!     .within(Duration::from_secs(1));
//! let lines = futures::stream::iter(["push", "pull", "queue", "a line too long for any batch", "end"]);
//! let mut batches = lines.batch_with(policy);
//!
//! let first = batches.next().await.expect("there is input");
//! assert_eq!((first.items, first.reason), (vec!["push", "pull"], FlushReason::Weight));
//! assert_eq!(batches.next().await.expect("there is input").items, ["queue"]);
//! assert_eq!(batches.next().await.expect("there is input").len(), 1); // heavier than 10 alone, so alone
//! assert_eq!(batches.next().await.expect("there is input").reason, FlushReason::End);
//! assert!(batches.next().await.is_none());
//! # }
//! ```

mod broadcast;
mod open;
mod policy;
mod pull;
mod push;
mod queue;
mod shell;
mod stats;
mod timer;
mod try_pull;

#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

pub use policy::BatchPolicy;
pub use pull::Batched;
pub use push::SinkBatch;
pub use stats::BatchStats;
pub use try_pull::TryBatched;

/// A batch, why it closed, and how old it is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Batch<T> {
    /// The items in the order in which they came; at least one.
    pub items: Vec<T>,
    /// Why the batch closed.
    pub reason: FlushReason,
    /// How long ago the oldest item arrived when the batch was handed on. Zero for a batch filled in one poll.
    pub age: Duration,
}

impl<T> Batch<T> {
    /// The number of items.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there are no items, which is never so in a batch that an operator made.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The items in order.
    pub fn iter(&self) -> std::slice::Iter<'_, T> {
        self.items.iter()
    }
}

impl<T> IntoIterator for Batch<T> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.items.into_iter()
    }
}

impl<'a, T> IntoIterator for &'a Batch<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.items.iter()
    }
}

/// Why a batch closed.
///
/// Where one item gives several reasons at once, the first in this list is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "lowercase")
)]
#[non_exhaustive]
pub enum FlushReason {
    /// It holds as many items as it may.
    Size,
    /// It weighs as much as it may, or the next item would have been too much.
    Weight,
    /// Its first item has waited for as long as it may.
    Age,
    /// No item has come for as long as that may take.
    Idle,
    /// Its last item was one to close with, see [`BatchPolicy::until`].
    Predicate,
    /// The input has ended, or the sink was closed.
    End,
    /// The input failed; the error follows.
    Error,
    /// [`SinkBatch::flush_now`] asked for it.
    Flush,
}

impl FlushReason {
    /// The reason as one lower-case word, fit for a label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Size => "size",
            Self::Weight => "weight",
            Self::Age => "age",
            Self::Idle => "idle",
            Self::Predicate => "predicate",
            Self::End => "end",
            Self::Error => "error",
            Self::Flush => "flush",
        }
    }
}

impl fmt::Display for FlushReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a batching operator hands on: [`Plain`] or [`Detailed`]. Sealed.
pub trait Form: sealed::Sealed {
    /// A batch of `T` in this form.
    type Of<T>;

    #[doc(hidden)]
    fn form<T>(items: Vec<T>, reason: FlushReason, age: impl FnOnce() -> Duration) -> Self::Of<T>;
}

/// Batches as a `Vec` of their items.
#[derive(Clone, Copy, Debug)]
pub enum Plain {}

/// Batches as a [`Batch`], with reason and age.
#[derive(Clone, Copy, Debug)]
pub enum Detailed {}

impl Form for Plain {
    type Of<T> = Vec<T>;

    fn form<T>(items: Vec<T>, _: FlushReason, _: impl FnOnce() -> Duration) -> Vec<T> {
        items
    }
}

impl Form for Detailed {
    type Of<T> = Batch<T>;

    fn form<T>(items: Vec<T>, reason: FlushReason, age: impl FnOnce() -> Duration) -> Batch<T> {
        Batch {
            items,
            reason,
            age: age(),
        }
    }
}

mod sealed {
    #[expect(unnameable_types, reason = "so that nobody else implements it")]
    pub trait Sealed {}
    impl Sealed for super::Plain {}
    impl Sealed for super::Detailed {}
}
