//! Producers that give up, consumers that come, go, forget and refuse, on threads of their own: what was acknowledged to a
//! producer reaches the group, and what reached it was pushed.

use std::collections::{HashMap, HashSet};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use pushpull::broker::{Broker, Consumer, ConsumerConfig, Event, Producer, Record, TopicConfig};

const PRODUCERS: u64 = 4;
const EACH: u64 = 1500;
const MEMBERS: u64 = 5;

/// Numbers that look random, the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

#[derive(Default)]
struct Seen {
    /// Values that a push answered for, by partition and offset.
    pushed: Mutex<HashMap<(u32, u64), String>>,
    /// Values whose push was dropped: they may be there.
    dropped: Mutex<HashSet<String>>,
    delivered: Mutex<HashMap<(u32, u64), String>>,
}

async fn produce(broker: Broker, number: u64, seen: Arc<Seen>) {
    let producer = broker.producer();
    let mut dice = Dice(number * 7 + 1);
    for n in 0..EACH {
        let value = format!("{number}-{n}");
        let record = Record::new("t", value.clone()).key((n % 23).to_string());
        let patience = dice.below(5);
        let mut push = pin!(producer.push(record));
        let mut polls = 0;
        let pushed = poll_fn(|cx| {
            if patience == 0 && polls == 1 {
                return Poll::Ready(None);
            }
            polls += 1;
            push.as_mut().poll(cx).map(Some)
        });
        match pushed.await {
            Some(position) => {
                let position = position.unwrap();
                let place = (position.partition, position.offset);
                let before = seen.pushed.lock().unwrap().insert(place, value);
                assert_eq!(before, None, "an offset was given out twice");
            }
            None => drop(seen.dropped.lock().unwrap().insert(value)),
        }
    }
}

async fn consume(broker: Broker, number: u64, seen: Arc<Seen>) {
    let mut dice = Dice(number * 13 + 5);
    let config = || {
        ConsumerConfig::group("g")
            .ack_wait(Duration::from_millis(200))
            .session_timeout(Duration::from_millis(500))
            .max_in_flight(64)
    };
    let mut consumer = broker.consumer(config());
    consumer.subscribe(["t"]).await.unwrap();
    let mut quiet = 0;
    while quiet < 10 {
        let max = 1 + dice.below(40) as usize;
        let taken = consumer
            .poll(max, Duration::from_millis(100))
            .await
            .unwrap();
        quiet = if taken.is_empty() { quiet + 1 } else { 0 };
        for delivery in &taken {
            let place = (delivery.position.partition, delivery.position.offset);
            let value = String::from_utf8(delivery.record.value.to_vec()).unwrap();
            let before = seen.delivered.lock().unwrap().insert(place, value.clone());
            assert!(
                before.is_none_or(|before| before == value),
                "{place:?} changed"
            );
            let settled = match dice.below(20) {
                0 => consumer.nack(delivery, None).await,
                1 => Ok(()), // forgotten
                _ => consumer.ack(delivery).await,
            };
            assert!(settled.is_ok() || settled.unwrap_err().is_fenced());
        }
        if dice.below(30) == 0 {
            while let Some(event) = consumer.events().try_next() {
                assert!(!matches!(event, Event::Lost { .. } | Event::GivenUp { .. }));
            }
            consumer = broker.consumer(config());
            consumer.subscribe(["t"]).await.unwrap();
        }
    }
}

async fn many_at_once(broker: Broker) {
    broker
        .create_topic("t", TopicConfig::partitions(4))
        .await
        .unwrap();
    let seen = Arc::new(Seen::default());
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..PRODUCERS {
        tasks.spawn(produce(broker.clone(), number, Arc::clone(&seen)));
    }
    for number in 0..MEMBERS {
        tasks.spawn(consume(broker.clone(), number, Arc::clone(&seen)));
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }

    let pushed = std::mem::take(&mut *seen.pushed.lock().unwrap());
    let dropped = std::mem::take(&mut *seen.dropped.lock().unwrap());
    let delivered = std::mem::take(&mut *seen.delivered.lock().unwrap());
    for (place, value) in &pushed {
        assert_eq!(delivered.get(place), Some(value), "{place:?}");
    }
    for (place, value) in &delivered {
        let known = pushed.get(place) == Some(value) || dropped.contains(value);
        assert!(known, "{place:?} {value} was never pushed");
    }
    let stats = broker.stats();
    assert_eq!(stats.topics[0].pushed, delivered.len() as u64);
    assert_eq!(stats.groups[0].members, 0);
    let consumer = broker.consumer(ConsumerConfig::group("g"));
    consumer.subscribe(["t"]).await.unwrap();
    for partition in 0..4 {
        assert_eq!(consumer.lag("t", partition).await.unwrap(), 0);
    }
    broker.close().await.unwrap();
}

// guarantee: K1, K5, K7
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_lost_in_memory() {
    many_at_once(Broker::in_memory()).await;
}

// guarantee: K1, K5, K7
#[cfg(feature = "durable")]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_lost_on_disk() {
    use pushpull::broker::SyncPolicy;

    let dir = std::env::temp_dir().join(format!("pushpull-stress-{}", std::process::id()));
    let broker = Broker::open(&dir, SyncPolicy::Every(Duration::from_millis(20)))
        .await
        .unwrap();
    many_at_once(broker).await;
    std::fs::remove_dir_all(dir).unwrap();
}
