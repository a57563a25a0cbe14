//! A topic and its partitions; the table of all topics.

use std::collections::HashMap;
use std::sync::Arc;

use crate::broker::{Error, Record, Topic, TopicConfig};
use crate::sync::AtomicU64;

use super::partition::Partition;
use crate::broker::partitioner::partition_of;

/// The longest name that a topic or a group can have, in bytes. Kafka's bound.
const MAX_NAME: usize = 249;

/// The most partitions that a topic can have: each costs memory, whether it is used or not.
const MAX_PARTITIONS: u32 = 65_536;

pub(crate) struct TopicState {
    pub(crate) id: u32,
    pub(crate) name: Topic,
    pub(crate) partitions: Box<[Partition]>,
    /// Whose turn it is to get a record that has neither key nor partition.
    turn: AtomicU64,
}

impl TopicState {
    pub(crate) fn new(id: u32, name: Topic, partitions: Box<[Partition]>) -> Self {
        Self {
            id,
            name: name.fixed(),
            partitions,
            turn: AtomicU64::new(0),
        }
    }

    pub(crate) fn count(&self) -> u32 {
        u32::try_from(self.partitions.len()).unwrap_or(u32::MAX)
    }

    /// The partition that a record goes to.
    pub(crate) fn choose(&self, record: &Record) -> Result<u32, Error> {
        match (record.partition, &record.key) {
            (Some(partition), _) => self.partition(partition).map(|_found| partition),
            (None, Some(key)) => Ok(partition_of(key, self.count())),
            (None, None) => Ok(self.next_turn()),
        }
    }

    fn next_turn(&self) -> u32 {
        let turn = self.turn.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        u32::try_from(turn % u64::from(self.count())).unwrap_or(0)
    }

    pub(crate) fn partition(&self, partition: u32) -> Result<&Partition, Error> {
        self.partitions
            .get(partition as usize)
            .ok_or_else(|| Error::UnknownPartition {
                topic: self.name.clone(),
                partition,
                partitions: self.count(),
                record: None,
            })
    }

    pub(crate) fn configure(&self, config: TopicConfig) {
        for partition in &self.partitions {
            let mut inner = partition.lock();
            inner.config = config;
            inner.log.configure(&config);
            drop(inner);
            partition.room.notify_waiters();
        }
    }
}

/// All topics. Readers share a snapshot; creating a topic makes a new one.
#[derive(Clone, Default)]
pub(crate) struct Topics {
    pub(crate) by_name: HashMap<Topic, Arc<TopicState>>,
    pub(crate) by_id: Vec<Arc<TopicState>>,
}

impl Topics {
    pub(crate) fn find(&self, name: &str) -> Result<&Arc<TopicState>, Error> {
        self.by_name.get(name).ok_or_else(|| {
            check_topic(name)
                .err()
                .unwrap_or_else(|| Error::UnknownTopic {
                    topic: name.into(),
                    record: None,
                })
        })
    }

    pub(crate) fn add(&mut self, topic: Arc<TopicState>) {
        self.by_name.insert(topic.name.clone(), Arc::clone(&topic));
        self.by_id.push(topic);
    }
}

/// Whether a topic can have this name.
pub(crate) fn check_topic(name: &str) -> Result<(), Error> {
    fault(name).map_or(Ok(()), |reason| {
        Err(Error::InvalidTopic {
            topic: name.into(),
            reason,
            record: None,
        })
    })
}

/// Whether a group can have this name.
pub(crate) fn check_group(name: &str) -> Result<(), Error> {
    fault(name).map_or(Ok(()), |reason| {
        Err(Error::InvalidGroup {
            group: name.into(),
            reason,
        })
    })
}

fn fault(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        Some("it is empty")
    } else if name.len() > MAX_NAME {
        Some("it is longer than 249 bytes")
    } else if name.chars().any(char::is_control) {
        Some("it has control characters in it")
    } else {
        None
    }
}

/// Whether a topic can be kept in this way.
pub(crate) fn check_config(name: &str, config: &TopicConfig) -> Result<(), Error> {
    let reason = if config.partitions == 0 {
        "has no partitions: give it one at least"
    } else if config.partitions > MAX_PARTITIONS {
        "has too many partitions: 65536 at the most"
    } else if config.max_records == Some(0) || config.max_bytes == Some(0) {
        "would keep nothing: `retain_records` and `retain_bytes` are 1 at least"
    } else if config.max_age.is_some_and(|age| age.is_zero()) {
        "would keep nothing: `retain_for` is longer than nothing"
    } else {
        return Ok(());
    };
    Err(Error::InvalidConfig {
        reason: format!("topic `{name}` {reason}"),
    })
}
