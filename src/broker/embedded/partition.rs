//! One partition as producers and groups share it.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::Notify;

#[cfg(feature = "durable")]
use crate::broker::{Error, Topic};
use crate::broker::{Record, TopicConfig, WhenFull};
use crate::sync::{Mutex, MutexGuard, lock};

#[cfg(feature = "durable")]
use super::entry::Entry;
use super::log::{Gone, Log};

pub(crate) struct Partition {
    inner: Mutex<Inner>,
    /// Held from the moment offsets are promised until the store has the run, so that runs come to it in order.
    #[cfg(feature = "durable")]
    pub(crate) order: Mutex<()>,
    /// Told that a push may find room. Whoever was told and found some tells the next.
    pub(crate) room: Notify,
}

pub(crate) struct Inner {
    pub(crate) log: Log,
    pub(crate) config: TopicConfig,
    /// How far each group that has read here has come.
    marks: Vec<Mark>,
    /// Whom to tell of new records. Shared, so that telling happens outside of the lock.
    readers: Arc<[Reader]>,
    /// Why records on their way to the disk did not arrive.
    #[cfg(feature = "durable")]
    failed: Option<Error>,
}

struct Mark {
    group: u64,
    acknowledged: u64,
}

#[derive(Clone)]
struct Reader {
    group: u64,
    signal: Arc<Notify>,
}

/// Where records come from on their way into a partition.
pub(crate) trait Feed {
    fn front(&self) -> Option<&Record>;

    fn take(&mut self) -> Option<Record>;

    /// How many of the next records, `most` at the most, go to the same partition as the first, and their sizes.
    fn run(&self, most: u64) -> RunOf;

    /// Takes the first `count`.
    fn take_run(&mut self, count: usize) -> VecDeque<Record>;

    /// An empty buffer, for one that was taken with a run.
    fn give_back(&mut self, buffer: VecDeque<Record>);
}

/// Records that go to one partition together.
#[derive(Default)]
pub(crate) struct RunOf {
    pub(crate) count: usize,
    pub(crate) bytes: u64,
    pub(crate) largest: usize,
}

impl RunOf {
    #[inline]
    pub(crate) fn add(&mut self, record: &Record) {
        let size = record.size();
        self.count += 1;
        self.bytes += size as u64;
        self.largest = self.largest.max(size);
    }
}

impl Feed for Option<Record> {
    #[inline]
    fn front(&self) -> Option<&Record> {
        self.as_ref()
    }

    #[inline]
    fn take(&mut self) -> Option<Record> {
        Self::take(self)
    }

    fn run(&self, _most: u64) -> RunOf {
        let mut run = RunOf::default();
        self.iter().for_each(|record| run.add(record));
        run
    }

    fn take_run(&mut self, count: usize) -> VecDeque<Record> {
        debug_assert!(count <= 1, "there is one");
        Self::take(self).into_iter().collect()
    }

    fn give_back(&mut self, _buffer: VecDeque<Record>) {}
}

/// What came of an append.
pub(crate) struct Appended {
    /// The offset of the first record.
    pub(crate) first: u64,
    pub(crate) count: u64,
    /// Why there are not more, where more were asked for.
    pub(crate) stop: Option<Stop>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    Full(WhenFull),
    TooLarge { size: usize, max: usize },
}

impl Stop {
    /// Whether room will come by itself: when groups have read on, or, where the oldest are dropped, when those on their way
    /// to the disk have arrived and can be.
    pub(crate) fn waits(&self) -> bool {
        matches!(self, Self::Full(WhenFull::Wait | WhenFull::DropOldest))
    }
}

impl Inner {
    /// The offset that every group has acknowledged, if any group has read here.
    #[inline]
    pub(crate) fn floor(&self) -> Option<u64> {
        self.marks.iter().map(|mark| mark.acknowledged).min()
    }

    pub(crate) fn mark(&mut self, group: u64, acknowledged: u64) {
        match self.marks.iter_mut().find(|mark| mark.group == group) {
            Some(mark) => mark.acknowledged = acknowledged,
            None => self.marks.push(Mark {
                group,
                acknowledged,
            }),
        }
    }

    /// Names the member of a group that is told of new records; or nobody.
    pub(crate) fn read_by(&mut self, group: u64, signal: Option<Arc<Notify>>) {
        let others = self.readers.iter().filter(|reader| reader.group != group);
        self.readers = others
            .cloned()
            .chain(signal.map(|signal| Reader { group, signal }))
            .collect();
    }

    /// The largest record that may be appended.
    fn max_size(&self) -> usize {
        let bytes = self.config.max_bytes.unwrap_or(u64::MAX);
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        self.config.max_record_bytes.min(bytes)
    }

    /// Whether the next record of the feed may be appended now. What had to go for it is put into `gone`.
    #[inline]
    fn admit(&mut self, record: &Record, gone: &mut Gone) -> Result<(), Stop> {
        let size = record.size();
        let max = self.max_size();
        if size > max {
            return Err(Stop::TooLarge { size, max });
        }
        let floor = self.floor();
        self.log
            .make_room(size as u64, floor, gone)
            .map_err(|_no_room| Stop::Full(self.config.when_full))
    }
}

impl Partition {
    pub(crate) fn new(log: Log, config: TopicConfig) -> Self {
        Self {
            inner: Mutex::new(Inner {
                log,
                config,
                marks: Vec::new(),
                readers: Arc::new([]),
                #[cfg(feature = "durable")]
                failed: None,
            }),
            #[cfg(feature = "durable")]
            order: Mutex::new(()),
            room: Notify::new(),
        }
    }

    /// No user code may run, and no record be dropped, while the guard lives.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }

    /// Appends up to `most` records of a feed in memory, and tells who reads here.
    pub(crate) fn append(&self, feed: &mut impl Feed, most: u64, time: u64) -> Appended {
        let run = feed.run(most);
        let mut gone = Gone::default();
        let mut inner = self.lock();
        let time = inner.log.not_before(time);
        inner.log.expire(time, &mut gone);
        let mut appended = Appended {
            first: inner.log.next(),
            count: 0,
            stop: None,
        };
        let floor = inner.floor();
        if run.count > 1
            && run.largest <= inner.max_size()
            && inner.log.make_room_for(&run, floor, &mut gone)
        {
            // Most often there is nothing to decide: all go in at once.
            inner.log.append_run(feed.take_run(run.count), &run, time);
            appended.count = run.count as u64;
        }
        while appended.count < most {
            let Some(record) = feed.front() else { break };
            if let Err(stop) = inner.admit(record, &mut gone) {
                appended.stop = Some(stop);
                break;
            }
            let Some(record) = feed.take() else { break };
            inner.log.append(record, time);
            appended.count += 1;
        }
        let readers = (appended.count > 0).then(|| Arc::clone(&inner.readers));
        drop(inner);
        tell(readers.as_deref());
        if let Some(buffer) = gone.into_buffer() {
            feed.give_back(buffer);
        }
        appended
    }

    /// Takes up to `most` records of a feed for the disk: they have offsets, and cannot be read before
    /// [`arrived`](Self::arrived). What had to go for them is to be dropped once `order` is released.
    #[cfg(feature = "durable")]
    pub(crate) fn promise(
        &self,
        topic: &Topic,
        feed: &mut impl Feed,
        most: u64,
        time: u64,
    ) -> (Appended, Vec<Entry>, u64, Gone) {
        let mut gone = Gone::default();
        let mut entries = Vec::new();
        let mut inner = self.lock();
        let time = inner.log.not_before(time);
        inner.log.expire(time, &mut gone);
        let mut appended = Appended {
            first: inner.log.end(),
            count: 0,
            stop: None,
        };
        while appended.count < most {
            let Some(record) = feed.front() else { break };
            if let Err(stop) = inner.admit(record, &mut gone) {
                appended.stop = Some(stop);
                break;
            }
            let Some(mut record) = feed.take() else { break };
            record.topic = topic.clone();
            let fresh = entries.is_empty();
            inner.log.promise(record.size() as u64, time, fresh);
            entries.push(Entry { record, time });
            appended.count += 1;
        }
        let keep_from = inner.log.first();
        drop(inner);
        (appended, entries, keep_from, gone)
    }

    /// Records that were promised will not arrive: nothing behind them ever will.
    #[cfg(feature = "durable")]
    pub(crate) fn failed(&self, error: &Error) {
        self.lock().failed.get_or_insert_with(|| error.clone());
        self.room.notify_waiters();
    }

    /// Whether waiting for room makes sense. It does not where what has to go first can never be stored.
    #[cfg(feature = "durable")]
    pub(crate) fn intact(&self) -> Result<(), Error> {
        self.lock().failed.clone().map_or(Ok(()), Err)
    }

    /// Records that were promised are on the disk: from now on they can be read.
    #[cfg(feature = "durable")]
    pub(crate) fn arrived(&self, entries: Vec<Entry>) {
        let mut gone = Gone::default();
        let mut inner = self.lock();
        inner.log.arrived(entries, &mut gone);
        let readers = Arc::clone(&inner.readers);
        drop(inner);
        // The oldest may be dropped for others now.
        self.room.notify_one();
        tell(Some(&readers));
    }
}

fn tell(readers: Option<&[Reader]>) {
    for reader in readers.into_iter().flatten() {
        reader.signal.notify_waiters();
    }
}
