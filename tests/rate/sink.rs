//! Limits on Sinks.

use std::pin::pin;

use futures::channel::mpsc;
use futures::{FutureExt, SinkExt, StreamExt, stream};
use pushpull::prelude::*;
use pushpull::rate::RateLimiter;
use tokio::time::{advance, sleep, timeout};

use super::*;

type Inner = mpsc::Sender<u32>;

async fn ready(sink: &mut (impl futures::Sink<u32, Error = mpsc::SendError> + Unpin)) {
    std::future::poll_fn(|cx| sink.poll_ready_unpin(cx))
        .await
        .expect("open");
}

fn is_ready(sink: &mut (impl futures::Sink<u32, Error = mpsc::SendError> + Unpin)) -> bool {
    std::future::poll_fn(|cx| sink.poll_ready_unpin(cx))
        .now_or_never()
        .is_some()
}

// guarantee: R1, R2
#[tokio::test(start_paused = true)]
async fn shapes_what_is_pushed() {
    let (tx, mut rx) = mpsc::channel::<u32>(64);
    let limit = RateLimit::per_second(10).burst(3);
    let mut sink = tx.sink_rate_limit(limit);
    let mut passes = vec![];
    for n in 0..40 {
        if n == 20 {
            sleep(HOUR).await;
        }
        sink.feed(n).await.expect("open");
        passes.push((Instant::now(), 1));
    }
    assert_within(limit, &passes);
    assert_eq!(passes[19].0 - passes[0].0, ms(1_700));
    assert_eq!(passes[39].0 - passes[20].0, ms(1_700));
    sink.close().await.expect("open");
    drop(sink);
    let all: Vec<_> = std::iter::from_fn(|| rx.next().now_or_never().flatten()).collect();
    assert_eq!(all, (0..40).collect::<Vec<_>>());
}

// guarantee: R1 (what is leased is missing in the bucket, however long the pause before it is used)
#[tokio::test(start_paused = true)]
async fn a_unit_on_lease_counts() {
    let limiter = RateLimiter::new(RateLimit::per_second(10).burst(3));
    let (tx, _rx) = mpsc::channel::<u32>(8);
    let mut sink = tx.sink_rate_limit(&limiter);
    ready(&mut sink).await;
    assert_eq!(limiter.available(), 2);
    advance(HOUR).await;
    ready(&mut sink).await;
    assert_eq!(
        limiter.available(),
        2,
        "ready twice is one lease; the bucket has no room for a third"
    );
    assert!(limiter.try_acquire(2).is_ok());
    sink.start_send_unpin(1).expect("open");
    assert_eq!(limiter.available(), 0);
    advance(ms(300)).await;
    assert_eq!(limiter.available(), 3);
}

// guarantee: R4 (a lease that is not used goes back)
#[tokio::test(start_paused = true)]
async fn a_dropped_or_closed_sink_returns_its_lease() {
    let limiter = RateLimiter::new(RateLimit::per_minute(1));
    let (tx, _rx) = mpsc::channel::<u32>(8);
    let mut sink = tx.clone().sink_rate_limit(&limiter);
    ready(&mut sink).await;
    assert!(limiter.try_acquire(1).is_err());
    drop(sink);
    assert_eq!(limiter.available(), 1);

    let mut sink = tx.clone().sink_rate_limit(&limiter);
    ready(&mut sink).await;
    sink.close().await.expect("open");
    assert_eq!(limiter.available(), 1);

    let mut sink = tx.sink_rate_limit(&limiter);
    ready(&mut sink).await;
    let _ = sink.into_inner();
    assert_eq!(limiter.available(), 1);
}

// guarantee: R3 (a lease ends: whoever could not be served because of it is woken, and not before)
#[tokio::test(start_paused = true)]
async fn the_end_of_a_lease_wakes_the_head() {
    for (send, due) in [(true, ms(100)), (false, Duration::ZERO)] {
        let limiter = RateLimiter::new(RateLimit::per_second(10).burst(2));
        let (tx, _rx) = mpsc::channel::<u32>(8);
        let mut sink = tx.sink_rate_limit(&limiter);
        ready(&mut sink).await;
        let polls = Arc::new(AtomicUsize::new(0));
        let waiter = tokio::spawn({
            let (limiter, polls) = (limiter.clone(), Arc::clone(&polls));
            async move {
                let mut waiter = pin!(limiter.acquire_n(2));
                std::future::poll_fn(|cx| {
                    polls.fetch_add(1, Ordering::SeqCst);
                    waiter.as_mut().poll(cx)
                })
                .await;
                Instant::now()
            }
        });
        sleep(HOUR).await;
        assert_eq!(
            polls.load(Ordering::SeqCst),
            1,
            "one of two is leased: time alone will not do"
        );
        let start = Instant::now();
        if send {
            sink.start_send_unpin(1).expect("open");
        } else {
            drop(sink);
        }
        assert_eq!(waiter.await.expect("no panic") - start, due);
    }
}

// guarantee: R4 (a lease counts under another limit as well)
#[tokio::test(start_paused = true)]
async fn a_lease_under_a_new_limit() {
    let limiter = RateLimiter::new(RateLimit::per_second(10).burst(3));
    let (tx, _rx) = mpsc::channel::<u32>(8);
    let mut sink = tx.sink_rate_limit(&limiter);
    ready(&mut sink).await;
    limiter.set_limit(RateLimit::per_second(10).burst(5));
    advance(HOUR).await;
    assert_eq!(limiter.available(), 4);
    assert!(limiter.try_acquire(4).is_ok());

    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    let mut waiter = pin!(limiter.acquire_n(2));
    assert!(
        waiter
            .as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_pending()
    );
    limiter.set_limit(RateLimit::per_second(10).burst(2));
    assert_eq!(wakes.count(), 1);
    assert!(
        waiter
            .as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_pending()
    );
    sleep(HOUR).await;
    assert_eq!(wakes.count(), 1, "the timer of before is gone");
    drop(sink);
    assert_eq!(wakes.count(), 2);
    assert!(
        waiter
            .as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_ready()
    );
}

// guarantee: R3 (a sink without room keeps no unit from the others)
#[tokio::test(start_paused = true)]
async fn room_comes_before_the_unit() {
    let limiter = RateLimiter::new(RateLimit::per_minute(1));
    let (tx, _rx) = mpsc::channel::<u32>(0);
    let mut full = tx.sink_rate_limit(&limiter);
    limiter.set_limit(RateLimit::per_second(1));
    full.feed(1).await.expect("open");
    assert!(!is_ready(&mut full));
    advance(SECOND).await;
    assert!(!is_ready(&mut full), "no room");
    assert!(limiter.try_acquire(1).is_ok(), "and so no unit");
}

// guarantee: R3 (sinks and streams on one limiter take turns)
#[tokio::test(start_paused = true)]
async fn a_sink_and_a_stream_share() {
    let limiter = RateLimiter::new(RateLimit::per_second(10));
    let start = Instant::now();
    let (tx, _rx) = mpsc::channel::<u32>(8);
    let mut sink = tx.sink_rate_limit(&limiter);
    let push = async {
        for n in 0..5 {
            sink.feed(n).await.expect("open");
        }
        start.elapsed()
    };
    let items = stream::iter([1; 5]).rate_limit(&limiter);
    let pull = async {
        items.collect::<Vec<_>>().await;
        start.elapsed()
    };
    let (pushed, pulled) = tokio::join!(push, pull);
    assert_eq!(pushed.max(pulled), ms(900));
    assert_eq!(pushed.min(pulled), ms(700), "in turns");
}

// guarantee: R4 (closed, it has left the line)
#[tokio::test(start_paused = true)]
async fn closing_leaves_the_line() {
    let limiter = RateLimiter::new(RateLimit::per_second(10));
    assert!(limiter.try_acquire(1).is_ok());
    let (tx, _rx) = mpsc::channel::<u32>(8);
    let mut sink = tx.sink_rate_limit(&limiter);
    assert!(!is_ready(&mut sink));
    advance(ms(150)).await;
    assert!(limiter.try_acquire(1).is_err(), "the sink's turn");
    sink.close().await.expect("open");
    assert!(limiter.try_acquire(1).is_ok());
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "start_send without poll_ready")]
async fn start_send_without_poll_ready_panics() {
    let (tx, _rx) = mpsc::channel::<u32>(8);
    let mut sink = tx.sink_rate_limit(RateLimit::per_second(1));
    let _ = sink.start_send_unpin(1);
}

#[tokio::test(start_paused = true)]
async fn errors_are_the_inner_sinks() {
    let (tx, rx) = mpsc::channel::<u32>(8);
    let limiter = RateLimiter::new(RateLimit::per_minute(1));
    let mut sink = PushExt::<u32>::sink_rate_limit(tx, &limiter);
    drop(rx);
    assert!(sink.send(1).await.expect_err("closed").is_disconnected());
    assert_eq!(limiter.available(), 1, "a closed sink takes no unit");
    assert!(sink.get_mut().is_closed());
    let _: &Inner = sink.get_ref();
}

struct PanicOnWake;

impl Wake for PanicOnWake {
    fn wake(self: Arc<Self>) {
        panic!("waker panics");
    }
}

// guarantee: R1
#[tokio::test(start_paused = true)]
async fn a_waker_that_panics_leaves_no_lease_behind() {
    let limiter = RateLimiter::new(RateLimit::per_second(1).burst(1));
    limiter.acquire().await;
    let (tx, _rx) = mpsc::channel::<u32>(8);
    let mut first = tx.sink_rate_limit(&limiter);
    assert!(!is_ready(&mut first));
    let mut second = Box::pin(limiter.acquire());
    let waker = Waker::from(Arc::new(PanicOnWake));
    let waits = second.as_mut().poll(&mut Context::from_waker(&waker));
    assert!(waits.is_pending());

    advance(SECOND).await;
    let ready = std::panic::AssertUnwindSafe(ready(&mut first)).catch_unwind();
    assert!(ready.await.is_err(), "it woke the second");
    drop((first, second));
    let other = timeout(HOUR, limiter.acquire()).await;
    assert!(other.is_ok(), "nobody holds a lease");
}
