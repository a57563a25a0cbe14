//! A workload whose every record is known beforehand, and what must be found of it after a crash.

use std::collections::BTreeMap;

use super::disk::Disk;
use super::*;

const PARTITIONS: u32 = 2;

/// What has been submitted, and what of that was acknowledged.
#[derive(Clone, Debug, Default)]
pub(super) struct Model {
    /// By partition: where each append ended. A store has all of an append or nothing.
    ends: [Vec<u64>; PARTITIONS as usize],
    acked: Acked,
    submitted: Acked,
}

#[derive(Clone, Debug, Default)]
struct Acked {
    next: [u64; PARTITIONS as usize],
    keep_from: [u64; PARTITIONS as usize],
    positions: BTreeMap<(String, u32), u64>,
    mail: u64,
}

/// The record at an offset, the same in every run.
pub(super) fn record(partition: u32, offset: u64) -> Entry {
    let len = match offset % 13 {
        0 => 9_000,
        1 => 0,
        len => usize::try_from(len * 17).expect("small"),
    };
    let mut entry = entry(format!("{partition}/{offset} ").repeat(len / 6 + 1), offset);
    if offset % 3 == 0 {
        entry.record.key = Some(Bytes::from(format!("key {offset}")));
    }
    entry
}

/// A round of operations at once. It says whether all were acknowledged.
pub(super) async fn round(store: &Store, model: &mut Model, round: u64) -> Result<(), Error> {
    let place = |partition| (0, partition);
    let mut waits: Vec<_> = Vec::new();
    let mut asked = |op: &mut dyn FnMut(Done) -> Op| {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        store.submit(op(Box::new(move |answer| {
            let _ = sender.send(answer);
        })));
        waits.push(receiver);
    };
    let mut target = model.submitted.clone();
    for partition in 0..PARTITIONS {
        let index = partition as usize;
        let base = target.next[index];
        let end = base + 1 + (round + u64::from(partition)) % 5;
        // Every third round retention takes the older half.
        if round % 3 == 2 {
            target.keep_from[index] = target.keep_from[index].max(base / 2);
        }
        let keep_from = target.keep_from[index];
        asked(&mut |done| {
            let entries = (base..end)
                .map(|offset| record(partition, offset))
                .collect();
            append_op(place(partition), base, entries, keep_from, done)
        });
        target.next[index] = end;
        model.ends[index].push(end);
        let group = format!("group {}", round % 4);
        asked(&mut |done| commit_op(&group, place(partition), base, Some(done)));
        target.positions.insert((group, partition), base);
    }
    if round % 4 == 3 {
        target.keep_from[0] = target.keep_from[0].max(target.next[0].saturating_sub(3));
        let keep_from = target.keep_from[0];
        asked(&mut |done| Op::Trim {
            place: place(0),
            keep_from,
            done: Some(done),
        });
    }
    target.mail += 1;
    let seq = target.mail;
    asked(&mut |done| Op::Mail {
        box_id: 0,
        key: "key".into(),
        seq,
        value: vec![seq as u8; 50].into(),
        time: seq,
        keep_from: seq.saturating_sub(10),
        done: Some(done),
    });
    model.submitted = target.clone();
    let mut outcome = Ok(());
    for wait in waits {
        outcome = outcome.and(wait.await.expect("every operation is answered"));
    }
    if outcome.is_ok() {
        model.acked = target;
    }
    outcome
}

impl Model {
    /// Opens the store and holds it against the model: all of `self` that was acknowledged is there, and nothing that was
    /// not submitted by the time of `latest`.
    pub(super) async fn check(&self, latest: &Self, disk: &Disk, what: &str) {
        let (store, recovered) = match open(disk, SyncPolicy::Always).await {
            Ok(opened) => opened,
            Err(error) => panic!("{what}: {error}"),
        };
        self.compare(latest, &store, &recovered, what)
            .await
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        // The store goes on.
        if let Some(topic) = recovered.topics.first() {
            for (partition, bounds) in (0..).zip(&topic.partitions) {
                let entries = vec![record(partition, bounds.next)];
                append(&store, (0, partition), bounds.next, entries)
                    .await
                    .unwrap_or_else(|error| panic!("{what}: {error}"));
            }
        }
        store.close().await.expect("closed");
    }

    /// Like [`check`](Self::check), over a store that is open. Errors are the store's; what is wrong panics.
    pub(super) async fn compare(
        &self,
        latest: &Self,
        store: &Store,
        recovered: &Recovered,
        what: &str,
    ) -> Result<(), Error> {
        for (partition, latest_next) in (0..PARTITIONS).zip(latest.submitted.next) {
            let index = partition as usize;
            let acked = self.acked.next[index];
            let Some(bounds) = recovered
                .topics
                .first()
                .and_then(|topic| topic.partitions.get(index))
            else {
                assert_eq!(acked, 0, "{what}: the topic is lost");
                continue;
            };
            assert!(
                (acked..=latest_next).contains(&bounds.next),
                "{what}: {bounds:?}, acknowledged up to {acked}"
            );
            assert!(
                bounds.next == 0 || latest.ends[index].contains(&bounds.next),
                "{what}: half of an append is there: {bounds:?}"
            );
            let kept = latest.submitted.keep_from[index];
            assert!(
                (self.acked.keep_from[index]..=kept).contains(&bounds.first),
                "{what}: {bounds:?}, retained from {kept}"
            );
            let read = store
                .read((0, partition), 0, usize::MAX, usize::MAX)
                .await?;
            assert_eq!(read.len() as u64, bounds.records, "{what}: {bounds:?}");
            let mut bytes = 0;
            for ((offset, found), expected) in read.iter().zip(bounds.first..) {
                assert_eq!(*offset, expected, "{what}");
                let written = record(partition, expected);
                assert_eq!(found.record, written.record, "{what}: offset {offset}");
                assert_eq!(found.time, written.time, "{what}");
                bytes += found.record.size() as u64;
            }
            assert_eq!(bytes, bounds.bytes, "{what}: {bounds:?}");
        }
        let found: BTreeMap<_, _> = recovered
            .groups
            .iter()
            .map(|group| ((group.group.clone(), group.place.1), group.committed))
            .collect();
        for (key, acked) in &self.acked.positions {
            let committed = found.get(key).copied();
            assert!(
                committed >= Some(*acked),
                "{what}: {key:?} is at {committed:?}, acknowledged at {acked}"
            );
        }
        for (key, committed) in &found {
            assert!(
                Some(committed) <= latest.submitted.positions.get(key),
                "{what}: {key:?} is at {committed}"
            );
        }
        let mail = store.mail_after(0, "key".into(), 0, usize::MAX).await?;
        let bounds = store.mail_bounds(0, "key".into()).await?;
        let last = bounds.map_or(0, |bounds| bounds.last);
        assert!(
            (self.acked.mail..=latest.submitted.mail).contains(&last),
            "{what}: {bounds:?}"
        );
        let seqs: Vec<_> = mail.iter().map(|message| message.seq).collect();
        let expected = last.saturating_sub(10).max(1)..=last;
        assert!(seqs.iter().copied().eq(expected), "{what}: {seqs:?}");
        for message in mail {
            assert_eq!(message.value, vec![message.seq as u8; 50], "{what}");
        }
        Ok(())
    }
}
