//! The handle that watches.

use std::fmt;

use crate::sync::Arc;

use super::shared::Shared;
use super::state::State;
use super::{Producer, QueueStats};

/// A handle to a queue that takes no part in it: it does not keep it open, and watches it. See [`Producer::downgrade`].
///
/// ```
/// use pushpull::queue;
///
/// let (tx, _rx) = queue::bounded(1);
/// let weak = tx.downgrade();
/// weak.upgrade().unwrap().try_push(1).unwrap();
/// drop(tx);
/// assert!(weak.upgrade().is_none());
/// assert_eq!((weak.stats().pushed, weak.is_closed()), (1, true));
/// ```
pub struct WeakProducer<T> {
    shared: Arc<Shared<T>>,
}

impl<T> WeakProducer<T> {
    pub(super) const fn new(shared: Arc<Shared<T>>) -> Self {
        Self { shared }
    }

    /// The counters of the queue, as [`Producer::stats`], also after it was closed.
    pub fn stats(&self) -> QueueStats {
        self.shared.read(State::stats)
    }

    /// Closes the queue, as [`Producer::close`].
    pub fn close(&self) {
        self.shared.close();
    }

    /// Whether the queue is closed.
    pub fn is_closed(&self) -> bool {
        self.shared.has_closed()
    }

    /// A producer of the same queue, unless the last one is gone.
    pub fn upgrade(&self) -> Option<Producer<T>> {
        let living = self.shared.change(|state| {
            let living = state.producers > 0;
            state.producers += usize::from(living);
            living
        });
        living.then(|| Producer::new(self.shared.clone()))
    }
}

impl<T> Clone for WeakProducer<T> {
    fn clone(&self) -> Self {
        Self::new(self.shared.clone())
    }
}

impl<T> fmt::Debug for WeakProducer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WeakProducer").finish_non_exhaustive()
    }
}
