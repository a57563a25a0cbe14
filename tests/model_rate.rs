//! Rates against governor, against an ideal bucket, and against the window of their definition, with random steps.
#![cfg(feature = "rate")]

use std::num::NonZeroU32;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::stream::{self, StreamExt};
use governor::clock::FakeRelativeClock;
use governor::{Quota, RateLimiter as Governor};
use proptest::prelude::*;
use pushpull::prelude::*;
use pushpull::rate::{KeyedRateLimiter, RateLimit, RateLimiter};
use tokio::time::{Instant, advance, sleep, sleep_until, timeout};

const NANO: Duration = Duration::from_nanos(1);
const MILLI: Duration = Duration::from_millis(1);

fn on_paused_time(
    test: impl Future<Output = Result<(), TestCaseError>>,
) -> Result<(), TestCaseError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime")
        .block_on(test)
}

/// `PROPTEST_CASES` says how many cases; 256 unless it is set.
fn config() -> ProptestConfig {
    ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// Pauses of every size that matters beside a timer's millisecond.
fn pauses() -> impl Strategy<Value = Duration> {
    prop_oneof![
        3 => Just(Duration::ZERO),
        1 => (1..1_000_u64).prop_map(Duration::from_nanos),
        2 => (1..100_000_u64).prop_map(Duration::from_micros),
        1 => (1..100_000_u64).prop_map(Duration::from_millis),
    ]
}

fn limits() -> impl Strategy<Value = RateLimit> {
    let units = prop_oneof![1..20_u32, 1..10_000_u32, Just(1_000_000)];
    let period = prop_oneof![
        Just(Duration::from_secs(1)),
        Just(Duration::from_secs(60)),
        (1..2_000_000_000_u64).prop_map(Duration::from_nanos),
    ];
    (units, period, 1..200_u32)
        .prop_map(|(units, period, burst)| RateLimit::per(units, period).burst(burst))
}

/// A bucket as its definition has it. A unit is `period` parts; `units` parts come in a nanosecond.
struct Ideal {
    limit: RateLimit,
    parts: i128,
    now: Instant,
}

impl Ideal {
    fn new(limit: RateLimit, now: Instant) -> Self {
        let mut full = Self {
            limit,
            parts: 0,
            now,
        };
        full.parts = full.cost(limit.max_burst());
        full
    }

    fn cost(&self, units: u32) -> i128 {
        i128::from(units) * self.limit.period().as_nanos() as i128
    }

    fn go_to(&mut self, now: Instant) {
        let nanos = (now - self.now).as_nanos() as i128;
        self.parts = (self.parts + nanos * i128::from(self.limit.units()))
            .min(self.cost(self.limit.max_burst()));
        self.now = now;
    }

    /// When the level is at least this.
    fn reaches(&self, parts: i128) -> Instant {
        let missing = (parts - self.parts).max(0);
        let units = i128::from(self.limit.units());
        self.now
            + Duration::from_nanos(
                u64::try_from((missing + units - 1) / units).expect("years at most"),
            )
    }
}

proptest! {
    #![proptest_config(config())]

    // guarantee: R7 (the same answers and the same waits as governor's, where it is exact)
    #[test]
    fn answers_as_governor_does(
        interval in prop_oneof![Just(1_u64), Just(250), Just(1_000), Just(1_000_000), Just(100_000_000)],
        burst in prop_oneof![1..50_u32, Just(5_000_000)],
        keyed: bool,
        steps in prop::collection::vec((pauses(), 1..60_u32), 1..80),
    ) {
        on_paused_time(async {
            let limit = RateLimit::per(1, Duration::from_nanos(interval)).burst(burst);
            let (ours, by_key) = (RateLimiter::new(limit), KeyedRateLimiter::new(limit));
            let clock = FakeRelativeClock::default();
            let burst = NonZeroU32::new(burst).expect("not 0");
            let quota = Quota::with_period(Duration::from_nanos(interval)).expect("not 0").allow_burst(burst);
            let governor = Governor::direct_with_clock(quota, clock.clone());
            for (pause, cost) in steps {
                advance(pause).await;
                clock.advance(pause);
                let cost = (cost - 1) % burst + 1;
                let answer = if keyed { by_key.try_acquire(&(), cost) } else { ours.try_acquire(cost) };
                let expected = governor.check_n(NonZeroU32::new(cost).expect("not 0")).expect("within the burst");
                match (answer, expected) {
                    (Ok(()), Ok(())) => {}
                    (Err(limited), Err(until)) => {
                        let wait = until.wait_time_from(governor::clock::Clock::now(&clock));
                        prop_assert_eq!(limited.retry_after, wait);
                    }
                    (ours, governors) => {
                        return Err(TestCaseError::fail(format!("{ours:?}, but governor: {governors:?}")));
                    }
                }
            }
            Ok(())
        })?;
    }

    // guarantee: R1, R2, R4 (also across changes of the limit)
    #[test]
    fn the_level_is_the_ideal_one(
        first in limits(),
        steps in prop::collection::vec((pauses(), 0..220_u32, prop::option::weighted(0.1, limits())), 1..80),
    ) {
        on_paused_time(async {
            let limiter = RateLimiter::new(first);
            let mut ideal = Ideal::new(first, Instant::now());
            // What carrying over parts of another size may have cost, in units.
            let mut lost = 0.0;
            for (pause, cost, change) in steps {
                advance(pause).await;
                ideal.go_to(Instant::now());
                if let Some(limit) = change {
                    limiter.set_limit(limit);
                    let (old, new) = (ideal.limit.period().as_nanos(), limit.period().as_nanos());
                    ideal.limit = limit;
                    let level = (ideal.parts as f64 / old as f64 * new as f64) as i128;
                    ideal.parts = level.min(ideal.cost(limit.max_burst()));
                    lost += 1e-6;
                }
                let level = ideal.parts as f64 / ideal.limit.period().as_nanos() as f64;
                let (least, most) = ((level - lost).floor().max(0.0), (level + lost).floor());
                let available = f64::from(limiter.available());
                prop_assert!((least..=most).contains(&available), "{available}, should be {level}");
                let passes = limiter.try_acquire(cost).is_ok();
                if lost == 0.0 {
                    prop_assert_eq!(passes, cost == 0 || ideal.cost(cost) <= ideal.parts);
                }
                if passes {
                    ideal.parts -= ideal.cost(cost);
                }
            }
            Ok(())
        })?;
    }

    // guarantee: R1, R3, R6 (each item as early as the limit allows, to the timer's millisecond; all, in order)
    #[test]
    fn each_item_passes_at_its_time(
        limit in limits(),
        shared: bool,
        items in prop::collection::vec((pauses(), prop_oneof![8 => 0..30_u32, 1 => 0..1_000_u32]), 1..60),
    ) {
        on_paused_time(async {
            let start = Instant::now();
            let limiter = RateLimiter::new(limit);
            let other = shared.then(|| limiter.clone());
            let mut at = start;
            let arrivals: Vec<_> = items.iter().map(|&(pause, cost)| { at += pause; (at, cost) }).collect();
            let input = stream::iter(arrivals.clone()).then(|(at, cost)| async move {
                if at > Instant::now() {
                    sleep_until(at).await;
                }
                (at, cost)
            });
            let mut passed = pin!(input.rate_limit_weighted(limiter, |&(_, cost)| cost));
            let mut ideal = Ideal::new(limit, start);
            let tick = |at: Instant| start + MILLI * u32::try_from((at - start).as_nanos().div_ceil(MILLI.as_nanos())).unwrap();
            for (arrival, cost) in arrivals {
                let polled = if arrival > ideal.now { tick(arrival) } else { ideal.now };
                prop_assert_eq!(passed.next().await, Some((arrival, cost)));
                let now = Instant::now();
                ideal.go_to(polled);
                let due = if cost > limit.max_burst() {
                    ideal.parts -= ideal.cost(cost);
                    ideal.reaches(0)
                } else {
                    ideal.reaches(ideal.cost(cost))
                };
                let latest = if cost == 0 || due == polled { polled } else { tick(due) };
                prop_assert!(cost == 0 || now >= due, "{:?} too early", due - now);
                prop_assert!(now <= latest, "{:?} too late", now - latest);
                ideal.go_to(now);
                if cost <= limit.max_burst() {
                    ideal.parts -= ideal.cost(cost);
                }
            }
            prop_assert_eq!(passed.next().await, None);
            drop(other);
            Ok(())
        })?;
    }

    // guarantee: R1, R3, R4 (many tasks on one limiter, some of which give up or are late: no window sees too much, and
    // whoever stays is served in the order of coming)
    #[test]
    fn no_window_sees_too_much(
        limit in limits(),
        tasks in prop::collection::vec(
            (pauses(), 1..40_u32, prop::option::weighted(0.3, pauses()), 0..4_u32),
            1..60,
        ),
        ahead in 0..400_u32,
    ) {
        on_paused_time(async {
            let limiter = RateLimiter::new(limit);
            let passes = Arc::new(Mutex::new(Vec::new()));
            let mut handles = vec![];
            for (n, (pause, cost, patience, kind)) in tasks.into_iter().enumerate() {
                sleep(pause.min(Duration::from_millis(50))).await;
                let (limiter, passes) = (limiter.clone(), Arc::clone(&passes));
                let cost = if kind == 0 { 1 } else { cost.min(limit.max_burst()) };
                handles.push(tokio::spawn(async move {
                    let pass = |order| passes.lock().unwrap().push((order, Instant::now(), cost));
                    match kind {
                        0 => {
                            let mut one = pin!(stream::iter([()]).rate_limit(&limiter));
                            one.next().await;
                            pass(Some(n));
                        }
                        1 => {
                            if limiter.try_acquire(cost).is_ok() {
                                pass(None);
                            }
                        }
                        _ => {
                            let acquired = limiter.acquire_n(cost);
                            let stays = match patience {
                                None => { acquired.await; true }
                                Some(patience) => timeout(patience, acquired).await.is_ok(),
                            };
                            if stays {
                                pass(Some(n));
                            }
                        }
                    }
                }));
                tokio::task::yield_now().await;
            }
            for handle in handles {
                handle.await.expect("no panic");
            }
            // A stream of its own afterwards, which pays in advance where the burst is great enough.
            let mut passes = std::mem::take(&mut *passes.lock().unwrap());
            let mut own = pin!(stream::repeat(()).rate_limit(limiter));
            for _ in 0..ahead {
                own.next().await;
                passes.push((None, Instant::now(), 1));
            }
            let waited: Vec<_> = passes.iter().filter_map(|&(order, ..)| order).collect();
            prop_assert!(waited.is_sorted(), "{waited:?}");
            assert_within(limit, &passes)
        })?;
    }

    // guarantee: R1, R2 (paying in advance, with random pauses of the input and of the consumer)
    #[test]
    fn no_window_sees_too_much_ahead(
        units in prop_oneof![Just(30_000_u32), Just(1_000_000), 10_000..100_000_u32],
        burst in 256..10_000_u32,
        runs in prop::collection::vec((1..6_000_u32, any::<bool>(), pauses()), 1..4),
    ) {
        on_paused_time(async {
            let limit = RateLimit::per_second(units).burst(burst);
            let (tx, rx) = futures::channel::mpsc::unbounded();
            let mut passed = pin!(rx.rate_limit_weighted(limit, |&cost| cost));
            let mut passes: Vec<(Option<usize>, Instant, u32)> = vec![];
            for (run, ends, pause) in runs {
                for n in 0..run {
                    tx.unbounded_send(1 + n % 3).expect("open");
                }
                let left = if ends { 0 } else { run / 2 };
                for _ in left..run {
                    let cost = passed.next().await.expect("open");
                    // What passes at one time is one entry.
                    match passes.last_mut() {
                        Some((_, at, sum)) if *at == Instant::now() => *sum += cost,
                        _ => passes.push((None, Instant::now(), cost)),
                    }
                }
                if ends {
                    let _ = futures::poll!(passed.next()); // it may settle
                }
                sleep(pause).await;
            }
            assert_within(limit, &passes)
        })?;
    }

    // guarantee: R1, R2, R3 (units lent to whoever comes next, taken in every way by turns, with pauses anywhere)
    #[test]
    fn no_window_sees_too_much_lent(
        units in prop_oneof![Just(30_000_u32), Just(1_000_000), 10_000..100_000_u32],
        burst in 1_024..300_000_u32,
        runs in prop::collection::vec((0..4_u8, 1..400_u32, 1..4_u32, pauses()), 1..30),
        drain: bool,
    ) {
        on_paused_time(async {
            let limit = RateLimit::per_second(units).burst(burst);
            let limiter = RateLimiter::new(limit);
            let mut stream = pin!(stream::repeat(()).rate_limit(&limiter));
            let mut passes: Vec<(Option<usize>, Instant, u32)> = vec![];
            let mut pass = |cost| match passes.last_mut() {
                Some((_, at, sum)) if *at == Instant::now() => *sum += cost,
                _ => passes.push((None, Instant::now(), cost)),
            };
            for (kind, count, cost, pause) in runs {
                if drain {
                    let level = limiter.available();
                    prop_assert!(limiter.try_acquire(level).is_ok());
                    pass(level);
                }
                for _ in 0..count {
                    let before = limiter.available();
                    match kind {
                        0 if limiter.try_acquire(cost).is_ok() => pass(cost),
                        0 => prop_assert!(before < cost, "refused {cost} of {before}"),
                        1 => {
                            limiter.acquire_n(cost).await;
                            pass(cost);
                        }
                        2 => {
                            stream.next().await;
                            pass(1);
                        }
                        // Nobody looks in between.
                        _ => {
                            for _ in 0..5 {
                                if limiter.try_acquire(cost).is_ok() {
                                    pass(cost);
                                }
                                limiter.acquire().await;
                                pass(1);
                                stream.next().await;
                                pass(1);
                            }
                        }
                    }
                }
                sleep(pause).await;
            }
            assert_within(limit, &passes)
        })?;
    }
}

/// Between any two passes, both included, no more than burst + rate x time.
fn assert_within(
    limit: RateLimit,
    passes: &[(Option<usize>, Instant, u32)],
) -> Result<(), TestCaseError> {
    let period = limit.period().as_nanos();
    for (first, &(_, from, _)) in passes.iter().enumerate() {
        let mut sum = 0;
        for &(_, at, cost) in &passes[first..] {
            sum += u128::from(cost) * period;
            let nanos = at.duration_since(from).as_nanos();
            let most = u128::from(limit.max_burst()) * period + nanos * u128::from(limit.units());
            prop_assert!(sum <= most, "{sum} of {most} parts in {nanos} ns");
        }
    }
    Ok(())
}

#[test]
fn the_ideal_bucket_is_one() {
    let start = Instant::now();
    let mut ideal = Ideal::new(RateLimit::per_second(3).burst(2), start);
    ideal.parts -= ideal.cost(2);
    assert_eq!(
        ideal.reaches(ideal.cost(1)),
        start + Duration::from_nanos(333_333_334)
    );
    ideal.go_to(start + Duration::from_nanos(333_333_334) - NANO);
    assert!(ideal.parts < ideal.cost(1));
    ideal.go_to(start + Duration::from_secs(60));
    assert_eq!(ideal.parts, ideal.cost(2));
}
