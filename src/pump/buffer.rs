//! [`Buffered`]: a stream that runs ahead in a task of its own.

use std::fmt;
use std::panic::resume_unwind;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use futures_core::{FusedStream, Stream};
use tokio::task::JoinHandle;

use crate::coop;
use crate::queue::{self, Consumer, DropReason, Producer, QueueStats};

/// Stream of [`PullExt::buffer`](crate::PullExt::buffer). Dropping it ends the task behind it.
#[must_use = "dropping the stream ends its task"]
pub struct Buffered<T> {
    items: Consumer<T>,
    /// Gone when its end has been seen.
    task: Option<JoinHandle<()>>,
}

impl<T: Send + 'static> Buffered<T> {
    #[track_caller]
    pub(crate) fn spawn<S>(input: S, queue: queue::Builder<T>) -> Self
    where
        S: Stream<Item = T> + Send + 'static,
    {
        let (tx, items) = queue.build();
        let task = tokio::spawn(fill(input, tx));
        Self {
            items,
            task: Some(task),
        }
    }
}

impl<T> Buffered<T> {
    /// All counters of the queue in between, at one moment.
    pub fn stats(&self) -> QueueStats {
        self.items.stats()
    }

    /// Changes how far the stream may run ahead, by the rules of [`Consumer::resize`].
    ///
    /// # Panics
    /// If `capacity` is 0.
    #[track_caller]
    pub fn resize(&self, capacity: usize) {
        self.items.resize(capacity);
    }
}

impl<T> Stream for Buffered<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let this = &mut *self;
        let Some(task) = &mut this.task else {
            return Poll::Ready(None);
        };
        if let Some(item) = ready!(Pin::new(&mut this.items).poll_next(cx)) {
            return Poll::Ready(Some(item));
        }
        let ended = ready!(Pin::new(task).poll(cx));
        this.task = None;
        if let Some(panic) = ended.err().and_then(|error| error.try_into_panic().ok()) {
            resume_unwind(panic);
        }
        Poll::Ready(None)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        if self.task.is_none() {
            (0, Some(0))
        } else {
            self.items.size_hint()
        }
    }
}

impl<T> FusedStream for Buffered<T> {
    fn is_terminated(&self) -> bool {
        self.task.is_none()
    }
}

impl<T> Drop for Buffered<T> {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl<T> fmt::Debug for Buffered<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffered")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

async fn fill<T>(input: impl Stream<Item = T>, queue: Producer<T>) {
    let mut input = pin!(input);
    while let Some(item) = coop::paid(|cx| input.as_mut().poll_next(cx)).await {
        match queue.push(item).await {
            Ok(()) => {}
            Err(error) if error.is_closed() => break,
            Err(error) => queue.discard(error.into_item(), DropReason::Newest),
        }
    }
}
