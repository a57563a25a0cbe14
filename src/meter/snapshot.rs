//! What a snapshot holds, and the rates between two of them.

use std::ops::Deref;
use std::time::Duration;

use tokio::time::Instant;

use super::histogram::Percentiles;
use super::registry::{Read, Reading};
use crate::batch::BatchStats;
use crate::broadcast::BroadcastStats;
use crate::queue::QueueStats;

/// Everything that had a name at one moment, in the order in which it was named.
///
/// Its `Display` is a table for people; with the feature `serde` it serializes, durations as seconds.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Snapshot {
    /// Queues that were given a name when built.
    pub queues: Vec<QueueEntry>,
    /// Batching operators whose policy has a name.
    pub batches: Vec<BatchEntry>,
    /// Broadcasts that were given a name when built.
    pub broadcasts: Vec<BroadcastEntry>,
    /// Streams after [`metered`](crate::PullExt::metered), sinks after [`sink_metered`](crate::PushExt::sink_metered).
    pub operators: Vec<OperatorEntry>,
    /// How many last counters were given up unread since the process started, because nobody took a snapshot.
    pub forgotten: u64,
    #[cfg_attr(feature = "serde", serde(skip))]
    taken_at: Instant,
}

/// A named queue.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct QueueEntry {
    /// Its name, with an index where the name was taken: `orders`, `orders#2`.
    pub name: String,
    /// Whether it has gone, and these are its last counters.
    pub gone: bool,
    /// Its counters.
    #[cfg_attr(feature = "serde", serde(flatten))]
    pub stats: QueueStats,
    /// How long items stayed, where the queue was built to measure it.
    pub time_in_queue: Option<Percentiles>,
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(super) id: u64,
}

/// A named batching operator.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct BatchEntry {
    /// Its name, with an index where the name was taken.
    pub name: String,
    /// Whether it has gone, and these are its last counters.
    pub gone: bool,
    /// Its counters.
    #[cfg_attr(feature = "serde", serde(flatten))]
    pub stats: BatchStats,
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(super) id: u64,
}

/// A named broadcast.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct BroadcastEntry {
    /// Its name, with an index where the name was taken.
    pub name: String,
    /// Whether it has gone, and these are its last counters.
    pub gone: bool,
    /// Its counters.
    #[cfg_attr(feature = "serde", serde(flatten))]
    pub stats: BroadcastStats,
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(super) id: u64,
}

/// A metered stream or sink.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct OperatorEntry {
    /// Its name, with an index where the name was taken.
    pub name: String,
    /// Whether it has gone, and these are its last counters.
    pub gone: bool,
    /// Its counters.
    #[cfg_attr(feature = "serde", serde(flatten))]
    pub stats: OperatorStats,
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(super) id: u64,
}

/// What went through a metered stream or sink.
///
/// `waits <= items + errors + 1` in every reading, and once `ended` is true, `items` stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct OperatorStats {
    /// Items that went through.
    pub items: u64,
    /// How often it had to wait, a stream for an item and a sink for room. Polls during one wait count as one.
    pub waits: u64,
    /// Whether it is waiting now, as far as its last poll tells.
    pub waiting: bool,
    /// Errors of the sink; 0 for a stream, whose errors are items.
    pub errors: u64,
    /// Whether the stream has ended, or the sink has been closed.
    pub ended: bool,
    /// How long it has been there: until its end, or until now.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "age_seconds", serialize_with = "seconds")
    )]
    pub age: Duration,
}

impl OperatorStats {
    /// Items in a second, on average over its [`age`](Self::age).
    pub fn per_second(&self) -> f64 {
        per_second(self.items, 0, self.age)
    }
}

impl Snapshot {
    pub(super) fn new(readings: Vec<Read>, forgotten: u64) -> Self {
        let taken_at = Instant::now();
        let (mut queues, mut batches) = (Vec::new(), Vec::new());
        let (mut broadcasts, mut operators) = (Vec::new(), Vec::new());
        for Read {
            id,
            name,
            gone,
            reading,
        } in readings
        {
            match reading {
                Reading::Queue {
                    stats,
                    time_in_queue,
                } => {
                    queues.push(QueueEntry {
                        name,
                        gone,
                        stats,
                        time_in_queue,
                        id,
                    });
                }
                Reading::Batch(stats) => batches.push(BatchEntry {
                    name,
                    gone,
                    stats,
                    id,
                }),
                Reading::Broadcast(stats) => {
                    broadcasts.push(BroadcastEntry {
                        name,
                        gone,
                        stats,
                        id,
                    });
                }
                Reading::Operator(stats) => operators.push(OperatorEntry {
                    name,
                    gone,
                    stats,
                    id,
                }),
            }
        }
        Self {
            queues,
            batches,
            broadcasts,
            operators,
            forgotten,
            taken_at,
        }
    }

    /// When it was taken, on tokio's clock.
    pub fn taken_at(&self) -> Instant {
        self.taken_at
    }

    /// The queue of this name.
    pub fn queue(&self, name: &str) -> Option<&QueueEntry> {
        self.queues.iter().find(|entry| entry.name == name)
    }

    /// The batching operator of this name.
    pub fn batch(&self, name: &str) -> Option<&BatchEntry> {
        self.batches.iter().find(|entry| entry.name == name)
    }

    /// The broadcast of this name.
    pub fn broadcast(&self, name: &str) -> Option<&BroadcastEntry> {
        self.broadcasts.iter().find(|entry| entry.name == name)
    }

    /// The metered stream or sink of this name.
    pub fn operator(&self, name: &str) -> Option<&OperatorEntry> {
        self.operators.iter().find(|entry| entry.name == name)
    }

    /// What happened in a second, on average since an earlier snapshot.
    ///
    /// What was not there at that time counts from zero; a name that has been given to something else in between is
    /// not taken for the same. Between two snapshots of the same moment all rates are 0.
    pub fn since(&self, earlier: &Self) -> Rates {
        let elapsed = self.taken_at.saturating_duration_since(earlier.taken_at);
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
            operators: operators.collect(),
        }
    }
}

/// What happened in a second, on average between two snapshots: see [`Snapshot::since`].
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Rates {
    /// The time between the two.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "elapsed_seconds", serialize_with = "seconds")
    )]
    pub elapsed: Duration,
    /// Of each queue in the later snapshot.
    pub queues: Vec<QueueRates>,
    /// Of each batching operator in the later snapshot.
    pub batches: Vec<BatchRates>,
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

impl Deref for QueueEntry {
    type Target = QueueStats;

    fn deref(&self) -> &QueueStats {
        &self.stats
    }
}

impl Deref for BatchEntry {
    type Target = BatchStats;

    fn deref(&self) -> &BatchStats {
        &self.stats
    }
}

impl Deref for BroadcastEntry {
    type Target = BroadcastStats;

    fn deref(&self) -> &BroadcastStats {
        &self.stats
    }
}

impl Deref for OperatorEntry {
    type Target = OperatorStats;

    fn deref(&self) -> &OperatorStats {
        &self.stats
    }
}

fn per_second(now: u64, before: u64, elapsed: Duration) -> f64 {
    let happened = now.saturating_sub(before);
    if elapsed.is_zero() {
        0.0
    } else {
        happened as f64 / elapsed.as_secs_f64()
    }
}

/// Durations are seconds wherever they are serialized.
#[cfg(feature = "serde")]
pub(super) fn seconds<S: serde::Serializer>(
    duration: &Duration,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}
