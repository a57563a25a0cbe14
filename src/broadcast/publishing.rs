//! What happens under the lock when somebody publishes.

use std::sync::Arc;
use std::task::Waker;

use super::after::After;
use super::marks::Behind;
use super::state::{Lack, State};
use super::value::{Run, Value};
use super::waiting::{Outcome, Place, Seat};
use crate::sync::planted;

/// What came of publishing. The value is taken only where it was published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Published {
    To(usize),
    Full,
    Closed,
    Waits(Place),
}

/// What came of asking for a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reserved {
    Yes,
    Full,
    Closed,
    Waits(Place),
}

/// How far one in the line has come.
#[derive(Debug)]
pub(super) enum Turn<T> {
    Served(Outcome<T>),
    Waits,
    NeedsWaker,
}

impl<T> State<T> {
    /// Publishes where that takes nothing but putting the value into the log, and answers besides whom to wake and what
    /// to drop then. Else the value comes back.
    #[inline]
    #[expect(clippy::type_complexity, reason = "it goes to its one caller")]
    pub(super) fn publish_quickly(
        &mut self,
        value: Value<T>,
    ) -> Result<(usize, Vec<Seat>, Option<Arc<Run<T>>>), Value<T>> {
        if self.closed || self.line.len() > 0 {
            return Err(value);
        }
        let (count, gone) = self.log.append(value, self.reserved)?;
        let seats = if self.sleepers.len() > 0 {
            self.sleepers.take()
        } else {
            Vec::new()
        };
        Ok((count, seats, gone))
    }

    /// Publishes at once, if there is room.
    pub(super) fn publish(
        &mut self,
        value: &mut Option<Value<T>>,
        after: &mut After<T>,
    ) -> Result<Published, Lack> {
        if self.closed {
            return Ok(Published::Closed);
        }
        self.let_go_first(after);
        if !self.may_publish() {
            return Ok(Published::Full);
        }
        self.push(value, after)
    }

    /// Publishes at once, or leaves the value in the line.
    pub(super) fn publish_or_wait(
        &mut self,
        value: &mut Option<Value<T>>,
        waker: &mut Option<Waker>,
        after: &mut After<T>,
    ) -> Result<Published, Lack> {
        match self.publish(value, after)? {
            Published::Full => {}
            done => return Ok(done),
        }
        let Some(waker) = self.joining(waker)? else {
            return Ok(Published::Full);
        };
        let place = self.line.join(value.take(), waker);
        if !planted("bc_wait_unchecked") {
            self.joined(after);
        }
        Ok(Published::Waits(place))
    }

    /// Reserves a slot at once, if there is one.
    fn reserve(&mut self, after: &mut After<T>) -> Reserved {
        if self.closed {
            return Reserved::Closed;
        }
        self.let_go_first(after);
        if !self.has_room() {
            return Reserved::Full;
        }
        self.reserved += 1;
        Reserved::Yes
    }

    /// Reserves a slot at once, or waits for it in the line.
    pub(super) fn reserve_or_wait(
        &mut self,
        waker: &mut Option<Waker>,
        after: &mut After<T>,
    ) -> Result<Reserved, Lack> {
        match self.reserve(after) {
            Reserved::Full => {}
            done => return Ok(done),
        }
        let Some(waker) = self.joining(waker)? else {
            return Ok(Reserved::Full);
        };
        let place = self.line.join(None, waker);
        if !planted("bc_reserve_unchecked") {
            self.joined(after);
        }
        Ok(Reserved::Waits(place))
    }

    /// Publishes with the slot reserved for it, also after `close`.
    pub(super) fn redeem(
        &mut self,
        value: &mut Option<Value<T>>,
        after: &mut After<T>,
    ) -> Result<(), Lack> {
        self.push(value, after)?;
        self.unreserve(after);
        Ok(())
    }

    /// Gives a reserved slot back.
    pub(super) fn unreserve(&mut self, after: &mut After<T>) {
        self.reserved -= 1;
        if self.closed && self.reserved == 0 {
            after.wake_sleepers(&mut self.sleepers);
        }
        self.serve(after);
    }

    /// What became of one that waits in line. `mine` is the waker it goes by; a clone of it has to be brought along where
    /// another one waits in its place.
    pub(super) fn turn(
        &mut self,
        place: Place,
        mine: &Waker,
        waker: &mut Option<Waker>,
        after: &mut After<T>,
    ) -> Turn<T> {
        if let Some(outcome) = self.line.outcome(place) {
            return Turn::Served(outcome);
        }
        if self.line.waits_with(place, mine) {
            return Turn::Waits;
        }
        let Some(waker) = waker.take() else {
            return Turn::NeedsWaker;
        };
        after.idle = Some(self.line.rearm(place, waker));
        Turn::Waits
    }

    /// Takes one out of the line, served or not. What it got goes on to the next.
    pub(super) fn leave_line(&mut self, place: Place, after: &mut After<T>) {
        if planted("bc_cancel_stays") && self.line.has_value(place) {
            return;
        }
        if let Some((value, waker)) = self.line.leave(place) {
            after.idle = Some(waker);
            after.drop_value(value);
        } else {
            match self.line.outcome(place) {
                Some(Outcome::Reserved) if !planted("bc_cancel_keeps_slot") => {
                    self.unreserve(after)
                }
                Some(Outcome::Closed(value)) => after.drop_value(value),
                _ => {}
            }
        }
    }

    fn joining(&mut self, waker: &mut Option<Waker>) -> Result<Option<Waker>, Lack> {
        if waker.is_some() && !self.line.has_room() {
            return Err(Lack::Line(self.line.grown()));
        }
        self.publisher_waits += u64::from(waker.is_some());
        Ok(waker.take())
    }

    fn push(
        &mut self,
        value: &mut Option<Value<T>>,
        after: &mut After<T>,
    ) -> Result<Published, Lack> {
        if !self.log.has_spare() {
            return Err(Lack::Log(self.log.grown()));
        }
        let Some(value) = value.take() else {
            return Ok(Published::Full);
        };
        let count = self.log.push(value, &mut after.trash);
        after.again |= self.log.is_untidy();
        after.wake_sleepers(&mut self.sleepers);
        Ok(Published::To(count))
    }

    /// A subscriber may have made room and not yet come to serve those in line: they go first.
    fn let_go_first(&mut self, after: &mut After<T>) {
        if self.line.len() > 0 {
            self.serve(after);
        }
    }

    /// The first in line tells the subscribers that it waits, and so looks at their marks once more.
    fn joined(&mut self, after: &mut After<T>) {
        if self.line.len() == 1 {
            self.serve(after);
        }
    }

    fn has_room(&mut self) -> bool {
        self.log.has_room(self.reserved)
    }

    /// Whether a value may be published now. Without a lossless subscriber nothing that is published claims a slot.
    fn may_publish(&mut self) -> bool {
        if self.log.lossless() > 0 {
            self.has_room()
        } else {
            self.hubs.is_none() || self.log.readers() > 0
        }
    }

    /// Serves those in line, in order, as far as there is room for them and for their wakers.
    pub(super) fn serve(&mut self, after: &mut After<T>) {
        let mut at = self.line.first();
        while let Some(place) = at {
            let has_value = self.line.has_value(place);
            let served = self.closed
                || if has_value {
                    self.may_publish()
                } else {
                    self.has_room()
                };
            if !served {
                if self.log.lossless() > 0 {
                    match self.log.want(self.reserved) {
                        Behind::Nobody => continue,
                        Behind::Somebody => {}
                        Behind::Loose => after.loose = true,
                    }
                }
                // Only those who want a slot for later can be stuck in front of others who are not.
                if self.log.lossless() > 0 || self.line.values() == 0 || has_value {
                    break;
                }
                at = self.line.after(place);
                continue;
            }
            if !after.has_room() {
                after.again = true;
                break;
            }
            if has_value && !self.closed && !self.log.has_spare() {
                after.lack = Some(Lack::Log(self.log.grown()));
                break;
            }
            at = self.line.after(place);
            self.settle(place, after);
            if planted("bc_serves_one") {
                break;
            }
        }
        if self.line.len() == 0 {
            self.log.marks.rest();
        }
    }

    fn settle(&mut self, place: Place, after: &mut After<T>) {
        let Self {
            line,
            log,
            reserved,
            closed,
            ..
        } = self;
        let mut pushed = false;
        let waker = line.settle(place, |value| match value {
            value if *closed => Outcome::Closed(value),
            Some(value) => {
                pushed = true;
                Outcome::Published(log.push(value, &mut after.trash))
            }
            None => {
                *reserved += 1;
                Outcome::Reserved
            }
        });
        if let Some(waker) = waker {
            after.wake(waker);
        }
        if pushed {
            after.again |= self.log.is_untidy();
            if !planted("bc_hand_over_silent") {
                after.wake_sleepers(&mut self.sleepers);
            }
        }
    }
}
