//! Batches of a stream's items.

use std::convert::Infallible;
use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::{FusedStream, Stream};
use futures_sink::Sink;
use pin_project_lite::pin_project;

use super::open::Open;
use super::shell::{Fill, Filled, Shell, form};
use super::{BatchPolicy, BatchStats, Form, Plain};

pin_project! {
    /// Stream of batches, made by [`PullExt::batch`](crate::PullExt::batch) (a `Vec<T>` each) and
    /// [`PullExt::batch_with`](crate::PullExt::batch_with) (a [`Batch<T>`](super::Batch) each, with `F` =
    /// [`Detailed`](super::Detailed)).
    ///
    /// Where the stream is a sink too, so is this, with nothing done to what is sent.
    #[must_use = "streams do nothing unless polled"]
    pub struct Batched<S, F = Plain>
    where
        S: Stream,
    {
        #[pin]
        shell: Shell<S, S::Item, Infallible>,
        form: PhantomData<fn() -> F>,
    }
}

impl<S: Stream, F> Batched<S, F> {
    pub(crate) fn new(input: S, policy: BatchPolicy<S::Item>) -> Self {
        Self::filled_by(input, policy, fill)
    }

    pub(super) fn filled_by(
        input: S,
        policy: BatchPolicy<S::Item>,
        fill: Fill<S, S::Item, Infallible>,
    ) -> Self {
        Self {
            shell: Shell::new(input, policy, fill),
            form: PhantomData,
        }
    }

    /// What has been handed on so far. An operator whose policy has a [name](BatchPolicy::name) shows it in the registry too.
    pub fn stats(&self) -> BatchStats {
        self.shell.stats()
    }

    /// How many items are held, waiting for their batch to close.
    pub fn held(&self) -> usize {
        self.shell.held()
    }

    /// The stream underneath.
    pub fn get_ref(&self) -> &S {
        self.shell.input()
    }

    /// The stream underneath. What is pulled from it directly is missing in the batches.
    pub fn get_mut(&mut self) -> &mut S {
        self.shell.input_mut()
    }

    /// The stream underneath, pinned. What is pulled from it directly is missing in the batches.
    pub fn get_pin_mut(self: Pin<&mut Self>) -> Pin<&mut S> {
        self.project().shell.input_pin_mut()
    }

    /// Takes out the items held, in order, and leaves the operator empty. For an operator that is pinned; otherwise see
    /// [`into_parts`](Self::into_parts).
    pub fn take_remainder(self: Pin<&mut Self>) -> Vec<S::Item> {
        self.project().shell.take_held().0
    }

    /// The items held, in order. The stream is dropped.
    pub fn into_remainder(self) -> Vec<S::Item> {
        self.into_parts().1
    }

    /// The stream underneath. Items held are dropped, see [`into_parts`](Self::into_parts).
    pub fn into_inner(self) -> S {
        self.into_parts().0
    }

    /// The stream underneath and the items held, in order.
    pub fn into_parts(self) -> (S, Vec<S::Item>) {
        let (input, held, _) = self.shell.into_parts();
        (input, held)
    }
}

impl<S: Stream, F: Form> Stream for Batched<S, F> {
    type Item = F::Of<S::Item>;

    #[inline]
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(match ready!(self.project().shell.poll_closed(cx)) {
            Some(Ok(closed)) => Some(form::<F, _>(closed)),
            Some(Err(never)) => match never {},
            None => None,
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.shell.size_hint(S::size_hint)
    }
}

impl<S: Stream, F: Form> FusedStream for Batched<S, F> {
    fn is_terminated(&self) -> bool {
        self.shell.is_terminated()
    }
}

impl<S: Stream + Sink<I>, F, I> Sink<I> for Batched<S, F> {
    type Error = S::Error;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.get_pin_mut().poll_ready(cx)
    }

    fn start_send(self: Pin<&mut Self>, item: I) -> Result<(), Self::Error> {
        self.get_pin_mut().start_send(item)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.get_pin_mut().poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.get_pin_mut().poll_close(cx)
    }
}

impl<S: Stream + fmt::Debug, F> fmt::Debug for Batched<S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Batched").field(&self.shell).finish()
    }
}

/// Takes items one by one.
fn fill<S: Stream>(
    mut input: Pin<&mut S>,
    cx: &mut Context<'_>,
    open: &mut Open<S::Item>,
) -> Poll<Filled<Infallible>> {
    if open.judges() {
        while let Some(item) = ready!(input.as_mut().poll_next(cx)) {
            if open.push(item) {
                return Poll::Ready(Filled::Closed);
            }
        }
        return Poll::Ready(Filled::Ended);
    }
    let Some(first) = ready!(input.as_mut().poll_next(cx)) else {
        return Poll::Ready(Filled::Ended);
    };
    // A run of what is ready: only the buffer is looked at for each item.
    open.push_run(|items, room| {
        let full = items.len() + room;
        items.push(first);
        while items.len() < full {
            match ready!(input.as_mut().poll_next(cx)) {
                Some(item) => items.push(item),
                None => return Poll::Ready(Filled::Ended),
            }
        }
        Poll::Ready(Filled::Closed)
    })
}
