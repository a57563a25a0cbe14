//! Subscribers that publishers do not wait for.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::{FusedStream, Stream};

use super::log::Kind;
use super::reader::{Reader, check_limit};
use super::subscribing::Seen;
use crate::queue::PullError;

/// What happens to a lossy subscriber when the log is full and the oldest value is one that it has not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Lossy {
    /// It loses that value, is told how many it lost, and goes on with the oldest one that is still there.
    DropOldest,
    /// It loses everything it has not read, is told how many that was, and ends.
    Disconnect,
}

impl Lossy {
    pub(super) const fn kind(self) -> Kind {
        match self {
            Self::DropOldest => Kind::DropOldest,
            Self::Disconnect => Kind::Disconnect,
        }
    }
}

/// A lossy subscriber did not keep up and missed values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lagged {
    /// How many values are missing in this place. For a subscriber that was disconnected: everything published
    /// between the last value it read and this report.
    pub missed: u64,
}

impl fmt::Display for Lagged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { missed } = self;
        write!(
            f,
            "{missed} published values were missed because the subscriber did not keep up"
        )
    }
}

impl Error for Lagged {}

/// A subscriber that never makes publishers wait, as a [`Stream`] of values and of reports of what it missed. Made by
/// [`Publisher::subscribe_lossy`](super::Publisher::subscribe_lossy) or
/// [`Hub::subscribe_lossy`](super::Hub::subscribe_lossy).
///
/// A [`Lagged`] stands exactly where values are missing. Values read, and values reported as missed, together are all
/// that was published since it subscribed. Under [`Lossy::Disconnect`] the report is the last item.
#[must_use = "streams do nothing unless polled"]
pub struct LossySubscriber<T> {
    reader: Reader<T>,
}

impl<T> LossySubscriber<T> {
    pub(super) const fn new(reader: Reader<T>) -> Self {
        Self { reader }
    }

    /// Another subscriber with the same policy, which starts as if it had been made by the publisher now.
    pub fn resubscribe(&self) -> Self {
        Self::new(self.reader.resubscribe())
    }

    /// Values that can be read without waiting, if no more are published meanwhile.
    pub fn len(&self) -> usize {
        self.reader.unread()
    }

    /// Whether there is no value to read without waiting.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the broadcast is closed. What is in the log can still be read.
    pub fn is_closed(&self) -> bool {
        self.reader.shared().peek(|state| state.is_closed())
    }

    const fn told(seen: Seen) -> Result<(), Lagged> {
        match seen {
            Seen::Lagged(missed) => Err(Lagged { missed }),
            Seen::Run | Seen::Empty | Seen::Ended => Ok(()),
        }
    }
}

impl<T: Clone> LossySubscriber<T> {
    /// Waits for the next value, or for the report that some are missing here; `None` at the end.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, it has read nothing.
    pub async fn pull(&mut self) -> Option<Result<T, Lagged>> {
        match Self::told(self.reader.look().await) {
            Ok(()) => self.reader.next().map(Ok),
            Err(lagged) => Some(Err(lagged)),
        }
    }

    /// The next value or report, if there is one now.
    ///
    /// # Errors
    ///
    /// [`PullError::Empty`] where [`pull`](Self::pull) would wait, [`PullError::Closed`] at the end.
    pub fn try_pull(&mut self) -> Result<Result<T, Lagged>, PullError> {
        match self.reader.see(&mut None) {
            Seen::Empty => Err(PullError::Empty),
            Seen::Lagged(missed) => Ok(Err(Lagged { missed })),
            Seen::Run | Seen::Ended => self.reader.next().map(Ok).ok_or(PullError::Closed),
        }
    }

    /// Waits until there is something to read and appends up to `limit` values to `into`, a run without a gap under one
    /// lock. 0 at the end.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, it has read nothing.
    ///
    /// # Errors
    ///
    /// [`Lagged`], where values are missing before the next one.
    ///
    /// # Panics
    ///
    /// If `limit` is 0.
    pub async fn pull_many(&mut self, into: &mut Vec<T>, limit: usize) -> Result<usize, Lagged> {
        check_limit(limit);
        Self::told(self.reader.look_for(limit).await)?;
        Ok(self.reader.hand_out(into, limit))
    }

    /// [`pull_many`](Self::pull_many) for those who poll.
    ///
    /// # Errors
    ///
    /// [`Lagged`], where values are missing before the next one.
    ///
    /// # Panics
    ///
    /// If `limit` is 0.
    #[track_caller]
    pub fn poll_pull_many(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut Vec<T>,
        limit: usize,
    ) -> Poll<Result<usize, Lagged>> {
        check_limit(limit);
        Self::told(ready!(self.reader.poll_see_for(cx, limit)))?;
        Poll::Ready(Ok(self.reader.hand_out(into, limit)))
    }
}

impl<T: Clone> Stream for LossySubscriber<T> {
    type Item = Result<T, Lagged>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(match Self::told(ready!(self.reader.poll_see(cx))) {
            Ok(()) => self.reader.next().map(Ok),
            Err(lagged) => Some(Err(lagged)),
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.reader.hint()
    }
}

impl<T: Clone> FusedStream for LossySubscriber<T> {
    fn is_terminated(&self) -> bool {
        self.reader.done
    }
}

impl<T> fmt::Debug for LossySubscriber<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LossySubscriber")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
