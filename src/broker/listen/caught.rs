//! Futures of users whose panics stay with them.

use std::any::Any;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

/// What the future answers, or the message of its panic.
pub(super) async fn caught<T>(future: impl Future<Output = T>) -> Result<T, String> {
    let mut future = pin!(Some(future));
    let outcome = poll_fn(|cx| {
        let poll = || match future.as_mut().as_pin_mut() {
            Some(future) => future.poll(cx),
            None => Poll::Pending,
        };
        match catch_unwind(AssertUnwindSafe(poll)) {
            Ok(polled) => polled.map(Ok),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    })
    .await;
    // What is left of the future may panic as it goes.
    let dropped = catch_unwind(AssertUnwindSafe(|| future.set(None)));
    match (outcome, dropped) {
        (Ok(value), Ok(())) => Ok(value),
        (Ok(_), Err(panic)) | (Err(panic), Ok(())) => Err(message(panic)),
        (Err(panic), Err(second)) => {
            forget(second);
            Err(message(panic))
        }
    }
}

fn message(panic: Box<dyn Any + Send>) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    forget(panic);
    text.unwrap_or_else(|| "without a message".into())
}

/// Drops what was thrown, which may throw in turn.
pub(super) fn forget(panic: Box<dyn Any + Send>) {
    if let Err(next) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        std::mem::forget(next);
    }
}
