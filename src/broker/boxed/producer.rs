//! [`BoxProducer`].

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_sink::Sink;

use crate::broker::{Error, Position, Producer, Record};

use super::Boxed;

/// A producer of any engine, for choosing one at run time.
///
/// Every call costs one allocation more than on the engine's own producer.
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// use pushpull::broker::{BoxProducer, Broker, Error, Producer, Record, TopicConfig};
///
/// let broker = Broker::in_memory();
/// broker.create_topic("orders", TopicConfig::partitions(1)).await.unwrap();
/// let producers = [BoxProducer::new(broker.producer())]; // and those of other engines
/// for producer in &producers {
///     producer.push(Record::new("orders", "two apples")).await.unwrap();
///     let error = producer.push(Record::new("nowhere", "a letter")).await.unwrap_err();
///     assert!(matches!(error, Error::UnknownTopic { .. }));
/// }
/// # }
/// ```
pub struct BoxProducer {
    engine: Pin<Box<dyn Engine>>,
}

impl BoxProducer {
    /// Puts a producer into a box.
    pub fn new<P>(producer: P) -> Self
    where
        P: Producer + Send + Sync + 'static,
    {
        let engine = Box::pin(producer);
        Self { engine }
    }
}

/// What a producer does, in a form that an object can have.
trait Engine: Sink<Record, Error = Error> + Send + Sync {
    fn push_one(&self, record: Record) -> Boxed<'_, Result<Position, Error>>;

    fn push_all<'a>(&'a self, records: &'a mut VecDeque<Record>)
    -> Boxed<'a, Result<usize, Error>>;

    fn sync_all(&self) -> Boxed<'_, Result<(), Error>>;
}

impl<P: Producer + Send + Sync> Engine for P {
    fn push_one(&self, record: Record) -> Boxed<'_, Result<Position, Error>> {
        Box::pin(self.push(record))
    }

    fn push_all<'a>(
        &'a self,
        records: &'a mut VecDeque<Record>,
    ) -> Boxed<'a, Result<usize, Error>> {
        Box::pin(self.push_many(records))
    }

    fn sync_all(&self) -> Boxed<'_, Result<(), Error>> {
        Box::pin(self.sync())
    }
}

impl Producer for BoxProducer {
    fn push(&self, record: Record) -> impl Future<Output = Result<Position, Error>> + Send {
        self.engine.push_one(record)
    }

    async fn push_many(&self, records: &mut VecDeque<Record>) -> Result<usize, Error> {
        self.engine.push_all(records).await
    }

    fn sync(&self) -> impl Future<Output = Result<(), Error>> + Send {
        self.engine.sync_all()
    }
}

impl Sink<Record> for BoxProducer {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.engine.as_mut().poll_ready(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, record: Record) -> Result<(), Error> {
        self.engine.as_mut().start_send(record)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.engine.as_mut().poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.engine.as_mut().poll_close(cx)
    }
}

impl fmt::Debug for BoxProducer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoxProducer").finish_non_exhaustive()
    }
}
