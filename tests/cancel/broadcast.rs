//! The broadcast.
//!
//! guarantee: T5

use std::future::Future;
use std::task::{Context, Poll, Waker};

use futures::future::LocalBoxFuture;
use futures::{FutureExt, SinkExt, StreamExt};
use futures_test::task::{new_count_waker, noop_waker};
use pushpull::broadcast::{self, Lagged, Lossy, Publisher, Subscriber};

fn poll<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    std::pin::Pin::new(future).poll(&mut Context::from_waker(waker))
}

/// Reads all that is there.
fn rest(subscriber: &mut Subscriber<u32>) -> Vec<u32> {
    std::iter::from_fn(|| subscriber.try_pull().ok()).collect()
}

/// A broadcast that is full for its two subscribers.
fn full() -> (Publisher<u32>, Subscriber<u32>, Subscriber<u32>) {
    let publisher = broadcast::channel(2);
    let (one, two) = (publisher.subscribe(), publisher.subscribe());
    for value in [100, 101] {
        assert_eq!(publisher.try_publish(value), Ok(2));
    }
    (publisher, one, two)
}

#[tokio::test(start_paused = true)]
async fn a_publish_dropped_at_any_poll_reaches_all_or_none() {
    // guarantee: C4
    for polls in 0..6 {
        for sink in [false, true] {
            let (publisher, mut one, mut two) = full();
            let mut seen = (Vec::new(), Vec::new());
            {
                let mut handle = publisher.clone();
                let mut publish: LocalBoxFuture<'_, bool> = if sink {
                    async { handle.send(7).await.is_ok() }.boxed_local()
                } else {
                    async { handle.publish(7).await.is_ok() }.boxed_local()
                };
                for round in 0..polls {
                    // One subscriber reads first, so that there is room for one of the two only.
                    if round == 2 {
                        seen.0.extend(one.try_pull());
                    } else if round == 3 {
                        seen.1.extend(two.try_pull());
                    }
                    if poll(&mut publish, &noop_waker()).is_ready() {
                        break;
                    }
                    tokio::task::yield_now().await;
                }
            }
            seen.0.extend(rest(&mut one));
            seen.1.extend(rest(&mut two));
            assert_eq!(seen.0, seen.1, "{polls} polls, sink: {sink}");
            assert!(seen.0 == [100, 101] || seen.0 == [100, 101, 7], "{seen:?}");
            // Nothing of the cancelled call is left.
            for value in [8, 9] {
                assert_eq!(
                    publisher.try_publish(value),
                    Ok(2),
                    "{polls} polls, sink: {sink}"
                );
            }
            assert!(publisher.try_publish(10).is_err());
            assert_eq!((rest(&mut one), rest(&mut two)), (vec![8, 9], vec![8, 9]));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_slot_reserved_and_dropped_goes_to_the_next() {
    // guarantee: C4
    let (publisher, mut one, mut two) = full();
    let (first_waker, first_woken) = new_count_waker();
    let (second_waker, second_woken) = new_count_waker();
    let mut first = publisher.clone();
    let mut second = Box::pin(publisher.publish(2));
    assert!(
        first
            .poll_ready_unpin(&mut Context::from_waker(&first_waker))
            .is_pending()
    );
    assert!(poll(&mut second, &second_waker).is_pending());
    assert_eq!((one.try_pull(), two.try_pull()), (Ok(100), Ok(100)));
    assert_eq!((first_woken.get(), second_woken.get()), (1, 0));
    drop(first);
    assert_eq!(second_woken.get(), 1, "the wake was lost");
    assert_eq!(poll(&mut second, &second_waker), Poll::Ready(Ok(2)));
    assert_eq!(
        (rest(&mut one), rest(&mut two)),
        (vec![101, 2], vec![101, 2])
    );
}

#[tokio::test(start_paused = true)]
async fn a_publish_that_waits_is_published_in_its_turn_though_nobody_polls_it() {
    // guarantee: C4
    let (publisher, mut one, mut two) = full();
    let mut first = Box::pin(publisher.publish(1));
    let mut second = Box::pin(publisher.publish(2));
    assert!(poll(&mut first, &noop_waker()).is_pending());
    assert!(poll(&mut second, &noop_waker()).is_pending());
    assert_eq!((one.try_pull(), two.try_pull()), (Ok(100), Ok(100)));
    // Dropped after its turn had come, before it learned of it: published to all.
    drop(first);
    // Dropped before its turn came: published to none.
    drop(second);
    assert_eq!(
        (rest(&mut one), rest(&mut two)),
        (vec![101, 1], vec![101, 1])
    );
}

#[tokio::test(start_paused = true)]
async fn pulls_dropped_at_any_poll_take_nothing() {
    // guarantee: C1
    for polls in 0..4 {
        let publisher = broadcast::channel(4);
        let mut subscriber = publisher.subscribe();
        let mut taken = Vec::new();
        for call in 0..3 {
            let mut many = Vec::new();
            {
                let mut pull = match call {
                    0 => async { subscriber.pull().await.into_iter().collect::<Vec<_>>() }
                        .boxed_local(),
                    1 => async { subscriber.next().await.into_iter().collect() }.boxed_local(),
                    _ => async {
                        subscriber.pull_many(&mut many, 2).await;
                        std::mem::take(&mut many)
                    }
                    .boxed_local(),
                };
                for round in 0..polls {
                    if round == 1 {
                        assert_eq!(publisher.try_publish(call), Ok(1));
                    }
                    if let Poll::Ready(values) = poll(&mut pull, &noop_waker()) {
                        taken.extend(values);
                        break;
                    }
                    // The call waits over this point where it is dropped woken.
                    tokio::task::yield_now().await;
                }
            }
        }
        taken.extend(rest(&mut subscriber));
        let published = if polls > 1 { vec![0, 1, 2] } else { vec![] };
        assert_eq!(taken, published, "{polls} polls");
    }
}

#[tokio::test(start_paused = true)]
async fn lossy_pulls_cancelled_in_select_tell_every_loss() {
    // guarantee: C1
    let publisher = broadcast::channel(3);
    let mut lossy = publisher.subscribe_lossy(Lossy::DropOldest);
    let mut expected = 0;
    for value in 0..500_u64 {
        assert_eq!(publisher.try_publish(value), Ok(1));
        for _ in 0..value % 3 {
            let impatient = async {
                for _ in 0..value % 2 {
                    tokio::task::yield_now().await;
                }
            };
            tokio::select! {
                biased;
                () = impatient => {}
                item = lossy.next() => match item {
                    Some(Ok(value)) => {
                        assert_eq!(value, expected);
                        expected += 1;
                    }
                    Some(Err(Lagged { missed, .. })) => expected += missed,
                    None => panic!("it is open"),
                },
            }
        }
    }
    drop(publisher);
    while let Some(item) = lossy.next().await {
        match item {
            Ok(value) => {
                assert_eq!(value, expected);
                expected += 1;
            }
            Err(Lagged { missed, .. }) => expected += missed,
        }
    }
    assert_eq!(expected, 500);
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_cancelled_waits_leave_no_trace() {
    let (publisher, mut one, mut two) = full();
    let empty = broadcast::channel::<u32>(1);
    let mut reader = empty.subscribe();
    for _ in 0..10_000 {
        assert!(poll(&mut Box::pin(publisher.publish(1)), &noop_waker()).is_pending());
        assert!(poll(&mut Box::pin(publisher.closed()), &noop_waker()).is_pending());
        assert!(poll(&mut Box::pin(reader.pull()), &noop_waker()).is_pending());
        tokio::task::consume_budget().await;
    }
    let stats = publisher.stats();
    assert_eq!((stats.published, stats.waiting_publishers), (2, 0));
    assert_eq!(empty.stats().waiting_subscribers, 0);
    assert_eq!(
        (rest(&mut one), rest(&mut two)),
        (vec![100, 101], vec![100, 101])
    );
}
