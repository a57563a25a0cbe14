//! Records that failed for the last time.

use pushpull::broker::{Consumer, Event};

use crate::engines::Engine;
use crate::kit::*;

pub(crate) async fn the_last_failure_goes_to_the_dead_letters(engine: impl Engine) {
    // guarantee: K6
    let topic = engine.topic("t", 1).await;
    let pushed = push(&engine.producer(), topic, 0..3).await;
    if !engine.capabilities().redelivers {
        return;
    }
    let config = group().max_attempts(3).dead_letter(name("dead"));
    let consumer = engine.reader(config, topic).await;
    let events = consumer.events();
    for attempt in 1..=3 {
        for delivery in poll_n(&consumer, if attempt == 1 { 3 } else { 1 }).await {
            if text(&delivery) == "n/1" {
                assert_eq!(delivery.attempt, attempt);
                let reason = format!("no luck {attempt}");
                consumer
                    .acker()
                    .nack_because(&delivery, None, reason)
                    .await
                    .unwrap();
            } else {
                consumer.ack(&delivery).await.unwrap();
            }
        }
    }
    drain(&consumer, 0).await;
    told(&events, |event| {
        matches!(event, Event::DeadLettered { position, reason } if *position == pushed[1] && reason == "no luck 3")
    })
    .await;
    if engine.capabilities().lag {
        assert_committed(consumer.committed(topic, 0).await.unwrap(), &pushed, 3);
        assert_eq!(consumer.lag(topic, 0).await.unwrap(), 0);
    }

    let undertaker = engine.reader(group_named("undertaker"), name("dead")).await;
    let dead = poll_n(&undertaker, 1).await;
    assert_eq!((text(&dead[0]), dead[0].attempt), ("n/1".into(), 1));
    let record = &dead[0].record;
    assert_eq!(record.key.as_deref(), Some(&b"n"[..]));
    for (name, value) in [
        ("topic", topic),
        ("partition", "0"),
        ("offset", &pushed[1].offset.to_string()),
        ("group", name("g")),
        ("attempts", "3"),
        ("reason", "no luck 3"),
    ] {
        let header = record.header_value(&format!("dead-letter-{name}"));
        assert_eq!(
            header.map(|header| &header[..]),
            Some(value.as_bytes()),
            "{name}"
        );
    }
}

pub(crate) async fn silence_is_a_failure_too(engine: impl Engine) {
    // guarantee: K6
    let topic = engine.topic("t", 1).await;
    push(&engine.producer(), topic, 0..2).await;
    if !engine.capabilities().redelivers {
        return;
    }
    let config = group()
        .max_attempts(2)
        .dead_letter(name("dead"))
        .ack_wait(second());
    let consumer = engine.reader(config, topic).await;
    let mut attempts = Vec::new();
    for got in poll_n(&consumer, 4).await {
        attempts.push((text(&got), got.attempt));
    }
    for _ in 0..3 {
        drain(&consumer, 0).await;
    }
    attempts.sort();
    let twice = |n: &str| [(n.to_owned(), 1), (n.to_owned(), 2)];
    assert_eq!(attempts, [twice("n/0"), twice("n/1")].concat());
    let undertaker = engine.reader(group_named("undertaker"), name("dead")).await;
    let dead = poll_n(&undertaker, 2).await;
    assert!(dead.iter().all(|got| {
        !got.record
            .header_value("dead-letter-reason")
            .unwrap()
            .is_empty()
    }));
}

pub(crate) async fn without_dead_letters_a_record_is_given_up(engine: impl Engine) {
    // guarantee: K6
    let topic = engine.topic("t", 1).await;
    let pushed = push(&engine.producer(), topic, 0..2).await;
    if !engine.capabilities().redelivers {
        return;
    }
    let consumer = engine.reader(group().max_attempts(1), topic).await;
    let events = consumer.events();
    let got = poll_n(&consumer, 2).await;
    consumer
        .acker()
        .nack_because(&got[0], None, "no use")
        .await
        .unwrap();
    consumer.ack(&got[1]).await.unwrap();
    drain(&consumer, 0).await;
    told(&events, |event| {
        matches!(event, Event::GivenUp { position, reason } if *position == pushed[0] && reason == "no use")
    })
    .await;
    if engine.capabilities().lag {
        assert_committed(consumer.committed(topic, 0).await.unwrap(), &pushed, 2);
    }
}
