//! The token bucket: pure, exact, and `now` is always an argument.

use std::num::NonZeroU32;
use std::time::Duration;

use tokio::time::Instant;

use super::RateLimit;
use super::clock::Pace;
use super::gcra::{Gcra, REACH};

/// A bucket that fills at the limit's rate up to its burst.
///
/// Its level is kept as the tick at which it is full again, `full_at`: what is missing then has gone, and time alone
/// moves the level. Governor decides what passes wherever its 64-bit arithmetic reaches; longer periods with greater
/// bursts are decided here, by the same rule in 128 bits. What governor has no operation for (a debt for a cost above
/// the burst, what a cancelled waiter gives back, leases, a new limit that keeps the level) moves `full_at`.
#[derive(Debug)]
pub(super) struct Bucket {
    limit: RateLimit,
    pace: Pace,
    gcra: Option<Gcra>,
    origin: Instant,
    full_at: u128,
    leased: u64,
    /// How many debts are neither paid nor given back.
    debts: usize,
    /// Where there are debts: what `full_at` would be had nobody gone into debt. What is given back leads no further
    /// than here, for units that passed meanwhile have gone all the same.
    without_debts: u128,
}

/// When it is worth asking again. `None`: time alone will not do, somebody has to return a lease.
pub(super) type Until = Option<Instant>;

impl Bucket {
    /// A full bucket.
    pub(super) fn new(limit: RateLimit, now: Instant) -> Self {
        let pace = Pace::of(limit);
        let gcra = Gcra::new(pace.ticks_a_unit(), limit.max_burst());
        Self {
            limit,
            pace,
            gcra,
            origin: now,
            full_at: 0,
            leased: 0,
            debts: 0,
            without_debts: 0,
        }
    }

    pub(super) fn limit(&self) -> RateLimit {
        self.limit
    }

    /// Takes `n` units if they are there. A cost above the burst never is: see [`Bucket::reserve`].
    pub(super) fn take(&mut self, now: Instant, n: u32) -> Result<(), Until> {
        let tick = self.tick(now);
        self.take_at(tick, n)
            .map_err(|at| at.and_then(|at| self.instant(at)))
    }

    /// The same; where they are not there it answers how long it takes until those and `before` more could have been
    /// paid, as [`Bucket::wait_for`] does.
    pub(super) fn try_take(&mut self, now: Instant, n: u32, before: u64) -> Result<(), Duration> {
        let tick = self.tick(now);
        self.take_at(tick, n)
            .map_err(|_| self.wait_at(tick, before + u64::from(n)))
    }

    /// Err: at which tick they are there, if time will bring them.
    fn take_at(&mut self, tick: u128, n: u32) -> Result<(), Option<u128>> {
        let Some(n) = NonZeroU32::new(n) else {
            return Ok(());
        };
        if u64::from(n.get()) + self.leased > u64::from(self.limit.max_burst()) {
            return Err(None);
        }
        self.full_at = self.decide(tick, n).map_err(Some)?;
        self.without_debts = self.without_debts.max(tick) + self.pace.ticks(n.get().into());
        Ok(())
    }

    /// Goes into debt for `n` units, whatever the level. They are paid as they arrive; [`Bucket::paid`] tells when all
    /// have been, and [`Bucket::give_back`] undoes it.
    pub(super) fn reserve(&mut self, now: Instant, n: u32) {
        let tick = self.tick(now);
        if self.debts == 0 {
            self.without_debts = self.full_at;
        }
        self.debts += 1;
        self.full_at = self.full_at.max(tick) + self.pace.ticks(n.into());
    }

    /// Whether there is no debt. If so, the one that was asked about is settled.
    pub(super) fn paid(&mut self, now: Instant) -> Result<(), Until> {
        let tick = self.tick(now);
        if self.leased > u64::from(self.limit.max_burst()) {
            return Err(None);
        }
        let at = self
            .full_at
            .saturating_sub(self.pace.ticks(self.limit.max_burst().into()));
        if at <= tick {
            self.debts = self.debts.saturating_sub(1);
            self.without_debts = self.full_at;
            Ok(())
        } else {
            Err(self.instant(at))
        }
    }

    /// Gives back a debt of `n` units, as far as there is room for them.
    pub(super) fn give_back(&mut self, now: Instant, n: u32) {
        self.tick(now);
        self.full_at = self.full_at.saturating_sub(self.pace.ticks(n.into()));
        if self.debts > 0 {
            self.debts -= 1;
            self.full_at = self.full_at.max(self.without_debts);
        }
    }

    /// Takes `n` units which are to pass later. Until [`Bucket::end_lease`] the bucket holds that many less than its
    /// burst, so that bucket and leases together never exceed it.
    pub(super) fn lease(&mut self, now: Instant, n: u32) -> Result<(), Until> {
        self.take(now, n)?;
        self.leased += u64::from(n);
        Ok(())
    }

    /// Ends a lease of `n` units, of which `unused` did not pass.
    pub(super) fn end_lease(&mut self, now: Instant, n: u32, unused: u32) {
        self.tick(now);
        let unused = self.pace.ticks(unused.into());
        self.full_at = self.full_at.saturating_sub(unused);
        self.without_debts = self.without_debts.saturating_sub(unused);
        self.leased = self.leased.saturating_sub(n.into());
    }

    /// Sets another limit. The level stays, except for what the new burst has no room for.
    pub(super) fn set_limit(&mut self, now: Instant, limit: RateLimit) {
        let tick = self.tick(now);
        let before = (self.pace, self.limit.max_burst());
        let (full_at, leased) = (self.full_at, self.leased);
        let (debts, without_debts) = (self.debts, self.without_debts);
        *self = Self::new(limit, now);
        let carry = |full_at: u128| {
            let old = u128::from(before.0.ticks_a_unit());
            let new = u128::from(self.pace.ticks_a_unit());
            let missing = full_at.saturating_sub(tick);
            let (units, rest) = (missing / old, missing % old);
            let missing = units * new + (rest * new).div_ceil(old);
            (missing + self.pace.ticks(limit.max_burst().into()))
                .saturating_sub(self.pace.ticks(before.1.into()))
        };
        (self.full_at, self.without_debts) = (carry(full_at), carry(without_debts));
        self.debts = debts;
        self.leased = leased;
    }

    /// Whole units that could be taken.
    pub(super) fn level(&mut self, now: Instant) -> u32 {
        let tick = self.tick(now);
        let room = self.pace.ticks(self.limit.max_burst().into());
        let level = room.saturating_sub(self.full_at.saturating_sub(tick));
        (level / u128::from(self.pace.ticks_a_unit())) as u32
    }

    /// Whether it could be thrown away and made anew.
    pub(super) fn is_full(&mut self, now: Instant) -> bool {
        self.tick(now) >= self.full_at && self.leased == 0
    }

    /// How long it takes until `n` units could have been paid. Never zero.
    pub(super) fn wait_for(&mut self, now: Instant, n: u64) -> Duration {
        let tick = self.tick(now);
        self.wait_at(tick, n)
    }

    fn wait_at(&self, tick: u128, n: u64) -> Duration {
        let paid = self.full_at.max(tick) + self.pace.ticks(n);
        let room = tick + self.pace.ticks(self.limit.max_burst().into());
        self.pace
            .duration(paid.saturating_sub(room))
            .max(Duration::from_nanos(1))
    }

    /// Ok: when the bucket is full again after `n` units have been taken. Err: at which tick they can be.
    fn decide(&self, tick: u128, n: NonZeroU32) -> Result<u128, u128> {
        match &self.gcra {
            Some(gcra) if self.full_at < 2 * u128::from(REACH) => gcra
                .decide(self.full_at as u64, tick as u64, n)
                .map(u128::from)
                .map_err(u128::from),
            _ => {
                let full_at = self.full_at.max(tick) + self.pace.ticks(n.get().into());
                let at = full_at.saturating_sub(self.pace.ticks(self.limit.max_burst().into()));
                if at <= tick { Ok(full_at) } else { Err(at) }
            }
        }
    }

    /// The tick of `now`. Every operation starts here: it keeps ticks small and leased units out of the bucket.
    fn tick(&mut self, now: Instant) -> u128 {
        let mut tick = self.pace.since(self.origin, now);
        if tick >= u128::from(REACH) {
            self.full_at = self.full_at.saturating_sub(tick);
            self.without_debts = self.without_debts.saturating_sub(tick);
            self.origin = now;
            tick = 0;
        }
        if self.leased > 0 {
            let least = tick + self.pace.ticks(self.leased);
            self.full_at = self.full_at.max(least);
            self.without_debts = self.without_debts.max(least);
        }
        tick
    }

    fn instant(&self, tick: u128) -> Until {
        self.origin.checked_add(self.pace.duration(tick))
    }
}

#[cfg(test)]
mod tests;
