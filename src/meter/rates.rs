//! What happened between two snapshots.

use std::time::Duration;

use super::{OperatorStats, Snapshot};
use crate::batch::BatchStats;
use crate::broadcast::BroadcastStats;
use crate::queue::QueueStats;

/// What happened in a second, on average between two snapshots: see [`Snapshot::since`].
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Rates {
    /// The time between the two.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "elapsed_seconds", serialize_with = "super::seconds")
    )]
    pub elapsed: Duration,
    /// Of each queue in the later snapshot.
    pub queues: Vec<QueueRates>,
    /// Of each batching operator in the later snapshot.
    pub batches: Vec<BatchRates>,
    /// Of each broadcast in the later snapshot.
    pub broadcasts: Vec<BroadcastRates>,
    /// Of each metered stream or sink in the later snapshot.
    pub operators: Vec<OperatorRates>,
}

/// The rates of a named queue, in items a second.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct QueueRates {
    /// Its name.
    pub name: String,
    /// Accepted.
    pub pushed: f64,
    /// Handed to consumers.
    pub pulled: f64,
    /// Dropped, for whichever reason.
    pub dropped: f64,
    /// Given back to the producer.
    pub refused: f64,
}

/// The rates of a named batching operator, per second.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct BatchRates {
    /// Its name.
    pub name: String,
    /// Batches closed.
    pub batches: f64,
    /// Items in them.
    pub items: f64,
}

/// The rates of a named broadcast, in values a second.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct BroadcastRates {
    /// Its name.
    pub name: String,
    /// Published.
    pub published: f64,
    /// Read by subscribers, each value once for each.
    pub delivered: f64,
    /// Missed by lossy subscribers.
    pub missed: f64,
}

/// The rates of a metered stream or sink, per second.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct OperatorRates {
    /// Its name.
    pub name: String,
    /// Items that went through.
    pub items: f64,
    /// Waits that began.
    pub waits: f64,
}

impl Snapshot {
    /// What happened in a second, on average since an earlier snapshot.
    ///
    /// What was not there at that time counts from zero; a name that has been given to something else in between is
    /// not taken for the same. Between two snapshots of the same moment all rates are 0.
    pub fn since(&self, earlier: &Self) -> Rates {
        let elapsed = self
            .taken_at()
            .saturating_duration_since(earlier.taken_at());
        let queues = self.queues.iter().map(|now| {
            let before = earlier.queues.iter().find(|then| then.id == now.id);
            let before = before.map_or_else(QueueStats::default, |then| then.stats);
            QueueRates {
                name: now.name.clone(),
                pushed: per_second(now.pushed, before.pushed, elapsed),
                pulled: per_second(now.pulled, before.pulled, elapsed),
                dropped: per_second(now.dropped, before.dropped, elapsed),
                refused: per_second(now.refused, before.refused, elapsed),
            }
        });
        let batches = self.batches.iter().map(|now| {
            let before = earlier.batches.iter().find(|then| then.id == now.id);
            let before = before.map_or_else(BatchStats::default, |then| then.stats);
            BatchRates {
                name: now.name.clone(),
                batches: per_second(now.stats.batches, before.batches, elapsed),
                items: per_second(now.items, before.items, elapsed),
            }
        });
        let broadcasts = self.broadcasts.iter().map(|now| {
            let before = earlier.broadcasts.iter().find(|then| then.id == now.id);
            let before = before.map_or_else(BroadcastStats::default, |then| then.stats);
            BroadcastRates {
                name: now.name.clone(),
                published: per_second(now.published, before.published, elapsed),
                delivered: per_second(now.delivered, before.delivered, elapsed),
                missed: per_second(now.missed, before.missed, elapsed),
            }
        });
        let operators = self.operators.iter().map(|now| {
            let before = earlier.operators.iter().find(|then| then.id == now.id);
            let before = before.map_or_else(OperatorStats::default, |then| then.stats);
            OperatorRates {
                name: now.name.clone(),
                items: per_second(now.items, before.items, elapsed),
                waits: per_second(now.waits, before.waits, elapsed),
            }
        });
        Rates {
            elapsed,
            queues: queues.collect(),
            batches: batches.collect(),
            broadcasts: broadcasts.collect(),
            operators: operators.collect(),
        }
    }
}

pub(super) fn per_second(now: u64, before: u64, elapsed: Duration) -> f64 {
    let happened = now.saturating_sub(before);
    if elapsed.is_zero() {
        0.0
    } else {
        happened as f64 / elapsed.as_secs_f64()
    }
}
