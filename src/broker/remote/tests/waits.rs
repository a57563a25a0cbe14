//! Waiting: wake-ups, cancelled futures, streams, errors that end everything.

use futures::{FutureExt, StreamExt};

use super::*;

#[tokio::test(start_paused = true)]
async fn a_poll_that_waits_is_told_of_arrivals() {
    let world: World = World::new(config()).await;
    let mut waiting = Box::pin(world.consumer.poll(9, 60 * SECOND));
    assert!(waiting.as_mut().now_or_never().is_none());
    let at = world.grant(0, 0);
    assert!(waiting.as_mut().now_or_never().is_none());
    world.feed(at, [0]);
    let begun = tokio::time::Instant::now();
    assert_eq!(offsets(&waiting.await.unwrap()), [0]);
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_pause_stops_deliveries_and_not_answers() {
    let world: World = World::new(config()).await;
    let at = world.grant(0, 0);
    world.feed(at, 0..2);
    let taken = world.poll(1).await;
    world.consumer.pause("t", 0).unwrap();
    world.consumer.ack(&taken[0]).await.unwrap();
    let mut waiting = Box::pin(world.consumer.poll(9, 60 * SECOND));
    assert!(waiting.as_mut().now_or_never().is_none());
    world.consumer.resume("t", 0).unwrap();
    assert_eq!(offsets(&waiting.await.unwrap()), [1]);
    assert_eq!(world.answers(), (vec![(0, 1)], vec![1]));
}

#[tokio::test(start_paused = true)]
async fn futures_that_are_dropped_change_nothing() {
    // guarantee: K4
    let world: World = World::new(config().session_timeout(10 * SECOND)).await;
    let at = world.grant(0, 0);
    let poll = world.consumer.poll(9, 60 * SECOND);
    assert!(Box::pin(poll).as_mut().now_or_never().is_none());
    world.feed(at, 0..3);
    // Never polled.
    drop(world.consumer.poll(9, SECOND));
    assert_eq!(world.offsets(2).await, [0, 1]);
    drop(world.consumer.seek("t", 0, Start::Latest));
    drop(world.consumer.commit());
    drop(world.consumer.subscribe(["u"]));
    drop(world.consumer.close());
    assert_eq!(world.consumer.subscription(), ["t"]);
    assert_eq!(world.answers(), (vec![], vec![]));
    assert_eq!(world.offsets(9).await, [2]);
    // The poll that went is not counted as waiting.
    tokio::time::sleep(11 * SECOND).await;
    assert_eq!(world.next_event(), "revoked 0, 3 unacknowledged");
    assert_eq!(world.next_event(), "expired");
}

#[tokio::test(start_paused = true)]
async fn the_stream_ends_with_the_engines_last_error() {
    let mut world: World = World::new(config()).await;
    let at = world.grant(0, 0);
    world.feed(at, 0..2);
    let taken = world.consumer.next().await.unwrap().unwrap();
    world.consumer.ack(&taken).await.unwrap();
    world.seat.fail(Error::Unsupported {
        engine: "the fake",
        what: "go on",
    });
    let next = world.consumer.next().await.unwrap();
    assert!(next.unwrap_err().is_unsupported());
    assert!(world.consumer.next().await.is_none());
    assert!(futures::stream::FusedStream::is_terminated(&world.consumer));
    for _ in 0..2 {
        let poll = world.consumer.poll(1, SECOND).await;
        assert!(poll.unwrap_err().is_unsupported());
    }
    assert!(
        world
            .consumer
            .ack(&taken)
            .await
            .unwrap_err()
            .is_unsupported()
    );
    world.consumer.close().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_stream_waits_and_ends_with_the_engine() {
    let mut world: World = World::new(config()).await;
    assert!(world.consumer.next().now_or_never().is_none());
    let at = world.grant(0, 0);
    world.feed(at, 0..2);
    for offset in 0..2 {
        let delivery = world.consumer.next().await.unwrap().unwrap();
        assert_eq!(offsets(&[delivery]), [offset]);
    }
    assert!(world.consumer.next().now_or_never().is_none());
    world.seat.shut();
    assert!(world.consumer.next().await.is_none());
}

#[tokio::test]
async fn a_consumer_that_is_always_ready_lets_others_run() {
    let world: World = World::new(config().max_in_flight(100_000)).await;
    let at = world.grant(0, 0);
    world.feed(at, 0..5000);
    let other = tokio::spawn(async {});
    let mut polls = 0;
    while !other.is_finished() {
        assert!(polls < 2000, "the neighbour never ran");
        assert_eq!(world.poll(1).await.len(), 1);
        polls += 1;
    }
}

/// A payload that calls its consumer when it is dropped.
struct Bell(std::sync::Weak<Seat<Fake<true>>>);

impl AsRef<[u8]> for Bell {
    fn as_ref(&self) -> &[u8] {
        b"ding"
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        if let Some(seat) = self.0.upgrade() {
            let _ = seat.granted();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_of_users_is_dropped_under_the_lock() {
    let world: World = World::new(config()).await;
    let (place, epoch) = world.grant(0, 0);
    let bell = |offset| Arrival {
        record: Record::new(
            "",
            bytes::Bytes::from_owner(Bell(Arc::downgrade(&world.seat))),
        ),
        ..arrival(offset, 1)
    };
    let feed = |offsets: std::ops::Range<u64>, epoch| {
        let mut arrivals = offsets.map(bell).collect();
        world.seat.arrive(place, epoch, &mut arrivals);
    };
    feed(0..9, epoch);
    // Known, of another epoch, done with, sought away from, revoked, granted twice.
    feed(3..5, epoch);
    feed(3..5, epoch + 1);
    for delivery in world.consumer.poll(3, Duration::ZERO).await.unwrap() {
        world.consumer.ack(&delivery).await.unwrap();
    }
    feed(0..2, epoch);
    world.consumer.poll(2, Duration::ZERO).await.unwrap();
    world.consumer.commit().await.unwrap();
    world.consumer.seek("t", 0, Start::Offset(0)).await.unwrap();
    feed(0..9, world.seat.epoch(place).unwrap());
    drop(world.seat.revoke(place));
    let epoch = world.seat.grant(place, 0, None).unwrap();
    feed(0..9, epoch);
    world.seat.grant(place, 0, None).unwrap();
}
