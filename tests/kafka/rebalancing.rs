//! Members that come, go and stall.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use pushpull::broker::{Consumer as _, Error, Event, TopicConfig};
use pushpull::kafka::testing::{Fault, Request};
use pushpull::kafka::{Consumer, Kafka};

use crate::kit::{LONG, any, member, mock, number, options, push, reader, soon, take, topic};

/// Reads and acknowledges until told to stop. What was acknowledged without an error is the answer.
async fn work(consumer: &Consumer, stop: impl Fn(&BTreeSet<u64>) -> bool) -> BTreeSet<u64> {
    let mut done = BTreeSet::new();
    soon("the work", async {
        while !stop(&done) {
            for delivery in consumer.poll(50, Duration::from_millis(50)).await.unwrap() {
                match consumer.ack(&delivery).await {
                    Ok(()) => drop(done.insert(number(&delivery))),
                    Err(error) => assert!(error.is_fenced(), "{error}"),
                }
            }
        }
    })
    .await;
    done
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_creates_a_topic_second_finds_it() {
    let (cluster, kafka) = mock(options()).await;
    let other = cluster.connect(options()).await.unwrap();
    let create = |kafka: &Kafka, n: u32| {
        let kafka = kafka.clone();
        let config = TopicConfig::partitions(1);
        tokio::spawn(async move { kafka.create_topic(format!("failed-{n}"), config).await })
    };
    for n in 0..10 {
        let (first, second) = tokio::join!(create(&kafka, n), create(&other, n));
        first.unwrap().unwrap();
        second.unwrap().unwrap();
    }
}

// guarantee: K1, K7
#[tokio::test]
async fn what_two_members_read_is_all_there_is() {
    let kafka = any(options()).await;
    let topic = topic(&kafka, "shared", 4).await;
    push(&kafka, &topic, 0..1000, None).await;
    let config = member("g");
    let one = reader(&kafka, config.clone(), &topic).await;
    let mut done = work(&one, |done| done.len() >= 300).await;
    let two = kafka.consumer(config);
    let (joined, more) = tokio::join!(
        two.subscribe([&topic]),
        work(&one, |_| two.assignment().len() == 2)
    );
    joined.unwrap();
    done.extend(more);
    assert_eq!((one.assignment().len(), two.assignment().len()), (2, 2));
    let at_one: BTreeSet<_> = one.assignment().into_iter().collect();
    let at_two = two.assignment().into_iter().collect();
    assert!(at_one.is_disjoint(&at_two));

    push(&kafka, &topic, 1000..2000, None).await;
    let all: BTreeSet<_> = (0..2000).collect();
    while done != all {
        let brief = || {
            let end = std::time::Instant::now() + Duration::from_millis(200);
            move |_: &BTreeSet<u64>| std::time::Instant::now() > end
        };
        let (more, others) = tokio::join!(work(&one, brief()), work(&two, brief()));
        done.extend(more);
        done.extend(others);
    }
    soon("closing", two.close()).await.unwrap();
    work(&one, |_| one.assignment().len() == 4).await;
    for partition in 0..4 {
        assert_eq!(one.lag(&topic, partition).await.unwrap(), 0);
    }
}

// guarantee: K5, K7
#[tokio::test]
async fn what_is_in_hand_when_a_partition_goes_is_fenced_and_comes_again() {
    let kafka = any(options()).await;
    let topic = topic(&kafka, "fences", 2).await;
    push(&kafka, &topic, 0..5, Some(0)).await;
    push(&kafka, &topic, 5..10, Some(1)).await;
    let config = member("g").ack_wait(Duration::from_millis(600));
    let one = reader(&kafka, config.clone(), &topic).await;
    let held = take(&one, 10).await;
    for delivery in &held {
        if number(delivery) % 5 == 0 {
            one.commit_to(&delivery.position).await.unwrap();
        }
    }
    let two = kafka.consumer(config);
    // A poll of nothing is a sign of life.
    let alive = async {
        while two.assignment().is_empty() {
            let none = one.poll(0, Duration::ZERO).await.unwrap();
            assert!(none.is_empty());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let (joined, ()) = soon("a handover", async {
        tokio::join!(two.subscribe([&topic]), alive)
    })
    .await;
    joined.unwrap();
    let (_, gone) = two.assignment().remove(0);
    for delivery in &held {
        let answer = one.ack(delivery).await;
        if delivery.position.partition == gone {
            assert!(matches!(answer, Err(Error::Fenced { .. })), "{answer:?}");
        }
    }
    let mut again: Vec<_> = take(&two, 4).await.iter().map(number).collect();
    again.sort_unstable();
    let first = u64::from(gone) * 5 + 1;
    assert_eq!(again, [first, first + 1, first + 2, first + 3]);
}

// guarantee: K7
#[tokio::test]
async fn a_member_that_stalls_loses_its_partitions_and_comes_back() {
    let kafka = any(options()).await;
    let topic = topic(&kafka, "stalls", 2).await;
    push(&kafka, &topic, 0..100, None).await;
    let config = member("g").session_timeout(Duration::from_millis(700));
    let one = reader(&kafka, config.clone(), &topic).await;
    let events = one.events();
    let held = take(&one, 100).await;
    for delivery in held.iter().filter(|it| number(it) < 50) {
        one.ack(delivery).await.unwrap();
    }
    // Nothing is heard of it any more.
    let two = reader(&kafka, config, &topic).await;
    let mut others = BTreeMap::new();
    soon("the other half", async {
        while others.len() < 50 || (50..100).any(|n| !others.contains_key(&n)) {
            for delivery in two.poll(100, Duration::from_millis(200)).await.unwrap() {
                two.ack(&delivery).await.unwrap();
                others.insert(number(&delivery), delivery);
            }
        }
    })
    .await;
    let stale = held.iter().find(|it| number(it) == 99).unwrap();
    // The acknowledgement is a sign of life, and too late.
    assert!(matches!(one.ack(stale).await, Err(Error::Fenced { .. })));
    let events: Vec<_> = std::iter::from_fn(|| events.try_next()).collect();
    let expired = events.iter().any(|it| matches!(it, Event::Expired));
    assert!(expired, "{events:?}");
    soon("its return", async {
        while one.assignment().len() != 1 || two.assignment().len() != 1 {
            let (one, two) = tokio::join!(
                one.poll(10, Duration::from_millis(50)),
                two.poll(10, Duration::from_millis(50))
            );
            one.unwrap();
            two.unwrap();
        }
    })
    .await;
    push(&kafka, &topic, 100..120, Some(one.assignment()[0].1)).await;
    let mut seen = BTreeSet::new();
    while seen.len() < 20 {
        seen.extend(take(&one, 1).await.iter().map(number).filter(|&n| n >= 100));
    }
}

// guarantee: K7
#[tokio::test]
async fn a_group_that_forgets_its_member_takes_it_back() {
    let (cluster, kafka) = mock(options()).await;
    let topic = topic(&kafka, "t", 1).await;
    push(&kafka, &topic, 0..10, None).await;
    let consumer = reader(&kafka, member("g"), &topic).await;
    let held = take(&consumer, 10).await;
    for delivery in &held[..5] {
        consumer.ack(delivery).await.unwrap();
    }
    soon("a commit", consumer.commit_to(&held[4].position))
        .await
        .unwrap();
    let events = consumer.events();
    while events.try_next().is_some() {}
    cluster
        .fail(Request::Heartbeat, &[Fault::UnknownMember])
        .unwrap();
    let seen = soon("the loss and the return", async {
        let mut seen = Vec::new();
        loop {
            let more = consumer.poll(10, Duration::from_millis(100)).await.unwrap();
            seen.extend(more.iter().map(number));
            if seen.len() >= 5 {
                return seen;
            }
        }
    })
    .await;
    assert_eq!(
        seen,
        [5, 6, 7, 8, 9],
        "what was not acknowledged comes again"
    );
    assert!(matches!(
        consumer.ack(&held[5]).await,
        Err(Error::Fenced { .. })
    ));
    let mut revoked = false;
    while let Some(event) = events.try_next() {
        revoked |= matches!(
            event,
            Event::Revoked {
                unacknowledged: 5,
                ..
            }
        );
    }
    assert!(revoked);
}

#[tokio::test]
async fn a_consumer_that_is_dropped_leaves_at_once() {
    let kafka = any(options()).await;
    let topic = topic(&kafka, "leaves", 1).await;
    push(&kafka, &topic, 0..3, None).await;
    let config = member("g").session_timeout(LONG);
    let one = reader(&kafka, config.clone(), &topic).await;
    take(&one, 3).await;
    let began = std::time::Instant::now();
    drop(one);
    let took = began.elapsed();
    let two = reader(&kafka, config, &topic).await;
    assert_eq!(take(&two, 3).await.len(), 3);
    assert!(
        took < Duration::from_millis(100),
        "{took:?}: it is left in the background"
    );
}
