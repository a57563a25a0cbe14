//! How far each lossless subscriber has come, written by it without a lock and read by publishers when the log looks full.
//!
//! A publisher that goes to wait says how far it `wanted` them to come, and then looks at the marks with a
//! read-modify-write. A subscriber writes its mark with a read-modify-write, and then looks at what is wanted: whichever
//! of the two comes second sees the other.
//!
//! In the midst of a long run a read-modify-write for each value would cost more than the value, so there it is a plain
//! store. That can stand in the core's store buffer while what is `wanted` is read, and a publisher that looks in that
//! moment misses it. The mark tells that its owner is at that, and then the publisher looks again after a time in which
//! every store has long left its buffer. (Morrison and Afek, Temporally Bounding TSO for Fence-Free Asymmetric
//! Synchronization, 2015.) It need not rely on that where one of those it waits for is not in the midst of a run.

use std::sync::atomic::{
    AtomicU64 as Guarded, AtomicUsize, Ordering, Ordering::Relaxed, compiler_fence,
};

use crate::sync::{Arc, AtomicU64, planted};

/// One lossless subscriber's place. A line of its own, so that subscribers do not slow each other.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Mark {
    /// Twice the number of the value that it hands out next, and one more where it may do so with a plain store.
    handed: AtomicU64,
    /// The number of the value that it takes from the log next. Written and read under the lock.
    taken: Guarded,
    /// Where it stands in [`Marks`]. Written and read under the lock.
    seat: AtomicUsize,
}

/// What publishers tell subscribers without a lock.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Edge {
    /// Somebody waits until all marks have come as far as this. 0: nobody.
    wanted: AtomicU64,
}

/// The marks of all lossless subscribers.
#[derive(Debug)]
pub(super) struct Marks {
    all: Vec<Arc<Mark>>,
    /// No mark is behind this.
    low: u64,
    edge: Arc<Edge>,
    wanted: u64,
}

/// What a publisher has to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Behind {
    /// Nobody any more.
    Nobody,
    /// Somebody who will see that it is waited for.
    Somebody,
    /// Only such that may have come past just now, without seeing it.
    Loose,
}

impl Mark {
    pub(super) fn new() -> Self {
        Self {
            handed: AtomicU64::new(0),
            taken: Guarded::new(0),
            seat: AtomicUsize::new(0),
        }
    }

    /// Where it begins, before anybody else knows of it.
    pub(super) fn begin_at(&self, position: u64) {
        self.handed.store(position * 2, Ordering::Release);
        self.taken.store(position, Relaxed);
    }

    /// Under the lock: the subscriber has taken all values before this one.
    pub(super) fn take_to(&self, position: u64) {
        self.taken.store(position, Relaxed);
    }

    /// The subscriber has handed out all values from `before` to `after`, and the next ones
    /// [loosely](Self::hand_loosely), if at all; answers whether somebody waits for that.
    #[inline]
    pub(super) fn hand_to(&self, before: u64, after: u64, loose: bool, edge: &Edge) -> bool {
        let mark = after * 2 + u64::from(loose);
        if planted("bc_mark_unfenced") {
            self.handed.store(mark, Ordering::Release);
        } else {
            self.handed.swap(mark, Ordering::AcqRel);
        }
        edge.is_wanted(before, after)
    }

    /// The same for one value, where [`hand_to`](Self::hand_to) has announced it.
    #[inline]
    pub(super) fn hand_loosely(&self, before: u64, edge: &Edge) -> bool {
        self.handed.store(before * 2 + 3, Ordering::Release);
        // At least the compiler is to keep the two in order.
        compiler_fence(Ordering::SeqCst);
        edge.is_wanted(before, before + 1)
    }

    fn handed(&self) -> u64 {
        self.handed.load(Ordering::Acquire) / 2
    }

    /// As it stands in front of whatever its owner writes next, which will see what was written before this.
    fn handed_for_sure(&self) -> (u64, bool) {
        let mark = self.handed.fetch_add(0, Ordering::AcqRel);
        (mark / 2, mark % 2 == 1)
    }

    fn taken(&self) -> u64 {
        self.taken.load(Relaxed)
    }
}

impl Edge {
    fn new() -> Self {
        Self {
            wanted: AtomicU64::new(0),
        }
    }

    #[inline]
    fn is_wanted(&self, before: u64, after: u64) -> bool {
        let wanted = self.wanted.load(Ordering::Acquire);
        before < wanted && wanted <= after
    }
}

impl Marks {
    pub(super) fn new() -> Self {
        Self {
            all: Vec::new(),
            low: 0,
            edge: Arc::new(Edge::new()),
            wanted: 0,
        }
    }

    pub(super) const fn edge(&self) -> &Arc<Edge> {
        &self.edge
    }

    pub(super) fn has_room(&self) -> bool {
        self.all.len() < self.all.capacity()
    }

    /// How many places to allocate for the next one.
    pub(super) fn grown(&self) -> usize {
        self.all.capacity().saturating_mul(2).max(4)
    }

    /// Moves all into `room`; hands back the old storage, empty, to be freed outside of the lock.
    pub(super) fn adopt(&mut self, mut room: Vec<Arc<Mark>>) -> Vec<Arc<Mark>> {
        if room.capacity() > self.all.len() {
            room.append(&mut self.all);
            std::mem::swap(&mut self.all, &mut room);
        }
        room
    }

    /// Puts a newcomer where it begins to read. There must be room.
    pub(super) fn enter(&mut self, mark: &Arc<Mark>, position: u64) {
        self.low = match self.all.is_empty() {
            true => position,
            false => self.low.min(position),
        };
        mark.seat.store(self.all.len(), Relaxed);
        self.all.push(Arc::clone(mark));
    }

    /// Takes one away, and answers how many values it has taken and not handed out.
    pub(super) fn leave(&mut self, mark: &Mark) -> u64 {
        let seat = mark.seat.load(Relaxed);
        self.all.swap_remove(seat);
        if let Some(moved) = self.all.get(seat) {
            moved.seat.store(seat, Relaxed);
        }
        mark.taken() - mark.handed()
    }

    /// The smallest mark, as it was seen last.
    pub(super) const fn low(&self) -> u64 {
        self.low
    }

    /// The smallest mark, as it is now.
    pub(super) fn look_again(&mut self) -> u64 {
        let lowest = self.all.iter().map(|mark| mark.handed()).min();
        self.low = lowest.unwrap_or(self.low);
        self.low
    }

    /// Whether all have come as far as this.
    #[inline]
    pub(super) fn have_come(&mut self, position: u64) -> bool {
        self.low >= position || self.look_again() >= position
    }

    /// The smallest mark, without keeping it, and how many values have been taken and not handed out.
    pub(super) fn survey(&self) -> (Option<u64>, u64) {
        let (mut lowest, mut held) = (None, 0);
        for mark in &self.all {
            let handed = mark.handed();
            held += mark.taken() - handed;
            lowest = Some(lowest.map_or(handed, |lowest: u64| lowest.min(handed)));
        }
        (lowest, held)
    }

    /// Somebody waits until all have come as far as this.
    pub(super) fn want(&mut self, position: u64) -> Behind {
        if self.wanted == position {
            if planted("bc_want_once") {
                return Behind::Somebody;
            }
        } else {
            self.wanted = position;
            self.edge.wanted.store(position, Ordering::Release);
        }
        let mut behind = Behind::Nobody;
        for mark in &self.all {
            if mark.handed() >= position {
                continue;
            }
            if planted("bc_want_unchecked") {
                return Behind::Somebody;
            }
            let (handed, loose) = mark.handed_for_sure();
            if handed < position && !loose {
                return Behind::Somebody;
            }
            if handed < position {
                behind = Behind::Loose;
            }
        }
        if behind == Behind::Nobody {
            self.low = self.low.max(position);
        }
        behind
    }

    /// Nobody waits any more.
    pub(super) fn rest(&mut self) {
        if self.wanted != 0 {
            self.wanted = 0;
            self.edge.wanted.store(0, Ordering::Release);
        }
    }
}
