//! What fits, whose turn it is, and what makes room.

use super::{Pushed, Refusal, State, Step};
use crate::queue::DropReason;
use crate::queue::victims::Victims;
use crate::queue::waiters::{Claims, Key, Need};
use crate::sync::planted;

/// How often calls that find room at once may overtake the waiter at the head before room is held for it.
pub(super) const OVERTAKES: u32 = 32;

/// How often calls may overtake a waiter at the head that was woken before it is taken for one that will not come soon.
pub(super) const PASSED_BY: u32 = 256;

impl<T> State<T> {
    /// Whether a call may take what `need` says now: a waiter whose turn it is, or a newcomer that finds room beyond what is
    /// held.
    pub(super) fn may_enter(&self, need: Need, key: Option<Key>) -> bool {
        if planted("waiter_out_of_turn") {
            return self.fits(need, Claims::default());
        }
        if let Some(key) = key.filter(|key| !self.pushing.is_woken(*key)) {
            // Not woken, for one is woken at a time; but if it happens to be asked, there may be room for all up to it.
            return !self.ring.is_weighted() && self.room() > self.pushing.ahead_of(key);
        }
        let ahead = self.ahead(key);
        // Where one ahead waits for weight that is not there, nobody behind it enters.
        (key.is_none() || ahead.weight <= self.spare_weight()) && self.fits(need, ahead)
    }

    /// Whether a push of this weight would be answered at once: it enters, or is refused for good.
    pub(in crate::queue) fn would_answer(&self, weight: usize, key: Option<Key>) -> bool {
        self.is_closed() || weight > self.max_weight || self.may_enter(Need::Room { weight }, key)
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
            Some(need) if self.overtakes >= OVERTAKES && need.weight() <= self.max_weight => {
                Claims {
                    units: need.units(),
                    weight: need.weight(),
                }
            }
            _ => Claims::default(),
        }
    }

    pub(in crate::queue) fn fits(&self, need: Need, ahead: Claims) -> bool {
        need.weight() <= self.spare_weight().saturating_sub(ahead.weight)
            && (need.units() == 0 || self.room() > ahead.units)
    }

    /// There is no room for a newcomer, and evicting would not make any: the slots are promised or held.
    pub(in crate::queue) fn is_choked(&self, weight: usize) -> bool {
        !self.may_enter(Need::Room { weight }, None) && self.in_the_way(weight) > self.ring.len()
    }

    /// How many of the oldest have to go for a newcomer that finds no room: one at least, for then the newcomer needs
    /// nothing that is held for others.
    pub(super) fn in_the_way(&self, weight: usize) -> usize {
        let slots = self.ring.len().saturating_add(self.reserved);
        self.beyond(slots, weight).max(1)
    }

    /// How many of the oldest do not fit any more beside one more item, if so many `slots` are taken.
    pub(super) fn beyond(&self, slots: usize, weight: usize) -> usize {
        let heavy = match weight.checked_sub(self.spare_weight()) {
            None | Some(0) => 0,
            Some(missing) => {
                missing.saturating_add(self.ring.weight().saturating_sub(self.max_weight))
            }
        };
        let many = slots.saturating_add(1).saturating_sub(self.capacity);
        many.max(self.ring.oldest_weighing(heavy))
    }

    pub(super) const fn spare_weight(&self) -> usize {
        self.max_weight.saturating_sub(self.ring.weight())
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
        let step = self.put(slot, weight);
        if let Step::Done(_) = step {
            self.passed(key);
        }
        step
    }

    /// Enters on a slot held before; only its weight may overtake.
    pub(super) fn enter_reserved(
        &mut self,
        slot: &mut Option<T>,
        weight: usize,
        key: Option<Key>,
    ) -> Step<Pushed> {
        let step = self.put(slot, weight);
        if let Step::Done(_) = step {
            self.release();
            if weight > 0 {
                self.passed(key);
            }
        }
        step
    }

    /// Puts an item in for which there is room.
    pub(super) fn put(&mut self, slot: &mut Option<T>, weight: usize) -> Step<Pushed> {
        if self.ring.spare() == 0 {
            return Step::Grow(1);
        }
        if let Some(item) = slot.take() {
            self.ring.push(item, weight);
            self.count_in(1);
        }
        Step::Done(Pushed::Queued)
    }

    /// Counts what has been put in.
    pub(super) fn count_in(&mut self, items: usize) {
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
        if !victims.has_room(1) {
            return Step::Stop(Pushed::Crowded(1));
        }
        if let Some(item) = slot.take() {
            self.count.pushed += 1;
            self.count.dropped_newest += 1;
            victims.push(item, DropReason::Newest);
        }
        Step::Done(Pushed::Queued)
    }

    /// Evicts the oldest. There must be room for so many victims.
    pub(super) fn evict(&mut self, items: usize, victims: &mut Victims<'_, T>) {
        for _ in 0..items {
            let Some(item) = self.ring.pop() else { return };
            self.count.dropped_oldest += u64::from(!planted("evict_uncounted"));
            victims.push(item, DropReason::Oldest);
        }
    }

    /// Evicts what does not fit any more. `Err`: make room for so many victims and call again.
    pub(in crate::queue) fn shrink(&mut self, victims: &mut Victims<'_, T>) -> Result<(), usize> {
        let taken = self.ring.len().saturating_add(self.reserved);
        let many = taken.saturating_sub(self.capacity).min(self.ring.len());
        let heavy = self.ring.weight().saturating_sub(self.max_weight);
        let items = many.max(self.ring.oldest_weighing(heavy));
        if !victims.has_room(items) {
            return Err(items);
        }
        self.evict(items, victims);
        Ok(())
    }
}
