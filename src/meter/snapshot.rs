//! What a snapshot of the registry holds.

use std::time::Duration;

use tokio::time::Instant;

use super::registry::{Read, Reading};

/// What a named queue has to say.
#[derive(Clone, Debug)]
pub(crate) struct QueueReading {
    pub(crate) stats: QueueStats,
}

/// Stands in until the queue brings its own.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct QueueStats {}

/// Stands in until the broadcast brings its own.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct BroadcastStats {}

/// Everything that had a name at one moment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Snapshot {
    /// Named queues.
    pub queues: Vec<QueueEntry>,
    /// Named broadcasts.
    pub broadcasts: Vec<BroadcastEntry>,
    /// Metered operators.
    pub operators: Vec<OperatorEntry>,
    /// Last counters that were given up unread, since the process started.
    pub forgotten: u64,
    at: Instant,
}

/// A named queue.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct QueueEntry {
    /// Its name, with an index where the name was taken.
    pub name: String,
    /// Whether it has gone, and these are its last counters.
    pub gone: bool,
    /// Its counters.
    pub stats: QueueStats,
}

/// A named broadcast.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BroadcastEntry {
    /// Its name, with an index where the name was taken.
    pub name: String,
    /// Whether it has gone, and these are its last counters.
    pub gone: bool,
    /// Its counters.
    pub stats: BroadcastStats,
}

/// A metered operator.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OperatorEntry {
    /// Its name, with an index where the name was taken.
    pub name: String,
    /// Whether it has gone, and these are its last counters.
    pub gone: bool,
    /// Its counters.
    pub stats: OperatorStats,
}

/// What went through a metered operator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OperatorStats {
    /// Items that went through.
    pub items: u64,
    /// How often it had to wait: for an item (Stream), for room (Sink).
    pub waits: u64,
    /// Whether it was waiting when it was last polled.
    pub waiting: bool,
    /// Errors of the sink; 0 for a stream.
    pub errors: u64,
    /// Whether the stream has ended, the sink has been closed.
    pub ended: bool,
    /// How long it has lived: until its end, or until now.
    pub age: Duration,
}

impl Snapshot {
    pub(super) fn new(readings: Vec<Read>, forgotten: u64) -> Self {
        let at = Instant::now();
        let (mut queues, mut broadcasts, mut operators) = (Vec::new(), Vec::new(), Vec::new());
        for Read {
            name,
            gone,
            reading,
            ..
        } in readings
        {
            match reading {
                Reading::Queue(QueueReading { stats }) => {
                    queues.push(QueueEntry { name, gone, stats });
                }
                Reading::Broadcast(stats) => broadcasts.push(BroadcastEntry { name, gone, stats }),
                Reading::Operator(stats) => operators.push(OperatorEntry { name, gone, stats }),
            }
        }
        Self {
            queues,
            broadcasts,
            operators,
            forgotten,
            at,
        }
    }

    /// When it was taken.
    pub fn taken_at(&self) -> Instant {
        self.at
    }
}
