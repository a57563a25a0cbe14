//! The broker traits on NATS JetStream.

mod connection;
mod consumer;
mod dial;
mod feeds;
mod flight;
mod format;
mod lease;
mod line;
mod options;
mod producer;
mod streams;
mod topic;
mod trouble;

use std::fmt;
use std::sync::Arc;

use crate::broker::{Capabilities, ConsumerConfig, Error, Topic, TopicConfig};

use connection::Connection;
pub use consumer::Consumer;
pub use options::Options;
pub use producer::Producer;

/// The engine's name.
pub(crate) const ENGINE: &str = "NATS";

/// What NATS can do.
pub(crate) const CAPABILITIES: Capabilities = {
    let mut can = Capabilities::none(ENGINE);
    can.durable = true;
    can.seek = true;
    can.seek_time = true;
    can.redelivers = true;
    can.nack_delay = true;
    can.deduplicates = true;
    can.partitions = true;
    can.pauses = true;
    can.lag = true;
    can.retains_records = true;
    can.retains_age = true;
    can.bounds_records = true;
    can.cooperative = true;
    can
};

/// A connection to NATS JetStream. Cheap to clone: all handles share one connection, and one more for what is published.
///
/// A connection that was lost is looked for until it is back, and nothing needs to be made anew: what is asked meanwhile waits
/// for it within the [request timeout](Options::request_timeout), and consumers see it in their events.
///
/// ```no_run
/// # #[tokio::main] async fn main() -> Result<(), pushpull::broker::Error> {
/// use pushpull::broker::{Error, Producer, Record, TopicConfig};
/// use pushpull::nats::{Nats, Options};
///
/// let nats = Nats::connect("nats://localhost:4222", Options::new().name("billing")).await?;
/// nats.create_topic("orders", TopicConfig::partitions(4)).await?; // a stream with the subjects orders.0 to orders.3
/// nats.producer().push(Record::new("orders", "two apples").key("alice").id("order-7")).await?;
///
/// let error = nats.create_topic("orders", TopicConfig::partitions(8)).await.unwrap_err();
/// assert!(matches!(error, Error::TopicExists { partitions: 4, .. }));
/// let error = nats.producer().push(Record::new("nowhere", "a letter")).await.unwrap_err();
/// assert_eq!(error.into_record().unwrap().value, "a letter");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Nats {
    connection: Arc<Connection>,
}

impl Nats {
    /// Connects to a server, `nats://host:port`, or to one of several, with commas between them. Where the options do not say
    /// who connects, `nats://user:password@host` or `nats://token@host` may.
    ///
    /// A connection that is lost later is looked for until it is back. The first one is not: whether a server is there, is
    /// known when this returns.
    ///
    /// # Errors
    /// [`InvalidConfig`](Error::InvalidConfig) for a URL or options that make no sense, [`Engine`](Error::Engine) where
    /// there is no server, where it refuses the credentials, or where it runs without JetStream.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn connect(url: impl AsRef<str>, options: Options) -> Result<Self, Error> {
        let connection = Connection::open(url.as_ref(), options).await?;
        Ok(Self {
            connection: Arc::new(connection),
        })
    }

    /// Creates a topic, as a stream with a subject for each partition. One that exists with as many partitions is given
    /// the new bounds; what is in it stays.
    ///
    /// # Errors
    /// [`InvalidTopic`](Error::InvalidTopic) for a name that NATS cannot have, [`InvalidConfig`](Error::InvalidConfig) for
    /// bounds under which nothing could be kept, [`Unsupported`](Error::Unsupported) for
    /// [`retain_bytes`](TopicConfig::retain_bytes), and for any other [`WhenFull`](crate::broker::WhenFull) than `DropOldest`,
    /// [`TopicExists`](Error::TopicExists) where it has another number of partitions, [`Engine`](Error::Engine) for what the
    /// server or the connection says.
    pub async fn create_topic(
        &self,
        name: impl Into<Topic>,
        config: TopicConfig,
    ) -> Result<(), Error> {
        self.connection.create_topic(&name.into(), config).await
    }

    /// The names of all topics, in alphabetical order. Streams whose subjects are not those of partitions are none.
    ///
    /// # Errors
    /// [`Closed`](Error::Closed), or what befell the connection.
    pub async fn topics(&self) -> Result<Vec<Topic>, Error> {
        self.connection.topics().await
    }

    /// A producer for all topics.
    pub fn producer(&self) -> Producer {
        Producer::new(Arc::clone(&self.connection))
    }

    /// A consumer. It is a member of its group from its first subscription on; whether the settings make sense, is known then.
    pub fn consumer(&self, config: ConsumerConfig) -> Consumer {
        Consumer::new(Arc::clone(&self.connection), config)
    }

    /// What NATS can do.
    pub fn capabilities(&self) -> Capabilities {
        CAPABILITIES
    }

    /// Whether [`close`](Self::close) was called.
    pub fn is_closed(&self) -> bool {
        self.connection.is_closed()
    }

    /// Closes the connection for all its handles, when its consumers have left their groups.
    ///
    /// Pushes and polls answer [`Error::Closed`] from now on, those that wait too, and the streams of consumers end.
    ///
    /// # Errors
    /// [`Engine`](Error::Engine) where the server could not be told within the request timeout. It is closed then, too.
    pub async fn close(&self) -> Result<(), Error> {
        self.connection.close().await
    }
}

impl fmt::Debug for Nats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.connection.client.connection_state();
        f.debug_struct("Nats")
            .field(
                "connected",
                &(state == async_nats::connection::State::Connected),
            )
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}
