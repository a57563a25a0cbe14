//! Limits on a Stream: shaping, which waits, and policing, which refuses.

use std::fmt;
use std::hash::Hash;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::{FusedStream, Stream};
use futures_sink::Sink;
use pin_project_lite::pin_project;

use super::turn::Turn;
use super::{KeyedRateLimiter, Limited, RateLimiter};

pin_project! {
    /// Stream of [`rate_limit`](crate::PullExt::rate_limit) and
    /// [`rate_limit_weighted`](crate::PullExt::rate_limit_weighted).
    #[must_use = "streams do nothing unless polled"]
    pub struct RateLimited<S: Stream, F = PerItem> {
        #[pin]
        input: Input<S>,
        turn: Turn<RateLimiter>,
        cost_of: F,
        cost: Option<u32>,
    }
}

impl<S: Stream, F> RateLimited<S, F> {
    pub(crate) fn new(stream: S, limiter: RateLimiter, cost_of: F) -> Self {
        Self {
            input: Input::new(stream),
            turn: Turn::new(limiter),
            cost_of,
            cost: None,
        }
    }

    /// The stream inside.
    pub fn get_ref(&self) -> &S {
        &self.input.stream
    }

    /// The stream inside, to be changed. Items taken from it do not pass the limit.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.input.stream
    }

    /// The stream inside, and the item that waits for its turn if there is one.
    pub fn into_inner(self) -> (S, Option<S::Item>) {
        (self.input.stream, self.input.held)
    }
}

impl<S: Stream, F: Cost<S::Item>> RateLimited<S, F> {
    #[inline(never)]
    fn poll_held(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let mut this = self.project();
        let Some(item) = ready!(this.input.as_mut().poll_hold(cx)) else {
            return Poll::Ready(None);
        };
        let cost = match *this.cost {
            Some(cost) => cost,
            None => *this.cost.insert(this.cost_of.cost(item)),
        };
        ready!(this.turn.poll_take_run(cx, cost));
        *this.cost = None;
        Poll::Ready(this.input.release())
    }
}

impl<S: Stream, F: Cost<S::Item>> Stream for RateLimited<S, F> {
    type Item = S::Item;

    #[inline]
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let this = self.as_mut().project();
        let input = this.input.project();
        if input.held.is_none() {
            if *input.ended {
                return Poll::Ready(None);
            }
            match input.stream.poll_next(cx) {
                Poll::Ready(Some(item)) => {
                    // Most items pass here, and nothing need be held.
                    if F::FIXED.is_some_and(|cost| this.turn.take_paid(cost)) {
                        return Poll::Ready(Some(item));
                    }
                    *input.held = Some(item);
                }
                Poll::Ready(None) => {
                    *input.ended = true;
                    this.turn.pause();
                    return Poll::Ready(None);
                }
                Poll::Pending => {
                    this.turn.pause();
                    return Poll::Pending;
                }
            }
        }
        self.poll_held(cx)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.input.size_hint()
    }
}

impl<S: Stream, F: Cost<S::Item>> FusedStream for RateLimited<S, F> {
    fn is_terminated(&self) -> bool {
        self.input.is_terminated()
    }
}

impl<S: Stream + Sink<T>, F, T> Sink<T> for RateLimited<S, F> {
    type Error = S::Error;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.project().input.project().stream.poll_ready(cx)
    }

    fn start_send(self: Pin<&mut Self>, item: T) -> Result<(), S::Error> {
        self.project().input.project().stream.start_send(item)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.project().input.project().stream.poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.project().input.project().stream.poll_close(cx)
    }
}

impl<S: Stream + fmt::Debug, F> fmt::Debug for RateLimited<S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimited")
            .field("stream", &self.input.stream)
            .field("turn", &self.turn)
            .finish_non_exhaustive()
    }
}

/// What an item costs.
pub trait Cost<T>: sealed::Sealed {
    /// What each costs, where that is the same for all.
    #[doc(hidden)]
    const FIXED: Option<u32>;

    #[doc(hidden)]
    fn cost(&mut self, item: &T) -> u32;
}

/// Each item costs one unit.
#[derive(Clone, Copy, Debug)]
pub struct PerItem;

/// Each item costs what a closure says.
#[derive(Clone, Copy)]
pub struct Weighted<F>(pub(crate) F);

impl<T> Cost<T> for PerItem {
    const FIXED: Option<u32> = Some(1);

    fn cost(&mut self, _: &T) -> u32 {
        1
    }
}

impl<T, F: FnMut(&T) -> u32> Cost<T> for Weighted<F> {
    const FIXED: Option<u32> = None;

    fn cost(&mut self, item: &T) -> u32 {
        (self.0)(item)
    }
}

impl<F> fmt::Debug for Weighted<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Weighted").finish_non_exhaustive()
    }
}

mod sealed {
    #[expect(unnameable_types, reason = "this is what seals the trait")]
    pub trait Sealed {}
    impl Sealed for super::PerItem {}
    impl<F> Sealed for super::Weighted<F> {}
}

pin_project! {
    /// Stream of [`rate_limit_by`](crate::PullExt::rate_limit_by).
    #[must_use = "streams do nothing unless polled"]
    pub struct RateLimitedBy<S: Stream, K, F> {
        #[pin]
        input: Input<S>,
        limiter: KeyedRateLimiter<K>,
        key_of: F,
        turn: Option<Turn<RateLimiter>>,
    }
}

impl<S: Stream, K, F> RateLimitedBy<S, K, F> {
    pub(crate) fn new(stream: S, limiter: KeyedRateLimiter<K>, key_of: F) -> Self {
        Self {
            input: Input::new(stream),
            limiter,
            key_of,
            turn: None,
        }
    }

    /// The stream inside.
    pub fn get_ref(&self) -> &S {
        &self.input.stream
    }

    /// The stream inside, to be changed. Items taken from it do not pass the limit.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.input.stream
    }

    /// The stream inside, and the item that waits for its turn if there is one.
    pub fn into_inner(self) -> (S, Option<S::Item>) {
        (self.input.stream, self.input.held)
    }
}

impl<S, K, F> Stream for RateLimitedBy<S, K, F>
where
    S: Stream,
    K: Clone + Eq + Hash,
    F: FnMut(&S::Item) -> K,
{
    type Item = S::Item;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let mut this = self.project();
        let Some(item) = ready!(this.input.as_mut().poll_hold(cx)) else {
            return Poll::Ready(None);
        };
        let turn = match this.turn {
            Some(turn) => turn,
            None => this
                .turn
                .insert(Turn::new(this.limiter.bucket(&(this.key_of)(item)))),
        };
        ready!(turn.poll_take(cx, 1));
        *this.turn = None;
        Poll::Ready(this.input.release())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.input.size_hint()
    }
}

impl<S, K, F> FusedStream for RateLimitedBy<S, K, F>
where
    S: Stream,
    K: Clone + Eq + Hash,
    F: FnMut(&S::Item) -> K,
{
    fn is_terminated(&self) -> bool {
        self.input.is_terminated()
    }
}

impl<S: Stream + Sink<T>, K, F, T> Sink<T> for RateLimitedBy<S, K, F> {
    type Error = S::Error;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.project().input.project().stream.poll_ready(cx)
    }

    fn start_send(self: Pin<&mut Self>, item: T) -> Result<(), S::Error> {
        self.project().input.project().stream.start_send(item)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.project().input.project().stream.poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.project().input.project().stream.poll_close(cx)
    }
}

impl<S: Stream + fmt::Debug, K, F> fmt::Debug for RateLimitedBy<S, K, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimitedBy")
            .field("stream", &self.input.stream)
            .field("limiter", &self.limiter)
            .finish_non_exhaustive()
    }
}

pin_project! {
    /// Stream of [`police`](crate::PullExt::police).
    #[derive(Debug)]
    #[must_use = "streams do nothing unless polled"]
    pub struct Policed<S> {
        #[pin]
        stream: S,
        limiter: RateLimiter,
        ended: bool,
    }
}

impl<S> Policed<S> {
    pub(crate) fn new(stream: S, limiter: RateLimiter) -> Self {
        Self {
            stream,
            limiter,
            ended: false,
        }
    }

    /// The stream inside.
    pub fn get_ref(&self) -> &S {
        &self.stream
    }

    /// The stream inside, to be changed. Items taken from it are not counted.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.stream
    }

    /// The stream inside. Nothing is held.
    pub fn into_inner(self) -> S {
        self.stream
    }
}

impl<S: Stream> Stream for Policed<S> {
    type Item = Result<S::Item, Limited<S::Item>>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.project();
        if *this.ended {
            return Poll::Ready(None);
        }
        let Some(item) = ready!(this.stream.poll_next(cx)) else {
            *this.ended = true;
            return Poll::Ready(None);
        };
        Poll::Ready(Some(match this.limiter.try_acquire(1) {
            Ok(()) => Ok(item),
            Err(Limited { retry_after, .. }) => Err(Limited { item, retry_after }),
        }))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        if self.ended {
            (0, Some(0))
        } else {
            self.stream.size_hint()
        }
    }
}

impl<S: Stream> FusedStream for Policed<S> {
    fn is_terminated(&self) -> bool {
        self.ended
    }
}

impl<S: Sink<T>, T> Sink<T> for Policed<S> {
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
    /// A stream that is not polled after its end, and the one item that waits for its turn.
    struct Input<S: Stream> {
        #[pin]
        stream: S,
        held: Option<S::Item>,
        ended: bool,
    }
}

impl<S: Stream> Input<S> {
    fn new(stream: S) -> Self {
        Self {
            stream,
            held: None,
            ended: false,
        }
    }

    /// The held item, or else the next one, held from now on: what is done to it may panic and it is still there.
    fn poll_hold(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<&S::Item>> {
        let this = self.project();
        if this.held.is_none() && !*this.ended {
            *this.held = ready!(this.stream.poll_next(cx));
            *this.ended = this.held.is_none();
        }
        Poll::Ready(this.held.as_ref())
    }

    fn release(self: Pin<&mut Self>) -> Option<S::Item> {
        self.project().held.take()
    }

    fn is_terminated(&self) -> bool {
        self.ended && self.held.is_none()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let held = usize::from(self.held.is_some());
        let (least, most) = if self.ended {
            (0, Some(0))
        } else {
            self.stream.size_hint()
        };
        (
            least.saturating_add(held),
            most.and_then(|most| most.checked_add(held)),
        )
    }
}
