//! A limit on a Sink.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::{FusedStream, Stream};
use futures_sink::Sink;
use pin_project_lite::pin_project;

use super::RateLimiter;
use super::turn::Turn;

pin_project! {
    /// Sink of [`sink_rate_limit`](crate::PushExt::sink_rate_limit).
    #[derive(Debug)]
    #[must_use = "sinks do nothing unless polled"]
    pub struct SinkRateLimited<S> {
        #[pin]
        sink: S,
        turn: Turn<RateLimiter>,
    }
}

impl<S> SinkRateLimited<S> {
    pub(crate) fn new(sink: S, limiter: RateLimiter) -> Self {
        Self {
            sink,
            turn: Turn::new(limiter),
        }
    }

    /// The sink inside.
    pub fn get_ref(&self) -> &S {
        &self.sink
    }

    /// The sink inside, to be changed. Items sent into it do not pass the limit.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.sink
    }

    /// The sink inside. No item is held.
    pub fn into_inner(self) -> S {
        self.sink
    }
}

impl<S: Sink<T>, T> Sink<T> for SinkRateLimited<S> {
    type Error = S::Error;

    /// Room first and the unit second, so that a full sink keeps no unit from others.
    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        let this = self.project();
        ready!(this.sink.poll_ready(cx))?;
        this.turn.poll_lease(cx).map(Ok)
    }

    #[track_caller]
    fn start_send(self: Pin<&mut Self>, item: T) -> Result<(), S::Error> {
        let this = self.project();
        assert!(
            this.turn.spend_lease(),
            "start_send without poll_ready on a rate-limited sink"
        );
        this.sink.start_send(item)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.project().sink.poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        let this = self.project();
        this.turn.give_up();
        this.sink.poll_close(cx)
    }
}

impl<S: Stream> Stream for SinkRateLimited<S> {
    type Item = S::Item;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        self.project().sink.poll_next(cx)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.sink.size_hint()
    }
}

impl<S: FusedStream> FusedStream for SinkRateLimited<S> {
    fn is_terminated(&self) -> bool {
        self.sink.is_terminated()
    }
}
