//! Pushing: where records go, what acknowledges them, and what becomes of those that fail.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::pin::pin;
use std::time::Duration;

use futures::{SinkExt, StreamExt, stream};
use pushpull::broker::{Broker, Error, Producer, Record, TopicConfig, WhenFull};
use pushpull::kafka::testing::{Fault, Request};
use pushpull::kafka::{Kafka, Options};

use crate::kit::{any, mock, options, soon, topic, unique};

fn numbers(topic: &str, count: usize) -> VecDeque<Record> {
    let record = |n: usize| Record::new(topic, n.to_string()).key(n.to_string());
    (0..count).map(record).collect()
}

/// How many records each partition of a topic has, as the offsets of one more push to each tell.
async fn stored(kafka: &Kafka, topic: &str, partitions: u32) -> u64 {
    let producer = kafka.producer();
    let mut stored = 0;
    for partition in 0..partitions {
        let record = Record::new(topic, "the end").partition(partition);
        stored += producer.push(record).await.unwrap().offset;
    }
    stored
}

// guarantee: K2
#[tokio::test]
async fn a_push_answers_where_the_record_lies() {
    let kafka = any(options()).await;
    let topic = topic(&kafka, "places", 3).await;
    let producer = kafka.producer();
    for offset in 0..5 {
        let position = producer
            .push(Record::new(&topic, "x").partition(2))
            .await
            .unwrap();
        let place = (&*position.topic, position.partition, position.offset);
        assert_eq!(place, (&*topic, 2, offset));
    }
    producer.sync().await.unwrap();
}

#[tokio::test]
async fn keys_have_the_partitions_of_the_other_engines() {
    let kafka = any(options()).await;
    let topic = topic(&kafka, "keys", 7).await;
    let here = Broker::in_memory();
    here.create_topic(&topic, TopicConfig::partitions(7))
        .await
        .unwrap();
    let (one, other) = (here.producer(), kafka.producer());
    let keys = (0..200).map(|n| {
        if n == 0 {
            String::new()
        } else {
            format!("key {n}")
        }
    });
    let pairs = stream::iter(keys)
        .map(|key| {
            let record = Record::new(&topic, "x").key(key);
            let (one, other) = (&one, &other);
            async move {
                let (here, there) = tokio::join!(one.push(record.clone()), other.push(record));
                (here.unwrap().partition, there.unwrap().partition)
            }
        })
        .buffered(200)
        .collect::<Vec<_>>();
    let pairs = pairs.await;
    assert!(pairs.iter().all(|(here, there)| here == there), "{pairs:?}");
    let used: BTreeSet<_> = pairs.iter().map(|(here, _)| here).collect();
    assert_eq!(used.len(), 7);
}

#[tokio::test]
async fn what_cannot_be_pushed_comes_back() {
    let kafka = any(options()).await;
    let producer = kafka.producer();
    let record = Record::new(unique("nowhere"), "x").key("k").id("7");
    let error = producer.push(record.clone()).await.unwrap_err();
    assert!(matches!(error, Error::UnknownTopic { .. }), "{error}");
    assert_eq!(error.into_record(), Some(record));
    assert!(
        !kafka
            .topics()
            .await
            .unwrap()
            .iter()
            .any(|topic| topic.starts_with("nowhere"))
    );

    let small = unique("small");
    let config = TopicConfig::partitions(2).max_record_bytes(10);
    kafka.create_topic(&small, config).await.unwrap();
    let record = Record::new(&small, "x").partition(2);
    let error = producer.push(record.clone()).await.unwrap_err();
    let Error::UnknownPartition {
        partition: 2,
        partitions: 2,
        ..
    } = error
    else {
        panic!("{error}");
    };
    assert_eq!(error.into_record(), Some(record));

    let record = Record::new(&small, "eleven byte");
    let error = producer.push(record.clone()).await.unwrap_err();
    let Error::TooLarge {
        size: 11, max: 10, ..
    } = error
    else {
        panic!("{error}");
    };
    assert_eq!(error.into_record(), Some(record));
    producer
        .push(Record::new(&small, "ten bytes!"))
        .await
        .unwrap();

    let record = Record::new(&small, "x").header("a\0b", "");
    let error = producer.push(record.clone()).await.unwrap_err();
    assert_eq!(error.into_record(), Some(record));

    let record = Record::new("über", "x");
    let error = producer.push(record).await.unwrap_err();
    assert!(matches!(error, Error::InvalidTopic { .. }), "{error}");
}

#[tokio::test]
async fn a_record_above_the_clients_bound_is_too_large() {
    let kafka = any(options().set("message.max.bytes", "2000")).await;
    let topic = topic(&kafka, "large", 1).await;
    let record = Record::new(&topic, vec![7; 3000]).partition(0);
    let error = kafka.producer().push(record.clone()).await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::TooLarge {
                size: 3000,
                max: 2000,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(error.into_record(), Some(record));
}

#[tokio::test]
async fn what_a_topic_cannot_have_is_said() {
    let kafka = any(options()).await;
    let config = TopicConfig::partitions(1);
    for config in [
        config.retain_records(1),
        config.when_full(WhenFull::Wait),
        config.when_full(WhenFull::Reject),
    ] {
        let error = kafka.create_topic(unique("no"), config).await.unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }), "{error}");
    }
    let twice = topic(&kafka, "twice", 2).await;
    kafka
        .create_topic(&twice, TopicConfig::partitions(2))
        .await
        .unwrap();
    let error = kafka.create_topic(&twice, config).await.unwrap_err();
    assert!(
        matches!(error, Error::TopicExists { partitions: 2, .. }),
        "{error}"
    );
    assert!(kafka.topics().await.unwrap().contains(&twice.into()));
}

#[tokio::test]
async fn many_and_the_sink_are_acknowledged_as_a_whole() {
    let kafka = any(options()).await;
    let topic = topic(&kafka, "many", 4).await;
    let mut producer = kafka.producer();
    let mut records = numbers(&topic, 30_000);
    let pushed = soon("many", producer.push_many(&mut records))
        .await
        .unwrap();
    assert_eq!((pushed, records.len()), (30_000, 0));
    assert_eq!(stored(&kafka, &topic, 4).await, 30_000);

    for record in numbers(&topic, 30_000) {
        producer.feed(record).await.unwrap();
    }
    soon("a flush", producer.flush()).await.unwrap();
    assert_eq!(stored(&kafka, &topic, 4).await, 60_004);
    producer.feed(Record::new(&topic, "x")).await.unwrap();
    soon("closing", producer.close()).await.unwrap();
    assert_eq!(stored(&kafka, &topic, 4).await, 60_009);
}

#[tokio::test]
async fn a_full_client_makes_pushes_wait() {
    let kafka = any(options().set("queue.buffering.max.messages", "10")).await;
    let topic = topic(&kafka, "narrow", 2).await;
    let mut producer = kafka.producer();
    let mut records = numbers(&topic, 500);
    soon("many", producer.push_many(&mut records))
        .await
        .unwrap();
    let pushes = numbers(&topic, 500)
        .into_iter()
        .map(|record| producer.push(record));
    let pushes = futures::future::join_all(pushes);
    for pushed in soon("pushes", pushes).await {
        pushed.unwrap();
    }
    for record in numbers(&topic, 500) {
        soon("a sink", producer.feed(record)).await.unwrap();
    }
    soon("a flush", producer.flush()).await.unwrap();
    assert_eq!(stored(&kafka, &topic, 2).await, 1500);
}

// guarantee: K1
#[tokio::test]
async fn a_sink_tells_of_each_record_that_failed() {
    let kafka = any(options()).await;
    let good = topic(&kafka, "good", 1).await;
    let bad = unique("bad");
    let mut producer = kafka.producer();
    let mut failed = Vec::new();
    for n in 0..3 {
        for topic in [&good, &bad] {
            if let Err(error) = producer.feed(Record::new(topic, n.to_string())).await {
                failed.push(error);
                // The one that was to be fed has not gone in.
                producer
                    .feed(Record::new(topic, n.to_string()))
                    .await
                    .unwrap();
            }
        }
    }
    while let Err(error) = producer.flush().await {
        failed.push(error);
    }
    let records: Vec<_> = failed.into_iter().filter_map(Error::into_record).collect();
    assert!(
        records.iter().all(|record| record.topic == *bad),
        "{records:?}"
    );
    assert_eq!(records.len(), 3);
    assert_eq!(stored(&kafka, &good, 1).await, 3);
}

/// Pushes one after the other, and tells how far it has come.
async fn steady(kafka: &Kafka, topic: &str, count: u64, done: &tokio::sync::watch::Sender<u64>) {
    let producer = kafka.producer();
    for n in 0..count {
        let record = Record::new(topic, n.to_string()).partition(0);
        let position = producer.push(record).await.unwrap();
        assert_eq!(position.offset, n, "neither lost nor twice");
        done.send_replace(n + 1);
    }
}

// guarantee: K1, K2
#[tokio::test]
async fn brokers_that_go_and_come_back_cost_nothing() {
    let (cluster, kafka) = mock(options()).await;
    let topic = topic(&kafka, "t", 1).await;
    let (done, mut count) = tokio::sync::watch::channel(0);
    let mut pushing = pin!(steady(&kafka, &topic, 100, &done));
    tokio::select! {
        () = &mut pushing => panic!("it was to be interrupted"),
        seen = count.wait_for(|&count| count >= 30) => drop(seen.unwrap()),
    }
    cluster.down().unwrap();
    let stuck = tokio::time::timeout(Duration::from_millis(300), &mut pushing).await;
    assert!(stuck.is_err(), "nobody could acknowledge");
    assert!(*count.borrow() < 40);
    cluster.up().unwrap();
    soon("the rest", pushing).await;
}

// guarantee: K1, K2
#[tokio::test]
async fn faults_that_pass_are_not_seen() {
    let (cluster, kafka) = mock(options().set("retry.backoff.ms", "10")).await;
    let topic = topic(&kafka, "t", 1).await;
    let faults = [
        Fault::NotLeader,
        Fault::TimedOut,
        Fault::NotEnoughReplicas,
        Fault::Disconnect,
        Fault::NotLeader,
    ];
    cluster.fail(Request::Produce, &faults).unwrap();
    let (done, _) = tokio::sync::watch::channel(0);
    soon("all", steady(&kafka, &topic, 20, &done)).await;

    cluster.fail(Request::Produce, &faults).unwrap();
    let mut records: VecDeque<_> = (0..2000)
        .map(|n| Record::new(&topic, n.to_string()).partition(0))
        .collect();
    let producer = kafka.producer();
    soon("many", producer.push_many(&mut records))
        .await
        .unwrap();
    assert_eq!(stored(&kafka, &topic, 1).await, 2020);
}

#[tokio::test]
async fn what_is_fatal_to_a_client_is_said_until_there_is_a_new_one() {
    let (cluster, kafka) = mock(options()).await;
    let topic = topic(&kafka, "t", 1).await;
    let producer = kafka.producer();
    let record = |n: u32| Record::new(&topic, n.to_string()).partition(0);
    producer.push(record(0)).await.unwrap();
    cluster
        .fail(Request::Produce, &[Fault::ClusterForbidden])
        .unwrap();
    let error = soon("an error", producer.push(record(1)))
        .await
        .unwrap_err();
    assert_eq!(error.record(), Some(&record(1)), "{error}");

    cluster
        .fail(Request::Produce, &[Fault::OutOfOrder])
        .unwrap();
    let error = soon("an error", producer.push(record(2)))
        .await
        .unwrap_err();
    assert_eq!(error.record(), Some(&record(2)), "{error}");
    for n in 3..5 {
        let error = soon("an error", producer.push(record(n)))
            .await
            .unwrap_err();
        assert!(
            error.to_string().contains("fatal to this producer"),
            "{error}"
        );
        assert_eq!(error.record(), Some(&record(n)));
    }
    assert!(producer.sync().await.is_err());
    let mut many = VecDeque::from([record(5), record(6)]);
    let error = producer.push_many(&mut many).await.unwrap_err();
    assert_eq!(error.into_record(), Some(record(5)));
    assert_eq!(many, [record(6)]);

    let fresh = kafka.producer();
    let position = soon("a push", fresh.push(record(7))).await.unwrap();
    assert_eq!(position.offset, 1);
}

#[tokio::test]
async fn what_is_not_acknowledged_in_time_comes_back() {
    let timeout = Duration::from_millis(1500);
    let (cluster, kafka) = mock(options().request_timeout(timeout)).await;
    let topic = topic(&kafka, "t", 1).await;
    let producer = kafka.producer();
    producer.push(Record::new(&topic, "0")).await.unwrap();
    cluster.down().unwrap();
    let record = Record::new(&topic, "1").key("k").header("h", "v").id("i");
    let error = soon("an error", producer.push(record.clone()))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Engine { .. }), "{error}");
    assert_eq!(error.record(), Some(&record), "{error}");

    let mut records = numbers(&topic, 100);
    let error = soon("an error", producer.push_many(&mut records))
        .await
        .unwrap_err();
    assert_eq!(records.len(), 99, "{error}");
    let mut values: BTreeMap<_, _> = BTreeMap::new();
    for record in records.into_iter().chain(error.into_record()) {
        *values.entry(record.value).or_insert(0) += 1;
    }
    assert_eq!(values.len(), 100);

    cluster.up().unwrap();
    let mut again = VecDeque::from([record]);
    while let Err(error) = producer.push_many(&mut again).await {
        again.extend(error.into_record());
    }
}

#[tokio::test]
async fn a_closed_connection_refuses() {
    let kafka = any(options()).await;
    let topic = topic(&kafka, "t", 1).await;
    let mut producer = kafka.producer();
    producer.feed(Record::new(&topic, "0")).await.unwrap();
    soon("closing", kafka.close()).await.unwrap();
    soon("a flush", producer.flush()).await.unwrap();
    let record = Record::new(&topic, "1");
    let error = producer.push(record.clone()).await.unwrap_err();
    assert!(matches!(error, Error::Closed { .. }), "{error}");
    assert_eq!(error.into_record(), Some(record));
    let error = kafka.topics().await.unwrap_err();
    assert!(matches!(error, Error::Closed { .. }), "{error}");
    assert!(matches!(
        kafka.producer().sync().await,
        Err(Error::Closed { .. })
    ));
}

#[tokio::test]
async fn options_that_cannot_be_are_refused() {
    for (name, value, says) in [
        ("acks", "1", "acknowledged when all replicas"),
        ("group.id", "g", "comes from the `ConsumerConfig`"),
        ("no.such.thing", "1", "`no.such.thing`"),
        ("socket.timeout.ms", "soon", "`socket.timeout.ms`"),
    ] {
        let error = Kafka::connect("localhost:1", Options::new().set(name, value))
            .await
            .unwrap_err();
        assert!(matches!(error, Error::InvalidConfig { .. }), "{error}");
        assert!(error.to_string().contains(says), "{error}");
    }
}
