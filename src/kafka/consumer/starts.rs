//! Which offset is meant by a start.

use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::KafkaResult;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::util::Timeout;

use crate::broker::{Error, Start, Topic};
use crate::kafka::format;

/// What a partition holds, and what was meant.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) first: u64,
    pub(super) next: u64,
    meant: u64,
}

impl Found {
    /// The offset that was meant, or the nearest there is.
    pub(super) fn nearly(&self) -> u64 {
        self.meant.clamp(self.first, self.next)
    }

    /// The offset that was meant, if it is there.
    pub(super) fn strictly(
        &self,
        topic: &Topic,
        partition: u32,
        start: Start,
    ) -> Result<u64, Error> {
        match start {
            Start::Offset(offset) if !(self.first..=self.next).contains(&offset) => {
                Err(Error::OffsetOutOfRange {
                    topic: topic.clone(),
                    partition,
                    offset,
                    first: self.first,
                    next: self.next,
                })
            }
            _ => Ok(self.nearly()),
        }
    }
}

/// Asks for it.
pub(super) fn find<C: ConsumerContext>(
    client: &BaseConsumer<C>,
    topic: &str,
    partition: u32,
    start: Start,
    timeout: Timeout,
) -> KafkaResult<Found> {
    let at = i32::try_from(partition).unwrap_or(i32::MAX);
    let (first, next) = client.fetch_watermarks(topic, at, timeout)?;
    let first = u64::try_from(first).unwrap_or(0);
    let next = u64::try_from(next).unwrap_or(0).max(first);
    let meant = match start {
        Start::Earliest => first,
        Start::Latest => next,
        Start::Offset(offset) => offset,
        Start::Time(time) => {
            let mut list = TopicPartitionList::with_capacity(1);
            list.add_partition_offset(topic, at, Offset::Offset(format::millis(time)))?;
            let list = client.offsets_for_times(list, timeout)?;
            let found = list.find_partition(topic, at);
            match found.map(|found| found.offset()) {
                Some(Offset::Offset(offset)) => u64::try_from(offset).unwrap_or(next),
                // Nothing is that young.
                _ => next,
            }
        }
    };
    Ok(Found { first, next, meant })
}
