//! How far the two ends of the queue may go on without the rules: as far as the rules would say yes and wake nobody.

use super::State;
use super::room::{OVERTAKES, PASSED_BY};
use crate::sync::planted;

impl<T> State<T> {
    /// So many items may be in before a newcomer finds no room.
    pub(super) fn bound(&self) -> usize {
        let held = self.ahead(None).units;
        self.capacity
            .saturating_sub(self.reserved.saturating_add(held))
    }

    /// The position of the tail from which on a push has to look at the rules.
    pub(super) fn push_until(&self) -> u64 {
        let sleeper = self.pulling.sleeping() > 0 && !planted("push_gate_open");
        if self.closed || self.looks_at_each() || sleeper {
            0
        } else if self.pushing.is_empty() || self.overtakes >= PASSED_BY {
            u64::MAX
        } else if self.overtakes >= OVERTAKES {
            self.ring.tail() + u64::from(PASSED_BY - self.overtakes)
        } else {
            self.ring.tail() + u64::from(OVERTAKES - self.overtakes)
        }
    }

    /// The position of the head beyond which a pull has to look at the rules.
    pub(super) fn pull_until(&self) -> u64 {
        let ends = self.closed && (self.watching.sleeping() > 0 || self.pulling.sleeping() > 0);
        let sleeper = self.pushing.sleeping() > 0 && !self.pushing.has_woken();
        if self.looks_at_each() || (sleeper && !planted("pull_gate_open")) {
            0
        } else if ends {
            // The last item is the end for those who wait for it.
            self.ring.tail().saturating_sub(1)
        } else {
            u64::MAX
        }
    }

    /// Items are weighed, or their time is taken.
    const fn looks_at_each(&self) -> bool {
        self.ring.is_weighted() || self.sampler.is_some()
    }
}
