//! Counting what goes through: [`Metered`] around a Stream, [`SinkMetered`] around a Sink.

use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::{FusedStream, Stream};
use futures_sink::Sink;
use pin_project_lite::pin_project;
use tokio::time::Instant;

use super::registry::{Kind, Naming, Reading, Registration, Source};
use super::snapshot::OperatorStats;
use crate::coop;
use crate::sync::{Arc, AtomicU64, planted};

pin_project! {
    /// The stream of [`metered`](crate::PullExt::metered).
    #[derive(Debug)]
    #[must_use = "streams do nothing unless polled"]
    pub struct Metered<S> {
        #[pin]
        stream: S,
        tally: Tally,
        ended: bool,
    }
}

impl<S> Metered<S> {
    pub(crate) fn new(stream: S, name: &str) -> Self {
        Self {
            stream,
            tally: Tally::new(name),
            ended: false,
        }
    }

    /// The name in the registry, with its index where the name was taken.
    pub fn name(&self) -> &str {
        self.tally.counters.name()
    }

    /// What went through until now.
    pub fn stats(&self) -> OperatorStats {
        self.tally.counters.stats()
    }

    /// Its meter, to be read while the stream is elsewhere.
    pub fn meter(&self) -> Meter {
        Meter {
            counters: Arc::clone(&self.tally.counters),
        }
    }

    /// The stream inside.
    pub fn get_ref(&self) -> &S {
        &self.stream
    }

    /// The stream inside. What is pulled from it directly is not counted.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.stream
    }

    /// The stream inside, pinned. What is pulled from it directly is not counted.
    pub fn get_pin_mut(self: Pin<&mut Self>) -> Pin<&mut S> {
        self.project().stream
    }

    /// Gives the stream back; nothing is held.
    pub fn into_inner(self) -> S {
        self.stream
    }
}

impl<S: Stream> Stream for Metered<S> {
    type Item = S::Item;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let this = self.project();
        if *this.ended {
            return Poll::Ready(None);
        }
        let polled = this.stream.poll_next(cx);
        match &polled {
            Poll::Ready(Some(_)) => {
                this.tally.ready();
                this.tally.item();
            }
            Poll::Ready(None) => {
                *this.ended = true;
                this.tally.ready();
                this.tally.end();
            }
            Poll::Pending => this.tally.pending(),
        }
        polled
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        if self.ended {
            (0, Some(0))
        } else {
            self.stream.size_hint()
        }
    }
}

impl<S: Stream> FusedStream for Metered<S> {
    fn is_terminated(&self) -> bool {
        self.ended
    }
}

impl<S: Sink<T>, T> Sink<T> for Metered<S> {
    type Error = S::Error;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.project().stream.poll_ready(cx)
    }

    fn start_send(self: Pin<&mut Self>, item: T) -> Result<(), S::Error> {
        self.project().stream.start_send(item)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.project().stream.poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.project().stream.poll_close(cx)
    }
}

pin_project! {
    /// The sink of [`sink_metered`](crate::PushExt::sink_metered).
    #[derive(Debug)]
    #[must_use = "sinks do nothing unless polled"]
    pub struct SinkMetered<S> {
        #[pin]
        sink: S,
        tally: Tally,
    }
}

impl<S> SinkMetered<S> {
    pub(crate) fn new(sink: S, name: &str) -> Self {
        Self {
            sink,
            tally: Tally::new(name),
        }
    }

    /// The name in the registry, with its index where the name was taken.
    pub fn name(&self) -> &str {
        self.tally.counters.name()
    }

    /// What went through until now.
    pub fn stats(&self) -> OperatorStats {
        self.tally.counters.stats()
    }

    /// Its meter, to be read while the sink is elsewhere.
    pub fn meter(&self) -> Meter {
        Meter {
            counters: Arc::clone(&self.tally.counters),
        }
    }

    /// The sink inside.
    pub fn get_ref(&self) -> &S {
        &self.sink
    }

    /// The sink inside. What is pushed into it directly is not counted.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.sink
    }

    /// The sink inside, pinned. What is pushed into it directly is not counted.
    pub fn get_pin_mut(self: Pin<&mut Self>) -> Pin<&mut S> {
        self.project().sink
    }

    /// Gives the sink back; nothing is held.
    pub fn into_inner(self) -> S {
        self.sink
    }
}

impl<S: Sink<T>, T> Sink<T> for SinkMetered<S> {
    type Error = S::Error;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        let this = self.project();
        let Poll::Ready(ready) = this.sink.poll_ready(cx) else {
            this.tally.pending();
            return Poll::Pending;
        };
        this.tally.ready();
        Poll::Ready(this.tally.judge(ready))
    }

    fn start_send(self: Pin<&mut Self>, item: T) -> Result<(), S::Error> {
        let this = self.project();
        this.tally.judge(this.sink.start_send(item))?;
        this.tally.item();
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        let this = self.project();
        let flushed = ready!(this.sink.poll_flush(cx));
        Poll::Ready(this.tally.judge(flushed))
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        let this = self.project();
        let closed = ready!(this.sink.poll_close(cx));
        if closed.is_ok() {
            this.tally.end();
        }
        Poll::Ready(this.tally.judge(closed))
    }
}

impl<S: Stream> Stream for SinkMetered<S> {
    type Item = S::Item;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        self.project().sink.poll_next(cx)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.sink.size_hint()
    }
}

impl<S: FusedStream> FusedStream for SinkMetered<S> {
    fn is_terminated(&self) -> bool {
        self.sink.is_terminated()
    }
}

/// Reads the meter of one stream or sink from anywhere, also after it has gone. The entry in the registry stays until the
/// last of these has gone too.
///
/// ```
/// use futures::StreamExt;
/// use pushpull::prelude::*;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let numbers = futures::stream::iter(0..10).metered("numbers");
/// let meter = numbers.meter();
/// let task = tokio::spawn(numbers.take(4).collect::<Vec<_>>());
/// assert_eq!(task.await.unwrap(), [0, 1, 2, 3]);
/// assert_eq!(meter.stats().items, 4);
/// assert!(!meter.stats().ended, "it was dropped before its end");
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Meter {
    counters: Arc<Counters>,
}

impl Meter {
    /// The name in the registry, with its index where the name was taken.
    pub fn name(&self) -> &str {
        self.counters.name()
    }

    /// What went through until now.
    pub fn stats(&self) -> OperatorStats {
        self.counters.stats()
    }
}

/// The writing end of [`Counters`]: there is one, so that a plain store does where many would need to add atomically.
#[derive(Debug)]
struct Tally {
    counters: Arc<Counters>,
    items: u64,
    /// Beginnings and ends of waits: odd while one lasts.
    turns: u64,
    errors: u64,
}

impl Tally {
    fn new(name: &str) -> Self {
        let naming = Naming::new(Kind::Operator, name);
        let counters = Naming::build(Some(&naming), |registration| Counters {
            items: AtomicU64::new(0),
            turns: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            lived: AtomicU64::new(0),
            since: Instant::now(),
            name: naming.name().to_owned(),
            registration,
        });
        Self {
            counters,
            items: 0,
            turns: 0,
            errors: 0,
        }
    }

    #[inline]
    fn item(&mut self) {
        self.items += 1;
        self.counters.items.store(self.items, Ordering::Release);
    }

    #[inline]
    fn pending(&mut self) {
        // Without budget nothing was asked of the one inside.
        if self.turns % 2 == 0 && coop::has_budget() {
            self.turn();
        }
    }

    #[inline]
    fn ready(&mut self) {
        if self.turns % 2 == 1 {
            self.turn();
        }
    }

    fn turn(&mut self) {
        self.turns += 1;
        self.counters.turns.store(self.turns, Ordering::Release);
    }

    #[inline]
    fn judge<T, E>(&mut self, result: Result<T, E>) -> Result<T, E> {
        if result.is_err() {
            self.errors += 1;
            self.counters.errors.store(self.errors, Ordering::Release);
        }
        result
    }

    fn end(&mut self) {
        let lived = u64::try_from(self.counters.since.elapsed().as_nanos()).unwrap_or(u64::MAX);
        // The first end counts; a sink may be closed again.
        if self.counters.lived.load(Ordering::Relaxed) == 0 {
            self.counters.lived.store(lived.max(1), Ordering::Release);
        }
    }
}

#[derive(Debug)]
struct Counters {
    items: AtomicU64,
    turns: AtomicU64,
    errors: AtomicU64,
    /// Nanoseconds from the beginning to the end; 0 until the end.
    lived: AtomicU64,
    since: Instant,
    name: String,
    registration: Option<Registration>,
}

impl Counters {
    fn name(&self) -> &str {
        self.registration
            .as_ref()
            .map_or(&*self.name, Registration::name)
    }

    /// Loads in the order opposite to the stores, so that what is read first never runs ahead of what is read after:
    /// after the end all items are there, and there is never more than one wait without an item or an error.
    fn stats(&self) -> OperatorStats {
        let early = planted("items_first").then(|| self.items.load(Ordering::Acquire));
        let lived = self.lived.load(Ordering::Acquire);
        let turns = self.turns.load(Ordering::Acquire);
        let errors = self.errors.load(Ordering::Acquire);
        let items = early.unwrap_or_else(|| self.items.load(Ordering::Acquire));
        OperatorStats {
            items,
            waits: turns.div_ceil(2),
            waiting: turns % 2 == 1,
            errors,
            ended: lived > 0,
            age: if lived > 0 {
                Duration::from_nanos(lived)
            } else {
                self.since.elapsed()
            },
        }
    }
}

impl Source for Counters {
    fn read(&self) -> Reading {
        Reading::Operator(self.stats())
    }
}

impl Drop for Counters {
    fn drop(&mut self) {
        if let Some(registration) = &self.registration {
            registration.finish(Reading::Operator(self.stats()));
        }
    }
}
