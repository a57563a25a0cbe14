//! What all handles and the writer share: the queue of operations, and the open file.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use redb::Database;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::fault::Fault;
use super::{Done, Op, Place};
use crate::broker::{Error, Topic};
use crate::sync::{Mutex, lock};

/// An operation, or a request to the writer.
pub(super) enum Job {
    Op(Op),
    Sync(Done),
    Close(Done),
}

impl Job {
    /// About how many bytes it adds to a transaction.
    pub(super) fn weight(&self) -> usize {
        match self {
            Self::Op(Op::Append { entries, .. }) => entries
                .iter()
                .map(|entry| entry.record.size().saturating_add(16))
                .fold(64, usize::saturating_add),
            Self::Op(Op::Mail { key, value, .. }) => {
                value.len().saturating_add(key.len()).saturating_add(64)
            }
            _ => 64,
        }
    }

    /// Tells whoever waits. A panic in there is theirs alone: it has been reported, and others wait too.
    pub(super) fn answer(self, answer: Result<(), Error>) {
        let _ = catch_unwind(AssertUnwindSafe(|| match self {
            Self::Op(Op::Append { entries, done, .. }) => done(answer, entries),
            Self::Op(Op::CreateTopic { done, .. } | Op::CreateBox { done, .. })
            | Self::Sync(done)
            | Self::Close(done) => done(answer),
            Self::Op(
                Op::Trim { done, .. }
                | Op::Commit { done, .. }
                | Op::Mail { done, .. }
                | Op::TrimMail { done, .. },
            ) => {
                if let Some(done) = done {
                    done(answer);
                }
            }
        }));
    }
}

/// Committed positions by group and place, each with its place in the order of submission.
pub(super) type Positions = HashMap<(Arc<str>, Place), (u64, u64)>;

/// What was submitted and is not taken up yet.
#[derive(Default)]
pub(super) struct Queue {
    /// With their places in the order of submission.
    pub(super) jobs: VecDeque<(u64, Job)>,
    /// Positions that nobody waits for.
    pub(super) positions: Positions,
    /// When the first of them came.
    pub(super) positions_since: Option<Instant>,
    /// The last handle is gone.
    pub(super) left: bool,
    /// The writer is gone.
    pub(super) orphaned: bool,
    submitted: u64,
}

pub(super) struct Shared {
    pub(super) path: PathBuf,
    pub(super) queue: Mutex<Queue>,
    pub(super) wake: Notify,
    backlog: AtomicUsize,
    /// Transactions that were committed.
    pub(super) commits: AtomicU64,
    /// `None` once the store is closed.
    pub(super) database: RwLock<Option<Database>>,
    pub(super) topics: RwLock<HashMap<u32, Topic>>,
    boxes: Mutex<HashMap<String, u32>>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("path", &self.path)
            .field("backlog", &self.backlog())
            .finish_non_exhaustive()
    }
}

impl Shared {
    pub(super) fn new(
        path: PathBuf,
        database: Database,
        topics: HashMap<u32, Topic>,
        boxes: HashMap<String, u32>,
    ) -> Self {
        Self {
            path,
            queue: Mutex::default(),
            wake: Notify::new(),
            backlog: AtomicUsize::new(0),
            commits: AtomicU64::new(0),
            database: RwLock::new(Some(database)),
            topics: RwLock::new(topics),
            boxes: Mutex::new(boxes),
        }
    }

    pub(super) fn submit(&self, job: Job) {
        let waited_for = !matches!(job, Job::Op(Op::Commit { done: None, .. }));
        let orphan = {
            let mut queue = lock(&self.queue);
            if queue.orphaned {
                Some(job)
            } else {
                queue.submitted += 1;
                let place_in_line = queue.submitted;
                match job {
                    Job::Op(Op::Commit {
                        group,
                        place,
                        offset,
                        done: None,
                    }) => {
                        queue
                            .positions
                            .insert((group, place), (place_in_line, offset));
                        queue.positions_since.get_or_insert_with(Instant::now);
                    }
                    job => {
                        self.backlog.fetch_add(1, Ordering::Relaxed);
                        queue.jobs.push_back((place_in_line, job));
                    }
                }
                None
            }
        };
        match orphan {
            None => self.wake.notify_one(),
            // Its runtime is gone, and with it the writer. The promise not to answer from within the call still holds.
            Some(job) if waited_for => {
                std::thread::spawn(|| job.answer(Err(Error::Closed { record: None })));
            }
            Some(_) => {}
        }
    }

    pub(super) fn backlog(&self) -> usize {
        self.backlog.load(Ordering::Relaxed)
    }

    /// The writer has settled a job.
    pub(super) fn settled(&self) {
        self.backlog.fetch_sub(1, Ordering::Relaxed);
    }

    /// The last handle is gone.
    pub(super) fn leave(&self) {
        lock(&self.queue).left = true;
        self.wake.notify_one();
    }

    /// The number of a mailbox, and whether it is new.
    pub(super) fn mailbox(&self, name: &str) -> (u32, bool) {
        let mut boxes = lock(&self.boxes);
        if let Some(id) = boxes.get(name) {
            return (*id, false);
        }
        let id = boxes.values().max().map_or(0, |last| last + 1);
        boxes.insert(name.to_owned(), id);
        (id, true)
    }

    /// The database, for as long as `work` runs.
    pub(super) fn with_database<T>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        work(database.as_ref().ok_or(Fault::Closed)?)
    }

    pub(super) fn topic(&self, topic: u32) -> Option<Topic> {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        topics.get(&topic).cloned()
    }

    /// A partition, for those who read an error.
    pub(super) fn name(&self, place: Place) -> String {
        match self.topic(place.0) {
            Some(topic) => format!("partition {} of topic `{topic}`", place.1),
            None => format!("partition {} of topic #{}", place.1, place.0),
        }
    }
}
