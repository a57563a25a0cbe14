//! [`SendTimeout`]: one item into a `Sink`, or back to the caller when it takes too long.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_sink::Sink;
use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};

pin_project! {
    /// Future of [`PushExt::send_timeout`](super::PushExt::send_timeout).
    #[must_use = "futures do nothing unless polled"]
    pub struct SendTimeout<'a, S: ?Sized, T> {
        sink: &'a mut S,
        item: Option<T>,
        within: Duration,
        #[pin]
        timer: Option<Sleep>,
    }
}

impl<'a, S: ?Sized, T> SendTimeout<'a, S, T> {
    pub(super) fn new(sink: &'a mut S, item: T, within: Duration) -> Self {
        Self {
            sink,
            item: Some(item),
            within,
            timer: None,
        }
    }
}

impl<S, T> Future for SendTimeout<'_, S, T>
where
    S: Sink<T> + Unpin + ?Sized,
{
    type Output = Result<(), SendTimeoutError<T, S::Error>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let mut sink = Pin::new(&mut **this.sink);
        if this.item.is_some() {
            match sink.as_mut().poll_ready(cx) {
                Poll::Ready(Ok(())) => {
                    if let Some(item) = this.item.take() {
                        if let Err(error) = sink.as_mut().start_send(item) {
                            return Poll::Ready(Err(SendTimeoutError::Sink { error, item: None }));
                        }
                    }
                }
                Poll::Ready(Err(error)) => {
                    let item = this.item.take();
                    return Poll::Ready(Err(SendTimeoutError::Sink { error, item }));
                }
                Poll::Pending => {}
            }
        }
        if this.item.is_none() {
            if let Poll::Ready(flushed) = sink.poll_flush(cx) {
                let sink_failed = |error| SendTimeoutError::Sink { error, item: None };
                return Poll::Ready(flushed.map_err(sink_failed));
            }
        }
        // The sink is asked first and the clock second, so that a sink which is ready always wins.
        if this.timer.is_none() {
            this.timer.set(Some(sleep(*this.within)));
        }
        if let Some(timer) = this.timer.as_pin_mut() {
            ready!(timer.poll(cx));
        }
        Poll::Ready(Err(match this.item.take() {
            Some(item) => SendTimeoutError::Timeout(item),
            None => SendTimeoutError::Unflushed,
        }))
    }
}

impl<S: ?Sized, T> fmt::Debug for SendTimeout<'_, S, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendTimeout")
            .field("within", &self.within)
            .field("sent", &self.item.is_none())
            .finish_non_exhaustive()
    }
}

/// Why [`PushExt::send_timeout`](super::PushExt::send_timeout) did not send, or did not finish.
#[non_exhaustive]
#[derive(Clone, PartialEq, Eq)]
pub enum SendTimeoutError<T, E> {
    /// The sink had no room in time. The item was not sent.
    Timeout(T),
    /// The sink took the item in time, but did not finish flushing: it may still arrive.
    Unflushed,
    /// The sink failed.
    Sink {
        /// What the sink said.
        error: E,
        /// The item, unless the sink had already taken it.
        item: Option<T>,
    },
}

impl<T, E> SendTimeoutError<T, E> {
    /// The item, where the sink did not take it.
    pub fn into_item(self) -> Option<T> {
        match self {
            Self::Timeout(item) => Some(item),
            Self::Unflushed => None,
            Self::Sink { item, .. } => item,
        }
    }

    /// Whether time ran out, before the item was taken or before it was flushed.
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Timeout(_) | Self::Unflushed)
    }
}

impl<T, E: fmt::Debug> fmt::Debug for SendTimeoutError<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout(_) => f.write_str("Timeout(..)"),
            Self::Unflushed => f.write_str("Unflushed"),
            Self::Sink { error, item } => f
                .debug_struct("Sink")
                .field("error", error)
                .field("has_item", &item.is_some())
                .finish(),
        }
    }
}

impl<T, E> fmt::Display for SendTimeoutError<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Timeout(_) => "the sink had no room in time",
            Self::Unflushed => "the sink took the item but was not flushed in time",
            Self::Sink { .. } => "the sink failed",
        })
    }
}

impl<T, E: Error + 'static> Error for SendTimeoutError<T, E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Sink { error, .. } => Some(error),
            Self::Timeout(_) | Self::Unflushed => None,
        }
    }
}
