//! The subscriber that publishers wait for.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::{FusedStream, Stream};

use super::reader::{Reader, check_limit};
use super::subscribing::Seen;
use crate::queue::PullError;

/// A subscriber that publishers wait for, as a [`Stream`] of everything published since it subscribed. Made by
/// [`Publisher::subscribe`](super::Publisher::subscribe) or [`Hub::subscribe`](super::Hub::subscribe).
///
/// Ends when the broadcast is closed and everything in the log has been read. Dropping it frees what it has not read.
///
/// Values are cloned outside of the lock, once for each subscriber; the last one to read a value gets it moved, so
/// that a sole subscriber never clones. If a clone panics, the value is still there for the next attempt.
///
/// However it is read, it takes a whole run of values out of the log under one lock and hands them out from there. A
/// value counts as read when it is handed out, neither sooner nor later: until then it is in
/// [`len`](Self::len) and takes up its slot, and from then on no publisher waits for it.
#[must_use = "a subscriber that is not read makes publishers wait"]
pub struct Subscriber<T> {
    reader: Reader<T>,
}

impl<T> Subscriber<T> {
    pub(super) const fn new(reader: Reader<T>) -> Self {
        Self { reader }
    }

    /// Another lossless subscriber, which starts as if it had been made by the publisher now.
    pub fn resubscribe(&self) -> Self {
        Self::new(self.reader.resubscribe())
    }

    /// Values that can be read without waiting.
    pub fn len(&self) -> usize {
        self.reader.unread()
    }

    /// Whether there is nothing to read without waiting.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the broadcast is closed. What is in the log can still be read.
    pub fn is_closed(&self) -> bool {
        self.reader.shared().peek(|state| state.is_closed())
    }
}

impl<T: Clone> Subscriber<T> {
    /// Waits for the next value; `None` once the broadcast is closed and drained.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, it has read nothing.
    pub async fn pull(&mut self) -> Option<T> {
        if let Some(value) = self.reader.next_quickly() {
            return Some(value);
        }
        self.reader.look().await;
        self.reader.next()
    }

    /// The next value, if there is one now.
    ///
    /// # Errors
    ///
    /// [`PullError::Empty`] where [`pull`](Self::pull) would wait, [`PullError::Closed`] once the broadcast is closed
    /// and drained.
    ///
    /// ```
    /// use pushpull::broadcast;
    /// use pushpull::queue::PullError;
    ///
    /// let publisher = broadcast::channel(4);
    /// let mut subscriber = publisher.subscribe();
    /// assert_eq!(subscriber.try_pull(), Err(PullError::Empty));
    /// publisher.try_publish(1).unwrap();
    /// drop(publisher);
    /// assert_eq!(subscriber.try_pull(), Ok(1));
    /// assert_eq!(subscriber.try_pull(), Err(PullError::Closed));
    /// ```
    pub fn try_pull(&mut self) -> Result<T, PullError> {
        match self.reader.see(&mut None) {
            Seen::Empty => Err(PullError::Empty),
            _ => self.reader.next().ok_or(PullError::Closed),
        }
    }

    /// Waits until there is something to read, appends up to `limit` values to `into`, a run under one lock, and answers
    /// how many they are. 0 once the broadcast is closed and drained.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, it has read nothing.
    ///
    /// # Panics
    ///
    /// If `limit` is 0.
    ///
    /// ```
    /// use pushpull::broadcast;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let publisher = broadcast::channel(8);
    /// let mut subscriber = publisher.subscribe();
    /// for n in 1..=5 {
    ///     publisher.publish(n).await.unwrap();
    /// }
    /// drop(publisher);
    /// let mut read = Vec::new();
    /// assert_eq!(subscriber.pull_many(&mut read, 3).await, 3);
    /// assert_eq!(subscriber.pull_many(&mut read, 3).await, 2);
    /// assert_eq!(read, [1, 2, 3, 4, 5]);
    /// assert_eq!(subscriber.pull_many(&mut read, 3).await, 0);
    /// # }
    /// ```
    pub async fn pull_many(&mut self, into: &mut Vec<T>, limit: usize) -> usize {
        check_limit(limit);
        self.reader.look_for(limit).await;
        self.reader.hand_out(into, limit)
    }

    /// [`pull_many`](Self::pull_many) for those who poll.
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
    ) -> Poll<usize> {
        check_limit(limit);
        ready!(self.reader.poll_see_for(cx, limit));
        Poll::Ready(self.reader.hand_out(into, limit))
    }
}

impl<T: Clone> Stream for Subscriber<T> {
    type Item = T;

    #[inline]
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        if let Some(value) = self.reader.next_quickly() {
            return Poll::Ready(Some(value));
        }
        ready!(self.reader.poll_see(cx));
        Poll::Ready(self.reader.next())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.reader.hint()
    }
}

impl<T: Clone> FusedStream for Subscriber<T> {
    fn is_terminated(&self) -> bool {
        self.reader.done
    }
}

impl<T> fmt::Debug for Subscriber<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscriber")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
