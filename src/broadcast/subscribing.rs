//! What happens under the lock when somebody reads, comes or goes.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use std::task::Waker;

use super::after::After;
use super::log::{Kind, Read};
use super::state::{Lack, State};
use super::waiting::Ticket;
use crate::sync::planted;

/// What a subscriber saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// Values, now in its own buffer.
    Run,
    Lagged(u64),
    /// Nothing yet. Whether it was put to sleep depends on whether it brought a waker.
    Empty,
    Ended,
}

/// Where a subscriber stands.
#[derive(Debug)]
pub(super) struct Cursor<T> {
    pub(super) kind: Kind,
    position: u64,
    /// It was disconnected and told so, and stands nowhere any more.
    cut: bool,
    ticket: Option<Ticket>,
    /// Values read from the log and not yet handed out.
    pub(super) held: VecDeque<Arc<T>>,
}

impl<T> Cursor<T> {
    /// Whether it may have a seat among the sleepers.
    pub(super) const fn may_sleep(&self) -> bool {
        self.ticket.is_some()
    }
}

impl<T> State<T> {
    /// A newcomer's cursor. `held` takes what cannot stand in the log for it.
    pub(super) fn subscribe(
        &mut self,
        kind: Kind,
        held: &mut VecDeque<Arc<T>>,
        after: &mut After<T>,
    ) -> Result<Cursor<T>, Lack> {
        let position = self
            .log
            .enter(kind, self.reserved, held)
            .map_err(Lack::Held)?;
        self.audience += 1;
        if self.hubs.is_some() {
            self.serve(after);
        }
        Ok(Cursor {
            kind,
            position,
            cut: false,
            ticket: None,
            held: mem::take(held),
        })
    }

    /// Moves up to `limit` values into the subscriber's buffer; puts it to sleep where there is none and it brought a
    /// waker.
    pub(super) fn look(
        &mut self,
        cursor: &mut Cursor<T>,
        limit: usize,
        waker: &mut Option<Waker>,
        after: &mut After<T>,
    ) -> Result<Seen, Lack> {
        let Cursor {
            kind,
            position,
            held,
            ..
        } = cursor;
        let read = if cursor.cut || (planted("bc_sleep_unchecked") && waker.is_some()) {
            Read::Empty
        } else {
            self.log.read(*kind, position, limit, held)
        };
        let seen = match read {
            Read::Cramped(more) => return Err(Lack::Held(more)),
            Read::Run { freed } => {
                if freed {
                    self.serve(after);
                }
                Seen::Run
            }
            Read::Lagged(missed) => Seen::Lagged(missed),
            Read::Cut(missed) => {
                cursor.cut = !planted("bc_cut_goes_on");
                Seen::Lagged(missed)
            }
            Read::Empty if cursor.cut || self.has_ended() => Seen::Ended,
            Read::Empty => {
                if waker.is_some() {
                    if !self.sleepers.has_room() {
                        return Err(Lack::Sleepers(self.sleepers.grown()));
                    }
                    self.subscriber_waits += 1;
                }
                if let Some(waker) = waker.take() {
                    let (ticket, old) = self.sleepers.sit(cursor.ticket, waker);
                    cursor.ticket = Some(ticket);
                    after.idle = old;
                }
                return Ok(Seen::Empty);
            }
        };
        self.rise(cursor, after);
        Ok(seen)
    }

    /// Whether this subscriber sleeps already, with a waker for the same task.
    pub(super) fn sleeps_with(&self, cursor: &Cursor<T>, waker: &Waker) -> bool {
        self.sleepers.sleeps_with(cursor.ticket, waker)
    }

    /// Gives up the subscriber's seat, if it has one.
    pub(super) fn rise(&mut self, cursor: &mut Cursor<T>, after: &mut After<T>) {
        if let Some(ticket) = cursor.ticket.take() {
            after.idle = self.sleepers.rise(ticket);
        }
    }

    /// Takes a subscriber away.
    pub(super) fn unsubscribe(&mut self, cursor: &mut Cursor<T>, after: &mut After<T>) {
        self.rise(cursor, after);
        self.audience -= 1;
        if !cursor.cut {
            cursor.cut = true;
            let freed = self.log.leave(cursor.kind, cursor.position);
            self.log.trim(&mut after.trash);
            after.again |= self.log.is_untidy();
            if freed && !planted("bc_leave_silent") {
                self.serve(after);
            }
        }
        self.close_if_deserted(after);
    }

    /// Values that the subscriber can read now.
    pub(super) fn unread(&self, cursor: &Cursor<T>) -> usize {
        let unread = match cursor.kind {
            _ if cursor.cut => 0,
            Kind::Disconnect if self.log.is_lagging(cursor.position) => 0,
            _ => self.log.unread(cursor.position).min(self.log.len() as u64) as usize,
        };
        unread + cursor.held.len()
    }

    /// How many items, reports included, the subscriber will yet see: at least, and at most.
    pub(super) fn hint(&self, cursor: &Cursor<T>) -> (usize, Option<usize>) {
        let lagging = !cursor.cut && self.log.is_lagging(cursor.position);
        let now = self.unread(cursor) + usize::from(lagging);
        if cursor.cut || self.has_ended() {
            (now, Some(now))
        } else if cursor.kind == Kind::Lossless {
            (now, None)
        } else {
            // What it has not read may yet turn into one report.
            (now.min(cursor.held.len().max(1)), None)
        }
    }
}
