//! What the cases have in common.

use std::time::Duration;

use pushpull::broker::{
    Consumer, ConsumerConfig, Delivery, Error, Event, Events, Position, Producer, Record,
};
use tokio::time::sleep;

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const NOW: Duration = Duration::ZERO;

pub(crate) fn group() -> ConsumerConfig {
    ConsumerConfig::group("g")
}

/// Pushes values `a/0`, `a/1` and so on, as keys, into whatever partition the key gives.
pub(crate) async fn push_keyed(
    producer: &impl Producer,
    topic: &str,
    key: &'static str,
    numbers: std::ops::Range<usize>,
) -> Vec<Position> {
    let mut positions = Vec::new();
    for n in numbers {
        let record = Record::new(topic, format!("{key}/{n}")).key(key);
        positions.push(producer.push(record).await.unwrap());
    }
    positions
}

/// Pushes the numbers as text. Where the topic has one partition, that is where they go.
pub(crate) async fn push(
    producer: &impl Producer,
    topic: &str,
    numbers: std::ops::Range<usize>,
) -> Vec<Position> {
    push_keyed(producer, topic, "n", numbers).await
}

pub(crate) fn text(delivery: &Delivery) -> String {
    String::from_utf8(delivery.record.value.to_vec()).unwrap()
}

pub(crate) fn texts(deliveries: &[Delivery]) -> Vec<String> {
    deliveries.iter().map(text).collect()
}

/// `n/0`, `n/1` and so on, as [`push`] made them.
pub(crate) fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| format!("n/{n}")).collect()
}

/// Polls until nothing has come for a second.
pub(crate) async fn drain(consumer: &impl Consumer) -> Vec<Delivery> {
    let mut all = Vec::new();
    loop {
        let polled = consumer.poll(1000, SECOND).await.unwrap();
        if polled.is_empty() {
            return all;
        }
        all.extend(polled);
    }
}

/// Polls until there are `n`, for a minute at the most.
pub(crate) async fn poll_n(consumer: &impl Consumer, n: usize) -> Vec<Delivery> {
    let mut all = Vec::new();
    for _ in 0..60 {
        if all.len() >= n {
            break;
        }
        all.extend(consumer.poll(n - all.len(), SECOND).await.unwrap());
    }
    assert_eq!(all.len(), n, "{all:?}");
    all
}

pub(crate) async fn ack_all(consumer: &impl Consumer, deliveries: &[Delivery]) {
    for delivery in deliveries {
        consumer.ack(delivery).await.unwrap();
    }
}

/// Polls and acknowledges, until nothing has come for a second.
pub(crate) async fn drain_and_ack(consumer: &impl Consumer) -> Vec<Delivery> {
    let mut all = Vec::new();
    loop {
        let polled = consumer.poll(1000, SECOND).await.unwrap();
        if polled.is_empty() {
            return all;
        }
        ack_all(consumer, &polled).await;
        all.extend(polled);
    }
}

/// Lets members that have nothing to hand over find their places, for up to a minute: until their partitions are `n` together
/// and nobody has over his share.
pub(crate) async fn settle<C: Consumer>(members: &[&C], n: usize) -> Vec<usize> {
    let mut counts = Vec::new();
    for _ in 0..600 {
        for member in members {
            assert!(member.poll(0, NOW).await.unwrap().is_empty());
        }
        counts = members
            .iter()
            .map(|member| member.assignment().len())
            .collect();
        let share = n.div_ceil(members.len());
        if counts.iter().sum::<usize>() == n && counts.iter().all(|&count| count <= share) {
            return counts;
        }
        sleep(SECOND / 10).await;
    }
    panic!("{counts:?} of {n} partitions");
}

pub(crate) fn all_events(events: &Events) -> Vec<Event> {
    std::iter::from_fn(|| events.try_next()).collect()
}

#[track_caller]
pub(crate) fn assert_fenced<T: std::fmt::Debug>(result: Result<T, Error>) {
    assert!(matches!(result, Err(Error::Fenced { .. })), "{result:?}");
}

#[track_caller]
pub(crate) fn assert_unsupported<T: std::fmt::Debug>(result: Result<T, Error>) {
    assert!(
        matches!(result, Err(Error::Unsupported { .. })),
        "{result:?}"
    );
}

/// Whether a committed offset says that of these positions the first `n` are acknowledged, and no more.
#[track_caller]
pub(crate) fn assert_committed(committed: Option<u64>, positions: &[Position], n: usize) {
    let Some(last) = n.checked_sub(1) else {
        let first = positions[0].offset;
        assert!(committed.is_none_or(|at| at <= first), "{committed:?}");
        return;
    };
    let at = committed.expect("something is committed");
    assert!(at > positions[last].offset, "{at} of {positions:?}");
    if let Some(next) = positions.get(n) {
        assert!(at <= next.offset, "{at} of {positions:?}");
    }
}

/// On the paused clock, what would wait for ever waits a day, which is over at once.
pub(crate) async fn within_a_day(case: impl Future<Output = ()>) {
    let day = 24 * 3600 * SECOND;
    tokio::time::timeout(day, case)
        .await
        .expect("the case waits for what never comes");
}
