//! Reading elsewhere.

use pushpull::broker::{Consumer, Error, Start};

use crate::engines::Engine;
use crate::kit::*;

pub(crate) async fn to_the_ends_and_to_an_offset(engine: impl Engine) {
    // guarantee: K4
    let topic = engine.topic("t", 1).await;
    let producer = engine.producer();
    let pushed = push(&producer, topic, 0..10).await;
    let consumer = engine.reader(group(), topic).await;
    let got = poll_n(&consumer, 5).await;
    if !engine.capabilities().seek {
        return assert_unsupported(consumer.seek(topic, 0, Start::Earliest).await);
    }
    ack_all(&consumer, &got).await;

    consumer.seek(topic, 0, Start::Earliest).await.unwrap();
    assert_committed(consumer.committed(topic, 0).await.unwrap(), &pushed, 5);
    assert_eq!(texts(&poll_n(&consumer, 3).await), numbers(0..3));
    consumer
        .seek(topic, 0, Start::Offset(pushed[7].offset))
        .await
        .unwrap();
    assert_eq!(consumer.position(topic, 0).unwrap(), pushed[7].offset);
    assert_eq!(texts(&drain(&consumer, 3).await), numbers(7..10));
    consumer.seek(topic, 0, Start::Latest).await.unwrap();
    drain(&consumer, 0).await;
    push(&producer, topic, 10..12).await;
    assert_eq!(texts(&drain(&consumer, 2).await), numbers(10..12));

    // The end is an offset like another.
    let end = consumer.position(topic, 0).unwrap();
    consumer.seek(topic, 0, Start::Offset(end)).await.unwrap();
    drain(&consumer, 0).await;
}

pub(crate) async fn to_a_time(engine: impl Engine) {
    // guarantee: K4
    let topic = engine.topic("t", 1).await;
    let producer = engine.producer();
    for n in 0..3 {
        push(&producer, topic, n * 2..n * 2 + 2).await;
        tokio::time::sleep(10 * second()).await;
    }
    let consumer = engine.reader(group(), topic).await;
    let got = poll_n(&consumer, 6).await;
    let time = got[2].time;
    if !engine.capabilities().seek_time {
        return assert_unsupported(consumer.seek(topic, 0, Start::Time(time)).await);
    }
    assert!(time >= got[1].time + 9 * second());
    for (time, from) in [
        (time, 2),
        (time - second(), 2),
        (time + second(), 4),
        (got[0].time - 100 * second(), 0),
        (got[5].time + second(), 6),
    ] {
        consumer.seek(topic, 0, Start::Time(time)).await.unwrap();
        assert_eq!(texts(&drain(&consumer, 6 - from).await), numbers(from..6));
    }
}

pub(crate) async fn refusals_name_what_is_wrong(engine: impl Engine) {
    // guarantee: K4
    let (a, b) = (engine.topic("a", 2).await, engine.topic("b", 1).await);
    let pushed = push(&engine.producer(), a, 0..3).await;
    let at = pushed[0].partition;
    let consumer = engine.reader(group(), a).await;
    settle(&[&consumer], 2).await;
    if !engine.capabilities().seek {
        return;
    }
    let error = consumer.seek(b, 0, Start::Earliest).await.unwrap_err();
    assert!(
        matches!(&error, Error::NotSubscribed { topic } if topic == b),
        "{error:?}"
    );
    assert!(matches!(
        consumer.position(b, 0),
        Err(Error::NotSubscribed { .. })
    ));
    assert!(matches!(
        consumer.committed(b, 0).await,
        Err(Error::NotSubscribed { .. })
    ));
    assert!(matches!(
        consumer.lag(b, 0).await,
        Err(Error::NotSubscribed { .. })
    ));
    assert!(matches!(
        consumer.pause(b, 0),
        Err(Error::NotSubscribed { .. })
    ));
    assert!(matches!(
        consumer.resume(b, 0),
        Err(Error::NotSubscribed { .. })
    ));

    let error = consumer.seek(a, 2, Start::Earliest).await.unwrap_err();
    let expected = matches!(
        &error,
        Error::UnknownPartition {
            partition: 2,
            partitions: 2,
            ..
        }
    );
    assert!(expected, "{error:?}");
    assert!(matches!(
        consumer.lag(a, 2).await,
        Err(Error::UnknownPartition { .. })
    ));

    let beyond = pushed[2].offset + 2;
    let error = consumer
        .seek(a, at, Start::Offset(beyond))
        .await
        .unwrap_err();
    let Error::OffsetOutOfRange { offset, next, .. } = &error else {
        panic!("{error:?}")
    };
    assert_eq!((*offset, *next), (beyond, pushed[2].offset + 1));
    if engine.capabilities().dense_offsets {
        let text = format!(
            "offset 4 is not in partition {at} of topic `{a}`: its oldest is 0, and the next to be written is 3"
        );
        assert_eq!(error.to_string(), text);
    }

    // Of two members each owns one partition.
    let other = engine.reader(group(), a).await;
    settle(&[&consumer, &other], 2).await;
    let foreign = other.assignment()[0].1;
    let error = consumer
        .seek(a, foreign, Start::Earliest)
        .await
        .unwrap_err();
    assert!(matches!(&error, Error::NotAssigned { partition, .. } if *partition == foreign));
    let text = format!(
        "partition {foreign} of topic `{a}` is not assigned to this consumer at the moment"
    );
    assert_eq!(error.to_string(), text);
    assert!(matches!(
        consumer.pause(a, foreign),
        Err(Error::NotAssigned { .. })
    ));
}

pub(crate) async fn what_was_delivered_before_is_fenced(engine: impl Engine) {
    // guarantee: K5
    let topic = engine.topic("t", 1).await;
    let pushed = push(&engine.producer(), topic, 0..5).await;
    let consumer = engine.reader(group(), topic).await;
    let before = poll_n(&consumer, 3).await;
    if !engine.capabilities().seek {
        return;
    }
    consumer
        .seek(topic, 0, Start::Offset(pushed[1].offset))
        .await
        .unwrap();
    assert_fenced(consumer.ack(&before[0]).await);
    assert_fenced(consumer.nack(&before[1], None).await);
    assert_fenced(consumer.commit_to(&before[2].position).await);
    assert_eq!(consumer.committed(topic, 0).await.unwrap(), None);
    let error = consumer.ack(&before[1]).await.unwrap_err();
    assert!(error.is_fenced());
    let text = format!(
        "offset {} of partition 0 of topic `{topic}` is not, or no longer, in these hands: after a seek, a leave or a rebalance it \
         is delivered again where it is not acknowledged, and nothing need be done",
        before[1].position.offset
    );
    assert_eq!(error.to_string(), text);

    let after = drain(&consumer, 4).await;
    assert_eq!(texts(&after), numbers(1..5));
    ack_all(&consumer, &after).await;
    assert_committed(consumer.committed(topic, 0).await.unwrap(), &pushed, 5);
}
