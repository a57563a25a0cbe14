//! Rate limits: what asking costs where there is always enough, and how well a limit that binds is reached.

use std::future::Ready;
use std::num::NonZeroU32;
use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{Stream, StreamExt, stream};
use governor::prelude::StreamRateLimitExt;
use governor::{DefaultDirectRateLimiter as Governor, Quota};
use leaky_bucket::RateLimiter as LeakyBucket;
use pushpull::PullExt;
use pushpull::rate::{RateLimit, RateLimiter};

use crate::cpu::CpuTime;
use crate::harness::{Case, Contender};
use crate::race::{Mode, Tally, current_thread, race, share};

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let modes = [(Mode::Ct, 1), (Mode::Mt2, 2)];
    for (mode, tasks) in modes {
        let column = format!("{} x{tasks}", mode.name());
        for (name, contenders) in [
            ("now or not", now_or_not(mode, tasks)),
            ("waiting for it", waiting(mode, tasks)),
            ("on a stream", on_a_stream(mode, tasks)),
        ] {
            cases.push(
                Case::new(format!("does not bind/{name}"), mode.name(), contenders).column(
                    "a limit that does not bind, shared by the tasks",
                    format!("{column}, {name}"),
                ),
            );
        }
    }
    for (name, contenders) in [
        ("time per unit after the burst", binding(|took, _| took)),
        ("CPU time per unit after the burst", binding(|_, cpu| cpu)),
    ] {
        let case = Case::new(format!("binds at 1,000,000/s/{name}"), "CT", contenders);
        cases.push(case.items(BINDING).column(
            "a limit of 1,000,000/s, which should take 1000 ns a unit",
            name,
        ));
    }
    cases
}

/// More than any round asks for, so that everybody finds enough, at a rate at which it is soon there again.
const PLENTY: RateLimit = RateLimit::per_second(1_000_000_000).burst(u32::MAX);

fn governor(rate: u32, burst: u32) -> Governor {
    let nonzero = |n| NonZeroU32::new(n).expect("not zero");
    Governor::direct(Quota::per_second(nonzero(rate)).allow_burst(nonzero(burst)))
}

fn governor_of_plenty() -> Arc<Governor> {
    Arc::new(governor(PLENTY.units(), PLENTY.max_burst()))
}

/// As long as the bucket is not empty this one never looks at a clock, and it is made so that it never is.
fn leaky_bucket_of_plenty() -> Arc<LeakyBucket> {
    let bucket = LeakyBucket::builder()
        .max(PLENTY.max_burst() as usize)
        .initial(PLENTY.max_burst() as usize)
        .refill(1_000_000)
        .interval(Duration::from_millis(1))
        .build();
    Arc::new(bucket)
}

/// Runs tasks that share the work: each answers what it has got through.
fn tasks<F>(mode: Mode, items: u64, tasks: usize, task: impl Fn(Range<u64>) -> F) -> Duration
where
    F: Future<Output = Tally> + Send + 'static,
{
    let tasks = (0..tasks).map(|index| task(share(items, tasks, index)));
    race(mode, items, Vec::<Ready<()>>::new(), tasks.collect())
}

fn now_or_not(mode: Mode, count: usize) -> Vec<Contender> {
    vec![
        Contender::ours(move |items| {
            let limiter = RateLimiter::new(PLENTY);
            tasks(mode, items, count, |share| {
                let limiter = limiter.clone();
                async move { tally(share, || limiter.try_acquire(1).is_ok()) }
            })
        }),
        Contender::peer("governor", move |items| {
            let limiter = governor_of_plenty();
            tasks(mode, items, count, |share| {
                let limiter = limiter.clone();
                async move { tally(share, || limiter.check().is_ok()) }
            })
        }),
        Contender::peer("leaky-bucket", move |items| {
            let limiter = leaky_bucket_of_plenty();
            tasks(mode, items, count, |share| {
                let limiter = limiter.clone();
                async move { tally(share, || limiter.try_acquire(1)) }
            })
        }),
    ]
}

fn tally(share: Range<u64>, mut pass: impl FnMut() -> bool) -> Tally {
    let mut tally = Tally::default();
    for number in share {
        assert!(pass(), "refused");
        tally.add(number);
    }
    tally
}

fn waiting(mode: Mode, count: usize) -> Vec<Contender> {
    vec![
        Contender::ours(move |items| {
            let limiter = RateLimiter::new(PLENTY);
            tasks(mode, items, count, |share| {
                let limiter = limiter.clone();
                async move {
                    let mut tally = Tally::default();
                    for number in share {
                        limiter.acquire().await;
                        tally.add(number);
                    }
                    tally
                }
            })
        }),
        Contender::peer("governor", move |items| {
            let limiter = governor_of_plenty();
            tasks(mode, items, count, |share| {
                let limiter = limiter.clone();
                async move {
                    let mut tally = Tally::default();
                    for number in share {
                        limiter.until_ready().await;
                        tally.add(number);
                    }
                    tally
                }
            })
        }),
        Contender::peer("leaky-bucket", move |items| {
            let limiter = leaky_bucket_of_plenty();
            tasks(mode, items, count, |share| {
                let limiter = limiter.clone();
                async move {
                    let mut tally = Tally::default();
                    for number in share {
                        limiter.acquire_one().await;
                        tally.add(number);
                    }
                    tally
                }
            })
        }),
    ]
}

async fn drain(stream: impl Stream<Item = u64>) -> Tally {
    let mut stream = pin!(stream);
    let mut tally = Tally::default();
    while let Some(number) = stream.next().await {
        tally.add(number);
    }
    tally
}

/// leaky-bucket has no stream of its own.
fn on_a_stream(mode: Mode, count: usize) -> Vec<Contender> {
    vec![
        Contender::ours(move |items| {
            let limiter = RateLimiter::new(PLENTY);
            // Where there is one task the limiter is its own, as in `rate_limit(RateLimit::per_second(..))`.
            if count == 1 {
                return tasks(mode, items, count, |share| {
                    drain(stream::iter(share).rate_limit(PLENTY))
                });
            }
            tasks(mode, items, count, |share| {
                drain(stream::iter(share).rate_limit(&limiter))
            })
        }),
        Contender::peer("governor", move |items| {
            let limiter = governor_of_plenty();
            tasks(mode, items, count, |share| {
                let limiter = limiter.clone();
                async move { drain(stream::iter(share).ratelimit_stream(&limiter)).await }
            })
        }),
    ]
}

/// Units in a round of a limit that binds, and how many of them are there at its start.
const BINDING: u64 = 150_000;
const BURST: u64 = 10_000;

/// Units are taken one by one as they come, on one thread.
fn binding(figure: fn(Duration, Duration) -> Duration) -> Vec<Contender> {
    vec![
        Contender::ours(move |units| {
            take(units, figure, |burst| async move {
                let limiter = RateLimiter::new(RateLimit::per_second(1_000_000).burst(burst));
                for _ in 0..units {
                    limiter.acquire().await;
                }
            })
        }),
        Contender::info("pushpull (stream)", move |units| {
            take(units, figure, |burst| async move {
                let limit = RateLimit::per_second(1_000_000).burst(burst);
                let tally = drain(stream::iter(0..units).rate_limit(limit)).await;
                assert_eq!(tally, Tally::below(units));
            })
        }),
        Contender::peer("governor", move |units| {
            take(units, figure, |burst| async move {
                let limiter = governor(1_000_000, burst);
                for _ in 0..units {
                    limiter.until_ready().await;
                }
            })
        }),
        Contender::peer("governor (stream)", move |units| {
            take(units, figure, |burst| async move {
                let limiter = governor(1_000_000, burst);
                let tally = drain(stream::iter(0..units).ratelimit_stream(&limiter)).await;
                assert_eq!(tally, Tally::below(units));
            })
        }),
        Contender::peer("leaky-bucket", move |units| {
            take(units, figure, |burst| async move {
                let limiter = LeakyBucket::builder()
                    .max(burst as usize)
                    .initial(burst as usize)
                    .refill(1_000)
                    .interval(Duration::from_millis(1))
                    .build();
                for _ in 0..units {
                    limiter.acquire_one().await;
                }
            })
        }),
    ]
}

/// Measures the time and the CPU time of taking all units with a burst that is a small part of them, and answers as if
/// those of the burst had cost what the others did.
fn take<F: Future<Output = ()>>(
    units: u64,
    figure: fn(Duration, Duration) -> Duration,
    taking: impl FnOnce(u32) -> F,
) -> Duration {
    let burst = BURST.min(units / 2);
    let after = units - burst;
    let (took, cpu) = current_thread().block_on(async {
        let (from, used) = (Instant::now(), CpuTime::now());
        taking(burst as u32).await;
        (from.elapsed(), used.elapsed())
    });
    let least = Duration::from_micros(after * 99 / 100);
    assert!(took >= least, "the limit did not hold: {units} in {took:?}");
    figure(took, cpu).mul_f64(units as f64 / after as f64)
}
