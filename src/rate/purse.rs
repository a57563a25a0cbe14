//! Units on lease to whoever comes next, so that most calls look neither at the clock nor at the line.

use crate::sync::Lock;

/// Filled and emptied under the lock of the line; taken from without it. It is empty while anybody waits in the line.
///
/// On a line of memory of its own, away from what those wait for who find it empty.
#[repr(align(64))]
pub(super) struct Purse {
    units: Lock<u32>,
}

impl Purse {
    pub(super) fn new() -> Self {
        Self {
            units: Lock::new(0),
        }
    }

    /// Takes `n` units if they are there.
    #[inline]
    pub(super) fn take(&self, n: u32) -> bool {
        let mut units = self.units.lock();
        let rest = units.checked_sub(n);
        *units = rest.unwrap_or(*units);
        rest.is_some()
    }

    /// Exchanges what is in it.
    pub(super) fn swap(&self, units: u32) -> u32 {
        std::mem::replace(&mut *self.units.lock(), units)
    }
}
