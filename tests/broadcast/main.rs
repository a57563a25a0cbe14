//! The broadcast, one file for each of its sides.

mod close;
mod hub;
mod lossless;
mod lossy;
mod replay;
mod runs;
mod sink;

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use pushpull::broadcast::Subscriber;

/// One poll by nobody in particular.
fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    poll_with(future, Waker::noop())
}

fn poll_with<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(waker))
}

/// Everything that can be read at this moment.
fn rest<T: Clone>(subscriber: &mut Subscriber<T>) -> Vec<T> {
    std::iter::from_fn(|| subscriber.try_pull().ok()).collect()
}

/// What it panics with.
fn panic_of<R>(act: impl FnOnce() -> R) -> String {
    let Err(payload) = catch_unwind(AssertUnwindSafe(act)) else {
        panic!("it did not panic");
    };
    match payload.downcast::<String>() {
        Ok(message) => *message,
        Err(payload) => payload
            .downcast_ref::<&str>()
            .map_or_else(String::new, |m| (*m).to_owned()),
    }
}
