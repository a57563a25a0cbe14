//! What stands in for the lock in models of what it guards: one that loom knows, and need not see spin.

use super::{Mutex, MutexGuard, lock};

pub(crate) type Guard<'a, T> = MutexGuard<'a, T>;

pub(crate) struct Lock<T>(Mutex<T>);

impl<T> Lock<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> Guard<'_, T> {
        lock(&self.0)
    }

    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.0
            .get_mut()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
