//! Bounds in flight, pauses, and the numbers that say where a group stands.

use pushpull::broker::{Consumer, Error, Event};

use crate::engines::Engine;
use crate::kit::*;

pub(crate) async fn what_is_in_flight_is_bounded_and_visible(engine: impl Engine) {
    // guarantee: K8
    let topic = engine.topic("t", 1).await;
    push(&engine.producer(), topic, 0..30).await;
    let consumer = engine.reader(group().max_in_flight(10), topic).await;
    let events = consumer.events();
    let first = drain(&consumer, 10).await;
    assert_eq!(texts(&first), numbers(0..10));
    let full = |event: &Event| {
        matches!(
            event,
            Event::InFlightFull {
                partition: 0,
                in_flight: 10,
                ..
            }
        )
    };
    let told = told(&events, full).await;
    let full = told.iter().filter(|event| full(event));
    assert_eq!(full.count(), 1, "{told:?}");

    // The oldest counts: acknowledging those behind it makes no room.
    ack_all(&consumer, &first[1..]).await;
    drain(&consumer, 0).await;
    consumer.ack(&first[0]).await.unwrap();
    let next = drain(&consumer, 10).await;
    assert_eq!(texts(&next), numbers(10..20));
    consumer.ack(&next[0]).await.unwrap();
    assert_eq!(texts(&drain(&consumer, 1).await), numbers(20..21));
}

pub(crate) async fn a_partition_pauses_and_resumes(engine: impl Engine) {
    let topic = engine.topic("t", 2).await;
    let producer = engine.producer();
    let at = push_keyed(&producer, topic, "a", 0..2).await[0].partition;
    let key = ["b", "c", "d", "e", "f", "g"];
    let (mut here, mut there) = (2, 0);
    for key in key {
        let partition = push_keyed(&producer, topic, key, 0..1).await[0].partition;
        *if partition == at {
            &mut here
        } else {
            &mut there
        } += 1;
    }
    assert!(there > 0, "a key of the other partition");
    let consumer = engine.reader(group(), topic).await;
    settle(&[&consumer], 2).await;
    let paused = consumer.pause(topic, at);
    if !engine.capabilities().pauses {
        return assert_unsupported(paused);
    }
    paused.unwrap();
    consumer.pause(topic, at).unwrap();
    let got = drain_and_ack(&consumer, there).await;
    assert!(got.iter().all(|got| got.position.partition != at));
    consumer.resume(topic, at).unwrap();
    let got = drain_and_ack(&consumer, here).await;
    assert!(got.iter().all(|got| got.position.partition == at));
    consumer.resume(topic, at).unwrap();
    let unknown = consumer.pause(topic, 2);
    assert!(
        matches!(unknown, Err(Error::UnknownPartition { .. })),
        "{unknown:?}"
    );

    // A pause wakes nobody who waits, and a resume does.
    consumer.pause(topic, at).unwrap();
    push_keyed(&producer, topic, "a", 2..3).await;
    let (polled, ()) = tokio::join!(consumer.poll(10, 60 * second()), async {
        tokio::time::sleep(5 * second()).await;
        consumer.resume(topic, at).unwrap();
    });
    assert_eq!(texts(&polled.unwrap()), ["a/2"]);
}

pub(crate) async fn lag_position_and_committed_add_up(engine: impl Engine) {
    let topic = engine.topic("t", 1).await;
    let producer = engine.producer();
    let pushed = push(&producer, topic, 0..10).await;
    let consumer = engine.reader(group(), topic).await;
    settle(&[&consumer], 1).await;
    if !engine.capabilities().lag {
        assert_unsupported(consumer.lag(topic, 0).await);
        return assert_unsupported(consumer.committed(topic, 0).await);
    }
    let end = pushed[9].offset + 1;
    assert_eq!(consumer.committed(topic, 0).await.unwrap(), None);
    assert!(consumer.lag(topic, 0).await.unwrap() >= 10);
    assert!(consumer.position(topic, 0).unwrap() <= pushed[0].offset);

    let got = poll_n(&consumer, 4).await;
    let position = consumer.position(topic, 0).unwrap();
    assert!(position > pushed[3].offset && position <= pushed[4].offset);
    assert!(
        consumer.lag(topic, 0).await.unwrap() >= 10,
        "nothing is acknowledged"
    );
    ack_all(&consumer, &got[..2]).await;
    let committed = consumer.committed(topic, 0).await.unwrap();
    assert_committed(committed, &pushed, 2);
    assert_eq!(
        consumer.lag(topic, 0).await.unwrap(),
        end - committed.unwrap()
    );
    ack_all(&consumer, &got[2..]).await;
    drain_and_ack(&consumer, 6).await;
    assert_eq!(consumer.committed(topic, 0).await.unwrap(), Some(end));
    assert_eq!(consumer.position(topic, 0).unwrap(), end);
    assert_eq!(consumer.lag(topic, 0).await.unwrap(), 0);
    push(&producer, topic, 10..13).await;
    assert_eq!(consumer.lag(topic, 0).await.unwrap(), 3);
}
