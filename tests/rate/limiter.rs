//! The bucket as a limiter shows it.

use std::error::Error;
use std::pin::pin;

use pushpull::rate::{Limited, RateLimiter};
use tokio::time::{advance, sleep, timeout};

use super::*;

// guarantee: R2
#[test]
fn the_default_burst_is_100_ms_worth_and_at_least_1() {
    for (limit, burst) in [
        (RateLimit::per_second(1), 1),
        (RateLimit::per_second(10), 1),
        (RateLimit::per_second(19), 1),
        (RateLimit::per_second(20), 2),
        (RateLimit::per_second(1_000_000), 100_000),
        (RateLimit::per_second(u32::MAX), 429_496_729),
        (RateLimit::per_minute(599), 1),
        (RateLimit::per_minute(1_200), 2),
        (RateLimit::per(5, ms(100)), 5),
        (RateLimit::per(5, ms(10)), 50),
        (RateLimit::per(1, Duration::MAX), 1),
        (RateLimit::per(u32::MAX, Duration::from_nanos(1)), u32::MAX),
    ] {
        assert_eq!(limit.max_burst(), burst, "{limit:?}");
        assert_eq!(limit.burst(7).max_burst(), 7);
    }
    let limit = RateLimit::per_minute(5);
    assert_eq!(
        (limit.units(), limit.period()),
        (5, Duration::from_secs(60))
    );
}

#[track_caller]
fn panics(build: impl FnOnce() -> RateLimit + std::panic::UnwindSafe, message: &str) {
    let payload = std::panic::catch_unwind(build).expect_err("it was built");
    let text = payload.downcast_ref::<&str>().expect("a text");
    assert!(text.contains(message), "{text}");
}

#[test]
fn limits_of_nothing_panic() {
    panics(|| RateLimit::per_second(0), "at least 1 unit");
    panics(|| RateLimit::per_minute(0), "at least 1 unit");
    panics(|| RateLimit::per(0, SECOND), "at least 1 unit");
    panics(|| RateLimit::per(0, Duration::MAX), "at least 1 unit");
    panics(
        || RateLimit::per(1, Duration::ZERO),
        "period longer than zero",
    );
    panics(|| RateLimit::per_second(1).burst(0), "burst of at least 1");
}

// guarantee: R2
#[tokio::test(start_paused = true)]
async fn starts_full_and_never_holds_more_than_the_burst() {
    let limiter = RateLimiter::new(RateLimit::per_second(10).burst(5));
    assert_eq!(limiter.available(), 5);
    assert!(limiter.try_acquire(5).is_ok());
    assert!(limiter.try_acquire(1).is_err());
    advance(HOUR).await;
    assert_eq!(
        limiter.available(),
        5,
        "an hour of idling is worth one burst"
    );
    assert!(limiter.try_acquire(5).is_ok());
    assert!(limiter.try_acquire(1).is_err());
    advance(ms(250)).await;
    assert_eq!(limiter.available(), 2);
    assert!(limiter.try_acquire(3).is_err());
    assert!(limiter.try_acquire(2).is_ok());
    advance(ms(50)).await;
    assert!(limiter.try_acquire(1).is_ok(), "the half unit was not lost");
}

// guarantee: R1, R5
#[tokio::test(start_paused = true)]
async fn a_refusal_says_exactly_when() {
    let limiter = RateLimiter::new(RateLimit::per_second(3).burst(2));
    assert!(limiter.try_acquire(2).is_ok());
    let limited = limiter.try_acquire(1).unwrap_err();
    assert_eq!(limited.retry_after, Duration::from_nanos(333_333_334));
    advance(limited.retry_after - Duration::from_nanos(1)).await;
    assert_eq!(
        limiter.try_acquire(1).unwrap_err().retry_after,
        Duration::from_nanos(1)
    );
    advance(Duration::from_nanos(1)).await;
    assert!(limiter.try_acquire(1).is_ok());
}

// guarantee: R3 (never at once, but the time that `acquire_n` would take is told)
#[tokio::test(start_paused = true)]
async fn try_acquire_above_the_burst() {
    let limiter = RateLimiter::new(RateLimit::per_second(10).burst(5));
    let limited = limiter.try_acquire(25).unwrap_err();
    assert_eq!(limited.retry_after, Duration::from_secs(2));
    assert_eq!(limiter.available(), 5, "nothing was taken");
    let start = Instant::now();
    limiter.acquire_n(25).await;
    assert_eq!(start.elapsed(), limited.retry_after);
}

// guarantee: R3
#[tokio::test(start_paused = true)]
async fn a_cost_of_0_passes_whatever_the_level() {
    let limiter = RateLimiter::new(RateLimit::per_minute(1));
    limiter.acquire().await;
    let start = Instant::now();
    limiter.acquire_n(0).await;
    assert!(limiter.try_acquire(0).is_ok());
    assert_eq!(start.elapsed(), Duration::ZERO);
}

// guarantee: R4
#[tokio::test(start_paused = true)]
async fn clones_draw_on_the_same_bucket() {
    let limiter = RateLimiter::new(RateLimit::per_second(1).burst(3));
    let clone = RateLimiter::from(&limiter);
    assert!(limiter.try_acquire(2).is_ok());
    assert!(clone.clone().try_acquire(1).is_ok());
    assert!(limiter.try_acquire(1).is_err());
    clone.set_limit(RateLimit::per_second(2));
    assert_eq!(limiter.limit(), RateLimit::per_second(2));
    let other: RateLimiter = limiter.limit().into();
    assert!(other.try_acquire(1).is_ok(), "one of its own");
}

// guarantee: R4
#[tokio::test(start_paused = true)]
async fn a_new_limit_carries_the_level_over() {
    let limiter = RateLimiter::new(RateLimit::per_second(10).burst(10));
    assert!(limiter.try_acquire(6).is_ok());

    limiter.set_limit(RateLimit::per_second(1_000).burst(1_000));
    assert_eq!(limiter.available(), 4, "no refill");
    limiter.set_limit(RateLimit::per_minute(1).burst(3));
    assert_eq!(limiter.available(), 3, "cut at the new burst");
    limiter.set_limit(RateLimit::per_second(10).burst(10));
    assert_eq!(
        limiter.available(),
        3,
        "and what was cut does not come back"
    );
    for _ in 0..100 {
        limiter.set_limit(RateLimit::per_second(10).burst(10));
    }
    assert_eq!(limiter.available(), 3);
    advance(ms(100)).await;
    assert_eq!(limiter.available(), 4, "fills at the new rate");
}

// guarantee: R4 (parts of a unit are carried over as well)
#[tokio::test(start_paused = true)]
async fn a_new_limit_keeps_parts_of_units() {
    let limiter = RateLimiter::new(RateLimit::per_second(1));
    assert!(limiter.try_acquire(1).is_ok());
    advance(ms(750)).await;
    limiter.set_limit(RateLimit::per_minute(1));
    let limited = limiter.try_acquire(1).unwrap_err();
    assert_eq!(
        limited.retry_after,
        Duration::from_secs(15),
        "a quarter is missing"
    );
}

// guarantee: R1 (the fastest and the slowest limits are limits)
#[tokio::test(start_paused = true)]
async fn extremes() {
    let fastest = RateLimiter::new(RateLimit::per(u32::MAX, Duration::from_nanos(1)));
    assert!(fastest.try_acquire(u32::MAX).is_ok());
    assert!(fastest.try_acquire(1).is_err(), "no time has passed");

    let fast = RateLimiter::new(RateLimit::per_second(u32::MAX));
    assert!(fast.try_acquire(429_496_729).is_ok());
    assert!(fast.try_acquire(1).is_err());
    let start = Instant::now();
    fast.acquire_n(u32::MAX).await;
    assert_eq!(start.elapsed(), SECOND);

    let slow = RateLimiter::new(RateLimit::per(1, Duration::MAX));
    assert!(slow.try_acquire(1).is_ok());
    let limited = slow.try_acquire(1).unwrap_err();
    assert!(limited.retry_after > 100 * 365 * 24 * HOUR);
    assert!(timeout(24 * HOUR, slow.acquire_n(u32::MAX)).await.is_err());
    assert!(timeout(30 * 365 * 24 * HOUR, slow.acquire()).await.is_err());
    slow.set_limit(RateLimit::per_second(1));
    sleep(SECOND).await;
    assert!(slow.try_acquire(1).is_ok());

    let many = RateLimiter::new(RateLimit::per(u32::MAX, Duration::MAX).burst(u32::MAX));
    assert!(many.try_acquire(u32::MAX).is_ok());
    assert!(many.try_acquire(1).is_err());
    assert!(timeout(HOUR, many.acquire_n(u32::MAX)).await.is_err());
}

#[test]
fn a_limiter_works_outside_of_a_runtime_as_long_as_nobody_waits() {
    let limiter = RateLimiter::new(RateLimit::per_minute(1).burst(2));
    assert!(limiter.try_acquire(1).is_ok());
    futures::executor::block_on(limiter.acquire());
    assert!(limiter.try_acquire(1).is_err());
    let wait = || futures::executor::block_on(limiter.acquire());
    let waited = std::panic::catch_unwind(std::panic::AssertUnwindSafe(wait));
    assert!(waited.is_err(), "documented: panics without a timer");
    assert!(
        format!("{limiter:?}").contains("waiting: 0"),
        "and leaves the line"
    );
}

#[tokio::test(start_paused = true)]
async fn limited_is_an_error_and_gives_the_item_back() {
    struct NotDebug(u8);
    let limited = Limited {
        item: NotDebug(7),
        retry_after: ms(20),
    };
    assert_eq!(limited.to_string(), "over the rate limit, retry after 20ms");
    assert_eq!(format!("{limited:?}"), "Limited { retry_after: 20ms, .. }");
    let error: &dyn Error = &limited;
    assert!(error.source().is_none());
    assert_eq!(limited.into_item().0, 7);
}

// guarantee: R1, R4 (what is lent to those who come next is there for whoever asks)
#[tokio::test(start_paused = true)]
async fn a_loan_does_not_show() {
    let limiter = RateLimiter::new(RateLimit::per_second(1_000).burst(200_000));
    for used in 1..=1_000 {
        if used % 3 == 0 {
            limiter.acquire().await;
        } else {
            assert!(limiter.try_acquire(1).is_ok());
        }
        if used % 7 == 0 {
            assert_eq!(limiter.available(), 200_000 - used);
        }
    }
    assert!(limiter.try_acquire(1).is_ok());
    let limited = limiter.try_acquire(200_000).unwrap_err();
    assert_eq!(limited.retry_after, ms(1_001), "of 1,001 that are missing");
    assert!(limiter.try_acquire(1).is_ok());
    assert!(limiter.try_acquire(1).is_ok());
    limiter.set_limit(RateLimit::per_second(10).burst(100_000));
    assert_eq!(limiter.available(), 100_000);
    assert!(limiter.try_acquire(100_000).is_ok());
    assert!(limiter.try_acquire(1).is_err(), "and that is all");

    // The last of a full bucket, one by one: not one too many.
    let limiter = RateLimiter::new(RateLimit::per_second(1).burst(5_000));
    let taken = (0..10_000).filter(|_| limiter.try_acquire(1).is_ok());
    assert_eq!(taken.count(), 5_000);
}

// guarantee: R1, R2 (what was taken of a loan may be missing in the burst after a pause, and no more than that)
#[tokio::test(start_paused = true)]
async fn a_loan_over_a_pause() {
    for burst in [1_023, 1_024, 10_000, 1_000_000] {
        for used in 0..300 {
            let limiter = RateLimiter::new(RateLimit::per_second(100).burst(burst));
            (0..used).for_each(|_| assert!(limiter.try_acquire(1).is_ok()));
            advance(24 * HOUR).await;
            let (level, lent) = (limiter.available(), used.min(burst / 1_024).min(127));
            assert!(
                (burst - lent..=burst).contains(&level),
                "{level} of {burst}"
            );
            advance(SECOND * 2).await;
            assert_eq!(limiter.available(), burst, "it is made up for");
        }
    }
    // It counts as part of the burst: after a pause there is no burst on top of it.
    for used in 0..300 {
        let burst = 500_000;
        let limiter = RateLimiter::new(RateLimit::per_second(100).burst(burst));
        (0..used).for_each(|_| assert!(limiter.try_acquire(1).is_ok()));
        advance(24 * HOUR).await;
        (0..50).for_each(|_| assert!(limiter.try_acquire(1).is_ok()));
        assert!(limiter.try_acquire(burst - 50 + 1).is_err(), "after {used}");
        assert!(limiter.try_acquire(burst - 50 - 127).is_ok());
    }
    // Those who come now and then are lent nothing.
    let limiter = RateLimiter::new(RateLimit::per_second(1_000).burst(1_000_000));
    for _ in 0..1_000 {
        assert!(limiter.try_acquire(1).is_ok());
        advance(ms(1)).await;
        assert_eq!(limiter.available(), 1_000_000);
    }
}

// guarantee: R3 (who waits is not overtaken by those who are lent)
#[tokio::test(start_paused = true)]
async fn nothing_is_lent_while_somebody_waits() {
    let limiter = RateLimiter::new(RateLimit::per_second(1_000).burst(100_000));
    (0..10).for_each(|_| assert!(limiter.try_acquire(1).is_ok()));
    let mut waiter = pin!(limiter.acquire_n(100_000));
    assert!(poll_once(waiter.as_mut()).is_pending());
    assert!(limiter.try_acquire(1).is_err());
    assert!(poll_once(pin!(limiter.acquire()).as_mut()).is_pending());
    advance(ms(10)).await;
    assert!(poll_once(waiter.as_mut()).is_ready(), "all are there");
    assert!(limiter.try_acquire(1).is_err());
}

// guarantee: Q8 (a limit that never binds does not keep the others from running)
#[tokio::test(start_paused = true)]
async fn acquire_spends_the_budget() {
    let limiter = RateLimiter::new(RateLimit::per_second(u32::MAX).burst(u32::MAX));
    let other = tokio::spawn(async {});
    for _ in 0..10_000 {
        limiter.acquire().await;
    }
    assert!(
        other.is_finished(),
        "10,000 acquires and the neighbour never ran"
    );
}
