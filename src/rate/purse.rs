//! Units on lease to whoever comes next, so that most calls look neither at the clock nor at the line.

use std::sync::atomic::Ordering;

use crate::sync::{AtomicBool, Lock};

/// Filled and emptied under the lock of the line; taken from without it. It is empty while anybody waits in the line.
///
/// On a line of memory of its own, away from what those wait for who find it empty.
#[repr(align(64))]
pub(super) struct Purse {
    /// Whether a look is worth it: many are never filled.
    filled: AtomicBool,
    units: Lock<u32>,
}

impl Purse {
    pub(super) fn new() -> Self {
        Self {
            filled: AtomicBool::new(false),
            units: Lock::new(0),
        }
    }

    /// Takes `n` units if they are there.
    #[inline]
    pub(super) fn take(&self, n: u32) -> bool {
        // Relaxed: the lock says what is in it.
        if !self.filled.load(Ordering::Relaxed) {
            return n == 0;
        }
        let mut units = self.units.lock();
        let rest = units.checked_sub(n);
        *units = rest.unwrap_or(*units);
        rest.is_some()
    }

    /// Exchanges what is in it.
    pub(super) fn swap(&self, units: u32) -> u32 {
        self.filled.store(units > 0, Ordering::Relaxed);
        std::mem::replace(&mut *self.units.lock(), units)
    }
}
