//! Time in a queue: which items are timed, and what the times come to.

use std::fmt;
use std::time::Duration;

pub(crate) use times::{Sampler, TimeInQueue};

/// How long sampled items stayed. Without a sample, all times are zero.
///
/// `count`, `min` and `max` are exact; the others are at most one percent too high, as they come out of a histogram with
/// two significant digits (HdrHistogram), whose range ends at an hour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Percentiles {
    /// How many items were timed.
    pub count: u64,
    /// The shortest time.
    #[cfg_attr(feature = "serde", serde(serialize_with = "super::seconds"))]
    pub min: Duration,
    /// Half of the items stayed no longer.
    #[cfg_attr(feature = "serde", serde(serialize_with = "super::seconds"))]
    pub p50: Duration,
    /// Nine in ten stayed no longer.
    #[cfg_attr(feature = "serde", serde(serialize_with = "super::seconds"))]
    pub p90: Duration,
    /// Ninety-nine in a hundred stayed no longer.
    #[cfg_attr(feature = "serde", serde(serialize_with = "super::seconds"))]
    pub p99: Duration,
    /// The longest time.
    #[cfg_attr(feature = "serde", serde(serialize_with = "super::seconds"))]
    pub max: Duration,
}

impl fmt::Display for Percentiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            count,
            min,
            p50,
            p90,
            p99,
            max,
        } = self;
        write!(
            f,
            "{count} samples: min {min:?}, p50 {p50:?}, p90 {p90:?}, p99 {p99:?}, max {max:?}"
        )
    }
}

/// What a queue has counted at the end of a critical section, as far as its [`Sampler`] is concerned.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Passed {
    /// Items that have entered, those still queued included.
    pub(crate) entered: u64,
    /// Items that have left to be dropped.
    pub(crate) dropped: u64,
    /// Items queued.
    pub(crate) len: usize,
}

#[cfg(feature = "histogram")]
mod times {
    use std::sync::{Mutex, PoisonError};
    use std::time::Duration;

    use hdrhistogram::Histogram;
    use tokio::time::Instant;

    use super::{Passed, Percentiles};

    /// One item in so many is timed, on average.
    const EVERY: u64 = 64;

    /// An hour in nanoseconds, where the histogram ends.
    const LONGEST: u64 = 3_600_000_000_000;

    /// Picks items to be timed, one after the other has left, so that no item carries a time stamp. Lives under the
    /// queue's lock, where it knows items by number: they leave in the order in which they entered.
    #[derive(Clone, Debug)]
    pub(crate) struct Sampler {
        timed: Option<(u64, Instant)>,
        /// No item before this one is picked.
        next: u64,
        seen: Passed,
        random: u64,
    }

    impl Sampler {
        pub(crate) const fn new() -> Self {
            let seen = Passed {
                entered: 0,
                dropped: 0,
                len: 0,
            };
            Self {
                timed: None,
                next: 0,
                seen,
                random: 0x9E37_79B9_7F4A_7C15,
            }
        }

        /// Called at the end of each critical section. Answers how long the timed item stayed, if it was pulled: to be
        /// recorded after the lock is released. Asks for the time only where an item begins or ends to be timed.
        #[inline]
        pub(crate) fn observe(
            &mut self,
            passed: Passed,
            now: impl Fn() -> Instant,
        ) -> Option<Duration> {
            let mut stayed = None;
            let left = passed.entered - passed.len as u64;
            if let Some((number, since)) = self.timed.filter(|&(number, _)| number < left) {
                self.timed = None;
                self.next = number + self.stride();
                if passed.dropped == self.seen.dropped {
                    stayed = Some(now().saturating_duration_since(since));
                }
            }
            // What has left again in the same section was never queued.
            let first = self.seen.entered.max(left);
            if self.timed.is_none() && passed.entered > self.next.max(first) {
                let number = if self.next >= first {
                    self.next
                } else {
                    self.any(first, passed.entered)
                };
                self.timed = Some((number, now()));
            }
            self.seen = passed;
            stayed
        }

        /// Neither the first nor the last of a run is like the others.
        fn any(&mut self, first: u64, end: u64) -> u64 {
            if end - first == 1 {
                first
            } else {
                first + self.random() % (end - first)
            }
        }

        /// From one timed item to the next: around [`EVERY`], and uneven, so that no rhythm of the input hides.
        fn stride(&mut self) -> u64 {
            1 + self.random() % (2 * EVERY - 1)
        }

        /// Marsaglia, "Xorshift RNGs", 2003.
        fn random(&mut self) -> u64 {
            self.random ^= self.random << 13;
            self.random ^= self.random >> 7;
            self.random ^= self.random << 17;
            self.random
        }
    }

    /// The times of sampled items, under a lock of its own that is taken once in a sample.
    #[derive(Debug)]
    pub(crate) struct TimeInQueue {
        inner: Mutex<Inner>,
    }

    #[derive(Debug)]
    struct Inner {
        nanos: Histogram<u32>,
        min: Duration,
        max: Duration,
    }

    impl TimeInQueue {
        pub(crate) fn new() -> Self {
            let nanos = Histogram::new_with_bounds(1, LONGEST, 2)
                .expect("the bounds are constants within the histogram's limits");
            Self {
                inner: Mutex::new(Inner {
                    nanos,
                    min: Duration::MAX,
                    max: Duration::ZERO,
                }),
            }
        }

        pub(crate) fn record(&self, time: Duration) {
            let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
            let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
            inner.nanos.saturating_record(nanos);
            inner.min = inner.min.min(time);
            inner.max = inner.max.max(time);
        }

        pub(crate) fn percentiles(&self) -> Percentiles {
            let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
            if inner.nanos.is_empty() {
                return Percentiles::default();
            }
            let at = |quantile| {
                Duration::from_nanos(inner.nanos.value_at_quantile(quantile))
                    .clamp(inner.min, inner.max)
            };
            Percentiles {
                count: inner.nanos.len(),
                min: inner.min,
                p50: at(0.5),
                p90: at(0.9),
                p99: at(0.99),
                max: inner.max,
            }
        }
    }
}

/// Without the feature `histogram` there are none of these, and what handles them costs nothing.
#[cfg(not(feature = "histogram"))]
mod times {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{Passed, Percentiles};

    #[derive(Debug)]
    pub(crate) enum Sampler {}

    impl Sampler {
        pub(crate) fn observe(
            &mut self,
            Passed {
                entered,
                dropped,
                len,
            }: Passed,
            _now: impl Fn() -> Instant,
        ) -> Option<Duration> {
            let _ = (entered, dropped, len);
            match *self {}
        }
    }

    #[derive(Debug)]
    pub(crate) enum TimeInQueue {}

    impl TimeInQueue {
        pub(crate) fn record(&self, _time: Duration) {
            match *self {}
        }

        pub(crate) fn percentiles(&self) -> Percentiles {
            match *self {}
        }
    }
}

#[cfg(all(test, feature = "histogram"))]
mod tests {
    use tokio::time::Instant;

    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn passed(entered: u64, len: usize) -> Passed {
        Passed {
            entered,
            dropped: 0,
            len,
        }
    }

    #[test]
    fn nothing_timed_is_zero() {
        assert_eq!(TimeInQueue::new().percentiles(), Percentiles::default());
    }

    #[test]
    fn percentiles_are_within_a_percent_and_the_ends_exact() {
        let times = TimeInQueue::new();
        for n in 1..=1000 {
            times.record(ms(n));
        }
        let seen = times.percentiles();
        assert_eq!((seen.count, seen.min, seen.max), (1000, ms(1), ms(1000)));
        for (seen, truth) in [
            (seen.p50, ms(500)),
            (seen.p90, ms(900)),
            (seen.p99, ms(990)),
        ] {
            assert!(seen >= truth && seen <= truth.mul_f64(1.01), "{seen:?}");
        }
    }

    #[test]
    fn extremes_are_kept_within_bounds() {
        let times = TimeInQueue::new();
        times.record(Duration::ZERO);
        times.record(Duration::MAX);
        let seen = times.percentiles();
        assert_eq!(
            (seen.count, seen.min, seen.max),
            (2, Duration::ZERO, Duration::MAX)
        );
        assert!(seen.p50 <= ms(1));
    }

    #[test]
    fn one_item_is_timed_at_a_time() {
        let start = Instant::now();
        let mut sampler = Sampler::new();
        assert_eq!(sampler.observe(passed(1, 1), || start), None);
        assert_eq!(
            sampler.observe(passed(2, 2), || unreachable!("one is being timed")),
            None
        );
        assert_eq!(sampler.observe(passed(2, 1), || start + ms(7)), Some(ms(7)));
        assert_eq!(
            sampler.observe(passed(2, 0), || unreachable!("this one was not timed")),
            None
        );
    }

    #[test]
    fn the_time_of_a_dropped_item_is_not_that_of_a_pulled_one() {
        let start = Instant::now();
        let mut sampler = Sampler::new();
        assert_eq!(sampler.observe(passed(1, 1), || start), None);
        let dropped = Passed {
            entered: 1,
            dropped: 1,
            len: 0,
        };
        assert_eq!(
            sampler.observe(dropped, || unreachable!("it is not a time in the queue")),
            None
        );
    }

    #[test]
    fn one_in_sixty_four_is_timed() {
        let start = Instant::now();
        let mut sampler = Sampler::new();
        let mut samples = 0;
        for entered in 1..=64_000 {
            assert_eq!(sampler.observe(passed(entered, 1), || start), None);
            samples += u64::from(sampler.observe(passed(entered, 0), || start).is_some());
        }
        assert!((950..1050).contains(&samples), "{samples}");
    }

    #[test]
    fn runs_are_timed_all_over() {
        let start = Instant::now();
        let mut sampler = Sampler::new();
        let mut places = [0; 10];
        for run in 1..=1000 {
            sampler.observe(passed(run * 1000, 1000), || start);
            // Taken one by one, the time tells which of the run it was.
            let place = (0..1000).rev().find_map(|len| {
                sampler.observe(passed(run * 1000, len), || start + ms(999 - len as u64))
            });
            if let Some(place) = place {
                places[place.as_millis() as usize / 100] += 1;
            }
        }
        assert!(
            places.iter().all(|&times| (50..200).contains(&times)),
            "{places:?}"
        );
    }
}
