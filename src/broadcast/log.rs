//! The log and the cursors on it: what is kept, what may leave, who missed what. Knows neither wakers nor tasks.

use std::collections::VecDeque;
use std::mem;
// Values are written before they are shared and never after: nothing here for a model to interleave.
use std::sync::Arc;

use crate::sync::planted;
use crate::wake;

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
type Counts = [usize; 3];

#[derive(Debug)]
pub(super) struct Slot<T> {
    value: Arc<T>,
    /// Cursors that will read this value next. Cursors that lag behind the log are counted at its head.
    at: Counts,
}

/// Values numbered from 0 in the order in which they were published, those from `head` on kept.
///
/// A cursor is the number of the value its subscriber reads next. The log knows how many cursors stand at each value and
/// not whose they are, so publishing costs the same whoever else is subscribed.
#[derive(Debug)]
pub(super) struct Log<T> {
    slots: VecDeque<Slot<T>>,
    head: u64,
    /// Cursors behind the last value.
    end: Counts,
    /// The smallest lossless cursor, while there is one.
    low: u64,
    readers: Counts,
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
    /// So many values, and whether there is now more room for publishers.
    Run { freed: bool },
    /// So many values were missed here.
    Lagged(u64),
    /// So many values were missed, and nothing follows.
    Cut(u64),
    /// Everything has been read.
    Empty,
    /// The buffer brought along has to hold this many more values.
    Cramped(usize),
}

/// Values that nobody reads any more, to be dropped outside of the lock. One always has room, more have it where
/// room was prepared.
#[derive(Debug)]
pub(super) struct Trash<T> {
    first: Option<Arc<T>>,
    rest: Vec<Arc<T>>,
}

impl<T> Log<T> {
    pub(super) const fn new(capacity: usize, replay: usize) -> Self {
        Self {
            slots: VecDeque::new(),
            head: 0,
            end: [0; 3],
            low: 0,
            readers: [0; 3],
            cut: 0,
            capacity,
            replay,
            counted: Counted {
                published: 0,
                sent: 0,
                delivered: 0,
                missed: 0,
                abandoned: 0,
                unread: 0,
                disconnected: 0,
                peak_len: 0,
            },
        }
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) const fn capacity(&self) -> usize {
        self.capacity
    }

    pub(super) const fn counted(&self) -> Counted {
        self.counted
    }

    /// Subscribers that the next value goes to.
    pub(super) const fn readers(&self) -> usize {
        self.readers[0] + self.readers[1] + self.readers[2]
    }

    pub(super) const fn lossless(&self) -> usize {
        self.readers[Kind::Lossless as usize]
    }

    /// Values that some lossless subscriber has not read. Never more than the capacity.
    pub(super) fn claimed(&self) -> usize {
        if self.lossless() == 0 {
            0
        } else {
            (self.tail() - self.low) as usize
        }
    }

    /// Values between a cursor and the end, also those no longer there.
    pub(super) fn unread(&self, cursor: u64) -> u64 {
        self.tail() - cursor
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
    pub(super) fn push(&mut self, value: Arc<T>, trash: &mut Trash<T>) -> usize {
        if self.slots.len() == self.capacity {
            self.evict(trash);
        }
        let readers = self.readers();
        self.counted.published += 1;
        self.counted.sent += (readers + self.cut) as u64;
        self.counted.missed += self.cut as u64;
        if readers == 0 && self.replay == 0 && self.slots.is_empty() {
            self.head += 1;
            trash.put(value);
            return 0;
        }
        self.slots.push_back(Slot {
            value,
            at: mem::take(&mut self.end),
        });
        self.counted.unread += readers as u64;
        self.trim(trash);
        self.counted.peak_len = self.counted.peak_len.max(self.slots.len());
        readers
    }

    /// Drops values from the front that nobody wants, as far as `trash` has room.
    pub(super) fn trim(&mut self, trash: &mut Trash<T>) {
        while trash.has_room() && self.is_untidy() {
            if let Some(slot) = self.slots.pop_front() {
                self.head += 1;
                trash.put(slot.value);
            }
        }
    }

    /// Whether there is more to [`trim`](Self::trim).
    pub(super) fn is_untidy(&self) -> bool {
        self.slots.len() > self.replay && self.slots.front().is_some_and(|slot| slot.at == [0; 3])
    }

    /// A new cursor, `replay` values before the end. What a lossless newcomer is to be replayed while so many slots are
    /// `reserved` that it would not fit beside them is put into `held` instead of standing in the log for it.
    ///
    /// # Errors
    ///
    /// How many values `held` must have room for.
    pub(super) fn enter(
        &mut self,
        kind: Kind,
        reserved: usize,
        held: &mut VecDeque<Arc<T>>,
    ) -> Result<u64, usize> {
        let replayed = match self.slots.len().min(self.replay) {
            _ if planted("bc_replay_gap") => 0,
            replayed => replayed,
        };
        let unclaimed = self.capacity.saturating_sub(reserved);
        let ahead = match kind {
            Kind::Lossless => replayed.saturating_sub(unclaimed),
            Kind::DropOldest | Kind::Disconnect => 0,
        };
        if held.capacity() - held.len() < ahead {
            return Err(ahead);
        }
        let first = self.slots.len() - replayed;
        held.extend(
            self.slots
                .range(first..first + ahead)
                .map(|slot| Arc::clone(&slot.value)),
        );
        let cursor = self.head + (first + ahead) as u64;
        self.counted.sent += replayed as u64;
        self.counted.delivered += ahead as u64;
        self.counted.unread += (replayed - ahead) as u64;
        self.low = match kind {
            Kind::Lossless if self.lossless() == 0 => cursor,
            Kind::Lossless => self.low.min(cursor),
            Kind::DropOldest | Kind::Disconnect => self.low,
        };
        self.readers[kind as usize] += 1;
        self.at(cursor)[kind as usize] += 1;
        Ok(cursor)
    }

    /// Takes a cursor off, wherever it stands; answers whether there is more room for publishers.
    pub(super) fn leave(&mut self, kind: Kind, cursor: u64) -> bool {
        if kind == Kind::Disconnect && self.is_lagging(cursor) {
            self.cut -= 1;
            return false;
        }
        let cursor = cursor.max(self.head);
        self.at(cursor)[kind as usize] -= 1;
        self.readers[kind as usize] -= 1;
        let unread = self.unread(cursor);
        self.counted.unread -= unread;
        self.counted.abandoned += unread;
        kind == Kind::Lossless && (self.lossless() == 0 || self.raise_low())
    }

    /// Moves a cursor over up to `limit` values, which go into `held`. The last one to read a value takes it along.
    pub(super) fn read(
        &mut self,
        kind: Kind,
        cursor: &mut u64,
        limit: usize,
        held: &mut VecDeque<Arc<T>>,
    ) -> Read {
        if *cursor < self.head {
            return self.report(kind, cursor);
        }
        let run = usize::try_from(self.unread(*cursor))
            .unwrap_or(usize::MAX)
            .min(limit);
        if run == 0 {
            return Read::Empty;
        }
        if held.capacity() - held.len() < run {
            return Read::Cramped(run);
        }
        let from = *cursor;
        *cursor += run as u64;
        self.at(from)[kind as usize] -= 1;
        self.at(*cursor)[kind as usize] += 1;
        let freed = kind == Kind::Lossless && self.raise_low();
        let mut next = (from - self.head) as usize;
        for _ in 0..run {
            if next == 0 && self.is_untidy() && !planted("bc_run_keeps") {
                if let Some(slot) = self.slots.pop_front() {
                    self.head += 1;
                    held.push_back(slot.value);
                }
            } else {
                held.push_back(Arc::clone(&self.slots[next].value));
                next += 1;
            }
        }
        self.counted.unread -= run as u64;
        self.counted.delivered += run as u64;
        Read::Run { freed }
    }

    /// Tells a lagging subscriber what it missed, and lets it go on at the oldest value kept.
    fn report(&mut self, kind: Kind, cursor: &mut u64) -> Read {
        if kind == Kind::Disconnect {
            self.cut -= 1;
            Read::Cut(self.unread(mem::replace(cursor, self.tail())))
        } else {
            let next = if planted("bc_lag_skips") {
                self.tail()
            } else {
                self.head
            };
            Read::Lagged(self.head - mem::replace(cursor, next))
        }
    }

    fn evict(&mut self, trash: &mut Trash<T>) {
        let behind = self.slots.len() as u64;
        let Some(slot) = self.slots.pop_front() else {
            return;
        };
        let [lossless, oldest, fragile] = slot.at;
        debug_assert_eq!(lossless, 0, "a lossless subscriber has not read this");
        self.head += 1;
        self.at(self.head)[Kind::DropOldest as usize] += oldest;
        self.readers[Kind::Disconnect as usize] -= fragile;
        self.cut += fragile;
        self.counted.disconnected += fragile as u64;
        let missed = oldest as u64 + fragile as u64 * behind;
        self.counted.missed += missed;
        self.counted.unread -= missed;
        trash.put(slot.value);
    }

    /// Whether the smallest lossless cursor has moved on.
    fn raise_low(&mut self) -> bool {
        let before = self.low;
        while self.low < self.tail() && self.at(self.low)[Kind::Lossless as usize] == 0 {
            self.low += 1;
        }
        self.low > before
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

impl<T> Trash<T> {
    pub(super) fn with_room(values: usize) -> Self {
        Self {
            first: None,
            rest: Vec::with_capacity(values),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none() && self.rest.is_empty()
    }

    pub(super) fn put(&mut self, value: Arc<T>) {
        if self.first.is_none() {
            self.first = Some(value);
        } else {
            self.rest.push(value);
        }
    }

    fn has_room(&self) -> bool {
        self.first.is_none() || self.rest.len() < self.rest.capacity()
    }

    /// Drops all, also where a destructor panics.
    pub(super) fn empty(self) {
        wake::all(self.first.into_iter().chain(self.rest), drop);
    }
}
