//! What can go wrong between a record and its broker.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use super::{Record, Topic};

/// What a broker answers when it did not do what it was asked to.
///
/// Errors of a push carry the record: [`into_record`](Error::into_record) gives it back.
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// use pushpull::broker::{Broker, Error, Producer, Record};
///
/// let producer = Broker::in_memory().producer();
/// let error = producer.push(Record::new("nowhere", "a letter")).await.unwrap_err();
/// assert!(matches!(error, Error::UnknownTopic { .. }));
/// assert_eq!(error.to_string(), "there is no topic `nowhere`; create it first");
/// assert_eq!(error.into_record().unwrap().value, "a letter");
/// # }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Error {
    /// A name that no topic can have.
    InvalidTopic {
        /// The name.
        topic: String,
        /// What is wrong with it.
        reason: &'static str,
        /// The record that was to go there.
        record: Option<Box<Record>>,
    },
    /// A name that no group can have.
    InvalidGroup {
        /// The name.
        group: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A setting that makes no sense.
    InvalidConfig {
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// A topic that exists and is different from the one to be created.
    TopicExists {
        /// The topic.
        topic: Topic,
        /// How many partitions it has.
        partitions: u32,
    },
    /// A topic that does not exist.
    UnknownTopic {
        /// The topic.
        topic: Topic,
        /// The record that was to go there.
        record: Option<Box<Record>>,
    },
    /// A partition that the topic does not have.
    UnknownPartition {
        /// The topic.
        topic: Topic,
        /// The partition that was asked for.
        partition: u32,
        /// How many there are; they are counted from 0.
        partitions: u32,
        /// The record that was to go there.
        record: Option<Box<Record>>,
    },
    /// A topic that this consumer has not subscribed to.
    NotSubscribed {
        /// The topic.
        topic: Topic,
    },
    /// A partition that is not this consumer's at the moment.
    NotAssigned {
        /// The topic.
        topic: Topic,
        /// The partition.
        partition: u32,
    },
    /// An offset that is not retained any more, or not reached yet.
    OffsetOutOfRange {
        /// The topic.
        topic: Topic,
        /// The partition.
        partition: u32,
        /// The offset that was asked for.
        offset: u64,
        /// The oldest one that is retained.
        first: u64,
        /// The one that the next record will get.
        next: u64,
    },
    /// A record above the size that the topic takes.
    TooLarge {
        /// The topic.
        topic: Topic,
        /// Its [size](Record::size) in bytes.
        size: usize,
        /// The most that the topic takes.
        max: usize,
        /// The record.
        record: Option<Box<Record>>,
    },
    /// A partition that is full and refuses.
    Full {
        /// The topic.
        topic: Topic,
        /// The partition.
        partition: u32,
        /// The record.
        record: Option<Box<Record>>,
    },
    /// A commit beyond what was delivered.
    NotDelivered {
        /// The topic.
        topic: Topic,
        /// The partition.
        partition: u32,
        /// The offset that was to be committed.
        offset: u64,
        /// The first one that was not delivered yet.
        position: u64,
    },
    /// An acknowledgement that came too late: the partition has gone to another member, or this consumer has sought
    /// elsewhere. It changed nothing.
    Fenced {
        /// The topic.
        topic: Topic,
        /// The partition.
        partition: u32,
        /// The offset that was to be acknowledged.
        offset: u64,
    },
    /// The broker, or this handle of it, is closed.
    Closed {
        /// The record that was to be pushed.
        record: Option<Box<Record>>,
    },
    /// Something that the engine cannot do.
    Unsupported {
        /// The engine.
        engine: &'static str,
        /// What it cannot do.
        what: &'static str,
    },
    /// A directory that another broker has open.
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// The store could not be written or read. Nothing was reported as done that was not.
    Storage {
        /// The store.
        path: PathBuf,
        /// What was being done.
        action: &'static str,
        /// The cause.
        source: Arc<dyn std::error::Error + Send + Sync>,
        /// The record that was to be stored. Whether it was is not known.
        record: Option<Box<Record>>,
    },
    /// The store holds something that it never wrote.
    Damaged {
        /// The store.
        path: PathBuf,
        /// Where in the store, and what was found there.
        place: String,
    },
    /// The engine answered with an error of its own.
    Engine {
        /// The engine.
        engine: &'static str,
        /// What was being done.
        action: &'static str,
        /// The cause.
        source: Arc<dyn std::error::Error + Send + Sync>,
        /// The record that was to be pushed. Whether it was stored is not known.
        record: Option<Box<Record>>,
    },
}

impl Error {
    /// Gives back the record that was to be pushed.
    pub fn into_record(mut self) -> Option<Record> {
        self.slot().and_then(Option::take).map(|record| *record)
    }

    /// The record that was to be pushed.
    pub fn record(&self) -> Option<&Record> {
        match self {
            Self::InvalidTopic { record, .. }
            | Self::UnknownTopic { record, .. }
            | Self::UnknownPartition { record, .. }
            | Self::TooLarge { record, .. }
            | Self::Full { record, .. }
            | Self::Closed { record }
            | Self::Storage { record, .. }
            | Self::Engine { record, .. } => record.as_deref(),
            _ => None,
        }
    }

    /// The same error about this record. Errors that are never about a push stay as they are and drop it.
    #[must_use]
    pub fn with_record(mut self, record: Record) -> Self {
        if let Some(slot) = self.slot() {
            *slot = Some(Box::new(record));
        }
        self
    }

    fn slot(&mut self) -> Option<&mut Option<Box<Record>>> {
        match self {
            Self::InvalidTopic { record, .. }
            | Self::UnknownTopic { record, .. }
            | Self::UnknownPartition { record, .. }
            | Self::TooLarge { record, .. }
            | Self::Full { record, .. }
            | Self::Closed { record }
            | Self::Storage { record, .. }
            | Self::Engine { record, .. } => Some(record),
            _ => None,
        }
    }

    /// Whether the partition was full. A later push may go through.
    pub const fn is_full(&self) -> bool {
        matches!(self, Self::Full { .. })
    }

    /// Whether an acknowledgement came too late.
    pub const fn is_fenced(&self) -> bool {
        matches!(self, Self::Fenced { .. })
    }

    /// Whether the engine cannot do what was asked for.
    pub const fn is_unsupported(&self) -> bool {
        matches!(self, Self::Unsupported { .. })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidTopic { topic, reason, .. } => {
                write!(f, "`{topic}` cannot be the name of a topic: {reason}")
            }
            Self::InvalidGroup { group, reason } => {
                write!(f, "`{group}` cannot be the name of a group: {reason}")
            }
            Self::InvalidConfig { reason } => f.write_str(reason),
            Self::TopicExists { topic, partitions } => write!(
                f,
                "topic `{topic}` exists with {partitions} partitions, and their number cannot change"
            ),
            Self::UnknownTopic { topic, .. } => {
                write!(f, "there is no topic `{topic}`; create it first")
            }
            Self::UnknownPartition {
                topic,
                partition,
                partitions,
                ..
            } => write!(
                f,
                "topic `{topic}` has no partition {partition}: it has {partitions}, counted from 0"
            ),
            Self::NotSubscribed { topic } => write!(
                f,
                "this consumer has not subscribed to topic `{topic}`; subscribe first"
            ),
            Self::NotAssigned { topic, partition } => write!(
                f,
                "partition {partition} of topic `{topic}` is not assigned to this consumer at the moment"
            ),
            Self::OffsetOutOfRange {
                topic,
                partition,
                offset,
                first,
                next,
            } => write!(
                f,
                "offset {offset} is not in partition {partition} of topic `{topic}`: its oldest is {first}, and the next to be \
                 written is {next}"
            ),
            Self::TooLarge {
                topic, size, max, ..
            } => write!(
                f,
                "a record of {size} bytes is too large for topic `{topic}`, which takes {max} at the most; see `max_record_bytes` and \
                 `retain_bytes` of its configuration"
            ),
            Self::Full {
                topic, partition, ..
            } => write!(
                f,
                "partition {partition} of topic `{topic}` is full; push again when its groups have read on"
            ),
            Self::NotDelivered {
                topic,
                partition,
                offset,
                position,
            } => write!(
                f,
                "offset {offset} of partition {partition} of topic `{topic}` has not been delivered yet; the next one to be is {position}"
            ),
            Self::Fenced {
                topic,
                partition,
                offset,
            } => write!(
                f,
                "offset {offset} of partition {partition} of topic `{topic}` is not, or no longer, in these hands: after a seek, \
                 a leave or a rebalance it is delivered again where it is not acknowledged, and nothing need be done"
            ),
            Self::Closed { .. } => f.write_str("the broker, or this handle of it, is closed"),
            Self::Unsupported { engine, what } => write!(f, "{engine} cannot {what}"),
            Self::Locked { path } => write!(
                f,
                "`{}` is in use by another broker; one at a time can have it open: share a clone of that one, or close it and wait \
                 until that is done",
                path.display()
            ),
            Self::Storage {
                path,
                action,
                source,
                ..
            } => {
                write!(f, "{action} failed in `{}`: {source}", path.display())
            }
            Self::Damaged { path, place } => {
                write!(f, "the store `{}` is damaged: {place}", path.display())
            }
            Self::Engine {
                engine,
                action,
                source,
                ..
            } => write!(f, "{engine}: {action} failed: {source}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Storage { source, .. } | Self::Engine { source, .. } => Some(&**source),
            _ => None,
        }
    }
}
