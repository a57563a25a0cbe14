//! What every engine's consumer does.

use std::time::Duration;

use futures_core::Stream;

use super::{Acker, Capabilities, Delivery, Error, Events, Position, Start, Topic};

/// Reads topics as a member of a group.
///
/// The partitions of the topics are divided among the members; each record goes to one member of each group. A delivery is
/// to be acknowledged: what is not, is delivered again. How far a group has come in a partition is its *committed* offset:
/// all records before it are acknowledged.
///
/// As a [`Stream`] it yields deliveries, one at a time, for as long as the broker is open. An error in between does not
/// end it.
///
/// What the engine cannot do answers [`Error::Unsupported`], and [`capabilities`](Self::capabilities) says so beforehand.
pub trait Consumer: Stream<Item = Result<Delivery, Error>> {
    /// Subscribes to these topics and to no others. Where reading stood in topics that were known already is kept;
    /// nothing is committed by it.
    ///
    /// # Errors
    /// [`UnknownTopic`](Error::UnknownTopic), and then the subscription is as it was.
    fn subscribe<I>(&self, topics: I) -> impl Future<Output = Result<(), Error>> + Send
    where
        I: IntoIterator + Send,
        I::Item: AsRef<str>;

    /// Subscribes to these topics as well.
    ///
    /// # Errors
    /// [`UnknownTopic`](Error::UnknownTopic), and then the subscription is as it was.
    fn add_topics<I>(&self, topics: I) -> impl Future<Output = Result<(), Error>> + Send
    where
        I: IntoIterator + Send,
        I::Item: AsRef<str>;

    /// Gives up these topics. The group's committed offsets in them stay.
    ///
    /// # Errors
    /// [`NotSubscribed`](Error::NotSubscribed), and then the subscription is as it was.
    fn remove_topics<I>(&self, topics: I) -> impl Future<Output = Result<(), Error>> + Send
    where
        I: IntoIterator + Send,
        I::Item: AsRef<str>;

    /// The topics that this consumer has subscribed to, in alphabetical order.
    fn subscription(&self) -> Vec<Topic>;

    /// The partitions that are this consumer's at the moment, in order. One that is being handed over is among them until that
    /// is done: its deliveries can be acknowledged, and that is all.
    fn assignment(&self) -> Vec<(Topic, u32)>;

    /// Takes up to `max` deliveries. Returns as soon as there is one, or with none when `wait` is over.
    ///
    /// Topics and partitions take turns, so none starves behind a busy one. Without a subscription there is never anything.
    ///
    /// With a `max` of 0 it takes nothing and returns at once, and still counts as a sign of life: a member that cannot
    /// take more for the moment stays in its group by it.
    ///
    /// # Cancel safety
    /// Dropped before it returns, it has taken nothing.
    ///
    /// # Errors
    /// [`Closed`](Error::Closed), or what befell the store. What had been found by then is not lost: it comes with a later call.
    fn poll(
        &self,
        max: usize,
        wait: Duration,
    ) -> impl Future<Output = Result<Vec<Delivery>, Error>> + Send;

    /// Goes on reading a partition elsewhere. It is for this consumer, which must own the partition; deliveries of it
    /// that are not acknowledged yet can no longer be. The committed offset moves with the next acknowledgement, also backwards;
    /// the [lag](Self::lag) counts from the new place at once. If this consumer leaves before that, the next owner goes on where
    /// the group was before the seek.
    ///
    /// # Errors
    /// [`NotSubscribed`](Error::NotSubscribed), [`UnknownPartition`](Error::UnknownPartition),
    /// [`NotAssigned`](Error::NotAssigned), [`OffsetOutOfRange`](Error::OffsetOutOfRange).
    fn seek(
        &self,
        topic: &str,
        partition: u32,
        start: Start,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// The offset that this consumer will read next in a partition of its own.
    ///
    /// # Errors
    /// As [`seek`](Self::seek).
    fn position(&self, topic: &str, partition: u32) -> Result<u64, Error>;

    /// The group's committed offset: the first one that is not acknowledged. `None` before the first commit.
    ///
    /// # Errors
    /// [`NotSubscribed`](Error::NotSubscribed), [`UnknownPartition`](Error::UnknownPartition).
    fn committed(
        &self,
        topic: &str,
        partition: u32,
    ) -> impl Future<Output = Result<Option<u64>, Error>> + Send;

    /// How many offsets lie between the first one that the group has not acknowledged and the end of the partition.
    ///
    /// # Errors
    /// [`NotSubscribed`](Error::NotSubscribed), [`UnknownPartition`](Error::UnknownPartition).
    fn lag(&self, topic: &str, partition: u32) -> impl Future<Output = Result<u64, Error>> + Send;

    /// A handle for acknowledging, for use after an operator took the consumer.
    fn acker(&self) -> Acker;

    /// Says that a delivery is done with. Order does not matter; the committed offset follows when there is no gap before it.
    /// Only the committed offset outlives the process: what was acknowledged behind a gap is delivered again after a restart.
    /// A second answer to a delivery changes nothing.
    ///
    /// # Errors
    /// [`Fenced`](Error::Fenced) where the partition is no longer in these hands. The record is delivered again then.
    fn ack(&self, delivery: &Delivery) -> impl Future<Output = Result<(), Error>> + Send {
        self.acker().ack(delivery)
    }

    /// Says that a delivery failed. It is delivered again, after `delay` where one is given, with `attempt` one higher.
    ///
    /// # Errors
    /// [`Fenced`](Error::Fenced), as [`ack`](Self::ack).
    fn nack(
        &self,
        delivery: &Delivery,
        delay: Option<Duration>,
    ) -> impl Future<Output = Result<(), Error>> + Send {
        self.acker().nack(delivery, delay)
    }

    /// Says that a delivery is still in work: [`ack_wait`](super::ConsumerConfig::ack_wait) begins anew. One that is overdue, and
    /// was not delivered again yet, is taken back. One that has been answered, or is on its way again, stays as it is.
    ///
    /// # Errors
    /// [`Fenced`](Error::Fenced), as [`ack`](Self::ack).
    fn extend(&self, delivery: &Delivery) -> impl Future<Output = Result<(), Error>> + Send {
        self.acker().extend(delivery)
    }

    /// Acknowledges everything that was delivered to this consumer so far and not nacked, and waits until that is stored. After a
    /// seek the place that was sought is committed, also backwards.
    ///
    /// # Errors
    /// What befell the store.
    fn commit(&self) -> impl Future<Output = Result<(), Error>> + Send;

    /// Acknowledges everything in the partition up to and including this position, and waits until that is stored. Where
    /// the group is further already, nothing changes.
    ///
    /// # Errors
    /// [`Fenced`](Error::Fenced) where the partition is not, or no longer, in these hands;
    /// [`NotDelivered`](Error::NotDelivered) for an offset that was not delivered yet.
    fn commit_to(&self, position: &Position) -> impl Future<Output = Result<(), Error>> + Send {
        self.acker().commit_to(position)
    }

    /// Stops delivering from a partition until it is [resumed](Self::resume).
    ///
    /// # Errors
    /// As [`seek`](Self::seek).
    fn pause(&self, topic: &str, partition: u32) -> Result<(), Error>;

    /// Delivers from a partition again.
    ///
    /// # Errors
    /// As [`seek`](Self::seek).
    fn resume(&self, topic: &str, partition: u32) -> Result<(), Error>;

    /// What happens beside the deliveries: assignments, losses, limits, errors that pass.
    fn events(&self) -> Events;

    /// What the engine can do.
    fn capabilities(&self) -> Capabilities;

    /// Leaves the group. Deliveries that are not acknowledged go to the other members.
    ///
    /// # Errors
    /// What befell the store while acknowledgements were written.
    fn close(&self) -> impl Future<Output = Result<(), Error>> + Send;
}
