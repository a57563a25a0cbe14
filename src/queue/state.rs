//! The rules of a queue: pure state under one lock, which knows neither polling nor clocks.
//!
//! Nothing in here runs user code, allocates or wakes. A step that would have to allocate says so ([`Step::Grow`],
//! [`Step::Stop`]) and is made again when the room is there; whom to wake is found by [`State::settle`] at the end of
//! every critical section, which is the one place where the rules of waking stand.

use std::collections::VecDeque;

use crate::sync::planted;
use crate::wake::WakeList;

use super::ring::Ring;
use super::victims::Victims;
use super::waiters::{Claims, Key, Need, Verdict, Waiters};
use super::{DropReason, Overflow, QueueStats};

/// How often calls that find room at once may overtake the waiter at the head before room is held for it.
const OVERTAKES: u32 = 32;

/// What a step came to.
pub(super) enum Step<R> {
    /// Finished; a place among the waiters is given up.
    Done(R),
    /// Not finished, to be told to the caller; a place among the waiters is kept.
    Stop(R),
    /// Nothing to be done before this need is met.
    Wait(Need),
    /// The ring needs this many more slots before the step can be made.
    Grow(usize),
}

/// Why an item was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Full,
    Closed,
    TooHeavy,
}

/// The answer to a push.
pub(super) enum Pushed {
    Queued,
    Refused(Refusal),
    /// Make room for one more victim and call again.
    Crowded,
}

/// Lists of waiters.
#[derive(Clone, Copy, Debug)]
pub(super) enum Side {
    Pushing,
    Pulling,
    Watching,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) pushed: u64,
    pub(super) pulled: u64,
    pub(super) dropped_newest: u64,
    pub(super) dropped_oldest: u64,
    pub(super) abandoned: u64,
    pub(super) refused: u64,
    pub(super) cancelled: u64,
    pub(super) producer_waits: u64,
    pub(super) consumer_waits: u64,
    peak_len: usize,
}

pub(super) struct State<T> {
    pub(super) ring: Ring<T>,
    pub(super) capacity: usize,
    pub(super) max_weight: usize,
    pub(super) count: Counters,
    /// Slots promised and not used yet.
    reserved: usize,
    /// Items that wait for weight in the handle of a sink, each on a reserved slot.
    parked: usize,
    closed: bool,
    /// Promises are void: nothing will enter any more.
    revoked: bool,
    overtakes: u32,
    pub(super) producers: usize,
    consumers: usize,
    pushing: Waiters,
    pulling: Waiters,
    watching: Waiters,
}

impl<T> State<T> {
    pub(super) fn new(capacity: usize, max_weight: Option<usize>) -> Self {
        Self {
            ring: Ring::new(max_weight.is_some()),
            capacity,
            max_weight: max_weight.unwrap_or(usize::MAX),
            count: Counters::default(),
            reserved: 0,
            parked: 0,
            closed: false,
            revoked: false,
            overtakes: 0,
            producers: 1,
            consumers: 1,
            pushing: Waiters::new(),
            pulling: Waiters::new(),
            watching: Waiters::new(),
        }
    }

    // -- entering ------------------------------------------------------------------------------------------------

    /// Puts an item in, or applies `overflow` where it does not fit. Takes the item out of `slot` unless it answers
    /// that it is refused.
    pub(super) fn push(
        &mut self,
        slot: &mut Option<T>,
        weight: usize,
        key: Option<Key>,
        overflow: Overflow,
        victims: &mut Victims<'_, T>,
    ) -> Step<Pushed> {
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
            Overflow::DropOldest if self.is_choked() => self.refuse(Refusal::Full),
            Overflow::DropOldest => loop {
                if self.fits(need, Claims::default()) {
                    break self.enter(slot, weight, key);
                }
                match self.evict(victims) {
                    Evicted::One => {}
                    Evicted::Nothing => break self.refuse(Refusal::Full),
                    Evicted::Crowded => break Step::Stop(Pushed::Crowded),
                }
            },
        }
    }

    /// Puts as many items in from the front as fit, one or more, without weight or eviction. Answers how many.
    pub(super) fn push_run(
        &mut self,
        items: &mut VecDeque<T>,
        key: Option<Key>,
        waits: bool,
    ) -> Step<Result<usize, Refusal>> {
        if self.closed {
            self.count.refused += 1;
            return Step::Done(Err(Refusal::Closed));
        }
        let need = Need::Room { weight: 0 };
        if !self.may_enter(need, key) {
            if waits {
                return Step::Wait(need);
            }
            self.count.refused += 1;
            return Step::Done(Err(Refusal::Full));
        }
        let run = items.len().min(self.room() - self.ahead(key).units);
        if self.ring.spare() < run {
            return Step::Grow(run);
        }
        self.ring.push_many(items, run);
        self.entered(run, key);
        if items.is_empty() || !waits {
            Step::Done(Ok(run))
        } else {
            Step::Stop(Ok(run))
        }
    }

    /// Puts an item in and, where it does not fit, takes the oldest out for the caller. What more must go for its
    /// weight is dropped.
    pub(super) fn force(
        &mut self,
        slot: &mut Option<T>,
        weight: usize,
        oldest: &mut Option<T>,
        victims: &mut Victims<'_, T>,
    ) -> Step<Pushed> {
        if let Some(refusal) = self.refuses(weight) {
            return self.refuse(refusal);
        }
        if self.is_choked() {
            return self.refuse(Refusal::Full);
        }
        loop {
            if self.fits(Need::Room { weight }, Claims::default()) {
                return self.enter(slot, weight, None);
            }
            if oldest.is_none() {
                *oldest = self.ring.pop();
                if oldest.is_none() {
                    return self.refuse(Refusal::Full);
                }
                self.count.pulled += 1;
            } else {
                match self.evict(victims) {
                    Evicted::One => {}
                    Evicted::Nothing => return self.refuse(Refusal::Full),
                    Evicted::Crowded => return Step::Stop(Pushed::Crowded),
                }
            }
        }
    }

    /// Promises a slot.
    pub(super) fn reserve(&mut self, key: Option<Key>, waits: bool) -> Step<Result<(), Refusal>> {
        let need = Need::Room { weight: 0 };
        if self.closed {
            self.count.refused += 1;
            Step::Done(Err(Refusal::Closed))
        } else if self.may_enter(need, key) {
            self.reserved += 1;
            self.passed(key);
            Step::Done(Ok(()))
        } else if waits {
            Step::Wait(need)
        } else {
            self.count.refused += 1;
            Step::Done(Err(Refusal::Full))
        }
    }

    /// Gives a promised slot back.
    pub(super) fn release(&mut self) {
        if !self.revoked {
            self.reserved -= 1;
        }
    }

    /// Puts an item into a promised slot. Where its weight does not fit, `overflow` decides: it is refused and the slot
    /// is gone, or others, or it itself, are dropped.
    pub(super) fn redeem(
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
        while !self.fits(Need::Weight { weight }, Claims::default()) {
            match overflow {
                Overflow::Wait | Overflow::Reject => {
                    self.release();
                    return self.refuse(Refusal::Full);
                }
                Overflow::DropNewest => {
                    self.release();
                    return self.drop_newest(slot, victims);
                }
                Overflow::DropOldest => {
                    if let Evicted::Crowded = self.evict(victims) {
                        return Step::Stop(Pushed::Crowded);
                    }
                }
            }
        }
        self.enter_reserved(slot, weight)
    }

    /// Puts the item of a sink, `parked` or new, into the slot it holds as soon as its weight fits.
    pub(super) fn redeem_in_turn(
        &mut self,
        slot: &mut Option<T>,
        weight: usize,
        key: Option<Key>,
        parked: bool,
    ) -> Step<Result<(), Refusal>> {
        if self.revoked {
            self.count.refused += 1;
            return Step::Done(Err(Refusal::Closed));
        }
        if weight > self.max_weight {
            self.parked -= usize::from(parked);
            self.release();
            self.count.refused += 1;
            return Step::Done(Err(Refusal::TooHeavy));
        }
        let need = Need::Weight { weight };
        if self.may_enter(need, key) {
            return match self.enter_reserved(slot, weight) {
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
    pub(super) fn park(&mut self) {
        self.parked += 1;
    }

    /// Takes back what a sink had parked, and its slot.
    pub(super) fn unpark(&mut self) {
        if !self.revoked {
            self.parked -= 1;
            self.reserved -= 1;
        }
    }

    fn enter(&mut self, slot: &mut Option<T>, weight: usize, key: Option<Key>) -> Step<Pushed> {
        if self.ring.spare() == 0 {
            return Step::Grow(1);
        }
        if let Some(item) = slot.take() {
            self.ring.push(item, weight);
            self.entered(1, key);
        }
        Step::Done(Pushed::Queued)
    }

    fn enter_reserved(&mut self, slot: &mut Option<T>, weight: usize) -> Step<Pushed> {
        if self.ring.spare() == 0 {
            return Step::Grow(1);
        }
        if let Some(item) = slot.take() {
            self.release();
            self.ring.push(item, weight);
            self.count.pushed += 1;
            self.count.peak_len = self.count.peak_len.max(self.ring.len());
        }
        Step::Done(Pushed::Queued)
    }

    fn entered(&mut self, items: usize, key: Option<Key>) {
        self.count.pushed += items as u64;
        self.count.peak_len = self.count.peak_len.max(self.ring.len());
        self.passed(key);
    }

    /// Keeps the account of who overtook whom.
    fn passed(&mut self, key: Option<Key>) {
        match key {
            None if !self.pushing.is_empty() => self.overtakes = self.overtakes.saturating_add(1),
            Some(key) if self.pushing.is_first(key) => self.overtakes = 0,
            _ => {}
        }
    }

    fn refuses(&self, weight: usize) -> Option<Refusal> {
        if self.closed {
            Some(Refusal::Closed)
        } else if weight > self.max_weight {
            Some(Refusal::TooHeavy)
        } else {
            None
        }
    }

    fn refuse(&mut self, refusal: Refusal) -> Step<Pushed> {
        self.count.refused += 1;
        Step::Done(Pushed::Refused(refusal))
    }

    fn drop_newest(&mut self, slot: &mut Option<T>, victims: &mut Victims<'_, T>) -> Step<Pushed> {
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

    fn evict(&mut self, victims: &mut Victims<'_, T>) -> Evicted {
        if !victims.has_room() {
            return Evicted::Crowded;
        }
        let Some(item) = self.ring.pop() else {
            return Evicted::Nothing;
        };
        self.count.dropped_oldest += 1;
        victims.push(item, DropReason::Oldest);
        Evicted::One
    }

    /// Whether a call may take what `need` says now: a waiter that was woken and whose turn it is, or a newcomer that
    /// finds room beyond what is held.
    fn may_enter(&self, need: Need, key: Option<Key>) -> bool {
        let turn = key.is_none_or(|key| self.pushing.is_woken(key));
        (turn || planted("waiter_out_of_turn")) && self.fits(need, self.ahead(key))
    }

    /// What is not for this call: the claims of those ahead of a waiter, or what is held against newcomers.
    fn ahead(&self, key: Option<Key>) -> Claims {
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

    fn fits(&self, need: Need, ahead: Claims) -> bool {
        let weight = self.ring.weight().saturating_add(ahead.weight);
        need.weight() <= self.max_weight.saturating_sub(weight)
            && (need.units() == 0 || self.room() > ahead.units)
    }

    /// Every slot is promised, so that evicting makes no room.
    pub(super) const fn is_choked(&self) -> bool {
        self.reserved >= self.capacity
    }

    fn room(&self) -> usize {
        self.capacity
            .saturating_sub(self.ring.len().saturating_add(self.reserved))
    }

    // -- leaving -------------------------------------------------------------------------------------------------

    /// Takes the first item; `None` when there will never be one.
    pub(super) fn pull(&mut self, key: Option<Key>) -> Step<Option<T>> {
        if self.may_take(key) {
            if let Some(item) = self.ring.pop() {
                self.count.pulled += 1;
                return Step::Done(Some(item));
            }
        }
        if self.is_finished() {
            Step::Done(None)
        } else {
            Step::Wait(Need::Item)
        }
    }

    /// Moves up to `limit` items into `out`; 0 when there will never be one. `Err` says how much room `out` needs.
    pub(super) fn pull_run(
        &mut self,
        key: Option<Key>,
        out: &mut Vec<T>,
        limit: usize,
    ) -> Step<Result<usize, usize>> {
        if self.ring.len() > 0 && self.may_take(key) {
            return self.take(out, limit);
        }
        if self.is_finished() {
            Step::Done(Ok(0))
        } else {
            Step::Wait(Need::Item)
        }
    }

    /// Moves `max` items into `out`, or what there is if waiting for more is over or of no use.
    pub(super) fn pull_batch(
        &mut self,
        key: Option<Key>,
        out: &mut Vec<T>,
        max: usize,
        late: bool,
    ) -> Step<Result<usize, usize>> {
        let len = self.ring.len();
        let enough = match key {
            None => len >= max,
            Some(_) => self.may_take(key) && len >= max,
        };
        let useless = self.closed || self.pushing.sleeping() > 0;
        if enough || (len > 0 && (late || useless)) {
            return self.take(out, max);
        }
        if late || self.is_finished() {
            Step::Done(Ok(0))
        } else {
            Step::Wait(Need::Run { items: max })
        }
    }

    fn take(&mut self, out: &mut Vec<T>, limit: usize) -> Step<Result<usize, usize>> {
        let run = limit.min(self.ring.len());
        if out.capacity() - out.len() < run {
            return Step::Stop(Err(run));
        }
        self.ring.pop_many(out, run);
        self.count.pulled += run as u64;
        Step::Done(Ok(run))
    }

    /// Takes everything for a caller.
    pub(super) fn take_all(&mut self) -> VecDeque<T> {
        self.count.pulled += self.ring.len() as u64;
        self.ring.take()
    }

    fn may_take(&self, key: Option<Key>) -> bool {
        let Some(key) = key else { return true };
        if !self.pulling.is_woken(key) {
            return false;
        }
        let len = self.ring.len();
        self.closed
            || self.pulling.claims().units <= len
            || self.pulling.claims_ahead(key).units < len
    }

    // -- bounds --------------------------------------------------------------------------------------------------

    /// Evicts what does not fit any more. False: make room for more victims and call again.
    pub(super) fn shrink(&mut self, victims: &mut Victims<'_, T>) -> bool {
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

    // -- life ----------------------------------------------------------------------------------------------------

    pub(super) const fn is_closed(&self) -> bool {
        self.closed
    }

    pub(super) const fn is_revoked(&self) -> bool {
        self.revoked
    }

    /// How many items may still come after close.
    pub(super) const fn coming(&self) -> usize {
        self.reserved
    }

    /// Nothing is in and nothing will come.
    pub(super) fn is_finished(&self) -> bool {
        self.closed && self.ring.len() == 0 && (self.reserved == 0 || planted("forget_reserved"))
    }

    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    /// Closes and makes promises void.
    pub(super) fn revoke(&mut self) {
        self.closed = true;
        self.revoked = true;
        self.reserved = 0;
        self.parked = 0;
    }

    pub(super) fn add_consumer(&mut self) {
        self.consumers += 1;
    }

    /// The queue is closed with its last producer.
    pub(super) fn remove_producer(&mut self) {
        self.producers -= 1;
        if self.producers == 0 && !planted("last_producer_open") {
            self.close();
        }
    }

    /// With its last consumer the queue is closed, and what is in it comes back to be dropped.
    pub(super) fn remove_consumer(&mut self) -> VecDeque<T> {
        self.consumers -= 1;
        if self.consumers > 0 {
            return VecDeque::new();
        }
        if !planted("last_consumer_open") {
            self.revoke();
        }
        self.count.abandoned += self.ring.len() as u64;
        self.ring.take()
    }

    pub(super) const fn is_sole_consumer(&self) -> bool {
        self.consumers == 1
    }

    // -- waiting -------------------------------------------------------------------------------------------------

    pub(super) fn side(&mut self, side: Side) -> &mut Waiters {
        match side {
            Side::Pushing => &mut self.pushing,
            Side::Pulling => &mut self.pulling,
            Side::Watching => &mut self.watching,
        }
    }

    /// Gives up a place. The waker that comes back is to be dropped outside of the lock.
    pub(super) fn leave(&mut self, side: Side, key: Key) -> Option<std::task::Waker> {
        if matches!(side, Side::Pushing) && self.pushing.is_first(key) {
            self.overtakes = 0;
        }
        self.side(side).remove(key)
    }

    /// Counts a call that has to wait.
    pub(super) fn waits(&mut self, side: Side) {
        match side {
            Side::Pushing => self.count.producer_waits += 1,
            Side::Pulling => self.count.consumer_waits += 1,
            Side::Watching => {}
        }
    }

    /// Wakes whoever can go on after a change, as far as `wakes` has room, and answers how many more there are.
    ///
    /// An item or a slot wakes at most one waiter: those woken before lay claim to what they were woken for until they
    /// act or leave.
    pub(super) fn settle(&mut self, wakes: &mut WakeList) -> usize {
        let mut beyond = 0;
        if self.pushing.sleeping() > 0 {
            beyond += self.wake_producers(wakes);
        }
        if self.pulling.sleeping() > 0 {
            beyond += self.wake_consumers(wakes);
        }
        if self.closed && self.watching.sleeping() > 0 {
            let finished = self.is_finished();
            beyond += self.watching.wake(wakes, |need| match need {
                Need::Drained if !finished => Verdict::Skip,
                _ => Verdict::Wake,
            });
        }
        beyond
    }

    fn wake_producers(&mut self, wakes: &mut WakeList) -> usize {
        let claims = self.pushing.claims();
        let mut slots = self.room().saturating_sub(claims.units);
        let used = self.ring.weight().saturating_add(claims.weight);
        let mut weight = self.max_weight.saturating_sub(used);
        let (closed, revoked, max) = (self.closed, self.revoked, self.max_weight);
        if slots == 0 && self.parked == 0 && !closed && !self.ring.is_weighted() {
            return 0;
        }
        if closed && planted("close_forgets_producers") {
            return 0;
        }
        self.pushing.wake(wakes, |need| match need {
            _ if revoked || need.weight() > max => Verdict::Wake,
            Need::Weight { weight: own } if own <= weight => {
                weight -= own;
                Verdict::Wake
            }
            Need::Weight { .. } => {
                weight = 0;
                if closed { Verdict::Skip } else { Verdict::Stop }
            }
            _ if closed => Verdict::Wake,
            // Without a slot nobody behind can go on but a sink that holds one.
            _ if slots == 0 => Verdict::Skip,
            _ if need.weight() <= weight => {
                slots -= 1;
                weight -= need.weight();
                Verdict::Wake
            }
            _ => Verdict::Stop,
        })
    }

    fn wake_consumers(&mut self, wakes: &mut WakeList) -> usize {
        let finished = self.is_finished();
        if finished {
            if planted("close_forgets_consumers") {
                return 0;
            }
            return self.pulling.wake(wakes, |_| Verdict::Wake);
        }
        let mut items = self.ring.len().saturating_sub(self.pulling.claims().units);
        let useless = self.closed || self.pushing.sleeping() > 0;
        if planted("wake_two_short") {
            items = items.saturating_sub(1);
        }
        self.pulling.wake(wakes, |need| match need {
            _ if items == 0 => Verdict::Stop,
            Need::Run { items: run } if run > items && !useless => Verdict::Skip,
            _ => {
                items = items.saturating_sub(need.units());
                Verdict::Wake
            }
        })
    }

    pub(super) fn stats(&self) -> QueueStats {
        let count = &self.count;
        QueueStats {
            pushed: count.pushed,
            pulled: count.pulled,
            dropped: count.dropped_newest + count.dropped_oldest + count.abandoned,
            dropped_newest: count.dropped_newest,
            dropped_oldest: count.dropped_oldest,
            abandoned: count.abandoned,
            refused: count.refused,
            cancelled: count.cancelled,
            len: self.ring.len(),
            weight: self.ring.weight(),
            capacity: self.capacity,
            peak_len: count.peak_len,
            reserved: self.reserved,
            parked: self.parked,
            producers: self.producers,
            consumers: self.consumers,
            waiting_producers: self.pushing.len(),
            waiting_consumers: self.pulling.len(),
            producer_waits: count.producer_waits,
            consumer_waits: count.consumer_waits,
        }
    }
}

enum Evicted {
    One,
    Nothing,
    Crowded,
}
