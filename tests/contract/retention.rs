//! What a topic keeps, and what happens when it is full.

use std::sync::Arc;

use pushpull::broker::{Consumer, Error, Event, Events, Producer, Record, TopicConfig, WhenFull};
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
async fn keeps(engine: &impl Engine, config: TopicConfig, supported: bool, n: usize) {
    let topic = name("t");
    let created = engine.create(topic, config).await;
    if !supported {
        return assert_unsupported(created);
    }
    created.unwrap();
    if !to_the_letter() {
        return keeps_in_time(engine, topic, n).await;
    }
    let there = engine.reader(group(), topic).await;
    let events = there.events();
    settle(&[&there], 1).await;
    let producer = engine.producer();
    let mut pushed = Vec::new();
    for n in 0..10 {
        pushed.push(producer.push(ten_bytes(topic, n)).await.unwrap());
        sleep(second()).await;
    }
    let expected: Vec<_> = (10 - n..10).map(|n| format!("value-{n:04}")).collect();
    let new = engine.reader(group_named("new"), topic).await;
    assert_eq!(texts(&new.poll(100, NOW).await.unwrap()), expected);
    assert_eq!(texts(&there.poll(100, NOW).await.unwrap()), expected);
    assert_eq!(lost(&events, pushed[0].offset), 10 - n as u64);
}

fn ten_bytes(topic: &str, n: usize) -> Record {
    Record::new(topic, format!("value-{n:04}"))
}

/// Where retention works in the background: in the end there are no more than the last, and a group that was away is told
/// what it lost. Its member was not there, since what it has at hand already is not taken from it.
async fn keeps_in_time(engine: &impl Engine, topic: &str, n: usize) {
    let producer = engine.producer();
    let first = producer.push(ten_bytes(topic, 0)).await.unwrap();
    let there = engine.reader(group(), topic).await;
    drain_and_ack(&there, 1).await;
    there.close().await.unwrap();
    for n in 1..10 {
        producer.push(ten_bytes(topic, n)).await.unwrap();
    }
    // What comes later is there for long enough to be seen, also where age counts.
    let groups = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
    let mut kept = Vec::new();
    for (round, group) in groups.into_iter().enumerate() {
        producer.push(ten_bytes(topic, 10 + round)).await.unwrap();
        let new = engine.reader(group_named(group), topic).await;
        kept = poll_n(&new, 1).await;
        kept.extend(rest(&new).await);
        if kept.len() <= n {
            break;
        }
        sleep(second()).await;
    }
    assert!(kept.len() <= n, "{kept:?}");
    let there = engine.reader(group(), topic).await;
    let events = there.events();
    producer.push(ten_bytes(topic, 99)).await.unwrap();
    let got = poll_n(&there, 1).await;
    assert!(got[0].position.offset >= kept[0].position.offset);
    let lost = told(&events, |event| matches!(event, Event::Lost { .. })).await;
    let gap = |event: &Event| {
        let Event::Lost { from, missed, .. } = event else {
            return false;
        };
        *from == first.offset + 1 && *from + *missed <= got[0].position.offset
    };
    assert!(lost.iter().any(gap), "{lost:?}");
}

pub(crate) async fn by_count(engine: impl Engine) {
    // guarantee: K8
    let config = TopicConfig::partitions(1).retain_records(4);
    keeps(&engine, config, engine.capabilities().retains_records, 4).await;
}

pub(crate) async fn by_bytes(engine: impl Engine) {
    // guarantee: K8
    let config = TopicConfig::partitions(1).retain_bytes(35);
    keeps(&engine, config, engine.capabilities().retains_bytes, 3).await;
}

pub(crate) async fn by_age(engine: impl Engine) {
    // guarantee: K8
    let config = TopicConfig::partitions(1).retain_for(second() * 9 / 2);
    keeps(&engine, config, engine.capabilities().retains_age, 4).await;
}

pub(crate) async fn a_full_topic_waits_for_its_groups(engine: impl Engine) {
    // guarantee: K8
    let config = TopicConfig::partitions(1)
        .retain_records(2)
        .when_full(WhenFull::Wait);
    let topic = name("t");
    let created = engine.create(topic, config).await;
    if !engine.capabilities().waits_when_full {
        return assert_unsupported(created);
    }
    created.unwrap();
    let producer = Arc::new(engine.producer());
    push(&*producer, topic, 0..2).await;
    let waiting = tokio::spawn({
        let producer = producer.clone();
        async move { push(&*producer, topic, 2..4).await }
    });
    sleep(100 * second()).await;
    assert!(!waiting.is_finished());

    let consumer = engine.reader(group(), topic).await;
    let got = poll_n(&consumer, 2).await;
    assert_eq!(texts(&got), numbers(0..2));
    // Read is not acknowledged, and the second is not the oldest.
    consumer.ack(&got[1]).await.unwrap();
    assert!(consumer.poll(10, second()).await.unwrap().is_empty());
    consumer.ack(&got[0]).await.unwrap();
    assert_eq!(texts(&poll_n(&consumer, 2).await), numbers(2..4));
    waiting.await.unwrap();
}

pub(crate) async fn a_full_topic_refuses(engine: impl Engine) {
    // guarantee: K8
    let config = TopicConfig::partitions(1)
        .retain_records(2)
        .when_full(WhenFull::Reject);
    let topic = name("t");
    let created = engine.create(topic, config).await;
    if !engine.capabilities().waits_when_full {
        return assert_unsupported(created);
    }
    created.unwrap();
    let producer = engine.producer();
    push(&producer, topic, 0..2).await;
    let error = producer.push(Record::new(topic, "n/2")).await.unwrap_err();
    assert!(error.is_full() && matches!(error, Error::Full { partition: 0, .. }));
    let text =
        format!("partition 0 of topic `{topic}` is full; push again when its groups have read on");
    assert_eq!(error.to_string(), text);
    let refused = error.into_record().unwrap();

    let consumer = engine.reader(group(), topic).await;
    let got = poll_n(&consumer, 1).await;
    assert!(producer.push(refused.clone()).await.unwrap_err().is_full());
    consumer.ack(&got[0]).await.unwrap();
    producer.push(refused.clone()).await.unwrap();
    assert!(producer.push(refused).await.unwrap_err().is_full());
    assert_eq!(texts(&drain(&consumer, 2).await), numbers(1..3));
}
