//! Faults while records are read.

use std::collections::HashMap;
use std::time::Duration;

use pushpull::broker::{Consumer, Event, TopicConfig};
use tokio::time::{Instant, sleep};

use crate::kit::*;
use crate::nats_server::{Server, skipped};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_outlives_the_server() {
    // guarantee: K1, K6
    if skipped() {
        return;
    }
    let mut server = Server::start();
    let nats = connect(&server.url()).await;
    nats.create_topic("t", TopicConfig::partitions(3))
        .await
        .unwrap();
    push(&nats.producer(), 0..3000).await;
    let config = || group().session_timeout(Duration::from_secs(60));
    let consumer = reader(&nats, config()).await;
    let events = consumer.events();
    let (mut got, mut kills) = (Vec::new(), 0);
    let end = Instant::now() + Duration::from_secs(90);
    while got.len() < 3000 {
        assert!(Instant::now() < end, "{} of 3000", got.len());
        for delivery in consumer.poll(40, TICK).await.unwrap() {
            consumer.ack(&delivery).await.unwrap();
            got.push(delivery);
        }
        if kills < 4 && got.len() > 500 * (kills + 1) {
            kills += 1;
            server.kill();
            sleep(TICK).await;
            server.restart();
        }
    }
    assert_eq!(kills, 4);
    // It was the same member all the time: what it was done with did not come again.
    let texts: Vec<_> = got.iter().map(text).collect();
    assert_eq!((counts(&texts).len(), texts.len()), (3000, 3000));
    assert!(got.iter().all(|got| got.attempt == 1));
    assert_told_of_the_connection(&told(&events));
    // A server that is killed forgets what it was told last. With a member that is still there, it comes to know again.
    assert!(consumer.poll(40, 20 * TICK).await.unwrap().is_empty());
    consumer.commit().await.unwrap();
    consumer.close().await.unwrap();
    assert!(rest(&nats, config(), 3).await.is_empty());
}

/// The server is away for longer than the session: the member has counted itself out, and comes back with the server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_was_away_for_long_is_found_again() {
    // guarantee: K1, K7
    if skipped() {
        return;
    }
    let mut server = Server::start();
    let nats = connect(&server.url()).await;
    nats.create_topic("t", TopicConfig::partitions(3))
        .await
        .unwrap();
    push(&nats.producer(), 0..600).await;
    let consumer = reader(&nats, group()).await;
    let events = consumer.events();
    let mut got: HashMap<String, usize> = HashMap::new();
    while got.len() < 200 {
        for delivery in consumer.poll(20, TICK).await.unwrap() {
            consumer.ack(&delivery).await.unwrap();
            *got.entry(text(&delivery)).or_default() += 1;
        }
    }
    server.kill();
    let away = Instant::now();
    while away.elapsed() < 2 * SESSION {
        // What had been fetched may come, for as long as nobody else may have it. Some is left for when the server is back.
        sleep(TICK).await;
        let max = usize::from(got.len() < 400);
        for delivery in consumer.poll(max, TICK).await.unwrap_or_default() {
            if consumer.ack(&delivery).await.is_ok() {
                *got.entry(text(&delivery)).or_default() += 1;
            }
        }
    }
    assert!(
        consumer.assignment().is_empty(),
        "others may have them by now"
    );
    server.restart();
    let end = Instant::now() + Duration::from_secs(60);
    while got.len() < 600 {
        assert!(Instant::now() < end, "{} of 600", got.len());
        for delivery in consumer.poll(100, TICK).await.unwrap_or_default() {
            if consumer.ack(&delivery).await.is_ok() {
                *got.entry(text(&delivery)).or_default() += 1;
            }
        }
    }
    let told = told(&events);
    assert_told_of_the_connection(&told);
    let revoked = |event: &Event| matches!(event, Event::Expired | Event::Revoked { .. });
    assert!(told.iter().any(revoked), "{told:?}");
    consumer.close().await.unwrap();
    assert!(rest(&nats, group(), 3).await.is_empty());
}

/// It takes a little now and then, beside a topic that is full: what waits for it is not delivered twice, and does not
/// pile up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_consumer_gets_everything_once() {
    // guarantee: K1, K3, K8
    if skipped() {
        return;
    }
    let server = Server::start();
    let nats = connect(&server.url()).await;
    nats.create_topic("t", TopicConfig::partitions(2))
        .await
        .unwrap();
    push(&nats.producer(), 0..3000).await;
    let config = || {
        group()
            .session_timeout(Duration::from_millis(1500))
            .max_in_flight(100)
    };
    let consumer = reader(&nats, config()).await;
    let events = consumer.events();
    let mut got = consumer.poll(1, Duration::from_secs(60)).await.unwrap();
    // Several times as long as the server waits for the answer to what it sent, and no answer.
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(8) {
        assert!(consumer.poll(0, Duration::ZERO).await.unwrap().is_empty());
        sleep(TICK).await;
    }
    // What is taken and not answered has its bound.
    let end = Instant::now() + Duration::from_secs(30);
    while got.len() < 200 && Instant::now() < end {
        got.extend(consumer.poll(1000, TICK).await.unwrap());
    }
    assert!(consumer.poll(1000, 5 * TICK).await.unwrap().is_empty());
    assert_eq!(got.len(), 200, "100 of each partition");
    for delivery in &got {
        consumer.ack(delivery).await.unwrap();
    }
    let end = Instant::now() + Duration::from_secs(60);
    while got.len() < 3000 {
        assert!(Instant::now() < end, "{} of 3000", got.len());
        for delivery in consumer.poll(50, TICK).await.unwrap() {
            sleep(Duration::from_millis(1)).await;
            consumer.ack(&delivery).await.unwrap();
            got.push(delivery);
        }
    }
    let texts: Vec<_> = got.iter().map(text).collect();
    assert_eq!((counts(&texts).len(), texts.len()), (3000, 3000));
    assert!(got.iter().all(|got| got.attempt == 1));
    for partition in 0..2 {
        let of_one = got.iter().filter(|got| got.position.partition == partition);
        assert!(of_one.map(|got| got.position.offset).is_sorted());
    }
    let told = told(&events);
    let full = told
        .iter()
        .filter(|event| matches!(event, Event::InFlightFull { .. }));
    assert!(full.count() >= 2, "{told:?}");
    consumer.close().await.unwrap();
    assert!(rest(&nats, config(), 2).await.is_empty());
}
