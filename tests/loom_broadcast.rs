//! Models of everybody who waits for a broadcast, against everybody who might wake them.
//!
//! In each model whoever could wake a sleeper by chance is kept alive, so that nothing but the path under test does.

#![cfg(pushpull_loom)]

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use futures_sink::Sink;
use loom::future::block_on;
use loom::thread;
use pushpull::broadcast::{self, Lagged, Lossy, Publisher, Subscriber};
use pushpull::queue::PushError;

fn model(of: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(3));
    builder.check(of);
}

/// A broadcast of one value that its subscriber has not read.
fn full() -> (Publisher<u8>, Subscriber<u8>) {
    let publisher = broadcast::channel(1);
    let subscriber = publisher.subscribe();
    assert_eq!(publisher.try_publish(1), Ok(1));
    (publisher, subscriber)
}

fn poll_ready(
    publisher: &mut Publisher<u8>,
    cx: &mut Context<'_>,
) -> Poll<Result<(), PushError<()>>> {
    Pin::new(publisher).poll_ready(cx)
}

// guarantee: Q7
#[test]
fn a_subscriber_going_to_sleep_sees_what_is_published() {
    model(|| {
        let publisher = broadcast::channel(1);
        let mut subscriber = publisher.subscribe();
        let other = publisher.clone();
        let publishing = thread::spawn(move || {
            assert_eq!(other.try_publish(1), Ok(1));
            other
        });
        assert_eq!(block_on(subscriber.pull()), Some(1));
        publishing.join().unwrap();
    });
}

// guarantee: Q7
#[test]
fn a_publisher_joining_the_line_sees_room() {
    model(|| {
        let (publisher, mut subscriber) = full();
        let reading = thread::spawn(move || {
            assert_eq!(subscriber.try_pull(), Ok(1));
            subscriber
        });
        assert_eq!(block_on(publisher.publish(2)), Ok(1));
        assert_eq!(reading.join().unwrap().try_pull(), Ok(2));
    });
}

// guarantee: Q10
#[test]
fn a_sink_joining_the_line_sees_room() {
    model(|| {
        let (mut publisher, mut subscriber) = full();
        let reading = thread::spawn(move || {
            assert_eq!(subscriber.try_pull(), Ok(1));
            subscriber
        });
        assert_eq!(
            block_on(poll_fn(|cx| poll_ready(&mut publisher, cx))),
            Ok(())
        );
        assert_eq!(Pin::new(&mut publisher).start_send(2), Ok(()));
        assert_eq!(reading.join().unwrap().try_pull(), Ok(2));
    });
}

// guarantee: Q4
#[test]
fn a_slot_promised_to_a_dropped_sink_goes_to_the_next() {
    model(|| {
        let (publisher, mut subscriber) = full();
        let mut sink = publisher.clone();
        assert!(poll_ready(&mut sink, &mut Context::from_waker(Waker::noop())).is_pending());
        let reading = thread::spawn(move || {
            assert_eq!(subscriber.try_pull(), Ok(1));
            subscriber
        });
        let dropping = thread::spawn(move || drop(sink));
        assert_eq!(block_on(publisher.publish(2)), Ok(1));
        dropping.join().unwrap();
        assert_eq!(reading.join().unwrap().try_pull(), Ok(2));
    });
}

// guarantee: C4, Q4
#[test]
fn a_cancelled_publish_is_published_or_not_and_holds_nobody_up() {
    model(|| {
        let (publisher, mut subscriber) = full();
        let other = publisher.clone();
        let cancelling = thread::spawn(move || {
            let mut publish = Box::pin(other.publish(2));
            let polled = publish
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()));
            drop(publish);
            assert!(
                other.stats().waiting_publishers <= 1,
                "only the other one waits"
            );
            (polled, other)
        });
        let reading = thread::spawn(move || {
            let mut read = vec![block_on(subscriber.pull()).unwrap()];
            while read.last() != Some(&3) {
                read.push(block_on(subscriber.pull()).unwrap());
            }
            (read, subscriber)
        });
        assert_eq!(block_on(publisher.publish(3)), Ok(1));
        let (polled, _other) = cancelling.join().unwrap();
        let (read, _subscriber) = reading.join().unwrap();
        assert!(read == [1, 3] || read == [1, 2, 3], "{read:?}");
        assert!(
            polled.is_pending() || polled == Poll::Ready(Ok(1)),
            "{polled:?}"
        );
    });
}

// guarantee: Q5
#[test]
fn closing_gives_those_in_line_their_values_back() {
    model(|| {
        let (publisher, _subscriber) = full();
        let other = publisher.clone();
        let closing = thread::spawn(move || {
            other.close();
            other
        });
        assert_eq!(block_on(publisher.publish(2)), Err(PushError::Closed(2)));
        closing.join().unwrap();
    });
}

// guarantee: C4
#[test]
fn the_last_publisher_gone_ends_those_who_sleep() {
    model(|| {
        let publisher = broadcast::channel::<u8>(1);
        let mut subscriber = publisher.subscribe();
        let other = publisher.clone();
        let one = thread::spawn(move || drop(other));
        let two = thread::spawn(move || drop(publisher));
        assert_eq!(block_on(subscriber.pull()), None);
        one.join().unwrap();
        two.join().unwrap();
    });
}

// guarantee: C2
#[test]
fn a_subscriber_that_leaves_makes_room() {
    model(|| {
        let (publisher, subscriber) = full();
        let leaving = thread::spawn(move || drop(subscriber));
        assert_eq!(block_on(publisher.publish(2)), Ok(0));
        leaving.join().unwrap();
    });
}

// guarantee: Q7
#[test]
fn a_run_read_at_once_makes_room_for_as_many() {
    model(|| {
        let publisher = broadcast::channel(2);
        let mut subscriber = publisher.subscribe();
        assert_eq!(publisher.try_publish(1), Ok(1));
        assert_eq!(publisher.try_publish(2), Ok(1));
        let publishing = [3, 4].map(|value| {
            let publisher = publisher.clone();
            thread::spawn(move || {
                assert_eq!(block_on(publisher.publish(value)), Ok(1));
                publisher
            })
        });
        let mut read = Vec::new();
        assert_eq!(block_on(subscriber.pull_many(&mut read, 2)), 2);
        let _publishers = publishing.map(|publishing| publishing.join().unwrap());
        assert_eq!(block_on(subscriber.pull_many(&mut read, 2)), 2);
        read[2..].sort_unstable();
        assert_eq!(read, [1, 2, 3, 4]);
    });
}

// guarantee: C2, Q7
#[test]
fn a_publisher_waits_for_the_last_of_two() {
    model(|| {
        let publisher = broadcast::channel(1);
        let subscribers = [publisher.subscribe(), publisher.subscribe()];
        assert_eq!(publisher.try_publish(1), Ok(2));
        let reading = subscribers.map(|mut subscriber| {
            thread::spawn(move || {
                assert_eq!(subscriber.try_pull(), Ok(1));
                subscriber
            })
        });
        assert_eq!(block_on(publisher.publish(2)), Ok(2));
        for subscriber in reading {
            assert_eq!(subscriber.join().unwrap().try_pull(), Ok(2));
        }
    });
}

// guarantee: C3, Q7
#[test]
fn what_is_handed_out_of_a_run_makes_room_at_once() {
    model(|| {
        let publisher = broadcast::channel(2);
        let mut subscriber = publisher.subscribe();
        assert_eq!(publisher.try_publish(1), Ok(1));
        assert_eq!(publisher.try_publish(2), Ok(1));
        let reading = thread::spawn(move || {
            // It takes both, and hands out one.
            assert_eq!(subscriber.try_pull(), Ok(1));
            subscriber
        });
        assert_eq!(block_on(publisher.publish(3)), Ok(1));
        let mut subscriber = reading.join().unwrap();
        assert_eq!(publisher.try_publish(4), Err(PushError::Full(4)));
        assert_eq!(
            (subscriber.try_pull(), subscriber.try_pull()),
            (Ok(2), Ok(3))
        );
    });
}

// guarantee: Q7
#[test]
fn what_a_reader_publishes_for_another_wakes_the_sleepers() {
    model(|| {
        let (publisher, mut slow) = full();
        let mut quick = publisher.subscribe();
        let other = publisher.clone();
        let sleeping = thread::spawn(move || {
            assert_eq!(block_on(quick.pull()), Some(2));
            quick
        });
        let publishing = thread::spawn(move || {
            assert_eq!(block_on(other.publish(2)), Ok(2));
            other
        });
        assert_eq!(slow.try_pull(), Ok(1));
        publishing.join().unwrap();
        sleeping.join().unwrap();
        assert_eq!(slow.try_pull(), Ok(2));
    });
}

// guarantee: Q5, Q10
#[test]
fn a_reserved_slot_outlives_close() {
    model(|| {
        let publisher = broadcast::channel(1);
        let mut subscriber = publisher.subscribe();
        let mut sink = publisher.clone();
        assert!(poll_ready(&mut sink, &mut Context::from_waker(Waker::noop())).is_ready());
        let sending = thread::spawn(move || {
            assert_eq!(Pin::new(&mut sink).start_send(7), Ok(()));
            sink
        });
        let closing = thread::spawn(move || {
            publisher.close();
            publisher
        });
        assert_eq!(block_on(subscriber.pull()), Some(7));
        assert_eq!(block_on(subscriber.pull()), None);
        sending.join().unwrap();
        closing.join().unwrap();
    });
}

// guarantee: C1, C2
#[test]
fn what_is_evicted_is_reported_where_it_is_missing() {
    model(|| {
        let publisher = broadcast::channel(2);
        let mut subscriber = publisher.subscribe_lossy(Lossy::DropOldest);
        let publishing = thread::spawn(move || {
            for value in 1..=4 {
                assert_eq!(publisher.try_publish(value), Ok(1));
            }
        });
        let mut next = 1;
        while let Some(item) = block_on(subscriber.pull()) {
            match item {
                Ok(value) => {
                    assert_eq!(value, next);
                    next += 1;
                }
                Err(Lagged { missed }) => next += missed,
            }
        }
        assert_eq!(next, 5);
        publishing.join().unwrap();
    });
}

// guarantee: C2
#[test]
fn who_is_disconnected_is_told_once_and_ends() {
    model(|| {
        let publisher = broadcast::channel(1);
        let mut subscriber = publisher.subscribe_lossy(Lossy::Disconnect);
        let publishing = thread::spawn(move || {
            let counts = [1, 2, 3].map(|value| publisher.try_publish(value).unwrap());
            (counts, publisher)
        });
        let mut read = Vec::new();
        let mut missed = 0;
        while read.len() < 3 {
            match block_on(subscriber.pull()) {
                Some(Ok(value)) => read.push(value),
                Some(Err(lagged)) => {
                    missed = lagged.missed as usize;
                    assert_eq!(
                        block_on(subscriber.pull()),
                        None,
                        "a report is the last item"
                    );
                    break;
                }
                None => panic!("the broadcast is open"),
            }
        }
        let (counts, publisher) = publishing.join().unwrap();
        assert_eq!(read, (1..=read.len()).collect::<Vec<_>>());
        assert!(read.len() + missed <= 3 && (missed > 0 || read.len() == 3));
        assert_eq!(publisher.stats().disconnected, u64::from(missed > 0));
        assert!(counts.is_sorted_by(|a, b| a >= b));
    });
}

// guarantee: C3
#[test]
fn a_newcomer_is_replayed_without_gap_or_duplicate() {
    model(|| {
        let publisher = broadcast::builder().capacity(2).replay(1).build();
        assert_eq!(publisher.try_publish(1), Ok(0));
        let other = publisher.clone();
        let publishing = thread::spawn(move || {
            block_on(other.publish(2)).unwrap();
            block_on(other.publish(3)).unwrap();
        });
        let mut subscriber = publisher.subscribe();
        drop(publisher);
        let mut read = Vec::new();
        while let Some(value) = block_on(subscriber.pull()) {
            read.push(value);
        }
        publishing.join().unwrap();
        assert!(
            [&[1, 2, 3][..], &[2, 3], &[3]].contains(&&read[..]),
            "{read:?}"
        );
    });
}

// guarantee: C1, C5
#[test]
fn subscribers_that_read_at_once_all_see_everything() {
    model(|| {
        let publisher = broadcast::channel(2);
        let mut one = publisher.subscribe();
        let mut two = publisher.subscribe();
        assert_eq!(publisher.try_publish(Box::new(1)), Ok(2));
        assert_eq!(publisher.try_publish(Box::new(2)), Ok(2));
        let reading = thread::spawn(move || {
            let mut read = Vec::new();
            assert_eq!(block_on(two.pull_many(&mut read, 2)), 2);
            read
        });
        let read = [block_on(one.pull()), block_on(one.pull())];
        assert_eq!(read, [Some(Box::new(1)), Some(Box::new(2))]);
        assert_eq!(reading.join().unwrap(), [Box::new(1), Box::new(2)]);
        assert_eq!(publisher.stats().len, 0);
    });
}

// guarantee: Q4
#[test]
fn who_waits_for_the_end_sees_it() {
    model(|| {
        let publisher = broadcast::channel::<u8>(1);
        let other = publisher.clone();
        let closing = thread::spawn(move || {
            other.close();
            other
        });
        block_on(publisher.closed());
        closing.join().unwrap();
    });
}
