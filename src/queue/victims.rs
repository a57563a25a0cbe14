//! Items that leave a queue without being pulled, on their way to `on_drop`.

use std::sync::Arc;

use crate::wake::all;

use super::DropReason;

/// Shared by the queues of one builder and its clones.
pub(super) type OnDrop<T> = Arc<dyn Fn(T, DropReason) + Send + Sync>;

/// Where items go that nobody will pull.
pub(super) struct Outlet<'a, T> {
    pub(super) on_drop: Option<&'a OnDrop<T>>,
    /// Of the queue, for its events.
    #[cfg(feature = "tracing")]
    pub(super) name: Option<&'a str>,
}

impl<T> Outlet<'_, T> {
    /// Hands every item to `on_drop`, or drops it; a panic for one does not keep the others from it.
    pub(super) fn discard(&self, items: impl IntoIterator<Item = T>, reason: DropReason) {
        #[cfg(feature = "tracing")]
        let mut count = 0;
        #[cfg(feature = "tracing")]
        let items = items.into_iter().inspect(|_| count += 1);
        all(items, |item| match self.on_drop {
            Some(on_drop) => on_drop(item, reason),
            None => drop(item),
        });
        #[cfg(feature = "tracing")]
        super::events::dropped(self.name, count, reason);
    }
}

/// Items taken out under the lock. They meet user code when this is dropped, after it.
pub(super) struct Victims<'a, T> {
    outlet: Outlet<'a, T>,
    first: Option<T>,
    rest: Vec<T>,
    reason: DropReason,
}

impl<'a, T> Victims<'a, T> {
    pub(super) const fn new(outlet: Outlet<'a, T>) -> Self {
        Self {
            outlet,
            first: None,
            rest: Vec::new(),
            reason: DropReason::Oldest,
        }
    }

    /// Makes room for so many more, outside of the lock.
    pub(super) fn reserve(&mut self, items: usize) {
        self.rest.reserve(items);
    }

    pub(super) fn has_room(&self, items: usize) -> bool {
        let room = self.rest.capacity() - self.rest.len();
        items <= room.saturating_add(usize::from(self.first.is_none()))
    }

    pub(super) fn push(&mut self, item: T, reason: DropReason) {
        self.reason = reason;
        if self.first.is_none() {
            self.first = Some(item);
        } else {
            self.rest.push(item);
        }
    }
}

impl<T> Drop for Victims<'_, T> {
    fn drop(&mut self) {
        if let Some(first) = self.first.take() {
            let rest = std::mem::take(&mut self.rest);
            self.outlet
                .discard(std::iter::once(first).chain(rest), self.reason);
        }
    }
}
