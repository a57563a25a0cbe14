//! Which records of a window have their key to themselves.

use std::collections::{HashMap, VecDeque};

/// The unacknowledged records of each key, in order. The first has its turn; the others are behind it.
#[derive(Default)]
pub(super) struct Keys {
    /// The keys of the window's slots; of those that are acknowledged, anything.
    keys: VecDeque<u64>,
    /// Those behind the first may have been acknowledged since.
    chains: HashMap<u64, VecDeque<u64>>,
}

impl Keys {
    /// How many slots it knows, from the first.
    pub(super) fn known(&self) -> usize {
        self.keys.len()
    }

    /// The next slot's record. Returns whether it has its turn.
    pub(super) fn push(&mut self, key: u64, offset: u64) -> bool {
        self.keys.push_back(key);
        let chain = self.chains.entry(key).or_default();
        chain.push_back(offset);
        chain.len() == 1
    }

    /// The next slot is acknowledged.
    pub(super) fn push_acked(&mut self) {
        self.keys.push_back(0);
    }

    pub(super) fn is_free(&self, key: u64) -> bool {
        !self.chains.contains_key(&key)
    }

    /// The first slot has left the window.
    pub(super) fn pop(&mut self) {
        self.keys.pop_front();
    }

    /// Whether the record of this slot has its turn.
    pub(super) fn is_first(&self, index: u64, offset: u64) -> bool {
        let key = usize::try_from(index).ok().and_then(|it| self.keys.get(it));
        key.and_then(|key| self.chains.get(key)?.front()) == Some(&offset)
    }

    /// The record of this slot has been acknowledged, after it was known unacknowledged. Returns who has its turn by that.
    pub(super) fn free(
        &mut self,
        index: u64,
        offset: u64,
        gone: impl Fn(u64) -> bool,
    ) -> Option<u64> {
        let key = *self.keys.get(usize::try_from(index).ok()?)?;
        let chain = self.chains.get_mut(&key)?;
        if chain.front() != Some(&offset) {
            return None;
        }
        chain.pop_front();
        while chain.front().is_some_and(|&offset| gone(offset)) {
            chain.pop_front();
        }
        if chain.is_empty() {
            self.chains.remove(&key);
            return None;
        }
        chain.front().copied()
    }
}
