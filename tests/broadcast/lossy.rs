//! Subscribers that nobody waits for.

use futures::stream::FusedStream;
use futures::{Stream, StreamExt};
use futures_test::task::new_count_waker;
use pushpull::broadcast::{self, Lagged, Lossy};
use pushpull::queue::{PullError, PushError};

use super::*;

const fn lagged<T>(missed: u64) -> Result<T, Lagged> {
    Err(Lagged { missed })
}

// guarantee: C1
#[tokio::test(start_paused = true)]
async fn drop_oldest_reports_what_is_missing_where_it_is_missing() {
    let publisher = broadcast::channel(3);
    let mut lossy = publisher.subscribe_lossy(Lossy::DropOldest);
    for n in 1..=3 {
        assert_eq!(publisher.publish(n).await, Ok(1));
    }
    assert_eq!(lossy.next().await, Some(Ok(1)));
    for n in 4..=8 {
        assert_eq!(publisher.publish(n).await, Ok(1));
    }
    assert_eq!(lossy.len(), 3);
    assert_eq!(lossy.next().await, Some(lagged(4)));
    assert_eq!(lossy.next().await, Some(Ok(6)));
    assert_eq!(publisher.try_publish(9), Ok(1));
    assert_eq!(publisher.try_publish(10), Ok(1));
    assert_eq!(publisher.stats().missed, 5);
    drop(publisher);
    assert_eq!(lossy.size_hint(), (4, Some(4)));
    assert_eq!(
        lossy.collect::<Vec<_>>().await,
        [lagged(1), Ok(8), Ok(9), Ok(10)]
    );
}

// guarantee: C2
#[tokio::test(start_paused = true)]
async fn disconnect_ends_with_one_report() {
    let publisher = broadcast::channel(2);
    let mut lossy = publisher.subscribe_lossy(Lossy::Disconnect);
    let mut other = publisher.subscribe_lossy(Lossy::DropOldest);
    assert_eq!(publisher.try_publish(1), Ok(2));
    assert_eq!(lossy.pull().await, Some(Ok(1)));
    assert_eq!(
        (publisher.try_publish(2), publisher.try_publish(3)),
        (Ok(2), Ok(2))
    );
    assert_eq!(publisher.subscriber_count(), 2);
    assert_eq!(
        publisher.try_publish(4),
        Ok(1),
        "it is not published to any more"
    );
    assert_eq!(
        (publisher.subscriber_count(), publisher.stats().disconnected),
        (1, 1)
    );
    assert_eq!((lossy.len(), lossy.is_empty()), (0, true));
    assert_eq!(publisher.try_publish(5), Ok(1));
    assert_eq!(
        lossy.pull().await,
        Some(lagged(4)),
        "all between what it read and this report"
    );
    assert_eq!(lossy.size_hint(), (0, Some(0)));
    for n in 6..9 {
        assert_eq!(publisher.try_publish(n), Ok(1));
        assert_eq!(lossy.pull().await, None);
        assert_eq!(lossy.try_pull(), Err(PullError::Closed));
    }
    assert!(lossy.is_terminated());
    assert_eq!(other.pull().await, Some(lagged(6)));
    let stats = publisher.stats();
    assert_eq!((stats.missed, stats.disconnected), (10, 1));
}

// guarantee: C2
#[test]
fn lossy_subscribers_never_hold_a_publisher_back() {
    let publisher = broadcast::channel(2);
    let mut careful = publisher.subscribe();
    let mut lossy = publisher.subscribe_lossy(Lossy::DropOldest);
    let _hasty = publisher.subscribe_lossy(Lossy::Disconnect);
    for n in 0..100 {
        assert!(publisher.try_publish(n).is_ok());
        assert_eq!(careful.try_pull(), Ok(n));
    }
    assert_eq!(lossy.try_pull(), Ok(lagged(98)));
    // The careful one still does.
    assert_eq!(
        (publisher.try_publish(100), publisher.try_publish(101)),
        (Ok(2), Ok(2))
    );
    assert_eq!(publisher.try_publish(102), Err(PushError::Full(102)));
    assert_eq!(careful.try_pull(), Ok(100));
    assert_eq!(publisher.try_publish(102), Ok(2));
}

// guarantee: C1
#[tokio::test(start_paused = true)]
async fn runs_never_cross_a_gap() {
    let publisher = broadcast::channel(3);
    let mut lossy = publisher.subscribe_lossy(Lossy::DropOldest);
    for n in 0..5 {
        assert_eq!(publisher.try_publish(n), Ok(1));
    }
    let mut run = Vec::new();
    assert_eq!(lossy.pull_many(&mut run, 2).await, lagged(2));
    assert_eq!(lossy.pull_many(&mut run, 2).await, Ok(2));
    assert_eq!(publisher.try_publish(5), Ok(1));
    let (waker, woken) = new_count_waker();
    let mut cx = Context::from_waker(&waker);
    assert_eq!(
        lossy.poll_pull_many(&mut cx, &mut run, 8),
        Poll::Ready(Ok(2))
    );
    assert_eq!(run, [2, 3, 4, 5]);
    assert!(lossy.poll_pull_many(&mut cx, &mut run, 8).is_pending());
    drop(publisher);
    assert_eq!(woken.get(), 1);
    assert_eq!(lossy.pull_many(&mut run, 8).await, Ok(0));
    assert_eq!(run.len(), 4);
}

// guarantee: C1
#[test]
fn a_lossy_subscriber_sleeps_and_wakes_like_any_other() {
    let publisher = broadcast::channel(1);
    let mut lossy = publisher.subscribe_lossy(Lossy::Disconnect);
    let (waker, woken) = new_count_waker();
    assert!(
        lossy
            .poll_next_unpin(&mut Context::from_waker(&waker))
            .is_pending()
    );
    assert_eq!(
        (publisher.try_publish(1), publisher.try_publish(2)),
        (Ok(1), Ok(0))
    );
    assert_eq!(woken.get(), 1);
    assert_eq!(lossy.try_pull(), Ok(lagged(2)));
    let mut again = lossy.resubscribe();
    assert_eq!(publisher.try_publish(3), Ok(1));
    assert_eq!(again.try_pull(), Ok(Ok(3)));
    assert!(!again.is_closed());
}

#[test]
fn a_report_reads_well() {
    let message = Lagged { missed: 7 }.to_string();
    assert_eq!(
        message,
        "7 published values were missed because the subscriber did not keep up"
    );
    let _: &dyn std::error::Error = &Lagged { missed: 7 };
}
