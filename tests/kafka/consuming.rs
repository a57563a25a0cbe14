//! Reading with one member: what comes, in which order, and where it goes on.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use futures::StreamExt;
use pushpull::broker::{Consumer, ConsumerConfig, Error, Event, Producer, Record, Start};
use pushpull::kafka::Kafka;
use pushpull::kafka::testing::{Fault, Request};

use crate::kit::{
    LONG, any, member, mock, number, options, push, reader, soon, take, topic, until,
};

#[tokio::test]
async fn records_come_as_they_went() {
    let kafka = any(options()).await;
    let topic = topic(&kafka, "whole", 1).await;
    let producer = kafka.producer();
    let plain = Record::new(&topic, "plain").partition(0);
    let records = [
        plain.clone(),
        Record::new(&topic, "").key("").partition(0),
        Record::new(&topic, vec![0, 255, 7])
            .key(vec![1, 0, 200])
            .partition(0)
            .id("an id")
            .header("a", "1")
            .header("b", vec![0, 159])
            .header("a", "2")
            .header("", ""),
        plain.clone().header("pushpull-id", "not an id"),
        plain.clone().id("").header("pushpull-id", "1"),
        plain.header("ä", vec![3; 10_000]),
    ];
    let before = SystemTime::now() - Duration::from_secs(5);
    for record in &records {
        producer.push(record.clone()).await.unwrap();
    }
    let consumer = reader(&kafka, member("g"), &topic).await;
    for (offset, delivery) in take(&consumer, records.len()).await.into_iter().enumerate() {
        let mut sent = records[offset].clone();
        sent.partition = delivery.record.partition;
        assert_eq!(delivery.record, sent);
        assert_eq!(delivery.position.offset, offset as u64);
        assert_eq!((&*delivery.position.topic, delivery.attempt), (&*topic, 1));
        assert!(delivery.time > before);
        consumer.ack(&delivery).await.unwrap();
    }
}

// guarantee: K2
#[tokio::test]
async fn each_key_keeps_its_order() {
    let kafka = any(options()).await;
    let topic = topic(&kafka, "keys", 4).await;
    let mut records = (0..4000_u64)
        .map(|n| Record::new(&topic, n.to_string()).key(format!("{}", n % 10)))
        .collect();
    kafka.producer().push_many(&mut records).await.unwrap();
    let consumer = reader(&kafka, member("g").max_in_flight(4000), &topic).await;
    let mut last = BTreeMap::new();
    for delivery in take(&consumer, 4000).await {
        consumer.ack(&delivery).await.unwrap();
        let key = delivery.record.key.clone().unwrap();
        let number = number(&delivery);
        let before = last.insert(key, (number, delivery.position.partition));
        let before = before.unwrap_or((number % 10, delivery.position.partition));
        assert!(before.0 <= number && before.1 == delivery.position.partition);
    }
    assert_eq!(last.len(), 10);
}

// guarantee: K1, K6
#[tokio::test]
async fn a_group_goes_on_where_it_was() {
    let kafka = any(options()).await;
    let topic = topic(&kafka, "again", 1).await;
    push(&kafka, &topic, 0..10, None).await;
    let config = member("g");
    let consumer = reader(&kafka, config.clone(), &topic).await;
    assert_eq!(consumer.committed(&topic, 0).await.unwrap(), None);
    assert_eq!(consumer.lag(&topic, 0).await.unwrap(), 10);
    let taken = take(&consumer, 6).await;
    for at in [0, 1, 3, 4] {
        consumer.ack(&taken[at]).await.unwrap();
    }
    assert_eq!(consumer.committed(&topic, 0).await.unwrap(), Some(2));
    assert_eq!(consumer.lag(&topic, 0).await.unwrap(), 8);
    soon("closing", consumer.close()).await.unwrap();
    assert!(matches!(
        consumer.poll(1, Duration::ZERO).await,
        Err(Error::Closed { .. })
    ));

    let consumer = reader(&kafka, config.clone(), &topic).await;
    assert_eq!(consumer.committed(&topic, 0).await.unwrap(), Some(2));
    let taken = take(&consumer, 8).await;
    let numbers: Vec<_> = taken.iter().map(number).collect();
    assert_eq!(numbers, [2, 3, 4, 5, 6, 7, 8, 9]);
    soon("a commit", consumer.commit()).await.unwrap();
    assert_eq!(consumer.committed(&topic, 0).await.unwrap(), Some(10));
    drop(consumer);

    push(&kafka, &topic, 10..11, None).await;
    let consumer = reader(&kafka, config, &topic).await;
    assert_eq!(number(&take(&consumer, 1).await[0]), 10);
}

// guarantee: K6
#[tokio::test]
async fn what_is_refused_or_forgotten_comes_again() {
    let kafka = any(options()).await;
    let topic = topic(&kafka, "again", 1).await;
    push(&kafka, &topic, 0..3, None).await;
    let config = member("g").ack_wait(Duration::from_millis(500));
    let consumer = reader(&kafka, config, &topic).await;
    let taken = take(&consumer, 3).await;
    consumer.nack(&taken[0], None).await.unwrap();
    consumer.ack(&taken[1]).await.unwrap();
    for forgotten in [0, 2] {
        let again = take(&consumer, 1).await;
        assert_eq!((number(&again[0]), again[0].attempt), (forgotten, 2));
        consumer.ack(&again[0]).await.unwrap();
    }
}

#[tokio::test]
async fn dead_letters_are_buried_before_they_count_as_done() {
    let (_cluster, kafka) = mock(options()).await;
    let topic = topic(&kafka, "letters", 1).await;
    push(&kafka, &topic, 7..8, None).await;
    let config = member("g").max_attempts(2).dead_letter("dead");
    let consumer = reader(&kafka, config, &topic).await;
    for attempt in 1..3 {
        let taken = take(&consumer, 1).await;
        assert_eq!(taken[0].attempt, attempt);
        consumer.nack(&taken[0], None).await.unwrap();
    }
    let dead = reader(&kafka, member("h"), "dead").await;
    let letter = take(&dead, 1).await.remove(0);
    assert_eq!(letter.record.value, "7");
    assert_eq!(
        letter.record.header_value("dead-letter-attempts").unwrap(),
        "2"
    );
}

#[tokio::test]
async fn starts_are_where_they_say() {
    let kafka = any(options()).await;
    let topic = topic(&kafka, "starts", 1).await;
    push(&kafka, &topic, 0..10, None).await;
    for (start, first) in [
        (Start::Earliest, 0),
        (Start::Offset(4), 4),
        (Start::Offset(400), 10),
        (Start::Latest, 10),
    ] {
        let consumer = reader(&kafka, member("g").start(start), &topic).await;
        push(&kafka, &topic, 10..11, None).await;
        let taken = take(&consumer, 1).await;
        let offset = taken[0].position.offset;
        // Each round pushes one more.
        let right = if first < 10 {
            offset == first
        } else {
            offset >= first
        };
        assert!(right, "{start:?}: {offset}");
    }
    let consumer = reader(&kafka, member("g").start(Start::Latest), &topic).await;
    let position = kafka
        .producer()
        .push(Record::new(&topic, "new"))
        .await
        .unwrap();
    assert_eq!(take(&consumer, 1).await[0].position, position);
}

// guarantee: K4, K5
#[tokio::test]
async fn a_seek_reads_on_elsewhere_and_fences_what_was_before() {
    let kafka = any(options()).await;
    let topic = topic(&kafka, "seeks", 1).await;
    push(&kafka, &topic, 0..5000, None).await;
    let consumer = reader(&kafka, member("g").max_in_flight(10_000), &topic).await;
    let before = take(&consumer, 3).await;
    consumer.ack(&before[0]).await.unwrap();
    for to in [4990, 7, 0, 4998, 5000, 3] {
        consumer.seek(&topic, 0, Start::Offset(to)).await.unwrap();
        assert_eq!(consumer.position(&topic, 0).unwrap(), to);
        assert!(matches!(
            consumer.ack(&before[1]).await,
            Err(Error::Fenced { .. })
        ));
        let left = (5000 - to).min(20) as usize;
        let taken = take(&consumer, left).await;
        let numbers: Vec<_> = taken.iter().map(number).collect();
        let expected: Vec<_> = (to..to + left as u64).collect();
        assert_eq!(numbers, expected);
    }
    consumer.seek(&topic, 0, Start::Latest).await.unwrap();
    push(&kafka, &topic, 5000..5001, None).await;
    assert_eq!(number(&take(&consumer, 1).await[0]), 5000);
    consumer.seek(&topic, 0, Start::Earliest).await.unwrap();
    assert_eq!(number(&take(&consumer, 1).await[0]), 0);
    soon("a commit", consumer.commit()).await.unwrap();
    assert_eq!(consumer.committed(&topic, 0).await.unwrap(), Some(1));

    let error = consumer
        .seek(&topic, 0, Start::Offset(5002))
        .await
        .unwrap_err();
    let Error::OffsetOutOfRange {
        offset: 5002,
        first: 0,
        next: 5001,
        ..
    } = error
    else {
        panic!("{error}");
    };
    if !consumer.capabilities().seek_time {
        let error = consumer
            .seek(&topic, 0, Start::Time(SystemTime::now()))
            .await;
        assert!(matches!(error, Err(Error::Unsupported { .. })));
    }
}

// guarantee: K3
#[tokio::test]
async fn as_a_stream_it_yields_until_it_is_closed() {
    let kafka = any(options()).await;
    let topic = topic(&kafka, "stream", 2).await;
    push(&kafka, &topic, 0..100, None).await;
    let mut consumer = reader(&kafka, member("g"), &topic).await;
    let mut seen: Vec<_> = soon("a hundred", (&mut consumer).take(100).collect::<Vec<_>>())
        .await
        .into_iter()
        .map(|delivery| number(&delivery.unwrap()))
        .collect();
    seen.sort_unstable();
    assert!(seen.into_iter().eq(0..100));
    soon("closing", kafka.close()).await.unwrap();
    assert!(soon("the end", consumer.next()).await.is_none());
}

// guarantee: K4
#[tokio::test]
async fn subscriptions_change_without_a_gap() {
    let kafka = any(options()).await;
    let one = topic(&kafka, "one", 1).await;
    let two = topic(&kafka, "two", 1).await;
    push(&kafka, &one, 0..5, None).await;
    push(&kafka, &two, 100..105, None).await;
    let consumer = reader(&kafka, member("g"), &one).await;
    let taken = take(&consumer, 3).await;
    consumer.ack(&taken[0]).await.unwrap();
    soon("adding", consumer.add_topics([&two])).await.unwrap();
    until("both", || consumer.assignment().len() == 2).await;
    consumer.ack(&taken[1]).await.expect("it has stayed here");
    let mut numbers: Vec<_> = take(&consumer, 7).await.iter().map(number).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [3, 4, 100, 101, 102, 103, 104]);
    soon("removing", consumer.remove_topics([&one]))
        .await
        .unwrap();
    until("one", || consumer.assignment().len() == 1).await;
    assert!(matches!(
        consumer.ack(&taken[2]).await,
        Err(Error::Fenced { .. })
    ));
    assert!(matches!(
        consumer.remove_topics([&one]).await,
        Err(Error::NotSubscribed { .. })
    ));
    assert!(matches!(
        consumer.subscribe(["not-there"]).await,
        Err(Error::UnknownTopic { .. })
    ));
    assert_eq!(consumer.subscription(), [two.as_str()]);
    soon("again", consumer.subscribe([&one])).await.unwrap();
    assert_eq!(number(&take(&consumer, 1).await[0]), 2);
    soon("nothing", consumer.subscribe([""; 0])).await.unwrap();
    assert!(consumer.assignment().is_empty());
}

// guarantee: K1
#[tokio::test]
async fn a_cluster_that_goes_and_comes_back_costs_nothing() {
    let (cluster, kafka) = mock(options()).await;
    let topic = topic(&kafka, "t", 2).await;
    push(&kafka, &topic, 0..100, None).await;
    let consumer = reader(&kafka, member("g"), &topic).await;
    let events = consumer.events();
    for delivery in take(&consumer, 100).await {
        consumer.ack(&delivery).await.unwrap();
    }
    cluster.down().unwrap();
    soon("the loss", async {
        let mut events = events.clone();
        while !matches!(events.next().await.unwrap(), Event::Disconnected { .. }) {}
    })
    .await;
    assert!(
        consumer
            .poll(1, Duration::from_millis(200))
            .await
            .unwrap()
            .is_empty()
    );
    cluster.up().unwrap();
    soon("the return", async {
        let mut events = events.clone();
        while !matches!(events.next().await.unwrap(), Event::Connected) {}
    })
    .await;
    push(&kafka, &topic, 100..200, None).await;
    let mut seen = Vec::new();
    while seen.len() < 100 {
        for delivery in take(&consumer, 1).await {
            consumer.ack(&delivery).await.unwrap();
            if number(&delivery) >= 100 {
                seen.push(number(&delivery));
            }
        }
    }
    seen.sort_unstable();
    seen.dedup();
    assert!(seen.into_iter().eq(100..200));
    soon("a commit", consumer.commit()).await.unwrap();
}

// guarantee: K5
#[tokio::test]
async fn commits_that_fail_for_the_moment_are_made_again() {
    // Time for the client to find its group again.
    let patient = options()
        .set("session.timeout.ms", "8000")
        .request_timeout(LONG);
    let (cluster, kafka) = mock(patient).await;
    let topic = topic(&kafka, "t", 1).await;
    push(&kafka, &topic, 0..10, None).await;
    let config = member("g");
    let consumer = reader(&kafka, config.clone(), &topic).await;
    take(&consumer, 10).await;
    let faults = [Fault::NoCoordinator, Fault::Disconnect, Fault::TimedOut];
    cluster.fail(Request::OffsetCommit, &faults).unwrap();
    let committed = soon("a commit", consumer.commit()).await;
    let events: Vec<_> = std::iter::from_fn(|| consumer.events().try_next()).collect();
    committed.unwrap_or_else(|error| panic!("{error}, and {events:?}"));
    soon("closing", consumer.close()).await.unwrap();
    let consumer = reader(&kafka, config, &topic).await;
    assert_eq!(consumer.committed(&topic, 0).await.unwrap(), Some(10));
}

#[tokio::test]
async fn what_is_forbidden_ends_the_consumer() {
    let (cluster, kafka) = mock(options()).await;
    let topic = topic(&kafka, "t", 1).await;
    let faults = [Fault::GroupForbidden; 3];
    cluster.fail(Request::JoinGroup, &faults).unwrap();
    let mut consumer = kafka.consumer(member("g"));
    // It is told by whatever comes first.
    let _told = soon("an answer", consumer.subscribe([&topic])).await;
    let error = soon("an error", consumer.next())
        .await
        .unwrap()
        .unwrap_err();
    assert!(
        error.to_string().contains("GroupAuthorizationFailed"),
        "{error}"
    );
    assert!(soon("the end", consumer.next()).await.is_none());
    assert!(consumer.poll(1, Duration::ZERO).await.is_err());
}

// guarantee: K8
#[tokio::test]
async fn a_slow_consumer_does_not_fetch_without_end() {
    let small = options()
        .set("queued.max.messages.kbytes", "256")
        .set("queued.min.messages", "100")
        .set("fetch.message.max.bytes", "65536")
        .statistics_every(Duration::from_millis(50));
    let kafka = any(small).await;
    let topic = topic(&kafka, "slow", 1).await;
    let mut records = (0..4000_u64)
        .map(|n| Record::new(&topic, n.to_string()).header("weight", vec![7; 1000]))
        .collect();
    kafka.producer().push_many(&mut records).await.unwrap();
    let group = crate::kit::unique("g");
    let config = ConsumerConfig::group(&group).max_in_flight(10);
    let consumer = reader(&kafka, config, &topic).await;
    let fetched = || {
        let snapshot = pushpull::meter::registry().snapshot();
        let name = format!("kafka {group}");
        snapshot.engine(&name).map_or(0, |it| it.delivered)
    };
    // It takes nothing: what there is stays where it is.
    until("something in the client", || fetched() > 100).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(fetched() < 2000, "{}", fetched());
    let mut next = 0;
    while next < 4000 {
        for delivery in take(&consumer, 10).await {
            assert_eq!(number(&delivery), next);
            next += 1;
            consumer.ack(&delivery).await.unwrap();
        }
    }
}

/// The mock keeps 5 MiB of a partition: this is as much again.
async fn overflow(kafka: &Kafka, topic: &str) {
    let mut records = (0..120)
        .map(|_| Record::new(topic, vec![7; 100_000]).partition(0))
        .collect();
    soon("pushing", kafka.producer().push_many(&mut records))
        .await
        .unwrap();
}

// guarantee: K1
#[tokio::test]
async fn what_retention_took_unread_is_counted() {
    let narrow = options()
        .set("queued.max.messages.kbytes", "1")
        .set("queued.min.messages", "1")
        .set("fetch.message.max.bytes", "200000");
    let (_cluster, kafka) = mock(narrow).await;
    let topic = topic(&kafka, "t", 1).await;
    overflow(&kafka, &topic).await;
    let config = member("g").max_in_flight(2);
    let consumer = reader(&kafka, config.clone(), &topic).await;
    let mut events = consumer.events();
    for delivery in take(&consumer, 2).await {
        consumer.ack(&delivery).await.unwrap();
    }
    overflow(&kafka, &topic).await;
    let (lost, next) = soon("the loss", async {
        let mut next = 0;
        loop {
            for delivery in consumer.poll(10, Duration::from_millis(50)).await.unwrap() {
                next = next.max(delivery.position.offset + 1);
                consumer.ack(&delivery).await.unwrap();
            }
            while let Some(event) = events.try_next() {
                if let Event::Lost { from, missed, .. } = event {
                    return ((from, missed), next);
                }
            }
        }
    })
    .await;
    assert!(lost.0 >= next && lost.1 > 0, "{lost:?} {next}");
    let after = take(&consumer, 1).await.remove(0);
    assert_eq!(after.position.offset, lost.0 + lost.1);
    consumer.commit_to(&after.position).await.unwrap();
    soon("closing", consumer.close()).await.unwrap();

    let committed = after.position.offset + 1;
    overflow(&kafka, &topic).await;
    let consumer = reader(&kafka, config, &topic).await;
    events = consumer.events();
    let after = take(&consumer, 1).await.remove(0);
    let missed = after.position.offset - committed;
    let told = std::iter::from_fn(|| events.try_next());
    let mut losses = told.filter_map(|event| match event {
        Event::Lost { from, missed, .. } => Some((from, missed)),
        _ => None,
    });
    assert_eq!(losses.next(), Some((committed, missed)));
}
