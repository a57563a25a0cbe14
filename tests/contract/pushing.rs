//! Records on their way in.

use std::collections::{HashMap, HashSet, VecDeque};

use futures::SinkExt;
use pushpull::broker::{Consumer, Error, Producer, Record, TopicConfig};

use crate::engines::Engine;
use crate::kit::*;

pub(crate) async fn a_record_comes_back_as_it_was(engine: impl Engine) {
    // guarantee: K1
    let topic = engine.topic("orders", 4).await;
    let record = Record::new(topic, &b"two \0 apples"[..])
        .key("alice")
        .header("source", "web")
        .header("empty", "")
        .header("source", "shop")
        .id("order-7");
    let position = engine.producer().push(record.clone()).await.unwrap();
    assert_eq!(position.topic, topic);

    let consumer = engine.reader(group(), topic).await;
    let polled = poll_n(&consumer, 1).await;
    let got = &polled[0];
    assert_eq!(got.position, position);
    assert_eq!(got.attempt, 1);
    assert_eq!(got.record.topic, record.topic);
    assert_eq!(got.record.key, record.key);
    assert_eq!(got.record.value, record.value);
    assert_eq!(got.record.headers, record.headers);
    assert_eq!(got.record.id, record.id);

    let bare = Record::new(topic, "");
    let position = engine.producer().push(bare).await.unwrap();
    let polled = poll_n(&consumer, 1).await;
    assert_eq!(polled[0].position, position);
    let got = &polled[0].record;
    assert_eq!((got.value.len(), &got.key, &got.id), (0, &None, &None));
}

pub(crate) async fn a_partition_keeps_the_order(engine: impl Engine) {
    // guarantee: K2
    let topic = engine.topic("t", 1).await;
    let pushed = push(&engine.producer(), topic, 0..200).await;
    assert!(pushed.windows(2).all(|two| two[0].offset < two[1].offset));
    if engine.capabilities().dense_offsets {
        assert!((0..).zip(&pushed).all(|(n, at)| at.offset == n));
    }
    let consumer = engine.reader(group(), topic).await;
    let mut got = Vec::new();
    while got.len() < 200 {
        got.extend(consumer.poll(7, second()).await.unwrap());
    }
    assert_eq!(texts(&got), numbers(0..200));
    let positions: Vec<_> = got
        .iter()
        .map(|delivery| delivery.position.clone())
        .collect();
    assert_eq!(positions, pushed);
}

pub(crate) async fn a_key_keeps_its_partition(engine: impl Engine) {
    let topic = engine.topic("t", 4).await;
    let producer = engine.producer();
    let mut of_key = HashMap::new();
    for round in 0..3 {
        for key in 0..40 {
            let record = Record::new(topic, "value").key(format!("key-{key}"));
            let at = producer.push(record).await.unwrap().partition;
            assert!(at < 4);
            assert_eq!(*of_key.entry(key).or_insert(at), at, "round {round}");
        }
    }
    assert_eq!(of_key.values().collect::<HashSet<_>>().len(), 4);
    // As Kafka's own clients have it: the figures are the ones that its tests of murmur2 have, without their sign.
    let other = engine.topic("other", 31).await;
    for (key, hash) in [
        ("21", 1173551340),
        ("foobar", 1357151166),
        ("a-little-bit-long-string", 1161502112),
        ("a-little-bit-longer-string", 661178819),
        (
            "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8",
            2088585677,
        ),
    ] {
        let record = Record::new(other, "value").key(key);
        let at = producer.push(record).await.unwrap().partition;
        assert_eq!(at, hash % 31, "{key}");
    }
}

pub(crate) async fn a_record_may_name_its_partition(engine: impl Engine) {
    let topic = engine.topic("t", 4).await;
    let producer = engine.producer();
    for partition in 0..4 {
        let record = Record::new(topic, "value")
            .key("the same")
            .partition(partition);
        let pushed = producer.push(record).await;
        if !engine.capabilities().partitions {
            assert_unsupported(pushed);
            continue;
        }
        assert_eq!(pushed.unwrap().partition, partition);
    }
}

pub(crate) async fn what_cannot_be_stored_comes_back(engine: impl Engine) {
    let config = TopicConfig::partitions(2).max_record_bytes(10);
    let (small, nowhere) = (name("small"), name("nowhere"));
    let created = engine.create(small, config).await;
    if engine.capabilities().bounds_records {
        created.unwrap();
    } else {
        assert_unsupported(created);
        engine.topic("small", 2).await;
    }
    let producer = engine.producer();

    let error = producer
        .push(Record::new(nowhere, "a letter"))
        .await
        .unwrap_err();
    assert!(matches!(&error, Error::UnknownTopic { topic, .. } if topic == nowhere));
    let text = format!("there is no topic `{nowhere}`; create it first");
    assert_eq!(error.to_string(), text);
    assert_eq!(error.into_record().unwrap().value, "a letter");

    if engine.capabilities().partitions {
        let record = Record::new(small, "b").partition(2);
        let error = producer.push(record.clone()).await.unwrap_err();
        let text = format!("topic `{small}` has no partition 2: it has 2, counted from 0");
        assert!(matches!(
            &error,
            Error::UnknownPartition {
                partition: 2,
                partitions: 2,
                ..
            }
        ));
        assert_eq!(error.to_string(), text);
        assert_eq!(error.into_record().unwrap(), record);
    }

    if engine.capabilities().bounds_records {
        let record = Record::new(small, "123456")
            .key("k")
            .header("h", "34")
            .id("7");
        let error = producer.push(record.clone()).await.unwrap_err();
        assert!(
            matches!(
                &error,
                Error::TooLarge {
                    size: 11,
                    max: 10,
                    ..
                }
            ),
            "{error:?}"
        );
        let text = format!(
            "a record of 11 bytes is too large for topic `{small}`, which takes 10 at the most; see `max_record_bytes` \
             and `retain_bytes` of its configuration"
        );
        assert_eq!(error.to_string(), text);
        assert_eq!(error.into_record().unwrap(), record);
    }
    producer
        .push(Record::new(small, "1234567890"))
        .await
        .unwrap();

    let error = producer.push(Record::new("", "c")).await.unwrap_err();
    assert!(
        matches!(&error, Error::InvalidTopic { topic, .. } if topic.is_empty()),
        "{error:?}"
    );
    assert!(
        error
            .to_string()
            .starts_with("`` cannot be the name of a topic: ")
    );
    assert_eq!(error.into_record().unwrap().value, "c");
}

pub(crate) async fn topics_that_cannot_be_are_refused(engine: impl Engine) {
    let error = engine
        .create("", TopicConfig::partitions(1))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::InvalidTopic { .. }), "{error:?}");
    let topic = name("t");
    let error = engine
        .create(topic, TopicConfig::partitions(0))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::InvalidConfig { .. }), "{error:?}");
    assert!(error.to_string().contains("partition"), "{error}");

    engine
        .create(topic, TopicConfig::partitions(2))
        .await
        .unwrap();
    engine
        .create(topic, TopicConfig::partitions(2))
        .await
        .unwrap();
    let error = engine
        .create(topic, TopicConfig::partitions(3))
        .await
        .unwrap_err();
    assert!(
        matches!(error, Error::TopicExists { partitions: 2, .. }),
        "{error:?}"
    );
    let text = format!("topic `{topic}` exists with 2 partitions, and their number cannot change");
    assert_eq!(error.to_string(), text);
}

pub(crate) async fn many_are_pushed_at_once(engine: impl Engine) {
    let topic = engine.topic("t", 1).await;
    let producer = engine.producer();
    let record = |n: usize| Record::new(topic, format!("n/{n}"));
    let mut records: VecDeque<_> = (0..500).map(record).collect();
    assert_eq!(producer.push_many(&mut records).await.unwrap(), 500);
    assert!(records.is_empty());
    assert_eq!(producer.push_many(&mut records).await.unwrap(), 0);

    // The one at fault comes with the error, those behind it stay.
    records.extend((500..510).map(record));
    records[5].topic = name("nowhere").into();
    let error = producer.push_many(&mut records).await.unwrap_err();
    assert_eq!(error.into_record().unwrap().value, "n/505");
    let left: Vec<_> = records.iter().map(|record| record.value.clone()).collect();
    assert_eq!(left, ["n/506", "n/507", "n/508", "n/509"]);

    let consumer = engine.reader(group(), topic).await;
    assert_eq!(texts(&drain(&consumer, 505).await), numbers(0..505));
}

pub(crate) async fn a_producer_is_a_sink(engine: impl Engine) {
    let topic = engine.topic("t", 1).await;
    let mut producer = engine.producer();
    for n in 0..100 {
        producer
            .feed(Record::new(topic, format!("n/{n}")))
            .await
            .unwrap();
    }
    producer.flush().await.unwrap();
    let consumer = engine.reader(group(), topic).await;
    assert_eq!(texts(&drain(&consumer, 100).await), numbers(0..100));

    // An error comes with its record, and the sink can be used afterwards.
    let error = producer
        .send(Record::new(name("nowhere"), "a letter"))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::UnknownTopic { .. }), "{error:?}");
    assert_eq!(error.into_record().unwrap().value, "a letter");
    producer.send(Record::new(topic, "n/100")).await.unwrap();
    assert_eq!(texts(&drain(&consumer, 1).await), ["n/100"]);
    SinkExt::<Record>::close(&mut producer).await.unwrap();
}

pub(crate) async fn what_is_synced_is_stored(engine: impl Engine) {
    let topic = engine.topic("t", 1).await;
    let producer = engine.producer();
    producer.sync().await.unwrap();
    push(&producer, topic, 0..3).await;
    producer.sync().await.unwrap();
    let consumer = engine.reader(group(), topic).await;
    assert_eq!(texts(&poll_n(&consumer, 3).await), numbers(0..3));
}
