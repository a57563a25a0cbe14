//! What happens under the lock when somebody reads, comes or goes.

use std::task::Waker;

use super::after::After;
use super::log::{Kind, Read};
use super::marks::{Edge, Mark};
use super::state::{Lack, State};
use super::value::Hand;
use super::waiting::Ticket;
use crate::sync::{Arc, planted};

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
    /// How far a lossless one has come.
    mark: Option<Arc<Mark>>,
    /// Values taken from the log and not yet handed out.
    pub(super) hand: Hand<T>,
    /// How many of them were taken along when it subscribed. They count for nothing any more.
    pub(super) aside: usize,
    /// The number of the value that a lossless one hands out next, as its mark says it.
    handed: u64,
    edge: Arc<Edge>,
}

impl<T> Cursor<T> {
    pub(super) fn new(kind: Kind, edge: &Arc<Edge>) -> Self {
        Self {
            kind,
            position: 0,
            cut: false,
            ticket: None,
            mark: (kind == Kind::Lossless).then(|| Arc::new(Mark::new())),
            hand: Hand::new(),
            aside: 0,
            handed: 0,
            edge: Arc::clone(edge),
        }
    }

    /// Whether it may have a seat among the sleepers.
    pub(super) const fn may_sleep(&self) -> bool {
        self.ticket.is_some()
    }

    /// Values have been handed out, and those that follow will be loosely, if so said; answers whether a publisher waits
    /// for that.
    #[inline]
    pub(super) fn handed_out(&mut self, mut count: usize, loose: bool) -> bool {
        if self.aside > 0 {
            let aside = self.aside.min(count);
            self.aside -= aside;
            count -= aside;
        }
        let Some(mark) = &self.mark else { return false };
        let before = self.handed;
        self.handed += count as u64;
        count > 0 && mark.hand_to(before, self.handed, loose, &self.edge)
    }

    /// The same for one in the midst of a run.
    #[inline]
    pub(super) fn handed_loosely(&mut self) -> bool {
        let Some(mark) = &self.mark else { return false };
        self.handed += 1;
        mark.hand_loosely(self.handed - 1, &self.edge)
    }

    /// How many values can be handed out without a look at anything else.
    #[inline]
    pub(super) fn in_a_row(&self) -> usize {
        match (&self.mark, self.aside) {
            (Some(_), 0) => self.hand.in_a_row(),
            _ => 0,
        }
    }
}

impl<T> State<T> {
    /// Lets a newcomer in.
    pub(super) fn subscribe(
        &mut self,
        cursor: &mut Cursor<T>,
        after: &mut After<T>,
    ) -> Result<(), Lack> {
        if cursor.mark.is_some() && !self.log.marks.has_room() {
            return Err(Lack::Marks(self.log.marks.grown()));
        }
        let Cursor {
            kind, mark, hand, ..
        } = cursor;
        let entered = self.log.enter(*kind, self.reserved, mark.as_ref(), hand);
        let (position, aside) = entered.map_err(Lack::Hand)?;
        cursor.position = position;
        cursor.handed = position;
        cursor.aside = aside;
        self.audience += 1;
        if self.hubs.is_some() {
            self.serve(after);
        }
        Ok(())
    }

    /// Moves up to `limit` values into the subscriber's hand, empty till now, if that is all there is to do.
    pub(super) fn look_quickly(
        &mut self,
        cursor: &mut Cursor<T>,
        limit: usize,
    ) -> Result<bool, Lack> {
        if cursor.ticket.is_some() {
            return Ok(false);
        }
        self.look_on(cursor, limit)
    }

    /// Moves up to `limit` values into the subscriber's hand, empty till now; puts it to sleep where there is none and it
    /// brought a waker.
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
            mark,
            hand,
            ..
        } = cursor;
        let read = if cursor.cut || (planted("bc_sleep_unchecked") && waker.is_some()) {
            Read::Empty
        } else {
            let read = self.log.read(*kind, position, limit, hand);
            read.map_err(Lack::Hand)?
        };
        let seen = match read {
            Read::Run => {
                if let Some(mark) = mark {
                    mark.take_to(*position);
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

    /// The same for one that has read something already: takes what goes on from there without a gap.
    pub(super) fn look_on(&mut self, cursor: &mut Cursor<T>, limit: usize) -> Result<bool, Lack> {
        if cursor.cut || self.log.is_lagging(cursor.position) {
            return Ok(false);
        }
        let Cursor {
            kind,
            position,
            mark,
            hand,
            ..
        } = cursor;
        let read = self.log.read(*kind, position, limit, hand);
        if let Some(mark) = mark {
            mark.take_to(*position);
        }
        Ok(read.map_err(Lack::Hand)? == Read::Run)
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
            self.log
                .leave(cursor.kind, cursor.position, cursor.mark.as_ref());
            self.log.trim(&mut after.trash);
            after.again |= self.log.is_untidy();
            if !planted("bc_leave_silent") {
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
            _ => self.log.there(cursor.position),
        };
        unread + cursor.hand.len()
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
            (now.min(cursor.hand.len().max(1)), None)
        }
    }
}
