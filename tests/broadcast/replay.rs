//! What newcomers are told of the past.

use futures::{Sink, StreamExt};
use pushpull::broadcast::{self, Lagged, Lossy};
use pushpull::queue::{PullError, PushError};

use super::*;

// guarantee: C3
#[test]
fn newcomers_see_the_last_values_then_what_follows() {
    for replay in 0..=4 {
        let publisher = broadcast::builder().capacity(4).replay(replay).build();
        for published in 0..10 {
            let mut newcomer = publisher.subscribe();
            let mut lossy = publisher.subscribe_lossy(Lossy::DropOldest);
            let first = published - replay.min(published);
            if published - first < 4 {
                assert_eq!(publisher.try_publish(published), Ok(2));
                assert!(rest(&mut newcomer).into_iter().eq(first..=published));
            } else {
                // What is replayed and not read counts like anything else.
                assert_eq!(
                    publisher.try_publish(published),
                    Err(PushError::Full(published))
                );
                assert!(rest(&mut newcomer).into_iter().eq(first..published));
                assert_eq!(publisher.try_publish(published), Ok(2));
                assert_eq!(rest(&mut newcomer), [published]);
                assert_eq!(lossy.try_pull(), Ok(Err(Lagged { missed: 1 })));
            }
            let seen: Vec<_> = std::iter::from_fn(|| lossy.try_pull().ok()).collect();
            assert_eq!(seen.last(), Some(&Ok(published)));
        }
        assert_eq!(publisher.stats().len, replay);
    }
}

// guarantee: C3, C4
#[tokio::test(start_paused = true)]
async fn the_past_is_kept_without_subscribers_and_after_the_end() {
    let publisher = broadcast::builder().capacity(2).replay(2).build();
    for n in 0..5 {
        assert_eq!(publisher.publish(n).await, Ok(0));
    }
    let first = publisher.subscribe();
    publisher.close();
    let second = first.resubscribe();
    assert_eq!(first.collect::<Vec<_>>().await, [3, 4]);
    assert_eq!(second.collect::<Vec<_>>().await, [3, 4]);
    let mut third = publisher.subscribe();
    assert_eq!(third.len(), 2);
    assert_eq!(rest(&mut third), [3, 4]);
    assert_eq!(third.try_pull(), Err(PullError::Closed));
}

// guarantee: C3
#[test]
fn what_is_kept_for_replay_makes_room_when_it_is_needed() {
    let publisher = broadcast::builder().capacity(3).replay(3).build();
    let mut subscriber = publisher.subscribe();
    for n in 0..10 {
        assert_eq!(publisher.try_publish(n), Ok(1));
        assert_eq!(subscriber.try_pull(), Ok(n));
        assert!(publisher.stats().len <= 3);
    }
}

// guarantee: C3, Q10
#[test]
fn a_newcomer_takes_along_what_reserved_slots_leave_no_room_for() {
    let publisher = broadcast::builder().capacity(2).replay(2).build();
    let mut sinks = [publisher.clone(), publisher.clone()];
    for n in [1, 2] {
        assert_eq!(publisher.try_publish(n), Ok(0));
    }
    let mut cx = Context::from_waker(Waker::noop());
    for sink in &mut sinks {
        assert!(Pin::new(sink).poll_ready(&mut cx).is_ready());
    }
    let mut newcomer = publisher.subscribe();
    assert_eq!(
        publisher.try_publish(9),
        Err(PushError::Full(9)),
        "all slots are reserved"
    );
    assert_eq!(newcomer.try_pull(), Ok(1));
    for (n, sink) in sinks.iter_mut().enumerate() {
        assert_eq!(Pin::new(sink).start_send(n + 3), Ok(()));
    }
    assert_eq!(publisher.stats().len, 2);
    assert_eq!(newcomer.len(), 3);
    assert_eq!(rest(&mut newcomer), [2, 3, 4]);
}
