//! One bucket per key.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
// Of keys: they are compared and hashed, which loom's cannot do, and nothing races for them.
use std::sync::Arc as KeyArc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Limited, RateLimit, RateLimiter};
use crate::sync::{Arc, Mutex, lock};
use crate::wake::WakeList;

/// A rate limit for each key by itself: one bucket per user, address or topic. Shared by cloning.
///
/// A key's bucket is made, full, when the key is first seen, and thrown away when it is full again and nobody waits
/// for it, which changes nothing. No task does this: calls sweep, at most once in the time in which an empty bucket
/// fills up and not more than ten times a second, and so do [`KeyedRateLimiter::len`] and
/// [`KeyedRateLimiter::is_empty`].
///
/// A key's `Hash` and `Eq` run under the lock of the limiter, so they must not use it. Keys are cloned and dropped
/// outside of it.
///
/// # Examples
/// ```
/// use pushpull::rate::{KeyedRateLimiter, RateLimit};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let limiter = KeyedRateLimiter::new(RateLimit::per_second(1));
/// assert!(limiter.try_acquire(&"ann", 1).is_ok());
/// assert!(limiter.try_acquire(&"ann", 1).is_err());
/// assert!(limiter.try_acquire(&"bob", 1).is_ok());
/// assert_eq!(limiter.len(), 2);
///
/// limiter.acquire(&"ann").await; // a second later bob's bucket is full again
/// assert_eq!(limiter.len(), 1);
/// # }
/// ```
pub struct KeyedRateLimiter<K> {
    table: Arc<Mutex<Table<K>>>,
}

impl<K> KeyedRateLimiter<K> {
    /// Makes a limiter that allows `limit` to each key.
    pub fn new(limit: RateLimit) -> Self {
        let table = Table {
            limit,
            keys: HashMap::new(),
            sweep_at: None,
        };
        Self {
            table: Arc::new(Mutex::new(table)),
        }
    }

    /// Sets another limit for each key, from now on and for those who wait already. Levels are carried over, as
    /// [`RateLimiter::set_limit`] does it. Takes time in proportion to the number of keys.
    pub fn set_limit(&self, limit: RateLimit) {
        let now = Instant::now();
        let mut heads = WakeList::new();
        {
            let mut table = lock(&self.table);
            table.limit = limit;
            table.sweep_at = None;
            for limiter in table.keys.values() {
                if let Some(head) = limiter.swap_limit(now, limit) {
                    heads.push(head);
                }
            }
        }
        heads.wake_all();
    }

    /// The limit that each key has as it is now.
    pub fn limit(&self) -> RateLimit {
        lock(&self.table).limit
    }
}

impl<K: Eq + Hash> KeyedRateLimiter<K> {
    /// The number of keys whose buckets are not full, or which are waited for. Sweeps the others out, which takes time
    /// in proportion to the number of keys.
    pub fn len(&self) -> usize {
        let now = Instant::now();
        let (gone, len) = {
            let mut table = lock(&self.table);
            (table.sweep(now), table.keys.len())
        };
        drop(gone);
        len
    }

    /// Whether [`KeyedRateLimiter::len`] is 0.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<K: Clone + Eq + Hash> KeyedRateLimiter<K> {
    /// Waits for one unit of `key`.
    ///
    /// # Cancel safety
    /// Takes nothing unless it completes.
    ///
    /// # Panics
    /// Where it has to wait outside of a tokio runtime, or in one without its time driver.
    pub async fn acquire(&self, key: &K) {
        self.acquire_n(key, 1).await;
    }

    /// Waits for `n` units of `key`, in line with the others who wait for that key, as [`RateLimiter::acquire_n`].
    ///
    /// # Cancel safety
    /// Dropped before it completes, it leaves the line and gives back what it had been paid, as far as the burst has
    /// room for it.
    ///
    /// # Panics
    /// Where it has to wait outside of a tokio runtime, or in one without its time driver.
    pub async fn acquire_n(&self, key: &K, n: u32) {
        if n > 0 {
            self.bucket(key).acquire_n(n).await;
        }
    }

    /// Takes `n` units of `key` now or not at all.
    ///
    /// # Errors
    /// [`Limited`] where the units are not there, or others wait for theirs, as [`RateLimiter::try_acquire`].
    pub fn try_acquire(&self, key: &K, n: u32) -> Result<(), Limited<()>> {
        if n == 0 {
            return Ok(());
        }
        self.bucket(key).try_acquire(n)
    }

    /// The bucket of `key`. While a clone of it is held it is not swept.
    pub(super) fn bucket(&self, key: &K) -> RateLimiter {
        let now = Instant::now();
        let mut owned = None;
        loop {
            // Dropped after the lock is released, like the key that turned out to be there.
            let _gone;
            let mut table = lock(&self.table);
            if let Some(limiter) = table.keys.get(key) {
                let limiter = limiter.clone();
                _gone = table.sweep_when_due(now);
                return limiter;
            }
            if let Some(key) = owned.take() {
                _gone = table.sweep_when_due(now);
                let limiter = RateLimiter::exact(table.limit, now);
                table.keys.insert(Key(key), limiter.clone());
                return limiter;
            }
            drop(table);
            owned = Some(KeyArc::new(key.clone()));
        }
    }
}

impl<K> Clone for KeyedRateLimiter<K> {
    fn clone(&self) -> Self {
        Self {
            table: Arc::clone(&self.table),
        }
    }
}

impl<K> From<RateLimit> for KeyedRateLimiter<K> {
    fn from(limit: RateLimit) -> Self {
        Self::new(limit)
    }
}

impl<K> From<&Self> for KeyedRateLimiter<K> {
    fn from(limiter: &Self) -> Self {
        limiter.clone()
    }
}

impl<K> fmt::Debug for KeyedRateLimiter<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (limit, keys) = {
            let table = lock(&self.table);
            (table.limit, table.keys.len())
        };
        f.debug_struct("KeyedRateLimiter")
            .field("limit", &limit)
            .field("keys", &keys)
            .finish_non_exhaustive()
    }
}

/// Shared so that a swept key outlives the lock under which it was swept.
#[derive(PartialEq, Eq, Hash)]
struct Key<K>(KeyArc<K>);

impl<K> Borrow<K> for Key<K> {
    fn borrow(&self) -> &K {
        &self.0
    }
}

struct Table<K> {
    limit: RateLimit,
    keys: HashMap<Key<K>, RateLimiter>,
    sweep_at: Option<Instant>,
}

impl<K: Eq + Hash> Table<K> {
    /// Sweeps if the last time is long enough ago. A key that survives was used within that time, so sweeping costs a
    /// call no more than a look at a key or two on average.
    fn sweep_when_due(&mut self, now: Instant) -> Vec<KeyArc<K>> {
        match self.sweep_at {
            Some(at) if now >= at => self.sweep(now),
            Some(_) => Vec::new(),
            None => {
                self.schedule(now);
                Vec::new()
            }
        }
    }

    /// Takes out the keys whose buckets are full and used by nobody.
    fn sweep(&mut self, now: Instant) -> Vec<KeyArc<K>> {
        let mut gone = Vec::new();
        self.keys.retain(|key, limiter| {
            let idle = limiter.is_unshared() && limiter.is_idle(now);
            if idle {
                gone.push(KeyArc::clone(&key.0));
            }
            !idle
        });
        let keys = self.keys.len();
        if self.keys.capacity() / 8 > keys {
            self.keys.shrink_to(2 * keys);
        }
        self.schedule(now);
        gone
    }

    fn schedule(&mut self, now: Instant) {
        let units = u128::from(self.limit.units());
        let nanos = self.limit.period().as_nanos() * u128::from(self.limit.max_burst()) / units;
        let fills_up_in = u64::try_from(nanos).map_or(Duration::MAX, Duration::from_nanos);
        self.sweep_at = now.checked_add(fills_up_in.max(Duration::from_millis(100)));
    }
}
