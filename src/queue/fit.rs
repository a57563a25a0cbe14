//! Pushing for a caller that is the only one who pushes: room that it has seen stays until it uses it.

use std::pin::Pin;
use std::task::{Context, Poll};

use crate::sync::Arc;

use super::shared::Shared;
use super::state::{Side, Step};
use super::waiters::{Key, Need};
use super::{Overflow, Producer, PushError};

/// The way into a queue for items that need nothing but a slot. It does not keep the queue open.
pub(crate) struct Port<T>(Arc<Shared<T>>);

impl<T> Port<T> {
    /// Puts what is in `slot` into the queue if there is room, nobody waits, and no memory is needed. So it runs no user
    /// code, wakes nobody and allocates nothing: it may be called under a lock.
    #[inline]
    pub(crate) fn push(&self, slot: &mut Option<T>) -> bool {
        self.0.lanes.push(slot).is_ok()
    }
}

impl<T> Clone for Port<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// Why an item stayed in its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// There is no room, and the policy is to wait for it.
    Later,
    /// The queue takes nothing any more.
    Closed,
    /// There is no room, or never enough, and the policy is not to wait.
    Refused,
}

impl<T> Producer<T> {
    pub(crate) fn port(&self) -> Port<T> {
        Port(self.shared.clone())
    }

    /// Pushes by the queue's policy what is in `slot`, which is empty afterwards if it was taken: also where a panic of
    /// a waker or of `on_drop` follows.
    #[inline]
    pub(crate) fn push_slot(&self, slot: &mut Option<T>) -> Result<(), Unfit> {
        if self.shared.lanes.push(slot).is_ok() {
            return Ok(());
        }
        self.push_slot_by_the_rules(slot)
    }

    #[cold]
    #[inline(never)]
    fn push_slot_by_the_rules(&self, slot: &mut Option<T>) -> Result<(), Unfit> {
        let shared = &self.shared;
        let weight = slot.as_ref().map_or(0, |item| shared.weigh(item));
        let pushed = shared.with_victims(slot, |state, slot, victims| {
            state.push(slot, weight, None, shared.overflow, victims)
        });
        let Err(error) = pushed else { return Ok(()) };
        let unfit = match &error {
            PushError::Closed(_) => Unfit::Closed,
            PushError::Full(_) if shared.overflow == Overflow::Wait => Unfit::Later,
            _ => Unfit::Refused,
        };
        *slot = Some(error.into_item());
        Err(unfit)
    }

    /// Whether a push of this weight would have an answer without waiting.
    pub(crate) fn fits(&self, weight: usize) -> bool {
        self.shared.overflow != Overflow::Wait
            || self.shared.read(|state| state.would_answer(weight, None))
    }

    /// Waits until a push of this weight has an answer.
    pub(crate) async fn until_fits(&self, weight: usize) {
        if self.fits(weight) {
            return;
        }
        let fit = Fit {
            shared: &self.shared,
            weight,
            key: None,
        };
        fit.await;
    }
}

/// Waits for room without taking it.
struct Fit<'a, T> {
    shared: &'a Shared<T>,
    weight: usize,
    key: Option<Key>,
}

impl<T> Future for Fit<'_, T> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self {
            shared,
            weight,
            key,
        } = self.get_mut();
        let weight = *weight;
        shared.poll(cx, Side::Pushing, key, |state, key| {
            if state.would_answer(weight, key) {
                Step::Done(())
            } else {
                Step::Wait(Need::Room { weight })
            }
        })
    }
}

impl<T> Drop for Fit<'_, T> {
    fn drop(&mut self) {
        self.shared.leave(Side::Pushing, &mut self.key);
    }
}
