//! Where the items lie: first in, first out, with their weights where the queue has a weight bound.
//!
//! One allocation, a power of two of slots, and two positions that only grow; an item at position `p` lies in slot
//! `p mod slots`. So runs enter and leave by one or two copies of memory, and a position says how much has ever gone by.

use std::collections::VecDeque;
use std::fmt;
use std::mem;

use crate::wake::all;

mod lanes;
mod slots;
#[cfg(all(test, not(pushpull_loom)))]
mod tests;

pub(super) use lanes::{Both, Gates, Lanes, Rules, Since, Why};
use slots::Slots;

/// The storage of a queue. It never allocates by itself: room is prepared outside of the lock and brought in by
/// [`Ring::adopt`].
pub(super) struct Ring<T> {
    slots: Slots<T>,
    /// The position of the oldest item.
    head: u64,
    /// The position of the next item to come.
    tail: u64,
    /// Parallel to the items on a weighted queue, else empty.
    weights: VecDeque<usize>,
    weighted: bool,
    weight: usize,
}

impl<T> Ring<T> {
    pub(super) fn new(weighted: bool) -> Self {
        Self {
            slots: Slots::none(),
            head: 0,
            tail: 0,
            weights: VecDeque::new(),
            weighted,
            weight: 0,
        }
    }

    /// An empty ring with room for `slots` items.
    pub(super) fn with_room(weighted: bool, slots: usize) -> Self {
        let mut ring = Self::new(weighted);
        ring.slots = Slots::with_room(slots);
        ring.weights.reserve_exact(if weighted { slots } else { 0 });
        ring
    }

    pub(super) const fn len(&self) -> usize {
        // At most as many as there are slots.
        self.tail.wrapping_sub(self.head) as usize
    }

    pub(super) const fn weight(&self) -> usize {
        self.weight
    }

    pub(super) const fn is_weighted(&self) -> bool {
        self.weighted
    }

    /// How many items have ever gone.
    pub(super) const fn head(&self) -> u64 {
        self.head
    }

    /// How many items have ever come.
    pub(super) const fn tail(&self) -> u64 {
        self.tail
    }

    /// How many of the oldest items weigh at least `weight` together.
    pub(super) fn oldest_weighing(&self, weight: usize) -> usize {
        let mut rest = weight;
        let heavy = self.weights.iter().take_while(|own| {
            let more = rest > 0;
            rest = rest.saturating_sub(**own);
            more
        });
        heavy.count()
    }

    /// Slots allocated and not taken.
    pub(super) fn spare(&self) -> usize {
        let spare = self.slots.count() - self.len();
        if self.weighted {
            spare.min(self.weights.capacity() - self.weights.len())
        } else {
            spare
        }
    }

    /// Whether there is more storage than so many slots would need.
    pub(super) fn exceeds(&self, slots: usize) -> bool {
        slots
            .checked_next_power_of_two()
            .is_some_and(|needed| self.slots.count() > needed)
    }

    /// How many slots to allocate so that `more` items fit: twice what is there, within `capacity` where possible.
    pub(super) fn grown(&self, more: usize, capacity: usize) -> usize {
        let needed = self.len().saturating_add(more);
        let doubled = self.slots.count().saturating_mul(2).max(4);
        doubled.min(capacity).max(needed)
    }

    /// Moves everything into `room`, which becomes the ring, and hands back the old storage, empty, to be freed
    /// outside of the lock. A room that is too small comes back as it was.
    pub(super) fn adopt(&mut self, mut room: Self) -> Self {
        if room.spare() >= self.len() {
            // SAFETY: these are our items; the room is empty, and has more slots than there are items.
            unsafe { self.slots.move_run(&room.slots, self.head, self.len()) };
            mem::swap(&mut self.slots, &mut room.slots);
            room.weights.append(&mut self.weights);
            mem::swap(&mut self.weights, &mut room.weights);
        }
        room
    }

    /// Puts an item at the end. There must be a spare slot.
    pub(super) fn push(&mut self, item: T, weight: usize) {
        assert!(self.spare() > 0, "the ring must not grow under the lock");
        // SAFETY: a slot is spare, and it is the one behind the last item.
        unsafe { self.slots.write(self.tail, item) };
        self.tail += 1;
        if self.weighted {
            self.weights.push_back(weight);
            self.weight += weight;
        }
    }

    /// Puts the first `n` items of `from` at the end. Unweighted only; there must be `n` spare slots.
    pub(super) fn push_many(&mut self, from: &mut VecDeque<T>, n: usize) {
        assert!(self.spare() >= n && n <= from.len() && !self.weighted);
        if n == 0 {
            return;
        }
        // SAFETY: `n` slots are spare, and they are those behind the last item.
        unsafe { self.slots.write_run(self.tail, from, n) };
        self.tail += n as u64;
    }

    pub(super) fn pop(&mut self) -> Option<T> {
        if self.len() == 0 {
            return None;
        }
        // SAFETY: there is an item at the head, and the head moves on.
        let item = unsafe { self.slots.read(self.head) };
        self.head += 1;
        if self.weighted {
            self.weight -= self.weights.pop_front().unwrap_or(0);
        }
        Some(item)
    }

    /// Moves the first `n` items to the end of `into`, which must have room for them.
    pub(super) fn pop_many(&mut self, into: &mut Vec<T>, n: usize) {
        assert!(into.capacity() - into.len() >= n && n <= self.len());
        if n == 0 {
            return;
        }
        // SAFETY: there are `n` items from the head on, room for them, and the head moves on.
        unsafe { self.slots.read_run(self.head, into, n) };
        self.head += n as u64;
        if self.weighted {
            self.weight -= self.weights.drain(..n).sum::<usize>();
        }
    }

    /// Takes everything, storage included.
    pub(super) fn take(&mut self) -> Self {
        let mut empty = Self::new(self.weighted);
        empty.head = self.tail;
        empty.tail = self.tail;
        mem::replace(self, empty)
    }

    /// Takes up the positions that others have moved on.
    ///
    /// # Safety
    ///
    /// Between the two lie initialised items of this ring's slots, and no other slot holds one.
    const unsafe fn resume(&mut self, head: u64, tail: u64) {
        self.head = head;
        self.tail = tail;
    }
}

impl<T> From<Ring<T>> for Vec<T> {
    fn from(mut ring: Ring<T>) -> Self {
        let len = ring.len();
        let mut items = Self::with_capacity(len);
        ring.pop_many(&mut items, len);
        items
    }
}

impl<T> IntoIterator for Ring<T> {
    type Item = T;
    type IntoIter = Rest<T>;

    fn into_iter(self) -> Rest<T> {
        Rest(self)
    }
}

/// The items of a ring that is taken apart.
pub(super) struct Rest<T>(Ring<T>);

impl<T> Iterator for Rest<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.0.pop()
    }
}

impl<T> Drop for Ring<T> {
    fn drop(&mut self) {
        if mem::needs_drop::<T>() {
            all(std::iter::from_fn(|| self.pop()), drop);
        }
    }
}

impl<T> fmt::Debug for Ring<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring")
            .field("len", &self.len())
            .field("slots", &self.slots.count())
            .finish_non_exhaustive()
    }
}
