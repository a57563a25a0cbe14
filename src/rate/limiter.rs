//! The shared limiter: a bucket, and the line of those who wait for it.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::task::Waker;

use tokio::time::Instant;

use super::bucket::{Bucket, Until};
use super::turn::Turn;
use super::{Limited, RateLimit};
use crate::coop;
use crate::sync::{Arc, Mutex, lock};

/// A token bucket, shared by cloning: all clones draw on the same units.
///
/// It starts full, fills at the limit's rate and never holds more than the burst. Waiters are served in the order in
/// which they came, and as long as somebody waits nobody overtakes.
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
    state: Arc<Mutex<State>>,
}

impl RateLimiter {
    /// Makes a limiter whose bucket is full.
    pub fn new(limit: RateLimit) -> Self {
        Self::full(limit, Instant::now())
    }

    pub(super) fn full(limit: RateLimit, now: Instant) -> Self {
        Self {
            state: Arc::new(Mutex::new(State::new(limit, now))),
        }
    }

    /// Waits for one unit. The same as [`RateLimiter::acquire_n`] of 1.
    ///
    /// # Cancel safety
    /// Takes nothing unless it completes.
    ///
    /// # Panics
    /// Where it has to wait outside of a tokio runtime with a timer.
    pub async fn acquire(&self) {
        self.acquire_n(1).await;
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
    /// Where it has to wait outside of a tokio runtime with a timer.
    pub async fn acquire_n(&self, n: u32) {
        let mut turn = Turn::new(self);
        poll_fn(|cx| coop::spend(cx, |cx| turn.poll_take(cx, n))).await;
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
    pub fn try_acquire(&self, n: u32) -> Result<(), Limited<()>> {
        if n == 0 {
            return Ok(());
        }
        let now = Instant::now();
        lock(&self.state).try_take(now, n)
    }

    /// Sets another limit, from now on and for those who wait already.
    ///
    /// The level is carried over: a change never refills the bucket. It loses only what the new burst has no room for.
    pub fn set_limit(&self, limit: RateLimit) {
        let now = Instant::now();
        let head = lock(&self.state).set_limit(now, limit);
        wake(head);
    }

    /// The limit as it is now.
    pub fn limit(&self) -> RateLimit {
        lock(&self.state).bucket.limit()
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
        let now = Instant::now();
        lock(&self.state).bucket.level(now)
    }

    /// Whether no other clone exists. It stays so for an owner that lends it to nobody.
    pub(super) fn is_unshared(&self) -> bool {
        Arc::strong_count(&self.state) == 1
    }

    /// Whether a new one would do as well: the bucket is full, nobody waits, and nobody holds a lease.
    pub(super) fn is_idle(&self, now: Instant) -> bool {
        let mut state = lock(&self.state);
        state.line.is_empty() && state.bucket.is_full(now)
    }

    /// [`RateLimiter::set_limit`] for those who hold a lock: the waker is theirs to wake.
    pub(super) fn swap_limit(&self, now: Instant, limit: RateLimit) -> Option<Waker> {
        lock(&self.state).set_limit(now, limit)
    }

    /// One step of waiting. `fresh` brings a waker in and a replaced one out, so that none is touched under the lock.
    pub(super) fn step(&self, call: &mut Call, waker: &Waker, fresh: &mut Option<Waker>) -> Step {
        call.ahead &= self.is_unshared();
        let now = Instant::now();
        lock(&self.state).step(now, call, waker, fresh)
    }

    /// Leaves the line; what was paid goes back, and the next one's turn begins.
    pub(super) fn leave(&self, ticket: Ticket) {
        let now = Instant::now();
        let left = lock(&self.state).leave(now, ticket);
        left.wake_next();
    }

    /// Ends a lease of `n` units, of which `unused` did not pass.
    pub(super) fn end_lease(&self, n: u32, unused: u32) {
        let now = Instant::now();
        let head = lock(&self.state).end_lease(now, n, unused);
        wake(head);
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
            let state = lock(&self.state);
            (state.bucket.limit(), state.line.len())
        };
        f.debug_struct("RateLimiter")
            .field("limit", &limit)
            .field("waiting", &waiting)
            .finish_non_exhaustive()
    }
}

/// A place in the line. Tickets are numbered in the order in which they are drawn.
pub(super) type Ticket = u64;

/// What a [`Turn`] asks for, and its place in the line once it has had to wait.
#[derive(Debug, Default)]
pub(super) struct Call {
    pub(super) ticket: Option<Ticket>,
    pub(super) cost: u32,
    /// Takes it as a lease.
    pub(super) lease: bool,
    /// Takes some more on lease, for the calls to come.
    pub(super) ahead: bool,
    /// How many have been taken so.
    pub(super) prepaid: u32,
}

/// Where a [`Call`] stands.
pub(super) enum Step {
    /// The units are taken.
    Pass(Left),
    /// It is in the line, its waker is kept, and it is worth asking again at that time if there is one.
    Wait(Until),
    /// A clone of the waker is needed first.
    BringWaker,
}

/// One who has left the line, to be dropped outside of the lock, and the one whose turn begins.
#[must_use = "the next one sleeps"]
#[derive(Default)]
pub(super) struct Left {
    waiter: Option<Waiter>,
    next: Option<Waker>,
}

impl Left {
    pub(super) fn wake_next(self) {
        wake(self.next);
        drop(self.waiter);
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

struct Waiter {
    cost: u32,
    /// The cost has been taken as a debt, because it is above the burst.
    reserved: bool,
    waker: Option<Waker>,
}

struct State {
    bucket: Bucket,
    line: BTreeMap<Ticket, Waiter>,
    next_ticket: Ticket,
    /// What those in the line are still to take.
    queued: u64,
    /// The head has no timer, because a lease leaves too little of the burst for it.
    stuck: bool,
}

/// Not more than this many calls of the same cost are paid ahead, and not more than this part of the burst: units on
/// lease are missing in a burst that follows upon a pause.
const AHEAD: u32 = 63;
const PART_OF_BURST: u32 = 256;

impl State {
    fn new(limit: RateLimit, now: Instant) -> Self {
        let bucket = Bucket::new(limit, now);
        Self {
            bucket,
            line: BTreeMap::new(),
            next_ticket: 0,
            queued: 0,
            stuck: false,
        }
    }

    fn try_take(&mut self, now: Instant, n: u32) -> Result<(), Limited<()>> {
        if self.line.is_empty() && self.bucket.take(now, n).is_ok() {
            return Ok(());
        }
        let retry_after = self.bucket.wait_for(now, self.queued + u64::from(n));
        Err(Limited {
            item: (),
            retry_after,
        })
    }

    fn step(
        &mut self,
        now: Instant,
        call: &mut Call,
        waker: &Waker,
        fresh: &mut Option<Waker>,
    ) -> Step {
        let ticket = match call.ticket {
            Some(ticket) => ticket,
            None => {
                if self.line.is_empty() && self.claim(now, call).is_ok() {
                    self.pay_ahead(now, call);
                    return Step::Pass(Left::default());
                }
                if fresh.is_none() {
                    return Step::BringWaker;
                }
                self.join(call, fresh.take())
            }
        };
        let mut until = None;
        if self.is_head(ticket) {
            match self.claim_as_head(now, ticket, call) {
                Ok(()) => {
                    call.ticket = None;
                    return Step::Pass(self.remove(ticket));
                }
                Err(at) => {
                    self.stuck = at.is_none();
                    until = at;
                }
            }
        }
        if let Some(waiter) = self.line.get_mut(&ticket) {
            if !waiter
                .waker
                .as_ref()
                .is_some_and(|kept| kept.will_wake(waker))
            {
                if fresh.is_none() {
                    return Step::BringWaker;
                }
                std::mem::swap(&mut waiter.waker, fresh);
            }
        }
        Step::Wait(until)
    }

    /// Takes the cost of one whose turn it is, unless it is above the burst.
    fn claim(&mut self, now: Instant, call: &Call) -> Result<(), Until> {
        if call.lease {
            self.bucket.lease(now, call.cost)
        } else {
            self.bucket.take(now, call.cost)
        }
    }

    /// The same for the head of the line, who may go into debt. Units within the burst are taken when they pass and
    /// not before: the bucket goes on filling up to its brim until the head has come for them, and no further.
    fn claim_as_head(&mut self, now: Instant, ticket: Ticket, call: &Call) -> Result<(), Until> {
        let above_burst = call.cost > self.bucket.limit().max_burst();
        let Some(waiter) = self.line.get_mut(&ticket) else {
            return Err(None);
        };
        if !waiter.reserved && above_burst {
            waiter.reserved = true;
            self.queued -= u64::from(waiter.cost);
            self.bucket.reserve(now, waiter.cost);
        }
        if waiter.reserved {
            self.bucket.paid(now)
        } else {
            self.claim(now, call)
        }
    }

    fn pay_ahead(&mut self, now: Instant, call: &mut Call) {
        let most = self.bucket.limit().max_burst() / PART_OF_BURST;
        let n = call.cost.saturating_mul(AHEAD).min(most);
        if call.ahead && n > 0 && self.bucket.lease(now, n).is_ok() {
            call.prepaid = n;
        }
    }

    fn end_lease(&mut self, now: Instant, n: u32, unused: u32) -> Option<Waker> {
        self.bucket.end_lease(now, n, unused);
        if std::mem::take(&mut self.stuck) || unused > 0 {
            self.head_waker()
        } else {
            None
        }
    }

    fn join(&mut self, call: &mut Call, waker: Option<Waker>) -> Ticket {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.queued += u64::from(call.cost);
        self.line.insert(
            ticket,
            Waiter {
                cost: call.cost,
                reserved: false,
                waker,
            },
        );
        call.ticket = Some(ticket);
        ticket
    }

    fn leave(&mut self, now: Instant, ticket: Ticket) -> Left {
        let left = self.remove(ticket);
        if let Some(waiter) = left.waiter.as_ref().filter(|waiter| waiter.reserved) {
            self.bucket.give_back(now, waiter.cost);
        }
        left
    }

    fn remove(&mut self, ticket: Ticket) -> Left {
        let was_head = self.is_head(ticket);
        let waiter = self.line.remove(&ticket);
        if let Some(waiter) = waiter.as_ref().filter(|waiter| !waiter.reserved) {
            self.queued -= u64::from(waiter.cost);
        }
        Left {
            waiter,
            next: if was_head { self.head_waker() } else { None },
        }
    }

    fn set_limit(&mut self, now: Instant, limit: RateLimit) -> Option<Waker> {
        self.bucket.set_limit(now, limit);
        self.head_waker()
    }

    fn is_head(&self, ticket: Ticket) -> bool {
        self.line
            .first_key_value()
            .is_some_and(|(&head, _)| head == ticket)
    }

    /// The waker of the head, unless it has been woken and not come since.
    fn head_waker(&mut self) -> Option<Waker> {
        self.line
            .first_entry()
            .and_then(|mut head| head.get_mut().waker.take())
    }
}
