//! The log and the cursors on it: what is kept, what may leave, who missed what. Knows neither wakers nor tasks.

mod reading;

use std::collections::VecDeque;
use std::mem;
// Values are written before they are shared and never after: nothing here for a model to interleave.
use std::sync::Arc;

use super::marks::{Behind, Mark, Marks};
use super::trash::Trash;
use super::value::{Hand, Run, Value, Want};
use crate::sync::{Arc as Shared, planted};

/// What happens to a subscriber that does not keep up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The publishers wait for it.
    Lossless,
    /// It loses the oldest value and goes on.
    DropOldest,
    /// It loses everything it has not read and ends.
    Disconnect,
}

/// How many cursors of each kind stand in one place.
type Counts = [u32; 3];

#[derive(Debug)]
pub(super) struct Slot<T> {
    value: Value<T>,
    /// Cursors that will take this value next. Cursors that lag behind the log are counted at its head.
    at: Counts,
}

/// Values numbered from 0 in the order in which they were published, those from `head` on in the log.
///
/// A cursor is the number of the value its subscriber takes next. The log knows how many cursors stand at each value and
/// not whose they are, so publishing costs the same whoever else is subscribed. What a lossless subscriber has taken and
/// not handed out yet still counts as unread; its [`Mark`] tells how much that is.
#[derive(Debug)]
pub(super) struct Log<T> {
    slots: VecDeque<Slot<T>>,
    head: u64,
    /// Cursors behind the last value.
    end: Counts,
    pub(super) marks: Marks,
    readers: [usize; 3],
    /// Subscribers that were disconnected and have not been told.
    cut: usize,
    capacity: usize,
    replay: usize,
    counted: Counted,
}

/// `sent == delivered + missed + abandoned + unread` at any moment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counted {
    pub(super) published: u64,
    pub(super) sent: u64,
    pub(super) delivered: u64,
    pub(super) missed: u64,
    pub(super) abandoned: u64,
    pub(super) unread: u64,
    pub(super) disconnected: u64,
    pub(super) peak_len: usize,
}

/// What reading brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// Values.
    Run,
    /// So many values were missed here.
    Lagged(u64),
    /// So many values were missed, and nothing follows.
    Cut(u64),
    /// Everything has been read.
    Empty,
}

impl<T> Log<T> {
    pub(super) fn new(capacity: usize, replay: usize) -> Self {
        Self {
            slots: VecDeque::new(),
            head: 0,
            end: [0; 3],
            marks: Marks::new(),
            readers: [0; 3],
            cut: 0,
            capacity,
            replay,
            counted: Counted::default(),
        }
    }

    pub(super) const fn capacity(&self) -> usize {
        self.capacity
    }

    /// How many values are kept, and all counters. Kept is what is in the log, and what a lossless subscriber has taken
    /// from there and not handed out.
    pub(super) fn reading(&self) -> (usize, Counted) {
        let (lowest, held) = self.marks.survey();
        let from = lowest.map_or(self.head, |lowest| lowest.min(self.head));
        let counted = Counted {
            delivered: self.counted.delivered - held,
            unread: self.counted.unread + held,
            ..self.counted
        };
        ((self.tail() - from) as usize, counted)
    }

    /// Subscribers that the next value goes to.
    pub(super) const fn readers(&self) -> usize {
        self.readers[0] + self.readers[1] + self.readers[2]
    }

    pub(super) const fn lossless(&self) -> usize {
        self.readers[Kind::Lossless as usize]
    }

    /// How far every lossless subscriber has to come before there is a slot beside those that are reserved.
    fn bound(&self, reserved: usize) -> u64 {
        (self.tail() + 1)
            .saturating_add(reserved as u64)
            .saturating_sub(self.capacity as u64)
    }

    /// Whether there is a slot beside those that are reserved: they, and what some lossless subscriber has not handed
    /// out, never exceed the capacity.
    pub(super) fn has_room(&mut self, reserved: usize) -> bool {
        if self.lossless() == 0 {
            return reserved < self.capacity;
        }
        let bound = self.bound(reserved);
        self.marks.have_come(bound)
    }

    /// What somebody waits for who wants a slot beside those that are reserved.
    pub(super) fn want(&mut self, reserved: usize) -> Behind {
        let bound = self.bound(reserved);
        self.marks.want(bound)
    }

    /// Values between a cursor and the end, also those no longer there.
    pub(super) fn unread(&self, cursor: u64) -> u64 {
        self.tail() - cursor
    }

    /// The same, of those that are still in the log.
    pub(super) fn there(&self, cursor: u64) -> usize {
        self.unread(cursor).min(self.slots.len() as u64) as usize
    }

    /// Whether a cursor has been left behind.
    pub(super) const fn is_lagging(&self, cursor: u64) -> bool {
        cursor < self.head
    }

    /// Whether a value can be put without allocating.
    pub(super) fn has_spare(&self) -> bool {
        self.slots.len() < self.slots.capacity()
            || self.slots.len() == self.capacity
            || (self.replay == 0 && self.readers() == 0 && self.slots.is_empty())
    }

    /// How many slots to allocate: twice what is there, within the capacity.
    pub(super) fn grown(&self) -> usize {
        let doubled = self.slots.capacity().saturating_mul(2).max(4);
        doubled.min(self.capacity).max(self.slots.len() + 1)
    }

    /// Moves the log into `room`; hands back the old storage, empty, to be freed outside of the lock.
    pub(super) fn adopt(&mut self, mut room: VecDeque<Slot<T>>) -> VecDeque<Slot<T>> {
        if room.capacity() > self.slots.len() {
            room.append(&mut self.slots);
            mem::swap(&mut self.slots, &mut room);
        }
        room
    }

    /// Puts a value at the end, for all that are subscribed, and answers how many they are. Where the log is full its
    /// oldest value goes, which no lossless subscriber may still want.
    pub(super) fn push(&mut self, value: Value<T>, trash: &mut Trash<T>) -> usize {
        if self.slots.len() == self.capacity {
            trash.put(self.evict());
        }
        let readers = self.readers();
        self.counted.published += 1;
        self.counted.sent += (readers + self.cut) as u64;
        self.counted.missed += self.cut as u64;
        if readers == 0 && self.replay == 0 && self.slots.is_empty() {
            self.head += 1;
            trash.put(value.into_run());
            return 0;
        }
        self.slots.push_back(Slot {
            value,
            at: mem::take(&mut self.end),
        });
        self.counted.unread += readers as u64;
        self.trim(trash);
        self.note_peak();
        readers
    }

    /// The same, where that neither waits for anything nor cuts anybody off; else the value comes back. At most one run
    /// has to be dropped for it.
    #[inline]
    #[expect(clippy::type_complexity, reason = "it goes to its one caller")]
    pub(super) fn append(
        &mut self,
        value: Value<T>,
        reserved: usize,
    ) -> Result<(usize, Option<Arc<Run<T>>>), Value<T>> {
        let readers = self.readers();
        let evicts = self.slots.len() == self.capacity;
        if readers == 0
            || self.cut > 0
            || (evicts && self.readers[Kind::Disconnect as usize] > 0)
            || (!evicts && self.slots.len() == self.slots.capacity())
            || !self.has_room(reserved)
            || self.is_untidy()
        {
            return Err(value);
        }
        let mut gone = if evicts { self.evict() } else { None };
        self.counted.published += 1;
        self.counted.sent += readers as u64;
        self.counted.unread += readers as u64;
        self.slots.push_back(Slot {
            value,
            at: mem::take(&mut self.end),
        });
        if !evicts && self.is_untidy() {
            gone = self.pop();
        }
        self.note_peak();
        Ok((readers, gone))
    }

    /// The marks are looked at only where the length as it was seen last would be a new peak.
    fn note_peak(&mut self) {
        let peak = self.counted.peak_len as u64;
        let mut from = self.head;
        if self.lossless() > 0 {
            from = from.min(self.marks.low());
            if self.tail() - from > peak {
                from = self.head.min(self.marks.look_again());
            }
        }
        self.counted.peak_len = peak.max(self.tail() - from) as usize;
    }

    /// Drops values from the front that nobody wants, as far as `trash` has room.
    pub(super) fn trim(&mut self, trash: &mut Trash<T>) {
        while trash.has_room() && self.is_untidy() {
            trash.put(self.pop());
        }
    }

    /// Whether there is more to [`trim`](Self::trim).
    pub(super) fn is_untidy(&self) -> bool {
        self.slots.len() > self.replay && self.slots.front().is_some_and(|slot| slot.at == [0; 3])
    }

    /// Takes the oldest value out of the log; answers what has to be dropped for that.
    fn pop(&mut self) -> Option<Arc<Run<T>>> {
        let slot = self.slots.pop_front()?;
        self.head += 1;
        let run = slot.value.into_run()?;
        if let Some(Slot { value, .. }) = self.slots.front_mut() {
            if let Value::Rest(at) = *value {
                *value = Value::Run(run, at);
                return None;
            }
        }
        Some(run)
    }

    /// A new cursor, `replay` values before the end; a lossless one brings its `mark`. What a lossless newcomer is to be
    /// replayed while so many slots are `reserved` that it would not fit beside them is put into `hand` instead of
    /// standing in the log for it; the second number answered says how many values that are.
    ///
    /// # Errors
    ///
    /// What `hand` must have first.
    pub(super) fn enter(
        &mut self,
        kind: Kind,
        reserved: usize,
        mark: Option<&Shared<Mark>>,
        hand: &mut Hand<T>,
    ) -> Result<(u64, usize), Want> {
        let replayed = match self.slots.len().min(self.replay) {
            _ if planted("bc_replay_gap") => 0,
            replayed => replayed,
        };
        let unclaimed = self.capacity.saturating_sub(reserved);
        let ahead = match kind {
            Kind::Lossless => replayed.saturating_sub(unclaimed),
            Kind::DropOldest | Kind::Disconnect => 0,
        };
        let first = self.slots.len() - replayed;
        if ahead > 0 {
            self.may_take(first, ahead, hand)?;
            self.take(first, ahead, hand)?;
        }
        let cursor = self.head + (first + ahead) as u64;
        self.counted.sent += replayed as u64;
        self.counted.delivered += ahead as u64;
        self.counted.unread += (replayed - ahead) as u64;
        if let Some(mark) = mark {
            mark.begin_at(cursor);
            self.marks.enter(mark, cursor);
        }
        self.readers[kind as usize] += 1;
        self.at(cursor)[kind as usize] += 1;
        Ok((cursor, ahead))
    }

    /// Takes a cursor off, wherever it stands.
    pub(super) fn leave(&mut self, kind: Kind, cursor: u64, mark: Option<&Shared<Mark>>) {
        if kind == Kind::Disconnect && self.is_lagging(cursor) {
            self.cut -= 1;
            return;
        }
        let cursor = cursor.max(self.head);
        self.at(cursor)[kind as usize] -= 1;
        self.readers[kind as usize] -= 1;
        let unread = self.unread(cursor);
        let held = mark.map_or(0, |mark| self.marks.leave(mark));
        self.counted.delivered -= held;
        self.counted.unread -= unread;
        self.counted.abandoned += unread + held;
    }

    /// Takes the oldest value away from those that have not read it; answers what has to be dropped for that.
    fn evict(&mut self) -> Option<Arc<Run<T>>> {
        let behind = self.slots.len() as u64;
        let [lossless, oldest, fragile] = self.slots.front()?.at;
        debug_assert_eq!(lossless, 0, "a lossless subscriber has not read this");
        let run = self.pop();
        self.at(self.head)[Kind::DropOldest as usize] += oldest;
        let (oldest, fragile) = (u64::from(oldest), u64::from(fragile));
        self.readers[Kind::Disconnect as usize] -= fragile as usize;
        self.cut += fragile as usize;
        self.counted.disconnected += fragile;
        let missed = oldest + fragile * behind;
        self.counted.missed += missed;
        self.counted.unread -= missed;
        run
    }

    fn tail(&self) -> u64 {
        self.head + self.slots.len() as u64
    }

    fn at(&mut self, position: u64) -> &mut Counts {
        match self.slots.get_mut((position - self.head) as usize) {
            Some(slot) => &mut slot.at,
            None => &mut self.end,
        }
    }
}
