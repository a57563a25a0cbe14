//! What a member that died had, in the hands of the next.

use std::time::Duration;

use pushpull::broker::{
    Consumer as _, ConsumerConfig, Delivery, Event, Producer as _, TopicConfig,
};
use tokio::runtime::Builder;
use tokio::time::Instant;

use crate::kit::{LONG, SECOND, Server, connect, need_server, records, take, within};

const SESSION: Duration = SECOND;

fn group() -> ConsumerConfig {
    ConsumerConfig::group("g").session_timeout(SESSION)
}

fn offsets(deliveries: &[Delivery]) -> Vec<u64> {
    deliveries.iter().map(|it| it.position.offset).collect()
}

/// A member that takes so many, acknowledges the first of them, and then dies as a program does. What it took.
fn dies(url: String, config: ConsumerConfig, take: usize, ack: usize) -> Vec<Delivery> {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let taken = runtime.block_on(async {
        let nats = connect(&url).await;
        let member = nats.consumer(config);
        member.subscribe(["t"]).await.unwrap();
        let taken = crate::kit::take(&member, take).await;
        for delivery in &taken[..ack] {
            member.ack(delivery).await.unwrap();
        }
        member
            .acker()
            .commit_to(&taken[ack - 1].position)
            .await
            .unwrap();
        // Nothing of it says good-bye.
        std::mem::forget(member);
        std::mem::forget(nats);
        taken
    });
    runtime.shutdown_background();
    taken
}

#[tokio::test]
async fn what_the_dead_had_comes_first_in_order_and_counted() {
    // guarantee: K1 K2 K6 K7
    need_server!();
    within(LONG, async {
        let server = Server::start();
        let nats = connect(&server.url()).await;
        nats.create_topic("t", TopicConfig::partitions(1))
            .await
            .unwrap();
        let producer = nats.producer();
        producer.push_many(&mut records("t", 0..200)).await.unwrap();
        let url = server.url();
        let config = group().max_in_flight(50);
        let dead = tokio::task::spawn_blocking(move || dies(url, config, 40, 10));
        let taken = dead.await.unwrap();
        let died = Instant::now();

        let next = nats.consumer(group());
        next.subscribe(["t"]).await.unwrap();
        let mut got = Vec::new();
        while got.len() < 190 {
            let polled = next.poll(1000, LONG).await.unwrap();
            if got.is_empty() {
                let waited = died.elapsed();
                assert!(
                    waited < SESSION * 3,
                    "{waited:?} for a session of {SESSION:?}"
                );
            }
            got.extend(polled);
        }
        assert!(offsets(&got).is_sorted(), "{:?}", offsets(&got));
        assert_eq!(offsets(&got), (11..=200).collect::<Vec<_>>());
        // 30 were in hand; more had been fetched, and the server alone knows.
        for delivery in &got[..30] {
            assert_eq!(delivery.attempt, 2, "{delivery:?}");
        }
        assert!(got[150..].iter().all(|it| it.attempt == 1));
        assert_eq!(taken[10].position, got[0].position);
        assert_eq!(next.committed("t", 0).await.unwrap(), Some(11));
    })
    .await;
}

#[tokio::test]
async fn what_was_handed_over_was_not_delivered_before() {
    // guarantee: K2 K6 K7
    need_server!();
    within(LONG, async {
        let server = Server::start();
        let nats = connect(&server.url()).await;
        nats.create_topic("t", TopicConfig::partitions(4))
            .await
            .unwrap();
        let mut all = records("t", 0..400);
        for (record, n) in all.iter_mut().zip(0..) {
            *record = record.clone().partition(n % 4);
        }
        nats.producer().push_many(&mut all).await.unwrap();
        let one = nats.consumer(group());
        one.subscribe(["t"]).await.unwrap();
        let first = take(&one, 40).await;
        for delivery in &first {
            one.ack(delivery).await.unwrap();
        }
        let mut got = first;
        // Twice on: what is only fetched goes through several hands.
        let two = nats.consumer(group());
        two.subscribe(["t"]).await.unwrap();
        while two.assignment().len() < 2 {
            got.extend(one.poll(0, SECOND / 20).await.unwrap());
            tokio::time::sleep(SECOND / 50).await;
        }
        one.close().await.unwrap();
        let three = nats.consumer(group());
        three.subscribe(["t"]).await.unwrap();
        while three.assignment().len() < 2 {
            tokio::time::sleep(SECOND / 50).await;
            two.poll(0, Duration::ZERO).await.unwrap();
        }
        two.close().await.unwrap();
        while got.len() < 400 {
            let polled = three.poll(1000, LONG).await.unwrap();
            for delivery in &polled {
                three.ack(delivery).await.unwrap();
            }
            got.extend(polled);
        }
        for partition in 0..4 {
            let of_one = got.iter().filter(|it| it.position.partition == partition);
            let offsets: Vec<_> = of_one.map(|it| it.position.offset).collect();
            assert_eq!(offsets.len(), 100);
            assert!(offsets.is_sorted_by(|a, b| a < b), "{offsets:?}");
        }
        assert!(got.iter().all(|it| it.attempt == 1), "{got:?}");
    })
    .await;
}

#[tokio::test]
async fn a_durable_that_somebody_deleted_is_made_anew_where_it_was() {
    // guarantee: K1
    need_server!();
    within(LONG, async {
        let server = Server::start();
        let nats = connect(&server.url()).await;
        nats.create_topic("t", TopicConfig::partitions(1)).await.unwrap();
        let producer = nats.producer();
        producer.push_many(&mut records("t", 0..20)).await.unwrap();
        let member = nats.consumer(group().session_timeout(SECOND * 30));
        member.subscribe(["t"]).await.unwrap();
        let got = take(&member, 20).await;
        for delivery in &got[..10] {
            member.ack(delivery).await.unwrap();
        }
        member.commit_to(&got[9].position).await.unwrap();

        let client = async_nats::connect(server.url()).await.unwrap();
        let context = async_nats::jetstream::new(client);
        let stream = context.get_stream("t").await.unwrap();
        // A server that stumbles over its own files says so, and has deleted it nevertheless.
        let _stumbled = stream.delete_consumer("g-0").await;
        producer.push_many(&mut records("t", 20..30)).await.unwrap();
        // What is in hand stays there, and nothing comes twice.
        let rest = take(&member, 10).await;
        assert_eq!(offsets(&rest), (21..=30).collect::<Vec<_>>());
        for delivery in got[10..].iter().chain(&rest) {
            member.ack(delivery).await.unwrap();
        }
        member.commit_to(&rest[9].position).await.unwrap();
        assert_eq!(member.committed("t", 0).await.unwrap(), Some(31));
        assert_eq!(member.lag("t", 0).await.unwrap(), 0);
        let events: Vec<_> = std::iter::from_fn(|| member.events().try_next()).collect();
        let told = |event: &Event| matches!(event, Event::Failed(error) if error.to_string().contains("deleted"));
        assert!(events.iter().any(told), "{events:?}");
        member.close().await.unwrap();
        let info = stream.consumer_info("g-0").await.unwrap();
        assert_eq!(info.ack_floor.stream_sequence, 30);
    })
    .await;
}

#[tokio::test]
async fn the_owner_s_settings_are_those_of_the_durable() {
    need_server!();
    within(LONG, async {
        let server = Server::start();
        let nats = connect(&server.url()).await;
        nats.create_topic("t", TopicConfig::partitions(1))
            .await
            .unwrap();
        let producer = nats.producer();
        producer.push_many(&mut records("t", 0..10)).await.unwrap();
        let client = async_nats::connect(server.url()).await.unwrap();
        let context = async_nats::jetstream::new(client);
        let stream = context.get_stream("t").await.unwrap();
        let mut waits = Vec::new();
        for seconds in [20, 60] {
            let config = group().session_timeout(SECOND * seconds);
            let member = nats.consumer(config);
            member.subscribe(["t"]).await.unwrap();
            let got = take(&member, 5).await;
            member.commit_to(&got[4].position).await.unwrap();
            member.close().await.unwrap();
            let info = stream.consumer_info("g-0").await.unwrap();
            waits.push(info.config.ack_wait);
            assert_eq!(info.config.max_ack_pending, -1, "it never falls silent");
        }
        assert_eq!(waits, [SECOND * 20, SECOND * 60]);
        let info = stream.consumer_info("g-0").await.unwrap();
        assert_eq!(info.ack_floor.stream_sequence, 10);
    })
    .await;
}

#[tokio::test]
async fn what_the_server_miscounts_keeps_its_place() {
    // guarantee: K3
    need_server!();
    within(LONG, async {
        let server = Server::start();
        let nats = connect(&server.url()).await;
        nats.create_topic("t", TopicConfig::partitions(1))
            .await
            .unwrap();
        let producer = nats.producer();
        producer.push_many(&mut records("t", 0..10)).await.unwrap();
        let one = nats.consumer(group());
        one.subscribe(["t"]).await.unwrap();
        take(&one, 10).await;
        one.close().await.unwrap();

        let client = async_nats::connect(server.url()).await.unwrap();
        let context = async_nats::jetstream::new(client.clone());
        let stream = context.get_stream("t").await.unwrap();
        while stream.consumer_info("g-0").await.unwrap().num_waiting > 0 {
            tokio::time::sleep(SECOND / 50).await;
        }
        // The server has all of it to deliver again, and is asked by somebody who no longer listens: it takes the first from
        // its queue, and counts one less than it has delivered.
        for offset in 1..=10 {
            let nak = format!("$JS.ACK.t.g-0.1.{offset}.10.0.0");
            client.request(nak, "-NAK".into()).await.unwrap();
        }
        let next = "$JS.API.CONSUMER.MSG.NEXT.t.g-0";
        let ask = r#"{"batch":1,"expires":1000000000}"#;
        client
            .publish_with_reply(next, "nobody.1", ask.into())
            .await
            .unwrap();
        client.flush().await.unwrap();
        tokio::time::sleep(SECOND / 5).await;

        let two = nats.consumer(group());
        two.subscribe(["t"]).await.unwrap();
        let got = take(&two, 10).await;
        assert_eq!(offsets(&got), (1..=10).collect::<Vec<_>>());
        two.commit_to(&got[9].position).await.unwrap();
        two.close().await.unwrap();
    })
    .await;
}
