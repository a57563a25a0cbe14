//! The shell under every batching stream: fills the open batch from its input and lets the clock close it.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tokio::time::Instant;

use super::open::{Closed, Open};
use super::timer::Timer;
use super::{BatchPolicy, BatchStats, FlushReason, Form};
use crate::coop;

/// Takes input into the open batch for as long as it is ready and the batch has room.
///
/// A function pointer rather than a trait, so that the operator's type is the same whether items come one by one or in
/// runs.
pub(super) type Fill<S, T, E> = fn(Pin<&mut S>, &mut Context<'_>, &mut Open<T>) -> Poll<Filled<E>>;

/// Why filling has stopped.
pub(super) enum Filled<E> {
    Closed,
    Failed(E),
    Ended,
}

pin_project! {
    pub(super) struct Shell<S, T, E> {
        #[pin]
        input: S,
        fill: Fill<S, T, E>,
        open: Open<T>,
        timer: Timer,
        // Met after items that are handed on before it.
        error: Option<E>,
        // The end is met with nothing left to hand on after what goes out in the same poll.
        ended: bool,
    }
}

impl<S, T, E> Shell<S, T, E> {
    pub(super) fn new(input: S, policy: BatchPolicy<T>, fill: Fill<S, T, E>) -> Self {
        let (open, timer) = (Open::new(policy), Timer::default());
        Self {
            input,
            fill,
            open,
            timer,
            error: None,
            ended: false,
        }
    }

    #[inline]
    pub(super) fn poll_closed(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Closed<T>, E>>> {
        let me = self.project();
        if let Some(error) = me.error.take() {
            return Poll::Ready(Some(Err(error)));
        }
        me.open.sift();
        let mut reason = me.open.closed();
        if reason.is_none() && !*me.ended {
            match (me.fill)(me.input, cx, me.open) {
                Poll::Ready(Filled::Closed) => reason = me.open.closed(),
                Poll::Ready(Filled::Failed(error)) if me.open.is_empty() => {
                    return Poll::Ready(Some(Err(error)));
                }
                Poll::Ready(Filled::Failed(error)) => {
                    *me.error = Some(error);
                    reason = Some(FlushReason::Error);
                }
                Poll::Ready(Filled::Ended) => *me.ended = true,
                Poll::Pending => reason = Some(ready!(poll_clock(me.open, me.timer, cx))),
            }
        }
        if me.open.is_empty() {
            return Poll::Ready(None);
        }
        let closed = me.open.close(reason.unwrap_or(FlushReason::End));
        me.open.settle_rest(Instant::now);
        Poll::Ready(Some(Ok(closed)))
    }

    pub(super) fn size_hint(
        &self,
        input: impl FnOnce(&S) -> (usize, Option<usize>),
    ) -> (usize, Option<usize>) {
        let input = if self.ended {
            (0, Some(0))
        } else {
            input(&self.input)
        };
        let (least, most) = self.open.size_hint(input);
        let error = usize::from(self.error.is_some());
        (
            least.saturating_add(error),
            most.and_then(|most| most.checked_add(error)),
        )
    }

    pub(super) fn is_terminated(&self) -> bool {
        self.ended
    }

    pub(super) fn stats(&self) -> BatchStats {
        self.open.stats()
    }

    pub(super) fn held(&self) -> usize {
        self.open.len()
    }

    pub(super) fn input(&self) -> &S {
        &self.input
    }

    pub(super) fn input_mut(&mut self) -> &mut S {
        &mut self.input
    }

    pub(super) fn input_pin_mut(self: Pin<&mut Self>) -> Pin<&mut S> {
        self.project().input
    }

    /// What is held, in the order of the input, leaving nothing.
    pub(super) fn take_held(self: Pin<&mut Self>) -> (Vec<T>, Option<E>) {
        let me = self.project();
        (me.open.take_all(), me.error.take())
    }

    pub(super) fn into_parts(mut self) -> (S, Vec<T>, Option<E>) {
        (self.input, self.open.take_all(), self.error)
    }
}

impl<S: fmt::Debug, T, E> fmt::Debug for Shell<S, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shell")
            .field("input", &self.input)
            .field("open", &self.open)
            .field("error", &self.error.is_some())
            .field("ended", &self.ended)
            .finish()
    }
}

/// Fills the open batch with whole runs, from a source that answers 0 when it has ended.
pub(super) fn fill_runs<T>(
    open: &mut Open<T>,
    mut pull: impl FnMut(&mut Vec<T>, usize) -> Poll<usize>,
) -> Poll<Filled<Infallible>> {
    loop {
        if ready!(open.push_run(&mut pull)) == 0 {
            return Poll::Ready(Filled::Ended);
        }
        if open.closed().is_some() {
            return Poll::Ready(Filled::Closed);
        }
    }
}

/// Waits for the clock where the input has nothing ready.
#[inline(never)]
fn poll_clock<T>(open: &mut Open<T>, timer: &mut Timer, cx: &mut Context<'_>) -> Poll<FlushReason> {
    if open.is_empty() {
        return Poll::Pending;
    }
    let now = (open.timed() || open.unsettled()).then(Instant::now);
    if let Some(now) = now {
        open.settle(now);
    }
    if coop::has_budget() {
        return timer.poll_lapse(cx, open);
    }
    // The input may well be ready, it was only not allowed to say so. It has woken the task if it was; this makes sure.
    let _: Poll<()> = coop::spend(cx, |_| Poll::Pending);
    match now.and_then(|now| open.overdue(now)) {
        Some(reason) => Poll::Ready(reason),
        None => Poll::Pending,
    }
}

/// A closed batch as it is handed on. The clock is read only where somebody will see the age.
#[inline]
pub(super) fn form<F: Form, T>(closed: Closed<T>) -> F::Of<T> {
    let Closed {
        items,
        reason,
        since,
    } = closed;
    F::form(items, reason, || {
        since.map_or_else(Default::default, |since| {
            Instant::now().saturating_duration_since(since)
        })
    })
}
