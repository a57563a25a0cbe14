//! [`ItemTimeout`]: says so when a stream has been silent for too long.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::{FusedStream, Stream};
use futures_sink::Sink;
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep};

pin_project! {
    /// Stream of [`PullExt::item_timeout`](super::PullExt::item_timeout).
    #[derive(Debug)]
    #[must_use = "streams do nothing unless polled"]
    pub struct ItemTimeout<S> {
        #[pin]
        inner: S,
        silence: Duration,
        timer: Option<Pin<Box<Sleep>>>,
        armed: bool,
        ended: bool,
    }
}

impl<S> ItemTimeout<S> {
    pub(super) fn new(inner: S, silence: Duration) -> Self {
        Self {
            inner,
            silence,
            timer: None,
            armed: false,
            ended: false,
        }
    }

    /// The stream underneath.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The stream underneath. Taking items from it does not restart the clock.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Gives back the stream underneath. No item is ever held.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S: Stream> Stream for ItemTimeout<S> {
    type Item = Result<S::Item, Elapsed>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.project();
        if *this.ended {
            return Poll::Ready(None);
        }
        if let Poll::Ready(next) = this.inner.poll_next(cx) {
            *this.armed = false;
            *this.ended = next.is_none();
            return Poll::Ready(next.map(Ok));
        }
        let timer = this.timer.get_or_insert_with(|| {
            *this.armed = true;
            Box::pin(sleep(*this.silence))
        });
        if !*this.armed {
            timer.as_mut().reset(after(*this.silence));
            *this.armed = true;
        }
        ready!(timer.as_mut().poll(cx));
        *this.armed = false;
        Poll::Ready(Some(Err(Elapsed {
            silence: *this.silence,
        })))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        // Silences come on top of the items, however few are left.
        if self.ended {
            (0, Some(0))
        } else {
            (self.inner.size_hint().0, None)
        }
    }
}

impl<S: Stream> FusedStream for ItemTimeout<S> {
    fn is_terminated(&self) -> bool {
        self.ended
    }
}

impl<S: Sink<T>, T> Sink<T> for ItemTimeout<S> {
    type Error = S::Error;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.project().inner.poll_ready(cx)
    }

    fn start_send(self: Pin<&mut Self>, item: T) -> Result<(), S::Error> {
        self.project().inner.start_send(item)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.project().inner.poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.project().inner.poll_close(cx)
    }
}

/// A stream had no item for as long as [`PullExt::item_timeout`](super::PullExt::item_timeout) allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed {
    silence: Duration,
}

impl Elapsed {
    /// The silence that was allowed.
    pub fn silence(&self) -> Duration {
        self.silence
    }
}

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no item for {:?}", self.silence)
    }
}

impl Error for Elapsed {}

/// `silence` from now, or what stands for ever: tokio's own far future, about 30 years.
fn after(silence: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(silence)
        .unwrap_or_else(|| now + Duration::from_secs(86_400 * 365 * 30))
}
