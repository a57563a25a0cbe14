//! Rates.
//!
//! guarantee: T8

use std::panic::catch_unwind;
use std::time::Duration;

use futures::StreamExt;
use pushpull::prelude::*;
use pushpull::rate::{KeyedRateLimiter, RateLimit, RateLimiter};
use tokio::time::Instant;

#[test]
fn limits_of_nothing_panic() {
    for limit in [
        || RateLimit::per_second(0),
        || RateLimit::per_minute(0),
        || RateLimit::per(0, Duration::from_secs(1)),
        || RateLimit::per(1, Duration::ZERO),
        || RateLimit::per_second(1).burst(0),
    ] {
        assert!(catch_unwind(limit).is_err());
    }
}

/// Every corner of rate, period and burst.
fn corners() -> impl Iterator<Item = RateLimit> {
    let periods = [
        Duration::from_nanos(1),
        Duration::from_millis(1),
        Duration::from_secs(1),
        Duration::MAX,
    ];
    [1, 2, 1_000_000_000, u32::MAX - 1, u32::MAX]
        .into_iter()
        .flat_map(move |units| {
            periods.into_iter().flat_map(move |period| {
                [1, 2, u32::MAX].map(|burst| RateLimit::per(units, period).burst(burst))
            })
        })
}

#[tokio::test(start_paused = true)]
async fn the_bucket_holds_its_burst_at_every_corner_of_rate_period_and_burst() {
    // guarantee: R2
    for limit in corners() {
        let limiter = RateLimiter::new(limit);
        assert!(limiter.try_acquire(0).is_ok(), "{limit:?}");
        assert!(
            limiter.try_acquire(limit.max_burst()).is_ok(),
            "{limit:?}: full at the start"
        );
        let slow = limit.period() / limit.units().max(1) > Duration::from_nanos(1);
        if slow {
            let limited = limiter.try_acquire(1).expect_err("empty");
            assert!(limited.retry_after > Duration::ZERO, "{limit:?}");
        }
        assert!(
            limiter.try_acquire(u32::MAX).is_err() || limit.max_burst() == u32::MAX,
            "{limit:?}"
        );
        // A century of rest fills it, and no more.
        tokio::time::advance(Duration::from_secs(86_400)).await;
        let _ = limiter.try_acquire(limit.max_burst());
        limiter.set_limit(RateLimit::per_second(1));
        limiter.set_limit(limit);
    }
}

#[tokio::test(start_paused = true)]
async fn the_fastest_limits_let_their_rate_through() {
    // guarantee: R1
    for units in [1_000_000, u32::MAX] {
        let limiter = RateLimiter::new(RateLimit::per_second(units));
        limiter.acquire_n(units / 10).await;
        let begun = Instant::now();
        let mut passed = 0_u64;
        while begun.elapsed() < Duration::from_secs(1) {
            limiter.acquire_n(units / 100).await;
            passed += u64::from(units / 100);
        }
        let share = passed as f64 / f64::from(units);
        assert!((0.98..=1.02).contains(&share), "{units}: {share}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_slowest_limit_neither_passes_nor_overflows() {
    // guarantee: R1
    let limiter = RateLimiter::new(RateLimit::per(1, Duration::MAX));
    limiter.acquire().await;
    let year = Duration::from_secs(365 * 86_400);
    assert!(tokio::time::timeout(year, limiter.acquire()).await.is_err());
    assert!(
        tokio::time::timeout(year, limiter.acquire_n(u32::MAX))
            .await
            .is_err()
    );
    assert!(limiter.try_acquire(1).is_err());
    limiter.set_limit(RateLimit::per_second(u32::MAX).burst(u32::MAX));
    limiter.acquire().await;
}

#[tokio::test(start_paused = true)]
async fn costs_of_nothing_and_of_more_than_any_burst() {
    // guarantee: R3
    let limit = RateLimit::per_second(1_000).burst(1);
    let begun = Instant::now();
    let costs = [0, 0, u32::MAX / 1_000, 1, 0];
    let seen: Vec<u32> = futures::stream::iter(costs)
        .rate_limit_weighted(limit, |cost| *cost)
        .collect()
        .await;
    assert_eq!(seen, costs);
    let expected = f64::from(u32::MAX / 1_000) / 1_000.0;
    let off = (begun.elapsed().as_secs_f64() - expected).abs();
    assert!(off < 0.01, "{:?} instead of {expected} s", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_hundred_thousand_keys_leave_again() {
    let keyed = KeyedRateLimiter::new(RateLimit::per_second(10).burst(1));
    for key in 0..100_000_u32 {
        assert!(keyed.try_acquire(&key, 1).is_ok());
    }
    tokio::time::advance(Duration::from_secs(60)).await;
    for key in 0..1_000_u32 {
        assert!(keyed.try_acquire(&key, 1).is_ok());
    }
    tokio::time::advance(Duration::from_secs(60)).await;
    assert!(keyed.try_acquire(&0, 1).is_ok());
    assert!(
        keyed.len() < 100_000,
        "{} keys are still there",
        keyed.len()
    );
}
