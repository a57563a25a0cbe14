//! The broker's traits on Apache Kafka.
//!
//! A program written against [`broker::Producer`](crate::broker::Producer) and [`broker::Consumer`](crate::broker::Consumer)
//! moves from the broker inside the process to a cluster by connecting with [`Kafka::connect`] instead.
//!
//! ```no_run
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), pushpull::broker::Error> {
//! use std::time::Duration;
//! use pushpull::broker::{Consumer, ConsumerConfig, Error, Producer, Record, TopicConfig, WhenFull};
//! use pushpull::kafka::{Kafka, Options};
//!
//! let kafka = Kafka::connect("localhost:9092", Options::new()).await?;
//! kafka.create_topic("orders", TopicConfig::partitions(4)).await?;
//! kafka.producer().push(Record::new("orders", "two apples").key("alice")).await?;
//!
//! let consumer = kafka.consumer(ConsumerConfig::group("billing"));
//! consumer.subscribe(["orders"]).await?;
//! for delivery in consumer.poll(100, Duration::from_secs(1)).await? {
//!     consumer.ack(&delivery).await?;
//! }
//!
//! // What a cluster cannot do, it says.
//! let config = TopicConfig::partitions(1).when_full(WhenFull::Reject);
//! let error = kafka.create_topic("invoices", config).await.unwrap_err();
//! assert!(matches!(error, Error::Unsupported { .. }));
//! # Ok(()) }
//! ```
//!
//! # What is what
//!
//! * A topic is a topic, a partition a partition, a group a consumer group. Keys go to the same partitions as on the other
//!   engines, and as with Kafka's own clients in Java.
//! * A record's [`id`](crate::broker::Record::id) travels in a header named `pushpull-id`, which comes first. Kafka does not
//!   look at it: what was pushed twice is there twice.
//! * Kafka keeps one number for a group and partition: the committed offset. Acknowledgements out of order, refusals, delays
//!   and attempts are kept by the consumer, and go with it. Its successor begins at the committed offset, with first attempts.
//! * When members come and go, all partitions of the group pause for a moment. A member that gives one up first waits, for
//!   no longer than its session timeout, until what was taken from it is answered, and commits.
//!
//! # Connections
//!
//! Each consumer is a client of its own, and all producers of a [`Kafka`] share one. Brokers that are away are called again
//! and again, for ever; what is not acknowledged within the [request timeout](Options::request_timeout) fails. Errors that pass
//! are [events](crate::broker::Event) of the consumers.
//!
//! TLS, and SASL with SCRAM or OAuth, need the feature `kafka-tls`, which builds librdkafka with OpenSSL; [`Options`] shows how
//! to connect then.

mod consumer;
mod fault;
mod format;
mod options;
mod producer;
mod shared;
mod stats;
pub mod testing;
mod topics;

use std::fmt;
use std::sync::Arc;

pub use consumer::Consumer;
pub use options::Options;
pub use producer::Producer;

use crate::broker::{Capabilities, ConsumerConfig, Error, Topic, TopicConfig};
use shared::Shared;
#[cfg(test)]
pub(crate) use shared::capabilities;
use testing::Mock;

/// A connection to a cluster. Cheap to clone.
#[derive(Clone)]
pub struct Kafka {
    shared: Arc<Shared>,
}

impl Kafka {
    /// Connects to the cluster that these brokers belong to: `host:port`, several of them with commas in between.
    ///
    /// Returns when one of them has answered. From then on connections are kept up, or made again, in the background.
    ///
    /// # Errors
    /// [`Engine`](Error::Engine) where none answers within the [request timeout](Options::request_timeout), or where they
    /// refuse; [`InvalidConfig`](Error::InvalidConfig) for options that cannot be.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use std::time::Duration;
    /// use pushpull::kafka::{Kafka, Options};
    ///
    /// let options = Options::new().request_timeout(Duration::from_millis(100));
    /// let error = Kafka::connect("localhost:1", options).await.unwrap_err();
    /// assert!(error.to_string().starts_with("Kafka: connecting failed: no broker of `localhost:1` answered"));
    ///
    /// let options = Options::new().set("acks", "1");
    /// let error = Kafka::connect("localhost:1", options).await.unwrap_err();
    /// assert!(error.to_string().starts_with("the property `acks` cannot be set"));
    /// # }
    /// ```
    pub async fn connect(brokers: impl AsRef<str>, options: Options) -> Result<Self, Error> {
        Self::connect_to(brokers.as_ref().to_owned(), options, None).await
    }

    async fn connect_to(
        brokers: String,
        options: Options,
        mock: Option<Mock>,
    ) -> Result<Self, Error> {
        let shared = Shared::connect(brokers, options, mock).await?;
        Ok(Self { shared })
    }

    /// Creates a topic. One that exists with as many partitions stays as it is.
    ///
    /// Bounds by [bytes](TopicConfig::retain_bytes) and [age](TopicConfig::retain_for) are the brokers' `retention.bytes` and
    /// `retention.ms`; brokers remove whole segments of the log, so more is kept than that. The
    /// [largest record](TopicConfig::max_record_bytes) is for this connection's producers to refuse; brokers bound batches.
    ///
    /// # Errors
    /// [`InvalidTopic`](Error::InvalidTopic) for a name that Kafka does not take, [`InvalidConfig`](Error::InvalidConfig) for
    /// bounds under which nothing could be kept, [`Unsupported`](Error::Unsupported) for bounds that Kafka does not have,
    /// [`TopicExists`](Error::TopicExists) where it has another number of partitions, and what the cluster answers.
    pub async fn create_topic(
        &self,
        name: impl Into<Topic>,
        config: TopicConfig,
    ) -> Result<(), Error> {
        self.shared.create_topic(name.into(), config).await
    }

    /// The names of all topics, in alphabetical order. Kafka's own, which begin with `__`, are not among them.
    ///
    /// # Errors
    /// What the cluster answers.
    pub async fn topics(&self) -> Result<Vec<Topic>, Error> {
        self.shared.names().await
    }

    /// A producer for all topics.
    ///
    /// All producers of this connection share one client. After an error that is fatal to it, the next call makes another one.
    pub fn producer(&self) -> Producer {
        Producer::new(Arc::clone(&self.shared))
    }

    /// A consumer. It becomes a member of its group when it subscribes.
    pub fn consumer(&self, config: ConsumerConfig) -> Consumer {
        Consumer::new(Arc::clone(&self.shared), config)
    }

    /// What this engine can do.
    pub fn capabilities(&self) -> Capabilities {
        self.shared.capabilities()
    }

    /// Whether [`close`](Self::close) was called.
    pub fn is_closed(&self) -> bool {
        self.shared.is_closed()
    }

    /// Closes the connection for all its handles: waits for pushes that are on their way, and lets consumers leave their groups.
    ///
    /// Pushes and polls answer [`Error::Closed`] from now on, and the streams of consumers end.
    ///
    /// # Errors
    /// What befell acknowledgements that were to be written.
    pub async fn close(&self) -> Result<(), Error> {
        self.shared.close().await
    }
}

impl fmt::Debug for Kafka {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kafka")
            .field("brokers", &self.shared.brokers)
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}
