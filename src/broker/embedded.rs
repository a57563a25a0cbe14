//! The broker inside the process: in memory or on disk.

mod answers;
mod bury;
mod clock;
mod consumer;
mod coordinator;
#[cfg(feature = "durable")]
mod disk;
mod entry;
mod log;
#[cfg(feature = "durable")]
mod mailbox;
mod offer;
mod partition;
mod producer;
mod seat;
mod shared;
mod stats;
#[cfg(feature = "durable")]
mod store;
mod take;
mod topic;

use std::fmt;
#[cfg(feature = "durable")]
use std::path::Path;
use std::sync::Arc;

pub use consumer::Consumer;
#[cfg(feature = "durable")]
#[cfg_attr(docsrs, doc(cfg(feature = "durable")))]
pub use mailbox::{DiskMailbox, Letter};
pub use producer::Producer;
pub use stats::{BrokerStats, GroupStats, TopicStats};

#[cfg(feature = "durable")]
use super::SyncPolicy;
use super::{Capabilities, ConsumerConfig, Error, Topic, TopicConfig};
use shared::Shared;

/// A broker inside the process. Cheap to clone: all handles share one broker.
///
/// It lives as long as a handle of it, a producer or a consumer does. Dropping the last of them does not wait: what is left
/// for the disk is written in the background, and [`close`](Self::close) waits for that.
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// use pushpull::broker::{Broker, Error, TopicConfig};
///
/// let broker = Broker::in_memory();
/// broker.create_topic("orders", TopicConfig::partitions(4)).await.unwrap();
/// broker.create_topic("orders", TopicConfig::partitions(4)).await.unwrap(); // it is there
/// let error = broker.create_topic("orders", TopicConfig::partitions(8)).await.unwrap_err();
/// assert!(matches!(error, Error::TopicExists { partitions: 4, .. }));
/// assert_eq!(broker.topics(), ["orders"]);
/// # }
/// ```
#[derive(Clone)]
pub struct Broker {
    shared: Arc<Shared>,
}

impl Broker {
    /// A broker that keeps everything in memory and ends with the process.
    pub fn in_memory() -> Self {
        Self {
            shared: Arc::new(Shared::in_memory()),
        }
    }

    /// Opens the broker that is stored in a directory, which is created where it is missing.
    ///
    /// Topics, records and committed offsets are as they were. One broker at a time can have a directory open. Everything
    /// is written by a task on the runtime that this is called on; [`close`](Self::close) ends it.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// # let dir = std::env::temp_dir().join(format!("pushpull-doc-open-{}", std::process::id()));
    /// use pushpull::broker::{Broker, Error, Producer, Record, SyncPolicy, TopicConfig};
    ///
    /// let broker = Broker::open(&dir, SyncPolicy::Always).await.unwrap();
    /// broker.create_topic("orders", TopicConfig::partitions(1)).await.unwrap();
    /// broker.producer().push(Record::new("orders", "two apples")).await.unwrap();
    /// let second = Broker::open(&dir, SyncPolicy::Always).await;
    /// assert!(matches!(second, Err(Error::Locked { .. })));
    ///
    /// broker.close().await.unwrap();
    /// let broker = Broker::open(&dir, SyncPolicy::Always).await.unwrap();
    /// assert_eq!(broker.topics(), ["orders"]);
    /// # broker.close().await.unwrap();
    /// # std::fs::remove_dir_all(dir).unwrap();
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Locked`](Error::Locked) where another broker has it open, [`Storage`](Error::Storage) where it cannot be read or
    /// written, [`Damaged`](Error::Damaged) where something is in it that no broker wrote.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[cfg(feature = "durable")]
    #[cfg_attr(docsrs, doc(cfg(feature = "durable")))]
    pub async fn open(dir: impl AsRef<Path>, policy: SyncPolicy) -> Result<Self, Error> {
        let shared = disk::open(dir.as_ref(), policy).await?;
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// Creates a topic. One that exists with as many partitions is given the new bounds; what is in it stays.
    ///
    /// # Errors
    /// [`InvalidTopic`](Error::InvalidTopic) for a name that is empty or longer than 249 bytes,
    /// [`InvalidConfig`](Error::InvalidConfig) for bounds under which nothing could be kept,
    /// [`TopicExists`](Error::TopicExists) where it has another number of partitions.
    pub async fn create_topic(
        &self,
        name: impl Into<Topic>,
        config: TopicConfig,
    ) -> Result<(), Error> {
        self.shared.create_topic(name.into(), config).await
    }

    /// The names of all topics, in alphabetical order.
    pub fn topics(&self) -> Vec<Topic> {
        let mut names: Vec<_> = self.shared.topics().by_name.keys().cloned().collect();
        names.sort_unstable();
        names
    }

    /// A producer for all topics.
    pub fn producer(&self) -> Producer {
        Producer::new(Arc::clone(&self.shared))
    }

    /// A consumer. It becomes a member of its group when it subscribes.
    pub fn consumer(&self, config: ConsumerConfig) -> Consumer {
        Consumer::new(Arc::clone(&self.shared), config)
    }

    /// The mailbox of this name in the broker's store, for a [`Router`](crate::Router). It comes into being where there is
    /// none.
    ///
    /// # Errors
    /// [`Unsupported`](Error::Unsupported) where the broker is in memory; [`InvalidTopic`](Error::InvalidTopic) for a name that
    /// a topic could not have either; what befell the store.
    #[cfg(feature = "durable")]
    #[cfg_attr(docsrs, doc(cfg(feature = "durable")))]
    pub async fn mailbox<K, T>(&self, name: &str) -> Result<DiskMailbox<K, T>, Error> {
        DiskMailbox::open(Arc::clone(&self.shared), name).await
    }

    /// What this broker can do.
    pub fn capabilities(&self) -> Capabilities {
        self.shared.capabilities()
    }

    /// What is in it, in numbers.
    pub fn stats(&self) -> BrokerStats {
        self.shared.stats()
    }

    /// Whether [`close`](Self::close) was called.
    pub fn is_closed(&self) -> bool {
        self.shared.is_closed()
    }

    /// Closes the broker for all its handles. What was acknowledged is stored when this returns, and the directory is free
    /// for another broker.
    ///
    /// Pushes, polls and acknowledgements answer [`Error::Closed`] from now on, those that wait too, and the streams of
    /// consumers end.
    ///
    /// # Errors
    /// What befell the store.
    pub async fn close(&self) -> Result<(), Error> {
        self.shared.shut();
        #[cfg(feature = "durable")]
        if let Some(store) = &self.shared.store {
            store.close().await?;
        }
        Ok(())
    }
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker")
            .field("topics", &self.topics())
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}
