//! The engines that are looked at.

use pushpull::broker::{Broker, ConsumerConfig, Error, TopicConfig, embedded};

use super::world::Engine;

impl Engine for Broker {
    type Producer = embedded::Producer;
    type Consumer = embedded::Consumer;

    async fn create(&self, topic: &str, partitions: u32) -> Result<(), Error> {
        self.create_topic(topic, TopicConfig::partitions(partitions))
            .await
    }

    fn producer(&self) -> embedded::Producer {
        Self::producer(self)
    }

    fn consumer(&self, config: ConsumerConfig) -> embedded::Consumer {
        Self::consumer(self, config)
    }
}
