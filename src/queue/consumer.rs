//! The handle that pulls.

use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;
use futures_core::stream::FusedStream;

use crate::block::block_on;
use crate::coop;
use crate::sync::Arc;

use super::control::{Watch, control};
use super::pulling::{Pull, PullBatch, PullMany};
use super::shared::Shared;
use super::state::{Side, State};
use super::waiters::Key;
use super::{DropReason, Overflow, PullError, QueueStats};

/// The handle that pulls from a queue. Clone it for more consumers: each item goes to one of them. When the last one is
/// gone the queue is closed, waiting producers get their items back, and what is queued is dropped.
///
/// A clone counts as a consumer also where nobody pulls from it: kept for its [`stats`](Self::stats), it keeps the queue
/// open and producers waiting after the consumers that worked have gone. Close the queue when they do, or keep a
/// [`WeakProducer`](super::WeakProducer) instead, which watches without taking part.
///
/// It is a [`Stream`] as well, which ends when the queue is closed and drained. As a stream it keeps its place among the
/// waiting consumers from a `Pending` poll to the next poll, and with it a wake it may have been given. A handle that
/// is polled in one branch of a `select!` and then left alone should be dropped, or use [`pull`](Self::pull), whose
/// future gives its place up when it is dropped.
pub struct Consumer<T> {
    pub(super) shared: Arc<Shared<T>>,
    key: Option<Key>,
}

control!(Consumer);

impl<T> Consumer<T> {
    pub(super) const fn new(shared: Arc<Shared<T>>) -> Self {
        Self { shared, key: None }
    }

    /// Pulls the next item, waiting for one; `None` when the queue is closed and drained.
    ///
    /// ```
    /// use pushpull::queue;
    ///
    /// # tokio_test::block_on(async {
    /// let (tx, rx) = queue::bounded(10);
    /// tx.push("last").await.unwrap();
    /// tx.close();
    /// assert_eq!(rx.pull().await, Some("last"));
    /// assert_eq!(rx.pull().await, None);
    /// # });
    /// ```
    ///
    /// # Cancel safety
    /// Dropped before the end, nothing was taken, and a wake that had come goes to the next consumer.
    pub fn pull(&self) -> impl Future<Output = Option<T>> {
        Pull {
            shared: &self.shared,
            key: None,
        }
    }

    /// Pulls an item if one is queued.
    ///
    /// ```
    /// use pushpull::queue::{self, PullError};
    ///
    /// let (tx, rx) = queue::bounded(1);
    /// assert_eq!(rx.try_pull(), Err(PullError::Empty));
    /// tx.try_push(1).unwrap();
    /// drop(tx);
    /// assert_eq!(rx.try_pull(), Ok(1));
    /// assert_eq!(rx.try_pull(), Err(PullError::Closed));
    /// ```
    ///
    /// # Errors
    /// [`Empty`](PullError::Empty), or [`Closed`](PullError::Closed) when nothing will come any more.
    pub fn try_pull(&self) -> Result<T, PullError> {
        match self.shared.pull_now() {
            Ok(Some(item)) => Ok(item),
            Ok(None) => Err(PullError::Closed),
            Err(_) => Err(PullError::Empty),
        }
    }

    /// Pulls the next item, waiting for it no longer than `within`, on tokio's clock.
    ///
    /// ```
    /// use pushpull::queue::{self, PullError};
    /// use std::time::Duration;
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
    /// let (tx, rx) = queue::bounded(1);
    /// tx.push(1).await.unwrap();
    /// let second = Duration::from_secs(1);
    /// assert_eq!(rx.pull_timeout(second).await, Ok(1));
    /// assert_eq!(rx.pull_timeout(second).await, Err(PullError::Timeout));
    /// # });
    /// ```
    ///
    /// # Cancel safety
    /// As [`pull`](Self::pull).
    ///
    /// # Errors
    /// [`Timeout`](PullError::Timeout), or [`Closed`](PullError::Closed) when nothing will come any more.
    ///
    /// # Panics
    /// When polled outside of a tokio runtime, or in one without its time driver.
    pub async fn pull_timeout(&self, within: Duration) -> Result<T, PullError> {
        match tokio::time::timeout(within, self.pull()).await {
            Ok(Some(item)) => Ok(item),
            Ok(None) => Err(PullError::Closed),
            Err(_) => Err(PullError::Timeout),
        }
    }

    /// Pulls up to `limit` items to the end of `out`, waiting for the first, and answers how many; 0 when the queue is
    /// closed and drained. The whole run moves under one lock.
    ///
    /// ```
    /// use pushpull::queue;
    ///
    /// # tokio_test::block_on(async {
    /// let (tx, rx) = queue::bounded(10);
    /// for n in 1..=3 {
    ///     tx.push(n).await.unwrap();
    /// }
    /// drop(tx);
    /// let mut out = Vec::new();
    /// assert_eq!(rx.pull_many(&mut out, 2).await, 2);
    /// assert_eq!(rx.pull_many(&mut out, 2).await, 1);
    /// assert_eq!(rx.pull_many(&mut out, 2).await, 0);
    /// assert_eq!(out, [1, 2, 3]);
    /// # });
    /// ```
    ///
    /// # Cancel safety
    /// Dropped before the end, nothing was taken.
    ///
    /// # Panics
    /// If `limit` is 0.
    #[track_caller]
    pub fn pull_many(&self, out: &mut Vec<T>, limit: usize) -> impl Future<Output = usize> {
        assert!(limit > 0, "a limit of 0 would pull nothing for ever");
        PullMany {
            shared: &self.shared,
            out,
            limit,
            key: None,
        }
    }

    /// Pulls up to `limit` items that are queued now to the end of `out`, and answers how many.
    ///
    /// ```
    /// use pushpull::queue::{self, PullError};
    ///
    /// let (tx, rx) = queue::bounded(10);
    /// let mut out = Vec::new();
    /// assert_eq!(rx.try_pull_many(&mut out, 8), Err(PullError::Empty));
    /// tx.try_push(1).unwrap();
    /// assert_eq!(rx.try_pull_many(&mut out, 8), Ok(1));
    /// ```
    ///
    /// # Errors
    /// [`Empty`](PullError::Empty), or [`Closed`](PullError::Closed) when nothing will come any more.
    ///
    /// # Panics
    /// If `limit` is 0.
    #[track_caller]
    pub fn try_pull_many(&self, out: &mut Vec<T>, limit: usize) -> Result<usize, PullError> {
        assert!(limit > 0, "a limit of 0 would pull nothing for ever");
        loop {
            let run = self.shared.pull_run_now(out, limit);
            if run > 0 {
                return Ok(run);
            }
            match self
                .shared
                .attempt(|state| state.pull_run(None, out, limit))
            {
                Ok(Ok(0)) => return Err(PullError::Closed),
                Ok(Ok(run)) => return Ok(run),
                Ok(Err(room)) => out.reserve(room),
                Err(_) => return Err(PullError::Empty),
            }
        }
    }

    /// Pulls up to `limit` items to the end of `out`, as [`pull_many`](Self::pull_many), with the place that the handle
    /// has as a stream.
    ///
    /// # Panics
    /// If `limit` is 0.
    ///
    /// ```
    /// use std::future::poll_fn;
    ///
    /// use pushpull::queue;
    ///
    /// # tokio_test::block_on(async {
    /// let (tx, mut rx) = queue::bounded(4);
    /// let mut out = Vec::with_capacity(2);
    /// for n in 1..=3 {
    ///     tx.push(n).await.unwrap();
    /// }
    /// tx.close();
    /// assert_eq!(poll_fn(|cx| rx.poll_pull_many(cx, &mut out, 2)).await, 2);
    /// assert_eq!(poll_fn(|cx| rx.poll_pull_many(cx, &mut out, 2)).await, 1);
    /// assert_eq!(poll_fn(|cx| rx.poll_pull_many(cx, &mut out, 2)).await, 0);
    /// assert_eq!(out, [1, 2, 3]);
    /// # });
    /// ```
    #[track_caller]
    pub fn poll_pull_many(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Vec<T>,
        limit: usize,
    ) -> Poll<usize> {
        assert!(limit > 0, "a limit of 0 would pull nothing for ever");
        let (shared, key) = (&self.shared, &mut self.key);
        coop::spend(cx, |cx| shared.poll_pull_run(cx, key, out, limit))
    }

    /// Waits until an item is queued, and leaves it there; `false` when there will never be one.
    pub(crate) fn poll_peek(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let key = &mut self.key;
        self.shared
            .poll(cx, Side::Pulling, key, |state, key| state.peek(key))
    }

    /// Waits until `max` items are queued, or `wait` is over, and pulls up to `max` of what there is; an empty batch
    /// when there is nothing, `None` when the queue is closed and drained.
    ///
    /// ```
    /// use pushpull::queue;
    /// use std::time::Duration;
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
    /// let (tx, rx) = queue::bounded(10);
    /// tx.push(1).await.unwrap();
    /// tx.push(2).await.unwrap();
    /// let second = Duration::from_secs(1);
    /// assert_eq!(rx.pull_batch(2, second).await, Some(vec![1, 2]));
    /// assert_eq!(rx.pull_batch(2, second).await, Some(vec![]));
    /// drop(tx);
    /// assert_eq!(rx.pull_batch(2, second).await, None);
    /// # });
    /// ```
    ///
    /// It does not wait for what cannot come: when the queue is closed, or producers wait for room that only this pull
    /// can make (a `max` above the capacity, say), it takes what there is at once.
    ///
    /// # Cancel safety
    /// It takes nothing before it returns.
    ///
    /// # Panics
    /// If `max` is 0. When polled outside of a tokio runtime, or in one without its time driver.
    #[track_caller]
    pub fn pull_batch(&self, max: usize, wait: Duration) -> impl Future<Output = Option<Vec<T>>> {
        assert!(max > 0, "a batch of 0 items would pull nothing for ever");
        let mut batch = PullBatch {
            shared: &self.shared,
            max,
            late: false,
            key: None,
        };
        async move {
            let mut over = pin!(tokio::time::sleep(wait));
            poll_fn(|cx| {
                // One that waits looks at the time first, or it would pass its wake on before it takes what there is.
                let waits = batch.key.is_some();
                if waits && !batch.late {
                    batch.late = over.as_mut().poll(cx).is_ready();
                }
                match Pin::new(&mut batch).poll(cx) {
                    Poll::Pending if !waits && over.as_mut().poll(cx).is_ready() => {
                        batch.late = true;
                        Pin::new(&mut batch).poll(cx)
                    }
                    polled => polled,
                }
            })
            .await
        }
    }

    /// Pulls an item on a thread that is not a task, blocking it as [`pull`](Self::pull) would wait.
    ///
    /// In an async task it would block the runtime's thread, and may block it for ever.
    ///
    /// ```
    /// use pushpull::queue;
    ///
    /// let (tx, rx) = queue::bounded(1);
    /// let thread = std::thread::spawn(move || tx.blocking_push(1));
    /// assert_eq!(rx.blocking_pull(), Some(1));
    /// thread.join().unwrap().unwrap();
    /// assert_eq!(rx.blocking_pull(), None);
    /// ```
    pub fn blocking_pull(&self) -> Option<T> {
        let mut pull = Pull {
            shared: &self.shared,
            key: None,
        };
        block_on(|cx| pull.poll_unbudgeted(cx))
    }

    /// Closes the queue and waits until its consumers have pulled everything, no longer than `within`; then takes what
    /// is left. The second of three steps of a shutdown: [`close`](Self::close), `drain`, [`abort`](Self::abort).
    ///
    /// It waits for all that pull from the queue, also through a shared reference to this very handle, and so also where
    /// this handle is the only one.
    ///
    /// ```
    /// use pushpull::queue;
    /// use std::time::Duration;
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
    /// let (tx, rx) = queue::bounded(10);
    /// let worker = rx.clone();
    /// for n in 1..=3 {
    ///     tx.push(n).await.unwrap();
    /// }
    /// let first_two = tokio::spawn(async move { [worker.pull().await, worker.pull().await] });
    /// let drained = rx.drain(std::time::Duration::from_secs(5)).await;
    /// assert_eq!(first_two.await.unwrap(), [Some(1), Some(2)]);
    /// assert_eq!((drained.pulled, drained.left, drained.timed_out), (2, vec![3], true));
    /// assert!(tx.push(4).await.unwrap_err().is_closed());
    /// # });
    /// ```
    ///
    /// # Cancel safety
    /// Dropped before the end, the queue is closed and nothing was taken.
    ///
    /// # Panics
    /// When polled outside of a tokio runtime, or in one without its time driver.
    pub async fn drain(&self, within: Duration) -> Drained<T> {
        let before = self.shared.change(|state| {
            state.close();
            state.count.pulled
        });
        let timed_out = tokio::time::timeout(within, self.drained()).await.is_err();
        let (pulled, left) = self.shared.change(|state| {
            let pulled = state.count.pulled - before;
            (pulled, state.take_all())
        });
        let pulled = usize::try_from(pulled).unwrap_or(usize::MAX);
        Drained {
            pulled,
            left: left.into(),
            timed_out,
        }
    }

    /// Closes the queue, makes reservations void, and gives back everything that is queued. The last of three steps of
    /// a shutdown.
    ///
    /// ```
    /// use pushpull::queue;
    ///
    /// let (tx, rx) = queue::bounded(10);
    /// let permit = tx.try_reserve().unwrap();
    /// tx.try_push(1).unwrap();
    /// assert_eq!(rx.abort(), [1]);
    /// assert!(permit.push(2).unwrap_err().is_closed());
    /// assert_eq!(rx.stats().pulled, 1);
    /// ```
    pub fn abort(&self) -> Vec<T> {
        let left = self.shared.change(|state| {
            state.revoke();
            state.take_all()
        });
        left.into()
    }

    /// Whether pushes are refused. There may still be items to pull.
    pub fn is_closed(&self) -> bool {
        self.shared.has_closed()
    }
}

impl<T> Stream for Consumer<T> {
    type Item = T;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let this = self.get_mut();
        ready!(coop::share(cx));
        this.shared.poll_pull(cx, &mut this.key)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let evicts = self.shared.overflow == Overflow::DropOldest;
        self.shared.read(|state| {
            let len = state.ring.len();
            if !state.is_closed() {
                return (0, None);
            }
            // Items may be evicted after close: by a smaller bound, and for what was promised a slot.
            let certain = state.is_sole_consumer() && !evicts;
            let lower = if certain { len } else { 0 };
            (lower, len.checked_add(state.coming()))
        })
    }
}

impl<T> FusedStream for Consumer<T> {
    fn is_terminated(&self) -> bool {
        self.shared.read(State::is_finished)
    }
}

impl<T> Clone for Consumer<T> {
    fn clone(&self) -> Self {
        self.shared.change(State::add_consumer);
        Self::new(self.shared.clone())
    }
}

impl<T> Drop for Consumer<T> {
    fn drop(&mut self) {
        let mut abandoned = self.shared.leaving(DropReason::Abandoned);
        self.shared
            .leave_and(Side::Pulling, &mut self.key, |state| {
                abandoned.items = Some(state.remove_consumer());
            });
    }
}

impl<T> fmt::Debug for Consumer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

/// What [`Consumer::drain`] came to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drained<T> {
    /// How many items were pulled by others while it waited.
    pub pulled: usize,
    /// What nobody had pulled, oldest first.
    pub left: Vec<T>,
    /// Whether the time was over before everything was pulled.
    pub timed_out: bool,
}
