//! Items that leave a queue without being pulled, on their way to `on_drop`.

use crate::wake::all;

use super::DropReason;

pub(super) type OnDrop<T> = Box<dyn Fn(T, DropReason) + Send + Sync>;

/// Items taken out under the lock. They meet user code when this is dropped, after it.
pub(super) struct Victims<'a, T> {
    on_drop: Option<&'a OnDrop<T>>,
    first: Option<T>,
    rest: Vec<T>,
    reason: DropReason,
}

impl<'a, T> Victims<'a, T> {
    pub(super) const fn new(on_drop: Option<&'a OnDrop<T>>) -> Self {
        Self {
            on_drop,
            first: None,
            rest: Vec::new(),
            reason: DropReason::Oldest,
        }
    }

    /// Makes room for more, outside of the lock.
    pub(super) fn reserve(&mut self) {
        self.rest.reserve(self.rest.len().max(4));
    }

    pub(super) fn has_room(&self) -> bool {
        self.first.is_none() || self.rest.len() < self.rest.capacity()
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
            hand_over(
                self.on_drop,
                std::iter::once(first).chain(rest),
                self.reason,
            );
        }
    }
}

/// Hands every item to `on_drop`, or drops it; a panic for one does not keep the others from it.
pub(super) fn hand_over<T>(
    on_drop: Option<&OnDrop<T>>,
    items: impl IntoIterator<Item = T>,
    reason: DropReason,
) {
    all(items, |item| match on_drop {
        Some(on_drop) => on_drop(item, reason),
        None => drop(item),
    });
}
