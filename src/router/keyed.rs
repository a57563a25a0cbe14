//! Keys with their hashes: one is hashed once, to find its shard and its place in the table.

use std::borrow::Borrow;
use std::hash::{Hash, Hasher};

/// A key with its hash, so that it is hashed once for shard and table.
pub(super) struct Keyed<K> {
    pub(super) hash: u64,
    pub(super) key: K,
}

impl<K> Keyed<K> {
    pub(super) const fn as_sought(&self) -> Borrowed<'_, K> {
        (self.hash, &self.key)
    }
}

/// A key that is somebody else's, with its hash.
pub(super) type Borrowed<'k, K> = (u64, &'k K);

impl<K: Eq> PartialEq for Keyed<K> {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && self.key == other.key
    }
}

impl<K: Eq> Eq for Keyed<K> {}

impl<K> Hash for Keyed<K> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

/// A key that is looked for, owned or not.
pub(super) trait Sought<K> {
    fn parts(&self) -> (u64, &K);
}

impl<K> Sought<K> for Keyed<K> {
    fn parts(&self) -> (u64, &K) {
        (self.hash, &self.key)
    }
}

impl<K> Sought<K> for Borrowed<'_, K> {
    fn parts(&self) -> (u64, &K) {
        *self
    }
}

impl<'a, K: 'a> Borrow<dyn Sought<K> + 'a> for Keyed<K> {
    fn borrow(&self) -> &(dyn Sought<K> + 'a) {
        self
    }
}

impl<K: Eq> PartialEq for dyn Sought<K> + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.parts() == other.parts()
    }
}

impl<K: Eq> Eq for dyn Sought<K> + '_ {}

impl<K> Hash for dyn Sought<K> + '_ {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.parts().0);
    }
}

/// The hash has been made already.
#[derive(Default)]
pub(super) struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// A copy of a key. Made and dropped outside of locks.
pub(super) fn owned<K: Clone>(key: &Borrowed<'_, K>) -> Keyed<K> {
    Keyed {
        hash: key.0,
        key: key.1.clone(),
    }
}
