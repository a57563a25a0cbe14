//! One partition: which offsets there are, what of them is at hand, and what has to go. Pure.

use std::collections::VecDeque;

use crate::broker::{Record, Topic, TopicConfig, WhenFull};

use super::entry::Entry;
use super::partition::RunOf;

/// How much of a partition that is on disk is at hand in memory as well, in bytes of its records.
const AT_HAND: u64 = 1024 * 1024;

/// What was written together: the unit in which a partition on disk loses its oldest records to bounds in bytes or age.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) first: u64,
    pub(crate) records: u64,
    pub(crate) bytes: u64,
    /// Of its newest record.
    pub(crate) time: u64,
}

/// A partition's records are numbered `first..next`, and `..end` once those on their way to the disk have arrived. The
/// newest of them are at hand in `tail`: all of them, where there is no disk.
#[derive(Debug)]
pub(crate) struct Log {
    first: u64,
    next: u64,
    end: u64,
    bytes: u64,
    tail: VecDeque<Entry>,
    /// Bytes in `tail`.
    warm: u64,
    /// Everything on disk or on its way there, oldest first. `None` where there is no disk.
    runs: Option<VecDeque<Run>>,
    max_records: u64,
    max_bytes: u64,
    max_age: Option<u64>,
    drops: bool,
}

/// Why something does not fit.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoRoom;

impl Log {
    pub(crate) fn in_memory(config: &TopicConfig) -> Self {
        Self::new(config, 0, 0, None)
    }

    /// A partition on disk that was found to hold these runs.
    #[cfg(feature = "durable")]
    pub(crate) fn on_disk(
        config: &TopicConfig,
        first: u64,
        next: u64,
        runs: VecDeque<Run>,
    ) -> Self {
        Self::new(config, first, next, Some(runs))
    }

    fn new(config: &TopicConfig, first: u64, next: u64, runs: Option<VecDeque<Run>>) -> Self {
        let mut log = Self {
            first,
            next,
            end: next,
            bytes: runs.iter().flatten().map(|run| run.bytes).sum(),
            tail: VecDeque::new(),
            warm: 0,
            runs,
            max_records: 0,
            max_bytes: 0,
            max_age: None,
            drops: true,
        };
        log.configure(config);
        log
    }

    /// Takes over new bounds. They apply from the next append on.
    pub(crate) fn configure(&mut self, config: &TopicConfig) {
        self.max_records = config.max_records.unwrap_or(u64::MAX);
        self.max_bytes = config.max_bytes.unwrap_or(u64::MAX);
        self.max_age = config
            .max_age
            .map(|age| u64::try_from(age.as_micros()).unwrap_or(u64::MAX));
        self.drops = config.when_full == WhenFull::DropOldest;
    }

    /// The oldest offset that is retained.
    #[inline]
    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    /// The offset behind the newest record that can be read.
    #[inline]
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// The offset that the next record will get.
    #[cfg(feature = "durable")]
    #[inline]
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The record at this offset, if it is at hand.
    #[inline]
    pub(crate) fn at(&self, offset: u64) -> Option<&Entry> {
        let from = self.next - self.tail.len() as u64;
        let at = offset.checked_sub(from)?;
        self.tail.get(usize::try_from(at).ok()?)
    }

    /// The first offset at hand with this time or a later one. The flag says whether an older one may be on disk.
    pub(crate) fn find_time(&self, time: u64) -> (u64, bool) {
        let from = self.next - self.tail.len() as u64;
        let at = self.tail.partition_point(|entry| entry.time < time) as u64;
        (from + at, at == 0 && from > self.first)
    }

    /// Makes room for one more record of this size, as far as the bounds say who has to go: the oldest, or, where they are
    /// not dropped, those below `floor`, which every group has acknowledged. What goes is put into `out`.
    #[inline]
    pub(crate) fn make_room(
        &mut self,
        size: u64,
        floor: Option<u64>,
        out: &mut Vec<Entry>,
    ) -> Result<(), NoRoom> {
        let may_go = if self.drops {
            u64::MAX
        } else {
            floor.unwrap_or(0)
        };
        loop {
            let crowded = self.end - self.first >= self.max_records;
            if !crowded && self.bytes.saturating_add(size) <= self.max_bytes {
                return Ok(());
            }
            match self.oldest(true) {
                Some(oldest) if self.first + oldest.records <= may_go => self.remove(oldest, out),
                _ => return Err(NoRoom),
            }
        }
    }

    /// Removes what is older than the topic keeps.
    pub(crate) fn expire(&mut self, now: u64, out: &mut Vec<Entry>) {
        let Some(since) = self.max_age.map(|age| now.saturating_sub(age)) else {
            return;
        };
        while let Some(oldest) = self.oldest(false).filter(|oldest| oldest.time < since) {
            self.remove(oldest, out);
        }
    }

    /// What goes first: the oldest record where it is at hand, else the oldest run. `one`: a single record of it, whose
    /// size is not known any more; an equal share of the run's stands for it.
    fn oldest(&self, one: bool) -> Option<Run> {
        if let Some(entry) = self.at(self.first) {
            return Some(Run {
                first: self.first,
                records: 1,
                bytes: entry.record.size() as u64,
                time: entry.time,
            });
        }
        let run = *self.runs.as_ref()?.front()?;
        let arrived = run.first + run.records <= self.next;
        let share = Run {
            records: 1,
            bytes: run.bytes / run.records,
            ..run
        };
        arrived.then_some(if one { share } else { run })
    }

    /// Removes the oldest record or run.
    fn remove(&mut self, oldest: Run, out: &mut Vec<Entry>) {
        self.first += oldest.records;
        self.bytes -= oldest.bytes;
        if let Some(runs) = &mut self.runs {
            if let Some(run) = runs.front_mut() {
                run.first += oldest.records;
                run.records -= oldest.records;
                run.bytes -= oldest.bytes.min(run.bytes);
                if run.records == 0 {
                    // What rounding left over.
                    self.bytes -= run.bytes;
                    runs.pop_front();
                }
            }
        }
        self.cool(out);
    }

    /// Lets go of what is at hand but not retained any more, or more than is to be at hand of what is on disk.
    fn cool(&mut self, out: &mut Vec<Entry>) {
        let on_disk = self.runs.is_some();
        while self.next - (self.tail.len() as u64) < self.first || on_disk && self.warm > AT_HAND {
            let Some(entry) = self.tail.pop_front() else {
                return;
            };
            self.warm -= entry.record.size() as u64;
            out.push(entry);
        }
    }

    /// Makes room for a whole run in memory, where bounds in bytes do not matter. False: it has to be done one by one.
    pub(crate) fn make_room_for(&mut self, run: &RunOf, out: &mut Vec<Entry>) -> bool {
        let count = run.count as u64;
        if self.max_bytes != u64::MAX && self.bytes.saturating_add(run.bytes) > self.max_bytes {
            return false;
        }
        let there = self.end - self.first;
        let crowd = there.saturating_add(count).saturating_sub(self.max_records);
        if crowd == 0 {
            return true;
        }
        if !self.drops || crowd > there {
            return false;
        }
        let from = out.len();
        let crowd_here = usize::try_from(crowd).unwrap_or(usize::MAX);
        out.reserve(crowd_here);
        out.extend(self.tail.drain(..crowd_here));
        let bytes: u64 = out[from..]
            .iter()
            .map(|entry| entry.record.size() as u64)
            .sum();
        self.bytes -= bytes;
        self.warm -= bytes;
        self.first += crowd;
        true
    }

    /// Appends a run for which there is room. Without a disk only.
    pub(crate) fn append_run(
        &mut self,
        records: impl Iterator<Item = Record>,
        run: &RunOf,
        topic: &Topic,
        time: u64,
    ) {
        let from = self.tail.len();
        self.tail
            .extend(records.map(|record| Entry { record, time }));
        for entry in self.tail.range_mut(from..) {
            entry.record.topic = topic.clone();
        }
        self.bytes += run.bytes;
        self.warm += run.bytes;
        self.next += run.count as u64;
        self.end = self.next;
    }

    /// Appends one record, for which there is room. Without a disk only.
    #[inline]
    pub(crate) fn append(&mut self, entry: Entry) -> u64 {
        let size = entry.record.size() as u64;
        self.bytes += size;
        self.warm += size;
        self.tail.push_back(entry);
        self.next += 1;
        self.end = self.next;
        self.next - 1
    }

    /// Gives the next offset to a record that is on its way to the disk: the first of a run, or one more of it.
    #[cfg(feature = "durable")]
    pub(crate) fn promise(&mut self, bytes: u64, time: u64, fresh: bool) {
        let first = self.end;
        self.end += 1;
        self.bytes += bytes;
        let Some(runs) = &mut self.runs else { return };
        match runs.back_mut() {
            Some(run) if !fresh => {
                run.records += 1;
                run.bytes += bytes;
                run.time = time;
            }
            _ => runs.push_back(Run {
                first,
                records: 1,
                bytes,
                time,
            }),
        }
    }

    /// A promised run has arrived on the disk: it can be read.
    #[cfg(feature = "durable")]
    pub(crate) fn arrived(&mut self, entries: Vec<Entry>, out: &mut Vec<Entry>) {
        self.next += entries.len() as u64;
        for entry in entries {
            self.warm += entry.record.size() as u64;
            self.tail.push_back(entry);
        }
        self.cool(out);
    }
}
