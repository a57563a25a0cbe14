//! The consumer of the embedded broker.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use futures_core::stream::FusedStream;

use crate::broker::check::names;
use crate::broker::deliveries::{Deliveries, Polling};
use crate::broker::{
    Acker, Capabilities, ConsumerConfig, Delivery, Error, Events, Position, Settle, Settled, Start,
    Topic, Verdict,
};

use super::seat::Seat;
use super::shared::Shared;

/// Reads topics of a [`Broker`](super::Broker) as a member of a group.
///
/// Dropping it leaves the group: the other members take over at once, and get what it had not acknowledged.
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// use std::time::Duration;
/// use pushpull::broker::{Broker, Consumer, ConsumerConfig, Error, Producer, Record, Start, TopicConfig};
///
/// let broker = Broker::in_memory();
/// broker.create_topic("jobs", TopicConfig::partitions(1)).await.unwrap();
/// for job in ["a", "b"] {
///     broker.producer().push(Record::new("jobs", job)).await.unwrap();
/// }
/// let worker = broker.consumer(ConsumerConfig::group("workers").ack_wait(Duration::from_secs(5)));
/// worker.subscribe(["jobs"]).await.unwrap();
///
/// let taken = worker.poll(10, Duration::ZERO).await.unwrap();
/// worker.ack(&taken[1]).await.unwrap(); // done out of order
/// assert_eq!(worker.committed("jobs", 0).await.unwrap(), None);
///
/// // The other one was forgotten: it comes again.
/// let again = worker.poll(10, Duration::from_secs(60)).await.unwrap();
/// assert_eq!((again[0].record.value.as_ref(), again[0].attempt), (&b"a"[..], 2));
/// worker.ack(&again[0]).await.unwrap();
/// assert_eq!(worker.committed("jobs", 0).await.unwrap(), Some(2));
///
/// // What was delivered before a seek cannot be acknowledged after it.
/// worker.seek("jobs", 0, Start::Earliest).await.unwrap();
/// assert!(matches!(worker.ack(&again[0]).await, Err(Error::Fenced { .. })));
/// # }
/// ```
pub struct Consumer {
    seat: Arc<Seat>,
    deliveries: Deliveries,
}

impl Consumer {
    pub(crate) fn new(shared: Arc<Shared>, config: ConsumerConfig) -> Self {
        Self {
            seat: Arc::new(Seat::new(shared, config)),
            deliveries: Deliveries::default(),
        }
    }

    /// Reads these topics: only these, or also these.
    async fn read(&self, names: Vec<Topic>, only: bool) -> Result<(), Error> {
        let shared = &self.seat.shared;
        let change = |topics: &mut BTreeMap<_, _>| {
            if only {
                topics.clear();
            }
            for name in names {
                let topic = shared.find(&name)?;
                topics.insert(name, topic);
            }
            Ok(())
        };
        self.seat.subscribe(change).await
    }
}

impl crate::broker::Consumer for Consumer {
    fn subscribe<I>(&self, topics: I) -> impl Future<Output = Result<(), Error>> + Send
    where
        I: IntoIterator + Send,
        I::Item: AsRef<str>,
    {
        self.read(names(topics), true)
    }

    fn add_topics<I>(&self, topics: I) -> impl Future<Output = Result<(), Error>> + Send
    where
        I: IntoIterator + Send,
        I::Item: AsRef<str>,
    {
        self.read(names(topics), false)
    }

    fn remove_topics<I>(&self, topics: I) -> impl Future<Output = Result<(), Error>> + Send
    where
        I: IntoIterator + Send,
        I::Item: AsRef<str>,
    {
        let names = names(topics);
        self.seat.subscribe(move |topics| {
            for name in names {
                if topics.remove(&name).is_none() {
                    return Err(Error::NotSubscribed { topic: name });
                }
            }
            Ok(())
        })
    }

    fn subscription(&self) -> Vec<Topic> {
        self.seat.subscription()
    }

    fn assignment(&self) -> Vec<(Topic, u32)> {
        self.seat.assignment()
    }

    fn poll(
        &self,
        max: usize,
        wait: Duration,
    ) -> impl Future<Output = Result<Vec<Delivery>, Error>> + Send {
        self.seat.poll(max, wait)
    }

    fn seek(
        &self,
        topic: &str,
        partition: u32,
        start: Start,
    ) -> impl Future<Output = Result<(), Error>> + Send {
        self.seat.seek(topic, partition, start)
    }

    fn position(&self, topic: &str, partition: u32) -> Result<u64, Error> {
        self.seat.position(topic, partition)
    }

    async fn committed(&self, topic: &str, partition: u32) -> Result<Option<u64>, Error> {
        let (_topic, place) = self.seat.place(topic, partition)?;
        Ok(self.seat.group.look(|group| group.committed(place)))
    }

    async fn lag(&self, topic: &str, partition: u32) -> Result<u64, Error> {
        self.seat.lag(topic, partition)
    }

    fn acker(&self) -> Acker {
        Acker::new(Arc::clone(&self.seat) as Arc<dyn Settle>)
    }

    fn ack(&self, delivery: &Delivery) -> impl Future<Output = Result<(), Error>> + Send {
        self.seat.settle(&delivery.position, Verdict::Ack)
    }

    fn commit(&self) -> impl Future<Output = Result<(), Error>> + Send {
        self.seat.commit()
    }

    fn pause(&self, topic: &str, partition: u32) -> Result<(), Error> {
        self.seat.pause(topic, partition, true)
    }

    fn resume(&self, topic: &str, partition: u32) -> Result<(), Error> {
        self.seat.pause(topic, partition, false)
    }

    fn events(&self) -> Events {
        self.seat.member.events.clone()
    }

    fn capabilities(&self) -> Capabilities {
        self.seat.shared.capabilities()
    }

    async fn close(&self) -> Result<(), Error> {
        self.seat.close().await
    }
}

impl Settle for Seat {
    fn settle(&self, position: &Position, verdict: Verdict) -> Settled {
        Self::settle(self, position, verdict)
    }
}

impl Stream for Consumer {
    type Item = Result<Delivery, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let seat = &this.seat;
        let poll = || -> Polling {
            let seat = Arc::clone(seat);
            Box::pin(async move { seat.poll(1, Duration::MAX).await })
        };
        this.deliveries.poll_next(cx, || seat.take_one(), poll)
    }
}

impl FusedStream for Consumer {
    fn is_terminated(&self) -> bool {
        self.seat.has_left() || self.seat.shared.is_closed()
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.deliveries.clear();
        self.seat.leave();
    }
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer")
            .field("group", &self.seat.group.name)
            .field("assignment", &self.seat.assignment())
            .finish_non_exhaustive()
    }
}
