//! The end of a broadcast.

use futures::{Sink, StreamExt};
use futures_test::task::new_count_waker;
use pushpull::broadcast;
use pushpull::queue::{PullError, PushError};

use super::*;

// guarantee: C4
#[tokio::test(start_paused = true)]
async fn everyone_drains_then_ends() {
    let publisher = broadcast::channel(4);
    let (one, mut two) = (publisher.subscribe(), publisher.subscribe());
    publisher.publish(1).await.unwrap();
    publisher.publish(2).await.unwrap();
    assert_eq!(two.pull().await, Some(1));
    assert!(!publisher.is_closed());
    publisher.close();
    assert!(publisher.is_closed() && publisher.clone().is_closed());
    assert_eq!(publisher.publish(3).await, Err(PushError::Closed(3)));
    assert_eq!(publisher.try_publish(3), Err(PushError::Closed(3)));
    assert_eq!(one.collect::<Vec<_>>().await, [1, 2]);
    assert_eq!((two.pull().await, two.pull().await), (Some(2), None));
    let mut late = publisher.subscribe();
    assert_eq!(late.try_pull(), Err(PullError::Closed));
}

// guarantee: C4
#[test]
fn closing_wakes_everybody_and_gives_values_back() {
    let publisher = broadcast::channel(1);
    let (mut slow, mut asleep) = (publisher.subscribe(), publisher.subscribe());
    assert_eq!(publisher.try_publish(1), Ok(2));
    assert_eq!(asleep.try_pull(), Ok(1));
    let (waker, woken) = new_count_waker();
    let mut publish = Box::pin(publisher.publish(2));
    let mut closed = Box::pin(publisher.closed());
    let mut pull = Box::pin(asleep.pull());
    assert!(poll_with(&mut publish, &waker).is_pending());
    assert!(poll_with(&mut closed, &waker).is_pending());
    assert!(poll_with(&mut pull, &waker).is_pending());
    publisher.close();
    assert_eq!(woken.get(), 3);
    publisher.close();
    assert_eq!(woken.get(), 3, "closing twice changes nothing");
    assert_eq!(poll(&mut publish), Poll::Ready(Err(PushError::Closed(2))));
    assert_eq!(poll(&mut closed), Poll::Ready(()));
    assert_eq!(poll(&mut pull), Poll::Ready(None));
    assert_eq!(rest(&mut slow), [1]);
}

// guarantee: C4
#[test]
fn the_last_publisher_gone_is_the_end() {
    let publisher = broadcast::channel::<u8>(1);
    let mut subscriber = publisher.subscribe();
    let other = publisher.clone();
    assert_eq!(publisher.stats().publishers, 2);
    drop(publisher);
    assert_eq!(subscriber.try_pull(), Err(PullError::Empty));
    let (waker, woken) = new_count_waker();
    assert!(poll_with(&mut Box::pin(subscriber.next()), &waker).is_pending());
    drop(other);
    assert_eq!(woken.get(), 1);
    assert_eq!(subscriber.try_pull(), Err(PullError::Closed));
}

// guarantee: C4, Q5
#[test]
fn slots_reserved_before_are_honoured_after() {
    let publisher = broadcast::channel(2);
    let mut subscriber = publisher.subscribe();
    let (mut sender, mut idle) = (publisher.clone(), publisher.clone());
    let (waker, woken) = new_count_waker();
    let mut cx = Context::from_waker(&waker);
    assert!(Pin::new(&mut sender).poll_ready(&mut cx).is_ready());
    assert!(Pin::new(&mut idle).poll_ready(&mut cx).is_ready());
    assert!(subscriber.poll_next_unpin(&mut cx).is_pending());
    publisher.close();
    assert_eq!(woken.get(), 0, "something may still come");
    assert_eq!(subscriber.try_pull(), Err(PullError::Empty));
    assert_eq!(Pin::new(&mut sender).start_send(7), Ok(()));
    assert_eq!(
        Pin::new(&mut sender).poll_ready(&mut cx),
        Poll::Ready(Err(PushError::Closed(())))
    );
    assert_eq!(subscriber.try_pull(), Ok(7));
    assert!(subscriber.poll_next_unpin(&mut cx).is_pending());
    let before = woken.get();
    drop(idle);
    assert_eq!(woken.get(), before + 1);
    assert_eq!(subscriber.try_pull(), Err(PullError::Closed));
}

// guarantee: C4
#[test]
fn closed_is_ready_once_closed_and_leaves_nothing_when_dropped() {
    let publisher = broadcast::channel::<u8>(1);
    let (waker, woken) = new_count_waker();
    {
        let mut closed = Box::pin(publisher.closed());
        assert!(poll_with(&mut closed, &waker).is_pending());
        assert!(poll_with(&mut closed, &waker).is_pending());
    }
    publisher.close();
    assert_eq!(woken.get(), 0);
    assert_eq!(poll(&mut Box::pin(publisher.closed())), Poll::Ready(()));
}
