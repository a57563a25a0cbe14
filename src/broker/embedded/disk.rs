//! The broker on disk: how the parts that live in memory and the store meet.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::broker::{Error, SyncPolicy, Topic, TopicConfig};
use crate::sync::lock;

use super::entry::Entry;
use super::log::{Log, Run};
use super::offer::{Offered, Ticket};
use super::partition::{Feed, Partition};
use super::shared::Shared;
use super::store::{Op, RecoveredPartition, Store};
use super::topic::{TopicState, Topics};
use crate::broker::group::Place;

/// How much is read from disk at once.
const READ_RECORDS: usize = 1024;
const READ_BYTES: usize = 1024 * 1024;

/// Opens a store and brings up what is in it.
pub(crate) async fn open(dir: &Path, policy: SyncPolicy) -> Result<Shared, Error> {
    let (store, recovered) = Store::open(dir, policy).await?;
    let times = recovered.topics.iter().flat_map(|topic| &topic.partitions);
    let newest = times.map(|found| found.time).max().unwrap_or(0);
    let shared = Shared::on_disk(store.clone(), newest);
    for topic in recovered.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for (partition, found) in (0..).zip(&topic.partitions) {
            let runs = runs(&store, (topic.topic, partition), &topic.config, found).await?;
            let log = Log::on_disk(&topic.config, found.first, found.next, runs.into());
            partitions.push(Partition::new(log, topic.config));
        }
        shared.add_topic(TopicState::new(
            topic.topic,
            topic.name.into(),
            partitions.into(),
        ));
    }
    let topics = shared.topics();
    for found in recovered.groups {
        let (topic, partition) = found.place;
        let place = Place { topic, partition };
        // Written in one order, read in one order: a group is never ahead of the log. Were it, it would skip records.
        let end = topics.by_id[topic as usize].partitions[partition as usize]
            .lock()
            .log
            .next();
        let committed = found.committed.min(end);
        shared
            .group(&found.group)
            .restore(&topics, place, committed);
    }
    Ok(shared)
}

/// What a partition consists of, as far as its bounds need to know: for a bound in records, one run is as good as many.
async fn runs(
    store: &Store,
    place: (u32, u32),
    config: &TopicConfig,
    found: &RecoveredPartition,
) -> Result<Vec<Run>, Error> {
    if config.max_bytes.is_some() || config.max_age.is_some() {
        return store.runs(place).await;
    }
    let all = Run {
        first: found.first,
        records: found.records,
        bytes: found.bytes,
        time: found.time,
    };
    Ok(if all.records == 0 { vec![] } else { vec![all] })
}

/// Finds out more about a topic that is to get bounds which need it.
pub(crate) async fn refine(
    store: &Store,
    topic: &TopicState,
    config: &TopicConfig,
) -> Result<(), Error> {
    if config.max_bytes.is_none() && config.max_age.is_none() {
        return Ok(());
    }
    for (number, partition) in (0..).zip(&topic.partitions) {
        let found = store.runs((topic.id, number)).await?;
        partition.lock().log.refine(&found);
    }
    Ok(())
}

pub(crate) async fn create_topic(
    store: &Store,
    topic: u32,
    name: &Topic,
    config: TopicConfig,
) -> Result<(), Error> {
    let (done, stored) = oneshot::channel();
    store.submit(Op::CreateTopic {
        topic,
        name: name.to_string(),
        config,
        done: Box::new(|result| drop(done.send(result))),
    });
    answer(stored).await
}

/// Sends records on their way to the disk.
pub(crate) fn offer(
    store: &Store,
    topic: &Arc<TopicState>,
    partition: u32,
    feed: &mut impl Feed,
    most: u64,
    time: u64,
) -> Offered {
    let place = &topic.partitions[partition as usize];
    let order = lock(&place.order);
    let (appended, entries, keep_from, gone) = place.promise(&topic.name, feed, most, time);
    let mut ticket = None;
    if !entries.is_empty() {
        let (done, stored) = oneshot::channel();
        let owner = Arc::clone(topic);
        store.submit(Op::Append {
            place: (topic.id, partition),
            base: appended.first,
            entries,
            keep_from,
            done: Box::new(move |result, entries| {
                let result = match result {
                    Ok(()) => {
                        owner.partitions[partition as usize].arrived(entries);
                        Ok(())
                    }
                    Err(error) => {
                        owner.partitions[partition as usize].failed(&error);
                        Err(give_back(error, entries))
                    }
                };
                // Nobody may be waiting: a push that was dropped is stored all the same.
                drop(done.send(result));
            }),
        });
        ticket = Some(Ticket::new(stored));
    }
    drop(order);
    drop(gone);
    Offered {
        first: appended.first,
        count: appended.count,
        ticket,
        stop: appended.stop,
    }
}

fn give_back(error: Error, entries: Vec<Entry>) -> Error {
    let mut entries = entries.into_iter();
    match (entries.next(), entries.next()) {
        (Some(only), None) => error.with_record(only.record),
        _ => error,
    }
}

/// Has records removed that are not retained any more, with what is written next.
pub(crate) fn trim(store: &Store, place: Place, keep_from: u64) {
    store.submit(Op::Trim {
        place: (place.topic, place.partition),
        keep_from,
        done: None,
    });
}

/// Has a committed offset written with what is written next.
pub(crate) fn commit(store: &Store, group: &Arc<str>, place: Place, offset: u64) {
    store.submit(Op::Commit {
        group: Arc::clone(group),
        place: (place.topic, place.partition),
        offset,
        done: None,
    });
}

/// Has a committed offset written, and waits for it.
pub(crate) fn committed(
    store: &Store,
    group: &Arc<str>,
    place: Place,
    offset: u64,
) -> impl Future<Output = Result<(), Error>> + Send + use<> {
    let (done, stored) = oneshot::channel();
    store.submit(Op::Commit {
        group: Arc::clone(group),
        place: (place.topic, place.partition),
        offset,
        done: Some(Box::new(|result| drop(done.send(result)))),
    });
    answer(stored)
}

async fn answer(stored: oneshot::Receiver<Result<(), Error>>) -> Result<(), Error> {
    stored.await.unwrap_or(Err(Error::Closed { record: None }))
}

/// Reads records from an offset on. The first of them is there, unless retention has removed it meanwhile.
pub(crate) async fn read(
    store: &Store,
    topics: &Topics,
    place: Place,
    offset: u64,
) -> Result<Vec<(u64, Entry)>, Error> {
    let topic = &topics.by_id[place.topic as usize];
    let entries = store
        .read(
            (place.topic, place.partition),
            offset,
            READ_RECORDS,
            READ_BYTES,
        )
        .await?;
    let found = entries.first().is_some_and(|(first, _)| *first == offset);
    let first = topic.partitions[place.partition as usize]
        .lock()
        .log
        .first();
    if !found && offset >= first {
        return Err(Error::Damaged {
            path: store.path().to_owned(),
            place: format!(
                "offset {offset} is missing in partition {} of topic `{}`",
                place.partition, topic.name
            ),
        });
    }
    Ok(entries)
}

/// Reads one record, if it is still there.
pub(crate) async fn read_one(
    store: &Store,
    topic: &TopicState,
    partition: u32,
    offset: u64,
) -> Result<Option<Entry>, Error> {
    let entries = store
        .read((topic.id, partition), offset, 1, READ_BYTES)
        .await?;
    Ok(entries
        .into_iter()
        .find(|(at, _)| *at == offset)
        .map(|(_, entry)| entry))
}
