//! The handle that pushes.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use crate::block::block_on;
use crate::sync::Arc;
use crate::wake::in_turn;

use super::control::{Watch, control};
use super::permit::{Permit, Reserve, try_reserve};
use super::pushing::{Push, PushFrom, PushMany};
use super::shared::Shared;
use super::sink::SinkSide;
use super::state::State;
use super::{DropReason, PushError, QueueStats, WeakProducer};

/// The handle that pushes into a queue. Clone it for more producers; the queue is closed when the last one is gone.
///
/// It is a [`Sink`](futures_sink::Sink) as well, whose rules stand [there](#impl-Sink<T>-for-Producer<T>).
pub struct Producer<T> {
    pub(super) shared: Arc<Shared<T>>,
    pub(super) sink: Option<Box<SinkSide<T>>>,
}

control!(Producer);

impl<T> Producer<T> {
    pub(super) const fn new(shared: Arc<Shared<T>>) -> Self {
        Self { shared, sink: None }
    }

    /// Gives an item that will not be pushed to `on_drop`.
    pub(crate) fn discard(&self, item: T, reason: DropReason) {
        self.shared.discard([item], reason);
    }

    /// Pushes an item; where there is no room, the queue's [`Overflow`](super::Overflow) decides.
    ///
    /// ```
    /// use pushpull::queue;
    ///
    /// # tokio_test::block_on(async {
    /// let (tx, rx) = queue::bounded(10);
    /// tx.push(1).await.unwrap();
    /// tx.push(2).await.unwrap();
    /// assert_eq!(rx.pull().await, Some(1));
    /// rx.close();
    /// assert_eq!(tx.push(3).await.unwrap_err().into_item(), 3);
    /// # });
    /// ```
    ///
    /// # Back-pressure
    /// Under [`Overflow::Wait`](super::Overflow::Wait) it waits for room, in turn with the other producers that wait.
    ///
    /// # Cancel safety
    /// Dropped before the end, the item was not queued: it is handed to `on_drop` as
    /// [`Cancelled`](super::DropReason::Cancelled) and counted. [`push_from`](Self::push_from) and
    /// [`reserve`](Self::reserve) leave it with you.
    ///
    /// # Errors
    /// With the item: [`Closed`](PushError::Closed), [`TooHeavy`](PushError::TooHeavy), and
    /// [`Full`](PushError::Full) under [`Reject`](super::Overflow::Reject), or under
    /// [`DropOldest`](super::Overflow::DropOldest) when every slot is reserved, or held for a waiter, so that there is
    /// nothing to drop.
    pub fn push(&self, item: T) -> impl Future<Output = Result<(), PushError<T>>> {
        Push::new(&self.shared, item, self.is_handle_closed())
    }

    /// Pushes what is in `slot` and leaves `None` there. As [`push`](Self::push), but the item stays the caller's
    /// until it is queued.
    ///
    /// ```
    /// use pushpull::queue;
    /// use std::time::Duration;
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
    /// let (tx, _rx) = queue::bounded(1);
    /// tx.push(1).await.unwrap();
    /// let mut slot = Some(2);
    /// let cancelled = tokio::time::timeout(Duration::from_secs(1), tx.push_from(&mut slot)).await;
    /// assert!(cancelled.is_err());
    /// assert_eq!(slot, Some(2));
    /// # });
    /// ```
    ///
    /// # Cancel safety
    /// Dropped before the end, the item is still in `slot`.
    ///
    /// # Errors
    /// As [`push`](Self::push), with the item left in `slot`. An empty slot is pushed at once, as nothing.
    pub fn push_from(
        &self,
        slot: &mut Option<T>,
    ) -> impl Future<Output = Result<(), PushError<()>>> {
        let closed = self.is_handle_closed();
        async move {
            if closed && slot.is_some() {
                self.shared.count_refusal();
                return Err(PushError::Closed(()));
            }
            PushFrom {
                shared: &self.shared,
                slot,
                key: None,
            }
            .await
        }
    }

    /// Pushes an item without waiting.
    ///
    /// ```
    /// use pushpull::queue::{self, PushError};
    ///
    /// let (tx, _rx) = queue::bounded(1);
    /// assert_eq!(tx.try_push('a'), Ok(()));
    /// assert_eq!(tx.try_push('b'), Err(PushError::Full('b')));
    /// ```
    ///
    /// # Errors
    /// As [`push`](Self::push), and [`Full`](PushError::Full) where that would wait.
    pub fn try_push(&self, item: T) -> Result<(), PushError<T>> {
        if self.refuses() {
            return Err(PushError::Closed(item));
        }
        self.shared.push_now(item)
    }

    /// Pushes an item, waiting for room no longer than `within`, on tokio's clock.
    ///
    /// ```
    /// use pushpull::queue::{self, PushError};
    /// use std::time::Duration;
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
    /// let (tx, _rx) = queue::bounded(1);
    /// let second = Duration::from_secs(1);
    /// assert_eq!(tx.push_timeout('a', second).await, Ok(()));
    /// assert_eq!(tx.push_timeout('b', second).await, Err(PushError::Timeout('b')));
    /// # });
    /// ```
    ///
    /// # Cancel safety
    /// As [`push`](Self::push).
    ///
    /// # Errors
    /// As [`push`](Self::push), and [`Timeout`](PushError::Timeout) with the item.
    ///
    /// # Panics
    /// When polled outside of a tokio runtime, or in one without its time driver.
    pub fn push_timeout(
        &self,
        item: T,
        within: Duration,
    ) -> impl Future<Output = Result<(), PushError<T>>> {
        let mut push = Push::new(&self.shared, item, self.is_handle_closed());
        async move {
            match tokio::time::timeout(within, &mut push).await {
                Ok(pushed) => pushed,
                Err(_) => match push.give_up() {
                    Some(item) => Err(PushError::Timeout(item)),
                    None => Ok(()),
                },
            }
        }
    }

    /// Pushes an item, trying again after each pause of `backoff` while the queue is full.
    ///
    /// `backoff` is one of the builders of the `backon` crate; their pauses pass on tokio's clock. A pause ends early
    /// when the queue is closed.
    ///
    /// ```
    /// use backon::ConstantBuilder;
    /// use pushpull::queue;
    /// use std::time::Duration;
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
    /// let (tx, _rx) = queue::bounded(1);
    /// tx.try_push(1).unwrap();
    /// let backoff = ConstantBuilder::default().with_delay(Duration::from_secs(1)).with_max_times(3);
    /// let start = tokio::time::Instant::now();
    /// assert_eq!(tx.push_retry(2, backoff).await.unwrap_err().into_item(), 2);
    /// assert_eq!(start.elapsed(), Duration::from_secs(3));
    /// # });
    /// ```
    ///
    /// # Cancel safety
    /// As [`push`](Self::push).
    ///
    /// # Errors
    /// [`Full`](PushError::Full) when the back-off gives up, [`Closed`](PushError::Closed) and
    /// [`TooHeavy`](PushError::TooHeavy) at once, each with the item.
    #[cfg(feature = "retry")]
    #[cfg_attr(docsrs, doc(cfg(feature = "retry")))]
    pub fn push_retry(
        &self,
        item: T,
        backoff: impl backon::BackoffBuilder,
    ) -> impl Future<Output = Result<(), PushError<T>>> {
        let mut push = Push::new(&self.shared, item, self.is_handle_closed());
        async move {
            let mut pauses = backoff.build();
            loop {
                let refusal = match push.attempt() {
                    Ok(()) => return Ok(()),
                    Err(refusal) => refusal,
                };
                let pause = match refusal {
                    super::state::Refusal::Full => pauses.next(),
                    _ => None,
                };
                let Some(pause) = pause else {
                    if refusal == super::state::Refusal::Full {
                        self.shared.count_refusal();
                    }
                    return push.result(Err(refusal));
                };
                let _closed_early = tokio::time::timeout(pause, self.closed()).await;
            }
        }
    }

    /// Pushes an item even if the queue is full: the oldest item then comes back.
    ///
    /// ```
    /// use pushpull::queue;
    ///
    /// let (tx, rx) = queue::bounded(2);
    /// assert_eq!(tx.force_push(1), Ok(None));
    /// assert_eq!(tx.force_push(2), Ok(None));
    /// assert_eq!(tx.force_push(3), Ok(Some(1)));
    /// rx.close();
    /// assert!(tx.force_push(4).unwrap_err().is_closed());
    /// ```
    ///
    /// What comes back counts as pulled. On a queue with a weight bound more than one item may have to go; the others
    /// are dropped as [`Oldest`](super::DropReason::Oldest).
    ///
    /// # Errors
    /// [`Closed`](PushError::Closed) or [`TooHeavy`](PushError::TooHeavy), and [`Full`](PushError::Full) when every
    /// slot is reserved, or held for a waiter, so that there is nothing to take out. Always with the new item.
    pub fn force_push(&self, item: T) -> Result<Option<T>, PushError<T>> {
        if self.refuses() {
            return Err(PushError::Closed(item));
        }
        let weight = self.shared.weigh(&item);
        let mut oldest = None;
        self.shared
            .with_victims(&mut Some(item), |state, slot, victims| {
                state.force(slot, weight, &mut oldest, victims)
            })?;
        Ok(oldest)
    }

    /// Pushes items from the front of `items` until it is empty, whole runs at a time, and answers how many.
    ///
    /// ```
    /// use pushpull::queue;
    /// use std::collections::VecDeque;
    ///
    /// # tokio_test::block_on(async {
    /// let (tx, rx) = queue::bounded(10);
    /// let mut items = VecDeque::from([1, 2, 3]);
    /// assert_eq!(tx.push_many(&mut items).await, Ok(3));
    /// rx.close();
    /// items.push_back(4);
    /// assert!(tx.push_many(&mut items).await.unwrap_err().is_closed());
    /// assert_eq!(items, [4]);
    /// # });
    /// ```
    ///
    /// # Back-pressure
    /// Under [`Overflow::Wait`](super::Overflow::Wait) it waits until all are in. Under
    /// [`Overflow::Reject`](super::Overflow::Reject) it pushes what fits.
    ///
    /// # Cancel safety
    /// Dropped before the end, what is left in `items` was not pushed.
    ///
    /// # Errors
    /// As [`push`](Self::push), about the item now at the front of `items`; the ones before it were pushed.
    /// [`Full`](PushError::Full) only if none was.
    pub fn push_many(
        &self,
        items: &mut VecDeque<T>,
    ) -> impl Future<Output = Result<usize, PushError<()>>> {
        let closed = self.is_handle_closed();
        async move {
            if closed && !items.is_empty() {
                self.shared.count_refusal();
                return Err(PushError::Closed(()));
            }
            PushMany {
                shared: &self.shared,
                items,
                moved: 0,
                key: None,
            }
            .await
        }
    }

    /// Pushes from the front of `items` what fits now, and answers how many.
    ///
    /// ```
    /// use pushpull::queue;
    /// use std::collections::VecDeque;
    ///
    /// let (tx, _rx) = queue::bounded(2);
    /// let mut items = VecDeque::from([1, 2, 3]);
    /// assert_eq!(tx.try_push_many(&mut items), Ok(2));
    /// assert_eq!(items, [3]);
    /// assert!(tx.try_push_many(&mut items).unwrap_err().is_full());
    /// ```
    ///
    /// # Errors
    /// As [`push_many`](Self::push_many).
    pub fn try_push_many(&self, items: &mut VecDeque<T>) -> Result<usize, PushError<()>> {
        if !items.is_empty() && self.refuses() {
            return Err(PushError::Closed(()));
        }
        self.shared.try_push_many(items)
    }

    /// Waits for a slot and reserves it for an item to come.
    ///
    /// ```
    /// use pushpull::queue;
    ///
    /// # tokio_test::block_on(async {
    /// let (tx, rx) = queue::bounded(1);
    /// let permit = tx.reserve().await.unwrap();
    /// assert!(tx.try_push(1).unwrap_err().is_full());
    /// permit.push(2).unwrap();
    /// assert_eq!(rx.pull().await, Some(2));
    /// # });
    /// ```
    ///
    /// # Back-pressure
    /// It waits for room under every policy but [`Overflow::Reject`](super::Overflow::Reject): nothing is dropped for a
    /// reservation.
    ///
    /// # Cancel safety
    /// Dropped before the end, nothing is reserved.
    ///
    /// # Errors
    /// [`Closed`](PushError::Closed), and [`Full`](PushError::Full) under
    /// [`Overflow::Reject`](super::Overflow::Reject).
    pub async fn reserve(&self) -> Result<Permit<T>, PushError<()>> {
        if self.refuses() {
            return Err(PushError::Closed(()));
        }
        Reserve {
            shared: &self.shared,
            key: None,
        }
        .await
    }

    /// Reserves a slot if one is free.
    ///
    /// # Errors
    /// [`Full`](PushError::Full) or [`Closed`](PushError::Closed).
    ///
    /// ```
    /// use pushpull::queue;
    ///
    /// let (tx, _rx) = queue::bounded::<u8>(1);
    /// let permit = tx.try_reserve().unwrap();
    /// assert!(tx.try_reserve().unwrap_err().is_full());
    /// drop(permit);
    /// assert!(tx.try_reserve().is_ok());
    /// ```
    pub fn try_reserve(&self) -> Result<Permit<T>, PushError<()>> {
        if self.refuses() {
            return Err(PushError::Closed(()));
        }
        try_reserve(&self.shared)
    }

    /// Pushes an item from a thread that is not a task, blocking it as [`push`](Self::push) would wait.
    ///
    /// In an async task it would block the runtime's thread, and may block it for ever.
    ///
    /// ```
    /// use pushpull::queue;
    ///
    /// let (tx, rx) = queue::bounded(1);
    /// let thread = std::thread::spawn(move || (1..=3).try_for_each(|n| tx.blocking_push(n)));
    /// assert_eq!([rx.blocking_pull(), rx.blocking_pull()], [Some(1), Some(2)]);
    /// drop(rx);
    /// let refused = thread.join().unwrap();
    /// assert!(refused.is_ok() || refused.unwrap_err().is_closed());
    /// ```
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub fn blocking_push(&self, item: T) -> Result<(), PushError<T>> {
        let mut push = Push::new(&self.shared, item, self.is_handle_closed());
        block_on(|cx| push.poll_unbudgeted(cx))
    }

    /// A handle that does not keep the queue open.
    pub fn downgrade(&self) -> WeakProducer<T> {
        WeakProducer::new(self.shared.clone())
    }

    /// Whether pushes are refused: the queue is closed, or this handle was closed as a sink.
    pub fn is_closed(&self) -> bool {
        self.is_handle_closed() || self.shared.has_closed()
    }

    fn is_handle_closed(&self) -> bool {
        self.sink.as_ref().is_some_and(|sink| sink.closed)
    }

    /// Whether this handle takes nothing any more; if so, the call is counted as refused.
    fn refuses(&self) -> bool {
        let closed = self.is_handle_closed();
        if closed {
            self.shared.count_refusal();
        }
        closed
    }
}

impl<T> Clone for Producer<T> {
    fn clone(&self) -> Self {
        let closed = self.is_handle_closed();
        if !closed {
            self.shared.change(|state| state.producers += 1);
        }
        let sink = closed.then(|| Box::new(SinkSide::new(true)));
        Self {
            shared: self.shared.clone(),
            sink,
        }
    }
}

impl<T> Drop for Producer<T> {
    fn drop(&mut self) {
        let Some(sink) = &mut self.sink else {
            return self.shared.change(State::remove_producer);
        };
        if !sink.closed {
            in_turn([&mut || sink.let_go(&self.shared), &mut || {
                self.shared.change(State::remove_producer);
            }]);
        }
    }
}

impl<T> fmt::Debug for Producer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
