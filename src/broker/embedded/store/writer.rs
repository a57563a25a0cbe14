//! The writer: when a transaction begins, what goes into it, and who is told.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use redb::Durability;
use tokio::time::{Instant, timeout_at};

use super::Op;
use super::backend::Backend;
use super::commit::{Batch, Ledger};
use super::fault::{Fault, guarded};
use super::queue::{Job, Positions, Shared};
use crate::broker::{Error, SyncPolicy};
use crate::sync::lock;

/// Bytes and operations of a transaction at the most: more would only keep the first waiting.
const BYTES: usize = 8 * 1024 * 1024;
const JOBS: usize = 4096;
/// With this many operations waiting, the next transaction begins before those of the last one are told.
const PLENTY: usize = 512;
/// How often the others get to run first, at the most.
const TURNS: usize = 64;
/// How long positions that nobody waits for are held back.
const POSITIONS: Duration = Duration::from_millis(100);
/// What lies in memory without a sync at the most. Under `Every` with a long interval it would be without bound.
const UNSYNCED: usize = 64 * 1024 * 1024;

/// Takes what was submitted and commits it. It is the only one that writes.
pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    backend: Backend,
    policy: SyncPolicy,
    ledger: Ledger,
    /// Taken from the queue, not yet in a transaction.
    jobs: VecDeque<(u64, Job)>,
    positions: Positions,
    /// When the first transaction was acknowledged that is not synced, and about how many bytes there are.
    unsynced: Option<(Instant, usize)>,
    /// Why nothing is written any more.
    stopped: Option<Error>,
    /// Those who are to be told.
    answers: Vec<Answer>,
}

type Answer = (Job, Result<(), Error>);

enum Step {
    Work,
    Wait(Option<Instant>),
    End,
}

/// Drives the writer until the last handle is gone. What touches the disk runs off the runtime's threads; who waits is told
/// on them, where a wake costs no system call.
pub(super) async fn run(mut writer: Writer) {
    let shared = writer.shared.clone();
    let mut answers = Vec::new();
    loop {
        match writer.next() {
            Step::Work => {
                let working = tokio::task::spawn_blocking(move || {
                    writer.work();
                    writer
                });
                tell(&mut answers);
                match working.await {
                    Ok(back) => writer = back,
                    // The runtime is shutting down: the writer has finished in its destructor.
                    Err(_) => return,
                }
                answers = std::mem::take(&mut writer.answers);
                if writer.waiting() < PLENTY {
                    let told = answers.len();
                    tell(&mut answers);
                    gather(&shared, told).await;
                }
            }
            Step::Wait(None) => shared.wake.notified().await,
            Step::Wait(Some(until)) => {
                // Woken or late, it looks again.
                let _ = timeout_at(until, shared.wake.notified()).await;
            }
            Step::End => {
                // Its destructor does what is left to do; if the runtime ends first, there.
                let _ = tokio::task::spawn_blocking(move || drop(writer)).await;
                return;
            }
        }
    }
}

fn tell(answers: &mut Vec<Answer>) {
    for (job, answer) in answers.drain(..) {
        job.answer(answer);
    }
}

/// Lets those run who were just told, as long as they submit more: all of that then shares the next wait for the disk.
async fn gather(shared: &Shared, told: usize) {
    let mut waiting = 0;
    for _ in 0..TURNS {
        tokio::task::yield_now().await;
        let now = lock(&shared.queue).jobs.len();
        if now == waiting || now >= told {
            return;
        }
        waiting = now;
    }
}

impl Writer {
    pub(super) fn new(
        shared: Arc<Shared>,
        backend: Backend,
        policy: SyncPolicy,
        ledger: Ledger,
    ) -> Self {
        Self {
            shared,
            backend,
            policy,
            ledger,
            jobs: VecDeque::new(),
            positions: HashMap::new(),
            unsynced: None,
            stopped: None,
            answers: Vec::new(),
        }
    }

    fn next(&self) -> Step {
        let sync_at = self.sync_at();
        let queue = lock(&self.shared.queue);
        if queue.left && queue.jobs.is_empty() && self.jobs.is_empty() {
            return Step::End;
        }
        if !queue.jobs.is_empty() || !self.jobs.is_empty() {
            return Step::Work;
        }
        let positions_at = queue.positions_since.map(|since| since + POSITIONS);
        match positions_at.into_iter().chain(sync_at).min() {
            Some(at) if at <= Instant::now() => Step::Work,
            until => Step::Wait(until),
        }
    }

    /// When what was acknowledged has to be synced.
    fn sync_at(&self) -> Option<Instant> {
        match (self.policy, self.unsynced) {
            (SyncPolicy::Every(interval), Some((since, _))) => since.checked_add(interval),
            _ => None,
        }
    }

    /// Operations that wait for a transaction.
    fn waiting(&self) -> usize {
        self.jobs.len() + lock(&self.shared.queue).jobs.len()
    }

    /// Commits a transaction's worth.
    fn work(&mut self) {
        self.collect(false);
        let due = self.sync_at().is_some_and(|at| at <= Instant::now());
        self.transaction(due);
    }

    /// Takes over what was submitted.
    fn collect(&mut self, all: bool) {
        let mut queue = lock(&self.shared.queue);
        if self.jobs.is_empty() {
            std::mem::swap(&mut self.jobs, &mut queue.jobs);
        } else {
            self.jobs.append(&mut queue.jobs);
        }
        let late = queue
            .positions_since
            .is_some_and(|since| since + POSITIONS <= Instant::now());
        if (all || late || !self.jobs.is_empty()) && !queue.positions.is_empty() {
            queue.positions_since = None;
            let positions = std::mem::take(&mut queue.positions);
            drop(queue);
            self.positions.extend(positions);
        }
    }

    /// Commits a transaction's worth. Everybody in it is to be told.
    fn transaction(&mut self, due: bool) {
        let mut batch = Batch {
            positions: std::mem::take(&mut self.positions),
            ..Batch::default()
        };
        let (mut bytes, mut sync, mut close) = (0, due, false);
        while let Some((_, job)) = self.jobs.front() {
            bytes += job.weight();
            if !batch.jobs.is_empty() && (bytes > BYTES || batch.jobs.len() == JOBS) {
                break;
            }
            sync |= matches!(job, Job::Sync(_));
            close |= matches!(job, Job::Close(_));
            batch.jobs.extend(self.jobs.pop_front());
            if close {
                break;
            }
        }
        let mut outcome = match &self.stopped {
            Some(error) => Err(error.clone()),
            None => self.commit(&mut batch, bytes, sync || close),
        };
        if let (Err(error), None) = (&outcome, &self.stopped) {
            self.stopped = Some(error.clone());
            self.unsynced = None;
        }
        if close {
            let shut = self.shut();
            outcome = outcome.and(shut);
        }
        batch.rejected.resize(batch.jobs.len(), None);
        for ((_, job), rejected) in batch.jobs.into_iter().zip(batch.rejected) {
            self.shared.settled();
            let answer = match rejected {
                Some(error) if outcome.is_ok() => Err(error),
                _ => outcome.clone(),
            };
            self.answers.push((job, answer));
        }
    }

    fn commit(&mut self, batch: &mut Batch, bytes: usize, sync: bool) -> Result<(), Error> {
        let writes = batch.writes();
        let immediate = match self.policy {
            SyncPolicy::Every(interval) => {
                sync || interval.is_zero() || self.unsynced.is_some_and(|(_, held)| held > UNSYNCED)
            }
            SyncPolicy::Always | SyncPolicy::Os => true,
        };
        // A sync on top of nothing but synced transactions needs no transaction of its own.
        let outcome = if writes || (immediate && self.unsynced.is_some()) {
            let durability = if immediate {
                Durability::Immediate
            } else {
                Durability::None
            };
            guarded(|| {
                self.shared.with_database(|database| {
                    let mut transaction = database.begin_write()?;
                    transaction.set_durability(durability)?;
                    self.ledger.apply(&transaction, batch, &self.shared)?;
                    transaction.commit()?;
                    Ok(())
                })
            })
        } else {
            Ok(())
        };
        outcome.map_err(|fault| fault.told(&self.shared.path, "writing"))?;
        self.learn(batch);
        if writes {
            self.shared.commits.fetch_add(1, Ordering::Relaxed);
        }

        if immediate {
            self.unsynced = None;
        } else if writes {
            let (since, held) = self.unsynced.unwrap_or_else(|| (Instant::now(), 0));
            self.unsynced = Some((since, held.saturating_add(bytes)));
        }
        if sync && self.policy == SyncPolicy::Os {
            self.backend
                .sync()
                .map_err(|error| Fault::from(error).told(&self.shared.path, "syncing"))?;
        }
        Ok(())
    }

    /// Readers know the topics that are committed.
    fn learn(&self, batch: &Batch) {
        for (index, (_, job)) in batch.jobs.iter().enumerate() {
            if let Job::Op(Op::CreateTopic { topic, name, .. }) = job {
                if batch.rejected.get(index).is_none_or(Option::is_none) {
                    self.shared
                        .topics
                        .write()
                        .unwrap_or_else(PoisonError::into_inner)
                        .insert(*topic, name.into());
                }
            }
        }
    }

    /// Gives the file up.
    fn shut(&mut self) -> Result<(), Error> {
        // What the engine writes on its way out is synced under every policy.
        self.backend.idle(false);
        let database = self
            .shared
            .database
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        self.stopped = Some(Error::Closed { record: None });
        guarded(|| {
            drop(database);
            Ok(())
        })
        .map_err(|fault| fault.told(&self.shared.path, "closing"))
    }
}

impl Drop for Writer {
    /// The last handle is gone, or the runtime is: what was submitted is written and synced all the same.
    fn drop(&mut self) {
        loop {
            tell(&mut self.answers);
            self.collect(true);
            if self.jobs.is_empty() {
                break;
            }
            self.transaction(false);
        }
        if self.stopped.is_none() {
            // Nobody is left to be told of a failure here, and nothing was acknowledged since the last one.
            let mut batch = Batch {
                positions: std::mem::take(&mut self.positions),
                ..Batch::default()
            };
            if self.commit(&mut batch, 0, true).is_err() {
                // The file is as the last good sync left it.
            }
        }
        let _ = self.shut();
        let jobs = {
            let mut queue = lock(&self.shared.queue);
            queue.orphaned = true;
            std::mem::take(&mut queue.jobs)
        };
        for (_, job) in jobs {
            self.shared.settled();
            job.answer(Err(Error::Closed { record: None }));
        }
    }
}

impl Batch {
    /// Whether there is anything to write.
    fn writes(&self) -> bool {
        !self.positions.is_empty() || self.jobs.iter().any(|(_, job)| matches!(job, Job::Op(_)))
    }
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}
