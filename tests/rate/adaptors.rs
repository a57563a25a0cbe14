//! Limits on Streams.

use std::pin::pin;

use futures::stream::{self, FusedStream, Stream};
use futures::{FutureExt, SinkExt, StreamExt};
use pushpull::prelude::*;
use pushpull::rate::{Limited, RateLimiter};
use tokio::time::{advance, sleep};

use super::*;

/// The number of items that pass in this time.
async fn passed_in(time: Duration, limiter: RateLimiter) -> u32 {
    let end = Instant::now() + time;
    let mut items = pin!(stream::repeat(()).rate_limit(limiter));
    let mut count = 0;
    while let Ok(Some(())) = tokio::time::timeout_at(end, items.next()).await {
        count += 1;
        if count % 1_024 == 0 {
            tokio::task::coop::consume_budget().await;
        }
        if Instant::now() >= end {
            break;
        }
    }
    count
}

// guarantee: R1
#[tokio::test(start_paused = true)]
async fn the_long_run_rate_is_the_limit() {
    for (rate, seconds, tolerance) in [
        (1, 1_000, 0.001),
        (10, 1_000, 0.001),
        (20, 1_000, 0.001),
        (21, 1_000, 0.001),
        (333, 300, 0.001),
        (999, 100, 0.001),
        (1_001, 100, 0.001),
        (12_345, 20, 0.001),
        (300_000, 1, 0.001),
        (1_000_000, 1, 0.001),
        (3_000_000, 1, 0.01),
    ] {
        let limit = RateLimit::per_second(rate);
        let count = passed_in(Duration::from_secs(seconds), limit.into()).await;
        let count = f64::from(count - limit.max_burst());
        let due = f64::from(rate) * seconds as f64;
        let off = (count - due).abs() / due;
        assert!(
            off <= tolerance,
            "{rate}/s: {count} of {due} in {seconds} s"
        );
    }
}

// guarantee: R1 (also for costs above the burst: what is late by a tick is made up for)
#[tokio::test(start_paused = true)]
async fn the_long_run_rate_of_great_costs() {
    let start = Instant::now();
    let limit = RateLimit::per_second(999).burst(10);
    let mut items = pin!(
        stream::repeat(())
            .take(2_000)
            .rate_limit_weighted(limit, |()| 25)
    );
    while items.next().await.is_some() {}
    let due = Duration::from_secs(1) * (2_000 * 25 - 10) / 999;
    let off = start.elapsed().as_secs_f64() / due.as_secs_f64() - 1.0;
    assert!((0.0..0.001).contains(&off), "{off}");
}

// guarantee: R1, R2
#[tokio::test(start_paused = true)]
async fn no_window_sees_more_than_the_limit() {
    for (limit, pause) in [
        (RateLimit::per_second(7), 3),
        (RateLimit::per_second(333), 50),
        (RateLimit::per_second(50_000).burst(1_500), 40),
    ] {
        let mut items = pin!(stream::repeat(()).rate_limit(limit));
        let mut passes = vec![];
        for n in 0..2_500_u32 {
            if n % 700 == pause {
                sleep(ms(u64::from(n))).await;
            }
            items.next().await;
            passes.push((Instant::now(), 1));
        }
        assert_within(limit, &passes);
    }
}

// guarantee: R2
#[tokio::test(start_paused = true)]
async fn a_whole_burst_after_a_pause() {
    let mut items = pin!(stream::repeat(()).rate_limit(RateLimit::per_second(1_000)));
    for used in [100, 50, 100, 1, 100] {
        let start = Instant::now();
        for _ in 0..used {
            items.next().await;
        }
        assert_eq!(start.elapsed(), Duration::ZERO, "{used} at once");
        sleep(HOUR).await;
    }
}

// guarantee: R1, R2 (units paid in advance are few, are not lost, and are not there twice)
#[tokio::test(start_paused = true)]
async fn paying_in_advance_does_not_show() {
    let limit = RateLimit::per_second(1_000).burst(25_600);
    let mut items = pin!(stream::repeat(()).rate_limit(limit));
    for used in [25_600, 3, 7, 100, 1_000] {
        let mut at_once = 0_u32;
        while at_once < used && items.next().now_or_never().is_some() {
            at_once += 1;
        }
        assert!(at_once >= used.min(25_600 - 100), "{at_once} of {used}");
        sleep(HOUR).await;
        let mut passes = vec![];
        while items.next().now_or_never().is_some() {
            passes.push((Instant::now(), 1));
        }
        let (all, least) = (passes.len(), 25_600 - 25_600 / 256);
        assert!((least..=25_600).contains(&all), "{all} in one burst");
        sleep(HOUR).await;
    }
    // What is used up, or left when the input is pending, is settled at that time.
    for (used, then_pending) in [
        (1, true),
        (2, true),
        (10, true),
        (64, true),
        (65, false),
        (65, true),
    ] {
        let (tx, rx) = futures::channel::mpsc::unbounded();
        let mut items = pin!(rx.rate_limit(limit));
        for _ in 0..used {
            tx.unbounded_send(()).expect("open");
            items.next().await;
        }
        if then_pending {
            assert!(items.next().now_or_never().is_none());
        }
        sleep(HOUR).await;
        (0..25_601).for_each(|_| tx.unbounded_send(()).expect("open"));
        let mut at_once = 0;
        while items.next().now_or_never().is_some() {
            at_once += 1;
        }
        assert_eq!(at_once, 25_600, "after {used}");
    }
    // A limiter that others know is not drawn on in advance.
    let limiter = RateLimiter::new(limit);
    let mut items = pin!(stream::repeat(()).rate_limit(&limiter));
    for used in 1..=1_000 {
        items.next().await;
        assert_eq!(limiter.available(), 25_600 - used);
    }
}

// guarantee: R6
#[tokio::test(start_paused = true)]
async fn an_item_that_waits_when_the_input_ends_is_delivered() {
    let limit = RateLimit::per_second(10);
    let mut items = stream::iter([1, 2]).rate_limit(limit);
    assert_eq!(items.size_hint(), (2, Some(2)));
    assert_eq!(items.next().await, Some(1));
    assert!(items.next().now_or_never().is_none());
    assert_eq!(
        items.get_ref().size_hint(),
        (0, Some(0)),
        "the input has no more"
    );
    assert_eq!(items.size_hint(), (1, Some(1)), "but this one");
    assert!(!items.is_terminated());
    let start = Instant::now();
    assert_eq!(items.next().await, Some(2));
    assert_eq!(start.elapsed(), ms(100));
    assert_eq!(items.next().await, None);
    assert!(items.is_terminated());
    assert_eq!(items.next().await, None, "the input is not polled again");
    assert_eq!(items.size_hint(), (0, Some(0)));
}

// guarantee: R6
#[tokio::test(start_paused = true)]
async fn the_item_that_waits_is_given_back() {
    let limiter = RateLimiter::new(RateLimit::per_second(1));
    let mut items = stream::iter(1..).rate_limit(&limiter);
    assert_eq!(items.next().await, Some(1));
    assert!(items.next().now_or_never().is_none());
    let (mut rest, held) = items.into_inner();
    assert_eq!((held, rest.next().await), (Some(2), Some(3)));
    advance(SECOND).await;
    assert!(limiter.try_acquire(1).is_ok(), "it has left the line");

    let mut items = stream::iter(["a", "a"]).rate_limit_by(RateLimit::per_second(1), |key| *key);
    assert_eq!(items.next().await, Some("a"));
    assert!(items.next().now_or_never().is_none());
    assert_eq!(items.size_hint(), (1, Some(1)));
    assert_eq!(items.into_inner().1, Some("a"));
}

// guarantee: R3
#[tokio::test(start_paused = true)]
async fn weights() {
    let start = Instant::now();
    let limit = RateLimit::per_second(100).burst(10);
    let items = stream::iter([10, 0, 5, 35, 1, 0]).rate_limit_weighted(limit, |&cost| cost);
    let at: Vec<_> = items
        .map(|cost| (cost, start.elapsed().as_millis()))
        .collect()
        .await;
    assert_eq!(
        at,
        [(10, 0), (0, 0), (5, 50), (35, 400), (1, 410), (0, 410)]
    );
}

// guarantee: R6 (a panicking closure loses nothing)
#[tokio::test(start_paused = true)]
async fn a_panic_in_a_closure_keeps_the_item() {
    use std::panic::AssertUnwindSafe;
    let limit = RateLimit::per_second(10);
    let mut calls = 0;
    let mut cost = |_: &i32| {
        calls += 1;
        assert_ne!(calls, 2, "planned");
        1
    };
    let mut items = stream::iter([1, 2, 3]).rate_limit_weighted(limit, &mut cost);
    assert_eq!(items.next().await, Some(1));
    assert!(AssertUnwindSafe(items.next()).catch_unwind().await.is_err());
    assert_eq!(items.size_hint(), (2, Some(2)));
    assert_eq!(items.next().await, Some(2));
    assert_eq!(items.next().await, Some(3));
    drop(items);
    assert_eq!(calls, 4, "once for each item, once more for the one");

    let mut calls = 0;
    let mut items = stream::iter([1, 2]).rate_limit_by(limit, |&n| {
        calls += 1;
        assert_ne!(calls, 2, "planned");
        n
    });
    assert_eq!(items.next().await, Some(1));
    assert!(AssertUnwindSafe(items.next()).catch_unwind().await.is_err());
    assert_eq!(items.next().await, Some(2));
    assert_eq!(items.next().await, None);
}

// guarantee: R4
#[tokio::test(start_paused = true)]
async fn streams_share_a_limiter_and_follow_its_changes() {
    let limiter = RateLimiter::new(RateLimit::per_second(10).burst(1));
    let start = Instant::now();
    let one = stream::iter([1; 10])
        .rate_limit(&limiter)
        .map(|_| start.elapsed().as_millis());
    let two = stream::iter([1; 10])
        .rate_limit(limiter.clone())
        .map(|_| start.elapsed().as_millis());
    let change = async {
        sleep(ms(950)).await;
        limiter.set_limit(RateLimit::per_second(100).burst(1));
    };
    let (mut one, two, ()) = tokio::join!(one.collect::<Vec<_>>(), two.collect::<Vec<_>>(), change);
    assert_eq!(
        one,
        [0, 100, 300, 500, 700, 900, 965, 985, 1_005, 1_025],
        "turn and turn about"
    );
    one.extend(two);
    one.sort_unstable();
    let due: Vec<_> = (0..10)
        .map(|n| n * 100)
        .chain((0..10).map(|n| 955 + n * 10))
        .collect();
    assert_eq!(one, due);
}

// guarantee: R3 (a stream that waits and is not polled does not hold up the others on its limiter)
#[tokio::test(start_paused = true)]
async fn a_stream_left_alone_is_stepped_over() {
    let limiter = RateLimiter::new(RateLimit::per_second(10));
    let mut alone = stream::iter([1, 2]).rate_limit(&limiter);
    assert_eq!(alone.next().await, Some(1));
    assert!(
        alone.next().now_or_never().is_none(),
        "it waits, and then nobody polls it"
    );
    let start = Instant::now();
    let others: Vec<_> = stream::iter([1; 20])
        .rate_limit(&limiter)
        .map(|_| start.elapsed().as_millis())
        .collect()
        .await;
    // The first comes 100 ms after the other should have come; from then on nothing is lost.
    assert_eq!(others, (0..20).map(|n| 300 + n * 100).collect::<Vec<_>>());
    assert_eq!(alone.next().await, Some(2));
}

// guarantee: R6
#[tokio::test(start_paused = true)]
async fn policing_refuses_with_the_item_and_the_delay() {
    let start = Instant::now();
    let limit = RateLimit::per_second(10).burst(2);
    let items = stream::iter(1..=5).then(|n| async move {
        if n == 5 {
            sleep(ms(100)).await;
        }
        n
    });
    let policed: Vec<_> = items.police(limit).collect().await;
    let limited = |item| {
        Err(Limited {
            item,
            retry_after: ms(100),
        })
    };
    assert_eq!(policed, [Ok(1), Ok(2), limited(3), limited(4), Ok(5)]);
    assert_eq!(start.elapsed(), ms(100), "it never waits");

    let mut ended = stream::iter([1]).police(limit);
    assert_eq!(ended.size_hint(), (1, Some(1)));
    assert_eq!(
        (ended.next().await, ended.next().await),
        (Some(Ok(1)), None)
    );
    assert!(ended.is_terminated());
    assert_eq!(ended.next().await, None);
}

// guarantee: R6, R3 (policing does not overtake those who shape)
#[tokio::test(start_paused = true)]
async fn policing_beside_a_waiter() {
    let limiter = RateLimiter::new(RateLimit::per_second(10).burst(2));
    assert!(limiter.try_acquire(1).is_ok());
    let mut waiter = pin!(limiter.acquire_n(2));
    assert!(poll_once(waiter.as_mut()).is_pending());
    let mut policed = stream::iter([7]).police(&limiter);
    let limited = policed.next().await.unwrap().unwrap_err();
    assert_eq!((limited.item, limited.retry_after), (7, ms(200)));
}

// guarantee: Q8 (adaptors spend no budget)
#[tokio::test(start_paused = true)]
async fn adaptors_spend_no_budget() {
    let limit = RateLimit::per_second(u32::MAX);
    let mut shaped = stream::repeat(()).rate_limit(limit);
    let mut keyed = stream::repeat(1).rate_limit_by(limit, |&n| n);
    let mut policed = stream::repeat(()).police(limit);
    std::future::poll_fn(|cx| {
        for _ in 0..1_000 {
            assert!(shaped.poll_next_unpin(cx).is_ready());
            assert!(keyed.poll_next_unpin(cx).is_ready());
            assert!(policed.poll_next_unpin(cx).is_ready());
        }
        assert!(tokio::task::coop::has_budget_remaining());
        Poll::Ready(())
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_other_half_of_a_duplex_shows_through() {
    fn both() -> impl Stream<Item = u8> + futures::Sink<u8, Error = std::convert::Infallible> + Unpin
    {
        Duplex {
            sent: vec![],
            sink: futures::sink::drain(),
        }
    }
    struct Duplex {
        sent: Vec<u8>,
        sink: futures::sink::Drain<u8>,
    }
    impl Stream for Duplex {
        type Item = u8;
        fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<u8>> {
            Poll::Ready(self.sent.pop())
        }
    }
    impl futures::Sink<u8> for Duplex {
        type Error = std::convert::Infallible;
        fn poll_ready(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Result<(), Self::Error>> {
            self.sink.poll_ready_unpin(cx)
        }
        fn start_send(mut self: Pin<&mut Self>, item: u8) -> Result<(), Self::Error> {
            self.sent.push(item);
            Ok(())
        }
        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
            Poll::Ready(Ok(()))
        }
        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
            Poll::Ready(Ok(()))
        }
    }
    let limit = RateLimit::per_second(10);
    let start = Instant::now();

    let mut echo = both().rate_limit(limit);
    for n in 0..3 {
        echo.send(n).await.unwrap();
        assert_eq!(echo.next().await, Some(n));
    }
    assert_eq!(
        start.elapsed(),
        ms(200),
        "pulling is limited, pushing is not"
    );
    SinkExt::close(&mut echo).await.unwrap();

    let mut echo = both().rate_limit_by(limit, |&n| n);
    echo.send(1).await.unwrap();
    assert_eq!(echo.next().await, Some(1));
    SinkExt::close(&mut echo).await.unwrap();

    let mut echo = both().police(limit);
    echo.send(1).await.unwrap();
    assert_eq!(echo.next().await, Some(Ok(1)));
    SinkExt::close(&mut echo).await.unwrap();

    let mut echo = both().sink_rate_limit(limit);
    let start = Instant::now();
    for n in 0..3 {
        echo.send(n).await.unwrap();
        assert_eq!(echo.next().await, Some(n));
    }
    assert_eq!(start.elapsed(), ms(200), "pushing is limited");
}

#[tokio::test(start_paused = true)]
async fn debug_asks_nothing_of_items_and_closures() {
    struct Plain;
    let limit = RateLimit::per_second(1);
    let empty = || futures::channel::mpsc::channel::<Plain>(1).1;
    assert!(format!("{:?}", empty().rate_limit(limit)).starts_with("RateLimited {"));
    assert!(
        format!("{:?}", empty().rate_limit_weighted(limit, |_| 1)).starts_with("RateLimited {")
    );
    assert!(format!("{:?}", empty().rate_limit_by(limit, |_| 1)).starts_with("RateLimitedBy {"));
    assert!(format!("{:?}", empty().police(limit)).starts_with("Policed {"));
}
