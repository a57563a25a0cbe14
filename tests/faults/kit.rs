//! What the tests have in common.

use std::collections::HashMap;
use std::time::Duration;

use pushpull::broker::{
    Consumer as _, ConsumerConfig, Delivery, Event, Events, Producer as _, Record,
};
use pushpull::nats::{Consumer, Nats, Options, Producer};
use tokio::time::{Instant, sleep};

pub(crate) const TICK: Duration = Duration::from_millis(100);
/// How long a member may be silent, in these tests. Not so short that a busy machine makes them so.
pub(crate) const SESSION: Duration = Duration::from_secs(3);

pub(crate) async fn connect(url: &str) -> Nats {
    let options = Options::new().request_timeout(Duration::from_secs(30));
    Nats::connect(url, options).await.unwrap()
}

pub(crate) fn group() -> ConsumerConfig {
    ConsumerConfig::group("g").session_timeout(SESSION)
}

pub(crate) async fn reader(nats: &Nats, config: ConsumerConfig) -> Consumer {
    let consumer = nats.consumer(config);
    consumer.subscribe(["t"]).await.unwrap();
    consumer
}

pub(crate) fn text(delivery: &Delivery) -> String {
    String::from_utf8(delivery.record.value.to_vec()).unwrap()
}

/// Pushes `n/0`, `n/1` and so on under as many keys as there are numbers up to 50.
pub(crate) async fn push(producer: &Producer, numbers: std::ops::Range<usize>) {
    let record = |n| Record::new("t", format!("n/{n}")).key(format!("key-{}", n % 50));
    let mut records = numbers.map(record).collect();
    producer.push_many(&mut records).await.unwrap();
}

/// Waits, for up to a minute, until this is so.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < end, "{what} never came");
        sleep(TICK / 10).await;
    }
}

/// How often each text was seen.
pub(crate) fn counts<'a>(texts: impl IntoIterator<Item = &'a String>) -> HashMap<&'a str, usize> {
    let mut counts = HashMap::new();
    for text in texts {
        *counts.entry(text.as_str()).or_default() += 1;
    }
    counts
}

/// Reads and acknowledges what a group has left, up to a mark that is pushed now in each of these partitions.
pub(crate) async fn rest(nats: &Nats, config: ConsumerConfig, partitions: u32) -> Vec<Delivery> {
    let producer = nats.producer();
    for partition in 0..partitions {
        let mark = Record::new("t", "the mark").partition(partition);
        producer.push(mark).await.unwrap();
    }
    let consumer = reader(nats, config).await;
    let (mut all, mut marks) = (Vec::new(), 0);
    let end = Instant::now() + Duration::from_secs(60);
    while marks < partitions {
        assert!(Instant::now() < end, "{marks} of {partitions} marks");
        for delivery in consumer.poll(1000, TICK).await.unwrap() {
            consumer.ack(&delivery).await.unwrap();
            if delivery.record.value == "the mark" {
                marks += 1;
            } else {
                all.push(delivery);
            }
        }
    }
    consumer.close().await.unwrap();
    all
}

/// Everything that was told so far.
pub(crate) fn told(events: &Events) -> Vec<Event> {
    std::iter::from_fn(|| events.try_next()).collect()
}

/// Whether the application was told that the connection went, and then that it came back.
pub(crate) fn assert_told_of_the_connection(told: &[Event]) {
    let gone = told
        .iter()
        .position(|event| matches!(event, Event::Disconnected { .. }));
    let back = told
        .iter()
        .rposition(|event| matches!(event, Event::Connected));
    assert!(gone.is_some() && gone < back, "{told:?}");
}
