//! Limiters.
//!
//! guarantee: T5

use std::future::Future;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::future::LocalBoxFuture;
use futures::{FutureExt, SinkExt, StreamExt};
use futures_test::task::noop_waker;
use pushpull::prelude::*;
use pushpull::rate::{KeyedRateLimiter, RateLimit, RateLimiter};
use tokio::time::Instant;

fn poll<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    std::pin::Pin::new(future).poll(&mut Context::from_waker(waker))
}

/// Ten a second, one at once.
fn limit() -> RateLimit {
    RateLimit::per_second(10).burst(1)
}

type Call = fn(RateLimiter, KeyedRateLimiter<u8>) -> LocalBoxFuture<'static, ()>;

const CALLS: &[(&str, Call)] = &[
    ("acquire", |limiter, _| {
        async move { limiter.acquire().await }.boxed_local()
    }),
    ("acquire_n", |limiter, _| {
        async move { limiter.acquire_n(5).await }.boxed_local()
    }),
    ("keyed acquire", |_, keyed| {
        async move { keyed.acquire(&7).await }.boxed_local()
    }),
    ("keyed acquire_n", |_, keyed| {
        async move { keyed.acquire_n(&7, 5).await }.boxed_local()
    }),
];

#[tokio::test(start_paused = true)]
async fn a_cancelled_acquire_costs_nobody_anything() {
    // guarantee: R4
    for (name, call) in CALLS {
        for polls in 0..4 {
            let (limiter, keyed) = (RateLimiter::new(limit()), KeyedRateLimiter::new(limit()));
            limiter.acquire().await;
            keyed.acquire(&7).await;
            let begun = Instant::now();
            let mut cancelled = call(limiter.clone(), keyed.clone());
            for _ in 0..polls {
                assert!(poll(&mut cancelled, &noop_waker()).is_pending(), "{name}");
                tokio::time::advance(Duration::from_millis(20)).await;
            }
            drop(cancelled);
            // The next one waits for its own unit only, from when the first was taken.
            if name.starts_with("keyed") {
                keyed.acquire(&7).await;
            } else {
                limiter.acquire().await;
            }
            assert_eq!(
                begun.elapsed(),
                Duration::from_millis(100),
                "{name}, {polls} polls"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_head_of_the_line_lets_the_next_go_on() {
    // guarantee: R3, R4
    for (name, call) in CALLS {
        let (limiter, keyed) = (RateLimiter::new(limit()), KeyedRateLimiter::new(limit()));
        limiter.acquire().await;
        keyed.acquire(&7).await;
        let begun = Instant::now();
        let head = tokio::task::LocalSet::new();
        let first = head.spawn_local(call(limiter.clone(), keyed.clone()));
        let second = head.spawn_local({
            let (limiter, keyed) = (limiter.clone(), keyed.clone());
            let keyed_call = name.starts_with("keyed");
            async move {
                if keyed_call {
                    keyed.acquire(&7).await;
                } else {
                    limiter.acquire().await;
                }
            }
        });
        head.run_until(async {
            tokio::time::sleep(Duration::from_millis(30)).await;
            first.abort();
            second.await.expect("it goes on");
        })
        .await;
        assert_eq!(begun.elapsed(), Duration::from_millis(100), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn limited_streams_and_sinks_cancelled_in_select_lose_nothing() {
    // guarantee: R6
    let mut stream = futures::stream::iter(0..50).rate_limit(RateLimit::per_second(100).burst(1));
    let mut seen = Vec::new();
    while seen.len() < 50 {
        tokio::select! {
            biased;
            () = tokio::time::sleep(Duration::from_millis(3)) => {}
            item = stream.next() => seen.extend(item),
        }
    }
    assert!(seen.into_iter().eq(0..50));
    assert_eq!(stream.next().await, None);

    let (tx, rx) = futures::channel::mpsc::unbounded();
    let mut sink = tx.sink_rate_limit(RateLimit::per_second(100).burst(1));
    let mut sent = 0;
    while sent < 50 {
        let ready = tokio::time::timeout(
            Duration::from_millis(3),
            std::future::poll_fn(|cx| sink.poll_ready_unpin(cx)),
        );
        if ready.await.is_ok() {
            sink.start_send_unpin(sent).expect("open");
            sent += 1;
        }
    }
    drop(sink);
    assert!(rx.collect::<Vec<_>>().await.into_iter().eq(0..50));
}
