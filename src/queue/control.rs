//! What both kinds of handle can do: close, watch, resize, count.

use std::pin::Pin;
use std::task::{Context, Poll};

use crate::sync::Arc;

use super::shared::Shared;
use super::state::{Side, Step};
use super::waiters::{Key, Need};

/// Waits until a queue is closed, or closed and drained.
pub(super) struct Watch<'a, T> {
    shared: &'a Arc<Shared<T>>,
    need: Need,
    key: Option<Key>,
}

impl<'a, T> Watch<'a, T> {
    pub(super) const fn closed(shared: &'a Arc<Shared<T>>) -> Self {
        Self {
            shared,
            need: Need::Closed,
            key: None,
        }
    }

    pub(super) const fn drained(shared: &'a Arc<Shared<T>>) -> Self {
        Self {
            shared,
            need: Need::Drained,
            key: None,
        }
    }
}

impl<T> Future for Watch<'_, T> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let need = this.need;
        this.shared
            .poll(cx, Side::Watching, &mut this.key, |state, _| {
                let met = if need == Need::Closed {
                    state.is_closed()
                } else {
                    state.is_finished()
                };
                if met {
                    Step::Done(())
                } else {
                    Step::Wait(need)
                }
            })
    }
}

impl<T> Drop for Watch<'_, T> {
    fn drop(&mut self) {
        self.shared.leave(Side::Watching, &mut self.key);
    }
}

impl<T> Shared<T> {
    pub(super) fn close(&self) {
        self.change(super::state::State::close);
    }

    #[track_caller]
    pub(super) fn resize(&self, capacity: usize) {
        assert!(capacity > 0, "a queue's capacity must be at least 1");
        self.rebound(|state| state.capacity = capacity);
    }

    #[track_caller]
    pub(super) fn set_max_weight(&self, max: usize) {
        assert!(max > 0, "a queue's weight bound must be at least 1");
        assert!(
            self.is_weighted(),
            "this queue was built without `max_weight`, so its items have no weight to bound"
        );
        self.rebound(|state| state.max_weight = max);
    }
}

/// The methods that both handles have, so that they cannot drift apart.
macro_rules! control {
    ($Handle:ident) => {
        impl<T> $Handle<T> {
            /// Closes the queue for everybody: pushes are refused with their items from now on, those that wait
            /// included, and what is queued is still pulled. Slots reserved before are honoured.
            ///
            /// This is not the `close` of futures' `SinkExt`, which closes one handle: `SinkExt::close(&mut tx)`.
            /// ```
            /// use pushpull::queue;
            ///
            /// let (tx, rx) = queue::bounded(2);
            /// tx.try_push(1).unwrap();
            /// rx.close();
            /// assert_eq!(tx.try_push(2).unwrap_err().into_item(), 2);
            /// assert_eq!(rx.try_pull(), Ok(1));
            /// ```
            pub fn close(&self) {
                self.shared.close();
            }

            /// Waits until the queue is closed, by whomever.
            ///
            /// # Cancel safety
            /// Dropping the future changes nothing.
            /// ```
            /// use pushpull::queue;
            ///
            /// # tokio_test::block_on(async {
            /// let (tx, rx) = queue::bounded::<u8>(1);
            /// let waiting = tokio_test::task::spawn(tx.closed()).poll();
            /// assert!(waiting.is_pending());
            /// drop(rx);
            /// tx.closed().await;
            /// # });
            /// ```
            pub fn closed(&self) -> impl Future<Output = ()> {
                Watch::closed(&self.shared)
            }

            /// Waits until the queue is closed and nothing is left in it or promised to it.
            ///
            /// # Cancel safety
            /// Dropping the future changes nothing.
            /// ```
            /// use pushpull::queue;
            ///
            /// # tokio_test::block_on(async {
            /// let (tx, rx) = queue::bounded(1);
            /// tx.try_push(1).unwrap();
            /// tx.close();
            /// assert!(tokio_test::task::spawn(tx.drained()).poll().is_pending());
            /// assert_eq!(rx.pull().await, Some(1));
            /// tx.drained().await;
            /// # });
            /// ```
            pub fn drained(&self) -> impl Future<Output = ()> {
                Watch::drained(&self.shared)
            }

            /// How many items are queued. It may have changed before the caller reads it.
            /// ```
            /// use pushpull::queue;
            ///
            /// let (tx, rx) = queue::bounded(4);
            /// tx.try_push('a').unwrap();
            /// assert_eq!((tx.len(), rx.is_empty(), rx.capacity()), (1, false, 4));
            /// ```
            pub fn len(&self) -> usize {
                self.shared.lanes.len()
            }

            /// Whether nothing is queued. It may have changed before the caller reads it.
            pub fn is_empty(&self) -> bool {
                self.len() == 0
            }

            /// The bound on the number of queued items now.
            pub fn capacity(&self) -> usize {
                self.shared.read(|state| state.capacity)
            }

            /// Changes the capacity of the live queue.
            ///
            /// Growing wakes as many waiting producers as now fit. Shrinking below the current length drops nothing:
            /// pushes wait, or are refused, until enough has been pulled; only under
            /// [`Overflow::DropOldest`](super::Overflow::DropOldest) the oldest items beyond the new bound are dropped.
            ///
            /// # Panics
            /// If `capacity` is 0.
            ///
            /// ```
            /// use pushpull::queue;
            ///
            /// let (tx, rx) = queue::bounded(1);
            /// tx.try_push(1).unwrap();
            /// assert!(tx.try_push(2).unwrap_err().is_full());
            /// rx.resize(2);
            /// tx.try_push(2).unwrap();
            /// ```
            #[track_caller]
            pub fn resize(&self, capacity: usize) {
                self.shared.resize(capacity);
            }

            /// Changes the weight bound of the live queue, by the rules of [`resize`](Self::resize). A waiting push
            /// whose item is now too heavy alone is refused with it.
            ///
            /// # Panics
            /// If `max` is 0, or the queue was built without
            /// [`max_weight`](super::Builder::max_weight).
            ///
            /// ```
            /// use pushpull::queue;
            ///
            /// let (tx, _rx) = queue::builder().max_weight(4, |text: &&str| text.len()).build();
            /// assert!(tx.try_push("seven b").unwrap_err().is_too_heavy());
            /// tx.set_max_weight(8);
            /// tx.try_push("seven b").unwrap();
            /// ```
            #[track_caller]
            pub fn set_max_weight(&self, max: usize) {
                self.shared.set_max_weight(max);
            }

            /// All counters at one moment.
            ///
            /// ```
            /// use pushpull::queue::{self, Overflow};
            ///
            /// let (tx, rx) = queue::builder().capacity(1).overflow(Overflow::Reject).build();
            /// tx.try_push('a').unwrap();
            /// tx.try_push('b').unwrap_err();
            /// assert_eq!(rx.try_pull(), Ok('a'));
            /// let stats = tx.stats();
            /// assert_eq!((stats.pushed, stats.refused, stats.pulled, stats.len), (1, 1, 1, 0));
            /// ```
            pub fn stats(&self) -> QueueStats {
                self.shared.read(super::state::State::stats)
            }

            /// How long items stayed, if the queue was built to measure it (`time_in_queue`, feature `histogram`).
            pub fn time_in_queue(&self) -> Option<crate::meter::Percentiles> {
                self.shared.time_in_queue()
            }
        }
    };
}

pub(super) use control;
