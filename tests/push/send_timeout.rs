//! `send_timeout`.

use std::error::Error;
use std::pin::pin;
use std::time::Duration;

use futures::poll;
use pushpull::prelude::*;
use pushpull::push::SendTimeoutError;
use tokio::time::{Instant, sleep, timeout};

use crate::SECOND;
use crate::pump_kit::{Answer, Broken, probe};

#[tokio::test(start_paused = true)]
async fn gives_the_item_back_when_time_is_up_and_not_before() {
    let (mut sink, told) = probe();
    told.shut(true);
    let started = Instant::now();
    let error = sink.send_timeout('a', 3 * SECOND).await.unwrap_err();
    assert_eq!(error, SendTimeoutError::Timeout('a'));
    assert!(error.is_timeout());
    assert_eq!(error.into_item(), Some('a'));
    assert_eq!(started.elapsed(), 3 * SECOND);
    told.shut(false);
    sink.send_timeout('b', SECOND).await.unwrap();
    assert_eq!((told.sent(), told.flushed()), (vec!['b'], 1));
}

#[tokio::test(start_paused = true)]
async fn the_clock_starts_at_the_first_poll_and_a_ready_sink_wins() {
    let (mut sink, told) = probe();
    told.shut(true);
    let mut send = pin!(sink.send_timeout(1, SECOND));
    sleep(10 * SECOND).await;
    assert!(poll!(send.as_mut()).is_pending());
    sleep(10 * SECOND).await; // long over, but nobody polled
    told.shut(false);
    assert!(poll!(send.as_mut()).is_ready());
    assert_eq!(told.sent(), [1]);
}

#[tokio::test(start_paused = true)]
async fn an_item_taken_and_not_flushed_in_time_is_told_apart() {
    let (mut sink, told) = probe();
    told.stick(true);
    let started = Instant::now();
    let error = sink.send_timeout(1, SECOND).await.unwrap_err();
    assert_eq!(error, SendTimeoutError::Unflushed);
    assert!(error.is_timeout());
    assert_eq!((started.elapsed(), told.sent()), (SECOND, vec![1]));
    assert_eq!(error.into_item(), None);
}

#[tokio::test(start_paused = true)]
async fn one_clock_covers_the_room_and_the_flush() {
    let (mut sink, told) = probe();
    told.shut(true);
    told.stick(true);
    let started = Instant::now();
    let opener = async {
        sleep(SECOND).await;
        told.shut(false);
    };
    let (sent, ()) = tokio::join!(sink.send_timeout(1, 3 * SECOND), opener);
    assert_eq!(sent, Err(SendTimeoutError::Unflushed));
    assert_eq!(started.elapsed(), 3 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_failing_sink_keeps_only_what_it_took() {
    let failed = |item| {
        Err(SendTimeoutError::Sink {
            error: Broken,
            item,
        })
    };
    let (mut sink, told) = probe();
    told.log().ready = [Answer::Fail].into();
    assert_eq!(sink.send_timeout(1, SECOND).await, failed(Some(1)));
    told.log().send = [Answer::Fail].into();
    assert_eq!(sink.send_timeout(2, SECOND).await, failed(None));
    told.log().flush = [Answer::Pending, Answer::Fail].into();
    let error = sink.send_timeout(3, SECOND).await.unwrap_err();
    assert!(!error.is_timeout());
    assert_eq!(error.source().unwrap().to_string(), "broken");
}

#[tokio::test(start_paused = true)]
async fn extreme_durations() {
    // guarantee: T8
    let (mut sink, told) = probe();
    sink.send_timeout(1, Duration::ZERO).await.unwrap();
    told.shut(true);
    let error = sink.send_timeout(2, Duration::ZERO).await.unwrap_err();
    assert_eq!(error.into_item(), Some(2));
    let year = Duration::from_secs(365 * 86_400);
    assert!(
        timeout(year, sink.send_timeout(3, Duration::MAX))
            .await
            .is_err()
    );
}

#[tokio::test(start_paused = true)]
async fn dropped_at_any_poll_the_item_was_sent_whole_or_not_at_all() {
    // guarantee: T5
    for polls in 0..8 {
        let (mut sink, told) = probe();
        told.log().ready = [Answer::Pending; 3].into();
        told.log().flush = [Answer::Pending; 2].into();
        {
            let mut send = pin!(sink.send_timeout(1, SECOND));
            for _ in 0..polls {
                if poll!(send.as_mut()).is_ready() {
                    break;
                }
            }
        }
        assert_eq!(
            told.sent().len(),
            usize::from(polls > 3),
            "after {polls} polls"
        );
        sink.send_timeout(2, SECOND).await.unwrap(); // the sink is as good as before
        assert_eq!(told.sent().last(), Some(&2));
    }
}
