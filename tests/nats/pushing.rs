//! Records on their way in.

use std::collections::HashSet;

use async_nats::jetstream::stream::{Config, DiscardPolicy};
use futures::SinkExt;
use pushpull::broker::{Error, Producer, Record, TopicConfig};

use crate::kit::*;

#[tokio::test]
async fn a_record_lies_as_another_program_would_look_for_it() {
    need_server!();
    let server = Server::start();
    let nats = connect(&server.url()).await;
    nats.create_topic("orders.eu", TopicConfig::partitions(2))
        .await
        .unwrap();
    let record = Record::new("orders.eu", "two apples").partition(1);
    let record = record.key("alice").header("source", "web").id("order-7");
    let position = nats.producer().push(record).await.unwrap();
    assert_eq!((position.partition, position.offset), (1, 1));

    let all = stored(&server, "orders=eu").await;
    let message = &all[0];
    assert_eq!(message.subject.as_str(), "orders.eu.1");
    assert_eq!(message.payload, "two apples");
    let header = |name| message.headers.get(name).unwrap().as_str();
    assert_eq!(header("Nats-Msg-Id"), "order-7");
    assert_eq!(header("Pushpull-Key"), "alice");
    assert_eq!(header("source"), "web");
}

#[tokio::test]
async fn a_repeated_id_is_stored_once() {
    // guarantee: K1
    need_server!();
    let server = Server::start();
    let nats = connect(&server.url()).await;
    nats.create_topic("t", TopicConfig::partitions(3))
        .await
        .unwrap();
    // Neither what the server would take for a header of its own nor what looks like an id made here is in the way.
    let ids = ["order-7", "", "é\n", " ", "Nats-Msg-Id: 1", "pushpull:a:1"];
    for id in ids {
        let record = Record::new("t", "v")
            .id(id)
            .header("Nats-Msg-Id", "x")
            .header("note", "Nats-Msg-Id: y");
        let position = nats.producer().push(record.clone()).await.unwrap();
        let again = nats.producer().push(record.clone()).await.unwrap();
        assert_eq!(again, position, "{id:?}");
    }
    assert_eq!(stored(&server, "t").await.len(), ids.len());

    // Without an id each is another one.
    for _ in 0..2 {
        nats.producer().push(Record::new("t", "v")).await.unwrap();
    }
    assert_eq!(stored(&server, "t").await.len(), ids.len() + 2);
}

#[tokio::test]
async fn records_without_key_are_spread() {
    need_server!();
    let server = Server::start();
    let nats = connect(&server.url()).await;
    nats.create_topic("t", TopicConfig::partitions(3))
        .await
        .unwrap();
    let producer = nats.producer();
    producer.push_many(&mut records("t", 0..30)).await.unwrap();
    let all = stored(&server, "t").await;
    let used: HashSet<_> = all.iter().map(|message| message.subject.as_str()).collect();
    assert_eq!((all.len(), used.len()), (30, 3));
}

#[tokio::test]
async fn a_full_partition_refuses_and_gives_back() {
    // guarantee: K8
    need_server!();
    let server = Server::start();
    let nats = connect(&server.url()).await;
    // No topic is made like this here, but others may.
    let stream = Config {
        name: "t".into(),
        subjects: vec!["t.0".into(), "t.1".into()],
        max_messages_per_subject: 3,
        discard: DiscardPolicy::New,
        discard_new_per_subject: true,
        ..Config::default()
    };
    context(&server).await.create_stream(stream).await.unwrap();
    let producer = nats.producer();
    let mut all = records("t", 0..6);
    for record in &mut all {
        record.partition = Some(1);
    }
    let error = producer.push_many(&mut all).await.unwrap_err();
    assert!(
        matches!(&error, Error::Full { topic, partition: 1, .. } if topic == "t"),
        "{error:?}"
    );
    assert_eq!(error.into_record().unwrap().value, "n/3");
    let left: Vec<_> = all.iter().map(|record| record.value.clone()).collect();
    assert_eq!(left, ["n/4", "n/5"]);
    assert_eq!(texts(&stored(&server, "t").await), numbers(0..3));

    // The other partition has room.
    let record = Record::new("t", "v").partition(0);
    nats.producer().push(record).await.unwrap();
    // As a sink it says so when it is flushed, and can be used afterwards.
    let mut sink = nats.producer();
    sink.feed(Record::new("t", "w").partition(1)).await.unwrap();
    let error = sink.flush().await.unwrap_err();
    assert!(error.is_full(), "{error:?}");
    assert_eq!(error.into_record().unwrap().value, "w");
    sink.send(Record::new("t", "v").partition(0)).await.unwrap();
}

#[tokio::test]
async fn a_full_partition_drops_the_oldest() {
    // guarantee: K8
    need_server!();
    let server = Server::start();
    let nats = connect(&server.url()).await;
    let config = TopicConfig::partitions(1).retain_records(3);
    nats.create_topic("t", config).await.unwrap();
    let producer = nats.producer();
    producer.push_many(&mut records("t", 0..10)).await.unwrap();
    assert_eq!(texts(&stored(&server, "t").await), numbers(7..10));
}

#[tokio::test]
async fn what_the_server_does_not_take_is_too_large() {
    need_server!();
    let server = Server::start();
    let nats = connect(&server.url()).await;
    nats.create_topic("t", TopicConfig::partitions(1))
        .await
        .unwrap();
    // The topic's bound allows for it, the headers are too much for the server.
    let record = Record::new("t", vec![b'x'; 1024 * 1024]);
    let error = nats.producer().push(record.clone()).await.unwrap_err();
    let Error::TooLarge { size, max, .. } = error else {
        panic!("{error:?}");
    };
    assert!(size > max && max > 1_000_000, "{size} {max}");
    assert_eq!(error.into_record().unwrap(), record);
    let record = Record::new("t", vec![b'x'; max]);
    nats.producer().push(record).await.unwrap();

    // What another handle learns from the server, not from this process.
    let config = TopicConfig::partitions(1).max_record_bytes(10);
    nats.create_topic("small", config).await.unwrap();
    let other = connect(&server.url()).await;
    let record = Record::new("small", "12345678901");
    let error = other.producer().push(record).await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::TooLarge {
                size: 11,
                max: 10,
                ..
            }
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_closed_connection_gives_records_back() {
    need_server!();
    let mut server = Server::start();
    let nats = connect(&server.url()).await;
    nats.create_topic("t", TopicConfig::partitions(1))
        .await
        .unwrap();
    let producer = nats.producer();
    producer.push(Record::new("t", "v")).await.unwrap();
    // One that waits for the server, too.
    server.kill();
    let waiting = tokio::spawn({
        let producer = producer.clone();
        async move { producer.push(Record::new("t", "w")).await }
    });
    tokio::task::yield_now().await;
    server.restart();
    nats.close().await.unwrap();
    assert!(nats.is_closed());
    let pushed = within(LONG, waiting).await.unwrap();
    if let Err(error) = pushed {
        assert!(matches!(error, Error::Closed { .. }), "{error:?}");
        assert_eq!(error.into_record().unwrap().value, "w");
    }
    let error = producer.push(Record::new("t", "x")).await.unwrap_err();
    assert!(matches!(error, Error::Closed { .. }), "{error:?}");
    assert_eq!(error.into_record().unwrap().value, "x");
    let error = producer.sync().await.unwrap_err();
    assert!(matches!(error, Error::Closed { .. }), "{error:?}");
    let error = nats.topics().await.unwrap_err();
    assert!(matches!(error, Error::Closed { .. }), "{error:?}");
}
