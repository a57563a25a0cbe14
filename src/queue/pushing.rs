//! The futures behind the pushes that wait.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use crate::coop;
use crate::sync::planted;

use super::ring::Why;
use super::shared::Shared;
use super::state::{Pushed, Refusal, Side};
use super::waiters::Key;
use super::{DropReason, Overflow, PushError};

impl<T> Shared<T> {
    /// Pushes what is in `slot`, by the queue's policy; it stays there unless it was taken.
    #[inline]
    pub(super) fn poll_push(
        &self,
        cx: &mut Context<'_>,
        slot: &mut Option<T>,
        key: &mut Option<Key>,
    ) -> Poll<Result<(), Refusal>> {
        if key.is_none() && self.push_plainly(slot) {
            return Poll::Ready(Ok(()));
        }
        self.poll_push_by_the_rules(cx, slot, key)
    }

    /// Pushes what is in `slot` where that needs no rules, or will not in a moment.
    #[inline]
    fn push_plainly(&self, slot: &mut Option<T>) -> bool {
        match self.lanes.push(slot) {
            Ok(()) => true,
            Err(Why::Shut) => false,
            Err(Why::Stuck) => self.look_first(Side::Pushing, || self.lanes.push(slot).is_ok()),
        }
    }

    /// Promises a slot where that needs no rules, or will not in a moment.
    #[inline]
    pub(super) fn reserve_now(&self) -> bool {
        match self.lanes.reserve() {
            Ok(()) => true,
            Err(Why::Shut) => false,
            Err(Why::Stuck) => self.look_first(Side::Pushing, || self.lanes.reserve().is_ok()),
        }
    }

    #[cold]
    #[inline(never)]
    fn poll_push_by_the_rules(
        &self,
        cx: &mut Context<'_>,
        slot: &mut Option<T>,
        key: &mut Option<Key>,
    ) -> Poll<Result<(), Refusal>> {
        // One that waits was weighed when it came; its place knows.
        let weight = match slot {
            Some(item) if key.is_none() => self.weigh(item),
            _ => 0,
        };
        let mut victims = self.victims();
        loop {
            let pushed = self.poll(cx, Side::Pushing, key, |state, key| {
                state.push(slot, weight, key, self.overflow, &mut victims)
            });
            match ready!(pushed) {
                Pushed::Crowded(items) => victims.reserve(items),
                Pushed::Queued => return Poll::Ready(Ok(())),
                Pushed::Refused(refusal) => return Poll::Ready(Err(refusal)),
            }
        }
    }
}

/// Pushes an item that it owns. Dropped before the end, the item is cancelled.
pub(super) struct Push<'a, T> {
    shared: &'a Shared<T>,
    slot: Option<T>,
    key: Option<Key>,
    /// The handle was closed as a sink.
    closed: bool,
}

impl<T> Unpin for Push<'_, T> {}

impl<'a, T> Push<'a, T> {
    #[inline]
    pub(super) fn new(shared: &'a Shared<T>, item: T, closed: bool) -> Self {
        Self {
            shared,
            slot: Some(item),
            key: None,
            closed,
        }
    }

    /// Polls without regard to tokio's budget, for threads that are not tasks.
    #[inline]
    pub(super) fn poll_unbudgeted(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), PushError<T>>> {
        if self.closed {
            return self.refuse();
        }
        match self.shared.poll_push(cx, &mut self.slot, &mut self.key) {
            Poll::Ready(Ok(())) => Poll::Ready(Ok(())),
            Poll::Ready(Err(refusal)) => self.hand_back(refusal),
            Poll::Pending => Poll::Pending,
        }
    }

    #[cold]
    #[inline(never)]
    fn refuse(&mut self) -> Poll<Result<(), PushError<T>>> {
        self.shared.count_refusal();
        self.hand_back(Refusal::Closed)
    }

    #[cold]
    #[inline(never)]
    fn hand_back(&mut self, refusal: Refusal) -> Poll<Result<(), PushError<T>>> {
        Poll::Ready(self.result(Err(refusal)))
    }

    /// One attempt that does not wait; the item stays in hand where there is no room.
    #[cfg(feature = "retry")]
    pub(super) fn attempt(&mut self) -> Result<(), Refusal> {
        if self.closed {
            self.shared.count_refusal();
            return Err(Refusal::Closed);
        }
        // Not `Reject`, which would count every attempt as a refusal.
        let overflow = match self.shared.overflow {
            Overflow::Reject => Overflow::Wait,
            other => other,
        };
        let weight = self.slot.as_ref().map_or(0, |item| self.shared.weigh(item));
        let pushed = self
            .shared
            .with_victims(&mut self.slot, |state, slot, victims| {
                state.push(slot, weight, None, overflow, victims)
            });
        pushed.map_err(|error| {
            let refusal = match error {
                PushError::Closed(_) => Refusal::Closed,
                PushError::TooHeavy(_) => Refusal::TooHeavy,
                _ => Refusal::Full,
            };
            self.slot = Some(error.into_item());
            refusal
        })
    }

    /// Ends the waiting and gives the item back.
    pub(super) fn give_up(mut self) -> Option<T> {
        self.shared.leave(Side::Pushing, &mut self.key);
        self.shared.count_refusal();
        self.slot.take()
    }

    pub(super) fn result(&mut self, pushed: Result<(), Refusal>) -> Result<(), PushError<T>> {
        match pushed {
            Ok(()) => Ok(()),
            Err(refusal) => super::shared::refused(&mut self.slot, refusal),
        }
    }
}

impl<T> Future for Push<'_, T> {
    type Output = Result<(), PushError<T>>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        ready!(coop::share(cx));
        self.poll_unbudgeted(cx)
    }
}

impl<T> Drop for Push<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if self.slot.is_some() || self.key.is_some() {
            self.cancel();
        }
    }
}

impl<T> Push<'_, T> {
    #[cold]
    #[inline(never)]
    fn cancel(&mut self) {
        if self.slot.is_none() {
            return self.shared.leave(Side::Pushing, &mut self.key);
        }
        let mut cancelled = self.shared.leaving(DropReason::Cancelled);
        cancelled.items = Some(self.slot.take());
        self.shared
            .leave_and(Side::Pushing, &mut self.key, |state| {
                state.count.cancelled += u64::from(!planted("cancelled_uncounted"));
            });
    }
}

/// Pushes what is in the caller's slot, where it stays unless it was taken.
pub(super) struct PushFrom<'a, T> {
    pub(super) shared: &'a Shared<T>,
    pub(super) slot: &'a mut Option<T>,
    pub(super) key: Option<Key>,
}

impl<T> Future for PushFrom<'_, T> {
    type Output = Result<(), PushError<()>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if this.slot.is_none() {
            return Poll::Ready(Ok(()));
        }
        ready!(coop::share(cx));
        let pushed = this.shared.poll_push(cx, this.slot, &mut this.key);
        pushed.map_err(|refusal| refusal.about(()))
    }
}

impl<T> Drop for PushFrom<'_, T> {
    fn drop(&mut self) {
        self.shared.leave(Side::Pushing, &mut self.key);
    }
}

/// Pushes from the front of the caller's items until all are in. The rest stays with the caller.
pub(super) struct PushMany<'a, T> {
    pub(super) shared: &'a Shared<T>,
    pub(super) items: &'a mut VecDeque<T>,
    pub(super) moved: usize,
    pub(super) key: Option<Key>,
}

impl<T> PushMany<'_, T> {
    fn poll_all(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, PushError<()>>> {
        let shared = self.shared;
        if shared.overflow != Overflow::Wait {
            return Poll::Ready(shared.try_push_many(self.items));
        }
        while !self.items.is_empty() {
            let moved = if shared.moves_runs() {
                let run = match self.key {
                    None => shared.lanes.push_run(self.items),
                    Some(_) => 0,
                };
                if run > 0 {
                    self.moved += run;
                    continue;
                }
                shared.poll(cx, Side::Pushing, &mut self.key, |state, key| {
                    state.push_run(self.items, key, true)
                })
            } else {
                self.poll_front(cx)
            };
            match ready!(moved) {
                Ok(run) => self.moved += run,
                Err(refusal) => return Poll::Ready(Err(refusal.about(()))),
            }
        }
        Poll::Ready(Ok(self.moved))
    }

    fn poll_front(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, Refusal>> {
        let mut front = Front {
            slot: self.items.pop_front(),
            items: self.items,
        };
        let (slot, key) = (&mut front.slot, &mut self.key);
        let pushed = self.shared.poll_push(cx, slot, key);
        pushed.map_ok(|()| 1)
    }
}

/// The first item while it is being pushed. It goes back where it was if it was not taken, also in a panic.
struct Front<'a, T> {
    slot: Option<T>,
    items: &'a mut VecDeque<T>,
}

impl<T> Drop for Front<'_, T> {
    fn drop(&mut self) {
        if let Some(item) = self.slot.take() {
            self.items.push_front(item);
        }
    }
}

impl<T> Future for PushMany<'_, T> {
    type Output = Result<usize, PushError<()>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        coop::spend(cx, |cx| self.poll_all(cx))
    }
}

impl<T> Drop for PushMany<'_, T> {
    fn drop(&mut self) {
        self.shared.leave(Side::Pushing, &mut self.key);
    }
}

impl<T> Shared<T> {
    /// Whether runs can be moved in without looking at each item.
    pub(super) fn moves_runs(&self) -> bool {
        !self.is_weighted() && matches!(self.overflow, Overflow::Wait | Overflow::Reject)
    }

    /// Pushes from the front what fits now.
    pub(super) fn try_push_many(&self, items: &mut VecDeque<T>) -> Result<usize, PushError<()>> {
        if items.is_empty() {
            return Ok(0);
        }
        if self.moves_runs() {
            let run = self.lanes.push_run(items);
            if run > 0 {
                return Ok(run);
            }
            return match self.attempt(|state| state.push_run(items, None, false)) {
                Ok(moved) => moved.map_err(|refusal| refusal.about(())),
                Err(_) => Err(PushError::Full(())),
            };
        }
        let mut moved = 0;
        while let Some(item) = items.front() {
            let weight = self.weigh(item);
            // Full is a refusal only where nothing went in.
            let overflow = match self.overflow.at_once() {
                Overflow::Reject if moved > 0 => Overflow::Wait,
                other => other,
            };
            let mut slot = items.pop_front();
            let pushed = self.with_victims(&mut slot, |state, slot, victims| {
                state.push(slot, weight, None, overflow, victims)
            });
            match pushed {
                Ok(()) => moved += 1,
                Err(error) => {
                    let full = error.is_full();
                    let error = error.map(|item| items.push_front(item));
                    return if full && moved > 0 {
                        Ok(moved)
                    } else {
                        Err(error)
                    };
                }
            }
        }
        Ok(moved)
    }
}
