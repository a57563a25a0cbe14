//! Polls over 64 partitions: whether each gets its turn, and what the turns cost.

use std::collections::{HashSet, VecDeque};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use bytes::Bytes;
use pushpull::broker::{
    Broker, Consumer as _, ConsumerConfig, Producer as _, Record, Topic, TopicConfig,
};

use crate::Held;
use crate::harness::{Case, Contender};
use crate::memory::runtime;

const PARTITIONS: u32 = 64;
/// How many records there are in all partitions together, when they are full.
const FULL: u32 = 4096;
const POLL: usize = 256;

pub(crate) fn cases() -> Vec<Held> {
    let contenders = vec![
        Contender::info("64 partitions, equally full", reading(PARTITIONS)),
        Contender::peer("1 partition", reading(1)),
    ];
    let case = Case::new(format!("poll({POLL}), commit"), "CT", contenders);
    vec![Held { case, target: None }]
}

fn for_partition(topic: &Topic, partition: u32, count: u32) -> VecDeque<Record> {
    let one = Record::new(topic.clone(), Bytes::from_static(&[7; 100])).partition(partition);
    (0..count).map(|_| one.clone()).collect()
}

/// Fills the partitions, which takes no time, and reads them empty.
fn reading(partitions: u32) -> impl Fn(u64) -> Duration + Send + Sync + 'static {
    let runtime = Mutex::new(runtime());
    move |items| {
        let full = FULL.min(u32::try_from(items).unwrap_or(FULL));
        let each = (full / partitions).max(1);
        let count = (each * partitions) as usize;
        runtime
            .lock()
            .expect("no round has panicked")
            .block_on(async {
                let topic = Topic::from("t");
                let broker = Broker::in_memory();
                let config = TopicConfig::partitions(partitions).retain_records(u64::from(each));
                broker.create_topic("t", config).await.expect("fresh");
                let producer = broker.producer();
                let consumer =
                    broker.consumer(ConsumerConfig::group("g").max_in_flight(FULL as usize));
                consumer.subscribe(["t"]).await.expect("there");
                let mut took = Duration::ZERO;
                let mut left = usize::try_from(items).expect("so many fit");
                while left > 0 {
                    for partition in 0..partitions {
                        let mut records = for_partition(&topic, partition, each);
                        producer.push_many(&mut records).await.expect("open");
                    }
                    let start = Instant::now();
                    let mut got = 0;
                    while got < count {
                        let polled = consumer.poll(POLL, Duration::ZERO).await.expect("open");
                        assert!(!polled.is_empty(), "lost some");
                        got += polled.len();
                        consumer.commit().await.expect("open");
                    }
                    took += start.elapsed();
                    assert_eq!(got, count, "more than was sent");
                    left = left.saturating_sub(count);
                }
                took
            })
    }
}

/// One partition is flooded, and the others get one record each: they do not wait behind the flood. A count, and no time.
///
/// guarantee: K3
pub(crate) fn polls_until_all_are_seen() {
    const MAX: usize = 100;
    let (others, polls) = runtime().block_on(async {
        let topic = Topic::from("t");
        let broker = Broker::in_memory();
        let config = TopicConfig::partitions(PARTITIONS);
        broker.create_topic("t", config).await.expect("fresh");
        let consumer = broker.consumer(ConsumerConfig::group("g").max_in_flight(usize::MAX));
        consumer.subscribe(["t"]).await.expect("there");
        let mut flood = for_partition(&topic, 0, 100_000);
        broker.producer().push_many(&mut flood).await.expect("open");
        let polled = consumer.poll(MAX, Duration::ZERO).await.expect("open");
        assert_eq!(polled.len(), MAX, "the flood is there");
        for partition in 1..PARTITIONS {
            let mut one = for_partition(&topic, partition, 1);
            broker.producer().push_many(&mut one).await.expect("open");
        }
        let mut seen = HashSet::new();
        let mut polls = 0;
        while seen.len() < PARTITIONS as usize - 1 {
            let polled = consumer.poll(MAX, Duration::ZERO).await.expect("open");
            polls += 1;
            assert_eq!(polled.len(), MAX, "the flood fills what others leave");
            let partitions = polled.iter().map(|it| it.position.partition);
            seen.extend(partitions.filter(|partition| *partition != 0));
        }
        (seen.len(), polls)
    });
    println!(
        "\npartitions: fairness\n  polls of {MAX} until {others} partitions are seen beside one with 100,000 records: {polls}"
    );
    assert_eq!(polls, 1, "each poll has a share for each partition");
}
