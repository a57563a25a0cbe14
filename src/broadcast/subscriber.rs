//! What subscribers have in common, and the lossless one.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc as Shareable;
use std::task::{Context, Poll, Waker, ready};

use futures_core::{FusedStream, Stream};

use super::after::Shared;
use super::log::Kind;
use super::state::Lack;
use super::subscribing::{Cursor, Seen};
use crate::queue::PullError;
use crate::sync::Arc;
use crate::{coop, wake};

/// A subscriber that publishers wait for, as a [`Stream`] of everything published since it subscribed. Made by
/// [`Publisher::subscribe`](super::Publisher::subscribe) or [`Hub::subscribe`](super::Hub::subscribe).
///
/// Ends when the broadcast is closed and everything in the log has been read. Dropping it frees what it has not read.
///
/// Values are cloned outside of the lock, once for each subscriber; the last one to read a value gets it moved, so
/// that a sole subscriber never clones. If a clone panics, the value is still there for the next attempt.
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
        self.reader.shared.peek(|state| state.is_closed())
    }
}

impl<T: Clone> Subscriber<T> {
    /// Waits for the next value; `None` once the broadcast is closed and drained.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, it has read nothing.
    pub async fn pull(&mut self) -> Option<T> {
        self.reader.look(1).await;
        self.reader.next_held()
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
        match self.reader.see(1, &mut None) {
            Seen::Empty => Err(PullError::Empty),
            _ => self.reader.next_held().ok_or(PullError::Closed),
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
        self.reader.look(limit).await;
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
        ready!(self.reader.poll_see(cx, limit));
        Poll::Ready(self.reader.hand_out(into, limit))
    }
}

impl<T: Clone> Stream for Subscriber<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        ready!(self.reader.poll_see(cx, 1));
        Poll::Ready(self.reader.next_held())
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

/// A subscriber of any kind: a cursor, and the values between the log and the caller.
pub(super) struct Reader<T> {
    shared: Arc<Shared<T>>,
    cursor: Cursor<T>,
    /// Its end has been seen.
    pub(super) done: bool,
}

impl<T> Reader<T> {
    pub(super) fn new(shared: &Arc<Shared<T>>, kind: Kind) -> Self {
        let mut held = VecDeque::new();
        let cursor = loop {
            match shared.with(|state, after| state.subscribe(kind, &mut held, after)) {
                Ok(cursor) => break cursor,
                Err(Lack::Held(more)) => held.reserve(more),
                Err(lack) => shared.supply(lack),
            }
        };
        Self {
            shared: Arc::clone(shared),
            cursor,
            done: false,
        }
    }

    pub(super) fn resubscribe(&self) -> Self {
        Self::new(&self.shared, self.cursor.kind)
    }

    pub(super) const fn shared(&self) -> &Arc<Shared<T>> {
        &self.shared
    }

    /// How many values can be read now.
    pub(super) fn unread(&self) -> usize {
        self.shared.peek(|state| state.unread(&self.cursor))
    }

    pub(super) fn hint(&self) -> (usize, Option<usize>) {
        self.shared.peek(|state| state.hint(&self.cursor))
    }

    /// Brings up to `limit` values into the buffer, if it is empty.
    pub(super) fn see(&mut self, limit: usize, waker: &mut Option<Waker>) -> Seen {
        let Self {
            shared,
            cursor,
            done,
        } = self;
        if !cursor.held.is_empty() {
            return Seen::Run;
        }
        if *done {
            return Seen::Ended;
        }
        loop {
            match shared.with(|state, after| state.look(cursor, limit, waker, after)) {
                Ok(seen) => {
                    *done = seen == Seen::Ended;
                    return seen;
                }
                Err(Lack::Held(more)) => cursor.held.reserve(more),
                Err(lack) => shared.supply(lack),
            }
        }
    }

    /// Waits until there is something other than [`Seen::Empty`] to see.
    pub(super) fn poll_see(&mut self, cx: &mut Context<'_>, limit: usize) -> Poll<Seen> {
        coop::spend(cx, |cx| {
            let mut waker = None;
            loop {
                let brought = waker.is_some();
                match self.see(limit, &mut waker) {
                    Seen::Empty if brought || self.sleeps_with(cx) => return Poll::Pending,
                    Seen::Empty => waker = Some(cx.waker().clone()),
                    seen => return Poll::Ready(seen),
                }
            }
        })
    }

    /// The same as a future, which leaves no seat taken when it is dropped.
    pub(super) const fn look(&mut self, limit: usize) -> Look<'_, T> {
        Look {
            reader: self,
            limit,
        }
    }

    fn sleeps_with(&self, cx: &Context<'_>) -> bool {
        self.cursor.may_sleep()
            && self
                .shared
                .peek(|state| state.sleeps_with(&self.cursor, cx.waker()))
    }
}

impl<T: Clone> Reader<T> {
    /// Hands out the first value of the buffer: moved, if nobody else holds it.
    pub(super) fn next_held(&mut self) -> Option<T> {
        let held = &mut self.cursor.held;
        match Shareable::try_unwrap(held.pop_front()?) {
            Ok(value) => Some(value),
            Err(shared) => {
                // It stays where it is until the clone is there, in case that panics.
                held.push_front(shared);
                let value = held.front().map(|shared| T::clone(shared));
                held.pop_front();
                value
            }
        }
    }

    /// Hands out up to `limit` values of the buffer.
    pub(super) fn hand_out(&mut self, into: &mut Vec<T>, limit: usize) -> usize {
        let run = self.cursor.held.len().min(limit);
        into.reserve(run);
        for handed in 0..run {
            let Some(value) = self.next_held() else {
                return handed;
            };
            into.push(value);
        }
        run
    }
}

impl<T> Drop for Reader<T> {
    fn drop(&mut self) {
        let held = std::mem::take(&mut self.cursor.held);
        self.shared
            .with(|state, after| state.unsubscribe(&mut self.cursor, after));
        wake::all(held, drop);
    }
}

pub(super) struct Look<'a, T> {
    reader: &'a mut Reader<T>,
    limit: usize,
}

impl<T> Future for Look<'_, T> {
    type Output = Seen;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Seen> {
        let limit = self.limit;
        self.reader.poll_see(cx, limit)
    }
}

impl<T> Drop for Look<'_, T> {
    fn drop(&mut self) {
        let Reader { shared, cursor, .. } = &mut *self.reader;
        if cursor.may_sleep() {
            shared.with(|state, after| state.rise(cursor, after));
        }
    }
}

#[track_caller]
pub(super) const fn check_limit(limit: usize) {
    assert!(limit > 0, "a limit of 0 would read nothing for ever");
}
