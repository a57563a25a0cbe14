//! [`BoxConsumer`].

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;

use crate::broker::{
    Acker, Capabilities, Consumer, Delivery, Error, Events, Position, Start, Topic,
};

use super::Boxed;

/// A consumer of any engine, for choosing one at run time.
///
/// Every call that waits costs one allocation more than on the engine's own consumer.
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// use std::time::Duration;
/// use pushpull::broker::{BoxConsumer, Broker, Consumer, ConsumerConfig, TopicConfig};
///
/// let broker = Broker::in_memory();
/// broker.create_topic("orders", TopicConfig::partitions(1)).await.unwrap();
/// let consumer = BoxConsumer::new(broker.consumer(ConsumerConfig::group("billing")));
/// consumer.subscribe(["orders"]).await.unwrap();
/// assert!(consumer.poll(10, Duration::from_secs(1)).await.unwrap().is_empty());
/// assert!(consumer.add_topics(["invoices"]).await.is_err());
/// # }
/// ```
pub struct BoxConsumer {
    engine: Pin<Box<dyn Engine>>,
}

impl BoxConsumer {
    /// Puts a consumer into a box.
    pub fn new<C>(consumer: C) -> Self
    where
        C: Consumer + Send + Sync + 'static,
    {
        let engine = Box::pin(consumer);
        Self { engine }
    }
}

#[derive(Clone, Copy)]
enum Change {
    Replace,
    Add,
    Remove,
}

type Answer<'a> = Boxed<'a, Result<(), Error>>;

/// What a consumer does, in a form that an object can have. What waits for nothing has the name that it has there.
trait Engine: Stream<Item = Result<Delivery, Error>> + Send + Sync {
    fn change(&self, change: Change, topics: Vec<String>) -> Answer<'_>;
    fn take(&self, max: usize, wait: Duration) -> Boxed<'_, Result<Vec<Delivery>, Error>>;
    fn go_to<'a>(&'a self, topic: &'a str, partition: u32, start: Start) -> Answer<'a>;
    fn committed_in<'a>(
        &'a self,
        topic: &'a str,
        partition: u32,
    ) -> Boxed<'a, Result<Option<u64>, Error>>;
    fn lag_in<'a>(&'a self, topic: &'a str, partition: u32) -> Boxed<'a, Result<u64, Error>>;
    fn done<'a>(&'a self, delivery: &'a Delivery) -> Answer<'a>;
    fn failed<'a>(&'a self, delivery: &'a Delivery, delay: Option<Duration>) -> Answer<'a>;
    fn commit_all(&self) -> Answer<'_>;
    fn commit_up_to<'a>(&'a self, position: &'a Position) -> Answer<'a>;
    fn leave(&self) -> Answer<'_>;

    fn subscription(&self) -> Vec<Topic>;
    fn assignment(&self) -> Vec<(Topic, u32)>;
    fn position(&self, topic: &str, partition: u32) -> Result<u64, Error>;
    fn pause(&self, topic: &str, partition: u32) -> Result<(), Error>;
    fn resume(&self, topic: &str, partition: u32) -> Result<(), Error>;
    fn acker(&self) -> Acker;
    fn events(&self) -> Events;
    fn capabilities(&self) -> Capabilities;
}

impl<C: Consumer + Send + Sync> Engine for C {
    fn change(&self, change: Change, topics: Vec<String>) -> Answer<'_> {
        match change {
            Change::Replace => Box::pin(self.subscribe(topics)),
            Change::Add => Box::pin(self.add_topics(topics)),
            Change::Remove => Box::pin(self.remove_topics(topics)),
        }
    }

    fn take(&self, max: usize, wait: Duration) -> Boxed<'_, Result<Vec<Delivery>, Error>> {
        Box::pin(self.poll(max, wait))
    }

    fn go_to<'a>(&'a self, topic: &'a str, partition: u32, start: Start) -> Answer<'a> {
        Box::pin(self.seek(topic, partition, start))
    }

    fn committed_in<'a>(
        &'a self,
        topic: &'a str,
        partition: u32,
    ) -> Boxed<'a, Result<Option<u64>, Error>> {
        Box::pin(self.committed(topic, partition))
    }

    fn lag_in<'a>(&'a self, topic: &'a str, partition: u32) -> Boxed<'a, Result<u64, Error>> {
        Box::pin(self.lag(topic, partition))
    }

    fn done<'a>(&'a self, delivery: &'a Delivery) -> Answer<'a> {
        Box::pin(self.ack(delivery))
    }

    fn failed<'a>(&'a self, delivery: &'a Delivery, delay: Option<Duration>) -> Answer<'a> {
        Box::pin(self.nack(delivery, delay))
    }

    fn commit_all(&self) -> Answer<'_> {
        Box::pin(self.commit())
    }

    fn commit_up_to<'a>(&'a self, position: &'a Position) -> Answer<'a> {
        Box::pin(self.commit_to(position))
    }

    fn leave(&self) -> Answer<'_> {
        Box::pin(self.close())
    }

    fn subscription(&self) -> Vec<Topic> {
        Consumer::subscription(self)
    }

    fn assignment(&self) -> Vec<(Topic, u32)> {
        Consumer::assignment(self)
    }

    fn position(&self, topic: &str, partition: u32) -> Result<u64, Error> {
        Consumer::position(self, topic, partition)
    }

    fn pause(&self, topic: &str, partition: u32) -> Result<(), Error> {
        Consumer::pause(self, topic, partition)
    }

    fn resume(&self, topic: &str, partition: u32) -> Result<(), Error> {
        Consumer::resume(self, topic, partition)
    }

    fn acker(&self) -> Acker {
        Consumer::acker(self)
    }

    fn events(&self) -> Events {
        Consumer::events(self)
    }

    fn capabilities(&self) -> Capabilities {
        Consumer::capabilities(self)
    }
}

fn names<I>(topics: I) -> Vec<String>
where
    I: IntoIterator,
    I::Item: AsRef<str>,
{
    let name = |topic: I::Item| topic.as_ref().to_owned();
    topics.into_iter().map(name).collect()
}

impl Consumer for BoxConsumer {
    fn subscribe<I>(&self, topics: I) -> impl Future<Output = Result<(), Error>> + Send
    where
        I: IntoIterator + Send,
        I::Item: AsRef<str>,
    {
        self.engine.change(Change::Replace, names(topics))
    }

    fn add_topics<I>(&self, topics: I) -> impl Future<Output = Result<(), Error>> + Send
    where
        I: IntoIterator + Send,
        I::Item: AsRef<str>,
    {
        self.engine.change(Change::Add, names(topics))
    }

    fn remove_topics<I>(&self, topics: I) -> impl Future<Output = Result<(), Error>> + Send
    where
        I: IntoIterator + Send,
        I::Item: AsRef<str>,
    {
        self.engine.change(Change::Remove, names(topics))
    }

    fn subscription(&self) -> Vec<Topic> {
        self.engine.subscription()
    }

    fn assignment(&self) -> Vec<(Topic, u32)> {
        self.engine.assignment()
    }

    fn poll(
        &self,
        max: usize,
        wait: Duration,
    ) -> impl Future<Output = Result<Vec<Delivery>, Error>> + Send {
        self.engine.take(max, wait)
    }

    async fn seek(&self, topic: &str, partition: u32, start: Start) -> Result<(), Error> {
        self.engine.go_to(topic, partition, start).await
    }

    fn position(&self, topic: &str, partition: u32) -> Result<u64, Error> {
        self.engine.position(topic, partition)
    }

    async fn committed(&self, topic: &str, partition: u32) -> Result<Option<u64>, Error> {
        self.engine.committed_in(topic, partition).await
    }

    async fn lag(&self, topic: &str, partition: u32) -> Result<u64, Error> {
        self.engine.lag_in(topic, partition).await
    }

    fn acker(&self) -> Acker {
        self.engine.acker()
    }

    async fn ack(&self, delivery: &Delivery) -> Result<(), Error> {
        self.engine.done(delivery).await
    }

    async fn nack(&self, delivery: &Delivery, delay: Option<Duration>) -> Result<(), Error> {
        self.engine.failed(delivery, delay).await
    }

    fn commit(&self) -> impl Future<Output = Result<(), Error>> + Send {
        self.engine.commit_all()
    }

    async fn commit_to(&self, position: &Position) -> Result<(), Error> {
        self.engine.commit_up_to(position).await
    }

    fn pause(&self, topic: &str, partition: u32) -> Result<(), Error> {
        self.engine.pause(topic, partition)
    }

    fn resume(&self, topic: &str, partition: u32) -> Result<(), Error> {
        self.engine.resume(topic, partition)
    }

    fn events(&self) -> Events {
        self.engine.events()
    }

    fn capabilities(&self) -> Capabilities {
        self.engine.capabilities()
    }

    fn close(&self) -> impl Future<Output = Result<(), Error>> + Send {
        self.engine.leave()
    }
}

impl Stream for BoxConsumer {
    type Item = Result<Delivery, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.engine.as_mut().poll_next(cx)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.engine.size_hint()
    }
}

impl fmt::Debug for BoxConsumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoxConsumer")
            .field("engine", &self.engine.capabilities().engine)
            .field("subscription", &self.engine.subscription())
            .finish_non_exhaustive()
    }
}
