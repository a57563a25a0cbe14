//! Tests of the store, over a disk in memory that can crash, fail and be full, and over real directories.

mod broker;
mod crash;
mod damage;
mod directory;
mod disk;
mod faults;
mod group_commit;
mod letters;
mod model;
mod policy;
mod records;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;

use self::disk::Disk;
use super::{AppendDone, Done, Op, Place, Recovered, Store, backend::Backend, open};
use crate::broker::embedded::entry::Entry;
use crate::broker::{Error, Record, SyncPolicy, TopicConfig};

const PATH: &str = "/the/store/broker.redb";

/// Opens what lies on a disk.
async fn open(disk: &Disk, policy: SyncPolicy) -> Result<(Store, Recovered), Error> {
    open_checked(disk, policy, open::CHECKED).await
}

async fn open_checked(
    disk: &Disk,
    policy: SyncPolicy,
    checked: u64,
) -> Result<(Store, Recovered), Error> {
    let disk = Arc::new(disk.clone());
    let opening = move || open::existing(disk, PATH.into(), policy, checked);
    let opened = tokio::task::spawn_blocking(opening).await;
    let (writer, recovered) = opened
        .expect("nothing panics here")
        .map_err(|fault| fault.told(PATH.as_ref(), "opening"))?;
    Ok((Store::start(writer), recovered))
}

/// A disk with an empty store.
fn empty_disk() -> Disk {
    let disk = Disk::default();
    drop(open::make(Backend::new(Arc::new(disk.clone()), false)).expect("a store is made"));
    disk.restart();
    disk
}

/// A store with topic 0 of so many partitions, on a new disk.
async fn store(policy: SyncPolicy, partitions: u32) -> (Store, Disk) {
    let disk = empty_disk();
    let (store, _) = open(&disk, policy).await.expect("an empty store opens");
    create(&store, 0, "orders", TopicConfig::partitions(partitions))
        .await
        .expect("a topic is made");
    (store, disk)
}

fn entry(value: impl Into<Bytes>, time: u64) -> Entry {
    Entry {
        record: Record::new("orders", value),
        time,
    }
}

fn entries(range: std::ops::Range<u64>) -> Vec<Entry> {
    range.map(|i| entry(format!("value {i}"), i)).collect()
}

/// Submits and waits for the answer.
async fn ask(store: &Store, op: impl FnOnce(Done) -> Op) -> Result<(), Error> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    store.submit(op(Box::new(move |answer| {
        let _ = sender.send(answer);
    })));
    receiver.await.expect("every operation is answered")
}

async fn create(store: &Store, topic: u32, name: &str, config: TopicConfig) -> Result<(), Error> {
    ask(store, |done| Op::CreateTopic {
        topic,
        name: name.into(),
        config,
        done,
    })
    .await
}

fn append_op(place: Place, base: u64, entries: Vec<Entry>, keep_from: u64, done: Done) -> Op {
    let done: AppendDone = Box::new(move |answer, _| done(answer));
    Op::Append {
        place,
        base,
        entries,
        keep_from,
        done,
    }
}

async fn append(store: &Store, place: Place, base: u64, entries: Vec<Entry>) -> Result<(), Error> {
    ask(store, |done| append_op(place, base, entries, 0, done)).await
}

async fn trim(store: &Store, place: Place, keep_from: u64) -> Result<(), Error> {
    ask(store, |done| Op::Trim {
        place,
        keep_from,
        done: Some(done),
    })
    .await
}

async fn commit(store: &Store, group: &str, place: Place, offset: u64) -> Result<(), Error> {
    ask(store, |done| commit_op(group, place, offset, Some(done))).await
}

fn commit_op(group: &str, place: Place, offset: u64, done: Option<Done>) -> Op {
    Op::Commit {
        group: group.into(),
        place,
        offset,
        done,
    }
}

/// Everything a partition has, as offsets and values.
async fn values(store: &Store, place: Place) -> Result<Vec<(u64, Bytes)>, Error> {
    let read = store.read(place, 0, usize::MAX, usize::MAX).await?;
    Ok(read
        .into_iter()
        .map(|(offset, entry)| (offset, entry.record.value))
        .collect())
}

/// The disk is asked in another thread; the clock stands still meanwhile and goes on when that is done.
async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}
