//! The connections of a key.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::queue::Producer;

/// No message has been given to a line yet.
const NONE: u64 = u64::MAX;

/// The router's end of a connection.
pub(super) struct Line<T> {
    pub(super) producer: Producer<(u64, T)>,
    /// The number before that of the first message that was given to the queue.
    base: AtomicU64,
    /// Messages that the queue refused.
    pub(super) refused: AtomicU64,
    /// The last number that a replay may bring: the connection has been closed.
    pub(super) end: OnceLock<u64>,
}

impl<T> Line<T> {
    pub(super) const fn new(producer: Producer<(u64, T)>) -> Self {
        Self {
            producer,
            base: AtomicU64::new(NONE),
            refused: AtomicU64::new(0),
            end: OnceLock::new(),
        }
    }

    /// Notes the first number. Only those call it who have the key's turn.
    #[inline]
    pub(super) fn begin(&self, seq: u64) {
        if self.base.load(Ordering::Relaxed) == NONE {
            self.base.store(seq.saturating_sub(1), Ordering::Relaxed);
        }
    }

    /// The number before the first one; the latter has been pulled, so it is known.
    pub(super) fn base(&self) -> u64 {
        self.base.load(Ordering::Relaxed)
    }
}

/// A line, among those of a key.
pub(super) struct Entry<T> {
    /// They are in the order of their tickets.
    pub(super) ticket: u64,
    /// The line has had everything up to this number by other means.
    pub(super) floor: u64,
    pub(super) line: Arc<Line<T>>,
}

impl<T> Clone for Entry<T> {
    fn clone(&self) -> Self {
        Self {
            ticket: self.ticket,
            floor: self.floor,
            line: Arc::clone(&self.line),
        }
    }
}

/// Lines, to be cloned under a lock and used outside of it. Most keys have one.
pub(super) enum Lines<T> {
    None,
    One(Entry<T>),
    Many(Arc<Vec<Entry<T>>>),
}

impl<T> Clone for Lines<T> {
    fn clone(&self) -> Self {
        match self {
            Self::None => Self::None,
            Self::One(entry) => Self::One(entry.clone()),
            Self::Many(entries) => Self::Many(Arc::clone(entries)),
        }
    }
}

impl<T> Lines<T> {
    pub(super) fn as_slice(&self) -> &[Entry<T>] {
        match self {
            Self::None => &[],
            Self::One(entry) => std::slice::from_ref(entry),
            Self::Many(entries) => entries,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.as_slice().len()
    }

    /// Adds a line. Its ticket is the highest so far.
    pub(super) fn add(&mut self, entry: Entry<T>) {
        *self = match std::mem::replace(self, Self::None) {
            Self::None => Self::One(entry),
            Self::One(first) => Self::Many(Arc::new(vec![first, entry])),
            Self::Many(mut entries) => {
                Arc::make_mut(&mut entries).push(entry);
                Self::Many(entries)
            }
        };
    }

    /// Takes a line out, to be dropped outside of the lock.
    pub(super) fn remove(&mut self, ticket: u64) -> Option<Entry<T>> {
        let entries = self.as_slice();
        let at = entries
            .binary_search_by_key(&ticket, |entry| entry.ticket)
            .ok()?;
        match self {
            Self::Many(entries) if entries.len() > 1 => Some(Arc::make_mut(entries).remove(at)),
            _ => self.take().as_slice().get(at).cloned(),
        }
    }

    pub(super) fn take(&mut self) -> Self {
        std::mem::replace(self, Self::None)
    }
}
