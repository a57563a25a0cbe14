//! `push::retry` and `push::each(..).retry(..)`.

use std::cell::{Cell, RefCell};
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use backon::{ConstantBuilder, ExponentialBuilder};
use futures::{FutureExt, SinkExt, poll, stream};
use pushpull::prelude::*;
use pushpull::push;
use tokio::time::{Instant, sleep};

use crate::SECOND;
use crate::pump_kit::{Answer, Broken, Probe, Told, probe};

fn waits(n: usize) -> impl Iterator<Item = Duration> + Clone + Send + Sync + Unpin {
    (1..=n).map(|n| SECOND * n as u32)
}

#[tokio::test(start_paused = true)]
async fn each_calls_again_after_the_named_waits() {
    let calls = RefCell::new(Vec::new());
    let started = Instant::now();
    let sink = push::each(|n: u32| {
        calls.borrow_mut().push((n, started.elapsed()));
        let ok = calls.borrow().iter().filter(|call| call.0 == n).count() == 3;
        async move { if ok { Ok(()) } else { Err("not yet") } }
    })
    .retry(waits(3));
    stream::iter([1, 2]).pump_into(sink).await.unwrap();
    let at = |n, secs| (n, Duration::from_secs(secs));
    // In order, and the second item starts its waits anew.
    assert_eq!(
        *calls.borrow(),
        [at(1, 0), at(1, 1), at(1, 3), at(2, 3), at(2, 4), at(2, 6)]
    );
}

#[tokio::test(start_paused = true)]
async fn each_gives_up_with_the_item() {
    let sink = push::each(|_: &str| async { Err::<(), _>(Broken) }).retry(waits(2));
    let started = Instant::now();
    let error = stream::iter(["a", "b"]).pump_into(sink).await.unwrap_err();
    assert_eq!(started.elapsed(), 3 * SECOND);
    assert_eq!((error.items, error.item), (1, Some("b")));
    assert_eq!((error.error.item, error.error.attempts), ("a", 3));
    assert_eq!(
        error.error.to_string(),
        "gave up on an item after 3 attempts"
    );
    assert_eq!(
        std::error::Error::source(&error.error).unwrap().to_string(),
        "broken"
    );
    assert_eq!(error.error.into_item(), "a");
}

#[tokio::test(start_paused = true)]
async fn each_counts_an_item_that_waits_as_in_flight() {
    let fail = Cell::new(true);
    let now = Cell::new(0);
    let mut sink = push::each(|_: u32| {
        now.set(now.get() + 1);
        let fail = fail.get();
        async move { if fail { Err(()) } else { Ok(()) } }
    })
    .retry(ConstantBuilder::new().with_delay(10 * SECOND))
    .concurrency(2);
    sink.feed(1).await.unwrap();
    sink.feed(2).await.unwrap();
    assert!(poll!(sink.feed(3)).is_pending());
    assert_eq!((now.get(), sink.in_flight()), (2, 2));
    fail.set(false);
    let started = Instant::now();
    sink.feed(4).await.unwrap();
    sink.flush().await.unwrap();
    assert_eq!(
        (started.elapsed(), now.get(), sink.in_flight()),
        (10 * SECOND, 5, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn each_takes_backons_builders() {
    let mut calls = 0;
    let backoff = ExponentialBuilder::new().with_max_times(2);
    let mut sink = push::each(|()| {
        calls += 1;
        async { Err::<(), _>(()) }
    })
    .retry(&backoff);
    let started = Instant::now();
    assert_eq!(sink.send(()).await.unwrap_err().attempts, 3);
    assert_eq!(started.elapsed(), 3 * SECOND); // 1 + 2
    drop(sink);
    assert_eq!(calls, 3);
}

type Made = std::future::Ready<Result<Probe<u32>, Broken>>;

/// Answers to be given by the next connections, and what all of them were sent.
fn connections(scripts: Vec<Vec<Answer>>) -> (impl FnMut() -> Made, Told<u32>, &'static Cell<u32>) {
    let (_, told) = probe();
    let log = told.clone();
    let made: &'static Cell<u32> = Box::leak(Box::default());
    let mut scripts = scripts.into_iter();
    let make = move || {
        made.set(made.get() + 1);
        log.log().ready = scripts.next().unwrap_or_default().into();
        std::future::ready(Ok(log.another()))
    };
    (make, told, made)
}

#[tokio::test(start_paused = true)]
async fn connects_for_the_first_item_and_again_after_an_error() {
    let (make, told, made) = connections(vec![vec![Answer::Ok, Answer::Ok, Answer::Fail]]);
    let mut sink = push::retry(make, waits(1));
    sink.flush().await.unwrap();
    assert_eq!(made.get(), 0, "nothing to send is no reason to connect");

    sink.send(1).await.unwrap();
    sink.feed(2).await.unwrap();
    let started = Instant::now();
    sink.feed(3).await.unwrap();
    assert_eq!(started.elapsed(), SECOND);
    // 1 was flushed; 2 was not, and goes again, before 3.
    assert_eq!(
        (told.sent(), made.get(), sink.made()),
        (vec![1, 2, 2, 3], 2, 2)
    );
    assert_eq!(sink.unflushed(), 2);
    sink.flush().await.unwrap();
    assert_eq!(sink.unflushed(), 0);
}

#[tokio::test(start_paused = true)]
async fn errors_in_every_phase_are_mended() {
    for phase in 0..4 {
        let (make, told, made) = connections(Vec::new());
        let mut sink = push::retry(make, waits(3));
        sink.feed(1).await.unwrap();
        {
            let mut log = told.log();
            let script = [Answer::Fail].into();
            match phase {
                0 => log.ready = script,
                1 => log.send = script,
                2 => log.flush = script,
                _ => log.close = script,
            }
        }
        sink.feed(2).await.unwrap();
        if phase < 3 {
            sink.flush().await.unwrap();
        }
        sink.close().await.unwrap();
        sink.close().await.unwrap();
        assert_eq!(made.get(), 2, "phase {phase}");
        assert!(
            told.sent().ends_with(&[1, 2]),
            "phase {phase}: {:?}",
            told.sent()
        );
        assert_eq!(told.flushed(), told.sent().len());
    }
}

#[tokio::test(start_paused = true)]
async fn a_row_of_failures_ends_with_a_flush_and_not_with_a_connection() {
    let bad = vec![Answer::Fail];
    let (make, _, _) = connections(vec![
        bad.clone(),
        bad.clone(),
        vec![],
        bad.clone(),
        bad,
        vec![],
    ]);
    let mut sink = push::retry(make, waits(2));
    let started = Instant::now();
    sink.send(1).await.unwrap();
    assert_eq!(
        started.elapsed(),
        3 * SECOND,
        "a connection that fails at once does not reset the waits"
    );

    let (make, told, _) = connections(vec![vec![Answer::Fail]]);
    let mut sink = push::retry(make, waits(2));
    for n in 0..3 {
        told.log().ready = [Answer::Fail].into();
        let started = Instant::now();
        sink.send(n).await.unwrap();
        assert_eq!(started.elapsed(), SECOND, "the flush before did");
    }
}

#[tokio::test(start_paused = true)]
async fn giving_up_loses_nothing_and_can_be_taken_up_again() {
    let up = Cell::new(true);
    let (_, told) = probe();
    let mut sink = push::retry(
        || {
            std::future::ready(if up.get() {
                Ok(told.another())
            } else {
                Err(Broken)
            })
        },
        waits(2),
    );
    sink.feed(1).await.unwrap();
    sink.feed(2).await.unwrap();
    up.set(false);
    told.log().flush = [Answer::Fail].into();
    let started = Instant::now();
    assert_eq!(sink.flush().await, Err(Broken));
    assert_eq!((started.elapsed(), sink.unflushed()), (3 * SECOND, 2));
    assert_eq!(
        sink.feed(3).await,
        Err(Broken),
        "a new row of attempts, and 3 stays outside"
    );
    assert_eq!(started.elapsed(), 6 * SECOND);
    up.set(true);
    sink.send(4).await.unwrap();
    assert_eq!(told.sent(), [1, 2, 1, 2, 4]);
    sink.feed(5).await.unwrap();
    assert_eq!(sink.into_remainder(), [5]);
}

#[tokio::test(start_paused = true)]
async fn keeps_no_more_than_its_window() {
    let (make, told, _) = connections(Vec::new());
    let mut sink = push::retry(make, waits(1)).window(3);
    for n in 1..=10 {
        sink.feed(n).await.unwrap();
        assert!(sink.unflushed() <= 3);
    }
    assert_eq!(told.flushed(), 9, "flushed to make room");
    let mut huge = push::retry(connections(Vec::new()).0, waits(1)).window(usize::MAX);
    huge.send(1).await.unwrap();
}

#[test]
#[should_panic(expected = "`window` must be at least 1")]
fn no_window_panics() {
    let _sink = push::retry(connections(Vec::new()).0, waits(1)).window(0);
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "`start_send` without room")]
async fn sending_before_it_is_ready_panics() {
    let mut sink = push::retry(connections(Vec::new()).0, waits(1));
    sink.start_send_unpin(1).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_connect_that_waits_or_panics_is_awaited_or_made_again() {
    // guarantee: T7
    let (_, told) = probe();
    let mut tries = 0;
    let mut sink = push::retry(
        || {
            tries += 1;
            let (sink, tries) = (told.another(), tries);
            async move {
                sleep(SECOND).await;
                assert!(tries > 1, "no first connection");
                Ok(sink)
            }
        },
        waits(1),
    );
    assert!(AssertUnwindSafe(sink.send(1)).catch_unwind().await.is_err());
    sink.send(2).await.unwrap();
    assert_eq!((told.sent(), sink.made()), (vec![2], 1));
}

#[tokio::test(start_paused = true)]
async fn dropped_at_any_poll_everything_is_with_the_sink_or_flushed() {
    // guarantee: T5
    for polls in 0..40 {
        let script = [Answer::Pending, Answer::Ok, Answer::Pending, Answer::Fail];
        let (make, told, _) = connections(vec![script.to_vec(); 3]);
        told.log().flush = [Answer::Pending, Answer::Fail].into();
        let mut sink = push::retry(make, [Duration::ZERO; 5].into_iter());
        let mut taken = 0;
        for n in 1..=3 {
            if sink.feed(n).await.is_ok() {
                taken += 1;
            }
        }
        {
            let mut flush = sink.flush();
            for _ in 0..polls {
                if poll!(&mut flush).is_ready() {
                    break;
                }
                tokio::time::advance(Duration::from_millis(1)).await;
            }
        }
        let flushed = told.sent()[..told.flushed()].to_vec();
        let rest = sink.into_remainder();
        for n in 1..=taken {
            assert!(
                flushed.contains(&n) || rest.contains(&n),
                "{n} is lost after {polls} polls"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_pump_over_a_line_that_breaks_delivers_everything_in_order() {
    let scripts = (0..5)
        .map(|n| [vec![Answer::Ok; 7 * n], vec![Answer::Fail]].concat())
        .collect();
    let (make, told, _) = connections(scripts);
    let sink = push::retry(make, waits(9));
    stream::iter(1..=100)
        .pump_into(sink)
        .close_sink(true)
        .await
        .unwrap();
    let mut seen = told.sent();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen, (1..=100).collect::<Vec<_>>());
    let sent = told.sent();
    let last = sent
        .windows(2)
        .rposition(|pair| pair[1] <= pair[0])
        .map_or(0, |at| at + 1);
    assert_eq!(
        sent[last], 1,
        "never flushed in between, so the last connection was sent it all"
    );
}
