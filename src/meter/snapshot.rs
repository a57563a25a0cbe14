//! What a snapshot holds.

use std::ops::Deref;
use std::time::Duration;

use tokio::time::Instant;

use super::engine::EngineEntry;
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
    /// Clients of engines outside the process that tell of themselves.
    pub engines: Vec<EngineEntry>,
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
        serde(rename = "age_seconds", serialize_with = "super::seconds")
    )]
    pub age: Duration,
}

impl OperatorStats {
    /// Items in a second, on average over its [`age`](Self::age).
    pub fn per_second(&self) -> f64 {
        super::rates::per_second(self.items, 0, self.age)
    }
}

impl Snapshot {
    pub(super) fn new(readings: Vec<Read>, forgotten: u64) -> Self {
        let taken_at = Instant::now();
        let (mut queues, mut batches) = (Vec::new(), Vec::new());
        let (mut broadcasts, mut operators) = (Vec::new(), Vec::new());
        let mut engines = Vec::new();
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
                Reading::Engine(stats) => engines.push(EngineEntry {
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
            engines,
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

    /// The engine's client of this name.
    pub fn engine(&self, name: &str) -> Option<&EngineEntry> {
        self.engines.iter().find(|entry| entry.name == name)
    }
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
