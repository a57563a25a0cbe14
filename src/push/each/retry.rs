//! [`EachRetry`]: an async function as a `Sink`, called again for an item that failed.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use backon::BackoffBuilder;
use futures_core::Stream;
use futures_sink::Sink;
use futures_util::stream::FuturesUnordered;
use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};

use super::{Each, assert_room};

impl<F, Fut> Each<F, Fut> {
    /// Calls the function again with a clone of an item that failed, after the waits that `backoff` names, and gives
    /// up with [`GaveUp`], which holds the item, when it names no more.
    ///
    /// `backoff` is one of the `backon` crate's builders, or any cloneable iterator of `Duration`s; each item that
    /// fails starts its own. An item keeps its place under [`concurrency`](Each::concurrency) while it waits, so
    /// with the default of 1 the order is kept. Waits run on tokio's clock. Needs the feature `retry`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
    /// use std::time::Duration;
    /// use futures::stream;
    /// use pushpull::{prelude::*, push};
    ///
    /// let mut calls = 0;
    /// let flaky = push::each(|order: &'static str| {
    ///     calls += 1;
    ///     let ok = order != "lost" && calls > 1;
    ///     async move { if ok { Ok(()) } else { Err("refused") } }
    /// });
    /// let steady = flaky.retry([Duration::from_millis(10); 2].into_iter());
    ///
    /// let error = stream::iter(["late", "lost"]).pump_into(steady).await.unwrap_err().error;
    /// assert_eq!((error.item, error.error, error.attempts), ("lost", "refused", 3));
    /// assert_eq!(calls, 2 + 3);
    /// # }
    /// ```
    pub fn retry<T, E, B>(self, backoff: B) -> EachRetry<T, F, Fut, B>
    where
        T: Clone,
        F: FnMut(T) -> Fut,
        Fut: Future<Output = Result<(), E>>,
        B: BackoffBuilder + Clone,
    {
        EachRetry {
            f: self.f,
            in_flight: FuturesUnordered::new(),
            concurrency: self.concurrency,
            backoff,
        }
    }
}

/// Sink of [`Each::retry`].
#[must_use = "sinks do nothing unless polled"]
pub struct EachRetry<T, F, Fut, B: BackoffBuilder> {
    f: F,
    in_flight: FuturesUnordered<Work<T, Fut, B::Backoff>>,
    concurrency: usize,
    backoff: B,
}

impl<T, F, Fut, B: BackoffBuilder> EachRetry<T, F, Fut, B> {
    /// Lets up to `n` items be worked on at a time, those that wait to be tried again included.
    ///
    /// # Panics
    /// Where `n` is 0.
    #[track_caller]
    pub fn concurrency(mut self, n: usize) -> Self {
        assert!(n > 0, "`concurrency` must be at least 1");
        self.concurrency = n;
        self
    }

    /// How many items are worked on.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }
}

// Only the futures are ever pinned, and they live in allocations of their own.
impl<T, F, Fut, B: BackoffBuilder> Unpin for EachRetry<T, F, Fut, B> {}

impl<T, E, F, Fut, B> EachRetry<T, F, Fut, B>
where
    T: Clone,
    F: FnMut(T) -> Fut,
    Fut: Future<Output = Result<(), E>>,
    B: BackoffBuilder + Clone,
{
    /// The next item that is through, for good or bad.
    fn poll_done(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<(), GaveUp<T, E>>>> {
        loop {
            let Some(step) = ready!(Pin::new(&mut self.in_flight).poll_next(cx)) else {
                return Poll::Ready(None);
            };
            match step {
                Step::Done => return Poll::Ready(Some(Ok(()))),
                Step::Rested(try_) => self.call(try_),
                Step::Failed(mut try_, error) => {
                    let backoff = &self.backoff;
                    let waits = try_.waits.get_or_insert_with(|| backoff.clone().build());
                    let Some(wait) = waits.next() else {
                        let Try { item, attempts, .. } = try_;
                        return Poll::Ready(Some(Err(GaveUp {
                            item,
                            error,
                            attempts,
                        })));
                    };
                    let rest = Phase::Resting { sleep: sleep(wait) };
                    self.in_flight.push(Work {
                        try_: Some(try_),
                        phase: rest,
                    });
                }
            }
        }
    }

    fn call(&mut self, mut try_: Try<T, B::Backoff>) {
        try_.attempts = try_.attempts.saturating_add(1);
        let future = (self.f)(try_.item.clone());
        self.in_flight.push(Work {
            try_: Some(try_),
            phase: Phase::Running { future },
        });
    }
}

impl<T, E, F, Fut, B> Sink<T> for EachRetry<T, F, Fut, B>
where
    T: Clone,
    F: FnMut(T) -> Fut,
    Fut: Future<Output = Result<(), E>>,
    B: BackoffBuilder + Clone,
{
    type Error = GaveUp<T, E>;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        while let Poll::Ready(Some(done)) = self.poll_done(cx) {
            done?;
        }
        if self.in_flight.len() < self.concurrency {
            Poll::Ready(Ok(()))
        } else {
            Poll::Pending
        }
    }

    fn start_send(mut self: Pin<&mut Self>, item: T) -> Result<(), Self::Error> {
        assert_room(self.in_flight.len(), self.concurrency);
        self.call(Try {
            item,
            attempts: 0,
            waits: None,
        });
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        while let Some(done) = ready!(self.poll_done(cx)) {
            done?;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.poll_flush(cx)
    }
}

impl<T, F, Fut, B: BackoffBuilder> fmt::Debug for EachRetry<T, F, Fut, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EachRetry")
            .field("concurrency", &self.concurrency)
            .field("in_flight", &self.in_flight.len())
            .finish_non_exhaustive()
    }
}

/// An item that failed as often as [`Each::retry`]'s backoff allows.
#[non_exhaustive]
#[derive(Clone, PartialEq, Eq)]
pub struct GaveUp<T, E> {
    /// The item.
    pub item: T,
    /// What the last attempt said.
    pub error: E,
    /// How often it was tried, the first time included.
    pub attempts: u32,
}

impl<T, E> GaveUp<T, E> {
    /// The item.
    pub fn into_item(self) -> T {
        self.item
    }
}

impl<T, E: fmt::Debug> fmt::Debug for GaveUp<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GaveUp")
            .field("error", &self.error)
            .field("attempts", &self.attempts)
            .finish_non_exhaustive()
    }
}

impl<T, E> fmt::Display for GaveUp<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "gave up on an item after {} attempts", self.attempts)
    }
}

impl<T, E: Error + 'static> Error for GaveUp<T, E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.error)
    }
}

/// An item between two calls. `waits` is there from its first failure on.
struct Try<T, W> {
    item: T,
    attempts: u32,
    waits: Option<W>,
}

enum Step<T, W, E> {
    Done,
    Failed(Try<T, W>, E),
    Rested(Try<T, W>),
}

pin_project! {
    struct Work<T, Fut, W> {
        try_: Option<Try<T, W>>,
        #[pin]
        phase: Phase<Fut>,
    }
}

pin_project! {
    #[project = PhaseProj]
    enum Phase<Fut> {
        Running { #[pin] future: Fut },
        Resting { #[pin] sleep: Sleep },
    }
}

impl<T, E, Fut, W> Future for Work<T, Fut, W>
where
    Fut: Future<Output = Result<(), E>>,
{
    type Output = Step<T, W, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let failed = match this.phase.project() {
            PhaseProj::Running { future } => match ready!(future.poll(cx)) {
                Ok(()) => return Poll::Ready(Step::Done),
                Err(error) => Some(error),
            },
            PhaseProj::Resting { sleep } => {
                ready!(sleep.poll(cx));
                None
            }
        };
        let Some(try_) = this.try_.take() else {
            return Poll::Ready(Step::Done);
        };
        Poll::Ready(match failed {
            Some(error) => Step::Failed(try_, error),
            None => Step::Rested(try_),
        })
    }
}
