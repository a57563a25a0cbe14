//! Those who wait: order, wake-ups, cancellation, a new limit under way.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Mutex;

use futures::SinkExt;
use futures::future::join_all;
use pushpull::prelude::*;
use pushpull::rate::RateLimiter;
use tokio::time::{advance, sleep, timeout};

use super::*;

fn waiting(limiter: &RateLimiter) -> usize {
    let debug = format!("{limiter:?}");
    let (_, count) = debug.split_once("waiting: ").expect("it tells");
    count
        .split(',')
        .next()
        .expect("a count")
        .parse()
        .expect("a number")
}

/// Acquires one after another, all started at once, and tells when each passed (in milliseconds).
async fn times(limiter: &RateLimiter, costs: &[u32]) -> Vec<u128> {
    let start = Instant::now();
    join_all(costs.iter().map(|&cost| async move {
        limiter.acquire_n(cost).await;
        start.elapsed().as_millis()
    }))
    .await
}

// guarantee: R3
#[tokio::test(start_paused = true)]
async fn waiters_are_served_in_order() {
    let limiter = RateLimiter::new(RateLimit::per_second(10).burst(5));
    // The third could have passed at 400, before the second, if it were let.
    assert_eq!(
        times(&limiter, &[4, 5, 1, 0, 2]).await,
        [0, 400, 500, 0, 700]
    );
}

// guarantee: R3 (in instalments, and those behind are served at once after it)
#[tokio::test(start_paused = true)]
async fn a_cost_above_the_burst_takes_its_time_and_no_more() {
    let limiter = RateLimiter::new(RateLimit::per_second(10).burst(5));
    assert_eq!(
        times(&limiter, &[25, 1, 12, 1]).await,
        [2_000, 2_100, 3_300, 3_400]
    );
    let limited = limiter.try_acquire(1).unwrap_err();
    assert_eq!(limited.retry_after, ms(100), "all is paid");
}

// guarantee: R3
#[tokio::test(start_paused = true)]
async fn nobody_overtakes_a_waiter() {
    let limiter = RateLimiter::new(RateLimit::per_second(10).burst(5));
    assert!(limiter.try_acquire(3).is_ok());
    let mut waiter = pin!(limiter.acquire_n(4));
    assert!(poll_once(waiter.as_mut()).is_pending());
    assert_eq!(limiter.available(), 2);
    let limited = limiter.try_acquire(1).unwrap_err();
    assert_eq!(limited.retry_after, ms(300), "after the one who waits");
    advance(ms(299)).await;
    assert_eq!(limiter.available(), 4);
    assert!(
        limiter.try_acquire(1).is_err(),
        "its turn, though it has not come yet"
    );
    assert!(poll_once(waiter.as_mut()).is_ready());
    advance(ms(1)).await;
    assert!(limiter.try_acquire(1).is_ok());
}

// guarantee: R3
#[tokio::test(start_paused = true)]
async fn a_refusal_for_order_alone_has_a_delay_too() {
    let limiter = RateLimiter::new(RateLimit::per_second(1_000).burst(10));
    assert!(limiter.try_acquire(10).is_ok());
    let mut waiter = pin!(limiter.acquire_n(5));
    assert!(poll_once(waiter.as_mut()).is_pending());
    advance(ms(8)).await;
    let limited = limiter.try_acquire(3).unwrap_err();
    assert_eq!(
        limited.retry_after,
        Duration::from_nanos(1),
        "there is enough for both"
    );
}

// guarantee: R1 (the head's units are taken when it passes: until then the bucket goes no further than its brim)
#[tokio::test(start_paused = true)]
async fn a_late_waiter_has_no_burst_on_top() {
    let limiter = RateLimiter::new(RateLimit::per_second(10).burst(5));
    assert!(limiter.try_acquire(5).is_ok());
    let mut waiter = pin!(limiter.acquire_n(5));
    assert!(poll_once(waiter.as_mut()).is_pending());
    advance(HOUR).await;
    assert!(poll_once(waiter.as_mut()).is_ready());
    assert!(limiter.try_acquire(1).is_err());
}

// guarantee: R4
#[tokio::test(start_paused = true)]
async fn a_cancelled_waiter_leaves_no_trace() {
    let limiter = RateLimiter::new(RateLimit::per_second(10).burst(5));
    for polls in 0..4 {
        sleep(HOUR).await;
        assert!(limiter.try_acquire(5).is_ok());
        {
            let mut waiter = pin!(limiter.acquire_n(4));
            for _ in 0..polls {
                assert!(poll_once(waiter.as_mut()).is_pending());
                advance(ms(100)).await;
            }
            assert_eq!(waiting(&limiter), usize::from(polls > 0));
        }
        assert_eq!(waiting(&limiter), 0);
        assert_eq!(limiter.available(), polls);
    }
}

// guarantee: R4 (instalments go back, capped at the burst)
#[tokio::test(start_paused = true)]
async fn a_cancelled_great_cost_gives_its_instalments_back() {
    let limiter = RateLimiter::new(RateLimit::per_second(10).burst(5));
    assert!(limiter.try_acquire(5).is_ok());
    assert!(timeout(ms(300), limiter.acquire_n(100)).await.is_err());
    assert_eq!(limiter.available(), 3, "as if it had never been");
    assert!(timeout(SECOND, limiter.acquire_n(100)).await.is_err());
    assert_eq!(limiter.available(), 5, "13 were paid, 5 there is room for");
}

// guarantee: R4 (a cancelled head passes its turn on; one that was woken and then dropped does so too)
#[tokio::test(start_paused = true)]
async fn a_cancelled_head_wakes_the_next() {
    let limiter = RateLimiter::new(RateLimit::per_second(10).burst(5));
    assert!(limiter.try_acquire(5).is_ok());
    let start = Instant::now();
    let mut head = Box::pin(limiter.acquire_n(100));
    let mut second = Box::pin(limiter.acquire_n(5));
    assert!(poll_once(head.as_mut()).is_pending());
    assert!(poll_once(second.as_mut()).is_pending());
    let last = tokio::spawn({
        let limiter = limiter.clone();
        async move { limiter.acquire().await }
    });
    tokio::task::yield_now().await;
    sleep(ms(450)).await;
    drop(head); // the second is woken, and does not come
    assert!(!last.is_finished());
    drop(second);
    last.await.expect("it passes");
    assert_eq!(start.elapsed(), ms(450));
}

// guarantee: R4
#[tokio::test(start_paused = true)]
async fn a_new_limit_retimes_those_who_wait() {
    let limiter = RateLimiter::new(RateLimit::per_minute(1));
    assert!(limiter.try_acquire(1).is_ok());
    let start = Instant::now();
    let all = tokio::spawn({
        let limiter = limiter.clone();
        async move { times(&limiter, &[1, 1, 1]).await }
    });
    sleep(Duration::from_secs(15)).await;
    limiter.set_limit(RateLimit::per_second(1)); // faster: three quarters are missing
    sleep(ms(1_250)).await; // the first passed at 15,750; half of the second is paid
    limiter.set_limit(RateLimit::per_minute(2).burst(1)); // slower: 15 s for the other half
    assert_eq!(all.await.expect("no panic"), [15_750, 31_250, 61_250]);
    assert_eq!(start.elapsed(), ms(61_250));
}

// guarantee: R3, R4 (the burst may fall below what somebody waits for, and rise above it again)
#[tokio::test(start_paused = true)]
async fn a_new_burst_on_either_side_of_a_waiters_cost() {
    let limiter = RateLimiter::new(RateLimit::per_second(10).burst(10));
    assert!(limiter.try_acquire(10).is_ok());
    let change = async {
        sleep(ms(500)).await; // 5 of 8
        limiter.set_limit(RateLimit::per_second(10).burst(2)); // 2 of 8 are left
        sleep(ms(300)).await; // 5 of 8
        limiter.set_limit(RateLimit::per_second(10).burst(20));
    };
    let (times, ()) = tokio::join!(times(&limiter, &[8, 1]), change);
    assert_eq!(times, [1_100, 1_200]);
}

// guarantee: R3 (one wake a waiter, however long the line; no timers but the head's)
#[tokio::test(start_paused = true)]
async fn nobody_is_woken_without_need() {
    let limiter = RateLimiter::new(RateLimit::per_second(1));
    limiter.acquire().await;
    let polls = Arc::new(AtomicUsize::new(0));
    let tasks: Vec<_> = (0..50)
        .map(|_| {
            let (limiter, polls) = (limiter.clone(), Arc::clone(&polls));
            tokio::spawn(async move {
                let mut waiter = pin!(limiter.acquire());
                poll_fn(|cx| {
                    polls.fetch_add(1, Ordering::SeqCst);
                    waiter.as_mut().poll(cx)
                })
                .await;
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no panic");
    }
    // In the line; at the head, arming the timer; and passing.
    let polls = polls.load(Ordering::SeqCst);
    assert!(polls <= 3 * 50, "{polls} polls for 50 waiters");
}

// guarantee: R4 (the line is as long as there are living waiters)
#[tokio::test(start_paused = true)]
async fn the_line_does_not_grow_with_the_cancelled() {
    let limiter = RateLimiter::new(RateLimit::per_minute(1));
    limiter.acquire().await;
    let mut head = pin!(limiter.acquire());
    assert!(poll_once(head.as_mut()).is_pending());
    for _ in 0..100_000 {
        let mut waiter = pin!(limiter.acquire_n(3));
        assert!(poll_once(waiter.as_mut()).is_pending());
    }
    assert_eq!(waiting(&limiter), 1);
    let limited = limiter.try_acquire(1).unwrap_err();
    assert_eq!(
        limited.retry_after,
        Duration::from_secs(120),
        "nothing is owed for the dead"
    );
}

// guarantee: R3 (T7: a waiter that is due and will never come does not hold up the others for ever)
#[tokio::test(start_paused = true)]
async fn a_forgotten_waiter_is_stepped_over() {
    let limiter = RateLimiter::new(RateLimit::per_second(10).burst(5));
    assert!(limiter.try_acquire(5).is_ok());
    let start = Instant::now();
    for cost in [2, 50, 1] {
        let mut forgotten = Box::pin(limiter.acquire_n(cost));
        assert!(poll_once(forgotten.as_mut()).is_pending());
        std::mem::forget(forgotten);
    }
    // When all of them should have passed (at 5,400), and then 100 for each that does not come.
    assert_eq!(times(&limiter, &[1, 1]).await, [5_700, 5_700]);
    assert_eq!(start.elapsed(), ms(5_700));
    sleep(SECOND).await;
    assert!(
        limiter.try_acquire(5).is_ok(),
        "nor do they hold up anybody later"
    );
    assert_eq!(
        limiter.try_acquire(1).unwrap_err().retry_after,
        ms(100),
        "nothing is owed for them"
    );
}

// guarantee: R3 (the one that was stepped over has kept its place)
#[tokio::test(start_paused = true)]
async fn a_late_waiter_is_the_first_again() {
    let limiter = RateLimiter::new(RateLimit::per_second(10));
    assert!(limiter.try_acquire(1).is_ok());
    let mut late = pin!(limiter.acquire());
    assert!(poll_once(late.as_mut()).is_pending());
    let mut second = pin!(limiter.acquire());
    assert!(
        timeout(ms(250), second.as_mut()).await.is_ok(),
        "past the late one"
    );
    let mut third = pin!(limiter.acquire());
    assert!(poll_once(third.as_mut()).is_pending());
    assert!(
        poll_once(late.as_mut()).is_pending(),
        "no unit is left, but the next one is its own"
    );
    let start = Instant::now();
    let ((), third_at) = tokio::join!(late, async {
        third.await;
        start.elapsed()
    });
    assert_eq!(third_at, ms(200));

    let mut never = Box::pin(limiter.acquire());
    assert!(poll_once(never.as_mut()).is_pending());
    advance(HOUR).await;
    assert!(limiter.try_acquire(1).is_ok());
    assert_eq!(waiting(&limiter), 1);
    drop(never);
    assert_eq!(waiting(&limiter), 0, "dropped after all");
}

/// Uses the limiter when it is woken and when it is dropped: both must be outside of the lock.
struct Reentrant(RateLimiter, Wakes);

impl Wake for Reentrant {
    fn wake(self: Arc<Self>) {
        let _ = self.0.try_acquire(1);
        self.1.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Drop for Reentrant {
    fn drop(&mut self) {
        let _ = self.0.available();
    }
}

// guarantee: Q6
#[tokio::test(start_paused = true)]
async fn wakers_may_use_the_limiter() {
    let limiter = RateLimiter::new(RateLimit::per_minute(1));
    limiter.acquire().await;
    let waker = |limiter: &RateLimiter| Arc::new(Reentrant(limiter.clone(), Wakes::default()));
    let mut head = Box::pin(limiter.acquire());
    let mut second = Box::pin(limiter.acquire());
    assert!(
        head.as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_pending()
    );
    let (first, other) = (waker(&limiter), waker(&limiter));
    for it in [&first, &other] {
        let waker = Waker::from(Arc::clone(it));
        assert!(
            second
                .as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_pending()
        );
    }
    assert_eq!(Arc::strong_count(&first), 1, "replaced and dropped");
    drop(head);
    assert_eq!(
        (first.1.count(), other.1.count()),
        (0, 1),
        "woken once, by the last waker"
    );
    limiter.set_limit(RateLimit::per_second(1));
    assert_eq!(other.1.count(), 1, "already woken, not come since");
    drop(second);
    drop(first);
}

// guarantee: R1, R3 (many tasks, random cancellation: no unit too many, none lost, order kept)
#[tokio::test(start_paused = true)]
async fn a_crowd_with_cancellations() {
    let limit = RateLimit::per_second(100).burst(10);
    let limiter = RateLimiter::new(limit);
    let passes = Arc::new(Mutex::new(Vec::new()));
    let tasks: Vec<_> = (0..200_u64)
        .map(|n| {
            let (limiter, passes) = (limiter.clone(), Arc::clone(&passes));
            tokio::spawn(async move {
                let cost = (n % 7 + 1) as u32;
                let patience = if n % 3 == 0 { ms(n * 17 % 900) } else { HOUR };
                if timeout(patience, limiter.acquire_n(cost)).await.is_ok() {
                    passes.lock().unwrap().push((n, Instant::now(), cost));
                }
            })
        })
        .collect();
    let start = Instant::now();
    for task in tasks {
        task.await.expect("no panic");
    }
    let passes = Arc::into_inner(passes).unwrap().into_inner().unwrap();
    assert!(passes.is_sorted_by_key(|&(n, ..)| n), "in order");
    let timed: Vec<_> = passes.iter().map(|&(_, at, cost)| (at, cost)).collect();
    assert_within(limit, &timed);
    let total: u32 = passes.iter().map(|&(.., cost)| cost).sum();
    let due = Duration::from_secs(1) * (total - 10) / 100;
    assert!(
        start.elapsed() <= due + ms(10),
        "{:?} for {due:?}",
        start.elapsed()
    );
    assert_eq!(waiting(&limiter), 0);
}

// guarantee: R1, R4
#[tokio::test(start_paused = true)]
async fn what_a_cancelled_waiter_gives_back_is_not_there_twice() {
    // Leases that pass while the debt is paid.
    let limiter = RateLimiter::new(RateLimit::per_second(1).burst(4));
    let mut sinks = vec![];
    for _ in 0..4 {
        let mut sink = futures::sink::drain::<u32>().sink_rate_limit(&limiter);
        poll_fn(|cx| sink.poll_ready_unpin(cx)).await.expect("open");
        sinks.push(sink);
    }
    let mut heavy = Box::pin(limiter.acquire_n(100));
    assert!(poll_once(heavy.as_mut()).is_pending());
    sleep(ms(50_000)).await;
    for sink in &mut sinks {
        sink.start_send_unpin(0).expect("open");
    }
    drop(heavy);
    assert_eq!(limiter.available(), 0, "four have just passed");

    // Others that pass the one who is paid and does not come.
    let limiter = RateLimiter::new(RateLimit::per_second(1).burst(4));
    let mut heavy = Box::pin(limiter.acquire_n(100));
    assert!(poll_once(heavy.as_mut()).is_pending());
    sleep(ms(200_000)).await;
    assert!(limiter.try_acquire(4).is_ok());
    drop(heavy);
    assert_eq!(limiter.available(), 0, "four have just passed");
}
