//! What the cases have in common.

use std::cell::Cell;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use pushpull::broker::{
    Consumer, ConsumerConfig, Delivery, Error, Event, Events, Position, Producer, Record,
};
use tokio::time::{Instant, sleep};

pub(crate) const NOW: Duration = Duration::ZERO;

/// Which clock a case runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clock {
    /// One that goes on when everything waits. Bounds in time are exact.
    Paused,
    /// The machine's, which may be busy: time has lower bounds only.
    Real,
}

thread_local! {
    static CLOCK: Cell<Clock> = const { Cell::new(Clock::Paused) };
    static PREFIX: Cell<Option<u32>> = const { Cell::new(None) };
}

/// What this thread runs is a case on this clock, with names of its own where its engine is shared.
pub(crate) fn begin(clock: Clock, shared: bool) {
    static CASES: AtomicU32 = AtomicU32::new(0);
    CLOCK.set(clock);
    PREFIX.set(shared.then(|| CASES.fetch_add(1, Ordering::Relaxed)));
}

fn paused() -> bool {
    CLOCK.get() == Clock::Paused
}

/// A second of the case's clock. The real one has short ones.
pub(crate) fn second() -> Duration {
    Duration::from_millis(if paused() { 1000 } else { 400 })
}

/// How long to wait for what must come.
fn patience() -> Duration {
    Duration::from_secs(60)
}

/// A name of a topic or group: where the engine is shared by cases, one that no other has.
pub(crate) fn name(name: &'static str) -> &'static str {
    match PREFIX.get() {
        Some(number) => {
            let name = format!("contract-{}-{number}-{name}", std::process::id());
            Box::leak(name.into_boxed_str())
        }
        None => name,
    }
}

pub(crate) fn group() -> ConsumerConfig {
    group_named("g")
}

pub(crate) fn group_named(group: &'static str) -> ConsumerConfig {
    ConsumerConfig::group(name(group))
}

/// Whether something that began then took as long as this. The upper bound is for the paused clock, where nothing is late.
#[track_caller]
pub(crate) fn assert_took(start: Instant, bounds: Range<Duration>) {
    let took = start.elapsed();
    assert!(took >= bounds.start, "{took:?}");
    assert!(!paused() || took < bounds.end, "{took:?}");
}

/// Whether the clock is paused, so that what happens until then is known to the letter.
pub(crate) fn to_the_letter() -> bool {
    paused()
}

/// Pushes values `a/0`, `a/1` and so on, as keys, into whatever partition the key gives.
pub(crate) async fn push_keyed(
    producer: &impl Producer,
    topic: &str,
    key: &'static str,
    numbers: Range<usize>,
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
    numbers: Range<usize>,
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
pub(crate) fn numbers(range: Range<usize>) -> Vec<String> {
    range.map(|n| format!("n/{n}")).collect()
}

/// Polls until there are `n`, for as long as patience lasts.
pub(crate) async fn poll_n(consumer: &impl Consumer, n: usize) -> Vec<Delivery> {
    let mut all = Vec::new();
    let end = Instant::now() + patience();
    while all.len() < n && Instant::now() < end {
        all.extend(consumer.poll(n - all.len(), second()).await.unwrap());
    }
    assert_eq!(all.len(), n, "{all:?}");
    all
}

/// Polls until there are `n`, and then until nothing has come for a second: there are no more.
pub(crate) async fn drain(consumer: &impl Consumer, n: usize) -> Vec<Delivery> {
    let all = drain_all(&[consumer], n, false).await;
    all.into_iter().flatten().collect()
}

/// As [`drain`], and acknowledges what comes.
pub(crate) async fn drain_and_ack(consumer: &impl Consumer, n: usize) -> Vec<Delivery> {
    let all = drain_all(&[consumer], n, true).await;
    all.into_iter().flatten().collect()
}

/// As [`drain`], for what comes to any of these members.
pub(crate) async fn drain_all<C: Consumer>(
    members: &[&C],
    n: usize,
    ack: bool,
) -> Vec<Vec<Delivery>> {
    let mut all = vec![Vec::new(); members.len()];
    let end = Instant::now() + patience();
    loop {
        let mut came = false;
        for (member, all) in members.iter().zip(&mut all) {
            let polled = member.poll(1000, second()).await.unwrap();
            if ack {
                ack_all(*member, &polled).await;
            }
            came |= !polled.is_empty();
            all.extend(polled);
        }
        let count = all.iter().map(Vec::len).sum::<usize>();
        if !came && (count >= n || Instant::now() > end) {
            assert_eq!(count, n, "{all:?}");
            return all;
        }
    }
}

/// Polls and acknowledges until nothing has come for a second, where it is not known how much there is.
pub(crate) async fn rest(consumer: &impl Consumer) -> Vec<Delivery> {
    let mut all = Vec::new();
    loop {
        let polled = consumer.poll(1000, second()).await.unwrap();
        if polled.is_empty() {
            return all;
        }
        ack_all(consumer, &polled).await;
        all.extend(polled);
    }
}

/// Whether a group that has just been joined has read everything: what is pushed now is the first to come.
pub(crate) async fn assert_nothing_left(
    producer: &impl Producer,
    consumer: &impl Consumer,
    topic: &str,
    partitions: u32,
) {
    for partition in 0..partitions {
        let record = Record::new(topic, "the last").partition(partition);
        producer.push(record).await.unwrap();
    }
    let got = poll_n(consumer, partitions as usize).await;
    assert!(got.iter().all(|got| text(got) == "the last"), "{got:?}");
}

pub(crate) async fn ack_all(consumer: &impl Consumer, deliveries: &[Delivery]) {
    for delivery in deliveries {
        consumer.ack(delivery).await.unwrap();
    }
}

/// Lets members that have nothing to hand over find their places: until their partitions are `n` together and nobody has
/// over his share.
pub(crate) async fn settle<C: Consumer>(members: &[&C], n: usize) -> Vec<usize> {
    let end = Instant::now() + patience();
    loop {
        for member in members {
            assert!(member.poll(0, NOW).await.unwrap().is_empty());
        }
        let counts: Vec<_> = members
            .iter()
            .map(|member| member.assignment().len())
            .collect();
        let share = n.div_ceil(members.len());
        if counts.iter().sum::<usize>() == n && counts.iter().all(|&count| count <= share) {
            return counts;
        }
        assert!(Instant::now() < end, "{counts:?} of {n} partitions");
        sleep(second() / 10).await;
    }
}

/// How many of these positions are in partitions that this member owns.
pub(crate) fn owned(consumer: &impl Consumer, pushed: &[Position]) -> usize {
    let owned = consumer.assignment();
    let of_owned =
        |position: &&Position| owned.contains(&(position.topic.clone(), position.partition));
    pushed.iter().filter(of_owned).count()
}

/// Waits until something is told, and returns all that was told by then.
pub(crate) async fn told(events: &Events, is_it: impl Fn(&Event) -> bool) -> Vec<Event> {
    let mut all = Vec::new();
    let end = Instant::now() + patience();
    loop {
        all.extend(all_events(events));
        if all.iter().any(&is_it) {
            return all;
        }
        assert!(Instant::now() < end, "{all:?}");
        sleep(second() / 10).await;
    }
}

/// Waits until this is so.
pub(crate) async fn until(mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + patience();
    while !is_so() {
        assert!(Instant::now() < end, "it never came");
        sleep(second() / 10).await;
    }
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

/// As [`until`], by a member that keeps polling and gets nothing.
pub(crate) async fn until_polling(consumer: &impl Consumer, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + patience();
    while !is_so() {
        assert!(Instant::now() < end, "it never came");
        let polled = consumer.poll(10, second()).await.unwrap();
        assert!(polled.is_empty(), "{polled:?}");
    }
}

/// What would wait for ever fails after a day, which on the paused clock is over at once, and after minutes on the real one.
pub(crate) async fn within_patience(case: impl Future<Output = ()>) {
    let (day, minutes) = (Duration::from_secs(24 * 3600), 4 * patience());
    tokio::time::timeout(if paused() { day } else { minutes }, case)
        .await
        .expect("the case waits for what never comes");
}
