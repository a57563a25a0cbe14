//! Records on their way out.

use std::collections::HashSet;
use std::pin::pin;
use std::time::Duration;

use futures::StreamExt;
use futures::future::join_all;
use pushpull::PullExt;
use pushpull::broker::{Consumer, Error, Producer, Record};
use tokio::time::{Instant, sleep};

use crate::engines::Engine;
use crate::kit::*;

pub(crate) async fn every_group_gets_every_record(engine: impl Engine) {
    // guarantee: K1
    let topic = engine.topic("t", 3).await;
    let producer = engine.producer();
    for key in ["a", "b", "c", "d"] {
        push_keyed(&producer, topic, key, 0..10).await;
    }
    for group in ["one", "two"] {
        let consumer = engine.reader(group_named(group), topic).await;
        let got = drain_and_ack(&consumer, 40).await;
        assert_eq!(texts(&got).into_iter().collect::<HashSet<_>>().len(), 40);
        for key in ["a", "b", "c", "d"] {
            let of_key = got
                .iter()
                .filter(|got| got.record.key.as_deref() == Some(key.as_bytes()));
            let expected: Vec<_> = (0..10).map(|n| format!("{key}/{n}")).collect();
            assert_eq!(of_key.map(text).collect::<Vec<_>>(), expected);
        }
    }
}

pub(crate) async fn a_poll_returns_when_there_is_something(engine: impl Engine) {
    // guarantee: K3
    let topic = engine.topic("t", 2).await;
    let consumer = engine.reader(group(), topic).await;
    let start = Instant::now();
    assert!(consumer.poll(10, 5 * second()).await.unwrap().is_empty());
    assert_took(start, 5 * second()..6 * second());

    let producer = engine.producer();
    let start = Instant::now();
    let (polled, ()) = tokio::join!(consumer.poll(10, 60 * second()), async {
        sleep(3 * second()).await;
        producer.push(Record::new(topic, "late")).await.unwrap();
    });
    assert_eq!(texts(&polled.unwrap()), ["late"]);
    assert_took(start, 3 * second()..4 * second());

    producer.push(Record::new(topic, "there")).await.unwrap();
    let start = Instant::now();
    let polled = consumer.poll(10, 60 * second()).await.unwrap();
    assert_eq!(texts(&polled), ["there"]);
    assert_took(start, NOW..second());
}

pub(crate) async fn a_poll_takes_no_more_than_it_may(engine: impl Engine) {
    // guarantee: K3
    let topic = engine.topic("t", 1).await;
    push(&engine.producer(), topic, 0..10).await;
    let consumer = engine.reader(group(), topic).await;
    let mut got = Vec::new();
    for max in [1, 3, usize::MAX] {
        let polled = consumer.poll(max, Duration::MAX).await.unwrap();
        assert!(!polled.is_empty() && polled.len() <= max);
        got.extend(polled);
    }
    got.extend(drain(&consumer, 10 - got.len()).await);
    assert_eq!(texts(&got), numbers(0..10));
}

pub(crate) async fn a_poll_for_nothing_returns_at_once(engine: impl Engine) {
    // guarantee: K3
    let topic = engine.topic("t", 1).await;
    let consumer = engine.reader(group(), topic).await;
    for pushed in 0..2 {
        let start = Instant::now();
        assert!(consumer.poll(0, 60 * second()).await.unwrap().is_empty());
        assert_took(start, NOW..second());
        if pushed == 0 {
            push(&engine.producer(), topic, 0..1).await;
        }
    }
    let polled = poll_n(&consumer, 1).await;
    assert_eq!(polled[0].attempt, 1, "nothing was taken before");
}

pub(crate) async fn a_busy_partition_starves_none(engine: impl Engine) {
    // guarantee: K3
    let topic = engine.topic("t", 64).await;
    let producer = engine.producer();
    let flood = |n| Record::new(topic, format!("flood/{n}")).key("flood");
    let flooded = producer.push(flood(0)).await.unwrap().partition;
    let mut records = (1..3000).map(flood).collect();
    producer.push_many(&mut records).await.unwrap();
    let pushes = (0..400).map(|key| {
        let record = Record::new(topic, "lonely").key(format!("key-{key}"));
        producer.push(record)
    });
    let mut lonely = HashSet::new();
    for pushed in join_all(pushes).await {
        lonely.insert(pushed.unwrap().partition);
    }
    lonely.remove(&flooded);
    assert_eq!(lonely.len(), 63);
    let consumer = engine.reader(group(), topic).await;
    settle(&[&consumer], 64).await;
    if !to_the_letter() {
        // What comes over the wire comes when it likes.
        let mut flood = 0;
        while !lonely.is_empty() {
            for delivery in consumer.poll(64, second()).await.unwrap() {
                consumer.ack(&delivery).await.unwrap();
                lonely.remove(&delivery.position.partition);
                flood += usize::from(delivery.position.partition == flooded);
            }
            assert!(flood < 3000, "{} partitions had no turn", lonely.len());
        }
        return;
    }
    let mut polls = 0;
    while !lonely.is_empty() {
        for delivery in consumer.poll(64, second()).await.unwrap() {
            lonely.remove(&delivery.position.partition);
        }
        polls += 1;
        assert!(polls <= 4, "{} partitions had no turn", lonely.len());
    }
    // One at a time takes turns as well.
    let mut partitions = HashSet::new();
    for _ in 0..64 {
        partitions.insert(poll_n(&consumer, 1).await[0].position.partition);
    }
    assert!(partitions.len() >= 32, "{}", partitions.len());
}

pub(crate) async fn a_busy_topic_starves_none(engine: impl Engine) {
    // guarantee: K3
    let (busy, calm) = (engine.topic("busy", 1).await, engine.topic("calm", 1).await);
    let producer = engine.producer();
    push(&producer, busy, 0..500).await;
    push(&producer, calm, 0..5).await;
    let consumer = engine.consumer(group());
    consumer.subscribe([busy, calm]).await.unwrap();
    settle(&[&consumer], 2).await;
    let (mut of_calm, mut of_busy) = (0, 0);
    // What comes over the wire comes when it likes, and before the busy topic is at its end.
    let bound = if to_the_letter() { 40 } else { 500 };
    while of_calm < 5 {
        assert!(of_calm + of_busy < bound, "{of_calm} of 5");
        let polled = consumer.poll(10, second()).await.unwrap();
        ack_all(&consumer, &polled).await;
        let calm = polled.iter().filter(|got| got.record.topic == calm).count();
        of_calm += calm;
        of_busy += polled.len() - calm;
    }
}

pub(crate) async fn a_cancelled_poll_loses_nothing(engine: impl Engine) {
    // guarantee: K3
    let topic = engine.topic("t", 1).await;
    let producer = engine.producer();
    let consumer = engine.reader(group(), topic).await;
    let mut got = Vec::new();
    for k in 0..40 {
        let mut pushed = false;
        {
            let mut poll = pin!(consumer.poll(10, 60 * second()));
            for turn in 0..k % 8 {
                // Something comes while it waits, or after the last look.
                if turn == k % 3 {
                    producer
                        .push(Record::new(topic, format!("n/{k}")))
                        .await
                        .unwrap();
                    pushed = true;
                }
                if let std::task::Poll::Ready(polled) = futures::poll!(poll.as_mut()) {
                    got.extend(polled.unwrap());
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        if !pushed {
            producer
                .push(Record::new(topic, format!("n/{k}")))
                .await
                .unwrap();
        }
    }
    got.extend(drain(&consumer, 40 - got.len()).await);
    assert_eq!(texts(&got), numbers(0..40));
    assert!(got.iter().all(|delivery| delivery.attempt == 1));
}

pub(crate) async fn a_consumer_is_a_stream(engine: impl Engine) {
    let topic = engine.topic("t", 1).await;
    push(&engine.producer(), topic, 0..50).await;
    let mut consumer = engine.reader(group(), topic).await;
    for n in 0..50 {
        let delivery = consumer.next().await.unwrap().unwrap();
        assert_eq!(text(&delivery), format!("n/{n}"));
        consumer.ack(&delivery).await.unwrap();
    }
    // It waits for what comes.
    let producer = engine.producer();
    let (late, ()) = tokio::join!(consumer.next(), async {
        sleep(10 * second()).await;
        producer.push(Record::new(topic, "late")).await.unwrap();
    });
    assert_eq!(text(&late.unwrap().unwrap()), "late");
}

pub(crate) async fn batches_are_acknowledged_from_beside(engine: impl Engine) {
    let topic = engine.topic("t", 1).await;
    let producer = engine.producer();
    let pushed = push(&producer, topic, 0..25).await;
    let consumer = engine.reader(group(), topic).await;
    let acker = consumer.acker();
    let mut batches = consumer.try_batch(10, second());
    let mut sizes = Vec::new();
    while sizes.iter().sum::<usize>() < 25 {
        let batch = batches.next().await.unwrap().unwrap();
        sizes.push(batch.len());
        for delivery in &batch {
            acker.clone().ack(delivery).await.unwrap();
        }
        // Which is stored when this returns.
        let last = batch.last().unwrap();
        acker.commit_to(&last.position).await.unwrap();
    }
    assert!(!to_the_letter() || sizes == [10, 10, 5], "{sizes:?}");
    assert!(sizes.iter().all(|size| *size <= 10), "{sizes:?}");
    drop(batches);
    let next = engine.reader(group(), topic).await;
    if engine.capabilities().lag {
        assert_committed(next.committed(topic, 0).await.unwrap(), &pushed, 25);
    }
    assert_nothing_left(&producer, &next, topic, 1).await;
}

pub(crate) async fn a_closed_consumer_says_so(engine: impl Engine) {
    let topic = engine.topic("t", 1).await;
    push(&engine.producer(), topic, 0..3).await;
    let mut consumer = engine.reader(group(), topic).await;
    let (acker, mut events) = (consumer.acker(), consumer.events());
    let polled = poll_n(&consumer, 1).await;
    consumer.close().await.unwrap();
    let closed = consumer.poll(1, second()).await;
    assert!(matches!(closed, Err(Error::Closed { .. })), "{closed:?}");
    assert!(acker.ack(&polled[0]).await.is_err());
    // The stream ends, perhaps after an error.
    let left: Vec<_> = consumer.by_ref().take(2).collect().await;
    assert!(
        left.len() < 2 && left.iter().all(Result::is_err),
        "{left:?}"
    );
    drop((consumer, acker));
    while events.next().await.is_some() {}

    let next = engine.reader(group(), topic).await;
    assert_eq!(texts(&poll_n(&next, 3).await), numbers(0..3));
}
