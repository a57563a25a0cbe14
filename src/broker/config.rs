//! How topics keep records, and how groups read them.

use std::time::Duration;

use super::{Start, Topic};

/// How a topic keeps its records. Bounds are per partition.
///
/// Without bounds everything is kept: for a broker in memory, set one.
///
/// ```
/// use std::time::Duration;
/// use pushpull::broker::{TopicConfig, WhenFull};
///
/// let config = TopicConfig::partitions(4)
///     .retain_records(1_000_000)
///     .retain_for(Duration::from_secs(7 * 24 * 3600))
///     .when_full(WhenFull::DropOldest);
/// # let _ = config;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicConfig {
    pub(crate) partitions: u32,
    pub(crate) max_records: Option<u64>,
    pub(crate) max_bytes: Option<u64>,
    pub(crate) max_age: Option<Duration>,
    pub(crate) when_full: WhenFull,
    pub(crate) max_record_bytes: usize,
}

impl TopicConfig {
    /// A topic with this many partitions, which keeps everything. Creating one with none is an error.
    ///
    /// A partition is a log of its own: records in it have an order, and one member of each group reads it. Their number
    /// cannot change later.
    pub const fn partitions(partitions: u32) -> Self {
        Self {
            partitions,
            max_records: None,
            max_bytes: None,
            max_age: None,
            when_full: WhenFull::DropOldest,
            max_record_bytes: 1024 * 1024,
        }
    }

    /// Keeps at most this many records in each partition.
    #[must_use]
    pub const fn retain_records(mut self, records: u64) -> Self {
        self.max_records = Some(records);
        self
    }

    /// Keeps at most this many bytes in each partition, as [`Record::size`](super::Record::size) counts them.
    #[must_use]
    pub const fn retain_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = Some(bytes);
        self
    }

    /// Removes records that are older, whether they were read or not.
    #[must_use]
    pub const fn retain_for(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// What a push meets when a partition has reached its bound in records or bytes. [`WhenFull::DropOldest`] unless told
    /// otherwise.
    #[must_use]
    pub const fn when_full(mut self, policy: WhenFull) -> Self {
        self.when_full = policy;
        self
    }

    /// The largest record that the topic takes, in bytes of [`Record::size`](super::Record::size). 1 MiB unless told
    /// otherwise.
    #[must_use]
    pub const fn max_record_bytes(mut self, bytes: usize) -> Self {
        self.max_record_bytes = bytes;
        self
    }
}

/// What happens to a push into a full partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WhenFull {
    /// The oldest records make room, read or not. What a group had not acknowledged is counted and reported to it. The
    /// default.
    #[default]
    DropOldest,
    /// The push waits until all groups have acknowledged the oldest records. Only groups that have read the topic before
    /// count; while there is none, it waits.
    Wait,
    /// The push is refused with [`Error::Full`](super::Error::Full) until all groups have acknowledged the oldest records.
    Reject,
}

/// How a consumer reads, as a member of a group.
///
/// ```
/// use std::time::Duration;
/// use pushpull::broker::ConsumerConfig;
///
/// let config = ConsumerConfig::group("billing")
///     .ack_wait(Duration::from_secs(10))
///     .max_attempts(5)
///     .dead_letter("orders.failed");
/// # let _ = config;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerConfig {
    pub(crate) group: String,
    pub(crate) ack_wait: Duration,
    pub(crate) max_attempts: Option<u32>,
    pub(crate) dead_letter: Option<Topic>,
    pub(crate) start: Start,
    pub(crate) session_timeout: Duration,
    pub(crate) max_in_flight: usize,
    pub(crate) ordered: bool,
}

impl ConsumerConfig {
    /// A member of this group.
    pub fn group(name: impl Into<String>) -> Self {
        Self {
            group: name.into(),
            ack_wait: Duration::from_secs(30),
            max_attempts: None,
            dead_letter: None,
            start: Start::Earliest,
            session_timeout: Duration::from_secs(30),
            max_in_flight: 1000,
            ordered: false,
        }
    }

    /// How long a delivery may stay unacknowledged before it is delivered again. 30 s unless told otherwise.
    #[must_use]
    pub const fn ack_wait(mut self, wait: Duration) -> Self {
        self.ack_wait = wait;
        self
    }

    /// How often a record is delivered before it counts as failed: it goes to the [dead-letter
    /// topic](Self::dead_letter), or is given up where there is none, which is an
    /// [event](super::Event::GivenUp). Without this, records are delivered until they are acknowledged.
    #[must_use]
    pub const fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = Some(attempts);
        self
    }

    /// Where records go that failed [`max_attempts`](Self::max_attempts) times. A topic that does not exist is created
    /// with the first subscription, with one partition.
    ///
    /// The record goes there in a task of its own, so the deliveries have to be answered within a tokio runtime. Where the
    /// dead-letter topic refuses it, that is an [event](super::Event::Failed), and it is tried again every second.
    ///
    /// Headers say where the record came from and why it failed: `dead-letter-topic`, `dead-letter-partition`,
    /// `dead-letter-offset`, `dead-letter-group`, `dead-letter-attempts`, `dead-letter-reason`.
    #[must_use]
    pub fn dead_letter(mut self, topic: impl Into<Topic>) -> Self {
        self.dead_letter = Some(topic.into());
        self
    }

    /// Where a group begins to read a partition in which it has committed nothing. [`Start::Earliest`] unless told
    /// otherwise.
    #[must_use]
    pub const fn start(mut self, start: Start) -> Self {
        self.start = start;
        self
    }

    /// How long a member may be silent (neither poll, acknowledge nor wait in a poll) before its partitions go to the
    /// others. 30 s unless told otherwise.
    #[must_use]
    pub const fn session_timeout(mut self, timeout: Duration) -> Self {
        self.session_timeout = timeout;
        self
    }

    /// How many records of a partition lie, at the most, between the committed offset and the last one delivered. When
    /// that many do, nothing more of it is delivered until the oldest are acknowledged, and an
    /// [event](super::Event::InFlightFull) says so. 1000 unless told otherwise.
    #[must_use]
    pub const fn max_in_flight(mut self, records: usize) -> Self {
        self.max_in_flight = records;
        self
    }

    /// Whether a record holds back those behind it in its partition that have the same key (or that have no key, like
    /// it) until it is acknowledged: order per key, also across redelivery. Off unless told otherwise.
    #[must_use]
    pub const fn ordered(mut self, ordered: bool) -> Self {
        self.ordered = ordered;
        self
    }
}

/// When a durable broker makes what it stores outlive a crash.
///
/// A push returns when the record is stored as far as the policy says. Closing the broker syncs under every policy.
///
/// After a crash, opening reads all of the store once to check it, and cuts off what was being written. After a close it
/// does so up to 1 GiB; records of a larger store are checked when they are read.
#[cfg(feature = "durable")]
#[cfg_attr(docsrs, doc(cfg(feature = "durable")))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SyncPolicy {
    /// Every push waits for the disk; those that come together share the wait. Neither a crash of the process nor of the
    /// machine costs anything that was acknowledged.
    Always,
    /// What came in is written and synced once per interval, or sooner if it has become much. A crash of the process or of
    /// the machine costs what was acknowledged since the last sync that was finished: one interval's at the most.
    Every(Duration),
    /// Every push is written to the operating system, which writes it to the disk when it likes. A crash of the process
    /// costs nothing that was acknowledged. A crash of the machine may cost everything back to the last
    /// [`sync`](super::Producer::sync), and may leave a store that cannot be opened.
    Os,
}
