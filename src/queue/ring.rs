//! Where the items lie: first in, first out, with their weights where the queue has a weight bound.

use std::collections::VecDeque;
use std::mem;

/// The storage of a queue. It never allocates by itself: room is prepared outside of the lock and brought in by
/// [`Ring::adopt`].
#[derive(Debug)]
pub(super) struct Ring<T> {
    items: VecDeque<T>,
    /// Parallel to `items` on a weighted queue, else empty.
    weights: VecDeque<usize>,
    weighted: bool,
    weight: usize,
}

impl<T> Ring<T> {
    pub(super) const fn new(weighted: bool) -> Self {
        Self {
            items: VecDeque::new(),
            weights: VecDeque::new(),
            weighted,
            weight: 0,
        }
    }

    /// An empty ring with room for `slots` items.
    pub(super) fn with_room(weighted: bool, slots: usize) -> Self {
        Self {
            items: VecDeque::with_capacity(slots),
            weights: VecDeque::with_capacity(if weighted { slots } else { 0 }),
            weighted,
            weight: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) const fn weight(&self) -> usize {
        self.weight
    }

    pub(super) const fn is_weighted(&self) -> bool {
        self.weighted
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
        let spare = self.items.capacity() - self.items.len();
        if self.weighted {
            spare.min(self.weights.capacity() - self.weights.len())
        } else {
            spare
        }
    }

    pub(super) fn allocated(&self) -> usize {
        self.items.capacity()
    }

    /// How many slots to allocate so that `more` items fit: twice what is there, within `capacity` where possible.
    pub(super) fn grown(&self, more: usize, capacity: usize) -> usize {
        let needed = self.len().saturating_add(more);
        let doubled = self.items.capacity().saturating_mul(2).max(4);
        doubled.min(capacity).max(needed)
    }

    /// Moves everything into `room`, which becomes the ring, and hands back the old storage, empty, to be freed
    /// outside of the lock. A room that is too small comes back as it was.
    pub(super) fn adopt(&mut self, mut room: Self) -> Self {
        if room.spare() >= self.len() {
            room.items.append(&mut self.items);
            room.weights.append(&mut self.weights);
            room.weight = mem::take(&mut self.weight);
            mem::swap(self, &mut room);
        }
        room
    }

    /// Puts an item at the end. There must be a spare slot.
    pub(super) fn push(&mut self, item: T, weight: usize) {
        debug_assert!(self.spare() > 0, "the ring must not grow under the lock");
        self.items.push_back(item);
        if self.weighted {
            self.weights.push_back(weight);
            self.weight += weight;
        }
    }

    /// Puts the first `n` items of `from` at the end. Unweighted only; there must be `n` spare slots.
    pub(super) fn push_many(&mut self, from: &mut VecDeque<T>, n: usize) {
        debug_assert!(self.spare() >= n && !self.weighted);
        self.items.extend(from.drain(..n));
    }

    pub(super) fn pop(&mut self) -> Option<T> {
        let item = self.items.pop_front()?;
        if self.weighted {
            self.weight -= self.weights.pop_front().unwrap_or(0);
        }
        Some(item)
    }

    /// Moves the first `n` items to the end of `into`, which must have room for them.
    pub(super) fn pop_many(&mut self, into: &mut Vec<T>, n: usize) {
        debug_assert!(into.capacity() - into.len() >= n && n <= self.len());
        into.extend(self.items.drain(..n));
        if self.weighted {
            self.weight -= self.weights.drain(..n).sum::<usize>();
        }
    }

    /// Takes everything, storage included.
    pub(super) fn take(&mut self) -> VecDeque<T> {
        self.weight = 0;
        self.weights.clear();
        mem::take(&mut self.items)
    }
}
