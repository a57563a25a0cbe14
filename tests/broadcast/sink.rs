//! A publisher as a sink.

use futures::{Sink, SinkExt, StreamExt, stream};
use futures_test::task::new_count_waker;
use pushpull::broadcast;
use pushpull::queue::{PullError, PushError};

use super::*;

const CLOSED: Poll<Result<(), PushError<()>>> = Poll::Ready(Err(PushError::Closed(())));

// guarantee: C1, Q10
#[tokio::test(start_paused = true)]
async fn a_stream_is_forwarded_at_the_pace_of_the_slowest() {
    let publisher = broadcast::channel(2);
    let subscribers = [publisher.subscribe(), publisher.subscribe()];
    let forwarding = tokio::spawn(stream::iter(0..50).map(Ok).forward(publisher));
    // One after the other would wait for ever: each holds the publisher back.
    let reading = subscribers.map(|subscriber| tokio::spawn(subscriber.collect::<Vec<_>>()));
    assert_eq!(forwarding.await.unwrap(), Ok(()));
    for read in reading {
        assert!(read.await.unwrap().into_iter().eq(0..50));
    }
}

// guarantee: Q10
#[test]
fn ready_reserves_a_slot() {
    let publisher = broadcast::channel(2);
    let mut subscriber = publisher.subscribe();
    let mut sink = publisher.clone();
    let mut cx = Context::from_waker(Waker::noop());
    for _ in 0..3 {
        assert!(Pin::new(&mut sink).poll_ready(&mut cx).is_ready());
        assert_eq!(
            publisher.stats().reserved,
            1,
            "once, however often it is asked"
        );
    }
    assert_eq!(publisher.try_publish(1), Ok(1));
    assert_eq!(publisher.try_publish(2), Err(PushError::Full(2)));
    let mut copy = sink.clone();
    assert!(
        Pin::new(&mut copy).poll_ready(&mut cx).is_pending(),
        "a clone has no part in it"
    );
    assert_eq!(Pin::new(&mut sink).start_send(3), Ok(()));
    assert_eq!(
        Pin::new(&mut sink).poll_flush(&mut cx),
        Poll::Ready(Ok(())),
        "handed over"
    );
    assert_eq!(rest(&mut subscriber), [1, 3]);
}

// guarantee: Q10, C4
#[test]
fn a_reservation_goes_back_with_its_handle() {
    let publisher = broadcast::channel(1);
    let mut subscriber = publisher.subscribe();
    let (waker, woken) = new_count_waker();
    for close in [false, true] {
        let mut sink = publisher.clone();
        let mut cx = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut sink).poll_ready(&mut cx).is_ready());
        let mut publish = Box::pin(publisher.publish(1));
        let before = woken.get();
        assert!(poll_with(&mut publish, &waker).is_pending());
        if close {
            assert_eq!(Pin::new(&mut sink).poll_close(&mut cx), Poll::Ready(Ok(())));
        } else {
            drop(sink);
        }
        assert_eq!(woken.get(), before + 1);
        assert_eq!(poll(&mut publish), Poll::Ready(Ok(1)));
        assert_eq!(subscriber.try_pull(), Ok(1));
    }
}

// guarantee: C4
#[test]
fn without_subscribers_only_reservations_can_make_a_sink_wait() {
    let publisher = broadcast::channel(1);
    let (mut one, mut two) = (publisher.clone(), publisher.clone());
    let (waker, woken) = new_count_waker();
    let mut cx = Context::from_waker(&waker);
    assert!(Pin::new(&mut one).poll_ready(&mut cx).is_ready());
    assert!(Pin::new(&mut two).poll_ready(&mut cx).is_pending());
    assert_eq!(
        publisher.try_publish(1),
        Ok(0),
        "publishing does not wait for them"
    );
    assert_eq!(Pin::new(&mut one).start_send(1), Ok(()));
    assert_eq!(woken.get(), 1);
    assert!(Pin::new(&mut two).poll_ready(&mut cx).is_ready());
}

// guarantee: Q10
#[tokio::test(start_paused = true)]
async fn closing_a_sink_closes_its_handle_alone() {
    let publisher = broadcast::channel(4);
    let mut subscriber = publisher.subscribe();
    let mut sink = publisher.clone();
    sink.send(1).await.unwrap();
    SinkExt::<u8>::close(&mut sink).await.unwrap();
    SinkExt::<u8>::close(&mut sink).await.unwrap();
    assert!(sink.is_closed() && sink.clone().is_closed() && !publisher.is_closed());
    assert_eq!(publisher.stats().publishers, 1);
    let mut cx = Context::from_waker(Waker::noop());
    assert_eq!(Pin::new(&mut sink).poll_ready(&mut cx), CLOSED);
    assert_eq!(sink.publish(9).await, Err(PushError::Closed(9)));
    assert_eq!(sink.try_publish(9), Err(PushError::Closed(9)));
    assert_eq!(publisher.publish(2).await, Ok(1));
    assert_eq!(rest(&mut subscriber), [1, 2]);

    let mut last = publisher;
    SinkExt::<u8>::close(&mut last).await.unwrap();
    assert_eq!(
        subscriber.try_pull(),
        Err(PullError::Closed),
        "that was the last handle"
    );
}

// guarantee: Q10
#[test]
fn sending_without_asking_panics() {
    let publisher = broadcast::channel(4);
    let mut sink = publisher.clone();
    let message = panic_of(|| Pin::new(&mut sink).start_send(1));
    assert!(message.contains("poll_ready"), "{message}");
    let mut cx = Context::from_waker(Waker::noop());
    assert!(Pin::new(&mut sink).poll_ready(&mut cx).is_ready());
    assert_eq!(Pin::new(&mut sink).start_send(1), Ok(()));
    panic_of(|| Pin::new(&mut sink).start_send(1));
    assert_eq!(publisher.stats().published, 1);
}
