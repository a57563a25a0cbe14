//! A consumer's thread: it feeds the seat, commits, and takes and gives up partitions.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::util::Timeout;
use tokio::sync::watch;

use super::commits::Commits;
use super::committer::{self, Job};
use super::handover::Hand;
use super::health::Health;
use super::link::{Link, Order, Reply, Said};
use super::member::Member;
use super::says::Says;
use super::slot::Slot;
use crate::broker::remote::{Place, Seat, Standing};
use crate::broker::{Error, Event};
use crate::kafka::fault;
use crate::kafka::format::Copier;

/// How long the thread waits where nothing tells it to do anything.
const IDLE: Duration = Duration::from_millis(100);
/// How long a question may keep the thread from its other work.
pub(super) const QUESTION: Duration = Duration::from_secs(1);
/// How long others wait for the last commit of a member that is silent.
pub(super) const SOON: Duration = Duration::from_millis(200);
/// How long the last commit may take.
const LAST: Duration = Duration::from_secs(10);
pub(super) const READING: &str = "reading";
const COMMITTING: &str = "committing";

pub(super) struct Driver {
    _closing: Closing,
    pub(super) seat: Arc<Seat<Member>>,
    link: Arc<Link>,
    pub(super) client: Arc<BaseConsumer<Says>>,
    /// Partitions that are read, each from a queue of its own.
    pub(super) slots: Vec<Slot>,
    /// Partitions that were given up for a moment, with the epoch and where reading stood. Most often they come
    /// back.
    pub(super) kept: BTreeMap<Place, (u64, u64)>,
    pub(super) hand: Hand,
    pub(super) commits: Commits,
    committer: mpsc::Sender<Job>,
    /// What is subscribed to, by the seat's word.
    topics: Vec<String>,
    /// The same is subscribed to at the group.
    pub(super) joined: bool,
    /// The group changes because this consumer does.
    pub(super) own: bool,
    /// Who waits for an assignment.
    pub(super) settling: Vec<Reply>,
    pub(super) health: Health,
    pub(super) copier: Copier,
    /// What ended it.
    failed: Option<Error>,
}

/// Starts the thread of a consumer that becomes a member.
pub(super) fn start(
    seat: Arc<Seat<Member>>,
    client: Arc<BaseConsumer<Says>>,
    ended: watch::Sender<Option<Result<(), Error>>>,
) -> Result<(), Error> {
    let link = Arc::clone(&seat.engine().link);
    let committer = committer::start(Arc::clone(&client), Arc::clone(&link))?;
    let driver = Driver {
        _closing: Closing(Arc::downgrade(&client)),
        link,
        seat,
        client,
        slots: Vec::new(),
        kept: BTreeMap::new(),
        hand: Hand::Still,
        commits: Commits::new(),
        committer,
        topics: Vec::new(),
        joined: false,
        own: false,
        settling: Vec::new(),
        health: Health::new(),
        copier: Copier::default(),
        failed: None,
    };
    let worker = thread::Builder::new().name("pushpull-kafka".into());
    let end = End(Arc::clone(&driver.seat));
    let spawned = worker.spawn(move || {
        let _end = end;
        let how = driver.run();
        ended.send_replace(Some(how));
    });
    spawned.map_err(|error| fault::engine("starting a thread", error))?;
    Ok(())
}

/// The end of the thread, whichever it is.
struct End(Arc<Seat<Member>>);

impl Drop for End {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0
                .fail(fault::because(READING, "its thread has panicked"));
        }
        self.0.engine().link.close();
    }
}

/// Where the thread panics, nobody answers any more what the client asks at its end, and waits for.
struct Closing(Weak<BaseConsumer<Says>>);

impl Drop for Closing {
    fn drop(&mut self) {
        if thread::panicking() {
            if let Some(client) = self.0.upgrade() {
                client.context().close();
            }
        }
    }
}

impl Driver {
    fn run(mut self) -> Result<(), Error> {
        loop {
            // Whatever it was about, all of it is looked at.
            self.link.was_nudged();
            let (orders, said) = self.link.take();
            for order in orders {
                self.obey(order);
            }
            for said in said {
                self.hear(said);
            }
            if let Some(error) = self.failed.take() {
                self.settle(&Err(error.clone()));
                self.seat.fail(error);
                return self.leave();
            }
            match self.seat.standing() {
                Standing::Left => return self.leave(),
                Standing::Silent if self.joined => self.step_aside(SOON),
                // A commit that is still on its way would be made in the name of the generation to come.
                Standing::Present
                    if !self.joined && !self.topics.is_empty() && !self.commits.is_on_the_way() =>
                {
                    self.join();
                }
                Standing::Silent | Standing::Present => {}
            }
            let busy = self.feed();
            let now = Instant::now();
            self.step(now);
            self.commit(now);
            self.probe(now);
            if !busy {
                self.link.wait(self.pause(now));
            }
        }
    }

    fn pause(&self, now: Instant) -> Duration {
        let commits = self.commits.due().filter(|_| self.kept.is_empty());
        // Its coming back wakes this thread.
        let waits = self.commits.is_on_the_way();
        let hand = self.hand.due().filter(|&due| due > now || !waits);
        let due = [commits, hand];
        let due = due.into_iter().flatten().min();
        due.map_or(IDLE, |due| due.saturating_duration_since(now).min(IDLE))
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Subscribe(topics, reply) => {
                let same = topics == self.topics && self.joined;
                self.topics = topics;
                if same && self.hand.is_still() && self.kept.is_empty() {
                    drop(reply.send(Ok(())));
                    return;
                }
                self.settling.push(reply);
                if self.topics.is_empty() {
                    self.step_aside(QUESTION);
                    self.settle(&Ok(()));
                } else if !same {
                    self.join();
                }
            }
            Order::Seek { place, to, epoch } => self.seek(place, to, epoch),
            Order::Store(reply) => {
                self.take_answers();
                let until = Instant::now() + self.seat.engine().timeout();
                self.commits.wait(reply, until);
            }
        }
    }

    /// Subscribes at the group, for the first time or to something else.
    fn join(&mut self) {
        let names: Vec<_> = self.topics.iter().map(String::as_str).collect();
        match self.client.subscribe(&names) {
            Ok(()) => {
                self.joined = true;
                self.own = true;
            }
            Err(error) => self.settle(&Err(fault::engine("subscribing", error))),
        }
    }

    pub(super) fn settle(&mut self, how: &Result<(), Error>) {
        for reply in self.settling.drain(..) {
            drop(reply.send(how.clone()));
        }
    }

    /// Gives everything up and leaves the group, for a while.
    pub(super) fn step_aside(&mut self, within: Duration) {
        self.give_up();
        // The group takes no commits of those who have left.
        if let Err(error) = self.finish(Instant::now() + within) {
            self.commits.abandon(&error);
            self.report(error);
        }
        self.clear();
        if self.joined {
            self.client.unsubscribe();
            self.joined = false;
        }
    }

    /// Takes everything from the seat. What it has acknowledged by now is to be committed.
    fn give_up(&mut self) {
        self.take_answers();
        for (place, _) in self.seat.granted() {
            let epoch = self.seat.epoch(place);
            let remains = self.seat.revoke(place);
            if let (Some(committed), Some(_)) = (remains.committed, epoch) {
                self.commits.want(place, committed);
            }
        }
    }

    /// Answers librdkafka, which waits for it, that nothing is read.
    pub(super) fn clear(&mut self) {
        self.slots.clear();
        self.kept.clear();
        self.hand = Hand::Still;
        self.unassign();
    }

    pub(super) fn unassign(&self) {
        if let Err(error) = self.client.unassign() {
            self.report(fault::engine("giving partitions up", error));
        }
    }

    pub(super) fn report(&self, error: Error) {
        self.seat.report(Event::Failed(error));
    }

    fn hear(&mut self, said: Said) {
        match said {
            Said::Assign(partitions) => self.assigned(partitions),
            Said::Revoke { lost } => self.revoked(lost),
            Said::Committed(failed) => self.came_back(failed),
            Said::Trouble(code, reason) => self.trouble(code, reason),
        }
    }

    fn trouble(&mut self, code: RDKafkaErrorCode, reason: String) {
        if fault::is_refusal(code) {
            self.fail(fault::because(READING, format!("{code}: {reason}")));
        } else if code == RDKafkaErrorCode::AllBrokersDown {
            let reason = self.health.down(reason);
            if let Some(reason) = reason {
                self.seat.report(Event::Disconnected { reason });
            }
        } else if code == RDKafkaErrorCode::AutoOffsetReset {
            self.find_ways(&reason);
        } else {
            self.health.hear(&reason);
            self.report(fault::because(READING, format!("{code}: {reason}")));
        }
    }

    pub(super) fn fail(&mut self, error: Error) {
        self.failed.get_or_insert(error);
    }

    /// Looks whether a cluster that was away is back.
    fn probe(&mut self, now: Instant) {
        if !self.health.is_due(now) {
            return;
        }
        let Some(topic) = self.topics.first() else {
            return;
        };
        let soon = Timeout::After(Duration::from_millis(100));
        if self.client.fetch_metadata(Some(topic), soon).is_ok() {
            self.up();
        }
    }

    /// The cluster has answered.
    pub(super) fn up(&mut self) {
        if self.health.up() {
            self.seat.report(Event::Connected);
        }
    }

    /// Takes what is to be committed, as far as it belongs to what is read.
    pub(super) fn take_answers(&mut self) {
        for (place, epoch, offset) in self.seat.answers().committed {
            if self.seat.epoch(place) == Some(epoch) {
                self.commits.want(place, offset);
            }
        }
    }

    /// Commits, if it is time to.
    fn commit(&mut self, now: Instant) {
        if !self.kept.is_empty() {
            // Nobody knows yet whose these are. The group would take offsets of what is somebody else's by now.
            self.commits.give_up(now);
        } else if self.commits.is_due(now) {
            self.take_answers();
            self.commit_now(now);
        }
    }

    pub(super) fn commit_now(&mut self, now: Instant) {
        if self.commits.is_on_the_way() {
            return;
        }
        let offsets = self.commits.take_off(now);
        if offsets.is_empty() {
            return;
        }
        let mut job = Job::new();
        for &(place, offset) in &offsets {
            let topic = self.seat.topic(place);
            job.entry(topic).or_default().push((place, offset));
        }
        if self.committer.send(job).is_err() {
            let gone = RDKafkaErrorCode::Fail;
            let failed = offsets.into_iter().map(|(place, _)| (place, gone));
            self.came_back(failed.collect());
        }
    }

    fn came_back(&mut self, failed: BTreeMap<Place, RDKafkaErrorCode>) {
        let Some(code) = self.commits.landed(&failed, Instant::now()) else {
            self.up();
            return;
        };
        self.report(fault::engine(COMMITTING, code));
        if fault::is_refusal(code) {
            self.fail(fault::engine(COMMITTING, code));
        } else if code == RDKafkaErrorCode::RebalanceInProgress {
            // The group waits for this member no longer than for the others.
            self.hand.hurry();
        } else if is_stale(code) {
            // The group has gone on without this member, which will learn of it in a moment.
            for place in failed.into_keys() {
                self.forget(place);
            }
        }
    }

    /// A partition's offsets cannot be committed any more.
    pub(super) fn forget(&mut self, place: Place) {
        if self.commits.forget(place) {
            let gone = format!(
                "partition {} of `{}` has gone to another member meanwhile; what was not committed is delivered again",
                place.partition,
                self.seat.topic(place),
            );
            self.commits.fail(&fault::because(COMMITTING, gone));
        }
    }

    /// Waits until all is committed.
    fn finish(&mut self, until: Instant) -> Result<(), Error> {
        let how = self.finish_by(until);
        // There may be orders.
        self.link.ring();
        how
    }

    fn finish_by(&mut self, until: Instant) -> Result<(), Error> {
        let mut first = true;
        while !self.commits.is_idle() {
            let now = Instant::now();
            if now >= until {
                let late = KafkaError::ConsumerCommit(RDKafkaErrorCode::OperationTimedOut);
                return Err(fault::engine(COMMITTING, late));
            }
            if first || self.commits.is_due(now) {
                self.commit_now(now);
                first = false;
            }
            drop(self.client.poll(Duration::ZERO));
            for said in self.link.said() {
                // What the group wants is answered by giving everything up.
                match said {
                    Said::Committed(failed) => self.came_back(failed),
                    Said::Trouble(code, reason) => self.trouble(code, reason),
                    Said::Assign(_) | Said::Revoke { .. } => {}
                }
            }
            if let Some(error) = self.failed.clone() {
                return Err(error);
            }
            self.link.wait(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Commits, and leaves the group for good.
    fn leave(mut self) -> Result<(), Error> {
        self.give_up();
        let until = Instant::now() + self.seat.engine().timeout().min(LAST);
        let how = self.finish(until);
        self.clear();
        let Self {
            client, committer, ..
        } = self;
        drop(committer);
        client.context().close();
        // It commits still, or somebody may be asking with it, and would have to wait for its end.
        while Arc::strong_count(&client) > 1 {
            thread::sleep(Duration::from_millis(1));
        }
        how
    }
}

/// Whether a commit failed because the group knows this member no more.
const fn is_stale(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::IllegalGeneration
            | RDKafkaErrorCode::UnknownMemberId
            | RDKafkaErrorCode::FencedInstanceId
    )
}
