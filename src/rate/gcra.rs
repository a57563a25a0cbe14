//! `governor`, asked for one decision at a time about state that is kept elsewhere.

use std::cell::Cell;
use std::hash::{Hash, Hasher};
use std::num::NonZeroU32;
use std::time::Duration;

use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::{Quota, RateLimiter};

use super::clock::Dial;

/// A bucket that takes this many ticks to fill is beyond governor's 64-bit sums.
pub(super) const REACH: u64 = 1 << 62;

/// A governor for one interval and one burst, both counted in ticks where it believes in nanoseconds.
///
/// Its extension points are what make this possible: the clock is ours ([`Dial`]), and so is the state store. A keyed
/// limiter of governor's is one set of rules for many states, each found by its key; here the key *is* the state.
/// So governor judges, and what it cannot do (debts, refunds, leases, new limits) is done to the state directly.
#[derive(Debug)]
pub(super) struct Gcra(RateLimiter<FullAt, InKey, Dial, NoOpMiddleware<Nanos>>);

impl Gcra {
    /// `None` where governor's arithmetic could overflow.
    pub(super) fn new(ticks_a_unit: u64, burst: u32) -> Option<Self> {
        let burst = NonZeroU32::new(burst)?;
        if ticks_a_unit.checked_mul(u64::from(burst.get()))? >= REACH {
            return None;
        }
        let quota = Quota::with_period(Duration::from_nanos(ticks_a_unit))?.allow_burst(burst);
        Some(Self(RateLimiter::new(quota, InKey, Dial::default())))
    }

    /// Whether `n` units may pass at tick `now` from a bucket that is full again at tick `full_at`.
    /// Ok: when it is full again after that. Err: at which tick they may pass.
    ///
    /// Asks for `now < REACH`, `full_at < 2 * REACH`, and `n` within the burst.
    pub(super) fn decide(&self, full_at: u64, now: u64, n: NonZeroU32) -> Result<u64, u64> {
        let state = FullAt(Cell::new(full_at));
        self.0.clock().set(now);
        match self.0.check_key_n(&state, n) {
            Ok(Ok(())) => Ok(state.0.get()),
            Ok(Err(until)) => Err(until.earliest_possible().as_u64()),
            Err(_) => Err(u64::MAX),
        }
    }
}

/// GCRA's "theoretical arrival time": when the bucket is full again.
#[derive(Clone, Debug, PartialEq, Eq)]
struct FullAt(Cell<u64>);

/// What governor asks of keys, and this store never needs.
impl Hash for FullAt {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.0.get().hash(hasher);
    }
}

/// Finds the state in the key itself.
#[derive(Debug)]
struct InKey;

impl StateStore for InKey {
    type Key = FullAt;

    fn measure_and_replace<T, F, E>(&self, key: &FullAt, judge: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let (verdict, full_at) = judge(Some(key.0.get().into()))?;
        key.0.set(full_at.into());
        Ok(verdict)
    }
}
