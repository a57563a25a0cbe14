//! What is delivered to one connection.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use futures_core::stream::FusedStream;

use super::mailbox::BoxFuture;
use super::replay::{Seat, Turned};
use super::{ConnectionStats, MailboxError};
use crate::coop;
use crate::queue::Consumer;

/// One connection of a key: a [`Stream`] of the key's messages, each with its number. Made by
/// [`Router::connect`](super::Router::connect) and [`Router::connect_from`](super::Router::connect_from).
///
/// Dropping it disconnects: the key has one connection less at once, and what is still queued is dropped and counted as
/// abandoned. It ends by itself after [`Router::disconnect`](super::Router::disconnect), or when the router is closed or
/// its last handle is gone; what is queued is brought first.
///
/// A connection that replays reads from the mailbox, page by page, and is given live messages only once it has caught up.
/// So a long replay holds no push up, and needs no room for what comes meanwhile.
pub struct Connection<T> {
    queue: Consumer<(u64, T)>,
    /// `None` if there never was one: the router was closed.
    seat: Option<Seat<T>>,
    phase: Phase<T>,
    /// The last number there has been to this connection; `None` before the first.
    last: Option<u64>,
    missed: u64,
    received: u64,
    replayed: u64,
    error: Option<MailboxError>,
}

enum Phase<T> {
    Live,
    /// Messages read from the mailbox.
    Page(std::vec::IntoIter<(u64, T)>),
    /// The mutex is never locked: it lets the connection be `Sync`.
    Reading(Mutex<BoxFuture<'static, Turned<T>>>),
    Ended,
}

// Messages are moved and never pinned.
impl<T> Unpin for Connection<T> {}

impl<T> Connection<T> {
    /// A connection that gets what comes from now on. `last` is the number of the message before, where that is known.
    pub(super) const fn live(
        queue: Consumer<(u64, T)>,
        seat: Option<Seat<T>>,
        last: Option<u64>,
        missed: u64,
    ) -> Self {
        Self {
            queue,
            seat,
            phase: Phase::Live,
            last,
            missed,
            received: 0,
            replayed: 0,
            error: None,
        }
    }

    /// A connection that reads what is stored after `after` first.
    pub(super) fn replaying(queue: Consumer<(u64, T)>, seat: Seat<T>, after: u64) -> Self {
        let mut connection = Self::live(queue, Some(seat), Some(after), 0);
        connection.phase = Phase::Page(Vec::new().into_iter());
        connection
    }

    /// The next message and its number, waiting for one; `None` when there will be no more.
    ///
    /// # Cancel safety
    /// Dropped before the end, nothing was taken.
    pub async fn pull(&mut self) -> Option<(u64, T)> {
        poll_fn(|cx| self.poll_pull(cx)).await
    }

    /// How many messages this connection has missed: numbers that should have come and did not, up to the last one that
    /// came.
    ///
    /// That is what the mailbox no longer had when it was read ([`connect_from`](super::Router::connect_from) without a
    /// mailbox misses everything up to now), and what the queue's [`Overflow`](crate::Overflow) dropped. With a queue that
    /// waits and a mailbox that retains enough it stays 0.
    pub const fn missed(&self) -> u64 {
        self.missed
    }

    /// Why the stream has ended early: the mailbox could not be read. Connect again from the last number that came.
    pub const fn error(&self) -> Option<&MailboxError> {
        self.error.as_ref()
    }

    /// Whether it still reads from the mailbox.
    pub const fn is_replaying(&self) -> bool {
        matches!(self.phase, Phase::Page(_) | Phase::Reading(_))
    }

    /// One reading of its counters.
    pub fn stats(&self) -> ConnectionStats {
        let queue = self.queue.stats();
        let refused = self
            .seat
            .as_ref()
            .map_or(0, |seat| seat.line().refused.load(Ordering::Relaxed));
        ConnectionStats {
            received: self.received,
            replayed: self.replayed,
            missed: self.missed,
            dropped: queue.dropped_newest + queue.dropped_oldest + refused,
            queued: queue.len,
            capacity: queue.capacity,
        }
    }

    fn poll_pull(&mut self, cx: &mut Context<'_>) -> Poll<Option<(u64, T)>> {
        loop {
            if let Phase::Live = self.phase {
                let pulled = ready!(Pin::new(&mut self.queue).poll_next(cx));
                match &pulled {
                    Some((seq, _)) => self.receive(*seq),
                    None => self.end(),
                }
                return Poll::Ready(pulled);
            }
            match std::mem::replace(&mut self.phase, Phase::Ended) {
                Phase::Live => self.phase = Phase::Live,
                Phase::Page(mut page) => {
                    if page.len() == 0 {
                        self.read_on();
                        continue;
                    }
                    let share = coop::share(cx);
                    let item = if share.is_ready() { page.next() } else { None };
                    self.phase = Phase::Page(page);
                    ready!(share);
                    if let Some((seq, item)) = item {
                        self.receive(seq);
                        self.replayed += 1;
                        return Poll::Ready(Some((seq, item)));
                    }
                }
                Phase::Reading(mut reading) => {
                    let turned = reading
                        .get_mut()
                        .unwrap_or_else(std::sync::PoisonError::into_inner)
                        .as_mut()
                        .poll(cx);
                    let Poll::Ready(turned) = turned else {
                        self.phase = Phase::Reading(reading);
                        return Poll::Pending;
                    };
                    self.turn(turned);
                }
                Phase::Ended => return Poll::Ready(None),
            }
        }
    }

    /// Reads the next page.
    fn read_on(&mut self) {
        if let Some(seat) = &self.seat {
            let page = seat.read_on(self.last.unwrap_or(0));
            self.phase = Phase::Reading(Mutex::new(page));
        }
    }

    /// The mailbox has been read.
    fn turn(&mut self, turned: Turned<T>) {
        match turned {
            Turned::Page { items, read, gone } => {
                self.missed += gone;
                self.last = Some(read);
                self.phase = Phase::Page(items.into_iter());
            }
            Turned::Live { read, gone } => {
                self.missed += gone;
                self.last = Some(read);
                self.phase = Phase::Live;
            }
            Turned::End => self.end(),
            Turned::Failed(error) => {
                self.error = Some(error);
                self.end();
            }
        }
    }

    /// Counts a message, and those that are missing before it.
    fn receive(&mut self, seq: u64) {
        let before = match self.last {
            Some(last) if last < seq => last,
            // Its first message, or numbers that begin anew.
            _ => self.base().min(seq.saturating_sub(1)),
        };
        self.missed += seq.saturating_sub(1).saturating_sub(before);
        self.last = Some(seq);
        self.received += 1;
    }

    fn base(&self) -> u64 {
        self.seat
            .as_ref()
            .map_or(u64::MAX, |seat| seat.line().base())
    }

    fn end(&mut self) {
        self.phase = Phase::Ended;
        if let Some(seat) = &self.seat {
            seat.leave();
        }
    }
}

impl<T> Stream for Connection<T> {
    type Item = (u64, T);

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<(u64, T)>> {
        self.poll_pull(cx)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match &self.phase {
            Phase::Live => self.queue.size_hint(),
            Phase::Page(page) => (page.len(), None),
            Phase::Reading(_) => (0, None),
            Phase::Ended => (0, Some(0)),
        }
    }
}

impl<T> FusedStream for Connection<T> {
    fn is_terminated(&self) -> bool {
        matches!(self.phase, Phase::Ended)
    }
}

impl<T> Drop for Connection<T> {
    fn drop(&mut self) {
        if let Some(seat) = &self.seat {
            seat.leave();
        }
    }
}

impl<T> fmt::Debug for Connection<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("stats", &self.stats())
            .field("replaying", &self.is_replaying())
            .field("error", &self.error)
            .finish_non_exhaustive()
    }
}
