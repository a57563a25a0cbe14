//! Rate limits on paused time: what passes when, who waits how, and what is given back.
#![cfg(feature = "rate")]

mod adaptors;
mod keyed;
mod limiter;
mod sink;
mod waiting;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use pushpull::rate::RateLimit;
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Polls once without a runtime's help.
fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// Counts how often it is woken.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wakes {
    fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// The window property, exactly: between any two passes, both included, no more than burst + rate x time.
#[track_caller]
fn assert_within(limit: RateLimit, passes: &[(Instant, u32)]) {
    let period = limit.period().as_nanos();
    let burst = u128::from(limit.max_burst()) * period;
    for (first, &(from, _)) in passes.iter().enumerate() {
        let mut sum = 0;
        for &(at, cost) in &passes[first..] {
            sum += u128::from(cost) * period;
            let most = burst + (at - from).as_nanos() * u128::from(limit.units());
            assert!(
                sum <= most,
                "{limit:?}: {sum} of {most} parts in {:?}",
                at - from
            );
        }
    }
}
