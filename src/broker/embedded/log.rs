//! One partition: which offsets there are, what of them is at hand, and what has to go. Pure.

mod tail;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use crate::broker::{Record, TopicConfig, WhenFull};

#[cfg(feature = "durable")]
use super::entry::Entry;
use super::partition::RunOf;
use tail::Tail;
pub(crate) use tail::{Gone, Part, PartTimes};

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
/// newest of them, up to `next`, are at hand in `tail`: all of them, where there is no disk.
#[derive(Debug)]
pub(crate) struct Log {
    first: u64,
    end: u64,
    bytes: u64,
    tail: Tail,
    /// Of the newest record.
    time: u64,
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
            end: next,
            bytes: runs.iter().flatten().map(|run| run.bytes).sum(),
            tail: Tail::new(next),
            time: 0,
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

    /// What the oldest run consists of, where it stands for many: bounds that were not there when they were found need to know.
    #[cfg(feature = "durable")]
    pub(crate) fn refine(&mut self, found: &[Run]) {
        let Some(runs) = &mut self.runs else { return };
        let Some(&whole) = runs.front() else { return };
        let end = whole.first + whole.records;
        let parts: Vec<Run> = found
            .iter()
            .filter(|run| run.first < end && run.first + run.records > whole.first)
            .map(|run| {
                let gone = whole.first.saturating_sub(run.first);
                Run {
                    first: run.first + gone,
                    records: run.records - gone,
                    bytes: run.bytes - run.bytes / run.records * gone,
                    time: run.time,
                }
            })
            .collect();
        if parts.iter().map(|run| run.records).sum::<u64>() != whole.records {
            return;
        }
        runs.pop_front();
        self.bytes -= whole.bytes;
        for part in parts.into_iter().rev() {
            self.bytes += part.bytes;
            runs.push_front(part);
        }
    }

    /// The oldest offset that is retained.
    #[inline]
    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    /// The offset behind the newest record that can be read.
    #[inline]
    pub(crate) fn next(&self) -> u64 {
        self.tail.next()
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

    /// The first moment at which age removes something that is there now.
    pub(crate) fn expires(&self) -> Option<u64> {
        let oldest = self.oldest(false)?;
        Some(oldest.time.saturating_add(self.max_age?).saturating_add(1))
    }

    /// The record at this offset and its time, if it is at hand.
    #[inline]
    pub(crate) fn at(&self, offset: u64) -> Option<(&Record, u64)> {
        self.tail.at(offset)
    }

    /// The record at this offset, if it is at hand, and those that lie together with it behind it, `most` at the most.
    pub(crate) fn part(&self, offset: u64, most: usize) -> Option<Part<'_>> {
        self.tail.part(offset, most)
    }

    /// The first offset at hand with this time or a later one. The flag says whether an older one may be on disk.
    pub(crate) fn find_time(&self, time: u64) -> (u64, bool) {
        let found = self.tail.find_time(time);
        (found, found == self.tail.from() && found > self.first)
    }

    /// The time of a record that is appended now. Times do not go back.
    pub(crate) fn not_before(&mut self, time: u64) -> u64 {
        self.time = self.time.max(time);
        self.time
    }

    /// Makes room for one more record of this size, as far as the bounds say who has to go: the oldest, or, where they are
    /// not dropped, those below `floor`, which every group has acknowledged. What goes is put into `gone`.
    #[inline]
    pub(crate) fn make_room(
        &mut self,
        size: u64,
        floor: Option<u64>,
        gone: &mut Gone,
    ) -> Result<(), NoRoom> {
        let may_go = self.may_go(floor);
        loop {
            let crowded = self.end - self.first >= self.max_records;
            if !crowded && self.bytes.saturating_add(size) <= self.max_bytes {
                return Ok(());
            }
            match self.oldest(true) {
                Some(oldest) if self.first + oldest.records <= may_go => self.remove(oldest, gone),
                _ => return Err(NoRoom),
            }
        }
    }

    /// Removes what is older than the topic keeps.
    pub(crate) fn expire(&mut self, now: u64, gone: &mut Gone) {
        let Some(since) = self.max_age.map(|age| now.saturating_sub(age)) else {
            return;
        };
        if self.runs.is_none() {
            self.tail.expire(since, gone);
            self.first = self.tail.from();
            self.bytes = self.tail.bytes();
            return;
        }
        while let Some(oldest) = self.oldest(false).filter(|oldest| oldest.time < since) {
            self.remove(oldest, gone);
        }
    }

    /// What goes first: the oldest record where it is at hand, else the oldest run. `one`: a single record of it, whose
    /// size is not known any more; an equal share of the run's stands for it.
    fn oldest(&self, one: bool) -> Option<Run> {
        if self.tail.from() == self.first {
            if let Some((time, bytes)) = self.tail.oldest() {
                return Some(Run {
                    first: self.first,
                    records: 1,
                    bytes,
                    time,
                });
            }
        }
        let run = *self.runs.as_ref()?.front()?;
        let arrived = run.first + run.records <= self.next();
        let share = Run {
            records: 1,
            bytes: run.bytes / run.records,
            ..run
        };
        arrived.then_some(if one { share } else { run })
    }

    /// Removes the oldest record or run.
    fn remove(&mut self, oldest: Run, gone: &mut Gone) {
        self.first += oldest.records;
        match &mut self.runs {
            None => self.bytes -= oldest.bytes,
            Some(runs) => {
                if let Some(run) = runs.front_mut() {
                    // Equal shares that went before may have been too large: there is no more to take than is left.
                    let bytes = oldest.bytes.min(run.bytes);
                    run.first += oldest.records;
                    run.records -= oldest.records;
                    run.bytes -= bytes;
                    self.bytes -= bytes;
                    if run.records == 0 {
                        // What rounding left over.
                        self.bytes -= run.bytes;
                        runs.pop_front();
                    }
                }
            }
        }
        self.cool(gone);
    }

    /// Lets go of what is at hand but not retained any more, or more than is to be at hand of what is on disk.
    fn cool(&mut self, gone: &mut Gone) {
        let on_disk = self.runs.is_some();
        while self.tail.from() < self.tail.next()
            && (self.tail.from() < self.first || on_disk && self.tail.bytes() > AT_HAND)
        {
            self.tail.pop(gone);
        }
    }

    /// Makes room for a whole run in memory. False: it is too much for all bounds together, or some of what would have to
    /// go may not, and it has to be done one by one.
    pub(crate) fn make_room_for(
        &mut self,
        run: &RunOf,
        floor: Option<u64>,
        gone: &mut Gone,
    ) -> bool {
        let count = run.count as u64;
        if count > self.max_records || run.bytes > self.max_bytes {
            return false;
        }
        let crowd = |log: &Self| {
            let records = (log.end - log.first).saturating_add(count);
            let bytes = log.bytes.saturating_add(run.bytes);
            (
                records.saturating_sub(log.max_records),
                bytes.saturating_sub(log.max_bytes),
            )
        };
        let (records, bytes) = crowd(self);
        if (records, bytes) == (0, 0) {
            return true;
        }
        self.tail.cut(records, bytes, self.may_go(floor), gone);
        self.first = self.tail.from();
        self.bytes = self.tail.bytes();
        crowd(self) == (0, 0)
    }

    /// Records below this offset may make room for others.
    #[inline]
    fn may_go(&self, floor: Option<u64>) -> u64 {
        if self.drops {
            u64::MAX
        } else {
            floor.unwrap_or(0)
        }
    }

    /// Appends a run for which there is room. Without a disk only.
    pub(crate) fn append_run(&mut self, records: VecDeque<Record>, run: &RunOf, time: u64) {
        self.tail.push_run(records, run.bytes, time);
        self.bytes += run.bytes;
        self.end = self.tail.next();
    }

    /// Appends one record, for which there is room. Without a disk only.
    #[inline]
    pub(crate) fn append(&mut self, record: Record, time: u64) {
        self.bytes += record.size() as u64;
        self.tail.push(record, time);
        self.end = self.tail.next();
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
    pub(crate) fn arrived(&mut self, entries: Vec<Entry>, gone: &mut Gone) {
        for entry in entries {
            self.tail.push(entry.record, entry.time);
        }
        self.cool(gone);
    }
}
