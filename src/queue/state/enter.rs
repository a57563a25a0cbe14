//! How items and promises get in: room, turns, overflow.

use std::collections::VecDeque;

use super::{Pushed, Refusal, State, Step};
use crate::queue::Overflow;
use crate::queue::victims::Victims;
use crate::queue::waiters::{Key, Need};

impl<T> State<T> {
    /// Puts an item in, or applies `overflow` where it does not fit. One that waits weighs what it came with. Takes the item out of `slot` unless it answers
    /// that it is refused.
    pub(in crate::queue) fn push(
        &mut self,
        slot: &mut Option<T>,
        weight: usize,
        key: Option<Key>,
        overflow: Overflow,
        victims: &mut Victims<'_, T>,
    ) -> Step<Pushed> {
        let weight = key.map_or(weight, |key| self.pushing.need(key).weight());
        let need = Need::Room { weight };
        if let Some(refusal) = self.refuses(weight) {
            return self.refuse(refusal);
        }
        if self.may_enter(need, key) {
            return self.enter(slot, weight, key);
        }
        match overflow {
            Overflow::Wait => Step::Wait(need),
            Overflow::Reject => self.refuse(Refusal::Full),
            Overflow::DropNewest => self.drop_newest(slot, victims),
            Overflow::DropOldest => {
                let items = self.in_the_way(weight);
                if items > self.ring.len() {
                    return self.refuse(Refusal::Full);
                }
                if !victims.has_room(items) {
                    return Step::Stop(Pushed::Crowded(items));
                }
                self.evict(items, victims);
                self.put(slot, weight)
            }
        }
    }

    /// Puts as many items in from the front as fit, one or more, without weight or eviction. Answers how many.
    pub(in crate::queue) fn push_run(
        &mut self,
        items: &mut VecDeque<T>,
        key: Option<Key>,
        waits: bool,
    ) -> Step<Result<usize, Refusal>> {
        if self.closed {
            return self.decline(Refusal::Closed);
        }
        let need = Need::Room { weight: 0 };
        if !self.may_enter(need, key) {
            if waits {
                return Step::Wait(need);
            }
            return self.decline(Refusal::Full);
        }
        let run = items.len().min(self.room() - self.ahead(key).units);
        if self.ring.spare() < run {
            return Step::Grow(run);
        }
        self.ring.push_many(items, run);
        self.count_in(run);
        self.passed(key);
        if items.is_empty() || !waits {
            Step::Done(Ok(run))
        } else {
            Step::Stop(Ok(run))
        }
    }

    /// Puts an item in and, where it does not fit, takes the oldest out for the caller. What more must go for its
    /// weight is dropped.
    pub(in crate::queue) fn force(
        &mut self,
        slot: &mut Option<T>,
        weight: usize,
        oldest: &mut Option<T>,
        victims: &mut Victims<'_, T>,
    ) -> Step<Pushed> {
        if let Some(refusal) = self.refuses(weight) {
            return self.refuse(refusal);
        }
        if self.may_enter(Need::Room { weight }, None) {
            return self.enter(slot, weight, None);
        }
        let items = self.in_the_way(weight);
        if items > self.ring.len() {
            return self.refuse(Refusal::Full);
        }
        if !victims.has_room(items - 1) {
            return Step::Stop(Pushed::Crowded(items - 1));
        }
        *oldest = self.ring.pop();
        self.count.pulled += 1;
        self.evict(items - 1, victims);
        self.put(slot, weight)
    }

    /// Promises a slot.
    pub(in crate::queue) fn reserve(
        &mut self,
        key: Option<Key>,
        waits: bool,
    ) -> Step<Result<(), Refusal>> {
        let need = Need::Room { weight: 0 };
        if self.closed {
            self.decline(Refusal::Closed)
        } else if self.may_enter(need, key) {
            self.reserved += 1;
            self.passed(key);
            Step::Done(Ok(()))
        } else if waits {
            Step::Wait(need)
        } else {
            self.decline(Refusal::Full)
        }
    }

    /// Gives a promised slot back.
    pub(in crate::queue) fn release(&mut self) {
        if !self.revoked {
            self.reserved -= 1;
        }
    }

    /// Puts an item into a promised slot. Where its weight does not fit, `overflow` decides: it is refused and the slot
    /// is gone, or others, or it itself, are dropped.
    pub(in crate::queue) fn redeem(
        &mut self,
        slot: &mut Option<T>,
        weight: usize,
        overflow: Overflow,
        victims: &mut Victims<'_, T>,
    ) -> Step<Pushed> {
        if self.revoked {
            return self.refuse(Refusal::Closed);
        }
        if weight > self.max_weight {
            self.release();
            return self.refuse(Refusal::TooHeavy);
        }
        if overflow == Overflow::DropOldest {
            let items = self.beyond(self.ring.len(), weight);
            if !victims.has_room(items) {
                return Step::Stop(Pushed::Crowded(items));
            }
            self.evict(items, victims);
        } else if !self.may_enter(Need::Weight { weight }, None) {
            self.release();
            return match overflow {
                Overflow::DropNewest => self.drop_newest(slot, victims),
                _ => self.refuse(Refusal::Full),
            };
        }
        self.enter_reserved(slot, weight, None)
    }

    /// Puts the item of a sink, `parked` or new, into the slot it holds as soon as its weight fits.
    pub(in crate::queue) fn redeem_in_turn(
        &mut self,
        slot: &mut Option<T>,
        weight: usize,
        key: Option<Key>,
        parked: bool,
    ) -> Step<Result<(), Refusal>> {
        if self.revoked {
            return self.decline(Refusal::Closed);
        }
        if weight > self.max_weight {
            self.parked -= usize::from(parked);
            self.release();
            return self.decline(Refusal::TooHeavy);
        }
        let need = Need::Weight { weight };
        if self.may_enter(need, key) {
            return match self.enter_reserved(slot, weight, key) {
                Step::Grow(n) => Step::Grow(n),
                _ => {
                    self.parked -= usize::from(parked);
                    Step::Done(Ok(()))
                }
            };
        }
        Step::Wait(need)
    }

    /// Notes that a sink keeps its item in its handle.
    pub(in crate::queue) fn park(&mut self) {
        self.parked += 1;
    }

    /// Takes back what a sink had parked, and its slot.
    pub(in crate::queue) fn unpark(&mut self) {
        if !self.revoked {
            self.parked -= 1;
            self.reserved -= 1;
        }
    }
}
