//! When deliveries are overdue, with one entry for those that were taken together.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use tokio::time::Instant;

/// The deliveries with this many attempts among these offsets.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Span {
    pub(super) from: u64,
    /// The one behind the last.
    pub(super) to: u64,
    pub(super) attempt: u32,
}

/// A deadline, and whose it is.
type Run = (Instant, Span);

/// Runs, the first due on top. They are not taken out when they are answered, but forgotten when there are many.
#[derive(Default)]
pub(super) struct Runs {
    runs: BinaryHeap<Reverse<Run>>,
}

impl Runs {
    pub(super) fn first(&self) -> Option<Instant> {
        self.first_run().map(|(deadline, _)| deadline)
    }

    pub(super) fn first_run(&self) -> Option<Run> {
        self.runs.peek().map(|Reverse(run)| *run)
    }

    pub(super) fn pop(&mut self) {
        self.runs.pop();
    }

    pub(super) fn push(&mut self, deadline: Instant, span: Span) {
        self.runs.push(Reverse((deadline, span)));
    }

    pub(super) fn clear(&mut self) {
        self.runs.clear();
    }

    /// Whether there are so many that some of them must have been answered.
    pub(super) fn is_long(&self, out: usize) -> bool {
        self.runs.len() > out.saturating_mul(2).saturating_add(32)
    }

    /// Keeps of each run what lies behind `first_out`, and forgets those where that is nothing. So each slot is looked at
    /// once per delivery, however often this is called.
    pub(super) fn trim(&mut self, first_out: impl Fn(Span) -> Option<u64>) {
        let mut runs = std::mem::take(&mut self.runs).into_vec();
        runs.retain_mut(|Reverse((_, span))| match first_out(*span) {
            Some(first) => {
                span.from = first;
                true
            }
            None => false,
        });
        self.runs = runs.into();
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.runs.len()
    }
}
