//! How a group's core gets at the records: from the log where they are at hand, else from what was read from disk.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::broker::{Delivery, Position};
use crate::sync::MutexGuard;

use super::clock::system_time;
use super::entry::Entry;
use super::group::{Place, Source};
use super::partition::Inner;
use super::topic::Topics;

/// How many records read from disk are kept for a partition.
#[cfg(feature = "durable")]
const KEPT: usize = 4096;

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
        if kept.len() >= KEPT {
            out.extend(std::mem::take(kept).into_values());
        }
        kept.extend(entries);
        out
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
    max: usize,
    deliveries: Vec<Delivery>,
    /// Records that went out of retention meanwhile, to be dropped without locks.
    out: Vec<Entry>,
    /// Partitions from which some did, and where they begin now.
    expired: Vec<(Place, u64)>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(topics: &'a Topics, cache: &'a mut Cache, now: u64, max: usize) -> Self {
        Self {
            topics,
            cache,
            open: None,
            now,
            max,
            deliveries: Vec::new(),
            out: Vec::new(),
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
        drop(self.out);
        (self.deliveries, self.expired)
    }
}

impl Reader<'_> {
    /// The record, if it is at hand.
    fn entry(&self, place: Place, offset: u64) -> Option<&Entry> {
        let at_hand = self.open.as_ref().filter(|(open, _)| *open == place);
        at_hand
            .and_then(|(_, inner)| inner.log.at(offset))
            .or_else(|| self.cache.at(place, offset))
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
        inner.log.expire(self.now, &mut self.out);
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
        self.entry(place, offset)?.record.key.hash(&mut hasher);
        Some(hasher.finish())
    }

    fn give(&mut self, place: Place, offset: u64, attempt: u32, generation: u64) -> bool {
        self.open(place);
        if let Some((_, inner)) = &self.open {
            if let Some(entry) = inner.log.at(offset) {
                if self.deliveries.len() == self.deliveries.capacity() {
                    let left = self.max - self.deliveries.len();
                    let there = usize::try_from(inner.log.next() - offset).unwrap_or(usize::MAX);
                    self.deliveries.reserve(left.min(there).clamp(1, AHEAD));
                }
                let record = &entry.record;
                self.deliveries.push(Delivery::new(
                    record.clone(),
                    Position::new(record.topic.clone(), place.partition, offset)
                        .with_generation(generation),
                    attempt,
                    system_time(entry.time),
                ));
                return true;
            }
        }
        // What was read from disk is not needed again, unless it is redelivered.
        let Some(Entry { record, time }) = self.cache.take(place, offset) else {
            return false;
        };
        let position = Position::new(record.topic.clone(), place.partition, offset)
            .with_generation(generation);
        self.deliveries
            .push(Delivery::new(record, position, attempt, system_time(time)));
        true
    }
}
