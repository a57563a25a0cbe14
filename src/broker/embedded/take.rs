//! How a group's core gets at the records: from the log where they are at hand, else from what was read from disk.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::SystemTime;

use crate::broker::{Delivery, Position, Record, Topic};
use crate::sync::MutexGuard;

use super::clock::system_time;
use super::entry::Entry;
use super::log::{Gone, PartTimes};
use super::partition::Inner;
use super::topic::Topics;
use crate::broker::group::{Place, Source};

/// How many records read from disk are kept for a partition.
#[cfg(feature = "durable")]
const KEPT: usize = 4096;
/// And how many bytes of them, about.
#[cfg(feature = "durable")]
const KEPT_BYTES: usize = 4 * 1024 * 1024;

/// For how many deliveries room is made at once.
const AHEAD: usize = 4096;

/// What has to be found out before there can be deliveries.
pub(crate) enum Short {
    /// Where to begin.
    Starts(Vec<Place>),
    /// Records that are on disk.
    Records(Vec<(Place, u64)>),
}

/// Records that were read from disk for a member.
#[derive(Default)]
pub(crate) struct Cache {
    places: BTreeMap<Place, BTreeMap<u64, Entry>>,
}

impl Cache {
    /// Takes back what was taken out. Where it was filled meanwhile, one of the two is left over.
    pub(crate) fn put_back(&mut self, cache: Self) -> Self {
        if self.places.is_empty() {
            std::mem::replace(self, cache)
        } else {
            cache
        }
    }

    #[cfg(feature = "durable")]
    pub(crate) fn fill(&mut self, place: Place, entries: Vec<(u64, Entry)>) -> Vec<Entry> {
        let kept = self.places.entry(place).or_default();
        let mut out = Vec::new();
        let bytes: usize = kept.values().map(|entry| entry.record.size()).sum();
        if kept.len() >= KEPT || bytes >= KEPT_BYTES {
            out.extend(std::mem::take(kept).into_values());
        }
        kept.extend(entries);
        out
    }

    #[cfg(feature = "durable")]
    pub(crate) fn has(&self, place: Place, offset: u64) -> bool {
        self.at(place, offset).is_some()
    }

    fn at(&self, place: Place, offset: u64) -> Option<&Entry> {
        self.places.get(&place)?.get(&offset)
    }

    fn take(&mut self, place: Place, offset: u64) -> Option<Entry> {
        self.places.get_mut(&place)?.remove(&offset)
    }
}

/// Reads one partition at a time, under its lock.
pub(crate) struct Reader<'a> {
    topics: &'a Topics,
    cache: &'a mut Cache,
    open: Option<(Place, MutexGuard<'a, Inner>)>,
    now: u64,
    deliveries: Vec<Delivery>,
    /// Records that went out of retention meanwhile, to be dropped without locks.
    gone: Gone,
    /// Partitions from which some did, and where they begin now.
    expired: Vec<(Place, u64)>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(topics: &'a Topics, cache: &'a mut Cache, now: u64) -> Self {
        Self {
            topics,
            cache,
            open: None,
            now,
            deliveries: Vec::new(),
            gone: Gone::default(),
            expired: Vec::new(),
        }
    }

    /// Lets go of the partition.
    pub(crate) fn release(&mut self) {
        self.open = None;
    }

    /// The deliveries, and the partitions whose oldest records have gone.
    pub(crate) fn finish(self) -> (Vec<Delivery>, Vec<(Place, u64)>) {
        drop(self.open);
        drop(self.gone);
        (self.deliveries, self.expired)
    }
}

impl Reader<'_> {
    /// The record, if it is at hand.
    fn record(&self, place: Place, offset: u64) -> Option<&Record> {
        let at_hand = self.open.as_ref().filter(|(open, _)| *open == place);
        let at_hand = at_hand.and_then(|(_, inner)| inner.log.at(offset));
        at_hand
            .map(|(record, _time)| record)
            .or_else(|| Some(&self.cache.at(place, offset)?.record))
    }

    #[inline]
    fn open(&mut self, place: Place) {
        if self.open.as_ref().is_some_and(|(open, _)| *open == place) {
            return;
        }
        // One partition's lock at a time.
        self.open = None;
        let topic = &self.topics.by_id[place.topic as usize];
        let mut inner = topic.partitions[place.partition as usize].lock();
        let first = inner.log.first();
        inner.log.expire(self.now, &mut self.gone);
        if inner.log.first() != first {
            self.expired.push((place, inner.log.first()));
        }
        self.open = Some((place, inner));
    }
}

impl Source for Reader<'_> {
    fn range(&mut self, place: Place) -> (u64, u64) {
        self.open(place);
        self.open
            .as_ref()
            .map_or((0, 0), |(_, inner)| (inner.log.first(), inner.log.next()))
    }

    fn key(&mut self, place: Place, offset: u64) -> Option<u64> {
        self.open(place);
        let mut hasher = DefaultHasher::new();
        self.record(place, offset)?.key.hash(&mut hasher);
        Some(hasher.finish())
    }

    fn give(&mut self, place: Place, offset: u64, attempt: u32, generation: u64) -> bool {
        self.give_run(place, offset, 1, attempt, generation) == 1
    }

    fn give_run(
        &mut self,
        place: Place,
        from: u64,
        count: usize,
        attempt: u32,
        generation: u64,
    ) -> usize {
        self.open(place);
        let terms = Terms {
            topic: &self.topics.by_id[place.topic as usize].name,
            partition: place.partition,
            generation,
            attempt,
        };
        let before = self.deliveries.len();
        if before == self.deliveries.capacity() {
            self.deliveries.reserve(count.min(AHEAD));
        }
        loop {
            let given = self.deliveries.len() - before;
            let offset = from + given as u64;
            if given == count {
                return given;
            }
            if !self.give_part(&terms, offset, count - given)
                && !self.give_kept(&terms, place, offset)
            {
                return given;
            }
        }
    }
}

/// What deliveries of one partition have in common.
struct Terms<'a> {
    topic: &'a Topic,
    partition: u32,
    generation: u64,
    attempt: u32,
}

impl Reader<'_> {
    /// Gives what lies together from this offset on, `most` at the most, if it is at hand.
    fn give_part(&mut self, terms: &Terms<'_>, offset: u64, most: usize) -> bool {
        let Some(part) = self
            .open
            .as_ref()
            .and_then(|(_, inner)| inner.log.part(offset, most))
        else {
            return false;
        };
        let records = (offset..).zip(part.records);
        match part.times {
            PartTimes::Together(time) => {
                let time = system_time(time);
                self.deliveries
                    .extend(records.map(|(offset, record)| terms.copy(record, offset, time)));
            }
            PartTimes::Each(times) => {
                self.deliveries
                    .extend(records.zip(times).map(|((offset, record), &time)| {
                        terms.copy(record, offset, system_time(time))
                    }));
            }
        }
        true
    }

    /// Gives what was read from disk. It is not needed again, unless it is redelivered.
    fn give_kept(&mut self, terms: &Terms<'_>, place: Place, offset: u64) -> bool {
        let Some(Entry { record, time }) = self.cache.take(place, offset) else {
            return false;
        };
        self.deliveries.push(Delivery {
            record,
            position: terms.position(offset),
            attempt: terms.attempt,
            time: system_time(time),
        });
        true
    }
}

impl Terms<'_> {
    #[inline]
    fn position(&self, offset: u64) -> Position {
        Position::new(self.topic.clone(), self.partition, offset).with_generation(self.generation)
    }

    /// Records that came in a caller's own buffer have its name of the topic, not the broker's, which costs nothing to copy.
    #[inline(always)]
    fn copy(&self, record: &Record, offset: u64, time: SystemTime) -> Delivery {
        Delivery {
            record: Record {
                topic: self.topic.clone(),
                key: record.key.clone(),
                partition: record.partition,
                value: record.value.clone(),
                headers: record.headers.clone(),
                id: record.id.clone(),
            },
            position: self.position(offset),
            attempt: self.attempt,
            time,
        }
    }
}
