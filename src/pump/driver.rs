//! [`Driver`]: the task that keeps a sink polled, between a queue and the sink.

use std::error::Error;
use std::fmt;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use futures_sink::Sink;
use pin_project_lite::pin_project;
use tokio::task::JoinHandle;

use crate::coop;
use crate::queue::{self, Consumer, Producer};

use super::{Ended, Pumped};

/// The handle of the task that [`PushExt::spawn`](crate::PushExt::spawn) spawned: a future of how it ended.
///
/// Dropping it ends the task where it stands: the sink is dropped without a flush, the queue is closed, and what is
/// queued goes to `on_drop`. So keep it, await it, or spawn it in turn.
#[must_use = "dropping the handle ends the task and drops the sink"]
pub struct Driver<E> {
    task: JoinHandle<Result<Pumped, DriverError<E>>>,
}

impl<E: Send + 'static> Driver<E> {
    #[track_caller]
    pub(crate) fn spawn<T, S>(sink: S, queue: queue::Builder<T>) -> (Producer<T>, Self)
    where
        T: Send + 'static,
        S: Sink<T, Error = E> + Send + 'static,
    {
        let (tx, queue) = queue.build();
        let task = tokio::spawn(Drive {
            queue,
            sink,
            items: 0,
        });
        (tx, Self { task })
    }
}

impl<E> Driver<E> {
    /// Ends the task where it stands, as dropping the handle does; the handle then resolves to
    /// [`DriverError::Aborted`], unless the task had come to its end.
    pub fn abort(&self) {
        self.task.abort();
    }

    /// Whether the task has ended.
    pub fn is_finished(&self) -> bool {
        self.task.is_finished()
    }
}

impl<E> Future for Driver<E> {
    type Output = Result<Pumped, DriverError<E>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let ended = ready!(Pin::new(&mut self.task).poll(cx));
        Poll::Ready(ended.unwrap_or_else(|error| match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            Err(_) => Err(DriverError::Aborted),
        }))
    }
}

impl<E> Drop for Driver<E> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl<E> fmt::Debug for Driver<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver")
            .field("finished", &self.is_finished())
            .finish_non_exhaustive()
    }
}

/// Why a [`Driver`] ended before its queue was closed and drained.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DriverError<E> {
    /// The sink failed. The queue is closed; what was queued has gone to `on_drop`.
    Sink {
        /// What the sink said.
        error: E,
        /// Items that the sink took before. Those since its last flush may not have arrived.
        items: u64,
    },
    /// The task was aborted, or its runtime shut down.
    Aborted,
}

impl<E> DriverError<E> {
    /// What the sink said, if it was the sink.
    pub fn into_error(self) -> Option<E> {
        match self {
            Self::Sink { error, .. } => Some(error),
            Self::Aborted => None,
        }
    }
}

impl<E> fmt::Display for DriverError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sink { items, .. } => write!(f, "a driven sink failed after {items} items"),
            Self::Aborted => f.write_str("the driver of a sink was aborted"),
        }
    }
}

impl<E: Error + 'static> Error for DriverError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Sink { error, .. } => Some(error),
            Self::Aborted => None,
        }
    }
}

pin_project! {
    /// Takes an item out of the queue only when the sink has room for it: whatever way the task ends, what the sink did
    /// not take is still in the queue's books.
    struct Drive<T, S> {
        queue: Consumer<T>,
        #[pin]
        sink: S,
        items: u64,
    }
}

impl<T, S: Sink<T>> Drive<T, S> {
    fn poll_run(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        let mut this = self.project();
        loop {
            match this.queue.poll_peek(cx) {
                Poll::Ready(true) => {
                    ready!(this.sink.as_mut().poll_ready(cx))?;
                    ready!(coop::has_or_yield(cx));
                    if let Some(item) = ready!(Pin::new(&mut *this.queue).poll_next(cx)) {
                        coop::take(cx);
                        this.sink.as_mut().start_send(item)?;
                        *this.items += 1;
                    }
                }
                Poll::Ready(false) => return this.sink.as_mut().poll_close(cx),
                Poll::Pending => {
                    ready!(coop::has_or_yield(cx));
                    ready!(this.sink.as_mut().poll_flush(cx))?;
                    return Poll::Pending;
                }
            }
        }
    }
}

impl<T, S: Sink<T>> Future for Drive<T, S> {
    type Output = Result<Pumped, DriverError<S::Error>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let ended = ready!(self.as_mut().poll_run(cx));
        let items = self.items;
        Poll::Ready(match ended {
            Ok(()) => Ok(Pumped {
                items,
                ended: Ended::Source,
            }),
            Err(error) => Err(DriverError::Sink { error, items }),
        })
    }
}
