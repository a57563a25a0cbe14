//! Batches of what a fallible stream yields, each error after what came before it.

use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::{FusedStream, Stream, TryStream};
use futures_sink::Sink;
use pin_project_lite::pin_project;

use super::open::Open;
use super::shell::{Filled, Shell, form};
use super::{BatchPolicy, BatchStats, Form, Plain};

/// Items and the error behind them, as the stream yielded them.
type Held<S> = Vec<Result<<S as TryStream>::Ok, <S as TryStream>::Error>>;

pin_project! {
    /// Stream of `Result<batch, error>`, made by [`PullExt::try_batch`](crate::PullExt::try_batch) (batches are a
    /// `Vec<T>`) and [`PullExt::try_batch_with`](crate::PullExt::try_batch_with) (batches are a
    /// [`Batch<T>`](super::Batch), with `F` = [`Detailed`](super::Detailed)).
    ///
    /// Where the stream is a sink too, so is this, with nothing done to what is sent.
    #[must_use = "streams do nothing unless polled"]
    pub struct TryBatched<S, F = Plain>
    where
        S: TryStream,
    {
        #[pin]
        shell: Shell<S, S::Ok, S::Error>,
        form: PhantomData<fn() -> F>,
    }
}

impl<S: TryStream, F> TryBatched<S, F> {
    pub(crate) fn new(input: S, policy: BatchPolicy<S::Ok>) -> Self {
        Self {
            shell: Shell::new(input, policy, fill),
            form: PhantomData,
        }
    }

    /// What has been handed on so far. An operator whose policy has a [name](BatchPolicy::name) shows it in the registry too.
    pub fn stats(&self) -> BatchStats {
        self.shell.stats()
    }

    /// How many items are held, waiting for their batch to close. An error that waits is not counted.
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

    /// Takes out the items held and the error that waits behind them, in order, and leaves the operator empty. For an
    /// operator that is pinned; otherwise see [`into_parts`](Self::into_parts).
    pub fn take_remainder(self: Pin<&mut Self>) -> Held<S> {
        let (items, error) = self.project().shell.take_held();
        in_order(items, error)
    }

    /// The items held and the error that waits behind them, in order. The stream is dropped.
    pub fn into_remainder(self) -> Held<S> {
        self.into_parts().1
    }

    /// The stream underneath. What is held is dropped, see [`into_parts`](Self::into_parts).
    pub fn into_inner(self) -> S {
        self.into_parts().0
    }

    /// The stream underneath, and the items held and the error that waits behind them, in order.
    pub fn into_parts(self) -> (S, Held<S>) {
        let (input, items, error) = self.shell.into_parts();
        (input, in_order(items, error))
    }
}

impl<S: TryStream, F: Form> Stream for TryBatched<S, F> {
    type Item = Result<F::Of<S::Ok>, S::Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let closed = ready!(self.project().shell.poll_closed(cx));
        Poll::Ready(closed.map(|closed| closed.map(form::<F, _>)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.shell.size_hint(S::size_hint)
    }
}

impl<S: TryStream, F: Form> FusedStream for TryBatched<S, F> {
    fn is_terminated(&self) -> bool {
        self.shell.is_terminated()
    }
}

impl<S: TryStream + Sink<I>, F, I> Sink<I> for TryBatched<S, F> {
    type Error = <S as Sink<I>>::Error;

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

impl<S: TryStream + fmt::Debug, F> fmt::Debug for TryBatched<S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TryBatched").field(&self.shell).finish()
    }
}

/// Takes items one by one, up to an error.
fn fill<S: TryStream>(
    mut input: Pin<&mut S>,
    cx: &mut Context<'_>,
    open: &mut Open<S::Ok>,
) -> Poll<Filled<S::Error>> {
    while let Some(item) = ready!(input.as_mut().try_poll_next(cx)) {
        match item {
            Ok(item) => {
                if open.push(item) {
                    return Poll::Ready(Filled::Closed);
                }
            }
            Err(error) => return Poll::Ready(Filled::Failed(error)),
        }
    }
    Poll::Ready(Filled::Ended)
}

fn in_order<T, E>(items: Vec<T>, error: Option<E>) -> Vec<Result<T, E>> {
    items.into_iter().map(Ok).chain(error.map(Err)).collect()
}
