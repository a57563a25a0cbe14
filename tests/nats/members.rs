//! Members of a group on NATS: shares, hand-overs, leaving.

use std::time::Duration;

use pushpull::broker::{Consumer as _, ConsumerConfig, Event, Producer as _, Record, TopicConfig};

use crate::kit::{Server, connect, need_server};

#[tokio::test]
async fn one_member_reads_and_acknowledges() {
    need_server!();
    let server = Server::start();
    let nats = connect(&server.url()).await;
    nats.create_topic("orders", TopicConfig::partitions(2))
        .await
        .unwrap();
    let producer = nats.producer();
    for number in 0..100_u32 {
        let record = Record::new("orders", number.to_string()).key(number.to_string());
        producer.push(record).await.unwrap();
    }
    let consumer = nats.consumer(ConsumerConfig::group("billing"));
    consumer.subscribe(["orders"]).await.unwrap();
    assert_eq!(
        consumer.assignment(),
        [("orders".into(), 0), ("orders".into(), 1)]
    );
    let mut seen = Vec::new();
    while seen.len() < 100 {
        let deliveries = consumer.poll(30, Duration::from_secs(10)).await.unwrap();
        assert!(!deliveries.is_empty(), "after {}", seen.len());
        for delivery in deliveries {
            assert_eq!(delivery.attempt, 1);
            consumer.ack(&delivery).await.unwrap();
            seen.push(delivery);
        }
    }
    assert!(consumer.poll(1, Duration::ZERO).await.unwrap().is_empty());
    for partition in 0..2 {
        let mut own = seen.iter().filter(|it| it.position.partition == partition);
        let last = own.clone().next_back().unwrap().position.offset;
        assert!(own.by_ref().is_sorted_by_key(|it| it.position.offset));
        assert_eq!(
            consumer.committed("orders", partition).await.unwrap(),
            Some(last + 1)
        );
        assert_eq!(consumer.lag("orders", partition).await.unwrap(), 0);
    }
    consumer.close().await.unwrap();

    // The next one goes on behind what was acknowledged.
    let next = nats.consumer(ConsumerConfig::group("billing"));
    next.subscribe(["orders"]).await.unwrap();
    let record = Record::new("orders", "last").key("7");
    producer.push(record).await.unwrap();
    let deliveries = next.poll(10, Duration::from_secs(10)).await.unwrap();
    assert_eq!(deliveries.len(), 1);
    assert_eq!(deliveries[0].record.value, "last");
    let failed = |event: &Event| matches!(event, Event::Failed(_));
    assert!(!std::iter::from_fn(|| next.events().try_next()).any(|event| failed(&event)));
}
