//! Push and poll in memory, beside a queue that carries the same records.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use bytes::Bytes;
use pushpull::broker::{
    Broker, Consumer as _, ConsumerConfig, Producer as _, Record, Topic, TopicConfig, embedded,
};
use pushpull::queue;
use tokio::runtime::{Builder, Runtime};

use crate::Held;
use crate::harness::{Case, Contender};

/// How many records the topic retains, and for how many the queue has room.
const KEPT: usize = 4096;
const SIZE: usize = 100;

pub(crate) fn cases() -> Vec<Held> {
    let mut cases = Vec::new();
    for value in [Value::Static, Value::Fresh] {
        for batch in [1000, 256, 64] {
            let case = Case::new(
                format!("push_many, poll, commit/{batch}/{}", value.name()),
                "CT",
                bulk(batch, value),
            );
            let target = Some(5.0);
            cases.push(Held { case, target });
        }
        let case = Case::new(
            format!("push, poll(1), ack/{}", value.name()),
            "CT",
            one_by_one(value),
        );
        let target = None;
        cases.push(Held { case, target });
    }
    cases
}

/// What a record carries.
#[derive(Clone, Copy)]
enum Value {
    /// Bytes that are in the program.
    Static,
    /// A `Vec` of its own.
    Fresh,
}

impl Value {
    fn name(self) -> &'static str {
        match self {
            Self::Static => "static values",
            Self::Fresh => "fresh values",
        }
    }

    fn make(self) -> Bytes {
        match self {
            Self::Static => Bytes::from_static(&[7; SIZE]),
            Self::Fresh => vec![7; SIZE].into(),
        }
    }
}

fn records(topic: &Topic, count: usize, value: Value) -> VecDeque<Record> {
    (0..count)
        .map(|_| Record::new(topic.clone(), value.make()))
        .collect()
}

/// Calls `lap` with batches of records until there were so many; making them takes no time. Sums up what the laps took.
async fn laps(
    items: u64,
    batch: usize,
    value: Value,
    mut lap: impl AsyncFnMut(VecDeque<Record>) -> Duration,
) -> Duration {
    let topic = Topic::from("t");
    let mut left = usize::try_from(items).expect("so many fit");
    let mut took = Duration::ZERO;
    while left > 0 {
        let count = left.min(batch);
        left -= count;
        took += lap(records(&topic, count, value)).await;
    }
    took
}

/// One topic with one partition, and the consumer of its only group.
struct Log {
    runtime: Runtime,
    producer: embedded::Producer,
    consumer: embedded::Consumer,
}

impl Log {
    fn new() -> Self {
        let runtime = runtime();
        let broker = Broker::in_memory();
        let config = TopicConfig::partitions(1).retain_records(KEPT as u64);
        let consumer = broker.consumer(ConsumerConfig::group("g").max_in_flight(KEPT));
        runtime
            .block_on(async {
                broker.create_topic("t", config).await?;
                consumer.subscribe(["t"]).await
            })
            .expect("a topic to read");
        Self {
            runtime,
            producer: broker.producer(),
            consumer,
        }
    }
}

pub(crate) fn runtime() -> Runtime {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

/// Which part of it is looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    All,
    Push,
    Poll,
    Commit,
}

fn bulk(batch: usize, value: Value) -> Vec<Contender> {
    let ours = move |part: Part| {
        let log = Mutex::new(Log::new());
        move |items| {
            let log = log.lock().expect("no round has panicked");
            let (producer, consumer) = (&log.producer, &log.consumer);
            log.runtime
                .block_on(laps(items, batch, value, async |mut records| {
                    let count = records.len();
                    let start = Instant::now();
                    producer.push_many(&mut records).await.expect("open");
                    let pushed = Instant::now();
                    let mut got = 0;
                    while got < count {
                        let polled = consumer.poll(count, Duration::ZERO).await.expect("open");
                        assert!(!polled.is_empty(), "lost some");
                        got += polled.len();
                    }
                    let polled = Instant::now();
                    consumer.commit().await.expect("open");
                    let committed = Instant::now();
                    assert_eq!(got, count, "more than was sent");
                    match part {
                        Part::All => committed - start,
                        Part::Push => pushed - start,
                        Part::Poll => polled - pushed,
                        Part::Commit => committed - polled,
                    }
                }))
        }
    };
    vec![
        Contender::ours(ours(Part::All)),
        Contender::peer("a bare queue", move |items| {
            let (producer, consumer) = queue::bounded::<Record>(KEPT);
            let mut out = Vec::with_capacity(batch);
            runtime().block_on(laps(items, batch, value, async |mut records| {
                let count = records.len();
                let start = Instant::now();
                producer.push_many(&mut records).await.expect("open");
                let mut got = 0;
                while got < count {
                    got += consumer.pull_many(&mut out, count).await;
                    out.clear();
                }
                let took = start.elapsed();
                assert_eq!(got, count, "more than was sent");
                took
            }))
        }),
        Contender::info("of that: push_many", ours(Part::Push)),
        Contender::info("of that: poll, and drop", ours(Part::Poll)),
        Contender::info("of that: commit", ours(Part::Commit)),
    ]
}

fn one_by_one(value: Value) -> Vec<Contender> {
    let log = Mutex::new(Log::new());
    vec![
        Contender::ours(move |items| {
            let log = log.lock().expect("no round has panicked");
            let (producer, consumer) = (&log.producer, &log.consumer);
            log.runtime
                .block_on(laps(items, 256, value, async |records| {
                    let start = Instant::now();
                    for record in records {
                        let position = producer.push(record).await.expect("open");
                        let polled = consumer.poll(1, Duration::ZERO).await.expect("open");
                        assert_eq!(polled[0].position, position, "not what was sent");
                        consumer.ack(&polled[0]).await.expect("ours");
                    }
                    start.elapsed()
                }))
        }),
        Contender::peer("a bare queue", move |items| {
            let (producer, consumer) = queue::bounded::<Record>(KEPT);
            runtime().block_on(laps(items, 256, value, async |records| {
                let start = Instant::now();
                for record in records {
                    producer.push(record).await.expect("open");
                    let pulled = consumer.pull().await.expect("open");
                    assert_eq!(pulled.value.len(), SIZE, "not what was sent");
                }
                start.elapsed()
            }))
        }),
    ]
}
