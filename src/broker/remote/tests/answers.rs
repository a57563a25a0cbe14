//! Acknowledging, refusing, committing, giving up.

use crate::broker::Position;

use super::*;

#[tokio::test(start_paused = true)]
async fn answers_go_to_the_engine_in_their_order() {
    // guarantee: K4
    let world: World = World::new(config()).await;
    let at = world.grant(0, 0);
    world.feed(at, [0, 2, 4, 6]);
    let taken = world.poll(9).await;
    let before = world.script(|script| script.nudges);
    for index in [2, 0, 1] {
        world.consumer.ack(&taken[index]).await.unwrap();
    }
    // Twice changes nothing.
    world.consumer.ack(&taken[2]).await.unwrap();
    // It is told once, until it comes.
    assert_eq!(world.script(|script| script.nudges), before + 1);
    assert_eq!(world.answers(), (vec![(4, 1), (0, 1), (2, 1)], vec![5]));
    assert_eq!(world.consumer.committed("t", 0).await.unwrap(), Some(5));
    world.consumer.ack(&taken[3]).await.unwrap();
    assert_eq!(world.script(|script| script.nudges), before + 2);
    assert_eq!(world.answers(), (vec![(6, 1)], vec![7]));
}

#[tokio::test(start_paused = true)]
async fn engines_without_single_answers_get_offsets_only() {
    // guarantee: K4
    let world = World::<false>::new(config()).await;
    let at = world.grant(0, 0);
    world.feed(at, [0, 2, 4]);
    let taken = world.poll(9).await;
    world.consumer.ack(&taken[1]).await.unwrap();
    assert_eq!(world.answers(), (vec![], vec![]));
    world.consumer.commit_to(&taken[1].position).await.unwrap();
    assert_eq!(world.answers(), (vec![], vec![3]));
    world.feed_again(at, [2, 4, 6], 2);
    let more = world.poll(9).await;
    assert_eq!(offsets(&more), [6]);
    world.consumer.commit().await.unwrap();
    world.feed(at, [7]);
    let remains = world.seat.revoke(at.0);
    assert_eq!((remains.committed, remains.left), (Some(7), vec![]));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_answered_in_time_comes_again() {
    // guarantee: K6
    let world: World = World::new(config().ack_wait(5 * SECOND)).await;
    let at = world.grant(0, 0);
    world.feed(at, 0..3);
    let taken = world.poll(9).await;
    world.consumer.ack(&taken[1]).await.unwrap();
    let begun = tokio::time::Instant::now();
    let again = world.consumer.poll(9, 60 * SECOND).await.unwrap();
    assert_eq!(attempts(&again), [(0, 2), (2, 2)]);
    assert_eq!(begun.elapsed(), 5 * SECOND);
    // The first delivery can still be answered.
    world.consumer.ack(&taken[0]).await.unwrap();
    world
        .consumer
        .nack(&again[1], Some(3 * SECOND))
        .await
        .unwrap();
    let third = world.consumer.poll(9, 60 * SECOND).await.unwrap();
    assert_eq!(attempts(&third), [(2, 3)]);
    assert_eq!(begun.elapsed(), 8 * SECOND);
    tokio::time::advance(4 * SECOND).await;
    world.consumer.extend(&third[0]).await.unwrap();
    assert!(world.consumer.poll(9, 4 * SECOND).await.unwrap().is_empty());
    assert_eq!(
        attempts(&world.consumer.poll(9, SECOND).await.unwrap()),
        [(2, 4)]
    );
    assert_eq!(world.answers(), (vec![(1, 1), (0, 1)], vec![2]));
}

#[tokio::test(start_paused = true)]
async fn attempts_before_count() {
    // guarantee: K6
    let world: World = World::new(config().max_attempts(3)).await;
    let (place, epoch) = world.grant(0, 0);
    let mut arrivals: Vec<_> = (0..6).map(|offset| arrival(offset, 1)).collect();
    arrivals[1].attempts_before = 1;
    arrivals[2].attempts_before = 1;
    arrivals[4].attempts_before = 7;
    world.seat.arrive(place, epoch, &mut arrivals);
    assert_eq!(attempts(&world.poll(2).await), [(0, 1), (1, 2)]);
    let taken = world.poll(9).await;
    assert_eq!(attempts(&taken), [(2, 2), (3, 1), (4, 8), (5, 1)]);
    // What has been tried often enough elsewhere fails with the next.
    world.consumer.nack(&taken[2], None).await.unwrap();
    assert_eq!(world.next_event(), "given up t/0@4: nacked");
    world.consumer.nack(&taken[0], None).await.unwrap();
    let last = world.poll(9).await;
    assert_eq!(attempts(&last), [(2, 3)]);
    assert_eq!(world.answers(), (vec![(4, 1)], vec![]));
    world.consumer.nack(&last[0], None).await.unwrap();
    assert_eq!(world.next_event(), "given up t/0@2: nacked");
    // It is delivered once at least.
    world.feed_again((place, epoch), [4, 2], 5);
    assert_eq!(world.offsets(9).await, NONE);
    assert_eq!(world.answers(), (vec![(2, 1), (4, 5), (2, 5)], vec![]));
}

#[tokio::test(start_paused = true)]
async fn dead_letters_say_where_they_come_from() {
    // guarantee: K6
    let world: World = World::new(config().max_attempts(1).dead_letter("dead")).await;
    let (place, epoch) = world.grant(2, 0);
    world.script(|script| script.bury_fails = 1);
    let mut arrivals = vec![arrival(7, 1)];
    arrivals[0].record = Record::new("", "7")
        .key("k")
        .header("mine", "1")
        .partition(2);
    world.seat.arrive(place, epoch, &mut arrivals);
    let taken = world.poll(9).await;
    let acker = world.consumer.acker();
    acker.nack_because(&taken[0], None, "broken").await.unwrap();
    tokio::time::sleep(SECOND / 2).await;
    assert_eq!(
        world.next_event(),
        "failed: the broker, or this handle of it, is closed"
    );
    assert_eq!(world.answers(), (vec![], vec![]));
    // Tried again a second later, as a delivery.
    let again = world.consumer.poll(9, 10 * SECOND).await.unwrap();
    assert_eq!(attempts(&again), [(7, 2)]);
    acker.nack_because(&again[0], None, "broken").await.unwrap();
    tokio::time::sleep(SECOND / 2).await;
    assert_eq!(world.next_event(), "dead t/2@7: broken");
    assert_eq!(world.answers(), (vec![(7, 1)], vec![8]));
    let buried = world.script(|script| script.buried.pop().unwrap());
    assert_eq!(buried.topic, "dead");
    assert_eq!(
        (buried.partition, buried.key.as_deref()),
        (None, Some(&b"k"[..]))
    );
    let headers: Vec<_> = buried
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), std::str::from_utf8(value).unwrap()))
        .collect();
    let expected = [
        ("mine", "1"),
        ("dead-letter-topic", "t"),
        ("dead-letter-partition", "2"),
        ("dead-letter-offset", "7"),
        ("dead-letter-group", "g"),
        ("dead-letter-attempts", "2"),
        ("dead-letter-reason", "broken"),
    ];
    assert_eq!(headers, expected);
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_of_a_partition_that_went_answers_nothing() {
    // guarantee: K5
    let world: World = World::new(config().max_attempts(1).dead_letter("dead")).await;
    let at = world.grant(0, 0);
    world.feed(at, [0]);
    let taken = world.poll(9).await;
    world.consumer.nack(&taken[0], None).await.unwrap();
    let remains = world.seat.revoke(at.0);
    assert_eq!((remains.done, remains.left), (vec![], vec![(0, 1)]));
    let at = world
        .seat
        .grant(at.0, 0, None)
        .map(|epoch| (at.0, epoch))
        .unwrap();
    world.feed(at, [0]);
    tokio::time::sleep(SECOND).await;
    assert_eq!(world.script(|script| script.buried.len()), 1);
    assert_eq!(world.answers(), (vec![], vec![]));
    assert_eq!(world.offsets(9).await, [0]);
}

#[tokio::test(start_paused = true)]
async fn late_answers_are_fenced() {
    // guarantee: K5
    let world: World = World::new(config()).await;
    let (place, epoch) = world.grant(0, 0);
    world.feed((place, epoch), 0..4);
    let taken = world.poll(9).await;
    world.consumer.ack(&taken[0]).await.unwrap();
    world.consumer.ack(&taken[2]).await.unwrap();
    let remains = world.seat.revoke(place);
    assert_eq!(remains.done, [(0, 1), (2, 1)]);
    assert_eq!(remains.committed, Some(1));
    assert_eq!(remains.left, [(1, 1), (3, 1)]);
    assert_eq!(world.next_event(), "revoked 0, 2 unacknowledged");
    assert_eq!(world.answers(), (vec![], vec![]));
    let fenced = |result: Result<(), Error>| assert!(result.unwrap_err().is_fenced());
    fenced(world.consumer.ack(&taken[1]).await);
    let (place, epoch) = world.grant(0, 1);
    world.feed((place, epoch), [1, 3]);
    let again = world.poll(9).await;
    fenced(world.consumer.ack(&taken[1]).await);
    fenced(world.consumer.nack(&taken[1], None).await);
    fenced(world.consumer.extend(&taken[1]).await);
    fenced(world.consumer.commit_to(&taken[1].position).await);
    assert_eq!(world.answers(), (vec![], vec![]));
    // Another consumer's delivery of the same partition is told from ours.
    let other: World = World::new(config()).await;
    let theirs = other.grant(0, 1);
    other.feed(theirs, [1, 3]);
    let taken = other.poll(9).await;
    fenced(world.consumer.ack(&taken[0]).await);
    world.consumer.ack(&again[0]).await.unwrap();
    assert_eq!(world.answers(), (vec![(1, 1)], vec![2]));
}

#[tokio::test(start_paused = true)]
async fn positions_that_are_not_there_are_named() {
    let world: World = World::new(config()).await;
    let at = world.grant(0, 10);
    world.feed(at, [12, 14, 16]);
    let taken = world.poll(2).await;
    let consumer = &world.consumer;
    let commit = |offset| {
        let position = Position::new("t", 0, offset);
        async move { consumer.commit_to(&position).await }
    };
    for early in [15, 16, 99] {
        let error = commit(early).await.unwrap_err();
        let Error::NotDelivered { position, .. } = error else {
            panic!("{error}");
        };
        assert_eq!(position, 15);
    }
    // Between two records: what lies before.
    commit(13).await.unwrap();
    assert_eq!(world.answers(), (vec![(12, 1)], vec![13]));
    commit(13).await.unwrap();
    commit(3).await.unwrap();
    assert_eq!(world.answers(), (vec![], vec![]));
    consumer.ack(&taken[1]).await.unwrap();
    let to = |topic: &str, partition| Position::new(topic, partition, 0);
    let error = consumer.commit_to(&to("t", 3)).await.unwrap_err();
    assert!(error.is_fenced());
    let error = consumer.commit_to(&to("t", 4)).await.unwrap_err();
    assert!(matches!(
        error,
        Error::UnknownPartition { partitions: 4, .. }
    ));
    let error = consumer.commit_to(&to("u", 0)).await.unwrap_err();
    assert!(error.is_fenced());
    let error = consumer.commit_to(&to("nowhere", 0)).await.unwrap_err();
    assert!(matches!(error, Error::UnknownTopic { .. }));
    let error = consumer.commit_to(&to("", 0)).await.unwrap_err();
    assert!(matches!(error, Error::InvalidTopic { .. }));
}
