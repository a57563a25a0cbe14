//! One bucket per key.

use std::pin::pin;

use futures::future::join_all;
use futures::{FutureExt, StreamExt, stream};
use pushpull::prelude::*;
use pushpull::rate::KeyedRateLimiter;
use tokio::time::{advance, sleep, timeout};

use super::*;

// guarantee: R2, R4
#[tokio::test(start_paused = true)]
async fn keys_do_not_share() {
    let limiter = KeyedRateLimiter::new(RateLimit::per_second(1).burst(2));
    let clone = limiter.clone();
    assert!(limiter.try_acquire(&"a", 2).is_ok());
    assert_eq!(clone.try_acquire(&"a", 1).unwrap_err().retry_after, SECOND);
    assert!(clone.try_acquire(&"b", 2).is_ok());
    assert!(
        KeyedRateLimiter::from(&limiter)
            .try_acquire(&"b", 1)
            .is_err()
    );
    let start = Instant::now();
    limiter.acquire(&"a").await;
    assert_eq!(start.elapsed(), SECOND);
    limiter.acquire(&"b").await;
    assert_eq!(start.elapsed(), SECOND, "had filled meanwhile");
    limiter.acquire_n(&"c", 5).await;
    assert_eq!(start.elapsed(), 4 * SECOND, "above the burst");
    limiter.acquire_n(&"d", 0).await;
    assert!(limiter.try_acquire(&"d", 0).is_ok());
    assert_eq!(limiter.limit(), RateLimit::per_second(1).burst(2));
    assert!(format!("{limiter:?}").contains("keys: "));
}

// guarantee: R3
#[tokio::test(start_paused = true)]
async fn waiters_of_a_key_are_served_in_order() {
    let limiter = KeyedRateLimiter::new(RateLimit::per_second(10));
    let start = Instant::now();
    let at = join_all(["a", "a", "b", "a", "b"].map(|key| {
        let limiter = &limiter;
        async move {
            limiter.acquire(&key).await;
            start.elapsed().as_millis()
        }
    }))
    .await;
    assert_eq!(at, [0, 100, 0, 200, 100]);
}

#[tokio::test(start_paused = true)]
async fn idle_keys_leave_by_themselves() {
    let limiter = KeyedRateLimiter::new(RateLimit::per_second(10).burst(5));
    assert!(limiter.is_empty());
    for key in 0..1_000 {
        assert!(limiter.try_acquire(&key, 1).is_ok());
        assert!(limiter.try_acquire(&key, 1).is_ok());
    }
    assert_eq!(limiter.len(), 1_000);
    advance(ms(199)).await;
    assert_eq!(limiter.len(), 1_000, "not quite full again");
    assert!(limiter.try_acquire(&0, 1).is_ok());
    advance(ms(1)).await;
    assert_eq!(limiter.len(), 1);
    assert_eq!(
        limiter.try_acquire(&0, 5).unwrap_err().retry_after,
        ms(100),
        "the one in use stayed"
    );
    advance(ms(100)).await;
    assert!(limiter.is_empty());
}

/// Counts the living.
#[derive(PartialEq, Eq, Hash)]
struct Counted(u64, Count);

struct Count(Arc<AtomicUsize>);

impl Count {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(count))
    }
}

impl PartialEq for Count {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Count {}

impl std::hash::Hash for Count {
    fn hash<H: std::hash::Hasher>(&self, _: &mut H) {}
}

impl Clone for Counted {
    fn clone(&self) -> Self {
        Self(self.0, Count::new(&self.1.0))
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

// guarantee: R2 (nobody asks for `len`: calls alone keep the table small)
#[tokio::test(start_paused = true)]
async fn a_stream_of_new_keys_does_not_pile_up() {
    let living = Arc::new(AtomicUsize::new(0));
    let limiter = KeyedRateLimiter::new(RateLimit::per_second(100));
    let mut most = 0;
    for n in 0..100_000 {
        let key = Counted(n, Count::new(&living));
        assert!(limiter.try_acquire(&key, 1).is_ok());
        advance(Duration::from_micros(100)).await;
        most = most.max(living.load(Ordering::SeqCst));
    }
    // A key is full again after 10 ms or 100 keys; sweeps are 100 ms or 1,000 keys apart.
    assert!(most <= 1_200, "{most} keys of 100,000");
    drop(limiter);
    assert_eq!(living.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_waited_for_stays() {
    let limiter = KeyedRateLimiter::new(RateLimit::per_second(10));
    assert!(limiter.try_acquire(&1, 1).is_ok());
    let mut waiter = pin!(limiter.acquire(&1));
    assert!(poll_once(waiter.as_mut()).is_pending());
    advance(ms(199)).await;
    assert_eq!(limiter.len(), 1);
    assert!(
        limiter.try_acquire(&1, 1).is_err(),
        "nor is it made anew behind the waiter's back"
    );
    advance(HOUR).await;
    assert_eq!(limiter.len(), 1);
    assert!(poll_once(waiter.as_mut()).is_ready());
    advance(HOUR).await;
    assert!(limiter.is_empty());
}

// guarantee: R4
#[tokio::test(start_paused = true)]
async fn a_new_limit_is_for_all_keys_and_their_waiters() {
    let limiter = KeyedRateLimiter::new(RateLimit::per_minute(1).burst(4));
    assert!(limiter.try_acquire(&"a", 3).is_ok());
    assert!(limiter.try_acquire(&"b", 4).is_ok());
    let start = Instant::now();
    let waiters = join_all(["b", "b"].map(|key| {
        let limiter = &limiter;
        async move {
            limiter.acquire(&key).await;
            start.elapsed().as_millis()
        }
    }));
    let change = async {
        sleep(ms(30_000)).await;
        limiter.set_limit(RateLimit::per_second(1).burst(4));
        assert!(limiter.try_acquire(&"a", 2).is_err(), "carried over: 1.5");
        assert!(limiter.try_acquire(&"a", 1).is_ok());
        assert!(limiter.try_acquire(&"new", 4).is_ok());
    };
    let (at, ()) = tokio::join!(waiters, change);
    assert_eq!(at, [30_500, 31_500]);
    assert_eq!(limiter.limit(), RateLimit::per_second(1).burst(4));
    advance(4 * SECOND).await;
    assert!(limiter.is_empty());
}

// guarantee: R4
#[tokio::test(start_paused = true)]
async fn a_cancelled_waiter_of_a_key() {
    let limiter = KeyedRateLimiter::new(RateLimit::per_second(10).burst(2));
    assert!(timeout(ms(100), limiter.acquire_n(&1, 50)).await.is_err());
    assert!(limiter.try_acquire(&1, 2).is_ok());
    assert!(limiter.try_acquire(&1, 1).is_err());
}

/// A key that uses the limiter whenever it is cloned or dropped.
#[derive(PartialEq, Eq, Hash)]
struct Meddler(u8, Handle);

#[derive(Clone)]
struct Handle(KeyedRateLimiter<Meddler>);

impl PartialEq for Handle {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Handle {}

impl std::hash::Hash for Handle {
    fn hash<H: std::hash::Hasher>(&self, _: &mut H) {}
}

impl Clone for Meddler {
    fn clone(&self) -> Self {
        let _ = self.1.0.limit();
        Self(self.0, self.1.clone())
    }
}

impl Drop for Meddler {
    fn drop(&mut self) {
        let _ = self.1.0.limit();
    }
}

// guarantee: Q6
#[tokio::test(start_paused = true)]
async fn keys_are_cloned_and_dropped_outside_of_the_lock() {
    let limiter = KeyedRateLimiter::new(RateLimit::per_second(10));
    let key = |n| Meddler(n, Handle(limiter.clone()));
    for n in 0..10 {
        assert!(limiter.try_acquire(&key(n), 1).is_ok());
        assert!(limiter.try_acquire(&key(n), 1).is_err());
    }
    assert_eq!(limiter.len(), 10);
    advance(SECOND).await;
    assert!(
        limiter.try_acquire(&key(0), 1).is_ok(),
        "sweeps ten out, and one of them in"
    );
    assert_eq!(limiter.len(), 1);
    advance(SECOND).await;
    assert!(limiter.is_empty());
}

// guarantee: R3 (in order: a waiting key holds back the others)
#[tokio::test(start_paused = true)]
async fn a_waiting_key_holds_back_the_others() {
    let start = Instant::now();
    let limiter = KeyedRateLimiter::new(RateLimit::per_second(10));
    let items = stream::iter(["a", "b", "a", "c", "a", "b"]).rate_limit_by(&limiter, |key| *key);
    let at: Vec<_> = items
        .map(|key| (key, start.elapsed().as_millis()))
        .collect()
        .await;
    assert_eq!(
        at,
        [
            ("a", 0),
            ("b", 0),
            ("a", 100),
            ("c", 100),
            ("a", 200),
            ("b", 200)
        ]
    );
    assert_eq!(limiter.len(), 2, "c is full again");
}

#[tokio::test(start_paused = true)]
async fn a_dropped_adaptor_leaves_its_keys_line() {
    let limiter = KeyedRateLimiter::new(RateLimit::per_second(10));
    let mut items = stream::repeat(1).rate_limit_by(limiter.clone(), |&key| key);
    assert_eq!(items.next().await, Some(1));
    assert!(items.next().now_or_never().is_none());
    advance(ms(100)).await;
    assert!(limiter.try_acquire(&1, 1).is_err(), "the adaptor's turn");
    drop(items);
    assert!(limiter.try_acquire(&1, 1).is_ok());
}
