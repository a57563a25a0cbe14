//! How a queue is made.

use std::fmt;
use std::sync::Arc;

use crate::meter::{Kind, Naming, Sampler, TimeInQueue};

use super::shared::{Shared, Weigh};
use super::state::State;
use super::victims::OnDrop;
use super::{Consumer, Producer};

/// What a push does when the queue is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum Overflow {
    /// It waits for room: back-pressure.
    #[default]
    Wait,
    /// It is refused and gives the item back.
    Reject,
    /// It succeeds, and the new item is dropped.
    DropNewest,
    /// It succeeds, and the oldest item is dropped to make room.
    DropOldest,
}

impl Overflow {
    /// The policy for a call that does not wait: what would wait is refused.
    pub(super) const fn at_once(self) -> Self {
        match self {
            Self::Wait => Self::Reject,
            other => other,
        }
    }
}

/// Why an item was given to `on_drop`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DropReason {
    /// It was new and found no room ([`Overflow::DropNewest`], or a sink whose item could never fit).
    Newest,
    /// It was the oldest and made room for a newer one ([`Overflow::DropOldest`], `force_push`).
    Oldest,
    /// The push that carried it was dropped while it waited.
    Cancelled,
    /// A sink had taken it over when the queue was aborted or lost its last consumer.
    Closed,
    /// It was queued when the last consumer went.
    Abandoned,
}

/// Builds a queue with more than a capacity.
///
/// Bounds: [`capacity`](Self::capacity) in items, [`max_weight`](Self::max_weight) in a unit of your own, or both. With
/// neither, the capacity is 1,024 items; with a weight bound alone, the number of items is not bounded.
///
/// A clone builds another queue of the same kind, with the same closures.
///
/// ```
/// use pushpull::queue::{self, Overflow};
///
/// let (tx, rx) = queue::builder()
///     .max_weight(10, |text: &String| text.len())
///     .overflow(Overflow::Reject)
///     .on_drop(|text, reason| eprintln!("{text} was dropped: {reason:?}"))
///     .build();
/// tx.try_push("seven b".to_owned()).unwrap();
/// assert!(tx.try_push("four".to_owned()).unwrap_err().is_full());
/// assert!(tx.try_push("eleven byte".to_owned()).unwrap_err().is_too_heavy());
/// assert_eq!(rx.try_pull().unwrap(), "seven b");
/// ```
#[must_use = "a builder does nothing before `build`"]
pub struct Builder<T> {
    capacity: Option<usize>,
    max_weight: Option<usize>,
    weigh: Option<Weigh<T>>,
    overflow: Overflow,
    on_drop: Option<OnDrop<T>>,
    naming: Option<Naming<Shared<T>>>,
    timed: bool,
}

/// Starts building a queue. See [`Builder`].
pub const fn builder<T>() -> Builder<T> {
    Builder {
        capacity: None,
        max_weight: None,
        weigh: None,
        overflow: Overflow::Wait,
        on_drop: None,
        naming: None,
        timed: false,
    }
}

impl<T> Builder<T> {
    /// Bounds the number of queued items, exactly. Nothing is allocated for it ahead of time, so `usize::MAX` is fine.
    ///
    /// # Panics
    /// If `items` is 0.
    #[track_caller]
    pub fn capacity(mut self, items: usize) -> Self {
        assert!(items > 0, "a queue's capacity must be at least 1");
        self.capacity = Some(items);
        self
    }

    /// Bounds the sum of the queued items' weights: bytes, rows, whatever `weigh` answers. An item heavier than `max`
    /// is refused at once as `TooHeavy`. `weigh` runs once an item, outside of the queue's lock.
    ///
    /// # Panics
    /// If `max` is 0.
    #[track_caller]
    pub fn max_weight(
        mut self,
        max: usize,
        weigh: impl Fn(&T) -> usize + Send + Sync + 'static,
    ) -> Self {
        assert!(max > 0, "a queue's weight bound must be at least 1");
        self.max_weight = Some(max);
        self.weigh = Some(Arc::new(weigh));
        self
    }

    /// Sets what a push does when the queue is full. [`Overflow::Wait`] if not set.
    pub const fn overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = overflow;
        self
    }

    /// Sets who gets the items that nobody will pull. They are counted in [`QueueStats`](super::QueueStats) either way.
    ///
    /// It runs outside of the queue's lock, on the task whose call dropped the item, and may use the queue itself. If
    /// it panics the panic goes on in that call, after the remaining items have been handed over.
    pub fn on_drop(mut self, on_drop: impl Fn(T, DropReason) + Send + Sync + 'static) -> Self {
        self.on_drop = Some(Arc::new(on_drop));
        self
    }

    /// Measures how long items stay, from push to pull: see [`Producer::time_in_queue`].
    ///
    /// One item in 64 is timed, on average, and one at a time; items that are dropped do not count. It costs two readings
    /// of the clock a sample, and about 20 kB.
    ///
    /// ```
    /// use pushpull::queue;
    /// use std::time::Duration;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// let (tx, rx) = queue::builder().capacity(8).time_in_queue().build();
    /// tx.push('a').await.unwrap();
    /// tokio::time::sleep(Duration::from_millis(30)).await;
    /// assert_eq!(rx.pull().await, Some('a'));
    /// let times = rx.time_in_queue().unwrap();
    /// assert_eq!((times.count, times.p50), (1, Duration::from_millis(30)));
    ///
    /// let (tx, _rx) = queue::bounded::<char>(8);
    /// assert!(tx.time_in_queue().is_none());
    /// # }
    /// ```
    #[cfg(feature = "histogram")]
    #[cfg_attr(docsrs, doc(cfg(feature = "histogram")))]
    pub const fn time_in_queue(mut self) -> Self {
        self.timed = true;
        self
    }

    /// Makes the queue: one handle to push, one to pull; clone either for more.
    pub fn build(self) -> (Producer<T>, Consumer<T>) {
        let bound = if self.max_weight.is_some() {
            usize::MAX
        } else {
            1024
        };
        let (sampler, times) = timing(self.timed);
        let state = State::new(self.capacity.unwrap_or(bound), self.max_weight, sampler);
        let (overflow, weigh, on_drop) = (self.overflow, self.weigh, self.on_drop);
        let shared = Naming::build(self.naming.as_ref(), |registration| {
            Shared::new(state, overflow, weigh, on_drop, registration, times)
        });
        (Producer::new(shared.clone()), Consumer::new(shared))
    }
}

/// For those who build many queues and are the only ones to push into them.
impl<T> Builder<T> {
    /// Whether a push may have to wait.
    pub(crate) fn waits(&self) -> bool {
        self.overflow == Overflow::Wait
    }

    /// What an item weighs; user code.
    pub(crate) fn weigh(&self, item: &T) -> usize {
        self.weigh.as_ref().map_or(0, |weigh| weigh(item))
    }
}

impl<T: 'static> Builder<T> {
    /// Has `tap` told of everything that is dropped, before `on_drop` gets it.
    pub(crate) fn tap_drops(mut self, tap: impl Fn(DropReason) + Send + Sync + 'static) -> Self {
        let on_drop = self.on_drop.take();
        self.on_drop(move |item, reason| {
            tap(reason);
            if let Some(on_drop) = &on_drop {
                on_drop(item, reason);
            }
        })
    }
}

impl<T: Send + 'static> Builder<T> {
    /// Names the queue, so that its counters are found in [`meter::registry`](crate::meter::registry).
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.naming = Some(Naming::new(Kind::Queue, &name.into()));
        self
    }
}

#[cfg(feature = "histogram")]
fn timing(timed: bool) -> (Option<Sampler>, Option<TimeInQueue>) {
    (timed.then(Sampler::new), timed.then(TimeInQueue::new))
}

#[cfg(not(feature = "histogram"))]
const fn timing(_timed: bool) -> (Option<Sampler>, Option<TimeInQueue>) {
    (None, None)
}

impl<T> Clone for Builder<T> {
    fn clone(&self) -> Self {
        Self {
            capacity: self.capacity,
            max_weight: self.max_weight,
            weigh: self.weigh.clone(),
            overflow: self.overflow,
            on_drop: self.on_drop.clone(),
            naming: self.naming.clone(),
            timed: self.timed,
        }
    }
}

impl<T> fmt::Debug for Builder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("capacity", &self.capacity)
            .field("max_weight", &self.max_weight)
            .field("overflow", &self.overflow)
            .field("name", &self.naming.as_ref().map(Naming::name))
            .finish_non_exhaustive()
    }
}
