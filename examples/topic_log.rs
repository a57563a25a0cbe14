//! A log of a topic: a month's excerpt of earthquakes, keyed by network into four partitions. Two groups read it; a member of
//! one is killed in the middle of its work, and nothing is lost.
//!
//! `cargo run --example topic_log --features broker`

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::error::Error;
use std::time::Duration;

use pushpull::broker::{
    Broker, Consumer, ConsumerConfig, Delivery, Producer, Record, Start, TopicConfig,
};
use tokio::sync::mpsc;

const FEED: &str = include_str!("data/usgs-earthquakes-2021-06-excerpt.csv");

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let broker = Broker::in_memory();
    broker
        .create_topic("quakes", TopicConfig::partitions(4).retain_records(100_000))
        .await?;

    // Two groups, each of which gets everything: one member writes the archive, three count by network, of whom the first
    // dies in the middle of its third handful.
    let archive = tokio::spawn(read_all(broker.clone(), "archive", None, usize::MAX));
    let (seen, mut counted) = mpsc::unbounded_channel();
    let counters: Vec<_> = [3, usize::MAX, usize::MAX]
        .map(|lives| read_all(broker.clone(), "counts", Some(seen.clone()), lives))
        .map(tokio::spawn)
        .into();
    drop(seen);

    let mut records: VecDeque<Record> = VecDeque::new();
    for row in csv::Reader::from_reader(FEED.as_bytes()).records() {
        let row = row?;
        records.push_back(
            Record::new("quakes", row[13].to_owned())
                .key(row[10].to_owned())
                .id(&row[11]),
        );
    }
    let produced = records.len();
    broker.producer().push_many(&mut records).await?;

    let mut first_time = HashMap::new();
    let mut again = 0;
    let mut order: BTreeMap<u32, u64> = BTreeMap::new();
    while first_time.len() < produced {
        let delivery: Delivery = counted.recv().await.ok_or("the counters are gone")?;
        let position = delivery.position.clone();
        if first_time.insert(position.clone(), delivery).is_some() {
            again += 1;
        } else {
            // In each partition they come in the order in which they were pushed.
            let last = order.insert(position.partition, position.offset);
            assert!(last.is_none_or(|last| last < position.offset));
        }
    }

    let mut networks: BTreeMap<String, usize> = BTreeMap::new();
    for delivery in first_time.values() {
        let key = delivery.record.key.as_deref().unwrap_or_default();
        *networks
            .entry(String::from_utf8_lossy(key).into_owned())
            .or_default() += 1;
    }
    println!("{produced} earthquakes, each counted; {again} came twice because a member died");
    assert!(again > 0);
    for (network, quakes) in &networks {
        println!("{network:>4} {quakes}");
    }
    assert_eq!(networks.values().sum::<usize>(), produced);

    // A newcomer can go back to where it likes, as long as it is within what is retained.
    let reader = broker.consumer(ConsumerConfig::group("replay").start(Start::Latest));
    reader.subscribe(["quakes"]).await?;
    reader.seek("quakes", 0, Start::Earliest).await?;
    let replayed = reader.poll(10, Duration::from_secs(1)).await?;
    assert_eq!(replayed[0].position.offset, 0);
    let refused = reader.seek("quakes", 0, Start::Offset(1_000_000)).await;
    println!("{}", refused.expect_err("there is no such offset"));

    for counter in &counters {
        counter.abort();
    }
    archive.abort();
    Ok(())
}

/// Reads as a member of a group for as long as it lives, and acknowledges what it has passed on.
async fn read_all(
    broker: Broker,
    group: &'static str,
    seen: Option<mpsc::UnboundedSender<Delivery>>,
    lives: usize,
) -> Result<(), pushpull::broker::Error> {
    let consumer = broker.consumer(ConsumerConfig::group(group));
    consumer.subscribe(["quakes"]).await?;
    let mut handfuls = 0;
    loop {
        let handful = consumer.poll(20, Duration::from_secs(1)).await?;
        handfuls += usize::from(!handful.is_empty());
        for delivery in handful {
            if let Some(seen) = &seen {
                let _nobody_counts_any_more = seen.send(delivery.clone());
            }
            if handfuls == lives {
                return Ok(()); // dead before it could acknowledge
            }
            match consumer.ack(&delivery).await {
                // Another member has it now, and will deliver it again.
                Err(error) if error.is_fenced() => {}
                acknowledged => acknowledged?,
            }
        }
    }
}
