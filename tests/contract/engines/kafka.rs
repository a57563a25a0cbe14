//! Kafka: a cluster inside the process for each case, and a real one where `KAFKA_BROKERS` names it.

use pushpull::broker::{ConsumerConfig, Error, TopicConfig};
use pushpull::kafka::{self, Options, testing::Cluster};

use super::Engine;
use crate::kit::Clock;

/// A cluster inside the process.
pub(crate) struct Mock(kafka::Kafka);

impl Engine for Mock {
    const NAME: &'static str = "kafka";
    const CLOCK: Clock = Clock::Real;
    // The mock refuses commits from the moment that a member joins, as no real cluster does.
    const COMMITS_IN_TIME: bool = false;

    type Producer = kafka::Producer;
    type Consumer = kafka::Consumer;

    async fn start() -> Self {
        let cluster = Cluster::start(1).unwrap();
        Self(cluster.connect(Options::new()).await.unwrap())
    }

    async fn create(&self, topic: &str, config: TopicConfig) -> Result<(), Error> {
        self.0.create_topic(topic, config).await
    }

    fn producer(&self) -> kafka::Producer {
        self.0.producer()
    }

    fn consumer(&self, config: ConsumerConfig) -> kafka::Consumer {
        self.0.consumer(config)
    }
}

/// The cluster that `KAFKA_BROKERS` names. What cases create in it stays there, under names of their own.
pub(crate) struct Real(kafka::Kafka);

/// The brokers of that cluster, where there is one.
pub(crate) fn brokers() -> Option<String> {
    std::env::var("KAFKA_BROKERS")
        .ok()
        .filter(|brokers| !brokers.is_empty())
}

impl Engine for Real {
    const NAME: &'static str = "kafka_cluster";
    const CLOCK: Clock = Clock::Real;
    const SHARED: bool = true;

    type Producer = kafka::Producer;
    type Consumer = kafka::Consumer;

    async fn start() -> Self {
        let brokers = brokers().expect("KAFKA_BROKERS");
        Self(
            kafka::Kafka::connect(brokers, Options::new())
                .await
                .unwrap(),
        )
    }

    async fn create(&self, topic: &str, config: TopicConfig) -> Result<(), Error> {
        self.0.create_topic(topic, config).await
    }

    fn producer(&self) -> kafka::Producer {
        self.0.producer()
    }

    fn consumer(&self, config: ConsumerConfig) -> kafka::Consumer {
        self.0.consumer(config)
    }
}
