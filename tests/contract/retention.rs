//! What a topic keeps, and what happens when it is full.

use std::sync::Arc;

use pushpull::broker::{
    Consumer, ConsumerConfig, Error, Event, Events, Producer, Record, TopicConfig, WhenFull,
};
use tokio::time::sleep;

use crate::engines::Engine;
use crate::kit::*;

/// How many records of a group are said to be lost, and that they begin there.
fn lost(events: &Events, mut from: u64) -> u64 {
    let mut lost = 0;
    for event in all_events(events) {
        if let Event::Lost {
            from: first,
            missed,
            ..
        } = event
        {
            assert_eq!(first, from);
            from += missed;
            lost += missed;
        }
    }
    lost
}

/// Pushes 10 records of 10 bytes, waits, and says what a member of a group that was there before gets, and what one of
/// a new group. The losses are told to the first.
async fn keeps(engine: &impl Engine, config: TopicConfig, n: usize) {
    engine.create("t", config).await.unwrap();
    let there = engine.reader(group(), "t").await;
    let events = there.events();
    settle(&[&there], 1).await;
    let producer = engine.producer();
    let mut pushed = Vec::new();
    for n in 0..10 {
        let record = Record::new("t", format!("value-00{n}"));
        pushed.push(producer.push(record).await.unwrap());
        sleep(SECOND).await;
    }
    let expected: Vec<_> = (10 - n..10).map(|n| format!("value-00{n}")).collect();
    let new = engine.reader(ConsumerConfig::group("new"), "t").await;
    assert_eq!(texts(&new.poll(100, NOW).await.unwrap()), expected);
    assert_eq!(texts(&there.poll(100, NOW).await.unwrap()), expected);
    assert_eq!(lost(&events, pushed[0].offset), 10 - n as u64);
}

pub(crate) async fn by_count(engine: impl Engine) {
    // guarantee: K8
    keeps(&engine, TopicConfig::partitions(1).retain_records(4), 4).await;
}

pub(crate) async fn by_bytes(engine: impl Engine) {
    // guarantee: K8
    keeps(&engine, TopicConfig::partitions(1).retain_bytes(35), 3).await;
}

pub(crate) async fn by_age(engine: impl Engine) {
    // guarantee: K8
    let config = TopicConfig::partitions(1).retain_for(SECOND * 9 / 2);
    keeps(&engine, config, 4).await;
}

pub(crate) async fn a_full_topic_waits_for_its_groups(engine: impl Engine) {
    // guarantee: K8
    let config = TopicConfig::partitions(1)
        .retain_records(2)
        .when_full(WhenFull::Wait);
    engine.create("t", config).await.unwrap();
    let producer = Arc::new(engine.producer());
    push(&*producer, "t", 0..2).await;
    let waiting = tokio::spawn({
        let producer = producer.clone();
        async move { push(&*producer, "t", 2..4).await }
    });
    sleep(100 * SECOND).await;
    assert!(!waiting.is_finished());

    let consumer = engine.reader(group(), "t").await;
    let got = poll_n(&consumer, 2).await;
    assert_eq!(texts(&got), numbers(0..2));
    // Read is not acknowledged, and the second is not the oldest.
    consumer.ack(&got[1]).await.unwrap();
    assert!(consumer.poll(10, SECOND).await.unwrap().is_empty());
    consumer.ack(&got[0]).await.unwrap();
    assert_eq!(texts(&poll_n(&consumer, 2).await), numbers(2..4));
    waiting.await.unwrap();
}

pub(crate) async fn a_full_topic_refuses(engine: impl Engine) {
    // guarantee: K8
    let config = TopicConfig::partitions(1)
        .retain_records(2)
        .when_full(WhenFull::Reject);
    engine.create("t", config).await.unwrap();
    let producer = engine.producer();
    push(&producer, "t", 0..2).await;
    let error = producer.push(Record::new("t", "n/2")).await.unwrap_err();
    assert!(error.is_full() && matches!(error, Error::Full { partition: 0, .. }));
    let text = "partition 0 of topic `t` is full; push again when its groups have read on";
    assert_eq!(error.to_string(), text);
    let refused = error.into_record().unwrap();

    let consumer = engine.reader(group(), "t").await;
    let got = poll_n(&consumer, 1).await;
    assert!(producer.push(refused.clone()).await.unwrap_err().is_full());
    consumer.ack(&got[0]).await.unwrap();
    producer.push(refused.clone()).await.unwrap();
    assert!(producer.push(refused).await.unwrap_err().is_full());
    assert_eq!(texts(&drain(&consumer).await), numbers(1..3));
}
