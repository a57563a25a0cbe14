//! What a seat asks of an engine, and what they hand each other.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use crate::broker::{Capabilities, Error, Record, Start, Topic};

use super::{Place, Seat};

/// What a seat asks of an engine.
///
/// No method is called while a lock is held. A future that is dropped halfway must leave the engine able to go on.
pub(crate) trait Engine: Send + Sync + Sized + 'static {
    /// What an arrival is answered by. `()` where single arrivals are not answered.
    type Ticket: Clone + Send + Sync + 'static;

    /// Whether single arrivals are answered: then each comes back in [`Answers::done`]. Else only the committed offset counts.
    const SINGLE: bool;

    fn capabilities(&self) -> Capabilities;

    /// How many partitions the topic has. [`Error::UnknownTopic`] where there is none of that name.
    fn partitions(&self, topic: &Topic) -> impl Future<Output = Result<u32, Error>> + Send;

    /// Sees to it that the dead-letter topic exists; one partition where it has to be created. Asked with each change of the
    /// subscription, so it should be quick when it does.
    fn prepare(&self, dead_letter: &Topic) -> impl Future<Output = Result<(), Error>> + Send;

    /// The subscription is now this; with nothing in it, the engine's group is left. Starts the engine's task where there is
    /// none yet. Partitions of topics that went are taken from the group before this is called; the task still has to
    /// [revoke](Seat::revoke) them.
    ///
    /// Hand it to the task with the first poll, and wait for no more than the caller should: the first assignment, say.
    fn subscribe(
        &self,
        seat: &Arc<Seat<Self>>,
        topics: BTreeMap<Topic, u32>,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// The offset that a start means. [`Error::OffsetOutOfRange`], [`Error::Unsupported`].
    fn resolve(
        &self,
        topic: &Topic,
        partition: u32,
        start: Start,
    ) -> impl Future<Output = Result<u64, Error>> + Send;

    /// From now on only arrivals of this epoch count, beginning at the offset. Never waits: hands it to the task, which tries
    /// until it can or has lost the partition.
    fn seek(&self, place: Place, to: u64, epoch: u64);

    /// There is something for the task: [answers](Seat::answers), [room](Seat::room) where there was none, another
    /// [standing](Seat::standing), or a retired partition of which [nothing is in hand](Seat::in_hand) any more. Never waits,
    /// and may come without need. It comes from whatever calls the seat, also from the task itself: not with a lock of the engine
    /// held that this takes.
    fn nudge(&self);

    /// Takes the seat's [answers](Seat::answers), if the task has not, and waits until they are stored. An error where that is
    /// not so.
    fn stored(&self) -> impl Future<Output = Result<(), Error>> + Send;

    /// The group's committed offset in a partition that is not this seat's.
    fn committed(
        &self,
        topic: &Topic,
        partition: u32,
    ) -> impl Future<Output = Result<Option<u64>, Error>> + Send;

    /// How much of the partition the group has not acknowledged. `low`: the first unacknowledged offset, where the partition is
    /// this seat's.
    fn lag(
        &self,
        topic: &Topic,
        partition: u32,
        low: Option<u64>,
    ) -> impl Future<Output = Result<u64, Error>> + Send;

    /// Pushes a dead letter, and waits until it is stored.
    fn bury(&self, record: Record) -> impl Future<Output = Result<(), Error>> + Send;

    /// Waits until the task has stored the last answers, has left the engine's group and is done. The seat's standing is
    /// [`Left`](Standing::Left) already. Without a task: at once.
    fn leave(&self) -> impl Future<Output = Result<(), Error>> + Send;
}

/// A record from the engine.
#[derive(Clone, Debug)]
pub(crate) struct Arrival<T> {
    /// Offsets grow, with gaps. One that does not is a stray: it is delivered after those that came before it.
    pub(crate) offset: u64,
    /// Its topic need not be set: the seat's own name is cheaper to copy. Payloads of a batch that are slices of one buffer are
    /// cheapest.
    pub(crate) record: Record,
    pub(crate) time: SystemTime,
    /// How often the engine knows it delivered before.
    pub(crate) attempts_before: u32,
    /// Between the arrival before and this one no record of the partition can be missing. Where an engine never repeats and
    /// never leaves out, always true.
    pub(crate) follows: bool,
    pub(crate) ticket: T,
}

/// What the engine has to be told.
#[derive(Debug)]
pub(crate) struct Answers<T> {
    /// Arrivals that are done with, in the order of the answers, with the epoch they belong to; only for engines with
    /// [`SINGLE`](Engine::SINGLE) answers.
    pub(crate) done: Vec<(Place, u64, u64, T)>,
    /// Committed offsets that moved (backwards after a seek), with the epoch they belong to. Each place once.
    pub(crate) committed: Vec<(Place, u64, u64)>,
}

/// What is left of a partition that was revoked.
#[derive(Debug)]
pub(crate) struct Remains<T> {
    /// Done with, and not among the answers that were taken.
    pub(crate) done: Vec<(u64, T)>,
    /// The committed offset, where it moved since the answers were taken.
    pub(crate) committed: Option<u64>,
    /// Neither done with nor to be delivered here, in the order of arrival.
    pub(crate) left: Vec<(u64, T)>,
}

/// How much more of a partition the seat takes. A batch that goes beyond is taken as well.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Room {
    pub(crate) records: usize,
    pub(crate) bytes: usize,
}

/// How the consumer stands in its group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Standing {
    /// It is there, or has not subscribed yet.
    Present,
    /// It was silent for its session timeout. All its partitions are taken from it; the task revokes them and gives them up. It
    /// counts as silent until that is done and something is heard of it.
    Silent,
    /// The consumer is gone, or closed. The task stores the last answers, revokes, leaves the engine's group and ends.
    Left,
}
