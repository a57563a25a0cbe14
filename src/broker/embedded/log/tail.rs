//! The records of a partition that are at hand, in the stretches in which they came.

use std::collections::{VecDeque, vec_deque};

use crate::broker::Record;

/// From how many records on those that come together become a stretch of their own. Fewer are moved to others.
const OF_ITS_OWN: usize = 32;

/// Records with offsets `from..next`, oldest first.
#[derive(Debug)]
pub(crate) struct Tail {
    from: u64,
    next: u64,
    bytes: u64,
    /// None is empty, unless there is one only.
    stretches: VecDeque<Stretch>,
}

/// Records that lie together: those that were pushed in one call, in the buffer that they came in, or any number that
/// came one by one.
#[derive(Debug)]
pub(crate) struct Stretch {
    first: u64,
    bytes: u64,
    records: VecDeque<Record>,
    times: Times,
}

/// When records were taken.
#[derive(Debug)]
enum Times {
    Together(u64),
    Each(VecDeque<u64>),
}

/// Records that went out of retention, or need not be at hand any more. To be dropped without a lock.
#[derive(Debug, Default)]
pub(crate) struct Gone {
    pub(super) one_by_one: Vec<Record>,
    pub(super) many: Vec<VecDeque<Record>>,
}

impl Gone {
    /// Drops the records, and gives the buffer that some of them were in, for others.
    pub(crate) fn into_buffer(mut self) -> Option<VecDeque<Record>> {
        let mut buffer = self.many.pop()?;
        buffer.clear();
        Some(buffer)
    }
}

/// Records that lie together, from some offset on.
pub(crate) struct Part<'a> {
    pub(crate) records: vec_deque::Iter<'a, Record>,
    pub(crate) times: PartTimes<'a>,
}

pub(crate) enum PartTimes<'a> {
    Together(u64),
    Each(vec_deque::Iter<'a, u64>),
}

impl Tail {
    pub(crate) fn new(next: u64) -> Self {
        Self {
            from: next,
            next,
            bytes: 0,
            stretches: VecDeque::new(),
        }
    }

    #[inline]
    pub(crate) fn from(&self) -> u64 {
        self.from
    }

    #[inline]
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The record at this offset, and its time.
    #[inline]
    pub(crate) fn at(&self, offset: u64) -> Option<(&Record, u64)> {
        let (stretch, index) = self.find(offset)?;
        let record = stretch.records.get(index)?;
        Some((record, stretch.times.at(index)))
    }

    /// The record at this offset and those that lie together with it behind it, `most` at the most.
    pub(crate) fn part(&self, offset: u64, most: usize) -> Option<Part<'_>> {
        let (stretch, index) = self.find(offset)?;
        let range = index..stretch.records.len().min(index.saturating_add(most));
        let times = match &stretch.times {
            Times::Together(time) => PartTimes::Together(*time),
            Times::Each(times) => PartTimes::Each(times.range(range.clone())),
        };
        let records = stretch.records.range(range);
        Some(Part { records, times })
    }

    #[inline]
    fn find(&self, offset: u64) -> Option<(&Stretch, usize)> {
        if !(self.from..self.next).contains(&offset) {
            return None;
        }
        let behind = self
            .stretches
            .partition_point(|stretch| stretch.first <= offset);
        let stretch = self.stretches.get(behind.checked_sub(1)?)?;
        let index = usize::try_from(offset - stretch.first).ok()?;
        Some((stretch, index))
    }

    /// The first offset with this time or a later one.
    pub(crate) fn find_time(&self, time: u64) -> u64 {
        let before = self
            .stretches
            .partition_point(|stretch| stretch.times.newest() < time);
        let Some(stretch) = self.stretches.get(before) else {
            return self.next;
        };
        stretch.first + stretch.times.before(time) as u64
    }

    /// Adds a record.
    #[inline]
    pub(crate) fn push(&mut self, record: Record, time: u64) {
        let size = record.size() as u64;
        let last = self.stretches.back_mut();
        match last.map(|stretch| (&mut stretch.times, &mut stretch.records, &mut stretch.bytes)) {
            Some((Times::Each(times), records, bytes)) => {
                times.push_back(time);
                records.push_back(record);
                *bytes += size;
            }
            _ => self.stretches.push_back(Stretch {
                first: self.next,
                bytes: size,
                records: VecDeque::from([record]),
                times: Times::Each(VecDeque::from([time])),
            }),
        }
        self.next += 1;
        self.bytes += size;
    }

    /// Adds records that came together, in their buffer if they are many. `bytes`: of them all.
    pub(crate) fn push_run(&mut self, records: VecDeque<Record>, bytes: u64, time: u64) {
        if records.len() < OF_ITS_OWN {
            for record in records {
                self.push(record, time);
            }
            return;
        }
        if self.from == self.next {
            self.stretches.clear();
        }
        let first = self.next;
        self.next += records.len() as u64;
        self.bytes += bytes;
        self.stretches.push_back(Stretch {
            first,
            bytes,
            records,
            times: Times::Together(time),
        });
    }

    /// The oldest record's time and size.
    #[inline]
    pub(crate) fn oldest(&self) -> Option<(u64, u64)> {
        let stretch = self.stretches.front()?;
        let size = stretch.records.front()?.size() as u64;
        Some((stretch.times.at(0), size))
    }

    /// Removes the oldest record.
    #[inline]
    pub(crate) fn pop(&mut self, gone: &mut Gone) {
        let Some(stretch) = self.stretches.front_mut() else {
            return;
        };
        // The last one stays open, and keeps its buffer, for those who push one by one.
        let last = self.from + 1 == self.next && matches!(stretch.times, Times::Each(_));
        if stretch.records.len() == 1 && !last {
            self.pop_stretch(gone);
            return;
        }
        let Some(record) = stretch.records.pop_front() else {
            return;
        };
        if let Times::Each(times) = &mut stretch.times {
            times.pop_front();
        }
        let size = record.size() as u64;
        stretch.first += 1;
        stretch.bytes -= size;
        self.from += 1;
        self.bytes -= size;
        gone.one_by_one.push(record);
    }

    fn pop_stretch(&mut self, gone: &mut Gone) {
        let Some(stretch) = self.stretches.pop_front() else {
            return;
        };
        self.from += stretch.records.len() as u64;
        self.bytes -= stretch.bytes;
        gone.many.push(stretch.records);
    }

    /// Removes the oldest records until so many of them and so many bytes are gone, none that is at `to` or behind it.
    pub(crate) fn cut(&mut self, mut records: u64, mut bytes: u64, to: u64, gone: &mut Gone) {
        while let Some(stretch) = self.stretches.front() {
            let (count, size) = stretch.oldest(records, bytes, to);
            if count == 0 {
                return;
            }
            records = records.saturating_sub(count as u64);
            bytes = bytes.saturating_sub(size);
            if count == stretch.records.len() {
                self.pop_stretch(gone);
            } else {
                self.pop_part(count, size, gone);
            }
        }
    }

    /// Removes some, but not all, of the oldest stretch.
    fn pop_part(&mut self, count: usize, size: u64, gone: &mut Gone) {
        let Some(stretch) = self.stretches.front_mut() else {
            return;
        };
        let part = match &mut stretch.times {
            Times::Together(_) if count > stretch.records.len() / 2 => {
                // There are fewer that stay: they get another buffer.
                let rest = stretch.records.split_off(count);
                std::mem::replace(&mut stretch.records, rest)
            }
            Times::Together(_) => stretch.records.drain(..count).collect(),
            Times::Each(times) => {
                times.drain(..count);
                stretch.records.drain(..count).collect()
            }
        };
        gone.many.push(part);
        stretch.first += count as u64;
        stretch.bytes -= size;
        self.from += count as u64;
        self.bytes -= size;
    }

    /// Removes what is older.
    pub(crate) fn expire(&mut self, since: u64, gone: &mut Gone) {
        while let Some(stretch) = self.stretches.front().filter(|it| !it.records.is_empty()) {
            if stretch.times.newest() < since {
                self.pop_stretch(gone);
            } else if stretch.times.at(0) < since {
                self.pop(gone);
            } else {
                return;
            }
        }
    }
}

impl Stretch {
    /// How many of the oldest have to go for so many records and so many bytes to be gone, and their size. None that is
    /// at `to` or behind it.
    fn oldest(&self, records: u64, bytes: u64, to: u64) -> (usize, u64) {
        let len = self.records.len();
        let allowed = usize::try_from(to.saturating_sub(self.first)).map_or(len, |it| it.min(len));
        let wanted = usize::try_from(records).unwrap_or(usize::MAX);
        if wanted >= len && allowed == len {
            return (len, self.bytes);
        }
        let (mut count, mut size) = (0, 0);
        for record in self.records.range(..allowed) {
            if count >= wanted && size >= bytes {
                break;
            }
            count += 1;
            size += record.size() as u64;
        }
        (count, size)
    }
}

impl Times {
    #[inline]
    fn at(&self, index: usize) -> u64 {
        match self {
            Self::Together(time) => *time,
            Self::Each(times) => times.get(index).copied().unwrap_or(0),
        }
    }

    /// 0 where there is none.
    #[inline]
    fn newest(&self) -> u64 {
        match self {
            Self::Together(time) => *time,
            Self::Each(times) => times.back().copied().unwrap_or(0),
        }
    }

    /// How many are before this time.
    fn before(&self, time: u64) -> usize {
        match self {
            Self::Together(_) => 0,
            Self::Each(times) => times.partition_point(|it| *it < time),
        }
    }
}

#[cfg(test)]
impl Tail {
    /// For how many records there are slots.
    pub(super) fn capacity(&self) -> usize {
        let records = self.stretches.iter().map(|it| it.records.capacity());
        records.sum()
    }
}
