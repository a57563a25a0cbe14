//! How far a group has come in one partition, and what became of each delivery beyond.

mod keys;
mod overdue;
mod runs;
mod take;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

use tokio::time::Instant;

use super::Settle;
use keys::Keys;
use runs::Runs;

pub(super) use take::Pull;

/// A window of slots over the offsets from the first unacknowledged one to the last one delivered.
pub(super) struct Cursor {
    low: u64,
    /// The slot of offset `low + index`.
    slots: VecDeque<Slot>,
    committed: Option<u64>,
    /// Slots that are out.
    out: usize,
    /// Slots that wait.
    waiting: usize,
    deadlines: Runs,
    /// Later deadlines of single deliveries. An entry counts while its slot is out with as many attempts.
    extended: BTreeMap<u64, (u32, Instant)>,
    /// Redeliveries, the first due on top. An entry counts while its slot waits with as many attempts.
    redeliveries: BinaryHeap<Reverse<Redelivery>>,
    /// In ordered mode, which keys are taken.
    keys: Option<Keys>,
    /// When something was last taken: a time that is past, for what is due at once.
    taken: Option<Instant>,
    /// It was reported that the window is full, and that is still so.
    full_told: bool,
    change: Change,
    /// How often records that were not taken yet were delivered before there was this cursor; mostly none.
    before: BTreeMap<u64, u32>,
}

#[derive(Clone, Copy)]
struct Slot {
    /// How often it was delivered.
    attempts: u32,
    state: State,
    /// It was delivered under this assignment, and the member has not said that it failed.
    mine: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Delivered, and neither answered nor overdue.
    Out,
    Acked,
    /// To be delivered when it is due. There is an entry among the redeliveries.
    Waiting,
    /// Due, and behind another of its key.
    Behind,
    /// Failed for the last time, and not yet dealt with.
    GivenUp,
}

/// `at` is `None` only where nothing was ever taken.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Redelivery {
    at: Option<Instant>,
    offset: u64,
    attempts: u32,
}

/// What a call brought about beside its answer.
#[derive(Clone, Copy, Default)]
pub(super) struct Change {
    /// The committed offset is another one.
    pub(super) moved: bool,
    /// There may be something to take that was not there before.
    pub(super) stirred: bool,
}

/// What became of a nack.
pub(super) enum Nacked {
    Waits,
    /// After so many attempts.
    GivenUp(u32),
    Not(Settle),
}

impl Cursor {
    pub(super) fn new(at: u64, committed: Option<u64>) -> Self {
        Self {
            low: at,
            slots: VecDeque::new(),
            committed,
            out: 0,
            waiting: 0,
            deadlines: Runs::default(),
            extended: BTreeMap::new(),
            redeliveries: BinaryHeap::new(),
            keys: None,
            taken: None,
            full_told: false,
            change: Change::default(),
            before: BTreeMap::new(),
        }
    }

    pub(super) fn low(&self) -> u64 {
        self.low
    }

    pub(super) fn next(&self) -> u64 {
        self.low + self.slots.len() as u64
    }

    pub(super) fn committed(&self) -> Option<u64> {
        self.committed
    }

    /// Deliveries that are neither answered nor overdue.
    pub(super) fn out(&self) -> usize {
        self.out
    }

    /// When a delivery is overdue. May be early.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadlines.first().filter(|_| self.out > 0)
    }

    /// When a redelivery is due; past where one is now.
    pub(super) fn redelivery(&self) -> Option<Instant> {
        let Reverse(first) = self.redeliveries.peek()?;
        first.at.filter(|_| self.waiting > 0)
    }

    /// Whether something changed since `change` was called that was not so before.
    pub(super) fn is_changed(&self, told_moved: bool) -> bool {
        self.change.stirred || (self.change.moved && !told_moved)
    }

    /// What changed since the last call.
    pub(super) fn change(&mut self) -> Change {
        std::mem::take(&mut self.change)
    }

    pub(super) fn ack(&mut self, offset: u64) -> Settle {
        if offset < self.low {
            return Settle::Late;
        }
        match self.slot(offset) {
            None => Settle::Unknown,
            Some(slot) if slot.attempts == 0 => Settle::Unknown,
            Some(slot) if slot.state == State::Acked => Settle::Late,
            Some(_) => {
                self.acknowledge(offset);
                let moved = self.advance();
                Settle::Done { moved }
            }
        }
    }

    pub(super) fn nack(&mut self, offset: u64, at: Instant, max_attempts: Option<u32>) -> Nacked {
        if offset < self.low {
            return Nacked::Not(Settle::Late);
        }
        let Some(slot) = self.slot_mut(offset) else {
            return Nacked::Not(Settle::Unknown);
        };
        if slot.attempts == 0 {
            return Nacked::Not(Settle::Unknown);
        }
        // Also where it was overdue before: the member has said that it failed.
        slot.mine = false;
        if slot.state != State::Out {
            return Nacked::Not(Settle::Late);
        }
        match self.fail(offset, at, max_attempts) {
            None => Nacked::Waits,
            Some(attempts) => Nacked::GivenUp(attempts),
        }
    }

    /// Records in between that were never delivered, because they are behind others of their keys, stay undelivered.
    pub(super) fn commit_to(&mut self, offset: u64) -> Settle {
        if offset < self.low {
            return Settle::Late;
        }
        if self.slot(offset).is_none_or(|slot| slot.attempts == 0) {
            return Settle::Unknown;
        }
        self.acknowledge_below(offset + 1, |slot| slot.attempts > 0);
        let moved = self.advance();
        Settle::Done { moved }
    }

    /// Acknowledges all that was delivered under this assignment and was not said to have failed. After a seek there may be
    /// nothing of that kind: the place itself is committed then.
    pub(super) fn commit_all(&mut self) -> Option<u64> {
        self.acknowledge_below(self.next(), |slot| slot.mine);
        self.pop_acked();
        if self.committed == Some(self.low) {
            return None;
        }
        self.change.moved = true;
        self.committed = Some(self.low);
        self.committed
    }

    /// A record that was given up counts as acknowledged.
    pub(super) fn given_up(&mut self, offset: u64) {
        self.acknowledge_if(offset, |slot| slot.state == State::GivenUp);
        self.advance();
    }

    /// A record that was given up is delivered again.
    pub(super) fn retry(&mut self, offset: u64, at: Instant) {
        if let Some(slot) = self.slot_mut(offset) {
            if slot.state == State::GivenUp {
                self.wait(offset, Some(at));
                self.change.stirred = true;
            }
        }
    }

    /// The owner answers no more: what is out is to be delivered again. Returns how much was left unacknowledged.
    pub(super) fn release(&mut self) -> u64 {
        let mut unacknowledged = 0;
        for offset in self.low..self.next() {
            let Some(slot) = self.slot_mut(offset) else {
                continue;
            };
            let mine = std::mem::replace(&mut slot.mine, false);
            if slot.state == State::Out {
                self.wait(offset, self.taken);
                unacknowledged += 1;
            } else if mine && slot.state != State::Acked && slot.state != State::GivenUp {
                unacknowledged += 1;
            }
        }
        self.deadlines.clear();
        self.extended.clear();
        self.full_told = false;
        unacknowledged
    }

    /// Everything below `first` is gone. Returns the first unacknowledged record that is, and how many are.
    fn cut(&mut self, first: u64) -> Option<(u64, u64)> {
        if first <= self.low {
            return None;
        }
        let from = self.low;
        let delivered = self.acknowledge_below(first.min(self.next()), |_| true);
        let missed = delivered + first.saturating_sub(self.next());
        self.pop_acked();
        // What is empty now may have ended before `first`.
        self.low = self.low.max(first);
        if !self.before.is_empty() {
            self.before = self.before.split_off(&self.low);
        }
        // Only an answer moves it back to where a seek went.
        let committed = self.committed.max(Some(self.low));
        self.change.moved |= committed != self.committed;
        self.committed = committed;
        Some((from, missed))
    }

    fn slot(&self, offset: u64) -> Option<&Slot> {
        let index = usize::try_from(offset.checked_sub(self.low)?).ok()?;
        self.slots.get(index)
    }

    fn slot_mut(&mut self, offset: u64) -> Option<&mut Slot> {
        let index = usize::try_from(offset.checked_sub(self.low)?).ok()?;
        self.slots.get_mut(index)
    }

    /// Acknowledges those before this offset that are chosen. Returns how many. `advance` is to follow.
    fn acknowledge_below(&mut self, end: u64, which: impl Fn(&Slot) -> bool) -> u64 {
        if self.keys.is_some() {
            let chosen = (self.low..end).filter(|&offset| self.acknowledge_if(offset, &which));
            return chosen.count() as u64;
        }
        let (mut chosen, mut out, mut waiting) = (0, 0, 0);
        let within = usize::try_from(end - self.low).unwrap_or(usize::MAX);
        for slot in self.slots.iter_mut().take(within) {
            if slot.state == State::Acked || !which(slot) {
                continue;
            }
            chosen += 1;
            out += usize::from(slot.state == State::Out);
            waiting += usize::from(slot.state == State::Waiting);
            slot.state = State::Acked;
        }
        self.no_longer_out(out);
        self.no_longer_waiting(waiting);
        chosen
    }

    fn acknowledge_if(&mut self, offset: u64, which: impl FnOnce(&Slot) -> bool) -> bool {
        let chosen = self
            .slot(offset)
            .is_some_and(|slot| slot.state != State::Acked && which(slot));
        if chosen {
            self.acknowledge(offset);
        }
        chosen
    }

    /// A slot that is not acknowledged yet becomes so. `advance` is to follow.
    fn acknowledge(&mut self, offset: u64) {
        let Some(slot) = self.slot_mut(offset) else {
            return;
        };
        match std::mem::replace(&mut slot.state, State::Acked) {
            State::Out => self.no_longer_out(1),
            State::Waiting => self.no_longer_waiting(1),
            State::Acked | State::Behind | State::GivenUp => {}
        }
        if self.keys.is_some() {
            self.free_key(offset);
        }
    }

    fn no_longer_out(&mut self, count: usize) {
        self.out -= count;
        if self.out == 0 {
            self.deadlines.clear();
            self.extended.clear();
        }
    }

    fn no_longer_waiting(&mut self, count: usize) {
        self.waiting -= count;
        if self.waiting == 0 {
            self.redeliveries.clear();
        }
    }

    /// The next record of a key has its turn.
    fn free_key(&mut self, offset: u64) {
        let (low, slots) = (self.low, &self.slots);
        let gone = |offset: u64| {
            let slot = offset
                .checked_sub(low)
                .and_then(|index| slots.get(usize::try_from(index).ok()?));
            slot.is_none_or(|slot| slot.state == State::Acked)
        };
        let Some(next) = self
            .keys
            .as_mut()
            .and_then(|keys| keys.free(offset - low, offset, gone))
        else {
            return;
        };
        if self.slot(next).is_some_and(|it| it.state == State::Behind) {
            self.wait(next, self.taken);
        }
        self.change.stirred = true;
    }

    /// A delivery that is out failed. Returns its attempts where they were the last.
    fn fail(&mut self, offset: u64, at: Instant, max_attempts: Option<u32>) -> Option<u32> {
        let slot = self.slot_mut(offset)?;
        let attempts = slot.attempts;
        if max_attempts.is_none_or(|max| attempts < max) {
            self.wait(offset, Some(at));
            return None;
        }
        slot.state = State::GivenUp;
        self.no_longer_out(1);
        Some(attempts)
    }

    /// A slot is to be delivered at this time.
    fn wait(&mut self, offset: u64, at: Option<Instant>) {
        let Some(slot) = self.slot_mut(offset) else {
            return;
        };
        let attempts = slot.attempts;
        let was = std::mem::replace(&mut slot.state, State::Waiting);
        if was == State::Out {
            self.no_longer_out(1);
        }
        self.waiting += 1;
        if self.redeliveries.len() > 2 * self.waiting + 32 {
            let mut redeliveries = std::mem::take(&mut self.redeliveries);
            redeliveries.retain(|Reverse(it)| self.is_waiting(it));
            self.redeliveries = redeliveries;
        }
        self.redeliveries.push(Reverse(Redelivery {
            at,
            offset,
            attempts,
        }));
    }

    fn is_waiting(&self, it: &Redelivery) -> bool {
        self.slot(it.offset)
            .is_some_and(|slot| slot.state == State::Waiting && slot.attempts == it.attempts)
    }

    /// Moves over what is acknowledged, and commits. Returns the committed offset where it moved.
    fn advance(&mut self) -> Option<u64> {
        if !self.pop_acked() {
            return None;
        }
        self.change.moved |= self.committed != Some(self.low);
        self.committed = Some(self.low);
        self.committed
    }

    fn pop_acked(&mut self) -> bool {
        let acked = |slot: &&Slot| slot.state == State::Acked;
        let count = self.slots.iter().take_while(acked).count();
        if count == 0 {
            return false;
        }
        match count {
            1 => drop(self.slots.pop_front()),
            _ => drop(self.slots.drain(..count)),
        }
        self.low += count as u64;
        if let Some(keys) = &mut self.keys {
            keys.forget(count);
        }
        if !self.extended.is_empty() {
            self.extended = self.extended.split_off(&self.low);
        }
        if self.slots.is_empty() && self.slots.capacity() > KEPT {
            self.slots.shrink_to(KEPT);
        }
        // There is room again where there was none.
        self.change.stirred |= std::mem::take(&mut self.full_told);
        true
    }
}

/// How many slots an empty window keeps the memory of.
const KEPT: usize = 16 * 1024;

#[cfg(test)]
impl Cursor {
    /// How many deadlines and redeliveries are remembered.
    pub(super) fn sizes(&self) -> (usize, usize) {
        (self.deadlines.len(), self.redeliveries.len())
    }
}
