//! What a push or a pull answers when it did not go through.

use std::error::Error;
use std::fmt;

/// A push that did not go through, with the item it was about.
///
/// Forms that leave the item with the caller (`push_many`, `reserve`, the `Sink`) carry `()` in its place.
///
/// It is an [`Error`] for every `T`, and so has the item's auto traits and lifetime. For `?` into a boxed error, where
/// items are not `Sync` or borrow something, leave the item behind:
///
/// ```
/// use pushpull::queue;
///
/// type Job = Box<dyn FnOnce() + Send>;
/// # async fn submit(tx: &queue::Producer<Job>, job: Job)
/// # -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// tx.push(job).await.map_err(|error| error.map(drop))?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PushError<T> {
    /// There was no room and the call does not wait.
    Full(T),
    /// There was no room in time.
    Timeout(T),
    /// The queue takes no more items.
    Closed(T),
    /// The item alone weighs more than the queue may ever hold.
    TooHeavy(T),
}

impl<T> PushError<T> {
    /// Gives the item back.
    pub fn into_item(self) -> T {
        match self {
            Self::Full(item) | Self::Timeout(item) | Self::Closed(item) | Self::TooHeavy(item) => {
                item
            }
        }
    }

    /// Whether the queue was full. A later push may go through.
    pub const fn is_full(&self) -> bool {
        matches!(self, Self::Full(_))
    }

    /// Whether the queue was closed. No later push goes through.
    pub const fn is_closed(&self) -> bool {
        matches!(self, Self::Closed(_))
    }

    /// Whether the time given was over.
    pub const fn is_timeout(&self) -> bool {
        matches!(self, Self::Timeout(_))
    }

    /// Whether the item was heavier than the whole bound.
    pub const fn is_too_heavy(&self) -> bool {
        matches!(self, Self::TooHeavy(_))
    }

    /// The same error about something else.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> PushError<U> {
        match self {
            Self::Full(item) => PushError::Full(f(item)),
            Self::Timeout(item) => PushError::Timeout(f(item)),
            Self::Closed(item) => PushError::Closed(f(item)),
            Self::TooHeavy(item) => PushError::TooHeavy(f(item)),
        }
    }

    const fn parts(&self) -> (&'static str, &'static str) {
        match self {
            Self::Full(_) => (
                "Full",
                "the queue is full; push again later, wait, or let it drop",
            ),
            Self::Timeout(_) => ("Timeout", "the queue had no room before the time was over"),
            Self::Closed(_) => ("Closed", "the queue is closed and takes no more items"),
            Self::TooHeavy(_) => (
                "TooHeavy",
                "the item weighs more than the queue's whole weight bound; split it",
            ),
        }
    }
}

impl<T> fmt::Debug for PushError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple(self.parts().0).finish_non_exhaustive()
    }
}

impl<T> fmt::Display for PushError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.parts().1)
    }
}

impl<T> Error for PushError<T> {}

/// A pull that brought nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PullError {
    /// Nothing is queued at this moment.
    Empty,
    /// The queue is closed and everything in it has been pulled. Nothing will come any more.
    Closed,
    /// Nothing came in time.
    Timeout,
}

impl fmt::Display for PullError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "the queue is empty at the moment",
            Self::Closed => "the queue is closed and drained",
            Self::Timeout => "nothing was queued before the time was over",
        })
    }
}

impl Error for PullError {}
