//! [`Each`]: an async function as a `Sink`.

#[cfg(feature = "retry")]
mod retry;

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use futures_sink::Sink;
use futures_util::stream::FuturesUnordered;

#[cfg(feature = "retry")]
pub use retry::{EachRetry, GaveUp};

/// Makes a sink of an async function: every item pushed is handed to `f`, and the future that it returns is the
/// sink's work.
///
/// One item at a time and in order, unless [`concurrency`](Each::concurrency) says otherwise. No task is spawned:
/// the futures run while the sink is polled, that is, while somebody waits for room, flushes or closes. A pump does
/// all three. With the feature `retry` there is `Each::retry` for what fails.
///
/// # Back-pressure
/// There is room while fewer than `concurrency` futures run. Flushing and closing wait for all of them.
///
/// # Errors
/// A future's error is returned once, by whichever of the three is polled next. The others keep running and the sink
/// stays usable: flush it to let them finish, drop it to cancel them.
///
/// # Cancel safety
/// Dropping the sink drops the futures in flight where they stand.
///
/// # Panics
/// `start_send` without room panics. A panic of `f` or of its future goes through to whoever polls the sink; the
/// item is gone, the others are not touched.
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// use futures::stream;
/// use pushpull::{prelude::*, push};
///
/// let store = push::each(|order: u32| async move {
///     if order == 3 { Err("order 3 is cursed") } else { Ok(()) }
/// });
///
/// let error = stream::iter(1..=5).pump_into(store).await.unwrap_err();
/// assert_eq!(error.error, "order 3 is cursed");
/// assert_eq!(error.items, 3);             // it was taken; then it failed
/// assert_eq!(error.into_item(), Some(4)); // and so the next one could not go
/// # }
/// ```
pub fn each<T, E, F, Fut>(f: F) -> Each<F, Fut>
where
    F: FnMut(T) -> Fut,
    Fut: Future<Output = Result<(), E>>,
{
    Each {
        f,
        in_flight: FuturesUnordered::new(),
        concurrency: 1,
    }
}

/// Sink of [`each`].
#[must_use = "sinks do nothing unless polled"]
pub struct Each<F, Fut> {
    f: F,
    in_flight: FuturesUnordered<Fut>,
    concurrency: usize,
}

impl<F, Fut> Each<F, Fut> {
    /// Lets up to `n` futures run at a time. Items then finish in any order.
    ///
    /// # Panics
    /// Where `n` is 0.
    #[track_caller]
    pub fn concurrency(mut self, n: usize) -> Self {
        assert!(n > 0, "`concurrency` must be at least 1");
        self.concurrency = n;
        self
    }

    /// How many futures run.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }
}

// Only the futures are ever pinned, and they live in allocations of their own.
impl<F, Fut> Unpin for Each<F, Fut> {}

impl<T, E, F, Fut> Sink<T> for Each<F, Fut>
where
    F: FnMut(T) -> Fut,
    Fut: Future<Output = Result<(), E>>,
{
    type Error = E;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), E>> {
        // Also where there is room: nobody else drives the futures.
        while let Poll::Ready(Some(done)) = Pin::new(&mut self.in_flight).poll_next(cx) {
            done?;
        }
        if self.in_flight.len() < self.concurrency {
            Poll::Ready(Ok(()))
        } else {
            Poll::Pending
        }
    }

    fn start_send(mut self: Pin<&mut Self>, item: T) -> Result<(), E> {
        assert_room(self.in_flight.len(), self.concurrency);
        let work = (self.f)(item);
        self.in_flight.push(work);
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), E>> {
        while let Some(done) = ready!(Pin::new(&mut self.in_flight).poll_next(cx)) {
            done?;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), E>> {
        self.poll_flush(cx)
    }
}

impl<F, Fut> fmt::Debug for Each<F, Fut> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Each")
            .field("concurrency", &self.concurrency)
            .field("in_flight", &self.in_flight.len())
            .finish_non_exhaustive()
    }
}

fn assert_room(in_flight: usize, concurrency: usize) {
    assert!(
        in_flight < concurrency,
        "`start_send` without room: `poll_ready` must have answered Ready before each item"
    );
}
