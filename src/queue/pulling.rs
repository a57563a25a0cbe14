//! The futures behind the pulls that wait.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use crate::coop;

use super::ring::Why;
use super::shared::Shared;
use super::state::Side;
use super::waiters::{Key, Need};

impl<T> Shared<T> {
    #[inline]
    pub(super) fn poll_pull(&self, cx: &mut Context<'_>, key: &mut Option<Key>) -> Poll<Option<T>> {
        if key.is_none() {
            match self.lanes.pull() {
                Ok(item) => return Poll::Ready(Some(item)),
                Err(Why::Stuck) => {
                    if let Some(item) = self.look_for_item() {
                        return Poll::Ready(Some(item));
                    }
                }
                Err(Why::Shut) => {}
            }
        }
        self.poll_pull_by_the_rules(cx, key)
    }

    #[cold]
    #[inline(never)]
    fn look_for_item(&self) -> Option<T> {
        let mut item = None;
        self.look_first(Side::Pulling, || {
            item = self.lanes.pull().ok();
            item.is_some()
        });
        item
    }

    #[cold]
    #[inline(never)]
    fn poll_pull_by_the_rules(
        &self,
        cx: &mut Context<'_>,
        key: &mut Option<Key>,
    ) -> Poll<Option<T>> {
        self.poll(cx, Side::Pulling, key, |state, key| state.pull(key))
    }

    /// An item, if there is one.
    #[inline]
    pub(super) fn pull_now(&self) -> Result<Option<T>, Need> {
        match self.lanes.pull() {
            Ok(item) => Ok(Some(item)),
            Err(_) => self.attempt(|state| state.pull(None)),
        }
    }

    /// A run of items, if there are any and a plain look may take them.
    #[inline]
    pub(super) fn pull_run_now(&self, out: &mut Vec<T>, limit: usize) -> usize {
        let run = limit.min(self.lanes.glance());
        if out.capacity() - out.len() < run {
            out.reserve(run);
        }
        self.lanes.pull_run(out, limit)
    }

    pub(super) fn poll_pull_run(
        &self,
        cx: &mut Context<'_>,
        key: &mut Option<Key>,
        out: &mut Vec<T>,
        limit: usize,
    ) -> Poll<usize> {
        if key.is_none() {
            let mut run = self.pull_run_now(out, limit);
            if run == 0 && self.lanes.glance() == 0 {
                self.look_first(Side::Pulling, || {
                    run = self.pull_run_now(out, limit);
                    run > 0
                });
            }
            if run > 0 {
                return Poll::Ready(run);
            }
        }
        self.poll_pull_run_by_the_rules(cx, key, out, limit)
    }

    #[cold]
    #[inline(never)]
    fn poll_pull_run_by_the_rules(
        &self,
        cx: &mut Context<'_>,
        key: &mut Option<Key>,
        out: &mut Vec<T>,
        limit: usize,
    ) -> Poll<usize> {
        loop {
            let run = self.poll(cx, Side::Pulling, key, |state, key| {
                state.pull_run(key, out, limit)
            });
            match ready!(run) {
                Ok(run) => return Poll::Ready(run),
                Err(room) => out.reserve(room),
            }
        }
    }
}

/// Waits for one item.
pub(super) struct Pull<'a, T> {
    pub(super) shared: &'a Shared<T>,
    pub(super) key: Option<Key>,
}

impl<T> Pull<'_, T> {
    #[inline]
    pub(super) fn poll_unbudgeted(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.shared.poll_pull(cx, &mut self.key)
    }
}

impl<T> Future for Pull<'_, T> {
    type Output = Option<T>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        ready!(coop::share(cx));
        self.poll_unbudgeted(cx)
    }
}

impl<T> Drop for Pull<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.shared.leave(Side::Pulling, &mut self.key);
    }
}

/// Waits for a run of items.
pub(super) struct PullMany<'a, 'o, T> {
    pub(super) shared: &'a Shared<T>,
    pub(super) out: &'o mut Vec<T>,
    pub(super) limit: usize,
    pub(super) key: Option<Key>,
}

impl<T> Future for PullMany<'_, '_, T> {
    type Output = usize;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<usize> {
        let this = self.get_mut();
        coop::spend(cx, |cx| {
            this.shared
                .poll_pull_run(cx, &mut this.key, this.out, this.limit)
        })
    }
}

impl<T> Drop for PullMany<'_, '_, T> {
    fn drop(&mut self) {
        self.shared.leave(Side::Pulling, &mut self.key);
    }
}

/// Waits for a full batch, or takes what there is when it is `late`. `None` when there will never be more.
pub(super) struct PullBatch<'a, T> {
    pub(super) shared: &'a Shared<T>,
    pub(super) max: usize,
    pub(super) late: bool,
    pub(super) key: Option<Key>,
}

impl<T> Future for PullBatch<'_, T> {
    type Output = Option<Vec<T>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        coop::spend(cx, |cx| {
            let mut out = Vec::new();
            loop {
                let mut over = false;
                let run = this
                    .shared
                    .poll(cx, Side::Pulling, &mut this.key, |state, key| {
                        over = state.is_finished();
                        state.pull_batch(key, &mut out, this.max, this.late)
                    });
                match ready!(run) {
                    Ok(0) if over => return Poll::Ready(None),
                    Ok(_) => return Poll::Ready(Some(out)),
                    Err(room) => out.reserve_exact(room),
                }
            }
        })
    }
}

impl<T> Drop for PullBatch<'_, T> {
    fn drop(&mut self) {
        self.shared.leave(Side::Pulling, &mut self.key);
    }
}
