//! What a consumer reads.

use pushpull::broker::{Consumer, Error, Start};

use crate::engines::Engine;
use crate::kit::*;

pub(crate) async fn a_subscription_replaces_the_one_before(engine: impl Engine) {
    // guarantee: K4
    let (a, b) = (engine.topic("a", 2).await, engine.topic("b", 1).await);
    let producer = engine.producer();
    let consumer = engine.consumer(group());
    assert!(consumer.subscription().is_empty());
    assert!(consumer.poll(10, second()).await.unwrap().is_empty());

    consumer.subscribe([b, a]).await.unwrap();
    assert_eq!(consumer.subscription(), [a, b]);
    settle(&[&consumer], 3).await;
    let all = [(a.into(), 0), (a.into(), 1), (b.into(), 0)];
    assert_eq!(consumer.assignment(), all);

    consumer.subscribe(vec![String::from(b)]).await.unwrap();
    assert_eq!(consumer.subscription(), [b]);
    push(&producer, a, 0..3).await;
    push(&producer, b, 10..13).await;
    let got = drain(&consumer, 3).await;
    assert_eq!(texts(&got), numbers(10..13));

    consumer.subscribe(Vec::<&str>::new()).await.unwrap();
    assert!(consumer.subscription().is_empty());
    assert!(consumer.assignment().is_empty());
    assert!(consumer.poll(10, second()).await.unwrap().is_empty());
}

pub(crate) async fn topics_are_added_and_removed(engine: impl Engine) {
    // guarantee: K4
    let [a, b, c] = ["a", "b", "c"].map(name);
    for (topic, key) in [(a, "a"), (b, "b"), (c, "c")] {
        engine.topic(key, 1).await;
        push_keyed(&engine.producer(), topic, key, 0..1).await;
    }
    let consumer = engine.reader(group(), b).await;
    consumer.add_topics([a, b]).await.unwrap();
    assert_eq!(consumer.subscription(), [a, b]);
    let mut got = texts(&drain_and_ack(&consumer, 2).await);
    got.sort_unstable();
    assert_eq!(got, ["a/0", "b/0"]);

    consumer.add_topics([c]).await.unwrap();
    consumer.remove_topics([b]).await.unwrap();
    assert_eq!(consumer.subscription(), [a, c]);
    push_keyed(&engine.producer(), b, "b", 1..2).await;
    assert_eq!(texts(&drain_and_ack(&consumer, 1).await), ["c/0"]);

    let error = consumer.remove_topics([a, b]).await.unwrap_err();
    assert!(
        matches!(&error, Error::NotSubscribed { topic } if topic == b),
        "{error:?}"
    );
    let text = format!("this consumer has not subscribed to topic `{b}`; subscribe first");
    assert_eq!(error.to_string(), text);
    assert_eq!(consumer.subscription(), [a, c]);
}

pub(crate) async fn what_was_read_stays_read(engine: impl Engine) {
    // guarantee: K4
    let (a, b) = (engine.topic("a", 1).await, engine.topic("b", 1).await);
    push(&engine.producer(), a, 0..10).await;
    let consumer = engine.reader(group(), a).await;
    let first = poll_n(&consumer, 4).await;
    ack_all(&consumer, &first[..2]).await;

    // The topic stays in the subscription: so does what is in flight.
    consumer.subscribe([a, b]).await.unwrap();
    consumer.add_topics([a]).await.unwrap();
    let later = poll_n(&consumer, 2).await;
    assert_eq!(texts(&later), numbers(4..6));
    ack_all(&consumer, &first[2..]).await;
    ack_all(&consumer, &later).await;

    // It goes and comes back: what was acknowledged is not read again.
    consumer.subscribe([b]).await.unwrap();
    assert!(consumer.poll(10, second()).await.unwrap().is_empty());
    consumer.subscribe([b, a]).await.unwrap();
    assert_eq!(texts(&drain(&consumer, 4).await), numbers(6..10));
}

pub(crate) async fn an_unknown_topic_changes_nothing(engine: impl Engine) {
    // guarantee: K4
    let (a, b) = (engine.topic("a", 1).await, engine.topic("b", 1).await);
    let nowhere = name("nowhere");
    let consumer = engine.reader(group(), a).await;
    for error in [
        consumer.subscribe([b, nowhere]).await.unwrap_err(),
        consumer.add_topics([b, nowhere]).await.unwrap_err(),
    ] {
        assert!(matches!(&error, Error::UnknownTopic { topic, .. } if topic == nowhere));
        let text = format!("there is no topic `{nowhere}`; create it first");
        assert_eq!(error.to_string(), text);
        assert_eq!(consumer.subscription(), [a]);
    }
    push(&engine.producer(), a, 0..2).await;
    push(&engine.producer(), b, 2..4).await;
    assert_eq!(texts(&drain(&consumer, 2).await), numbers(0..2));
}

pub(crate) async fn subscribing_commits_nothing(engine: impl Engine) {
    // guarantee: K4
    let (a, b) = (engine.topic("a", 1).await, engine.topic("b", 1).await);
    push(&engine.producer(), a, 0..3).await;
    let consumer = engine.reader(group(), a).await;
    poll_n(&consumer, 3).await;
    consumer.subscribe([b]).await.unwrap();
    drop(consumer);
    let next = engine.reader(group(), a).await;
    assert_eq!(texts(&poll_n(&next, 3).await), numbers(0..3));
    if engine.capabilities().lag {
        assert_eq!(next.committed(a, 0).await.unwrap(), None);
    }
}

pub(crate) async fn a_group_begins_where_it_is_told(engine: impl Engine) {
    let topic = engine.topic("t", 1).await;
    let producer = engine.producer();
    let pushed = push(&producer, topic, 0..5).await;
    let mut groups = Vec::new();
    for (group, start) in [
        ("earliest", Start::Earliest),
        ("latest", Start::Latest),
        ("offset", Start::Offset(pushed[3].offset)),
    ] {
        let config = group_named(group).start(start);
        let consumer = engine.reader(config, topic).await;
        settle(&[&consumer], 1).await;
        groups.push(consumer);
    }
    push(&producer, topic, 5..6).await;
    for (consumer, from) in groups.iter().zip([0, 5, 3]) {
        assert_eq!(
            texts(&drain_and_ack(consumer, 6 - from).await),
            numbers(from..6)
        );
    }
    // A group that has committed goes on from there, wherever a new one would begin.
    for consumer in &groups {
        consumer.commit().await.unwrap();
    }
    drop(groups);
    push(&producer, topic, 6..8).await;
    for group in ["earliest", "latest", "offset"] {
        let config = group_named(group).start(Start::Latest);
        let consumer = engine.reader(config, topic).await;
        assert_eq!(texts(&drain(&consumer, 2).await), numbers(6..8));
    }
}
