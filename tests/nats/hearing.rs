//! What comes out: records as they were, messages of others, and news of the connection.

use bytes::Bytes;
use futures::StreamExt;
use pushpull::broker::{Consumer, ConsumerConfig, Event, Events, Producer, Record, TopicConfig};

use crate::kit::*;

#[tokio::test]
async fn everything_in_a_record_survives() {
    need_server!();
    let server = Server::start();
    let nats = connect(&server.url()).await;
    nats.create_topic("t", TopicConfig::partitions(3))
        .await
        .unwrap();
    let all = Bytes::from_iter(0..=255_u8);
    let odd = [
        Record::new("t", ""),
        Record::new("t", all.clone()).key(all.clone()),
        Record::new("t", "v").key("").id(""),
        Record::new("t", "v").partition(2).id(" \r\n"),
        Record::new("t", "v")
            .header("b", "1")
            .header("a", "2")
            .header("b", "3"),
        Record::new("t", "v")
            .header("", all)
            .header("\r\n:", " ")
            .header("é", "é"),
        Record::new("t", "v")
            .header("Nats-Rollup", "all")
            .header("Pushpull-Key", "x"),
    ];
    let consumer = nats.consumer(ConsumerConfig::group("g"));
    consumer.subscribe(["t"]).await.unwrap();
    let producer = nats.producer();
    for record in odd {
        let position = producer.push(record.clone()).await.unwrap();
        let polled = within(LONG, consumer.poll(1, LONG)).await.unwrap();
        assert_eq!(polled[0].record, record);
        assert_eq!(polled[0].position, position);
        consumer.ack(&polled[0]).await.unwrap();
    }
}

#[tokio::test]
async fn messages_of_other_programs_are_records() {
    need_server!();
    let server = Server::start();
    let nats = connect(&server.url()).await;
    nats.create_topic("t", TopicConfig::partitions(1))
        .await
        .unwrap();
    let context = context(&server).await;
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("Nats-Msg-Id", "theirs");
    headers.insert("Nats-Expected-Stream", "t");
    headers.insert("b", "2");
    headers.append("b", "1");
    headers.insert("a", "3");
    let sent = context.publish_with_headers("t.0", headers, "v".into());
    sent.await.unwrap().await.unwrap();
    let sent = context.publish("t.0", "bare".into());
    sent.await.unwrap().await.unwrap();

    let consumer = nats.consumer(ConsumerConfig::group("g"));
    consumer.subscribe(["t"]).await.unwrap();
    let mut got = Vec::new();
    while got.len() < 2 {
        let polled = within(LONG, consumer.poll(2, LONG)).await.unwrap();
        got.extend(polled.into_iter().map(|delivery| delivery.record));
    }
    let theirs = Record::new("t", "v").id("theirs");
    let theirs = theirs.header("a", "3").header("b", "2").header("b", "1");
    assert_eq!(got, [theirs, Record::new("t", "bare")]);
}

/// The next news of the connection.
async fn next(events: &mut Events) -> Option<Event> {
    let news = |event: &Event| matches!(event, Event::Connected | Event::Disconnected { .. });
    within(LONG, async {
        loop {
            match events.next().await {
                Some(event) if !news(&event) => continue,
                event => return event,
            }
        }
    })
    .await
}

#[tokio::test]
async fn consumers_hear_of_the_connection() {
    need_server!();
    let mut server = Server::start();
    let nats = connect(&server.url()).await;
    nats.create_topic("t", TopicConfig::partitions(1))
        .await
        .unwrap();
    let consumers = [1, 2].map(|n| nats.consumer(ConsumerConfig::group(format!("g{n}"))));
    let mut heard = consumers.each_ref().map(Consumer::events);
    for consumer in &consumers {
        consumer.subscribe(["t"]).await.unwrap();
    }
    for _ in 0..2 {
        server.kill();
        for events in &mut heard {
            let event = next(events).await;
            let Some(Event::Disconnected { reason }) = event else {
                panic!("{event:?}");
            };
            assert!(!reason.is_empty());
        }
        assert!(format!("{nats:?}").contains("connected: false"), "{nats:?}");
        server.restart();
        for events in &mut heard {
            let event = next(events).await;
            assert!(matches!(event, Some(Event::Connected)), "{event:?}");
        }
    }
    // What is pushed and read goes on as if nothing had been.
    nats.producer().push(Record::new("t", "v")).await.unwrap();
    for consumer in &consumers {
        let polled = within(LONG, consumer.poll(1, LONG)).await.unwrap();
        assert_eq!(polled[0].record.value, "v");
    }
    // News end with the consumer.
    let [one, two] = consumers;
    drop((one, two));
    for events in &mut heard {
        assert!(next(events).await.is_none());
    }
}
