//! Kafka, on the mock cluster: as it is, and with brokers that go and come back.

use std::sync::Arc;
use std::time::Duration;

use pushpull::broker::{ConsumerConfig, Error, TopicConfig};
use pushpull::kafka::testing::Cluster;
use pushpull::kafka::{Consumer, Kafka, Options, Producer};

use super::checker::Rules;
use super::dice::Dice;
use super::history::What;
use super::judge;
use super::memory::history_of;
use super::recorder::Recorder;
use super::running::{drain, finish, start};
use super::trouble::{Troubles, trouble};
use super::world::{Engine, Plan, World};

impl Engine for Kafka {
    type Producer = Producer;
    type Consumer = Consumer;

    async fn create(&self, topic: &str, partitions: u32) -> Result<(), Error> {
        self.create_topic(topic, TopicConfig::partitions(partitions))
            .await
    }

    fn producer(&self) -> Producer {
        Self::producer(self)
    }

    fn consumer(&self, config: ConsumerConfig) -> Consumer {
        Self::consumer(self, config)
    }
}

/// One number is kept for a group and partition, and nothing else outlives an assignment. A commit that meets a change of the
/// group is refused by the mock, so what was acknowledged right before comes again.
pub(crate) const RULES: Rules = Rules {
    attempts: false,
    gaps_survive_moves: false,
    acks_survive_moves: false,
    committed_is_shared: false,
    commits_survive_kills: true,
    late_after_troubles: 0,
    aftermath: 0,
};

/// What nobody confirmed may get lost on the way, and members may lose what they have sooner than they know.
pub(crate) const TROUBLED: Rules = Rules {
    acks_survive_moves: false,
    aftermath: 6_000_000,
    ..RULES
};

fn plan(operations: u64) -> Plan {
    Plan {
        ack_wait: Duration::from_millis(1000),
        session: Duration::from_millis(2000),
        patience: Duration::from_secs(40),
        ..Plan::new(operations)
    }
}

// guarantee: K1, K2, K5, K6, K7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kafka_as_it_is() {
    let plan = plan(3_000);
    let cluster = Cluster::start(1).unwrap();
    let kafka = cluster.connect(Options::new()).await.unwrap();
    let history = history_of(kafka, &plan).await;
    assert!(judge("kafka", &plan, &history, RULES).is_clean());
}

struct Brokers(Cluster);

impl Troubles for Brokers {
    fn next(&mut self, dice: &mut Dice) -> (What, Duration) {
        (What::Cut, Duration::from_millis(dice.between(10, 1500)))
    }

    async fn begin(&mut self) {
        self.0.down().unwrap();
    }

    async fn end(&mut self) {
        self.0.up().unwrap();
    }
}

// guarantee: K1, K2, K5, K6, K7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: the mock forgets its groups with each cut"]
async fn kafka_in_trouble() {
    let plan = plan(3_000);
    let cluster = Cluster::start(1).unwrap();
    let kafka = cluster.connect(Options::new()).await.unwrap();
    let recorder = Arc::new(Recorder::new());
    let world = World::new(kafka, &plan, &recorder, 0, plan.operations);
    world.create_topics().await;
    let tasks = start(&world);
    trouble(&world, &mut Brokers(cluster)).await;
    finish(tasks).await;
    drain(&world).await;
    assert!(judge("kafka-in-trouble", &plan, &recorder.take(), TROUBLED).is_clean());
}
