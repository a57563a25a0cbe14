//! How items get out.

use std::collections::VecDeque;

use super::{State, Step};
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
        if self.ring.len() > 0 && self.may_take(key) {
            return self.take(out, limit);
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
        let len = self.ring.len();
        let enough = match key {
            None => len >= max,
            Some(_) => self.may_take(key) && len >= max,
        };
        let useless = self.closed || self.pushing.sleeping() > 0;
        if enough || (len > 0 && (late || useless)) {
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
    pub(in crate::queue) fn take_all(&mut self) -> VecDeque<T> {
        self.count.pulled += self.ring.len() as u64;
        self.ring.take()
    }

    fn may_take(&self, key: Option<Key>) -> bool {
        let Some(key) = key else { return true };
        if !self.pulling.is_woken(key) {
            return false;
        }
        let len = self.ring.len();
        self.closed
            || self.pulling.claims().units <= len
            || self.pulling.claims_ahead(key).units < len
    }
}
