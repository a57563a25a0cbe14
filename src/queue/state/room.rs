//! What fits, whose turn it is, and what makes room.

use super::{Pushed, Refusal, State, Step};
use crate::queue::DropReason;
use crate::queue::victims::Victims;
use crate::queue::waiters::{Claims, Key, Need};
use crate::sync::planted;

/// How often calls that find room at once may overtake the waiter at the head before room is held for it.
const OVERTAKES: u32 = 32;

impl<T> State<T> {
    /// Whether a call may take what `need` says now: a waiter that was woken and whose turn it is, or a newcomer that
    /// finds room beyond what is held.
    pub(super) fn may_enter(&self, need: Need, key: Option<Key>) -> bool {
        if planted("waiter_out_of_turn") {
            return self.fits(need, Claims::default());
        }
        key.is_none_or(|key| self.pushing.is_woken(key)) && self.fits(need, self.ahead(key))
    }

    /// What is not for this call: the claims of those ahead of a waiter, or what is held against newcomers.
    pub(super) fn ahead(&self, key: Option<Key>) -> Claims {
        match key {
            None => self.held(),
            Some(key) if self.pushing.is_first(key) => Claims::default(),
            Some(key) => self.pushing.claims_ahead(key),
        }
    }

    /// Room held for the waiter at the head, after it has been overtaken often enough.
    fn held(&self) -> Claims {
        match self.pushing.first() {
            Some(need) if self.overtakes >= OVERTAKES => Claims {
                units: need.units(),
                weight: need.weight(),
            },
            _ => Claims::default(),
        }
    }

    pub(in crate::queue) fn fits(&self, need: Need, ahead: Claims) -> bool {
        let weight = self.ring.weight().saturating_add(ahead.weight);
        need.weight() <= self.max_weight.saturating_sub(weight)
            && (need.units() == 0 || self.room() > ahead.units)
    }

    /// Every slot is promised, so that evicting makes no room.
    pub(in crate::queue) const fn is_choked(&self) -> bool {
        self.reserved >= self.capacity
    }

    pub(in crate::queue) fn room(&self) -> usize {
        self.capacity
            .saturating_sub(self.ring.len().saturating_add(self.reserved))
    }

    pub(super) fn enter(
        &mut self,
        slot: &mut Option<T>,
        weight: usize,
        key: Option<Key>,
    ) -> Step<Pushed> {
        if self.ring.spare() == 0 {
            return Step::Grow(1);
        }
        if let Some(item) = slot.take() {
            self.ring.push(item, weight);
            self.entered(1, key);
        }
        Step::Done(Pushed::Queued)
    }

    pub(super) fn enter_reserved(&mut self, slot: &mut Option<T>, weight: usize) -> Step<Pushed> {
        if self.ring.spare() == 0 {
            return Step::Grow(1);
        }
        if let Some(item) = slot.take() {
            self.release();
            self.ring.push(item, weight);
            self.count_in(1);
        }
        Step::Done(Pushed::Queued)
    }

    pub(super) fn entered(&mut self, items: usize, key: Option<Key>) {
        self.count_in(items);
        self.passed(key);
    }

    fn count_in(&mut self, items: usize) {
        self.count.pushed += items as u64;
        self.count.peak_len = self.count.peak_len.max(self.ring.len());
    }

    /// Keeps the account of who overtook whom.
    pub(super) fn passed(&mut self, key: Option<Key>) {
        match key {
            None if !self.pushing.is_empty() => self.overtakes = self.overtakes.saturating_add(1),
            Some(key) if self.pushing.is_first(key) => self.overtakes = 0,
            _ => {}
        }
    }

    pub(super) fn refuses(&self, weight: usize) -> Option<Refusal> {
        if self.closed {
            Some(Refusal::Closed)
        } else if weight > self.max_weight {
            Some(Refusal::TooHeavy)
        } else {
            None
        }
    }

    pub(super) fn refuse(&mut self, refusal: Refusal) -> Step<Pushed> {
        self.count.refused += 1;
        Step::Done(Pushed::Refused(refusal))
    }

    /// The same where the answer is a `Result`.
    pub(super) fn decline<R>(&mut self, refusal: Refusal) -> Step<Result<R, Refusal>> {
        self.count.refused += 1;
        Step::Done(Err(refusal))
    }

    pub(super) fn drop_newest(
        &mut self,
        slot: &mut Option<T>,
        victims: &mut Victims<'_, T>,
    ) -> Step<Pushed> {
        if !victims.has_room() {
            return Step::Stop(Pushed::Crowded);
        }
        if let Some(item) = slot.take() {
            self.count.pushed += 1;
            self.count.dropped_newest += 1;
            victims.push(item, DropReason::Newest);
        }
        Step::Done(Pushed::Queued)
    }

    pub(super) fn evict(&mut self, victims: &mut Victims<'_, T>) -> Evicted {
        if !victims.has_room() {
            return Evicted::Crowded;
        }
        let Some(item) = self.ring.pop() else {
            return Evicted::Nothing;
        };
        self.count.dropped_oldest += u64::from(!planted("evict_uncounted"));
        victims.push(item, DropReason::Oldest);
        Evicted::One
    }

    /// Evicts what does not fit any more. False: make room for more victims and call again.
    pub(in crate::queue) fn shrink(&mut self, victims: &mut Victims<'_, T>) -> bool {
        while self.ring.len().saturating_add(self.reserved) > self.capacity
            || self.ring.weight() > self.max_weight
        {
            match self.evict(victims) {
                Evicted::One => {}
                Evicted::Nothing => break,
                Evicted::Crowded => return false,
            }
        }
        true
    }
}

/// What came of making room.
pub(super) enum Evicted {
    One,
    Nothing,
    Crowded,
}
