//! Acknowledging, apart from the consumer.

use std::fmt;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::{Delivery, Error, Position};

/// Acknowledges deliveries of one consumer, also when an operator has taken the consumer itself. Cheap to clone.
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// use std::time::Duration;
/// use futures::StreamExt;
/// use pushpull::broker::{Broker, Consumer, ConsumerConfig, Producer, Record, TopicConfig};
/// use pushpull::prelude::*;
///
/// let broker = Broker::in_memory();
/// broker.create_topic("letters", TopicConfig::partitions(1)).await.unwrap();
/// broker.producer().push(Record::new("letters", "a")).await.unwrap();
///
/// let consumer = broker.consumer(ConsumerConfig::group("post"));
/// consumer.subscribe(["letters"]).await.unwrap();
/// let acker = consumer.acker();
/// let mut batches = consumer.try_batch(10, Duration::from_secs(1));
/// for delivery in batches.next().await.unwrap().unwrap() {
///     acker.ack(&delivery).await.unwrap();
/// }
/// drop(batches); // leaves the group
/// # }
/// ```
#[derive(Clone)]
pub struct Acker {
    engine: Arc<dyn Settle>,
}

impl Acker {
    /// An acker over an engine's way to settle; for those who implement one.
    pub fn new(engine: Arc<dyn Settle>) -> Self {
        Self { engine }
    }

    /// Says that a delivery is done with. See [`Consumer::ack`](super::Consumer::ack).
    pub fn ack(&self, delivery: &Delivery) -> Settled {
        self.engine.settle(&delivery.position, Verdict::Ack)
    }

    /// Says that a delivery failed. See [`Consumer::nack`](super::Consumer::nack).
    pub fn nack(&self, delivery: &Delivery, delay: Option<Duration>) -> Settled {
        let reason = None;
        self.engine
            .settle(&delivery.position, Verdict::Nack { delay, reason })
    }

    /// Like [`nack`](Self::nack), with a reason that goes into the headers where this was the last attempt.
    pub fn nack_because(
        &self,
        delivery: &Delivery,
        delay: Option<Duration>,
        reason: impl Into<String>,
    ) -> Settled {
        let reason = Some(reason.into());
        self.engine
            .settle(&delivery.position, Verdict::Nack { delay, reason })
    }

    /// Says that a delivery is still in work. See [`Consumer::extend`](super::Consumer::extend).
    pub fn extend(&self, delivery: &Delivery) -> Settled {
        self.engine.settle(&delivery.position, Verdict::Extend)
    }

    /// Acknowledges up to and including a position. See [`Consumer::commit_to`](super::Consumer::commit_to).
    pub fn commit_to(&self, position: &Position) -> Settled {
        self.engine.settle(position, Verdict::CommitTo)
    }

    /// Settles by position, where the delivery itself has gone to a handler.
    pub(crate) fn settle(&self, position: &Position, verdict: Verdict) -> Settled {
        self.engine.settle(position, verdict)
    }
}

impl fmt::Debug for Acker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acker").finish_non_exhaustive()
    }
}

/// How an engine settles deliveries; for those who implement one.
pub trait Settle: Send + Sync {
    /// Settles the delivery at this position.
    fn settle(&self, position: &Position, verdict: Verdict) -> Settled;
}

/// What is to become of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// It is done with.
    Ack,
    /// It is to be delivered again.
    Nack {
        /// Not before this time has passed.
        delay: Option<Duration>,
        /// Why it failed.
        reason: Option<String>,
    },
    /// It is still in work, and the time for its answer begins anew.
    Extend,
    /// It is done with, and so is everything before it in its partition.
    CommitTo,
}

/// The future of an acknowledgement. The acknowledgement itself happens when it is polled for the first time, if not before.
#[must_use = "futures do nothing unless polled"]
pub struct Settled(Way);

enum Way {
    Now(Ready<Result<(), Error>>),
    Later(Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>),
}

impl Settled {
    /// One that is settled already.
    pub fn now(result: Result<(), Error>) -> Self {
        Self(Way::Now(ready(result)))
    }

    /// One that takes time.
    pub fn later(future: impl Future<Output = Result<(), Error>> + Send + 'static) -> Self {
        Self(Way::Later(Box::pin(future)))
    }
}

impl Future for Settled {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Way::Now(result) => Pin::new(result).poll(cx),
            Way::Later(future) => future.as_mut().poll(cx),
        }
    }
}

impl fmt::Debug for Settled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settled").finish_non_exhaustive()
    }
}
