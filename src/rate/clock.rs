//! Time as the buckets count it: tokio's clock in ticks so fine that a unit's interval is a whole number of them.

use std::cell::Cell;
use std::time::Duration;

use governor::clock::Clock;
use governor::nanos::Nanos;
use tokio::time::Instant;

use super::RateLimit;

/// Intervals longer than this, in nanoseconds, count as this: 146 years.
const LONGEST: u128 = 1 << 62;

/// The relation between ticks, nanoseconds and units of one limit.
///
/// `units / period`, reduced to lowest terms, is `ticks_a_nano / ticks_a_unit`. Nothing is rounded, so nothing drifts:
/// a third of a second is one tick of three to the nanosecond times a billion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pace {
    ticks_a_nano: u64,
    ticks_a_unit: u64,
}

impl Pace {
    pub(super) fn of(limit: RateLimit) -> Self {
        let (units, period) = (u128::from(limit.units()), limit.period().as_nanos());
        let common = gcd(units, period);
        let (units, period) = (units / common, period / common);
        if period <= LONGEST {
            return Self {
                ticks_a_nano: units as u64,
                ticks_a_unit: period as u64,
            };
        }
        // A unit takes more than a second here: whole nanoseconds, rounded up, are exact to 1 in 10^9.
        Self {
            ticks_a_nano: 1,
            ticks_a_unit: period.div_ceil(units).min(LONGEST) as u64,
        }
    }

    /// At most 2^62.
    pub(super) fn ticks_a_unit(self) -> u64 {
        self.ticks_a_unit
    }

    /// `units` as ticks.
    pub(super) fn ticks(self, units: u64) -> u128 {
        u128::from(units) * u128::from(self.ticks_a_unit)
    }

    /// How many ticks `now` is after `origin`; none where the clock was set back.
    pub(super) fn since(self, origin: Instant, now: Instant) -> u128 {
        now.saturating_duration_since(origin).as_nanos() * u128::from(self.ticks_a_nano)
    }

    /// The time that `ticks` take, rounded up to whole nanoseconds.
    pub(super) fn duration(self, ticks: u128) -> Duration {
        // Almost always: a division of 128 bits takes as long as all the rest of a decision.
        if let Ok(ticks) = u64::try_from(ticks) {
            return Duration::from_nanos(ticks.div_ceil(self.ticks_a_nano));
        }
        let nanos = ticks.div_ceil(u128::from(self.ticks_a_nano));
        let (secs, nanos) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
        u64::try_from(secs).map_or(Duration::MAX, |secs| Duration::new(secs, nanos as u32))
    }
}

fn gcd(a: u128, b: u128) -> u128 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// The clock that governor reads: it shows the tick it was set to, because in a pure core `now` is an argument.
#[derive(Debug, Default)]
pub(super) struct Dial(Cell<u64>);

impl Dial {
    pub(super) fn set(&self, tick: u64) {
        self.0.set(tick);
    }
}

impl Clock for Dial {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::from(self.0.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_a_whole_number_of_ticks() {
        let pace = |units, period| Pace::of(RateLimit::per(units, period));
        let second = Duration::from_secs(1);
        assert_eq!(
            pace(1_000, second),
            Pace {
                ticks_a_nano: 1,
                ticks_a_unit: 1_000_000
            }
        );
        assert_eq!(
            pace(3, second),
            Pace {
                ticks_a_nano: 3,
                ticks_a_unit: 1_000_000_000
            }
        );
        assert_eq!(
            pace(1_500, second),
            Pace {
                ticks_a_nano: 3,
                ticks_a_unit: 2_000_000
            }
        );
        assert_eq!(
            pace(u32::MAX, second),
            Pace {
                ticks_a_nano: u64::from(u32::MAX) / 5,
                ticks_a_unit: 200_000_000
            }
        );
        assert_eq!(
            pace(u32::MAX, Duration::from_nanos(1)),
            Pace {
                ticks_a_nano: u64::from(u32::MAX),
                ticks_a_unit: 1
            }
        );
    }

    #[test]
    fn the_longest_periods_are_rounded_up_or_cut() {
        let longest = Pace {
            ticks_a_nano: 1,
            ticks_a_unit: 1 << 62,
        };
        assert_eq!(Pace::of(RateLimit::per(1, Duration::MAX)), longest);
        let many = Pace::of(RateLimit::per(u32::MAX, Duration::MAX));
        let exact = Duration::MAX.as_nanos() / u128::from(u32::MAX);
        assert_eq!(many.ticks_a_nano, 1);
        assert_eq!(u128::from(many.ticks_a_unit), (exact + 1).min(LONGEST));
    }

    #[test]
    fn durations_are_rounded_up() {
        let pace = Pace {
            ticks_a_nano: 3,
            ticks_a_unit: 1,
        };
        assert_eq!(pace.duration(0), Duration::ZERO);
        assert_eq!(pace.duration(1), Duration::from_nanos(1));
        assert_eq!(pace.duration(3_000_000_001), Duration::new(1, 1));
        assert_eq!(pace.duration(u128::MAX), Duration::MAX);
    }
}
