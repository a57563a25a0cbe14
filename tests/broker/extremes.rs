//! The smallest and the largest of everything.

use std::time::{Duration, SystemTime};

use pushpull::broker::{
    Broker, Consumer, ConsumerConfig, Error, Producer, Record, Start, TopicConfig,
};

// guarantee: T8
#[tokio::test(start_paused = true)]
async fn settings_under_which_nothing_could_be_kept_or_delivered_are_refused() {
    let broker = Broker::in_memory();
    let one = TopicConfig::partitions(1);
    for config in [
        TopicConfig::partitions(0),
        TopicConfig::partitions(u32::MAX),
        one.retain_records(0),
        one.retain_bytes(0),
        one.retain_for(Duration::ZERO),
    ] {
        let error = broker.create_topic("t", config).await.unwrap_err();
        assert!(matches!(error, Error::InvalidConfig { .. }), "{error}");
    }
    for name in ["", "a\nb", &"x".repeat(250)] {
        let error = broker.create_topic(name, one).await.unwrap_err();
        assert!(matches!(error, Error::InvalidTopic { .. }), "{error}");
    }
    assert!(broker.topics().is_empty());

    broker.create_topic("t", one).await.unwrap();
    for config in [
        ConsumerConfig::group("g").max_in_flight(0),
        ConsumerConfig::group("g").max_attempts(0),
        ConsumerConfig::group("g").session_timeout(Duration::ZERO),
    ] {
        let error = broker.consumer(config).subscribe(["t"]).await.unwrap_err();
        assert!(matches!(error, Error::InvalidConfig { .. }), "{error}");
    }
    let round = ConsumerConfig::group("g").max_attempts(1).dead_letter("t");
    let error = broker.consumer(round).subscribe(["t"]).await.unwrap_err();
    assert!(matches!(error, Error::InvalidConfig { .. }), "{error}");
    let nameless = broker.consumer(ConsumerConfig::group(""));
    let error = nameless.subscribe(["t"]).await.unwrap_err();
    assert!(matches!(error, Error::InvalidGroup { .. }), "{error}");
}

// guarantee: T8
#[tokio::test(start_paused = true)]
async fn the_largest_settings_work() {
    let broker = Broker::in_memory();
    let config = TopicConfig::partitions(1)
        .retain_records(u64::MAX)
        .retain_bytes(u64::MAX)
        .retain_for(Duration::MAX)
        .max_record_bytes(usize::MAX);
    broker.create_topic("t", config).await.unwrap();
    let consumer = broker.consumer(
        ConsumerConfig::group("g")
            .ack_wait(Duration::MAX)
            .session_timeout(Duration::MAX)
            .max_attempts(u32::MAX)
            .max_in_flight(usize::MAX),
    );
    consumer.subscribe(["t"]).await.unwrap();
    let value = vec![7; 1024 * 1024];
    broker
        .producer()
        .push(Record::new("t", value.clone()))
        .await
        .unwrap();
    let taken = consumer.poll(usize::MAX, Duration::MAX).await.unwrap();
    assert_eq!(taken[0].record.value, value);
    consumer.nack(&taken[0], Some(Duration::MAX)).await.unwrap();
    let far = Duration::from_secs(86_400 * 365);
    assert!(consumer.poll(usize::MAX, far).await.unwrap().is_empty());
}

// guarantee: T8
#[tokio::test(start_paused = true)]
async fn the_smallest_settings_work() {
    let broker = Broker::in_memory();
    let config = TopicConfig::partitions(1)
        .retain_records(1)
        .retain_bytes(1)
        .max_record_bytes(1);
    broker.create_topic("t", config).await.unwrap();
    let producer = broker.producer();
    let error = producer.push(Record::new("t", "ab")).await.unwrap_err();
    assert!(matches!(
        error,
        Error::TooLarge {
            size: 2,
            max: 1,
            ..
        }
    ));
    producer.push(Record::new("t", "")).await.unwrap();
    producer.push(Record::new("t", "a")).await.unwrap();

    let config = ConsumerConfig::group("g")
        .ack_wait(Duration::ZERO)
        .session_timeout(Duration::from_nanos(1))
        .max_in_flight(1);
    let consumer = broker.consumer(config);
    consumer.subscribe(["t"]).await.unwrap();
    assert!(consumer.poll(0, Duration::MAX).await.unwrap().is_empty());
    let taken = consumer.poll(1, Duration::ZERO).await.unwrap();
    assert_eq!(taken[0].position.offset, 1);
}

// guarantee: T8
#[tokio::test(start_paused = true)]
async fn any_start_is_one() {
    let broker = Broker::in_memory();
    broker
        .create_topic("t", TopicConfig::partitions(1))
        .await
        .unwrap();
    for value in ["a", "b"] {
        let record = Record::new("t", value);
        broker.producer().push(record).await.unwrap();
    }
    let far = SystemTime::now() + Duration::from_secs(3600);
    for (start, first) in [
        (Start::Earliest, 0),
        (Start::Latest, 2),
        (Start::Offset(1), 1),
        (Start::Offset(u64::MAX), 2),
        (Start::Time(SystemTime::UNIX_EPOCH), 0),
        (
            Start::Time(SystemTime::UNIX_EPOCH - Duration::from_secs(1)),
            0,
        ),
        (Start::Time(far), 2),
    ] {
        let group = format!("{start:?}");
        let consumer = broker.consumer(ConsumerConfig::group(group).start(start));
        consumer.subscribe(["t"]).await.unwrap();
        assert_eq!(consumer.position("t", 0).unwrap(), first, "{start:?}");
    }
}
