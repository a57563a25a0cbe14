//! What a broker holds, in numbers.

use crate::broker::Topic;
use crate::sync::lock;

use super::shared::Shared;

/// What a [`Broker`](super::Broker) holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct BrokerStats {
    /// Each topic, in alphabetical order.
    pub topics: Vec<TopicStats>,
    /// Each group, in alphabetical order.
    pub groups: Vec<GroupStats>,
    /// Pushes, commits and messages that are on their way to the disk.
    pub backlog: usize,
    /// Transactions that were committed to the disk.
    pub commits: u64,
}

/// What a topic holds, all its partitions together. `pushed = removed + records` at any time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct TopicStats {
    /// The topic.
    pub topic: String,
    /// How many partitions it has.
    pub partitions: u32,
    /// Records that were ever pushed and acknowledged.
    pub pushed: u64,
    /// Records that retention has removed.
    pub removed: u64,
    /// Records that are there.
    pub records: u64,
    /// Bytes of the records that are there; for those on disk, as far as they are known without reading them.
    pub bytes: u64,
}

/// A group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct GroupStats {
    /// The group.
    pub group: String,
    /// Consumers that are members of it.
    pub members: usize,
}

impl Shared {
    pub(crate) fn stats(&self) -> BrokerStats {
        let mut topics: Vec<_> = self
            .topics()
            .by_id
            .iter()
            .map(|topic| {
                let mut stats = TopicStats {
                    topic: String::from(Topic::clone(&topic.name)),
                    partitions: topic.count(),
                    ..TopicStats::default()
                };
                for partition in &topic.partitions {
                    let log = &partition.lock().log;
                    stats.pushed += log.next();
                    stats.removed += log.first();
                    stats.records += log.next() - log.first();
                    stats.bytes += log.bytes();
                }
                stats
            })
            .collect();
        topics.sort_unstable_by(|one, two| one.topic.cmp(&two.topic));
        let groups: Vec<_> = lock(&self.groups).values().cloned().collect();
        let mut groups: Vec<_> = groups
            .iter()
            .map(|group| GroupStats {
                group: group.name.to_string(),
                members: group.members(),
            })
            .collect();
        groups.sort_unstable_by(|one, two| one.group.cmp(&two.group));
        #[cfg(feature = "durable")]
        let (backlog, commits) = self
            .store
            .as_ref()
            .map_or((0, 0), |store| (store.backlog(), store.commits()));
        #[cfg(not(feature = "durable"))]
        let (backlog, commits) = (0, 0);
        BrokerStats {
            topics,
            groups,
            backlog,
            commits,
        }
    }
}
