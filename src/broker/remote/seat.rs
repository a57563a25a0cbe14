//! A consumer's seat: what its handles and the engine's task share.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::broker::{
    ConsumerConfig, Delivery, Error, Event, Events, Position, Settle, Settled, Start, Topic,
    Verdict,
};

use super::{Answers, Arrival, Engine, Place, Remains, Room, Standing};

pub(crate) struct Seat<E: Engine> {
    engine: Arc<E>,
    config: ConsumerConfig,
}

/// For the engine's task.
#[expect(
    unused_variables,
    clippy::todo,
    clippy::ptr_arg,
    reason = "filled next"
)]
impl<E: Engine> Seat<E> {
    pub(crate) fn new(engine: Arc<E>, config: ConsumerConfig) -> Arc<Self> {
        todo!()
    }

    pub(crate) fn engine(&self) -> &Arc<E> {
        &self.engine
    }

    pub(crate) fn config(&self) -> &ConsumerConfig {
        &self.config
    }

    /// The seat's number for a partition, the same for as long as the seat exists.
    pub(crate) fn place(&self, topic: &Topic, partition: u32) -> Place {
        todo!()
    }

    /// The topic's name, which is cheap to copy, of one of the seat's numbers. The partition is [`Place::partition`].
    pub(crate) fn topic(&self, place: Place) -> Topic {
        todo!()
    }

    pub(crate) fn standing(&self) -> Standing {
        todo!()
    }

    /// Makes a partition this consumer's, to be read from `start` on. Returns the epoch of its arrivals, which no other grant or
    /// seek in this process has. One that was granted before is [revoked](Self::revoke) first, by the caller. `None`: the
    /// consumer is [not there](Standing), or has not subscribed to the topic (any more).
    pub(crate) fn grant(&self, place: Place, start: u64, committed: Option<u64>) -> Option<u64> {
        todo!()
    }

    /// The epoch of a partition's arrivals: the last grant's, or the last seek's after it.
    pub(crate) fn epoch(&self, place: Place) -> Option<u64> {
        todo!()
    }

    /// Delivers no more of a partition that is to be revoked. The consumer still answers for what it has.
    pub(crate) fn retire(&self, place: Place) {
        todo!()
    }

    /// Delivers from a partition again that was retired: it stays here after all.
    pub(crate) fn keep(&self, place: Place) {
        todo!()
    }

    /// How many deliveries of a partition are neither answered nor overdue.
    pub(crate) fn in_hand(&self, place: Place) -> usize {
        todo!()
    }

    /// Waits until nothing of these partitions is in hand, no longer than until this moment. For tasks; a thread looks at
    /// [`in_hand`](Self::in_hand) whenever it is nudged.
    pub(crate) async fn drained(&self, places: &[Place], until: Instant) {
        todo!()
    }

    /// Takes a partition from this consumer, with what the engine has to know of it. Later answers are fenced.
    pub(crate) fn revoke(&self, place: Place) -> Remains<E::Ticket> {
        todo!()
    }

    /// All partitions that were granted and not yet revoked, also those that the group has lost by silence, by leaving or by a
    /// change of the subscription (`false`): these are to be revoked.
    pub(crate) fn granted(&self) -> Vec<(Place, bool)> {
        todo!()
    }

    /// Takes what the engine has sent, and leaves the buffer empty. Of another epoch, it is dropped. What is known and not done
    /// with gets the newer ticket; what is done with goes back into the [answers](Self::answers).
    pub(crate) fn arrive(&self, place: Place, epoch: u64, arrivals: &mut Vec<Arrival<E::Ticket>>) {
        todo!()
    }

    /// How much more of a partition may arrive. Where that was nothing, the engine is nudged when it is much again.
    pub(crate) fn room(&self, place: Place) -> Room {
        todo!()
    }

    /// The tickets of everything of a partition that arrived and is not done with, in the order of arrival.
    pub(crate) fn held(&self, place: Place) -> Vec<(u64, E::Ticket)> {
        todo!()
    }

    /// What the engine has to be told since the last call.
    pub(crate) fn answers(&self) -> Answers<E::Ticket> {
        todo!()
    }

    /// Reports something. Never waits: the oldest event makes room.
    pub(crate) fn report(&self, event: Event) {
        todo!()
    }

    /// Nothing works any more: every call answers this error, and the stream ends with it.
    pub(crate) fn fail(&self, error: Error) {
        todo!()
    }

    /// The engine's handle was closed: every call answers [`Error::Closed`], and the standing is [`Standing::Left`].
    pub(crate) fn shut(&self) {
        todo!()
    }
}

/// For the consumer's handles.
#[expect(unused_variables, dead_code, clippy::todo, reason = "filled next")]
impl<E: Engine> Seat<E> {
    pub(crate) async fn subscribe(
        self: &Arc<Self>,
        change: impl FnOnce(&mut BTreeMap<Topic, u32>) -> Result<(), Error> + Send,
    ) -> Result<(), Error> {
        todo!()
    }

    pub(crate) async fn poll(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>, Error> {
        todo!()
    }

    pub(crate) async fn seek(&self, topic: &str, partition: u32, to: Start) -> Result<(), Error> {
        todo!()
    }

    pub(crate) fn events(&self) -> Events {
        todo!()
    }
}

#[expect(clippy::todo, reason = "filled next")]
impl<E: Engine> Settle for Seat<E> {
    fn settle(&self, _position: &Position, _verdict: Verdict) -> Settled {
        todo!()
    }
}
