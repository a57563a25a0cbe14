//! What is allowed, and the answer to what is not.

use std::error::Error;
use std::fmt;
use std::time::Duration;

/// How many units may pass in a period, and how many of them at once.
///
/// The burst is 100 milliseconds' worth unless [`RateLimit::burst`] says otherwise, rounded down and at least 1. So a
/// limit of 1,000 a second lets 100 units pass at once after a pause, and one of 5 a second lets them pass singly.
/// Timers tick in milliseconds; a burst of a few milliseconds' worth or more is what makes up for their lateness.
///
/// # Examples
/// ```
/// use std::time::Duration;
///
/// use pushpull::rate::RateLimit;
///
/// let limit = RateLimit::per_second(1_000);
/// assert_eq!(limit, RateLimit::per(1_000, Duration::from_secs(1)).burst(100));
/// assert_eq!(RateLimit::per_minute(30).max_burst(), 1);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RateLimit {
    units: u32,
    period: Duration,
    burst: u32,
}

impl RateLimit {
    /// Allows `units` a second.
    ///
    /// # Panics
    /// Where `units` is 0.
    #[track_caller]
    pub const fn per_second(units: u32) -> Self {
        Self::per(units, Duration::from_secs(1))
    }

    /// Allows `units` a minute.
    ///
    /// # Panics
    /// Where `units` is 0.
    #[track_caller]
    pub const fn per_minute(units: u32) -> Self {
        Self::per(units, Duration::from_secs(60))
    }

    /// Allows `units` in each `period`, spread evenly over it.
    ///
    /// Where that is less than one unit in 146 years, it is one unit in 146 years.
    ///
    /// # Panics
    /// Where `units` is 0, which would let nothing pass ever, or `period` is zero, which would be no limit.
    #[track_caller]
    pub const fn per(units: u32, period: Duration) -> Self {
        assert!(units > 0, "a rate limit needs at least 1 unit per period");
        assert!(
            !period.is_zero(),
            "a rate limit needs a period longer than zero"
        );
        Self {
            units,
            period,
            burst: default_burst(units, period),
        }
    }

    /// Lets up to `units` pass at once after a pause.
    ///
    /// # Panics
    /// Where `units` is 0.
    #[track_caller]
    #[must_use]
    pub const fn burst(self, units: u32) -> Self {
        assert!(units > 0, "a rate limit needs a burst of at least 1");
        Self {
            burst: units,
            ..self
        }
    }

    /// How many units may pass in each [`RateLimit::period`].
    pub const fn units(&self) -> u32 {
        self.units
    }

    /// The time in which [`RateLimit::units`] may pass.
    pub const fn period(&self) -> Duration {
        self.period
    }

    /// How many units may pass at once.
    pub const fn max_burst(&self) -> u32 {
        self.burst
    }
}

/// 100 milliseconds' worth, at least 1.
const fn default_burst(units: u32, period: Duration) -> u32 {
    const WORTH: u128 = Duration::from_millis(100).as_nanos();
    let burst = units as u128 * WORTH / period.as_nanos();
    if burst == 0 {
        1
    } else if burst > u32::MAX as u128 {
        u32::MAX
    } else {
        burst as u32
    }
}

/// Refused for now: the item that did not pass, and how long to wait.
///
/// # Examples
/// ```
/// use std::time::Duration;
///
/// use pushpull::rate::{RateLimit, RateLimiter};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let limiter = RateLimiter::new(RateLimit::per_second(4).burst(1));
/// assert!(limiter.try_acquire(1).is_ok());
/// let limited = limiter.try_acquire(1).unwrap_err();
/// assert_eq!(limited.retry_after, Duration::from_millis(250));
/// assert_eq!(limited.to_string(), "over the rate limit, retry after 250ms");
/// # }
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Limited<T> {
    /// What did not pass.
    pub item: T,
    /// How long it takes until this would pass if nothing else does. Never zero.
    pub retry_after: Duration,
}

impl<T> Limited<T> {
    /// The item that did not pass.
    pub fn into_item(self) -> T {
        self.item
    }
}

impl<T> fmt::Debug for Limited<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limited")
            .field("retry_after", &self.retry_after)
            .finish_non_exhaustive()
    }
}

impl<T> fmt::Display for Limited<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "over the rate limit, retry after {:?}", self.retry_after)
    }
}

impl<T> Error for Limited<T> {}
