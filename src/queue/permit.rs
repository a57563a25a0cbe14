//! A slot reserved ahead of its item.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use crate::coop;
use crate::sync::{Arc, planted};

use super::shared::Shared;
use super::state::{Side, State};
use super::waiters::Key;
use super::{Overflow, PushError};

/// A slot in a queue, reserved by [`Producer::reserve`](super::Producer::reserve), for one item to come.
///
/// The slot counts against the capacity until the permit is used or dropped. It stays good after `close`: consumers
/// see the end only when it is used or given back. `abort`, and the last consumer's going, revoke it.
#[must_use = "a permit that is dropped gives its slot back"]
pub struct Permit<T> {
    shared: Arc<Shared<T>>,
    held: bool,
}

impl<T> Permit<T> {
    /// Puts an item into the reserved slot, without waiting.
    ///
    /// # Errors
    /// [`Closed`](PushError::Closed) with the item if the reservation was revoked. On a queue with a weight bound a
    /// permit holds a slot but no weight, so [`Full`](PushError::Full) and [`TooHeavy`](PushError::TooHeavy) are
    /// possible there. The slot is given back in every case.
    ///
    /// ```
    /// use pushpull::queue;
    ///
    /// let (tx, rx) = queue::bounded(2);
    /// let (used, revoked) = (tx.try_reserve().unwrap(), tx.try_reserve().unwrap());
    /// tx.close();
    /// used.push('a').unwrap();
    /// assert_eq!(rx.abort(), ['a']);
    /// assert_eq!(revoked.push('b').unwrap_err().into_item(), 'b');
    /// ```
    pub fn push(mut self, item: T) -> Result<(), PushError<T>> {
        let weight = self.shared.weigh(&item);
        self.held = false;
        let overflow = self.shared.overflow;
        self.shared
            .with_victims(&mut Some(item), |state, slot, victims| {
                state.redeem(slot, weight, overflow, victims)
            })
    }
}

impl<T> Drop for Permit<T> {
    fn drop(&mut self) {
        if self.held {
            if planted("permit_keeps_slot") {
                return;
            }
            self.shared.change(State::release);
        }
    }
}

impl<T> fmt::Debug for Permit<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").finish_non_exhaustive()
    }
}

/// Waits for a slot.
pub(super) struct Reserve<'a, T> {
    pub(super) shared: &'a Arc<Shared<T>>,
    pub(super) key: Option<Key>,
}

impl<T> Future for Reserve<'_, T> {
    type Output = Result<Permit<T>, PushError<()>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let waits = this.shared.overflow != Overflow::Reject;
        let reserved = ready!(coop::spend(cx, |cx| {
            this.shared
                .poll(cx, Side::Pushing, &mut this.key, |state, key| {
                    state.reserve(key, waits)
                })
        }));
        Poll::Ready(match reserved {
            Ok(()) => Ok(Permit {
                shared: this.shared.clone(),
                held: true,
            }),
            Err(refusal) => Err(refusal.about(())),
        })
    }
}

impl<T> Drop for Reserve<'_, T> {
    fn drop(&mut self) {
        self.shared.leave(Side::Pushing, &mut self.key);
    }
}

/// Reserves a slot if there is one.
pub(super) fn try_reserve<T>(shared: &Arc<Shared<T>>) -> Result<Permit<T>, PushError<()>> {
    match shared.attempt(|state| state.reserve(None, false)) {
        Ok(Ok(())) => Ok(Permit {
            shared: shared.clone(),
            held: true,
        }),
        Ok(Err(refusal)) => Err(refusal.about(())),
        Err(_) => Err(PushError::Full(())),
    }
}
