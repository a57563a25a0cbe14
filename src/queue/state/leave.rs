//! How items get out.

use super::{State, Step};
use crate::queue::ring::Ring;
use crate::queue::waiters::{Key, Need};

impl<T> State<T> {
    /// Takes the first item; `None` when there will never be one.
    pub(in crate::queue) fn pull(&mut self, key: Option<Key>) -> Step<Option<T>> {
        if self.may_take(key) {
            if let Some(item) = self.ring.pop() {
                self.count.pulled += 1;
                return Step::Done(Some(item));
            }
        }
        if self.is_finished() {
            Step::Done(None)
        } else {
            Step::Wait(Need::Item)
        }
    }

    /// Whether there is an item to take; `false` when there will never be one.
    pub(in crate::queue) fn peek(&self, key: Option<Key>) -> Step<bool> {
        if self.ring.len() > 0 && self.may_take(key) {
            Step::Stop(true)
        } else if self.is_finished() {
            Step::Done(false)
        } else {
            Step::Wait(Need::Item)
        }
    }

    /// Moves up to `limit` items into `out`; 0 when there will never be one. `Err` says how much room `out` needs.
    pub(in crate::queue) fn pull_run(
        &mut self,
        key: Option<Key>,
        out: &mut Vec<T>,
        limit: usize,
    ) -> Step<Result<usize, usize>> {
        let share = self.share(key);
        if share > 0 {
            return self.take(out, limit.min(share));
        }
        if self.is_finished() {
            Step::Done(Ok(0))
        } else {
            Step::Wait(Need::Item)
        }
    }

    /// Moves `max` items into `out`, or what there is if waiting for more is over or of no use.
    pub(in crate::queue) fn pull_batch(
        &mut self,
        key: Option<Key>,
        out: &mut Vec<T>,
        max: usize,
        late: bool,
    ) -> Step<Result<usize, usize>> {
        let share = self.share(key);
        let useless = self.closed || self.pushing.sleeping() > 0;
        if share >= max || (share > 0 && useless) {
            return self.take(out, max.min(share));
        }
        if late && self.ring.len() > 0 {
            return self.take(out, max);
        }
        if late || self.is_finished() {
            Step::Done(Ok(0))
        } else {
            Step::Wait(Need::Run { items: max })
        }
    }

    fn take(&mut self, out: &mut Vec<T>, limit: usize) -> Step<Result<usize, usize>> {
        let run = limit.min(self.ring.len());
        if out.capacity() - out.len() < run {
            return Step::Stop(Err(run));
        }
        self.ring.pop_many(out, run);
        self.count.pulled += run as u64;
        Step::Done(Ok(run))
    }

    /// Takes everything for a caller.
    pub(in crate::queue) fn take_all(&mut self) -> Ring<T> {
        self.count.pulled += self.ring.len() as u64;
        self.ring.take()
    }

    /// Whether there is an item for this call.
    fn may_take(&self, key: Option<Key>) -> bool {
        let Some(key) = key else { return true };
        let enough_for_all = self.pulling.claims().units <= self.ring.len();
        (enough_for_all && self.pulling.is_woken(key)) || self.share(Some(key)) > 0
    }

    /// How many items are for this call: all, or, for a waiter that was woken, what those woken before it leave.
    fn share(&self, key: Option<Key>) -> usize {
        let len = self.ring.len();
        match key {
            None => len,
            Some(key) if !self.pulling.is_woken(key) => 0,
            Some(key) if self.pulling.is_first(key) => len,
            Some(key) => len.saturating_sub(self.pulling.claims_ahead(key).units),
        }
    }
}
