//! Clusters and topics for tests.

use std::future::Future;
use std::time::Duration;

use std::collections::VecDeque;

use pushpull::broker::{
    Consumer as _, ConsumerConfig, Delivery, Producer as _, Record, TopicConfig,
};
use pushpull::kafka::testing::Cluster;
use pushpull::kafka::{Consumer, Kafka, Options};

/// What no event takes longer than, unless something is broken.
pub(crate) const LONG: Duration = Duration::from_secs(90);

/// Settings under which a broker that is back is soon found.
pub(crate) fn options() -> Options {
    Options::new()
        .set("reconnect.backoff.ms", "20")
        .set("reconnect.backoff.max.ms", "200")
        .request_timeout(Duration::from_secs(20))
}

/// A connection to a cluster of its own, or to the one that `KAFKA_BROKERS` names.
pub(crate) async fn any(options: Options) -> Kafka {
    match std::env::var("KAFKA_BROKERS") {
        Ok(brokers) => Kafka::connect(brokers, options).await.unwrap(),
        Err(_) => mock(options).await.1,
    }
}

/// A cluster of its own, and a connection to it.
pub(crate) async fn mock(options: Options) -> (Cluster, Kafka) {
    let cluster = Cluster::start(1).unwrap();
    let kafka = cluster.connect(options).await.unwrap();
    (cluster, kafka)
}

/// A topic that nobody else has, also on a cluster that is not new.
pub(crate) async fn topic(kafka: &Kafka, name: &str, partitions: u32) -> String {
    let name = unique(name);
    let config = TopicConfig::partitions(partitions);
    kafka.create_topic(&name, config).await.unwrap();
    name
}

pub(crate) fn unique(name: &str) -> String {
    let now = std::time::SystemTime::now();
    let since = now.duration_since(std::time::UNIX_EPOCH).unwrap();
    format!("{name}-{}", since.as_nanos())
}

/// The future's output, or a failure of the test instead of a hang.
pub(crate) async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    tokio::time::timeout(LONG, future)
        .await
        .unwrap_or_else(|_| panic!("{what}: nothing for {LONG:?}"))
}

/// Payloads as numbers.
pub(crate) fn number(delivery: &Delivery) -> u64 {
    std::str::from_utf8(&delivery.record.value)
        .unwrap()
        .parse()
        .unwrap()
}

/// A member whose stalls are soon noticed.
pub(crate) fn member(group: &str) -> ConsumerConfig {
    ConsumerConfig::group(unique(group)).session_timeout(Duration::from_secs(2))
}

/// A consumer that has subscribed.
pub(crate) async fn reader(kafka: &Kafka, config: ConsumerConfig, topic: &str) -> Consumer {
    let consumer = kafka.consumer(config);
    soon("a subscription", consumer.subscribe([topic]))
        .await
        .unwrap();
    consumer
}

/// Pushes the numbers of a range, each with itself as its key, or to a partition.
pub(crate) async fn push(
    kafka: &Kafka,
    topic: &str,
    numbers: std::ops::Range<u64>,
    partition: Option<u32>,
) {
    let mut records: VecDeque<_> = numbers
        .map(|n| {
            let mut record = Record::new(topic, n.to_string()).key(n.to_string());
            record.partition = partition;
            record
        })
        .collect();
    let producer = kafka.producer();
    soon("pushing", producer.push_many(&mut records))
        .await
        .unwrap();
}

/// Polls until so many deliveries have come.
pub(crate) async fn take(consumer: &Consumer, count: usize) -> Vec<Delivery> {
    let mut taken = Vec::new();
    soon("deliveries", async {
        while taken.len() < count {
            let more = consumer.poll(count - taken.len(), LONG).await.unwrap();
            taken.extend(more);
        }
    })
    .await;
    taken
}

/// Waits until this is so.
pub(crate) async fn until(what: &str, mut so: impl FnMut() -> bool) {
    soon(what, async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}
