//! How a broadcast is set up.

use std::fmt;

use super::after::Shared;
use super::publisher::Publisher;
use super::state::State;
use crate::meter::{Kind, Naming};

const DEFAULT_CAPACITY: usize = 1024;

/// Sets up a broadcast. Made by [`builder`](super::builder).
#[must_use = "a builder does nothing before `build`"]
pub struct Builder<T> {
    capacity: Option<usize>,
    replay: usize,
    naming: Option<Naming<Shared<T>>>,
}

impl<T> Builder<T> {
    pub(super) const fn new() -> Self {
        Self {
            capacity: None,
            replay: 0,
            naming: None,
        }
    }

    /// How many values are kept at most: exactly, and not allocated before they are there. Without it 1024.
    ///
    /// # Panics
    ///
    /// If `capacity` is 0.
    #[track_caller]
    pub fn capacity(mut self, capacity: usize) -> Self {
        assert!(capacity > 0, "a broadcast needs a capacity of at least 1");
        self.capacity = Some(capacity);
        self
    }

    /// Keeps the last `n` values for subscribers to come, who see them first, followed without gap or duplicate by what
    /// is published then. They lie within the capacity and make room for new values when it is needed.
    ///
    /// ```
    /// use pushpull::broadcast;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let publisher = broadcast::builder().capacity(8).replay(2).build();
    /// for n in 1..=3 {
    ///     publisher.publish(n).await.unwrap();
    /// }
    /// let mut newcomer = publisher.subscribe();
    /// publisher.publish(4).await.unwrap();
    /// let mut seen = Vec::new();
    /// newcomer.pull_many(&mut seen, 8).await;
    /// assert_eq!(seen, [2, 3, 4]);
    /// # }
    /// ```
    pub fn replay(mut self, n: usize) -> Self {
        self.replay = n;
        self
    }

    /// The first publisher of a new broadcast.
    ///
    /// # Panics
    ///
    /// If more values are to be replayed than the capacity allows to keep.
    #[track_caller]
    pub fn build(self) -> Publisher<T> {
        let capacity = self.capacity.unwrap_or(DEFAULT_CAPACITY);
        assert!(
            self.replay <= capacity,
            "cannot replay {} values out of a capacity of {capacity}",
            self.replay
        );
        let state = State::new(capacity, self.replay, false);
        Publisher::new(Naming::build(self.naming.as_ref(), |registration| {
            Shared::new(state, registration)
        }))
    }
}

impl<T: Send + Sync + 'static> Builder<T> {
    /// Names the broadcast, so that its counters are found in [`meter::registry`](crate::meter::registry).
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.naming = Some(Naming::new(Kind::Broadcast, &name.into()));
        self
    }
}

impl<T> fmt::Debug for Builder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("capacity", &self.capacity)
            .field("replay", &self.replay)
            .field("name", &self.naming.as_ref().map(Naming::name))
            .finish()
    }
}
