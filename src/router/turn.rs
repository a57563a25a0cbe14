//! Whose turn it is to give a message to the connections of a key.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::core::Core;
use super::keyed::Keyed;
use super::registry::Asked;
use super::spot::Roll;

/// One who waits for the turn, and gets it in this way.
pub(super) type Waiter<K, T> = oneshot::Sender<Turn<K, T>>;

/// The turn of a key. Dropped, it goes to the next in line, wherever it was: in a push, in a task, or on its way to a push
/// that was cancelled.
pub(super) struct Turn<K, T> {
    pub(super) core: Arc<Core<K, T>>,
    pub(super) key: Arc<Keyed<K>>,
    pub(super) held: bool,
}

impl<K, T> Turn<K, T> {
    pub(super) fn new(core: &Arc<Core<K, T>>, key: &Arc<Keyed<K>>) -> Self {
        Self {
            core: Arc::clone(core),
            key: Arc::clone(key),
            held: true,
        }
    }
}

impl<K, T> Drop for Turn<K, T> {
    fn drop(&mut self) {
        if self.held {
            (self.core.pass_on)(&self.core, &self.key.as_sought(), None);
        }
    }
}

impl<K: Clone + Eq + std::hash::Hash, T> Core<K, T> {
    /// Waits for the turn of a key, in line; `None` if the router is closed.
    pub(super) async fn turn(
        self: &Arc<Self>,
        key: &Arc<Keyed<K>>,
    ) -> Option<(Turn<K, T>, Roll<T>)> {
        match self.registry.ask(key, None) {
            Asked::Got(roll) => return Some((Turn::new(self, key), roll)),
            Asked::Closed => return None,
            Asked::Busy => {}
        }
        let (waiter, turn) = oneshot::channel();
        match self.registry.ask(key, Some(waiter)) {
            Asked::Got(roll) => Some((Turn::new(self, key), roll)),
            Asked::Closed => None,
            Asked::Busy => {
                // Dropped before it has come, or before it is taken, it goes to the next.
                let turn = turn.await.ok()?;
                let roll = self.registry.roll(key)?;
                Some((turn, roll))
            }
        }
    }
}
