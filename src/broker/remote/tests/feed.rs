//! What arrives: gaps, repetitions, what comes late, and how much there is room for.

use bytes::Bytes;

use super::*;

#[tokio::test(start_paused = true)]
async fn offsets_have_gaps_and_come_in_order() {
    // guarantee: K1
    let world: World = World::new(config()).await;
    let at = world.grant(0, 5);
    assert_eq!(world.consumer.position("t", 0).unwrap(), 5);
    world.feed(at, [7, 9]);
    world.feed(at, [20, 21]);
    assert_eq!(world.offsets(3).await, [7, 9, 20]);
    assert_eq!(world.consumer.position("t", 0).unwrap(), 21);
    let last = world.poll(9).await;
    assert_eq!(offsets(&last), [21]);
    assert_eq!(last[0].attempt, 1);
    assert_eq!(world.consumer.position("t", 0).unwrap(), 22);
    assert_eq!(world.answers(), (vec![], vec![]));
}

#[tokio::test(start_paused = true)]
async fn an_offset_of_zero_is_the_first() {
    let world: World = World::new(config()).await;
    let at = world.grant(0, 0);
    world.feed(at, [0]);
    world.feed_again(at, [0], 2);
    let first = world.poll(9).await;
    assert_eq!(offsets(&first), [0]);
    world.consumer.ack(&first[0]).await.unwrap();
    world.feed_again(at, [0], 3);
    assert_eq!(world.offsets(9).await, NONE);
    assert_eq!(world.answers(), (vec![(0, 2), (0, 3)], vec![1]));
}

#[tokio::test(start_paused = true)]
async fn what_comes_again_renews_its_ticket() {
    // guarantee: K4
    let world: World = World::new(config()).await;
    let at = world.grant(0, 1);
    world.feed(at, 1..=4);
    let taken = world.poll(3).await;
    world.consumer.ack(&taken[1]).await.unwrap();
    assert_eq!(world.answers(), (vec![(2, 1)], vec![]));
    // One in hand, one done with behind a gap, one not delivered yet.
    world.feed_again(at, [1, 2, 4], 2);
    let held = world.seat.held(at.0);
    assert_eq!(held, [(1, 2), (3, 1), (4, 2)]);
    assert_eq!(world.answers(), (vec![(2, 2)], vec![]));
    world.consumer.ack(&taken[0]).await.unwrap();
    assert_eq!(world.answers(), (vec![(1, 2)], vec![3]));
    // Those that have left the window are acknowledged again as well.
    world.feed_again(at, [1, 2], 3);
    assert_eq!(world.answers(), (vec![(1, 3), (2, 3)], vec![]));
    assert_eq!(world.offsets(9).await, [4]);
}

#[tokio::test(start_paused = true)]
async fn a_stray_comes_after_the_later_ones() {
    // guarantee: K2
    let world: World = World::new(config()).await;
    let (place, epoch) = world.grant(0, 1);
    world.feed((place, epoch), [1]);
    // 2 and 3 were lost on the way.
    let mut late = vec![arrival(4, 1), arrival(5, 1)];
    late[0].follows = false;
    world.seat.arrive(place, epoch, &mut late);
    let taken = world.poll(9).await;
    assert_eq!(offsets(&taken), [1, 4, 5]);
    for delivery in &taken[..2] {
        world.consumer.ack(delivery).await.unwrap();
    }
    assert_eq!(world.answers(), (vec![(1, 1), (4, 1)], vec![5]));

    world.feed_again((place, epoch), [3, 2, 3], 2);
    let strays = world.poll(9).await;
    assert_eq!(offsets(&strays), [3, 2]);
    assert_eq!(world.consumer.lag("t", 0).await.unwrap(), 998);
    // What was committed stays so; and nothing is committed beyond what is open.
    world.consumer.ack(&taken[2]).await.unwrap();
    assert_eq!(world.answers(), (vec![(5, 1)], vec![]));
    assert_eq!(world.consumer.committed("t", 0).await.unwrap(), Some(5));
    world.consumer.ack(&strays[0]).await.unwrap();
    world.consumer.ack(&strays[1]).await.unwrap();
    assert_eq!(world.answers(), (vec![(3, 2), (2, 2)], vec![6]));
    assert_eq!(world.consumer.lag("t", 0).await.unwrap(), 994);
}

#[tokio::test(start_paused = true)]
async fn committing_to_a_place_minds_strays() {
    let world: World = World::new(config()).await;
    let (place, epoch) = world.grant(0, 1);
    let mut with_holes: Vec<_> = [1, 4, 8].map(|offset| arrival(offset, 1)).into();
    for late in &mut with_holes[1..] {
        late.follows = false;
    }
    world.seat.arrive(place, epoch, &mut with_holes);
    world.feed((place, epoch), [2, 6]);
    let taken = world.poll(9).await;
    assert_eq!(offsets(&taken), [1, 4, 8, 2, 6]);
    // A stray: what lies before it, and not what came before it.
    world.consumer.commit_to(&taken[3].position).await.unwrap();
    assert_eq!(world.answers(), (vec![(1, 1), (2, 1)], vec![2]));
    world.consumer.commit_to(&taken[2].position).await.unwrap();
    assert_eq!(world.answers(), (vec![(4, 1), (8, 1), (6, 1)], vec![9]));
}

#[tokio::test(start_paused = true)]
async fn arrivals_of_another_epoch_are_dropped() {
    // guarantee: K5
    let world: World = World::new(config()).await;
    let (place, epoch) = world.grant(0, 1);
    world.feed((place, epoch - 1), [1]);
    world.feed((world.place(1), epoch), [1]);
    assert_eq!(world.offsets(9).await, NONE);
    world.feed((place, epoch), [1, 2]);
    assert_eq!(world.offsets(1).await, [1]);

    world
        .consumer
        .seek("t", 0, Start::Offset(30))
        .await
        .unwrap();
    let sought = world.script(|script| script.seeks.pop().unwrap());
    assert_eq!((sought.0, sought.1), (place, 30));
    assert_eq!(world.seat.epoch(place), Some(sought.2));
    assert_eq!(world.consumer.position("t", 0).unwrap(), 30);
    assert_eq!(world.consumer.lag("t", 0).await.unwrap(), 970);
    world.feed((place, epoch), [3, 4]);
    assert_eq!(world.offsets(9).await, NONE);
    world.feed((place, sought.2), [31]);
    assert_eq!(world.offsets(9).await, [31]);
}

#[tokio::test(start_paused = true)]
async fn a_seek_is_committed_by_an_answer_or_by_a_commit() {
    // guarantee: K5
    let world: World = World::new(config()).await;
    let at = world.grant(0, 0);
    world.feed(at, 0..10);
    let taken = world.poll(10).await;
    world.consumer.commit().await.unwrap();
    assert_eq!(world.answers().1, [10]);
    assert_eq!(world.script(|script| script.stored), 1);
    // Everything is done with: the seek goes to where the group's window ends.
    world.consumer.seek("t", 0, Start::Offset(4)).await.unwrap();
    assert_eq!(world.consumer.committed("t", 0).await.unwrap(), Some(10));
    assert_eq!(world.answers(), (vec![], vec![]));
    world.consumer.commit().await.unwrap();
    assert_eq!(world.answers(), (vec![], vec![4]));
    assert_eq!(world.consumer.committed("t", 0).await.unwrap(), Some(4));
    let late = world.consumer.ack(&taken[0]).await;
    assert!(late.unwrap_err().is_fenced());

    let epoch = world.seat.epoch(at.0).unwrap();
    world.feed((at.0, epoch), [4, 5]);
    let again = world.poll(9).await;
    assert_eq!(attempts(&again), [(4, 1), (5, 1)]);
    world.consumer.ack(&again[0]).await.unwrap();
    assert_eq!(world.answers(), (vec![(4, 1)], vec![5]));
    let beyond = world.consumer.seek("t", 0, Start::Offset(5000)).await;
    assert!(matches!(beyond, Err(Error::OffsetOutOfRange { .. })));
    // An answer from before a seek that the engine has not taken yet still counts.
    world.consumer.ack(&again[1]).await.unwrap();
    world.consumer.seek("t", 0, Start::Offset(1)).await.unwrap();
    assert_eq!(world.answers(), (vec![(5, 1)], vec![6]));
}

#[tokio::test(start_paused = true)]
async fn the_engine_is_told_when_there_is_room_again() {
    // guarantee: K7
    let world: World = World::new(config().max_in_flight(100)).await;
    let at = world.grant(0, 0);
    assert_eq!(world.seat.room(at.0).records, 100);
    world.feed(at, 0..100);
    assert_eq!(world.seat.room(at.0).records, 0);
    // What there is room for may be exceeded by what was on its way.
    world.feed(at, 100..120);
    assert_eq!(world.seat.room(at.0).records, 0);
    let nudges = || world.script(|script| script.nudges);
    let before = nudges();
    let first = world.poll(60).await;
    assert_eq!((world.seat.room(at.0).records, nudges()), (40, before));
    world.poll(20).await;
    assert_eq!((world.seat.room(at.0).records, nudges()), (60, before + 1));
    world.poll(20).await;
    assert_eq!((world.seat.room(at.0).records, nudges()), (80, before + 1));
    // A full window holds the rest back.
    assert_eq!(world.offsets(9).await, NONE);
    assert_eq!(world.next_event(), "full with 100");
    world.consumer.ack(&first[0]).await.unwrap();
    assert_eq!(world.offsets(9).await, [100]);
    assert_eq!(world.seat.room(world.place(3)).records, 0);
}

#[tokio::test(start_paused = true)]
async fn bytes_are_bounded_as_records_are() {
    // guarantee: K7
    let world: World = World::new(config()).await;
    let (place, epoch) = world.grant(0, 0);
    let most = world.seat.room(place).bytes;
    let large = |offset| Arrival {
        record: Record::new("", Bytes::from(vec![0; 1024 * 1024])),
        ..arrival(offset, 1)
    };
    let mut arrivals = (0..10).map(large).collect();
    world.seat.arrive(place, epoch, &mut arrivals);
    assert_eq!(world.seat.room(place).bytes, 0);
    let nudges = world.script(|script| script.nudges);
    let taken = world.consumer.poll(6, Duration::ZERO).await.unwrap();
    assert_eq!(world.seat.room(place).bytes, most - 4 * 1024 * 1024);
    assert_eq!(world.script(|script| script.nudges), nudges + 1);
    // What comes again takes no room: it was there before.
    world.consumer.nack(&taken[0], None).await.unwrap();
    world.consumer.poll(5, Duration::ZERO).await.unwrap();
    assert_eq!(world.seat.room(place).bytes, most);
    // What many partitions hold is bounded together.
    for partition in 1..4 {
        world.grant(partition, 0);
    }
    assert_eq!(world.seat.room(place).bytes, 8 * 1024 * 1024);
}

#[tokio::test(start_paused = true)]
async fn in_order_of_keys_what_is_behind_has_been_looked_at() {
    // guarantee: K3
    let world: World = World::new(config().ordered(true).max_in_flight(100)).await;
    let (place, epoch) = world.grant(0, 0);
    let keyed = |(offset, key): (u64, &'static str)| Arrival {
        record: Record::new("", offset.to_string()).key(key),
        attempts_before: u32::from(offset == 1),
        ..arrival(offset, 1)
    };
    let mut arrivals = [(0, "a"), (1, "a"), (2, "b"), (3, "a")].map(keyed).into();
    world.seat.arrive(place, epoch, &mut arrivals);
    let taken = world.poll(9).await;
    assert_eq!(attempts(&taken), [(0, 1), (2, 1)]);
    assert_eq!(world.seat.room(place).records, 100);
    world.consumer.ack(&taken[0]).await.unwrap();
    let next = world.poll(9).await;
    // The server had delivered it before.
    assert_eq!(attempts(&next), [(1, 2)]);
    world.consumer.nack(&next[0], None).await.unwrap();
    let again = world.poll(9).await;
    assert_eq!(attempts(&again), [(1, 3)]);
    world.consumer.commit().await.unwrap();
    assert_eq!(world.answers(), (vec![(0, 1), (1, 1), (2, 1)], vec![3]));
    assert_eq!(attempts(&world.poll(9).await), [(3, 1)]);
}
