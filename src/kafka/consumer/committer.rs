//! The thread that commits: the client tells of a commit only to whoever waits for it.

use std::collections::BTreeMap;
use std::sync::{Arc, mpsc};
use std::thread;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::{KafkaResult, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::link::{Link, Said};
use super::says::Says;
use crate::broker::remote::Place;
use crate::broker::{Error, Topic};
use crate::kafka::fault;

/// Offsets to be committed, by topic: the client tells how all partitions of a commit fared together, and what befalls
/// one of a topic befalls all of them.
pub(super) type Job = BTreeMap<Topic, Vec<(Place, u64)>>;

/// Starts the thread, which ends when nothing more can come.
pub(super) fn start(
    client: Arc<BaseConsumer<Says>>,
    link: Arc<Link>,
) -> Result<mpsc::Sender<Job>, Error> {
    let (jobs, todo) = mpsc::channel::<Job>();
    let worker = thread::Builder::new().name("pushpull-kafka".into());
    let spawned = worker.spawn(move || {
        for job in todo {
            let mut failed = BTreeMap::new();
            for (topic, offsets) in job {
                if let Err(error) = commit(&client, &topic, &offsets) {
                    let code = error.rdkafka_error_code();
                    let code = code.unwrap_or(RDKafkaErrorCode::Fail);
                    failed.extend(offsets.into_iter().map(|(place, _)| (place, code)));
                }
            }
            link.say(Said::Committed(failed));
        }
    });
    spawned.map_err(|error| fault::engine("starting a thread", error))?;
    Ok(jobs)
}

fn commit(client: &BaseConsumer<Says>, topic: &Topic, offsets: &[(Place, u64)]) -> KafkaResult<()> {
    let mut list = TopicPartitionList::with_capacity(offsets.len());
    for &(place, offset) in offsets {
        let partition = i32::try_from(place.partition).unwrap_or(i32::MAX);
        let offset = Offset::Offset(i64::try_from(offset).unwrap_or(i64::MAX));
        list.add_partition_offset(topic, partition, offset)?;
    }
    client.commit(&list, CommitMode::Sync)
}
