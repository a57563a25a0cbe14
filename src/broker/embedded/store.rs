//! The durable store: topics, runs of records, committed positions and mail in one file of `redb`.
//!
//! Everything goes through one writer, which puts what has come in since its last commit into the next transaction: many
//! pushes share one wait for the disk. Nothing is reported as stored before its transaction is committed.

mod backend;
mod codec;
mod commit;
mod fault;
mod mail;
mod open;
mod queue;
mod read;
mod rows;
mod run;
#[cfg(test)]
mod tests;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use tokio::sync::oneshot;

use self::queue::{Job, Shared};
use super::entry::Entry;
use super::log::Run;
use crate::broker::{Error, SyncPolicy, TopicConfig};

pub(crate) use self::{mail::Mail, rows::MailBounds};

/// The number of a topic, and a partition of it.
pub(crate) type Place = (u32, u32);

/// Called once the operation is committed, or is known not to be. It runs on the writer's thread: it must be short and
/// may not block.
pub(crate) type Done = Box<dyn FnOnce(Result<(), Error>) + Send>;

/// Like [`Done`], with the entries back.
pub(crate) type AppendDone = Box<dyn FnOnce(Result<(), Error>, Vec<Entry>) + Send>;

/// A store that is open. Clones are the same store; when the last one is dropped, what was submitted is still written and
/// synced.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    handle: Arc<Handle>,
}

#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.leave();
    }
}

/// Something to be stored.
pub(crate) enum Op {
    /// A topic and its partitions, empty; or new bounds for one that is there.
    CreateTopic {
        topic: u32,
        name: String,
        config: TopicConfig,
        done: Done,
    },
    /// Records behind those that a partition has.
    Append {
        place: Place,
        /// The offset of the first.
        base: u64,
        entries: Vec<Entry>,
        /// Records below this offset are not retained.
        keep_from: u64,
        done: AppendDone,
    },
    /// Records below this offset are not retained.
    Trim {
        place: Place,
        keep_from: u64,
        done: Option<Done>,
    },
    /// How far a group has come. Without `done` it is written along with something else, or after a short while.
    Commit {
        group: Arc<str>,
        place: Place,
        offset: u64,
        done: Option<Done>,
    },
    /// A message for a key of a mailbox, with a sequence number above all that the key had.
    Mail {
        box_id: u32,
        key: Bytes,
        seq: u64,
        value: Bytes,
        /// Microseconds since the Unix epoch.
        time: u64,
        /// Messages of the key below this sequence number are not retained. Above `seq`, only the number is stored.
        keep_from: u64,
        done: Option<Done>,
    },
    /// Messages of a key below this sequence number are not retained.
    TrimMail {
        box_id: u32,
        key: Bytes,
        keep_from: u64,
        done: Option<Done>,
    },
    /// A mailbox. [`Store::mailbox`] picks the number.
    CreateBox {
        box_id: u32,
        name: String,
        done: Done,
    },
}

/// What was found when a store was opened.
#[derive(Debug, Default)]
pub(crate) struct Recovered {
    pub(crate) topics: Vec<RecoveredTopic>,
    pub(crate) groups: Vec<RecoveredGroup>,
}

#[derive(Debug)]
pub(crate) struct RecoveredTopic {
    pub(crate) topic: u32,
    pub(crate) name: String,
    pub(crate) config: TopicConfig,
    /// By number.
    pub(crate) partitions: Vec<RecoveredPartition>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecoveredPartition {
    /// The oldest offset that is retained; `next` if none is.
    pub(crate) first: u64,
    pub(crate) next: u64,
    pub(crate) records: u64,
    /// As [`Record::size`](crate::broker::Record::size) counts them.
    pub(crate) bytes: u64,
    /// The time of the newest record there ever was, in microseconds since the Unix epoch; 0 without one. Times of a
    /// partition should not go back, or [`Store::find_time`] finds some offset near it.
    pub(crate) time: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RecoveredGroup {
    pub(crate) group: String,
    pub(crate) place: Place,
    pub(crate) committed: u64,
}

impl Store {
    /// Opens the store in this directory, or makes one. The writer runs on the runtime of the caller.
    pub(crate) async fn open(dir: &Path, policy: SyncPolicy) -> Result<(Self, Recovered), Error> {
        let dir = dir.to_path_buf();
        let opened = tokio::task::spawn_blocking(move || open::directory(&dir, policy)).await;
        let (writer, recovered) = opened.map_err(|_| Error::Closed { record: None })??;
        Ok((Self::start(writer), recovered))
    }

    fn start(writer: writer::Writer) -> Self {
        let shared = writer.shared.clone();
        tokio::spawn(writer::run(writer));
        Self {
            handle: Arc::new(Handle { shared }),
        }
    }

    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.shared().path
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.handle.shared
    }

    /// Hands an operation over. Operations are applied in this order, and their `done` is called in this order, never from
    /// within this call.
    pub(crate) fn submit(&self, op: Op) {
        self.shared().submit(Job::Op(op));
    }

    /// Operations that are not committed yet; positions that nobody waits for do not count.
    pub(crate) fn backlog(&self) -> usize {
        self.shared().backlog()
    }

    /// Transactions that were committed.
    pub(crate) fn commits(&self) -> u64 {
        self.shared().commits.load(Ordering::Relaxed)
    }

    /// Waits until everything submitted before is committed and synced, whatever the policy.
    pub(crate) async fn sync(&self) -> Result<(), Error> {
        self.wait(Job::Sync).await
    }

    /// Writes and syncs everything submitted before and gives the directory up. Later operations answer
    /// [`Error::Closed`].
    pub(crate) async fn close(&self) -> Result<(), Error> {
        match self.wait(Job::Close).await {
            Err(Error::Closed { .. }) => Ok(()),
            other => other,
        }
    }

    /// The number of the mailbox of this name, which is made if there is none.
    pub(crate) async fn mailbox(&self, name: &str) -> Result<u32, Error> {
        let (box_id, made) = self.shared().mailbox(name);
        if made {
            let name = name.to_owned();
            let made = self.wait(|done| {
                Job::Op(Op::CreateBox {
                    box_id,
                    name: name.clone(),
                    done,
                })
            });
            made.await?;
        }
        Ok(box_id)
    }

    async fn wait(&self, job: impl FnOnce(Done) -> Job) -> Result<(), Error> {
        let (sender, receiver) = oneshot::channel();
        let done = Box::new(move |answer| {
            // Whoever waited may have gone.
            let _ = sender.send(answer);
        });
        self.shared().submit(job(done));
        receiver
            .await
            .unwrap_or(Err(Error::Closed { record: None }))
    }

    /// Runs what reads, off the runtime's threads.
    async fn reading<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Shared) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let shared = self.shared().clone();
        tokio::task::spawn_blocking(move || read(&shared))
            .await
            .unwrap_or(Err(Error::Closed { record: None }))
    }

    /// Committed records at this offset and above, in order: at most `max_records`, and at most `max_bytes` as they are
    /// stored, but one in any case if there is one.
    pub(crate) async fn read(
        &self,
        place: Place,
        from: u64,
        max_records: usize,
        max_bytes: usize,
    ) -> Result<Vec<(u64, Entry)>, Error> {
        self.reading(move |shared| read::records(shared, place, from, max_records, max_bytes))
            .await
    }

    /// What was written together in a partition, oldest first.
    pub(crate) async fn runs(&self, place: Place) -> Result<Vec<Run>, Error> {
        self.reading(move |shared| read::runs(shared, place)).await
    }

    /// The first offset that was taken at this time or later, in microseconds since the Unix epoch.
    pub(crate) async fn find_time(&self, place: Place, time: u64) -> Result<Option<u64>, Error> {
        self.reading(move |shared| read::find_time(shared, place, time))
            .await
    }

    /// The bounds of a key's mail, if it ever had any.
    pub(crate) async fn mail_bounds(
        &self,
        box_id: u32,
        key: Bytes,
    ) -> Result<Option<MailBounds>, Error> {
        self.reading(move |shared| mail::bounds(shared, box_id, &key))
            .await
    }

    /// A key's messages with sequence numbers above `after`, in order, at most `limit`.
    pub(crate) async fn mail_after(
        &self,
        box_id: u32,
        key: Bytes,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Mail>, Error> {
        self.reading(move |shared| mail::after(shared, box_id, &key, after, limit))
            .await
    }
}
