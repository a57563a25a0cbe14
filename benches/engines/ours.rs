//! Our side, the same for every engine.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::{SinkExt, StreamExt, stream};
use pushpull::broker::{Consumer, Producer, Record, Topic};

/// Bytes of a payload.
pub(crate) const SIZE: usize = 100;
/// How many are taken at once.
pub(crate) const MANY: usize = 500;

/// A payload of its own.
pub(crate) fn payload() -> Vec<u8> {
    vec![7; SIZE]
}

/// An id that no other record of the run has.
pub(crate) fn id() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("bench-{:012}", NEXT.fetch_add(1, Ordering::Relaxed))
}

fn record(topic: &Topic) -> Record {
    Record::new(topic.clone(), payload()).id(id())
}

/// `push`, each a future of its own, of which so many may be under way.
pub(crate) async fn push(
    producer: &impl Producer,
    topic: &Topic,
    items: u64,
    flight: usize,
) -> Duration {
    let start = Instant::now();
    let mut pushes = stream::iter(0..items)
        .map(|_| producer.push(record(topic)))
        .buffered(flight);
    let mut pushed = 0;
    while let Some(position) = pushes.next().await {
        position.expect("it is taken");
        pushed += 1;
    }
    let took = start.elapsed();
    assert_eq!(pushed, items, "some are missing");
    took
}

/// The producer as a sink, flushed at the end.
pub(crate) async fn sink<P>(producer: &mut P, topic: &Topic, items: u64) -> Duration
where
    P: Producer + Unpin,
{
    let start = Instant::now();
    for _ in 0..items {
        producer.feed(record(topic)).await.expect("it is taken");
    }
    producer.flush().await.expect("all are taken");
    start.elapsed()
}

/// `push_many`, so many at once.
pub(crate) async fn push_many<P>(producer: &P, topic: &Topic, items: u64, many: usize) -> Duration
where
    P: Producer + Sync,
{
    let start = Instant::now();
    let mut left = usize::try_from(items).expect("so many fit");
    while left > 0 {
        let count = left.min(many);
        let mut records: VecDeque<_> = (0..count).map(|_| record(topic)).collect();
        let pushed = producer.push_many(&mut records).await;
        assert_eq!(pushed.expect("they are taken"), count);
        left -= count;
    }
    start.elapsed()
}

/// `poll`, `ack` for each delivery, and a `commit` at the end.
pub(crate) async fn consume(consumer: &impl Consumer, items: u64) -> Duration {
    let start = Instant::now();
    let (mut got, mut bytes) = (0, 0);
    while got < items {
        let polled = consumer.poll(MANY, Duration::from_secs(10)).await;
        let polled = polled.expect("it can be read");
        assert!(!polled.is_empty(), "some are missing");
        for delivery in polled {
            bytes += delivery.record.value.len();
            consumer.ack(&delivery).await.expect("it is ours");
            got += 1;
        }
    }
    consumer.commit().await.expect("it is stored");
    let took = start.elapsed();
    assert_eq!(
        (got, bytes),
        (items, SIZE * usize::try_from(items).expect("so many fit"))
    );
    took
}
