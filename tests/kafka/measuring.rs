//! What clients tell of themselves.

use std::time::Duration;

use pushpull::broker::Consumer as _;
use pushpull::meter;

use crate::kit::{any, options, push, reader, take, topic, unique, until};

#[tokio::test]
async fn statistics_reach_the_meter() {
    let kafka = any(options().statistics_every(Duration::from_millis(50))).await;
    let topic = topic(&kafka, "measured", 1).await;
    push(&kafka, &topic, 0..100, None).await;
    let producer = |snapshot: &meter::Snapshot| {
        let engines = snapshot.engines.iter();
        let mut producers = engines.filter(|it| it.name.starts_with("kafka producer"));
        producers.any(|it| it.pushed >= 100 && it.connections > 0 && it.pushed_bytes > 100)
    };
    until("the producer's", || producer(&meter::registry().snapshot())).await;

    let group = unique("measured");
    let config = pushpull::broker::ConsumerConfig::group(&group);
    let consumer = reader(&kafka, config, &topic).await;
    let taken = take(&consumer, 100).await;
    consumer.commit_to(&taken[59].position).await.unwrap();
    let name = format!("kafka {group}");
    until("the consumer's", || {
        let snapshot = meter::registry().snapshot();
        snapshot
            .engine(&name)
            .is_some_and(|it| it.delivered == 100 && it.lag == Some(40) && it.round_trip.is_some())
    })
    .await;
    let table = meter::registry().snapshot().to_string();
    assert!(
        table.contains("round-trip/ms") && table.contains(&name),
        "{table}"
    );
    consumer.close().await.unwrap();
    drop(consumer);
    until("its end", || {
        let snapshot = meter::registry().snapshot();
        snapshot.engine(&name).is_none_or(|it| it.gone)
    })
    .await;
}
