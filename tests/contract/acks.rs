//! Acknowledging, and what happens without.

use pushpull::broker::{Consumer, Error, Position};
use tokio::time::{Instant, sleep};

use crate::engines::Engine;
use crate::kit::*;

pub(crate) async fn the_committed_offset_waits_for_the_oldest(engine: impl Engine) {
    // guarantee: K5
    let topic = engine.topic("t", 1).await;
    let pushed = push(&engine.producer(), topic, 0..5).await;
    let consumer = engine.reader(group(), topic).await;
    let got = poll_n(&consumer, 5).await;
    for (n, committed) in [(2, 0), (1, 0), (0, 3), (4, 3), (3, 5)] {
        consumer.ack(&got[n]).await.unwrap();
        if engine.capabilities().lag {
            assert_committed(
                consumer.committed(topic, 0).await.unwrap(),
                &pushed,
                committed,
            );
        }
    }
    // Once more is no more.
    consumer.ack(&got[1]).await.unwrap();
    // Who closes waits until what it acknowledged is stored; who is dropped may be overtaken by the next.
    consumer.close().await.unwrap();
    let next = engine.reader(group(), topic).await;
    assert_nothing_left(&engine.producer(), &next, topic, 1).await;
}

pub(crate) async fn commit_is_for_everything_delivered(engine: impl Engine) {
    let topic = engine.topic("t", 3).await;
    let producer = engine.producer();
    for key in ["a", "b", "c", "d", "e"] {
        push_keyed(&producer, topic, key, 0..4).await;
    }
    let consumer = engine.reader(group(), topic).await;
    let got = poll_n(&consumer, 12).await;
    consumer.commit().await.unwrap();
    drop(consumer);
    let next = engine.reader(group(), topic).await;
    let rest = drain(&next, 8).await;
    assert!(
        rest.iter()
            .all(|late| !got.iter().any(|early| early.position == late.position))
    );
}

pub(crate) async fn commit_to_is_for_everything_before(engine: impl Engine) {
    // guarantee: K5
    let topic = engine.topic("t", 1).await;
    let pushed = push(&engine.producer(), topic, 0..6).await;
    let consumer = engine.reader(group(), topic).await;
    let got = poll_n(&consumer, 6).await;
    consumer.commit_to(&got[3].position).await.unwrap();
    // An older one changes nothing.
    consumer.commit_to(&got[1].position).await.unwrap();
    consumer.ack(&got[0]).await.unwrap();
    if engine.capabilities().lag {
        assert_committed(consumer.committed(topic, 0).await.unwrap(), &pushed, 4);
    }
    drop(consumer);
    let next = engine.reader(group(), topic).await;
    assert_eq!(texts(&drain(&next, 2).await), numbers(4..6));
}

pub(crate) async fn what_was_never_delivered_is_not_committed(engine: impl Engine) {
    // guarantee: K5
    let topic = engine.topic("t", 1).await;
    let pushed = push(&engine.producer(), topic, 0..6).await;
    let consumer = engine.reader(group(), topic).await;
    let got = poll_n(&consumer, 3).await;
    let beyond =
        Position::new(topic, 0, pushed[5].offset).with_generation(got[0].position.generation());
    let error = consumer.commit_to(&beyond).await.unwrap_err();
    assert!(matches!(error, Error::NotDelivered { .. }), "{error:?}");
    // Nor what is nobody's.
    let nowhere = Position::new(name("nowhere"), 0, 0).with_generation(1);
    assert!(consumer.commit_to(&nowhere).await.is_err());
    drop(consumer);
    let next = engine.reader(group(), topic).await;
    assert_eq!(texts(&drain(&next, 6).await), numbers(0..6));
}

pub(crate) async fn what_is_in_other_hands_is_fenced(engine: impl Engine) {
    // guarantee: K5
    let topic = engine.topic("t", 1).await;
    let pushed = push(&engine.producer(), topic, 0..3).await;
    let first = engine.reader(group(), topic).await;
    let got = poll_n(&first, 3).await;
    let acker = first.acker();
    first.close().await.unwrap();
    let second = engine.reader(group(), topic).await;
    let again = poll_n(&second, 3).await;
    for settled in [
        acker.ack(&got[0]).await,
        acker.nack(&got[1], None).await,
        acker.commit_to(&got[2].position).await,
        second.ack(&got[0]).await,
    ] {
        assert!(settled.is_err());
    }
    assert_fenced(second.commit_to(&got[2].position).await);
    if engine.capabilities().lag {
        assert_eq!(second.committed(topic, 0).await.unwrap(), None);
    }
    ack_all(&second, &again).await;
    if engine.capabilities().lag {
        assert_committed(second.committed(topic, 0).await.unwrap(), &pushed, 3);
    }
}

pub(crate) async fn silence_is_answered_with_another_attempt(engine: impl Engine) {
    // guarantee: K6
    let topic = engine.topic("t", 1).await;
    push(&engine.producer(), topic, 0..3).await;
    let consumer = engine.reader(group().ack_wait(5 * second()), topic).await;
    let start = Instant::now();
    let got = poll_n(&consumer, 3).await;
    if !engine.capabilities().redelivers {
        return;
    }
    consumer.ack(&got[1]).await.unwrap();
    for attempt in 2..4 {
        let mut again = Vec::new();
        while again.len() < 2 {
            let polled = consumer.poll(10, 60 * second()).await.unwrap();
            assert!(!polled.is_empty());
            again.extend(polled);
        }
        assert_eq!(texts(&again), ["n/0", "n/2"]);
        assert!(again.iter().all(|again| again.attempt == attempt));
        let expected = 5 * second() * (attempt - 1);
        assert_took(start, expected..expected + second());
    }
}

pub(crate) async fn a_late_acknowledgement_is_a_success(engine: impl Engine) {
    // guarantee: K6
    let topic = engine.topic("t", 1).await;
    let pushed = push(&engine.producer(), topic, 0..2).await;
    let config = group()
        .ack_wait(5 * second())
        .session_timeout(600 * second());
    let consumer = engine.reader(config, topic).await;
    let got = poll_n(&consumer, 2).await;
    if !engine.capabilities().redelivers {
        return;
    }
    // Before it is delivered again, and after.
    sleep(6 * second()).await;
    consumer.ack(&got[0]).await.unwrap();
    let again = poll_n(&consumer, 1).await;
    assert_eq!(texts(&again), ["n/1"]);
    consumer.ack(&got[1]).await.unwrap();
    consumer.ack(&again[0]).await.unwrap();
    sleep(6 * second()).await;
    drain(&consumer, 0).await;
    if engine.capabilities().lag {
        assert_committed(consumer.committed(topic, 0).await.unwrap(), &pushed, 2);
    }
}

pub(crate) async fn what_is_in_work_is_extended(engine: impl Engine) {
    // guarantee: K6
    let topic = engine.topic("t", 1).await;
    push(&engine.producer(), topic, 0..3).await;
    let config = group()
        .ack_wait(20 * second())
        .session_timeout(600 * second());
    let consumer = engine.reader(config, topic).await;
    let got = poll_n(&consumer, 3).await;
    if !engine.capabilities().redelivers {
        return;
    }
    let start = Instant::now();
    consumer.ack(&got[2]).await.unwrap();
    sleep(12 * second()).await;
    consumer.extend(&got[0]).await.unwrap();
    // What is answered stays so.
    consumer.extend(&got[2]).await.unwrap();
    let again = poll_n(&consumer, 2).await;
    assert_eq!(texts(&again), ["n/1", "n/0"]);
    assert!(again.iter().all(|again| again.attempt == 2));
    assert_took(start, 32 * second()..33 * second());
    consumer.close().await.unwrap();
    let extended = consumer.acker().extend(&again[0]).await;
    assert!(extended.is_err());
}

pub(crate) async fn a_failure_is_delivered_again(engine: impl Engine) {
    // guarantee: K6
    let topic = engine.topic("t", 1).await;
    push(&engine.producer(), topic, 0..4).await;
    let consumer = engine.reader(group(), topic).await;
    let got = poll_n(&consumer, 2).await;
    let nacked = consumer.nack(&got[0], None).await;
    if !engine.capabilities().redelivers {
        return assert_unsupported(nacked);
    }
    nacked.unwrap();
    let start = Instant::now();
    let mut rest = Vec::new();
    while rest.len() < 3 {
        rest.extend(consumer.poll(10, 60 * second()).await.unwrap());
    }
    assert_took(start, NOW..second());
    rest.sort_by_key(|delivery| delivery.position.offset);
    assert_eq!(texts(&rest), ["n/0", "n/2", "n/3"]);
    assert_eq!(rest[0].attempt, 2);
    assert!(rest[1..].iter().all(|delivery| delivery.attempt == 1));
    assert_eq!(rest[0].position, got[0].position);
}

pub(crate) async fn a_failure_rests_as_long_as_it_is_told(engine: impl Engine) {
    // guarantee: K6
    let topic = engine.topic("t", 1).await;
    push(&engine.producer(), topic, 0..2).await;
    let consumer = engine.reader(group(), topic).await;
    let got = poll_n(&consumer, 1).await;
    let start = Instant::now();
    let nacked = consumer.nack(&got[0], Some(10 * second())).await;
    if !engine.capabilities().nack_delay {
        return assert_unsupported(nacked);
    }
    nacked.unwrap();
    // The one behind it does not wait.
    let next = poll_n(&consumer, 1).await;
    assert_eq!(texts(&next), numbers(1..2));
    assert_took(start, NOW..second());
    consumer.ack(&next[0]).await.unwrap();
    let again = poll_n(&consumer, 1).await;
    assert_eq!((text(&again[0]), again[0].attempt), ("n/0".into(), 2));
    assert_took(start, 10 * second()..11 * second());
}

pub(crate) async fn keys_stay_in_order_across_redelivery(engine: impl Engine) {
    // guarantee: K6
    let topic = engine.topic("t", 1).await;
    let producer = engine.producer();
    for n in 0..3 {
        push_keyed(&producer, topic, "a", n..n + 1).await;
        push_keyed(&producer, topic, "b", n..n + 1).await;
    }
    if !engine.capabilities().redelivers {
        return;
    }
    let consumer = engine.reader(group().ordered(true), topic).await;
    let mut done = Vec::new();
    let mut failures = 3;
    let start = Instant::now();
    while done.len() < 6 {
        for delivery in consumer.poll(10, second()).await.unwrap() {
            if text(&delivery) == "a/0" && failures > 0 {
                failures -= 1;
                consumer.nack(&delivery, Some(5 * second())).await.unwrap();
            } else {
                done.push(text(&delivery));
                consumer.ack(&delivery).await.unwrap();
            }
        }
    }
    assert_took(start, 15 * second()..20 * second());
    drain(&consumer, 0).await;
    // Another key does not wait for it.
    assert_eq!(done, ["b/0", "b/1", "b/2", "a/0", "a/1", "a/2"]);
}

pub(crate) async fn an_ordered_key_waits_for_its_acknowledgement(engine: impl Engine) {
    // guarantee: K6
    let topic = engine.topic("t", 1).await;
    let producer = engine.producer();
    for key in ["a", "a", "b", "a"] {
        push_keyed(&producer, topic, key, 0..1).await;
    }
    if !engine.capabilities().redelivers {
        return;
    }
    let consumer = engine.reader(group().ordered(true), topic).await;
    let first = drain(&consumer, 2).await;
    assert_eq!(texts(&first), ["a/0", "b/0"]);
    consumer.ack(&first[1]).await.unwrap();
    drain(&consumer, 0).await;
    consumer.ack(&first[0]).await.unwrap();
    let next = drain(&consumer, 1).await;
    assert_eq!(texts(&next), ["a/0"]);
    consumer.ack(&next[0]).await.unwrap();
    drain_and_ack(&consumer, 1).await;
}

pub(crate) async fn an_ordered_member_takes_over_from_one_that_was_not(engine: impl Engine) {
    // guarantee: K6
    let topic = engine.topic("t", 1).await;
    let producer = engine.producer();
    for key in ["a", "a", "b"] {
        push_keyed(&producer, topic, key, 0..1).await;
    }
    if !engine.capabilities().redelivers {
        return;
    }
    let first = engine.reader(group(), topic).await;
    poll_n(&first, 3).await;
    first.close().await.unwrap();
    let second = engine.reader(group().ordered(true), topic).await;
    let got = drain(&second, 2).await;
    assert_eq!(texts(&got), ["a/0", "b/0"]);
    ack_all(&second, &got).await;
    assert_eq!(texts(&drain(&second, 1).await), ["a/0"]);
}
