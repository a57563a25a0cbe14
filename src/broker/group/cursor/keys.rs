//! Which records of a window have their key to themselves.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};

/// The unacknowledged records of each key, in order. The first has its turn; the others are behind it.
#[derive(Default)]
pub(super) struct Keys {
    /// The keys of the window's slots; of those that are acknowledged, anything.
    keys: VecDeque<u64>,
    chains: HashMap<u64, Chain>,
}

struct Chain {
    first: u64,
    /// Some may have been acknowledged since.
    behind: VecDeque<u64>,
}

impl Keys {
    /// How many slots it knows, from the first.
    pub(super) fn known(&self) -> usize {
        self.keys.len()
    }

    /// The next slot's record. Returns whether it has its turn.
    pub(super) fn push(&mut self, key: u64, offset: u64) -> bool {
        self.keys.push_back(key);
        match self.chains.entry(key) {
            Entry::Occupied(mut chain) => {
                chain.get_mut().behind.push_back(offset);
                false
            }
            Entry::Vacant(none) => {
                none.insert(Chain {
                    first: offset,
                    behind: VecDeque::new(),
                });
                true
            }
        }
    }

    /// The last slot, which has its turn, is none after all.
    pub(super) fn unpush(&mut self) {
        if let Some(key) = self.keys.pop_back() {
            self.chains.remove(&key);
        }
    }

    /// The next slot is acknowledged.
    pub(super) fn push_acked(&mut self) {
        self.keys.push_back(0);
    }

    /// So many slots have left the window at its front.
    pub(super) fn forget(&mut self, slots: usize) {
        self.keys.drain(..slots.min(self.keys.len()));
    }

    /// Whether the record of this slot has its turn.
    pub(super) fn is_first(&self, index: u64, offset: u64) -> bool {
        let key = usize::try_from(index).ok().and_then(|it| self.keys.get(it));
        key.and_then(|key| self.chains.get(key))
            .is_some_and(|chain| chain.first == offset)
    }

    /// The record of this slot has been acknowledged, after it was known unacknowledged. Returns who has its turn by that.
    pub(super) fn free(
        &mut self,
        index: u64,
        offset: u64,
        gone: impl Fn(u64) -> bool,
    ) -> Option<u64> {
        let key = *self.keys.get(usize::try_from(index).ok()?)?;
        let Entry::Occupied(mut chain) = self.chains.entry(key) else {
            return None;
        };
        if chain.get().first != offset {
            return None;
        }
        let behind = &mut chain.get_mut().behind;
        while let Some(next) = behind.pop_front() {
            if !gone(next) {
                chain.get_mut().first = next;
                return Some(next);
            }
        }
        chain.remove();
        None
    }
}
