//! What has to be dropped outside of the lock.

use std::sync::Arc;

use super::value::Run;
use crate::wake;

/// Values that nobody reads any more, to be dropped outside of the lock. One always has room, more have it where
/// room was prepared.
#[derive(Debug)]
pub(super) struct Trash<T> {
    first: Option<Arc<Run<T>>>,
    rest: Vec<Arc<Run<T>>>,
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

    pub(super) fn put(&mut self, run: Option<Arc<Run<T>>>) {
        let Some(run) = run else { return };
        if self.first.is_none() {
            self.first = Some(run);
        } else {
            self.rest.push(run);
        }
    }

    pub(super) fn has_room(&self) -> bool {
        self.first.is_none() || self.rest.len() < self.rest.capacity()
    }

    /// Drops all, also where a destructor panics.
    pub(super) fn empty(self) {
        wake::all(self.first.into_iter().chain(self.rest), drop);
    }
}
