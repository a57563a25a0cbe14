//! One bucket under threads: what is lent without the line's lock is neither lost nor there twice.
#![cfg(feature = "rate")]

use std::pin::pin;
use std::time::{Duration, Instant};

use futures::stream::{self, StreamExt};
use pushpull::prelude::*;
use pushpull::rate::{RateLimit, RateLimiter};

// guarantee: R1 (threads that draw on one bucket, and look into it meanwhile, get each unit once)
#[test]
fn threads_share_every_unit() {
    let burst = 40_000;
    let limiter = RateLimiter::new(RateLimit::per(1, Duration::MAX).burst(burst));
    let taken: Vec<u32> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4_u32)
            .map(|thread| {
                let limiter = &limiter;
                scope.spawn(move || {
                    let (mut taken, mut calls) = (0, 0);
                    while limiter.try_acquire(1).is_ok() {
                        taken += 1;
                        calls += 1;
                        if thread == 0 && calls % 50 == 0 {
                            assert!(limiter.available() <= burst - taken);
                        }
                        if thread == 1 && calls % 9 == 0 && limiter.try_acquire(3).is_ok() {
                            taken += 3;
                        }
                    }
                    taken
                })
            })
            .collect();
        let results = threads.into_iter().map(|thread| thread.join());
        results.map(|taken| taken.expect("no panic")).collect()
    });
    assert_eq!(taken.iter().sum::<u32>(), burst, "{taken:?}");
    assert_eq!(limiter.available(), 0);
}

// guarantee: R1, R3 (in every way at once, waiting too: however long it took, no more than that time allows)
#[test]
fn no_more_passes_than_the_time_allows() {
    let (rate, burst, each) = (1_000_000, 20_000, 25_000_u32);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_time()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let limiter = RateLimiter::new(RateLimit::per_second(rate).burst(burst));
        let start = Instant::now();
        let tasks: Vec<_> = (0..6)
            .map(|task| {
                let limiter = limiter.clone();
                tokio::spawn(async move {
                    let mut shaped = pin!(stream::repeat(()).rate_limit(&limiter));
                    let mut passed = 0;
                    while passed < each {
                        match task {
                            0 | 1 => limiter.acquire().await,
                            2 => limiter.acquire_n(5).await,
                            3 => shaped.next().await.expect("endless"),
                            _ if limiter.try_acquire(1).is_ok() => {}
                            _ => {
                                tokio::task::yield_now().await;
                                continue;
                            }
                        }
                        passed += if task == 2 { 5 } else { 1 };
                    }
                    passed
                })
            })
            .collect();
        let mut passed = 0;
        for task in tasks {
            passed += task.await.expect("no panic");
        }
        let allowed = f64::from(burst) + start.elapsed().as_secs_f64() * f64::from(rate);
        assert!(f64::from(passed) <= allowed, "{passed} of {allowed}");
        assert_eq!(passed, 6 * each);
        // Nothing is kept back: the bucket is full again in its time.
        tokio::time::sleep(Duration::from_micros(20_001)).await;
        assert!(limiter.available() >= burst - burst / 1_024);
    });
}
