//! How a topic lies in a stream: its name, its subjects, its configuration.
//!
//! The partitions of topic `orders` are the subjects `orders.0`, `orders.1` and so on, which the stream lists one by one:
//! so anybody can see how many there are.

use std::fmt::Write;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::Subject;
use async_nats::jetstream::stream::{Config, DiscardPolicy, StorageType};

use crate::broker::partitioner::partition_of;
use crate::broker::{Error, Record, Topic, TopicConfig, WhenFull};
use crate::sync::AtomicU64;

use super::{ENGINE, Options};

/// The longest name of a topic, in bytes: that of every engine.
const MAX_NAME: usize = 249;
/// The longest name of a stream.
const MAX_STREAM_NAME: usize = 255;
/// Each partition is a line in the stream's configuration, which is one message, and a consumer for each group.
const MAX_PARTITIONS: u32 = 4096;
/// How long a stream remembers the ids of its records, unless it keeps the records themselves for a shorter time.
const REMEMBERED: Duration = Duration::from_secs(120);
/// Ahead of what the stream's description says.
const DESCRIBED: &str = "A topic of pushpull. max_record_bytes=";

/// A topic as its stream shows it.
#[derive(Debug)]
pub(crate) struct TopicState {
    pub(crate) name: Topic,
    /// The name of its stream.
    pub(crate) stream: String,
    /// When the stream was created, in nanoseconds, where that is known: another of the same name has other records.
    pub(crate) created: Option<i128>,
    /// The subject of each partition.
    pub(crate) subjects: Box<[Subject]>,
    /// The largest record, by [`Record::size`].
    pub(crate) max_record_bytes: usize,
    /// The largest message that the stream takes.
    pub(crate) max_message_bytes: usize,
    /// How long the stream tells duplicates by their ids.
    pub(crate) remembers: Duration,
    /// Whose turn it is to get a record that has neither key, partition nor id.
    turn: AtomicU64,
}

impl TopicState {
    /// Reads a stream as a topic. `None` where it is something else.
    pub(crate) fn of(config: &Config) -> Option<Self> {
        let name = topic_of(&config.name)?;
        let count = u32::try_from(config.subjects.len()).ok()?;
        let subjects: Box<[Subject]> = (0..count).map(|p| subject(&name, p).into()).collect();
        let all = subjects.iter().map(Subject::as_str).eq(&config.subjects);
        if count == 0 || !all {
            return None;
        }
        Some(Self {
            name: Topic::from(name).fixed(),
            stream: config.name.clone(),
            created: None,
            subjects,
            max_record_bytes: max_record_bytes(config),
            max_message_bytes: max_message_bytes(config).unwrap_or(usize::MAX),
            remembers: config.duplicate_window,
            turn: AtomicU64::new(0),
        })
    }

    pub(crate) fn created_at(mut self, nanoseconds: i128) -> Self {
        self.created = Some(nanoseconds);
        self
    }

    pub(crate) fn partitions(&self) -> u32 {
        u32::try_from(self.subjects.len()).unwrap_or(u32::MAX)
    }

    /// Whether there is such a partition.
    pub(crate) fn check(&self, partition: u32) -> Result<(), Error> {
        if partition < self.partitions() {
            return Ok(());
        }
        Err(Error::UnknownPartition {
            topic: self.name.clone(),
            partition,
            partitions: self.partitions(),
            record: None,
        })
    }

    /// The partition that a record goes to. One that is pushed again with the same id goes where it went.
    pub(crate) fn choose(&self, record: &Record) -> Result<u32, Error> {
        let count = self.partitions();
        let hashed = record.key.as_deref();
        let hashed = hashed.or_else(|| record.id.as_deref().map(str::as_bytes));
        match (record.partition, hashed) {
            (Some(partition), _) => self.check(partition).map(|()| partition),
            (None, Some(bytes)) => Ok(partition_of(bytes, count)),
            (None, None) => {
                let turn = self.turn.fetch_add(1, Ordering::Relaxed) % u64::from(count);
                Ok(u32::try_from(turn).unwrap_or(0))
            }
        }
    }

    /// Whether a record is small enough.
    pub(crate) fn fits(&self, record: &Record) -> Result<(), Error> {
        let (size, max) = (record.size(), self.max_record_bytes);
        if size <= max {
            return Ok(());
        }
        Err(Error::TooLarge {
            topic: self.name.clone(),
            size,
            max,
            record: None,
        })
    }
}

/// The subject of a partition.
pub(crate) fn subject(topic: &str, partition: u32) -> String {
    format!("{topic}.{partition}")
}

/// Whether a topic can have this name.
pub(crate) fn check_topic(name: &str) -> Result<(), Error> {
    fault(name).map_or(Ok(()), |reason| Err(invalid(name, reason)))
}

pub(crate) fn invalid(name: &str, reason: &'static str) -> Error {
    Error::InvalidTopic {
        topic: name.into(),
        reason,
        record: None,
    }
}

fn fault(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        Some("it is empty")
    } else if name.len() > MAX_NAME {
        Some("it is longer than 249 bytes")
    } else if name.chars().any(char::is_control) {
        Some("it has control characters in it")
    } else if name.chars().any(char::is_whitespace) {
        Some("it has a space in it, which NATS does not take")
    } else if name.contains(['*', '>']) {
        Some("it has `*` or `>` in it, which are wildcards of NATS")
    } else if name.split('.').any(str::is_empty) {
        Some("a dot begins or ends it, or follows another")
    } else if name.starts_with('$') || name.starts_with("_INBOX.") || name == "_INBOX" {
        Some("it begins as what NATS keeps for itself: `$` or `_INBOX`")
    } else if stream_name(name).len() > MAX_STREAM_NAME {
        Some("it is too long for a stream: `%`, `=`, `/` and `\\` count for three bytes each")
    } else {
        None
    }
}

/// The name of a topic's stream. Streams cannot have dots in their names: `=` stands for one. What has a meaning here or in
/// the name of a file is written as its number.
pub(crate) fn stream_name(topic: &str) -> String {
    let mut name = String::with_capacity(topic.len());
    for char in topic.chars() {
        match char {
            '.' => name.push('='),
            '%' | '=' | '/' | '\\' => {
                let _always = write!(name, "%{:02X}", char as u32);
            }
            plain => name.push(plain),
        }
    }
    name
}

/// The topic whose stream has this name, if any could.
fn topic_of(stream: &str) -> Option<String> {
    let mut name = String::with_capacity(stream.len());
    let mut rest = stream.chars();
    while let Some(char) = rest.next() {
        name.push(match char {
            '=' => '.',
            '%' => match (rest.next()?, rest.next()?) {
                ('2', '5') => '%',
                ('3', 'D') => '=',
                ('2', 'F') => '/',
                ('5', 'C') => '\\',
                _ => return None,
            },
            plain => plain,
        });
    }
    (fault(&name).is_none() && stream_name(&name) == stream).then_some(name)
}

/// What stands in the description, or what the stream itself would refuse.
fn max_record_bytes(config: &Config) -> usize {
    let described = config.description.as_deref();
    let described = described.and_then(|text| text.strip_prefix(DESCRIBED)?.parse().ok());
    let most = described.or_else(|| max_message_bytes(config));
    most.unwrap_or(usize::MAX)
}

fn max_message_bytes(config: &Config) -> Option<usize> {
    let bytes = usize::try_from(config.max_message_size).ok();
    bytes.filter(|&bytes| bytes > 0)
}

/// Whether a topic can be kept in this way; `max_payload` is what the server takes in one message.
pub(crate) fn check_config(
    name: &str,
    config: &TopicConfig,
    max_payload: usize,
) -> Result<(), Error> {
    let reason = if config.partitions == 0 {
        "has no partitions: give it one at least"
    } else if config.partitions > MAX_PARTITIONS {
        "has too many partitions: 4096 at the most on NATS"
    } else if config.max_records == Some(0) || config.max_bytes == Some(0) {
        "would keep nothing: `retain_records` and `retain_bytes` are 1 at least"
    } else if config.max_age.is_some_and(|age| age.is_zero()) {
        "would keep nothing: `retain_for` is longer than nothing"
    } else if config.max_record_bytes > max_payload {
        "would take larger records than the server does: lower `max_record_bytes`, or raise the server's `max_payload`"
    } else {
        let what = if config.max_bytes.is_some() {
            "keep so many bytes in each partition: bound the topic with `retain_records` or `retain_for`"
        } else if config.when_full != WhenFull::DropOldest {
            "make room in a full topic by acknowledging, so nothing can wait for that: take `WhenFull::DropOldest`"
        } else {
            return Ok(());
        };
        return Err(Error::Unsupported {
            engine: ENGINE,
            what,
        });
    };
    Err(Error::InvalidConfig {
        reason: format!("topic `{name}` {reason}"),
    })
}

/// The stream of a topic that does not exist yet.
pub(crate) fn new_stream(name: &str, config: &TopicConfig, options: &Options) -> Config {
    let mut stream = Config {
        name: stream_name(name),
        subjects: (0..config.partitions).map(|p| subject(name, p)).collect(),
        storage: if options.in_memory {
            StorageType::Memory
        } else {
            StorageType::File
        },
        num_replicas: options.replicas,
        ..Config::default()
    };
    bound(&mut stream, config);
    stream
}

/// Gives a stream a topic's bounds, and leaves everything else as it is.
pub(crate) fn bound(stream: &mut Config, config: &TopicConfig) {
    let records = config
        .max_records
        .map(|records| i64::try_from(records).unwrap_or(i64::MAX));
    stream.max_messages_per_subject = records.unwrap_or(-1);
    stream.max_age = config.max_age.unwrap_or_default();
    // The server takes no longer memory for ids than for records.
    stream.duplicate_window = config.max_age.map_or(REMEMBERED, |age| age.min(REMEMBERED));
    stream.discard_new_per_subject = false;
    stream.discard = DiscardPolicy::Old;
    stream.description = Some(format!("{DESCRIBED}{}", config.max_record_bytes));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_topic_is_read_back_from_its_stream(name in "[a-c.%=/\\\\>* $_é]{0,8}", partitions in 1..9_u32) {
            let config = TopicConfig::partitions(partitions).max_record_bytes(17);
            let stream = new_stream(&name, &config, &Options::new());
            let read = TopicState::of(&stream);
            prop_assert_eq!(read.is_some(), check_topic(&name).is_ok());
            if let Some(read) = read {
                prop_assert_eq!(read.name, name);
                prop_assert_eq!(read.subjects.len(), partitions as usize);
                prop_assert_eq!(read.max_record_bytes, 17);
                prop_assert!(!read.stream.contains(['.', '/', '\\', ' ', '*', '>']));
            }
        }
    }

    #[test]
    fn a_stream_with_other_subjects_is_no_topic() {
        let mut stream = new_stream("a.b", &TopicConfig::partitions(2), &Options::new());
        assert_eq!(stream.name, "a=b");
        assert_eq!(stream.subjects, ["a.b.0", "a.b.1"]);
        stream.subjects[1] = "a.b.>".into();
        assert!(TopicState::of(&stream).is_none());
        stream.subjects.clear();
        assert!(TopicState::of(&stream).is_none());
    }
}
