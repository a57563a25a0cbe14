//! What a batching operator counts.

use std::fmt;

use crate::meter::{Kind, Naming, Reading, Registration, Source};
use crate::sync::{Arc, Mutex, lock};

use super::FlushReason;

const REASONS: [FlushReason; 8] = [
    FlushReason::Size,
    FlushReason::Weight,
    FlushReason::Age,
    FlushReason::Idle,
    FlushReason::Predicate,
    FlushReason::End,
    FlushReason::Error,
    FlushReason::Flush,
];

/// How many batches an operator has closed, how large they were, and why they closed.
///
/// `batches` is the sum over all reasons, in every reading. What was taken out as a remainder was no batch.
///
/// Many that close by age or idleness have a `max` out of reach or a clock that is too fast; many that close by size,
/// and a queue before them that stays full, want a larger `max`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct BatchStats {
    /// Batches closed.
    pub batches: u64,
    /// Items in them.
    pub items: u64,
    /// The length of the shortest; 0 before the first.
    pub shortest: usize,
    /// The length of the longest.
    pub longest: usize,
    #[cfg_attr(feature = "serde", serde(serialize_with = "by_reason"))]
    by_reason: [u64; REASONS.len()],
}

impl BatchStats {
    /// How many closed for this reason.
    #[must_use]
    pub const fn closed_by(&self, reason: FlushReason) -> u64 {
        self.by_reason[reason as usize]
    }

    /// How many closed for each reason.
    pub fn reasons(&self) -> impl Iterator<Item = (FlushReason, u64)> + use<> {
        REASONS.into_iter().zip(self.by_reason)
    }

    /// The length of a batch, on average; 0 before the first.
    #[must_use]
    pub fn mean_len(&self) -> f64 {
        if self.batches == 0 {
            0.0
        } else {
            self.items as f64 / self.batches as f64
        }
    }

    #[inline]
    fn count(&mut self, reason: FlushReason, len: usize) {
        self.shortest = if self.batches == 0 {
            len
        } else {
            self.shortest.min(len)
        };
        self.longest = self.longest.max(len);
        self.batches += 1;
        self.items += len as u64;
        self.by_reason[reason as usize] += 1;
    }
}

/// The counters of one operator, and their copy in the registry where its policy has a name.
pub(super) struct Tally {
    stats: BatchStats,
    named: Option<Arc<Named>>,
}

struct Named {
    stats: Mutex<BatchStats>,
    registration: Option<Registration>,
}

impl Tally {
    pub(super) fn new(name: Option<&str>) -> Self {
        let named = name.map(|name| {
            let naming = Naming::new(Kind::Batch, name);
            Naming::build(Some(&naming), |registration| Named {
                stats: Mutex::new(BatchStats::default()),
                registration,
            })
        });
        Self {
            stats: BatchStats::default(),
            named,
        }
    }

    #[inline]
    pub(super) fn count(&mut self, reason: FlushReason, len: usize) {
        self.stats.count(reason, len);
        if let Some(named) = &self.named {
            named.publish(self.stats);
        }
    }

    pub(super) const fn stats(&self) -> BatchStats {
        self.stats
    }
}

impl Named {
    #[inline(never)]
    fn publish(&self, stats: BatchStats) {
        *lock(&self.stats) = stats;
    }

    fn reading(&self) -> Reading {
        Reading::Batch(*lock(&self.stats))
    }
}

impl Source for Named {
    fn read(&self) -> Reading {
        self.reading()
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        if let Some(registration) = &self.registration {
            registration.finish(self.reading());
        }
    }
}

impl fmt::Debug for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.stats.fmt(f)
    }
}

#[cfg(feature = "serde")]
fn by_reason<S: serde::Serializer>(
    counts: &[u64; REASONS.len()],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(REASONS.iter().map(|reason| reason.as_str()).zip(counts))
}
