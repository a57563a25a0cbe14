//! Partitions come and go, sessions end, consumers leave.

use crate::broker::remote::Standing;

use super::*;

#[tokio::test(start_paused = true)]
async fn settings_are_checked_with_the_subscription() {
    let refused = |config: ConsumerConfig| async move {
        let world: World = World::silent(config);
        world
            .consumer
            .subscribe(["t"])
            .await
            .unwrap_err()
            .to_string()
    };
    assert!(
        refused(config().max_in_flight(0))
            .await
            .contains("max_in_flight")
    );
    assert!(
        refused(config().max_attempts(0))
            .await
            .contains("max_attempts")
    );
    let none = Duration::ZERO;
    assert!(
        refused(config().session_timeout(none))
            .await
            .contains("session_timeout")
    );
    assert!(refused(ConsumerConfig::group("")).await.contains("group"));
    assert!(
        refused(config().dead_letter("t"))
            .await
            .contains("go round")
    );
    assert!(refused(config().dead_letter("")).await.contains("empty"));
}

#[tokio::test(start_paused = true)]
async fn a_subscription_changes_as_a_whole() {
    // guarantee: K8
    let world: World = World::new(config()).await;
    let error = world
        .consumer
        .add_topics(["u", "nowhere"])
        .await
        .unwrap_err();
    assert!(matches!(error, Error::UnknownTopic { .. }));
    assert_eq!(world.consumer.subscription(), ["t"]);
    world.script(|script| script.refuses = Some(Error::Closed { record: None }));
    assert!(world.consumer.add_topics(["u"]).await.is_err());
    assert_eq!(world.consumer.subscription(), ["t"]);
    world.consumer.add_topics(["u"]).await.unwrap();
    assert_eq!(world.consumer.subscription(), ["t", "u"]);
    let error = world.consumer.remove_topics(["t", "v"]).await.unwrap_err();
    assert!(matches!(error, Error::NotSubscribed { .. }));
    let subscribed = world.script(|script| std::mem::take(&mut script.subscribed));
    assert_eq!(subscribed, [vec!["t"], vec!["t", "u"], vec!["t", "u"]]);

    // What is given up is gone at once, whenever the engine comes to it.
    let at = world.grant(1, 0);
    world.feed(at, 0..3);
    let taken = world.poll(2).await;
    world.consumer.ack(&taken[0]).await.unwrap();
    world.consumer.remove_topics(["t"]).await.unwrap();
    assert_eq!(world.next_event(), "revoked 1, 1 unacknowledged");
    assert_eq!(world.consumer.assignment(), []);
    assert_eq!(world.offsets(9).await, NONE);
    for delivery in &taken {
        let late = world.consumer.ack(delivery).await;
        assert!(late.unwrap_err().is_fenced());
    }
    assert_eq!(world.seat.granted(), [(at.0, false)]);
    assert_eq!(world.seat.grant(at.0, 0, None), None);
    let remains = world.seat.revoke(at.0);
    assert_eq!(
        (remains.done, remains.left),
        (vec![(0, 1)], vec![(1, 1), (2, 1)])
    );
    assert_eq!(world.seat.granted(), []);
    assert_eq!(world.next_event(), "none");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_ours_is_asked_of_the_engine() {
    let world: World = World::new(config()).await;
    world.grant(0, 10);
    let consumer = &world.consumer;
    assert_eq!(consumer.committed("t", 0).await.unwrap(), None);
    assert_eq!(consumer.committed("t", 1).await.unwrap(), Some(501));
    assert_eq!(consumer.lag("t", 0).await.unwrap(), 990);
    assert_eq!(consumer.lag("t", 1).await.unwrap(), 600);
    assert_eq!(consumer.assignment(), [(Topic::from("t"), 0)]);
    let unknown = consumer.lag("t", 4).await;
    assert!(matches!(unknown, Err(Error::UnknownPartition { .. })));
    let foreign = consumer.committed("u", 0).await;
    assert!(matches!(foreign, Err(Error::NotSubscribed { .. })));
    let nowhere = consumer.seek("nowhere", 0, Start::Latest).await;
    assert!(matches!(nowhere, Err(Error::UnknownTopic { .. })));
    let not_here = consumer.seek("t", 1, Start::Latest).await;
    assert!(matches!(not_here, Err(Error::NotAssigned { .. })));
    assert!(matches!(
        consumer.position("t", 1),
        Err(Error::NotAssigned { .. })
    ));
    assert!(matches!(
        consumer.pause("t", 1),
        Err(Error::NotAssigned { .. })
    ));
    assert!(matches!(
        consumer.resume("u", 0),
        Err(Error::NotSubscribed { .. })
    ));
}

#[tokio::test(start_paused = true)]
async fn a_retired_partition_is_answered_and_not_delivered() {
    // guarantee: K8
    let world: World = World::new(config().ack_wait(5 * SECOND)).await;
    let (one, two) = (world.grant(0, 0), world.grant(1, 0));
    world.feed(one, 0..4);
    world.feed(two, 0..1);
    let taken = world.poll(2).await;
    let here = |delivery: &&Delivery| delivery.position.partition == 0;
    let mine = taken.iter().find(here).unwrap();
    world.seat.retire(one.0);
    assert_eq!(world.offsets(9).await, NONE);
    assert_eq!(world.seat.in_hand(one.0), 1);
    assert_eq!(world.consumer.assignment().len(), 2);
    let seek = world.consumer.seek("t", 0, Start::Latest).await;
    assert!(matches!(seek, Err(Error::NotAssigned { .. })));

    let nudges = world.script(|script| script.nudges);
    world.consumer.ack(mine).await.unwrap();
    assert!(world.script(|script| script.nudges) > nudges);
    assert_eq!(world.seat.in_hand(one.0), 0);

    // It stays after all.
    world.seat.keep(one.0);
    let again = world.poll(9).await;
    assert_eq!(offsets(&again), [1, 2, 3]);
    // Nobody answers: in hand it is until it is overdue.
    world.seat.retire(one.0);
    tokio::time::advance(SECOND).await;
    assert_eq!(world.seat.in_hand(one.0), 3);
    let (_, nudges) = (world.answers(), world.script(|script| script.nudges));
    tokio::time::advance(4 * SECOND).await;
    assert_eq!(world.seat.in_hand(one.0), 0);
    assert_eq!(world.script(|script| script.nudges), nudges + 1);
    let remains = world.seat.revoke(one.0);
    assert_eq!(remains.left.len(), 3);
    assert_eq!(world.next_event(), "revoked 0, 3 unacknowledged");
}

#[tokio::test(start_paused = true)]
async fn a_silent_consumer_loses_everything_and_comes_back() {
    // guarantee: K8
    let world: World = World::new(config().session_timeout(10 * SECOND)).await;
    let at = world.grant(0, 0);
    world.feed(at, 0..2);
    let taken = world.poll(1).await;
    // Waiting in a poll and polling for nothing are signs of life.
    assert_eq!(world.consumer.poll(1, 60 * SECOND).await.unwrap().len(), 1);
    for _ in 0..5 {
        tokio::time::sleep(6 * SECOND).await;
        world.consumer.poll(0, Duration::ZERO).await.unwrap();
    }
    assert_eq!(world.seat.standing(), Standing::Present);
    tokio::time::sleep(9 * SECOND).await;
    assert_eq!(world.next_event(), "none");
    let nudges = world.script(|script| script.nudges);
    tokio::time::sleep(2 * SECOND).await;
    assert_eq!(world.seat.standing(), Standing::Silent);
    assert_eq!(world.next_event(), "revoked 0, 2 unacknowledged");
    assert_eq!(world.next_event(), "expired");
    assert_eq!(world.script(|script| script.nudges), nudges + 1);
    assert_eq!(world.seat.granted(), [(at.0, false)]);
    assert_eq!(world.seat.grant(at.0, 0, None), None);
    world.feed(at, [2]);

    // Whatever it does next, it is there again; but not before the engine has seen that it was gone.
    assert!(world.consumer.ack(&taken[0]).await.unwrap_err().is_fenced());
    assert_eq!(world.seat.standing(), Standing::Silent);
    assert_eq!(world.seat.grant(at.0, 0, None), None);
    assert_eq!(world.script(|script| script.nudges), nudges + 1);
    assert_eq!(world.seat.revoke(at.0).left, [(0, 1), (1, 1), (2, 1)]);
    assert_eq!(world.seat.standing(), Standing::Present);
    assert_eq!(world.script(|script| script.nudges), nudges + 2);
    let at = world.grant(0, 0);
    world.feed(at, [0]);
    assert_eq!(world.offsets(9).await, [0]);
}

#[tokio::test(start_paused = true)]
async fn a_poll_that_waits_beyond_its_session_does_not_expire() {
    // guarantee: K8
    let world: World = World::new(config().session_timeout(SECOND)).await;
    world.grant(0, 0);
    assert!(
        world
            .consumer
            .poll(9, 100 * SECOND)
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(world.seat.standing(), Standing::Present);
    tokio::time::sleep(SECOND * 3 / 2).await;
    assert_eq!(world.seat.standing(), Standing::Silent);
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_the_engine_is_not_silent() {
    // guarantee: K8
    let world: World = World::new(config().session_timeout(SECOND)).await;
    let at = world.grant(0, 0);
    world.feed(at, 0..3);
    let taken = world.poll(9).await;
    world.script(|script| script.takes = 5 * SECOND);
    world.consumer.subscribe(["t"]).await.unwrap();
    world.consumer.commit_to(&taken[0].position).await.unwrap();
    world.consumer.commit().await.unwrap();
    let sought = world.consumer.seek("t", 0, Start::Earliest).await;
    sought.unwrap();
    assert_eq!(world.seat.standing(), Standing::Present);
    assert_eq!(world.next_event(), "none");
    tokio::time::sleep(2 * SECOND).await;
    assert_eq!(world.seat.standing(), Standing::Silent);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_consumer_leaves() {
    // guarantee: K8
    let world: World = World::new(config()).await;
    let at = world.grant(0, 0);
    world.feed(at, 0..3);
    let taken = world.poll(2).await;
    let acker = world.consumer.acker();
    acker.ack(&taken[0]).await.unwrap();
    let World {
        engine,
        seat,
        consumer,
        events,
    } = world;
    let nudges = lock(&engine.script).nudges;
    drop(consumer);
    assert!(lock(&engine.script).nudges > nudges);
    assert_eq!(seat.standing(), Standing::Left);
    assert!(acker.ack(&taken[1]).await.unwrap_err().is_fenced());
    assert_eq!(seat.grant(at.0, 0, None), None);
    assert_eq!(seat.granted(), [(at.0, false)]);
    let remains = seat.revoke(at.0);
    assert_eq!((remains.done, remains.committed), (vec![(0, 1)], Some(1)));
    assert_eq!(remains.left, [(1, 1), (2, 1)]);
    // The stream of events ends when nobody can feed it any more.
    drop((seat, acker));
    let rest: Vec<_> = futures::executor::block_on_stream(events).collect();
    assert_eq!(rest.len(), 1);
    assert_eq!(Arc::strong_count(&engine), 1);
}

#[tokio::test(start_paused = true)]
async fn closing_waits_for_the_engine() {
    let world: World = World::new(config()).await;
    world.grant(0, 0);
    world.consumer.close().await.unwrap();
    world.consumer.close().await.unwrap();
    assert_eq!(world.script(|script| script.left), 2);
    let closed = world.consumer.poll(1, SECOND).await;
    assert!(matches!(closed, Err(Error::Closed { .. })));
    let closed = world.consumer.subscribe(["t"]).await;
    assert!(matches!(closed, Err(Error::Closed { .. })));
    let closed = world.consumer.commit().await;
    assert!(matches!(closed, Err(Error::Closed { .. })));
    assert_eq!(world.next_event(), "revoked 0, 0 unacknowledged");
}

#[cfg(feature = "nats")]
#[tokio::test(start_paused = true)]
async fn what_is_no_longer_trusted_is_fenced_before_the_engine_says_so() {
    // guarantee: K5 K7
    let world: World = World::new(config()).await;
    let at = world.grant(0, 0);
    world.feed(at, 0..4);
    world
        .seat
        .trust(Some(tokio::time::Instant::now() + 5 * SECOND));
    let taken = world.poll(2).await;
    tokio::time::advance(4 * SECOND).await;
    world.consumer.ack(&taken[0]).await.unwrap();
    tokio::time::advance(SECOND).await;
    let late = world.consumer.ack(&taken[1]).await;
    assert!(late.unwrap_err().is_fenced());
    assert_eq!(world.offsets(9).await, NONE);
    assert_eq!(world.next_event(), "revoked 0, 1 unacknowledged");
    assert_eq!(world.seat.granted(), [(at.0, false)]);
    // The engine takes note, and begins anew.
    world.seat.revoke(at.0);
    world.seat.trust(None);
    let again = world.grant(0, 1);
    world.feed(again, 1..2);
    assert_eq!(world.offsets(9).await, [1]);
}
