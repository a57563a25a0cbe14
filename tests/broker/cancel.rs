//! Every async call dropped at every poll.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use pushpull::broker::{
    Broker, Consumer, ConsumerConfig, Error, Producer, Record, TopicConfig, WhenFull,
};
use tokio_test::task;

async fn full(capacity: u64) -> Broker {
    let broker = Broker::in_memory();
    let config = TopicConfig::partitions(1)
        .retain_records(capacity)
        .when_full(WhenFull::Wait);
    broker.create_topic("t", config).await.unwrap();
    for n in 0..capacity {
        broker
            .producer()
            .push(Record::new("t", n.to_string()))
            .await
            .unwrap();
    }
    broker
}

async fn values(consumer: &impl Consumer, max: usize) -> Vec<String> {
    let taken = consumer.poll(max, Duration::ZERO).await.unwrap();
    let text = |value: &[u8]| String::from_utf8(value.to_vec()).unwrap();
    taken
        .iter()
        .map(|delivery| text(&delivery.record.value))
        .collect()
}

// guarantee: T5
#[tokio::test(start_paused = true)]
async fn a_push_that_is_dropped_while_it_waits_never_was() {
    let broker = full(2).await;
    let producer = broker.producer();
    {
        let mut push = task::spawn(producer.push(Record::new("t", "dropped")));
        assert!(push.poll().is_pending());
    }
    let consumer = broker.consumer(ConsumerConfig::group("g"));
    consumer.subscribe(["t"]).await.unwrap();
    assert_eq!(values(&consumer, 10).await, ["0", "1"]);
    consumer.commit().await.unwrap();
    producer.push(Record::new("t", "kept")).await.unwrap();
    assert_eq!(values(&consumer, 10).await, ["kept"]);
}

// guarantee: T5
#[tokio::test(start_paused = true)]
async fn a_push_that_was_woken_and_dropped_passes_the_room_on() {
    let broker = full(1).await;
    let consumer = broker.consumer(ConsumerConfig::group("g"));
    consumer.subscribe(["t"]).await.unwrap();
    let producer = broker.producer();
    let mut first = task::spawn(producer.push(Record::new("t", "first")));
    let mut second = task::spawn(producer.push(Record::new("t", "second")));
    assert!(first.poll().is_pending());
    assert!(second.poll().is_pending());

    assert_eq!(values(&consumer, 10).await, ["0"]);
    consumer.commit().await.unwrap();
    assert!(first.is_woken());
    drop(first);
    assert!(second.is_woken());
    assert!(second.poll().is_ready());
    assert_eq!(values(&consumer, 10).await, ["second"]);
}

#[tokio::test(start_paused = true)]
async fn each_acknowledgement_lets_one_waiting_push_in_and_it_the_next() {
    let broker = full(3).await;
    let consumer = broker.consumer(ConsumerConfig::group("g"));
    consumer.subscribe(["t"]).await.unwrap();
    let pushes: Vec<_> = (3..9)
        .map(|n| {
            let producer = broker.producer();
            tokio::spawn(async move { producer.push(Record::new("t", n.to_string())).await })
        })
        .collect();
    tokio::task::yield_now().await;
    let mut seen = Vec::new();
    while seen.len() < 9 {
        let taken = consumer.poll(10, Duration::from_secs(1)).await.unwrap();
        assert!(!taken.is_empty(), "a push sleeps beside room");
        // All at once: the room for three is told to one, who tells the next.
        seen.extend(taken.iter().map(|delivery| delivery.position.offset));
        consumer.commit().await.unwrap();
    }
    assert_eq!(seen, (0..9).collect::<Vec<_>>());
    for push in pushes {
        push.await.unwrap().unwrap();
    }
}

// guarantee: T5
#[tokio::test(start_paused = true)]
async fn what_push_many_did_not_push_is_left() {
    let broker = full(2).await;
    let producer = broker.producer();
    let consumer = broker.consumer(ConsumerConfig::group("g"));
    consumer.subscribe(["t"]).await.unwrap();
    assert_eq!(values(&consumer, 1).await, ["0"]);
    consumer.commit().await.unwrap();

    let mut records: VecDeque<_> = (2..5).map(|n| Record::new("t", n.to_string())).collect();
    {
        let mut push = task::spawn(producer.push_many(&mut records));
        assert!(push.poll().is_pending());
    }
    let left: Vec<_> = records.iter().map(|record| record.value.clone()).collect();
    assert_eq!(left, ["3", "4"]);
    assert_eq!(values(&consumer, 10).await, ["1", "2"]);

    consumer.commit().await.unwrap();
    assert_eq!(producer.push_many(&mut records).await.unwrap(), 2);
    assert!(records.is_empty());
}

#[tokio::test(start_paused = true)]
async fn push_many_stops_at_the_record_that_is_at_fault() {
    let broker = Broker::in_memory();
    let config = TopicConfig::partitions(2).max_record_bytes(10);
    broker.create_topic("t", config).await.unwrap();
    let mut records: VecDeque<_> = [
        Record::new("t", "a").partition(0),
        Record::new("t", "b").partition(1),
        Record::new("t", "much too long").partition(1),
        Record::new("t", "c").partition(0),
        Record::new("nowhere", "d"),
        Record::new("t", "e").partition(9),
        Record::new("t", "f"),
    ]
    .into();
    let producer = broker.producer();
    let error = producer.push_many(&mut records).await.unwrap_err();
    assert!(matches!(
        error,
        Error::TooLarge {
            size: 13,
            max: 10,
            ..
        }
    ));
    assert_eq!(error.into_record().unwrap().value, "much too long");
    let error = producer.push_many(&mut records).await.unwrap_err();
    assert!(matches!(error, Error::UnknownTopic { .. }));
    assert_eq!(error.into_record().unwrap().value, "d");
    let error = producer.push_many(&mut records).await.unwrap_err();
    assert!(matches!(
        error,
        Error::UnknownPartition {
            partition: 9,
            partitions: 2,
            ..
        }
    ));
    assert_eq!(error.into_record().unwrap().value, "e");
    assert_eq!(producer.push_many(&mut records).await.unwrap(), 1);
    assert_eq!(broker.stats().topics[0].pushed, 4);
}

// guarantee: K3, T5
#[tokio::test(start_paused = true)]
async fn a_poll_that_was_woken_and_dropped_has_taken_nothing() {
    let broker = Broker::in_memory();
    broker
        .create_topic("t", TopicConfig::partitions(1))
        .await
        .unwrap();
    let consumer = broker.consumer(ConsumerConfig::group("g"));
    consumer.subscribe(["t"]).await.unwrap();
    {
        let mut poll = task::spawn(consumer.poll(10, Duration::from_secs(60)));
        assert!(poll.poll().is_pending());
        let mut push = task::spawn(broker.producer().into_push(Record::new("t", "a")));
        assert!(push.poll().is_ready());
        assert!(poll.is_woken());
    }
    assert_eq!(values(&consumer, 10).await, ["a"]);
}

/// A push that owns its producer.
trait IntoPush {
    fn into_push(self, record: Record) -> impl Future<Output = Result<(), Error>>;
}

impl<P: Producer> IntoPush for P {
    async fn into_push(self, record: Record) -> Result<(), Error> {
        self.push(record).await.map(|_position| ())
    }
}

// guarantee: T5
#[tokio::test(start_paused = true)]
async fn closing_wakes_everybody_who_waits() {
    let broker = full(1).await;
    let consumer = broker.consumer(ConsumerConfig::group("g"));
    consumer.subscribe(["t"]).await.unwrap();
    assert_eq!(values(&consumer, 1).await, ["0"]);
    let producer = broker.producer();
    let mut push = task::spawn(producer.push(Record::new("t", "late")));
    let mut poll = task::spawn(consumer.poll(1, Duration::MAX));
    assert!(push.poll().is_pending());
    assert!(poll.poll().is_pending());
    broker.close().await.unwrap();
    let mut push = pin!(push);
    let refused = (&mut *push).await.unwrap_err();
    assert!(matches!(refused, Error::Closed { .. }));
    assert_eq!(refused.into_record().unwrap().value, "late");
    assert!(matches!(poll.await, Err(Error::Closed { .. })));
}
