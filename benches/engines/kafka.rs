//! Kafka, beside `rdkafka`: librdkafka's mock cluster in this process.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use pushpull::broker::{Consumer as _, ConsumerConfig, Topic, TopicConfig};
use pushpull::kafka::testing::Cluster;
use pushpull::kafka::{Consumer, Kafka, Options, Producer};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{CommitMode, Consumer as _, StreamConsumer};
use rdkafka::message::{Header, Message, OwnedHeaders};
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord};
use tokio::runtime::Runtime;

use crate::harness::{Case, Contender};
use crate::ours::{self, MANY, SIZE};
use crate::{Held, TARGET, on, runtime};

/// How many pushes may be under way, where they are made one by one. The client gathers them for 5 ms.
const FLIGHT: usize = 4096;
/// How many `push_many` is given at once.
const AT_ONCE: usize = 5000;
/// As many as our sink has.
const SINK: usize = 16 * 1024;
/// The mock answers a fetch that found nothing when its time is over, half a second by default, whatever comes in meanwhile.
const FETCH_WAIT: &str = "fetch.wait.max.ms";
const IDLE: Duration = Duration::from_secs(10);

type Round<T> = fn(&mut T, u64) -> Duration;

pub(crate) fn cases() -> Vec<Held> {
    let cases: [(_, Round<Ours>, Round<Bare>, _); 4] = [
        ("push, one by one", Ours::push, Bare::push, 50_000),
        ("push as a sink", Ours::sink, Bare::window, 50_000),
        ("push_many", Ours::push_many, Bare::many, 50_000),
        ("poll, ack", Ours::read, Bare::read, 20_000),
    ];
    let held = |(n, (name, ours, bare, items)): (usize, (&str, Round<Ours>, Round<Bare>, _))| {
        let contenders = vec![
            Contender::ours(on("", format!("ours-{n}"), Ours::new, ours)),
            Contender::peer("rdkafka", on("", format!("bare-{n}"), Bare::new, bare)),
        ];
        let case = Case::new(name, "MT2", contenders).items(items);
        let target = TARGET;
        Held { case, target }
    };
    cases.into_iter().enumerate().map(held).collect()
}

struct Ours {
    runtime: Arc<Runtime>,
    kafka: Kafka,
    producer: Producer,
    consumer: Option<Consumer>,
    topic: Topic,
    _cluster: Cluster,
}

impl Ours {
    fn new(_: &str, topic: &str) -> Self {
        let runtime = Arc::new(runtime());
        let cluster = Cluster::start(1).expect("a cluster");
        let kafka = runtime.block_on(async {
            let options = Options::new().set(FETCH_WAIT, "5");
            let kafka = cluster.connect(options).await?;
            kafka
                .create_topic(topic, TopicConfig::partitions(1))
                .await?;
            Ok::<_, pushpull::broker::Error>(kafka)
        });
        let kafka = kafka.expect("a topic");
        Self {
            runtime,
            producer: kafka.producer(),
            kafka,
            consumer: None,
            topic: topic.into(),
            _cluster: cluster,
        }
    }

    fn push(&mut self, items: u64) -> Duration {
        let runtime = Arc::clone(&self.runtime);
        runtime.block_on(ours::push(&self.producer, &self.topic, items, FLIGHT))
    }

    fn sink(&mut self, items: u64) -> Duration {
        let runtime = Arc::clone(&self.runtime);
        runtime.block_on(ours::sink(&mut self.producer, &self.topic, items))
    }

    fn push_many(&mut self, items: u64) -> Duration {
        let runtime = Arc::clone(&self.runtime);
        runtime.block_on(ours::push_many(&self.producer, &self.topic, items, AT_ONCE))
    }

    fn read(&mut self, items: u64) -> Duration {
        let runtime = Arc::clone(&self.runtime);
        runtime.block_on(async {
            if self.consumer.is_none() {
                let consumer = self.kafka.consumer(ConsumerConfig::group("bench"));
                consumer.subscribe([&self.topic]).await.expect("the topic");
                self.consumer = Some(consumer);
            }
            ours::push_many(&self.producer, &self.topic, items, AT_ONCE).await;
            let consumer = self.consumer.as_ref().expect("it has subscribed");
            ours::consume(consumer, items).await
        })
    }
}

/// As careful as ours: idempotent and awaited pushes; offsets stored by hand, and committed every few hundred.
struct Bare {
    runtime: Runtime,
    producer: FutureProducer,
    consumer: Option<StreamConsumer>,
    topic: String,
    cluster: Cluster,
}

impl Bare {
    fn new(_: &str, topic: &str) -> Self {
        let cluster = Cluster::start(1).expect("a cluster");
        cluster.create_topic(topic, 1).expect("a topic");
        let runtime = runtime();
        let producer = {
            let _inside = runtime.enter();
            ClientConfig::new()
                .set("bootstrap.servers", cluster.address())
                .set("enable.idempotence", "true")
                .set("acks", "all")
                .create()
                .expect("a producer")
        };
        Self {
            runtime,
            producer,
            consumer: None,
            topic: topic.to_owned(),
            cluster,
        }
    }

    fn send(&self) -> DeliveryFuture {
        let id = ours::id();
        let header = Header {
            key: "id",
            value: Some(&id),
        };
        let payload = ours::payload();
        let record: FutureRecord<'_, str, Vec<u8>> = FutureRecord::to(&self.topic)
            .payload(&payload)
            .headers(OwnedHeaders::new_with_capacity(1).insert(header));
        let sent = self.producer.send_result(record);
        sent.map_err(|(error, _)| error).expect("there is room")
    }

    fn push(&mut self, items: u64) -> Duration {
        self.runtime.block_on(async {
            let start = Instant::now();
            let mut pushes = stream::iter(0..items)
                .map(async |_| self.send().await)
                .buffered(FLIGHT);
            let mut pushed = 0;
            while let Some(delivered) = pushes.next().await {
                delivered.expect("it answers").expect("it is stored");
                pushed += 1;
            }
            let took = start.elapsed();
            assert_eq!(pushed, items, "some are missing");
            took
        })
    }

    fn window(&mut self, items: u64) -> Duration {
        self.runtime.block_on(async {
            let start = Instant::now();
            let mut sent = VecDeque::with_capacity(SINK);
            for _ in 0..items {
                if sent.len() == SINK {
                    let oldest: DeliveryFuture = sent.pop_front().expect("there are some");
                    oldest.await.expect("it answers").expect("it is stored");
                }
                sent.push_back(self.send());
            }
            for delivered in sent {
                delivered.await.expect("it answers").expect("it is stored");
            }
            start.elapsed()
        })
    }

    fn many(&mut self, items: u64) -> Duration {
        self.runtime.block_on(self.send_many(items))
    }

    async fn send_many(&self, items: u64) -> Duration {
        let start = Instant::now();
        let mut left = items;
        while left > 0 {
            let count = left.min(AT_ONCE as u64);
            let sent: Vec<_> = (0..count).map(|_| self.send()).collect();
            for delivered in sent {
                delivered.await.expect("it answers").expect("it is stored");
            }
            left -= count;
        }
        start.elapsed()
    }

    fn consumer(&self) -> StreamConsumer {
        let consumer: StreamConsumer = ClientConfig::new()
            .set("bootstrap.servers", self.cluster.address())
            .set("group.id", "bench")
            .set("auto.offset.reset", "earliest")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set(FETCH_WAIT, "5")
            .create()
            .expect("a consumer");
        consumer.subscribe(&[&self.topic]).expect("the topic");
        consumer
    }

    fn read(&mut self, items: u64) -> Duration {
        if self.consumer.is_none() {
            let _inside = self.runtime.enter();
            self.consumer = Some(self.consumer());
        }
        let consumer = self.consumer.as_ref().expect("it has subscribed");
        self.runtime.block_on(async {
            self.send_many(items).await;
            let start = Instant::now();
            let mut bytes = 0;
            for n in 1..=items {
                let received = tokio::time::timeout(IDLE, consumer.recv()).await;
                let message = received.expect("none is missing").expect("it can be read");
                let owned = message.detach();
                bytes += owned.payload().map_or(0, <[u8]>::len);
                let stored =
                    consumer.store_offset(owned.topic(), owned.partition(), owned.offset());
                stored.expect("it is ours");
                if n % MANY as u64 == 0 && n < items {
                    let committed = consumer.commit_consumer_state(CommitMode::Async);
                    committed.expect("it is on its way");
                }
            }
            let committed = consumer.commit_consumer_state(CommitMode::Sync);
            committed.expect("it is stored");
            let took = start.elapsed();
            assert_eq!(bytes, SIZE * usize::try_from(items).expect("so many fit"));
            took
        })
    }
}
