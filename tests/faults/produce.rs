//! Faults while records are pushed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use pushpull::broker::{Consumer, ConsumerConfig, Producer, Record, TopicConfig};
use pushpull::nats::{Nats, Options};
use tokio::time::sleep;

use crate::kit::*;
use crate::nats_server::{Server, skipped};
use crate::proxy::{Line, Proxy};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_outlives_the_server() {
    // guarantee: K1, K2
    if skipped() {
        return;
    }
    let mut server = Server::start();
    let nats = connect(&server.url()).await;
    nats.create_topic("t", TopicConfig::partitions(3))
        .await
        .unwrap();
    let (stop, count) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let pushers: Vec<_> = (0..8)
        .map(|pusher| {
            let (producer, stop, count) = (nats.producer(), stop.clone(), count.clone());
            tokio::spawn(async move {
                let mut acknowledged = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let text = format!("{pusher}/{}", acknowledged.len());
                    let record = Record::new("t", text.clone()).key(format!("{pusher}"));
                    // It is pushed again, with the same number, until the server is back.
                    let position = producer.push(record).await.unwrap();
                    acknowledged.push((text, position));
                    count.fetch_add(1, Ordering::Relaxed);
                }
                acknowledged
            })
        })
        .collect();
    for _ in 0..4 {
        let before = count.load(Ordering::Relaxed);
        until("progress", || count.load(Ordering::Relaxed) > before + 300).await;
        server.kill();
        sleep(TICK).await;
        server.restart();
    }
    let before = count.load(Ordering::Relaxed);
    until("progress", || count.load(Ordering::Relaxed) > before + 300).await;
    stop.store(true, Ordering::Relaxed);

    let mut acknowledged = Vec::new();
    for pusher in pushers {
        let of_one = pusher.await.unwrap();
        assert!(
            of_one
                .windows(2)
                .all(|two| two[0].1.offset < two[1].1.offset)
        );
        acknowledged.extend(of_one);
    }
    let got = rest(&nats, ConsumerConfig::group("g"), 3).await;
    let mut got: Vec<_> = got
        .iter()
        .map(|got| (text(got), got.position.clone()))
        .collect();
    acknowledged.sort_by(|a, b| a.0.cmp(&b.0));
    got.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(got.len(), acknowledged.len(), "each is there once");
    assert_eq!(got, acknowledged);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_flushes_what_a_killed_server_had_not_answered() {
    // guarantee: K1
    use futures::SinkExt;

    if skipped() {
        return;
    }
    let mut server = Server::start();
    let nats = connect(&server.url()).await;
    nats.create_topic("t", TopicConfig::partitions(2))
        .await
        .unwrap();
    let mut producer = nats.producer();
    for n in 0..3000 {
        if n % 1000 == 500 {
            server.restart();
        }
        let record = Record::new("t", format!("n/{n}")).key(format!("{}", n % 7));
        producer.feed(record).await.unwrap();
    }
    producer.flush().await.unwrap();
    let got = rest(&nats, ConsumerConfig::group("g"), 2).await;
    let texts: Vec<_> = got.iter().map(text).collect();
    let counts = counts(&texts);
    assert_eq!(
        (counts.len(), texts.len()),
        (3000, 3000),
        "each is there once"
    );
}

/// The server has the record, and its answer is lost with the connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_whose_answer_was_lost_is_stored_once() {
    // guarantee: K1
    if skipped() {
        return;
    }
    let server = Server::start();
    let direct = connect(&server.url()).await;
    direct
        .create_topic("t", TopicConfig::partitions(1))
        .await
        .unwrap();
    let proxy = Proxy::to(server.address()).await;
    let nats = connect(&proxy.url()).await;
    let producer = nats.producer();
    producer.push(Record::new("t", "first")).await.unwrap();
    let witness = reader(&direct, ConsumerConfig::group("witness")).await;
    assert_eq!(poll_one(&witness).await.0, "first");

    proxy.set(Line::Mute);
    let pushing = tokio::spawn(async move { producer.push(Record::new("t", "second")).await });
    let (seen, position) = poll_one(&witness).await;
    assert_eq!(seen, "second");
    assert!(!pushing.is_finished(), "nobody has told it yet");
    proxy.set(Line::Cut);
    sleep(TICK).await;
    proxy.set(Line::Open);
    assert_eq!(pushing.await.unwrap().unwrap(), position);
    let all = rest(&direct, ConsumerConfig::group("all"), 1).await;
    let texts: Vec<_> = all.iter().map(text).collect();
    assert_eq!(texts, ["first", "second"]);
}

/// The caller gives up, and pushes again what is stored already.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_that_timed_out_can_be_made_again() {
    // guarantee: K1
    if skipped() {
        return;
    }
    let server = Server::start();
    let direct = connect(&server.url()).await;
    direct
        .create_topic("t", TopicConfig::partitions(1))
        .await
        .unwrap();
    let proxy = Proxy::to(server.address()).await;
    let options = Options::new().request_timeout(Duration::from_secs(2));
    let nats = Nats::connect(proxy.url(), options).await.unwrap();
    let producer = nats.producer();
    producer.push(Record::new("t", "first")).await.unwrap();
    let witness = reader(&direct, ConsumerConfig::group("witness")).await;
    assert_eq!(poll_one(&witness).await.0, "first");

    proxy.set(Line::Mute);
    let record = Record::new("t", "second").id("second-1");
    let error = producer.push(record.clone()).await.unwrap_err();
    let back = error.into_record().unwrap();
    assert_eq!(back, record);
    let (seen, position) = poll_one(&witness).await;
    assert_eq!(seen, "second");
    proxy.set(Line::Open);
    assert_eq!(producer.push(back).await.unwrap(), position);
    let all = rest(&direct, ConsumerConfig::group("all"), 1).await;
    let texts: Vec<_> = all.iter().map(text).collect();
    assert_eq!(texts, ["first", "second"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_line_is_slow_and_nothing_else() {
    // guarantee: K1, K2
    if skipped() {
        return;
    }
    let server = Server::start();
    let proxy = Proxy::to(server.address()).await;
    let nats = connect(&proxy.url()).await;
    nats.create_topic("t", TopicConfig::partitions(2))
        .await
        .unwrap();
    proxy.set(Line::Slow(Duration::from_millis(50)));
    push(&nats.producer(), 0..500).await;
    let got = rest(&nats, group(), 2).await;
    let texts: Vec<_> = got.iter().map(text).collect();
    assert_eq!((counts(&texts).len(), texts.len()), (500, 500));
    assert!(got.iter().all(|got| got.attempt == 1));
}

async fn poll_one(consumer: &impl Consumer) -> (String, pushpull::broker::Position) {
    let polled = consumer.poll(1, Duration::from_secs(60)).await.unwrap();
    consumer.ack(&polled[0]).await.unwrap();
    (text(&polled[0]), polled[0].position.clone())
}
