//! Time in a queue: which items are timed, and what the times come to.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use tokio::time::Instant;

/// One item in so many is timed, on average.
const EVERY: u64 = 64;

/// How long sampled items stayed. Without a sample, all times are zero.
///
/// `min` and `max` are exact; the others are at most one percent too high, as they come out of a histogram with two
/// significant digits (HdrHistogram).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Percentiles {
    /// How many items were timed.
    pub count: u64,
    /// The shortest time.
    #[cfg_attr(feature = "serde", serde(serialize_with = "super::snapshot::seconds"))]
    pub min: Duration,
    /// Half of the items stayed no longer.
    #[cfg_attr(feature = "serde", serde(serialize_with = "super::snapshot::seconds"))]
    pub p50: Duration,
    /// Nine in ten stayed no longer.
    #[cfg_attr(feature = "serde", serde(serialize_with = "super::snapshot::seconds"))]
    pub p90: Duration,
    /// Ninety-nine in a hundred stayed no longer.
    #[cfg_attr(feature = "serde", serde(serialize_with = "super::snapshot::seconds"))]
    pub p99: Duration,
    /// The longest time.
    #[cfg_attr(feature = "serde", serde(serialize_with = "super::snapshot::seconds"))]
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

/// Picks the items to be timed, one at a time, so that no item carries a time stamp. Lives under the queue's lock.
///
/// Items are numbered in the order in which they entered; they leave from the front, so those that leave together are
/// a range of numbers.
#[derive(Clone, Debug)]
pub(crate) struct Sampler {
    timed: Option<(u64, Instant)>,
    /// No item before this one is picked.
    next: u64,
    state: u64,
}

impl Sampler {
    #[cfg(feature = "histogram")]
    pub(crate) fn new() -> Self {
        Self {
            timed: None,
            next: 0,
            state: 0x9E37_79B9_7F4A_7C15,
        }
    }

    /// The items of these numbers have entered, together. Asks for the time only where one of them is picked.
    #[inline]
    pub(crate) fn entered(&mut self, numbers: Range<u64>, now: impl FnOnce() -> Instant) {
        if self.timed.is_none() && numbers.end > self.next {
            let number = if self.next >= numbers.start {
                self.next
            } else {
                self.any_of(numbers)
            };
            self.timed = Some((number, now()));
        }
    }

    /// Items before number `end` have left; `pulled` where a consumer took them, otherwise they were dropped. The
    /// time that the timed one stayed, if it was among those pulled: to be recorded after the lock is released.
    #[inline]
    pub(crate) fn left(
        &mut self,
        end: u64,
        pulled: bool,
        now: impl FnOnce() -> Instant,
    ) -> Option<Duration> {
        match self.timed {
            Some((number, since)) if number < end => {
                self.timed = None;
                self.next = number + self.stride();
                pulled.then(|| now().saturating_duration_since(since))
            }
            _ => None,
        }
    }

    /// Neither the first nor the last of a run is like the others.
    fn any_of(&mut self, numbers: Range<u64>) -> u64 {
        let len = numbers.end - numbers.start;
        if len == 1 {
            numbers.start
        } else {
            numbers.start + self.random() % len
        }
    }

    /// From one timed item to the next: around [`EVERY`], and uneven, so that no rhythm of the input hides.
    fn stride(&mut self) -> u64 {
        1 + self.random() % (2 * EVERY - 1)
    }

    /// Marsaglia, "Xorshift RNGs", 2003.
    fn random(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }
}

#[cfg(feature = "histogram")]
mod recorder {
    use std::sync::{Mutex, PoisonError};
    use std::time::Duration;

    use hdrhistogram::Histogram;

    use super::Percentiles;

    /// An hour; longer times count as that long, except in `max`.
    const LONGEST: u64 = 3_600_000_000_000;

    /// The times of sampled items, under a lock of its own that is taken once in a sample.
    pub(crate) struct TimeInQueue {
        inner: Mutex<Inner>,
    }

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

#[cfg(not(feature = "histogram"))]
mod recorder {
    use std::time::Duration;

    use super::Percentiles;

    /// Without the feature `histogram` there are none.
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

pub(crate) use recorder::TimeInQueue;

impl fmt::Debug for TimeInQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TimeInQueue")
            .field(&self.percentiles())
            .finish()
    }
}

#[cfg(all(test, feature = "histogram"))]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
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
        for (seen, true_value) in [
            (seen.p50, ms(500)),
            (seen.p90, ms(900)),
            (seen.p99, ms(990)),
        ] {
            assert!(
                seen >= true_value && seen <= true_value.mul_f64(1.01),
                "{seen:?}"
            );
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
    fn one_item_is_timed_at_a_time_and_only_if_it_was_pulled() {
        let start = Instant::now();
        let mut sampler = Sampler::new();
        sampler.entered(0..1, || start);
        sampler.entered(1..2, || unreachable!("one is being timed"));
        assert_eq!(sampler.left(1, true, || start + ms(7)), Some(ms(7)));
        assert_eq!(
            sampler.left(2, true, || unreachable!("this one is not timed")),
            None
        );

        let picked = (3_u64..).find(|&end| {
            let mut taken = false;
            sampler.entered(end - 1..end, || {
                taken = true;
                start
            });
            taken
        });
        let end = picked.unwrap_or_default();
        assert_eq!(
            sampler.left(end - 1, true, || unreachable!("still inside")),
            None
        );
        assert_eq!(sampler.left(end, false, || unreachable!("dropped")), None);
        assert!(sampler.timed.is_none());
    }

    #[test]
    fn runs_are_timed_all_over() {
        let start = Instant::now();
        let mut sampler = Sampler::new();
        let mut places = [0; 10];
        for run in 0..1000_u64 {
            sampler.entered(run * 1000..(run + 1) * 1000, || start);
            if let Some((number, _)) = sampler.timed {
                places[usize::try_from(number % 1000 / 100).unwrap()] += 1;
            }
            sampler.left((run + 1) * 1000, true, || start);
        }
        assert!(
            places.iter().all(|&times| (50..200).contains(&times)),
            "{places:?}"
        );
    }

    #[test]
    fn one_in_sixty_four_is_timed() {
        let start = Instant::now();
        let mut sampler = Sampler::new();
        let mut samples = 0;
        for end in 1..=64_000_u64 {
            sampler.entered(end - 1..end, || start);
            samples += u64::from(sampler.left(end, true, || start).is_some());
        }
        assert!((950..1050).contains(&samples), "{samples}");
    }
}
