//! Batches in front of a sink.

use std::fmt;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::{FusedStream, Stream};
use futures_sink::Sink;
use pin_project_lite::pin_project;
use tokio::time::Instant;

use super::open::Open;
use super::shell::form;
use super::timer::Timer;
use super::{BatchPolicy, BatchStats, FlushReason, Form, Plain};

pin_project! {
    /// Sink of items before a sink of batches, made by [`PushExt::sink_batch`](crate::PushExt::sink_batch) (the inner
    /// sink takes a `Vec<T>`) and [`PushExt::sink_batch_with`](crate::PushExt::sink_batch_with) (it takes a
    /// [`Batch<T>`](super::Batch), with `F` = [`Detailed`](super::Detailed)).
    ///
    /// Where the sink is a stream too, so is this, with nothing done to what is pulled.
    #[must_use = "sinks do nothing unless polled"]
    pub struct SinkBatch<Si, T, F = Plain> {
        #[pin]
        sink: Si,
        open: Open<T>,
        timer: Timer,
        // Whether the sink holds a batch that it has not flushed yet.
        unflushed: bool,
        closed: bool,
        form: PhantomData<fn() -> F>,
    }
}

impl<Si, T, F> SinkBatch<Si, T, F> {
    pub(crate) fn new(sink: Si, policy: BatchPolicy<T>) -> Self {
        let (open, timer) = (Open::new(policy), Timer::default());
        Self {
            sink,
            open,
            timer,
            unflushed: false,
            closed: false,
            form: PhantomData,
        }
    }

    /// What has been handed on so far. An operator whose policy has a [name](BatchPolicy::name) shows it in the registry too.
    pub fn stats(&self) -> BatchStats {
        self.open.stats()
    }

    /// How many items are held, waiting for their batch to close or for the inner sink to take it.
    pub fn held(&self) -> usize {
        self.open.len()
    }

    /// The sink underneath.
    pub fn get_ref(&self) -> &Si {
        &self.sink
    }

    /// The sink underneath. What is sent to it directly overtakes the items held.
    pub fn get_mut(&mut self) -> &mut Si {
        &mut self.sink
    }

    /// The sink underneath, pinned. What is sent to it directly overtakes the items held.
    pub fn get_pin_mut(self: Pin<&mut Self>) -> Pin<&mut Si> {
        self.project().sink
    }

    /// Takes out the items held, in order, and leaves the operator empty. For an operator that is pinned; otherwise see
    /// [`into_parts`](Self::into_parts).
    pub fn take_remainder(self: Pin<&mut Self>) -> Vec<T> {
        self.project().open.take_all()
    }

    /// The items held, in order. The sink is dropped.
    pub fn into_remainder(self) -> Vec<T> {
        self.into_parts().1
    }

    /// The sink underneath. Items held are dropped, see [`into_parts`](Self::into_parts).
    pub fn into_inner(self) -> Si {
        self.into_parts().0
    }

    /// The sink underneath and the items held, in order.
    pub fn into_parts(mut self) -> (Si, Vec<T>) {
        let held = self.open.take_all();
        (self.sink, held)
    }
}

impl<Si, T, F> SinkBatch<Si, T, F>
where
    F: Form,
    Si: Sink<F::Of<T>>,
{
    /// Hands on what is held, whatever its age, and flushes the inner sink.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use futures::{SinkExt, StreamExt};
    /// use pushpull::prelude::*;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), futures::channel::mpsc::SendError> {
    /// let (sink, mut batches) = futures::channel::mpsc::channel(8);
    /// let mut sink = sink.sink_batch(100, Duration::from_secs(60));
    /// sink.feed(1).await?;
    /// sink.feed(2).await?;
    /// assert!(batches.try_recv().is_err()); // neither full nor old
    /// sink.flush_now().await?;
    /// assert_eq!(batches.next().await, Some(vec![1, 2]));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, it loses nothing: what the inner sink has not taken is still held.
    ///
    /// # Errors
    ///
    /// That of the inner sink. What that has not taken is still held.
    pub async fn flush_now(&mut self) -> Result<(), Si::Error>
    where
        Si: Unpin,
    {
        poll_fn(|cx| Pin::new(&mut *self).poll_flush_now(cx)).await
    }

    /// [`flush_now`](Self::flush_now) for who polls by hand.
    ///
    /// # Errors
    ///
    /// That of the inner sink. What that has not taken is still held.
    pub fn poll_flush_now(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Si::Error>> {
        ready!(self.as_mut().poll_empty(cx, FlushReason::Flush))?;
        self.poll_flush_inner(cx)
    }

    /// Hands on all that is held.
    fn poll_empty(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        reason: FlushReason,
    ) -> Poll<Result<(), Si::Error>> {
        loop {
            let me = self.as_mut().project();
            me.open.sift();
            if me.open.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let reason = me.open.closed().unwrap_or(reason);
            ready!(self.as_mut().poll_hand_over(cx, reason))?;
        }
    }

    /// Closes the open batch as soon as the inner sink can take it. Until then it keeps what it has.
    fn poll_hand_over(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        reason: FlushReason,
    ) -> Poll<Result<(), Si::Error>> {
        let mut me = self.project();
        ready!(me.sink.as_mut().poll_ready(cx))?;
        *me.unflushed = true;
        Poll::Ready(me.sink.start_send(form::<F, _>(me.open.close(reason))))
    }

    fn poll_flush_inner(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Si::Error>> {
        let me = self.project();
        ready!(me.sink.poll_flush(cx))?;
        *me.unflushed = false;
        Poll::Ready(Ok(()))
    }

    /// Keeps the inner sink at work on what it has while the open batch waits.
    fn drive_inner(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Result<(), Si::Error> {
        if !self.unflushed {
            return Ok(());
        }
        match self.poll_flush_inner(cx) {
            Poll::Ready(flushed) => flushed,
            Poll::Pending => Ok(()),
        }
    }
}

impl<Si, T, F> Sink<T> for SinkBatch<Si, T, F>
where
    F: Form,
    Si: Sink<F::Of<T>>,
{
    type Error = Si::Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Si::Error>> {
        loop {
            let me = self.as_mut().project();
            me.open.sift();
            let Some(reason) = me.open.closed() else {
                break;
            };
            ready!(self.as_mut().poll_hand_over(cx, reason))?;
        }
        let open = self.as_mut().project().open;
        if open.timed() {
            open.settle(Instant::now());
        }
        if let Some(reason) = open.lapsed() {
            // Where the inner sink is busy, there is still room here.
            if let Poll::Ready(Err(error)) = self.as_mut().poll_hand_over(cx, reason) {
                return Poll::Ready(Err(error));
            }
        }
        Poll::Ready(self.drive_inner(cx))
    }

    fn start_send(self: Pin<&mut Self>, item: T) -> Result<(), Si::Error> {
        let open = self.project().open;
        assert!(
            open.closed().is_none(),
            "`start_send` without `poll_ready`: the batch is full"
        );
        open.push(item);
        if open.unsettled() {
            open.settle(Instant::now());
        }
        open.settle_rest(Instant::now);
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Si::Error>> {
        loop {
            let me = self.as_mut().project();
            me.open.sift();
            if me.open.is_empty() {
                return self.poll_flush_inner(cx);
            }
            let reason = match me.open.closed() {
                Some(reason) => reason,
                None => {
                    self.as_mut().drive_inner(cx)?;
                    let me = self.as_mut().project();
                    if me.open.timed() {
                        me.open.settle(Instant::now());
                    }
                    ready!(me.timer.poll_lapse(cx, me.open))
                }
            };
            ready!(self.as_mut().poll_hand_over(cx, reason))?;
        }
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Si::Error>> {
        ready!(self.as_mut().poll_empty(cx, FlushReason::End))?;
        let me = self.project();
        if !*me.closed {
            ready!(me.sink.poll_close(cx))?;
            *me.closed = true;
            *me.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }
}

impl<Si: Stream, T, F> Stream for SinkBatch<Si, T, F> {
    type Item = Si::Item;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.project().sink.poll_next(cx)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.sink.size_hint()
    }
}

impl<Si: FusedStream, T, F> FusedStream for SinkBatch<Si, T, F> {
    fn is_terminated(&self) -> bool {
        self.sink.is_terminated()
    }
}

impl<Si: fmt::Debug, T, F> fmt::Debug for SinkBatch<Si, T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SinkBatch")
            .field("sink", &self.sink)
            .field("open", &self.open)
            .field("unflushed", &self.unflushed)
            .finish_non_exhaustive()
    }
}
