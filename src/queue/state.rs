//! The rules of a queue: pure state, at rest while it is looked at, which knows neither polling nor clocks.
//!
//! Nothing in here runs user code, allocates or wakes. A step that would have to allocate says so ([`Step::Grow`],
//! [`Step::Stop`]) and is made again when the room is there; whom to wake is found by [`State::settle`] at the end of
//! every critical section, which is the one place where the rules of waking stand.

mod enter;
mod gates;
mod leave;
mod room;
mod settle;

use std::time::Duration;

use tokio::time::Instant;

use crate::meter::{Passed, Sampler};
use crate::sync::planted;

use super::QueueStats;
use super::ring::{Gates, Ring, Rules, Since};
use super::waiters::{Key, Need, Waiters};

/// What a step came to.
pub(super) enum Step<R> {
    /// Finished; a place among the waiters is given up.
    Done(R),
    /// Not finished, to be told to the caller; a place among the waiters is kept.
    Stop(R),
    /// Nothing to be done before this need is met.
    Wait(Need),
    /// The ring needs this many more slots before the step can be made.
    Grow(usize),
}

/// Why an item was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Full,
    Closed,
    TooHeavy,
}

/// The answer to a push.
pub(super) enum Pushed {
    Queued,
    Refused(Refusal),
    /// Make room for so many victims and call again; nothing has been changed.
    Crowded(usize),
}

/// Lists of waiters.
#[derive(Clone, Copy, Debug)]
pub(super) enum Side {
    Pushing,
    Pulling,
    Watching,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) pushed: u64,
    pub(super) pulled: u64,
    pub(super) dropped_newest: u64,
    pub(super) dropped_oldest: u64,
    pub(super) abandoned: u64,
    pub(super) refused: u64,
    pub(super) cancelled: u64,
    pub(super) producer_waits: u64,
    pub(super) consumer_waits: u64,
    peak_len: usize,
}

pub(super) struct State<T> {
    pub(super) ring: Ring<T>,
    pub(super) capacity: usize,
    pub(super) max_weight: usize,
    pub(super) count: Counters,
    /// Slots promised and not used yet.
    reserved: usize,
    /// Items that wait for weight in the handle of a sink, each on a reserved slot.
    parked: usize,
    closed: bool,
    /// The end has been told to `tracing`.
    #[cfg(feature = "tracing")]
    told: bool,
    /// Promises are void: nothing will enter any more.
    revoked: bool,
    overtakes: u32,
    /// A bound has changed since the last look at those who wait for room.
    rebound: bool,
    /// A consumer that does not wait has found nothing.
    pub(super) starving: bool,
    pub(super) producers: usize,
    consumers: usize,
    pub(super) pushing: Waiters,
    pub(super) pulling: Waiters,
    watching: Waiters,
    sampler: Option<Sampler>,
}

impl<T> State<T> {
    pub(super) fn new(
        capacity: usize,
        max_weight: Option<usize>,
        sampler: Option<Sampler>,
    ) -> Self {
        Self {
            ring: Ring::new(max_weight.is_some()),
            capacity,
            max_weight: max_weight.unwrap_or(usize::MAX),
            count: Counters::default(),
            reserved: 0,
            parked: 0,
            closed: false,
            #[cfg(feature = "tracing")]
            told: false,
            revoked: false,
            overtakes: 0,
            rebound: false,
            starving: false,
            producers: 1,
            consumers: 1,
            pushing: Waiters::new(),
            pulling: Waiters::new(),
            watching: Waiters::new(),
            sampler,
        }
    }

    pub(super) const fn is_closed(&self) -> bool {
        self.closed
    }

    /// The counters, at the end of the one critical section that closes the queue.
    #[cfg(feature = "tracing")]
    pub(super) fn closes(&mut self) -> Option<QueueStats> {
        (self.closed && !std::mem::replace(&mut self.told, true)).then(|| self.stats())
    }

    pub(super) const fn is_revoked(&self) -> bool {
        self.revoked
    }

    /// How many items may still come after close.
    pub(super) const fn coming(&self) -> usize {
        self.reserved
    }

    /// Nothing is in and nothing will come.
    pub(super) fn is_finished(&self) -> bool {
        self.closed && self.ring.len() == 0 && (self.reserved == 0 || planted("forget_reserved"))
    }

    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    /// Closes and makes promises void.
    pub(super) fn revoke(&mut self) {
        self.closed = true;
        self.revoked = true;
        self.reserved = 0;
        self.parked = 0;
    }

    /// Notes that a bound has changed: what producers were woken for may be gone, and some may be too heavy now.
    pub(super) fn rebound(&mut self) {
        self.rebound = true;
        self.pushing.call_back();
    }

    pub(super) fn add_consumer(&mut self) {
        self.consumers += 1;
    }

    /// The queue is closed with its last producer.
    pub(super) fn remove_producer(&mut self) {
        self.producers -= 1;
        if self.producers == 0 && !planted("last_producer_open") {
            self.close();
        }
    }

    /// With its last consumer the queue is closed, and what is in it comes back to be dropped.
    pub(super) fn remove_consumer(&mut self) -> Ring<T> {
        self.consumers -= 1;
        if self.consumers > 0 {
            return Ring::new(false);
        }
        if !planted("last_consumer_open") {
            self.revoke();
        }
        self.count.abandoned += self.ring.len() as u64;
        self.ring.take()
    }

    pub(super) const fn is_sole_consumer(&self) -> bool {
        self.consumers == 1
    }

    pub(super) fn side(&mut self, side: Side) -> &mut Waiters {
        match side {
            Side::Pushing => &mut self.pushing,
            Side::Pulling => &mut self.pulling,
            Side::Watching => &mut self.watching,
        }
    }

    /// Gives up a place. The waker that comes back is to be dropped outside of the lock.
    pub(super) fn leave(&mut self, side: Side, key: Key) -> Option<std::task::Waker> {
        if matches!(side, Side::Pushing) && self.pushing.is_first(key) {
            self.overtakes = 0;
        }
        self.side(side).remove(key)
    }

    /// Counts a call that has to wait.
    pub(super) fn waits(&mut self, side: Side) {
        match side {
            Side::Pushing => self.count.producer_waits += 1,
            Side::Pulling => self.count.consumer_waits += 1,
            Side::Watching => {}
        }
    }

    /// How long the timed item was in, if it was pulled in the critical section that ends.
    pub(super) fn sample(&mut self, now: impl Fn() -> Instant) -> Option<Duration> {
        let sampler = self.sampler.as_mut()?;
        let count = &self.count;
        let passed = Passed {
            entered: count.pushed - count.dropped_newest,
            dropped: count.dropped_oldest + count.abandoned,
            len: self.ring.len(),
        };
        sampler.observe(passed, now)
    }

    pub(super) fn stats(&self) -> QueueStats {
        let count = &self.count;
        QueueStats {
            pushed: count.pushed,
            pulled: count.pulled,
            dropped: count.dropped_newest + count.dropped_oldest + count.abandoned,
            dropped_newest: count.dropped_newest,
            dropped_oldest: count.dropped_oldest,
            abandoned: count.abandoned,
            refused: count.refused,
            cancelled: count.cancelled,
            len: self.ring.len(),
            weight: self.ring.weight(),
            capacity: self.capacity,
            peak_len: count.peak_len,
            reserved: self.reserved,
            parked: self.parked,
            producers: self.producers,
            consumers: self.consumers,
            waiting_producers: self.pushing.len(),
            waiting_consumers: self.pulling.len(),
            producer_waits: count.producer_waits,
            consumer_waits: count.consumer_waits,
        }
    }
}

impl<T> Rules<T> for State<T> {
    fn ring(&self) -> &Ring<T> {
        &self.ring
    }

    fn ring_mut(&mut self) -> &mut Ring<T> {
        &mut self.ring
    }

    fn catch_up(&mut self, since: Since) {
        self.count.pushed += since.pushed;
        self.count.pulled += since.pulled;
        self.count.peak_len = self.count.peak_len.max(since.peak);
        self.reserved = self.reserved.saturating_add_signed(since.reserved);
        if !self.pushing.is_empty() {
            let passed = u32::try_from(since.pushed).unwrap_or(u32::MAX);
            self.overtakes = self.overtakes.saturating_add(passed);
        }
    }

    fn gates(&self) -> Gates {
        Gates {
            bound: self.bound(),
            push_until: self.push_until(),
            pull_until: self.pull_until(),
            peak: self.count.peak_len,
        }
    }
}
