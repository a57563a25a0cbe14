//! Reading records back, with proof that none is missing.

use bytes::Bytes;
use redb::{Database, ReadOnlyTable, ReadableDatabase};

use super::Place;
use super::fault::{Fault, guarded};
use super::queue::Shared;
use super::rows::{Bounds, RUNS, Row, STATE, body};
use super::run::Run;
use crate::broker::embedded::entry::Entry;
use crate::broker::embedded::log;
use crate::broker::{Error, Topic};

type Runs = ReadOnlyTable<(u32, u32, u64), &'static [u8]>;

/// A partition as one transaction sees it.
struct Snapshot<'a> {
    shared: &'a Shared,
    place: Place,
    topic: Topic,
    bounds: Bounds,
    runs: Runs,
}

impl<'a> Snapshot<'a> {
    fn new(shared: &'a Shared, database: &Database, place: Place) -> Result<Self, Fault> {
        let name = || shared.name(place);
        let transaction = database.begin_read()?;
        let topic = shared
            .topic(place.0)
            .ok_or_else(|| Fault::damaged(format!("{}: there is no such topic", name())))?;
        let key = Row::Partition(place).bytes();
        let row = transaction.open_table(STATE)?.get(key.as_slice())?;
        let row = row.ok_or_else(|| Fault::damaged(format!("{}: its row is missing", name())))?;
        let bounds = Bounds::decode(body(&key, row.value())?)
            .ok_or_else(|| Fault::damaged(format!("{}: its row is cut short", name())))?;
        Ok(Self {
            shared,
            place,
            topic,
            bounds,
            runs: transaction.open_table(RUNS)?,
        })
    }

    fn damaged(&self, from: u64, wrong: &str) -> Fault {
        Fault::damaged(format!(
            "{}, from offset {from}: {wrong}",
            self.shared.name(self.place)
        ))
    }

    const fn key(&self, offset: u64) -> (u32, u32, u64) {
        (self.place.0, self.place.1, offset)
    }

    /// Where the run begins that holds this offset, or else the last one before it, or else the first one behind it.
    fn start(&self, offset: u64) -> Result<u64, Fault> {
        let mut before = self.runs.range(self.key(0)..=self.key(offset))?;
        let row = before.next_back().transpose()?;
        Ok(row.map_or(offset, |(key, _)| key.value().2))
    }

    /// The run at or behind this offset.
    fn probe<T>(
        &self,
        offset: u64,
        look: impl FnOnce(Run<'_>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let start = self.start(offset)?;
        let mut rows = self.runs.range(self.key(start)..=self.key(u64::MAX))?;
        let Some(row) = rows.next() else {
            return Err(self.damaged(offset, "records are missing"));
        };
        let (key, row) = row?;
        let base = key.value().2;
        let run =
            Run::open(self.place, base, row.value()).map_err(|wrong| self.damaged(base, wrong))?;
        look(run)
    }
}

pub(super) fn records(
    shared: &Shared,
    place: Place,
    from: u64,
    max_records: usize,
    max_bytes: usize,
) -> Result<Vec<(u64, Entry)>, Error> {
    guarded(|| {
        shared.with_database(|database| {
            Snapshot::new(shared, database, place)?.records(from, max_records, max_bytes)
        })
    })
    .map_err(|fault| fault.told(&shared.path, "reading"))
}

pub(super) fn find_time(shared: &Shared, place: Place, time: u64) -> Result<Option<u64>, Error> {
    guarded(|| {
        shared.with_database(|database| Snapshot::new(shared, database, place)?.find_time(time))
    })
    .map_err(|fault| fault.told(&shared.path, "reading"))
}

/// What was written together, oldest first, from the first record that is retained. The rows are taken at their word: what
/// is wrong with one is found when it is read.
pub(super) fn runs(shared: &Shared, place: Place) -> Result<Vec<log::Run>, Error> {
    guarded(|| shared.with_database(|database| Snapshot::new(shared, database, place)?.heads()))
        .map_err(|fault| fault.told(&shared.path, "reading"))
}

impl Snapshot<'_> {
    fn heads(&self) -> Result<Vec<log::Run>, Fault> {
        let first = self.bounds.first;
        let mut heads = Vec::new();
        for row in self.runs.range(self.key(0)..=self.key(u64::MAX))? {
            let (key, row) = row?;
            let base = key.value().2;
            let head = Run::head(base, row.value()).map_err(|wrong| self.damaged(base, wrong))?;
            let records = head.end().saturating_sub(first.max(base));
            if records == 0 {
                continue;
            }
            heads.push(log::Run {
                first: first.max(base),
                records,
                // Of a run that is retained in part, its share.
                bytes: head.size / u64::from(head.count) * records,
                time: head.ended,
            });
        }
        Ok(heads)
    }

    fn records(
        &self,
        from: u64,
        max_records: usize,
        max_bytes: usize,
    ) -> Result<Vec<(u64, Entry)>, Fault> {
        let from = from.max(self.bounds.first);
        let mut found = Vec::new();
        if from >= self.bounds.next || max_records == 0 {
            return Ok(found);
        }
        let mut bytes = 0_usize;
        // Everything below is accounted for.
        let mut end = from;
        let start = self.start(from)?;
        for row in self.runs.range(self.key(start)..=self.key(u64::MAX))? {
            let (key, row) = row?;
            let base = key.value().2;
            let run = Run::open(self.place, base, row.value())
                .map_err(|wrong| self.damaged(base, wrong))?;
            if base > end && run.head.previous > end {
                return Err(self.damaged(end, "records are missing"));
            }
            // The records that are wanted lie side by side: they are copied together.
            let mut wanted: Vec<(u64, &[u8])> = Vec::new();
            let mut full = false;
            for record in run.records() {
                let (offset, record) = record.map_err(|wrong| self.damaged(base, wrong))?;
                if offset < from {
                    continue;
                }
                let so_far = found.len() + wanted.len();
                let grown = bytes.saturating_add(record.len());
                if so_far >= max_records || (so_far > 0 && grown > max_bytes) {
                    full = true;
                    break;
                }
                bytes = grown;
                wanted.push((offset, record));
            }
            self.decode(&run, &wanted, &mut found)?;
            end = end.max(run.head.end());
            if full {
                return Ok(found);
            }
        }
        if end < self.bounds.next {
            return Err(self.damaged(end, "records are missing"));
        }
        Ok(found)
    }

    fn decode(
        &self,
        run: &Run<'_>,
        wanted: &[(u64, &[u8])],
        found: &mut Vec<(u64, Entry)>,
    ) -> Result<(), Fault> {
        let len = wanted.iter().map(|(_, record)| record.len()).sum();
        let mut copy = Vec::with_capacity(len);
        for (_, record) in wanted {
            copy.extend_from_slice(record);
        }
        let mut copy = Bytes::from(copy);
        for (offset, record) in wanted {
            let bytes = copy.split_to(record.len());
            let entry = run
                .decode(&bytes, &self.topic, self.place.1)
                .ok_or_else(|| self.damaged(*offset, "a record contradicts itself"))?;
            found.push((*offset, entry));
        }
        Ok(())
    }

    fn find_time(&self, time: u64) -> Result<Option<u64>, Fault> {
        let (mut low, mut high) = (self.bounds.first, self.bounds.next);
        let mut candidate = None;
        while low < high {
            let middle = low + (high - low) / 2;
            let head = self.probe(middle, |run| Ok(run.head))?;
            if head.ended < time {
                low = head.end().max(middle + 1);
            } else {
                candidate = Some(head.base);
                high = head.base.min(middle);
            }
        }
        let Some(base) = candidate else {
            return Ok(None);
        };
        self.probe(base, |run| {
            for record in run.records() {
                let (offset, record) = record.map_err(|wrong| self.damaged(base, wrong))?;
                let taken = run
                    .time(record)
                    .ok_or_else(|| self.damaged(offset, "a record contradicts itself"))?;
                if offset >= self.bounds.first && taken >= time {
                    return Ok(Some(offset));
                }
            }
            Ok(None)
        })
    }
}
