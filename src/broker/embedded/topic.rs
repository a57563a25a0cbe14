//! A topic and its partitions; the table of all topics.

use std::collections::HashMap;
use std::sync::Arc;

use crate::broker::{Error, Record, Topic, TopicConfig};
use crate::sync::AtomicU64;

use super::partition::Partition;
use crate::broker::check::check_topic;
use crate::broker::partitioner::partition_of;

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
