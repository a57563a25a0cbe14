//! The engines under test.

#[cfg(feature = "kafka")]
pub(crate) mod kafka;
#[cfg(feature = "nats")]
pub(crate) mod nats;

use pushpull::broker::{
    BoxConsumer, BoxProducer, Broker, Capabilities, Consumer, ConsumerConfig, Error, Producer,
    TopicConfig, embedded,
};

use crate::kit::{Clock, group, name};

/// An engine that is up, and goes down with its value.
pub(crate) trait Engine: Sized + 'static {
    const NAME: &'static str;
    const CLOCK: Clock;
    /// Whether its names are shared with other cases, or with other runs.
    const SHARED: bool = false;
    /// Whether what is acknowledged while a group changes is committed before it has changed.
    const COMMITS_IN_TIME: bool = true;

    type Producer: Producer + Send + Sync + Unpin + 'static;
    type Consumer: Consumer + Send + Sync + Unpin + 'static;

    /// Why it is not tried here.
    fn skipped() -> Option<String> {
        None
    }

    async fn start() -> Self;
    async fn create(&self, topic: &str, config: TopicConfig) -> Result<(), Error>;
    fn producer(&self) -> Self::Producer;
    fn consumer(&self, config: ConsumerConfig) -> Self::Consumer;

    fn capabilities(&self) -> Capabilities {
        self.consumer(group()).capabilities()
    }

    /// A topic by this [name].
    async fn topic(&self, topic: &'static str, partitions: u32) -> &'static str {
        let topic = name(topic);
        self.create(topic, TopicConfig::partitions(partitions))
            .await
            .unwrap();
        topic
    }

    /// A member of a group that has subscribed to one topic.
    async fn reader(&self, config: ConsumerConfig, topic: &str) -> Self::Consumer {
        let consumer = self.consumer(config);
        consumer.subscribe([topic]).await.unwrap();
        consumer
    }
}

/// The broker in the process's memory.
pub(crate) struct Memory(Broker);

impl Engine for Memory {
    const NAME: &'static str = "memory";
    const CLOCK: Clock = Clock::Paused;

    type Producer = embedded::Producer;
    type Consumer = embedded::Consumer;

    async fn start() -> Self {
        Self(Broker::in_memory())
    }

    async fn create(&self, topic: &str, config: TopicConfig) -> Result<(), Error> {
        self.0.create_topic(topic, config).await
    }

    fn producer(&self) -> Self::Producer {
        self.0.producer()
    }

    fn consumer(&self, config: ConsumerConfig) -> Self::Consumer {
        self.0.consumer(config)
    }
}

/// The same behind an engine chosen at run time.
pub(crate) struct Boxed(Memory);

impl Engine for Boxed {
    const NAME: &'static str = "boxed";
    const CLOCK: Clock = Clock::Paused;

    type Producer = BoxProducer;
    type Consumer = BoxConsumer;

    async fn start() -> Self {
        Self(Memory::start().await)
    }

    async fn create(&self, topic: &str, config: TopicConfig) -> Result<(), Error> {
        self.0.create(topic, config).await
    }

    fn producer(&self) -> BoxProducer {
        BoxProducer::new(self.0.producer())
    }

    fn consumer(&self, config: ConsumerConfig) -> BoxConsumer {
        BoxConsumer::new(self.0.consumer(config))
    }
}

/// The broker on disk, in a directory of its own that goes with it.
#[cfg(feature = "durable")]
pub(crate) struct Durable {
    broker: Option<Broker>,
    dir: std::path::PathBuf,
}

#[cfg(feature = "durable")]
impl Durable {
    fn broker(&self) -> &Broker {
        self.broker.as_ref().unwrap()
    }
}

#[cfg(feature = "durable")]
impl Drop for Durable {
    fn drop(&mut self) {
        drop(self.broker.take());
        let _gone = std::fs::remove_dir_all(&self.dir);
    }
}

#[cfg(feature = "durable")]
impl Engine for Durable {
    const NAME: &'static str = "durable";
    const CLOCK: Clock = Clock::Paused;

    type Producer = embedded::Producer;
    type Consumer = embedded::Consumer;

    async fn start() -> Self {
        use std::sync::atomic::{AtomicU32, Ordering};

        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("pushpull-contract-{}-{count}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        let policy = pushpull::broker::SyncPolicy::Always;
        let broker = Some(Broker::open(&dir, policy).await.unwrap());
        Self { broker, dir }
    }

    async fn create(&self, topic: &str, config: TopicConfig) -> Result<(), Error> {
        self.broker().create_topic(topic, config).await
    }

    fn producer(&self) -> Self::Producer {
        self.broker().producer()
    }

    fn consumer(&self, config: ConsumerConfig) -> Self::Consumer {
        self.broker().consumer(config)
    }
}
