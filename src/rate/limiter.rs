//! The shared limiter: a bucket, and the line of those who wait for it.

use std::task::Waker;

use tokio::time::Instant;

use super::acquire::Acquire;
use super::line::{Call, Line, Step, Ticket};
use super::purse::Purse;
use super::{Limited, RateLimit};
use crate::sync::{Arc, Mutex, lock};

/// A token bucket, shared by cloning: all clones draw on the same units.
///
/// It starts full, fills at the limit's rate and never holds more than the burst. Waiters are served in the order in
/// which they came, and as long as somebody waits nobody overtakes. Only one who is due and does not come for 100
/// milliseconds (a future that is not polled any more, but not dropped) is stepped over, and is the first again when it
/// comes.
///
/// # Examples
/// ```
/// use std::time::Duration;
///
/// use pushpull::rate::{RateLimit, RateLimiter};
/// use tokio::time::Instant;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let limiter = RateLimiter::new(RateLimit::per_second(10).burst(2));
/// let start = Instant::now();
/// for _ in 0..2 {
///     limiter.acquire().await; // the burst
/// }
/// assert_eq!(start.elapsed(), Duration::ZERO);
/// assert!(limiter.clone().try_acquire(1).is_err());
/// limiter.acquire_n(5).await; // more than the burst: paid as it comes
/// assert_eq!(start.elapsed(), Duration::from_millis(500));
/// # }
/// ```
#[derive(Clone)]
pub struct RateLimiter {
    shared: Arc<Shared>,
}

struct Shared {
    purse: Purse,
    line: Mutex<Line>,
}

impl RateLimiter {
    /// Makes a limiter whose bucket is full.
    pub fn new(limit: RateLimit) -> Self {
        Self::with_line(Line::new(limit, Instant::now(), true))
    }

    /// One that is exact at every moment, because it lends nothing.
    pub(super) fn exact(limit: RateLimit, now: Instant) -> Self {
        Self::with_line(Line::new(limit, now, false))
    }

    fn with_line(line: Line) -> Self {
        let shared = Shared {
            purse: Purse::new(),
            line: Mutex::new(line),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Waits for one unit. The same as [`RateLimiter::acquire_n`] of 1.
    ///
    /// # Cancel safety
    /// Takes nothing unless it completes.
    ///
    /// # Panics
    /// Where it has to wait outside of a tokio runtime, or in one without its time driver.
    #[inline]
    pub fn acquire(&self) -> impl Future<Output = ()> {
        Acquire::new(self, 1)
    }

    /// Waits for `n` units. 0 passes at once, also past those who wait.
    ///
    /// # Back-pressure
    /// A cost above the burst is neither refused nor cut: it takes every unit that arrives until it is paid, and those
    /// behind it wait.
    ///
    /// # Cancel safety
    /// Dropped before it completes, it leaves the line and gives back what it had been paid, as far as the burst has
    /// room for it.
    ///
    /// # Panics
    /// Where it has to wait outside of a tokio runtime, or in one without its time driver.
    #[inline]
    pub fn acquire_n(&self, n: u32) -> impl Future<Output = ()> {
        Acquire::new(self, n)
    }

    /// Takes `n` units now or not at all. 0 is always there.
    ///
    /// # Errors
    /// [`Limited`] where the units are not there, or others wait for theirs. `retry_after` is the time in which those
    /// who wait and `n` more can be paid. A cost above the burst is never there at once, so that it is always refused
    /// here: [`RateLimiter::acquire_n`] would wait for `retry_after`.
    ///
    /// # Examples
    /// ```
    /// use pushpull::rate::{RateLimit, RateLimiter};
    ///
    /// let limiter = RateLimiter::new(RateLimit::per_minute(1).burst(3));
    /// assert!(limiter.try_acquire(4).is_err());
    /// assert!(limiter.try_acquire(3).is_ok());
    /// assert!(limiter.try_acquire(1).is_err());
    /// ```
    #[inline]
    pub fn try_acquire(&self, n: u32) -> Result<(), Limited<()>> {
        if self.take_lent(n) {
            return Ok(());
        }
        self.try_acquire_in_line(n)
    }

    #[inline(never)]
    fn try_acquire_in_line(&self, n: u32) -> Result<(), Limited<()>> {
        self.with(|line, now| line.try_take(now, n))
    }

    /// Sets another limit, from now on and for those who wait already.
    ///
    /// The level is carried over: a change never refills the bucket. It loses only what the new burst has no room for.
    pub fn set_limit(&self, limit: RateLimit) {
        self.with(|line, now| line.set_limit(now, limit));
    }

    /// The limit as it is now.
    pub fn limit(&self) -> RateLimit {
        lock(&self.shared.line).limit()
    }

    /// How many units are there to be taken at once.
    ///
    /// # Examples
    /// ```
    /// use pushpull::rate::{RateLimit, RateLimiter};
    ///
    /// let limiter = RateLimiter::new(RateLimit::per_minute(1).burst(3));
    /// limiter.try_acquire(2)?;
    /// assert_eq!(limiter.available(), 1);
    /// # Ok::<_, pushpull::rate::Limited<()>>(())
    /// ```
    pub fn available(&self) -> u32 {
        self.with(|line, now| line.level(now))
    }

    /// Whether no other clone exists. It stays so for an owner that lends it to nobody.
    pub(super) fn is_unshared(&self) -> bool {
        Arc::strong_count(&self.shared) == 1
    }

    /// Takes `n` units from those that are lent to whoever comes. There are none while anybody waits. 0 is always there.
    #[inline]
    pub(super) fn take_lent(&self, n: u32) -> bool {
        self.shared.purse.take(n)
    }

    /// Whether a new one would do as well: the bucket is full, nobody waits, and nobody holds a lease.
    pub(super) fn is_idle(&self, now: Instant) -> bool {
        lock(&self.shared.line).is_idle(now)
    }

    /// [`RateLimiter::set_limit`] for those who hold a lock: the waker is theirs to wake.
    pub(super) fn swap_limit(&self, now: Instant, limit: RateLimit) -> Option<Waker> {
        let mut line = lock(&self.shared.line);
        line.set_limit(now, limit);
        line.take_called()
    }

    /// One step of waiting. `fresh` brings a waker in and a replaced one out, so that none is touched under the lock.
    pub(super) fn step(&self, call: &mut Call, waker: &Waker, fresh: &mut Option<Waker>) -> Step {
        self.with(|line, now| line.step(now, call, waker, fresh))
    }

    /// Leaves the line; what was paid goes back, and the next one's turn begins.
    pub(super) fn leave(&self, ticket: Ticket) {
        drop(self.with(|line, now| line.leave(now, ticket)));
    }

    /// Ends a lease of `n` units, of which `unused` did not pass.
    pub(super) fn end_lease(&self, n: u32, unused: u32) {
        self.with(|line, now| line.end_lease(now, n, unused));
    }

    /// Does something under the lock, and wakes whoever is to be woken because of it.
    ///
    /// What is lent is taken back first, so that the action sees the bucket as it is. The clock is read after that, for
    /// what was taken of it was taken before.
    fn with<R>(&self, action: impl FnOnce(&mut Line, Instant) -> R) -> R {
        let (result, called, spare) = {
            let mut line = lock(&self.shared.line);
            let now = if line.lent() > 0 {
                let unused = self.shared.purse.swap(0);
                let now = Instant::now();
                line.settle(now, unused);
                now
            } else {
                Instant::now()
            };
            let result = action(&mut line, now);
            if line.lent() > 0 {
                self.shared.purse.swap(line.lent());
            }
            (result, line.take_called(), line.take_spare())
        };
        if let Some(waker) = called {
            waker.wake();
        }
        drop(spare);
        result
    }
}

impl From<RateLimit> for RateLimiter {
    fn from(limit: RateLimit) -> Self {
        Self::new(limit)
    }
}

impl From<&Self> for RateLimiter {
    fn from(limiter: &Self) -> Self {
        limiter.clone()
    }
}

impl std::fmt::Debug for RateLimiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (limit, waiting) = {
            let line = lock(&self.shared.line);
            (line.limit(), line.len())
        };
        f.debug_struct("RateLimiter")
            .field("limit", &limit)
            .field("waiting", &waiting)
            .finish_non_exhaustive()
    }
}
