//! What a user says about when a batch closes.

use std::fmt;
// Not the one of `crate::sync`: nothing is synchronised by it, and loom's cannot hold a `dyn Fn`.
use std::sync::Arc;
use std::time::Duration;

/// Waits of this length and beyond are never over: about 30 years.
const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

type Weigh<T> = Arc<dyn Fn(&T) -> usize + Send + Sync>;
type Ends<T> = Arc<dyn Fn(&T) -> bool + Send + Sync>;

/// When a batch closes: at the first of its bounds to be met.
///
/// Cheap to clone; clones share the closures. These must be `Send` and `Sync`, so that an operator is both wherever its
/// stream or sink and its items are.
///
/// ```
/// use std::time::Duration;
///
/// use futures::StreamExt;
/// use pushpull::batch::{BatchPolicy, FlushReason};
/// use pushpull::prelude::*;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let policy = BatchPolicy::items(500)
///     .weight(1024 * 1024, |row: &String| row.len())
///     .within(Duration::from_secs(1))
///     .idle(Duration::from_millis(50))
///     .until(|row: &String| row == "COMMIT");
///
/// let rows = ["INSERT", "COMMIT", "INSERT"].map(String::from);
/// let input = futures::stream::iter(rows).chain(futures::stream::pending());
/// let mut batches = input.batch_with(policy);
///
/// let first = batches.next().await.expect("two rows");
/// assert_eq!((first.len(), first.reason), (2, FlushReason::Predicate));
/// let second = batches.next().await.expect("one row");
/// assert_eq!((second.len(), second.reason), (1, FlushReason::Idle));
/// assert_eq!(second.age, Duration::from_millis(50));
/// # }
/// ```
#[must_use = "a policy does nothing until an operator is made with it"]
pub struct BatchPolicy<T> {
    max: usize,
    weight: Option<(usize, Weigh<T>)>,
    until: Option<Ends<T>>,
    pub(super) within: Option<Duration>,
    pub(super) idle: Option<Duration>,
    name: Option<Arc<str>>,
}

impl<T> BatchPolicy<T> {
    /// Batches of at most `max` items, with no other bound yet. `usize::MAX` stands for no bound and allocates nothing.
    ///
    /// # Panics
    ///
    /// If `max` is 0.
    #[track_caller]
    pub fn items(max: usize) -> Self {
        assert!(max > 0, "a batch of at most 0 items could never hold one");
        Self {
            max,
            weight: None,
            until: None,
            within: None,
            idle: None,
            name: None,
        }
    }

    /// Batches that weigh at most `max` together, in whatever unit `weigh` answers (bytes, rows, cents).
    ///
    /// The limit is hard: an item that would exceed it closes the batch before it and opens the next. One that is
    /// heavier than `max` alone goes alone. A batch that weighs exactly `max` leaves at once. Each item is weighed once.
    ///
    /// # Panics
    ///
    /// If `max` is 0.
    #[track_caller]
    pub fn weight(
        mut self,
        max: usize,
        weigh: impl Fn(&T) -> usize + Send + Sync + 'static,
    ) -> Self {
        assert!(
            max > 0,
            "a batch of weight 0 at most could hold nothing that weighs"
        );
        self.weight = Some((max, Arc::new(weigh)));
        self
    }

    /// Batches whose first item waits no longer than `age`.
    ///
    /// `Duration::ZERO` takes what is ready, up to the other bounds, and waits for nothing. `Duration::MAX` (and all
    /// beyond 30 years) waits for the other bounds.
    pub fn within(mut self, age: Duration) -> Self {
        self.within = (age < FAR).then_some(age);
        self
    }

    /// Batches that close when no item has come for as long as `gap`. Each item starts the gap anew, so combine it with
    /// [`within`](Self::within) where a trickle must not hold a batch open. Zero and huge gaps work as they do there.
    pub fn idle(mut self, gap: Duration) -> Self {
        self.idle = (gap < FAR).then_some(gap);
        self
    }

    /// Batches that close with an item for which `last` is true; that item is the last of its batch. `last` is asked
    /// once for each item.
    pub fn until(mut self, last: impl Fn(&T) -> bool + Send + Sync + 'static) -> Self {
        self.until = Some(Arc::new(last));
        self
    }

    /// Enters the operator in the [registry](crate::meter::registry) under this name, with the sizes of its batches and
    /// why they closed. Each operator made with this policy has an entry of its own; of equal names the later ones get an
    /// index.
    ///
    /// ```
    /// use futures::StreamExt;
    /// use pushpull::batch::{BatchPolicy, FlushReason};
    /// use pushpull::{meter, prelude::*};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let mut batches = futures::stream::iter(0..7).batch_with(BatchPolicy::items(3).name("rows"));
    /// while let Some(batch) = batches.next().await {
    ///     assert!(batch.len() <= 3);
    /// }
    /// let snapshot = meter::registry().snapshot();
    /// let rows = snapshot.batch("rows").expect("it is still there");
    /// assert_eq!((rows.batches, rows.items, rows.shortest, rows.longest), (3, 7, 1, 3));
    /// assert_eq!((rows.closed_by(FlushReason::Size), rows.closed_by(FlushReason::End)), (2, 1));
    /// assert_eq!(rows.stats, batches.stats());
    /// # }
    /// ```
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into().into());
        self
    }

    /// Size and age: the policy of `batch(max, within)`.
    #[track_caller]
    pub(crate) fn plain(max: usize, within: Duration) -> Self {
        Self::items(max).within(within)
    }

    pub(super) fn named(&self) -> Option<&str> {
        self.name.as_deref()
    }

    pub(super) fn max(&self) -> usize {
        self.max
    }

    /// Whether it takes a look at each item to know where a batch ends.
    pub(super) fn judges(&self) -> bool {
        self.weight.is_some() || self.until.is_some()
    }

    /// Whether a clock can close a batch.
    pub(super) fn timed(&self) -> bool {
        self.within.is_some() || self.idle.is_some()
    }

    /// The weight of `item`; without a limit, nothing.
    pub(super) fn weigh(&self, item: &T) -> usize {
        self.weight.as_ref().map_or(0, |(_, weigh)| weigh(item))
    }

    /// The heaviest that a batch may be; without a limit there is none.
    pub(super) fn max_weight(&self) -> Option<usize> {
        self.weight.as_ref().map(|(max, _)| *max)
    }

    pub(super) fn ends_with(&self, item: &T) -> bool {
        self.until.as_ref().is_some_and(|until| until(item))
    }
}

impl<T> Clone for BatchPolicy<T> {
    fn clone(&self) -> Self {
        Self {
            max: self.max,
            weight: self.weight.clone(),
            until: self.until.clone(),
            within: self.within,
            idle: self.idle,
            name: self.name.clone(),
        }
    }
}

impl<T> fmt::Debug for BatchPolicy<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchPolicy")
            .field("items", &self.max)
            .field("weight", &self.max_weight())
            .field("within", &self.within)
            .field("idle", &self.idle)
            .field("until", &self.until.is_some())
            .field("name", &self.name)
            .finish()
    }
}
