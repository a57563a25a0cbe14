//! Topics as streams.

use std::time::Duration;

use async_nats::jetstream::stream::Config;
use pushpull::broker::{
    Consumer as _, ConsumerConfig, Error, Producer, Record, TopicConfig, WhenFull,
};
use pushpull::nats::Options;

use crate::kit::*;

#[tokio::test]
async fn a_topic_is_a_stream_with_a_subject_for_each_partition() {
    need_server!();
    let server = Server::start();
    let nats = connect_with(&server.url(), Options::new().in_memory(true)).await;
    let day = Duration::from_secs(24 * 3600);
    let config = TopicConfig::partitions(2)
        .retain_records(10)
        .retain_for(day);
    nats.create_topic("b.c", config).await.unwrap();
    nats.create_topic("a", TopicConfig::partitions(1))
        .await
        .unwrap();

    let context = context(&server).await;
    let config = |mut stream: async_nats::jetstream::stream::Stream| async move {
        stream.info().await.unwrap().config.clone()
    };
    let made = config(context.get_stream("b=c").await.unwrap()).await;
    assert_eq!(made.subjects, ["b.c.0", "b.c.1"]);
    assert_eq!((made.max_messages_per_subject, made.max_age), (10, day));
    let in_memory = async_nats::jetstream::stream::StorageType::Memory;
    assert_eq!(made.storage, in_memory);

    // Streams of others are no topics, but those that look like topics are.
    let streams = [
        ("events", vec!["events.>"]),
        ("other", vec!["something.else"]),
        ("theirs", vec!["theirs.0", "theirs.1"]),
    ];
    for (name, subjects) in streams {
        let stream = Config {
            name: name.into(),
            subjects: subjects.into_iter().map(Into::into).collect(),
            ..Config::default()
        };
        context.create_stream(stream).await.unwrap();
    }
    assert_eq!(nats.topics().await.unwrap(), ["a", "b.c", "theirs"]);
    nats.producer()
        .push(Record::new("theirs", "v"))
        .await
        .unwrap();
    let error = nats.producer().push(Record::new("events", "v")).await;
    assert!(
        matches!(error, Err(Error::UnknownTopic { .. })),
        "{error:?}"
    );

    // A stream that stands in the way is left alone.
    let config = TopicConfig::partitions(1);
    let error = nats.create_topic("events", config).await.unwrap_err();
    assert!(matches!(error, Error::InvalidTopic { .. }), "{error:?}");
    assert!(error.to_string().contains("stream"), "{error}");
    let error = nats.create_topic("something", config).await;
    error.unwrap();
    let error = nats.create_topic("events.x", config).await.unwrap_err();
    assert!(matches!(error, Error::InvalidTopic { .. }), "{error:?}");
    assert!(error.to_string().contains("another stream"), "{error}");
}

#[tokio::test]
async fn a_topic_that_exists_gets_new_bounds() {
    need_server!();
    let server = Server::start();
    let nats = connect(&server.url()).await;
    nats.create_topic("t", TopicConfig::partitions(2))
        .await
        .unwrap();
    let producer = nats.producer();
    let mut all = records("t", 0..10);
    all.iter_mut().for_each(|record| record.partition = Some(0));
    producer.push_many(&mut all).await.unwrap();

    let config = TopicConfig::partitions(2)
        .retain_records(3)
        .max_record_bytes(4);
    nats.create_topic("t", config).await.unwrap();
    assert_eq!(texts(&stored(&server, "t").await), numbers(7..10));
    let error = producer.push(Record::new("t", "12345")).await.unwrap_err();
    assert!(matches!(error, Error::TooLarge { max: 4, .. }), "{error:?}");

    for partitions in [1, 3] {
        let config = TopicConfig::partitions(partitions);
        let error = nats.create_topic("t", config).await.unwrap_err();
        assert!(
            matches!(error, Error::TopicExists { partitions: 2, .. }),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn what_cannot_be_is_refused() {
    need_server!();
    let server = Server::start();
    let nats = connect(&server.url()).await;
    let one = TopicConfig::partitions(1);
    let names = [
        "", " ", "a b", "a\tb", "a.*", ">", "a..b", ".a", "a.", "$JS.API", "_INBOX.x",
    ];
    let long = "x".repeat(250);
    for name in names.into_iter().chain([&*long]) {
        let error = nats.create_topic(name, one).await.unwrap_err();
        assert!(
            matches!(error, Error::InvalidTopic { .. }),
            "{name:?}: {error:?}"
        );
        let error = nats
            .producer()
            .push(Record::new(name, "v"))
            .await
            .unwrap_err();
        assert!(
            matches!(error, Error::InvalidTopic { .. }),
            "{name:?}: {error:?}"
        );
        assert_eq!(error.into_record().unwrap().value, "v");
    }
    for name in ["a/b", "50%", "x=y", "é", "a-b_c", &long[1..]] {
        nats.create_topic(name, one).await.unwrap();
        nats.producer().push(Record::new(name, "v")).await.unwrap();
    }

    let refused = [
        TopicConfig::partitions(0),
        TopicConfig::partitions(5000),
        one.retain_records(0),
        one.retain_for(Duration::ZERO),
        one.max_record_bytes(2 * 1024 * 1024),
    ];
    for config in refused {
        let error = nats.create_topic("t", config).await.unwrap_err();
        assert!(
            matches!(error, Error::InvalidConfig { .. }),
            "{config:?}: {error:?}"
        );
        assert!(error.to_string().starts_with("topic `t` "), "{error}");
    }
    let unsupported = [
        one.retain_bytes(1 << 20),
        one.retain_records(3).when_full(WhenFull::Wait),
        one.retain_records(3).when_full(WhenFull::Reject),
    ];
    for config in unsupported {
        let error = nats.create_topic("t", config).await.unwrap_err();
        assert!(error.is_unsupported(), "{config:?}: {error:?}");
        assert!(error.to_string().starts_with("NATS cannot "), "{error}");
    }
    let unknown = nats.producer().push(Record::new("t", "v")).await;
    assert!(
        matches!(unknown, Err(Error::UnknownTopic { .. })),
        "{unknown:?}"
    );
}

#[tokio::test]
async fn a_topic_that_was_deleted_and_created_again_is_read_from_its_beginning() {
    // guarantee: K1
    need_server!();
    within(LONG, async {
        let server = Server::start();
        let nats = connect(&server.url()).await;
        let config = TopicConfig::partitions(1);
        nats.create_topic("t", config).await.unwrap();
        let producer = nats.producer();
        producer.push_many(&mut records("t", 0..20)).await.unwrap();
        let consumer = nats.consumer(ConsumerConfig::group("g"));
        consumer.subscribe(["t"]).await.unwrap();
        take(&consumer, 20).await;
        consumer.commit().await.unwrap();
        // Once it is shorter than what was read of the old one, and once longer.
        for more in [5, 30] {
            context(&server).await.delete_stream("t").await.unwrap();
            nats.create_topic("t", config).await.unwrap();
            producer
                .push_many(&mut records("t", 0..more))
                .await
                .unwrap();
            for (n, delivery) in take(&consumer, more).await.iter().enumerate() {
                assert_eq!(delivery.record.value, format!("n/{n}"));
            }
            consumer.commit().await.unwrap();
            assert_eq!(consumer.lag("t", 0).await.unwrap(), 0);
        }
    })
    .await;
}
