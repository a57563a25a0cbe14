//! tokio's cooperative budget, spent by leaf operations so that a chain that is always ready still yields.

use std::cell::Cell;
use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use tokio::task::coop;

/// Spends one unit of the budget for an operation that `poll` performs; Pending, with a wake, when none is left.
/// The unit is given back where `poll` is Pending itself.
#[inline]
pub(crate) fn spend<R>(
    cx: &mut Context<'_>,
    poll: impl FnOnce(&mut Context<'_>) -> Poll<R>,
) -> Poll<R> {
    let restore = ready!(coop::poll_proceed(cx));
    let polled = poll(cx);
    if polled.is_ready() {
        restore.made_progress();
    }
    polled
}

/// Operations that cost one unit together.
const SHARES: u32 = 16;

thread_local! {
    /// Shares taken on this thread. A task that never yields has it for itself, so it cannot spend another's shares.
    static TAKEN: Cell<u32> = const { Cell::new(0) };
}

/// Takes a share for an operation that is polled next, and that takes less time than a look at the budget: each sixteenth
/// on a thread pays for all. It stands before the poll and not around it, where it would have to move the result once more.
#[inline]
pub(crate) fn share(cx: &mut Context<'_>) -> Poll<()> {
    let taken = TAKEN.get() + 1;
    if taken == SHARES {
        return pay(cx);
    }
    TAKEN.set(taken);
    Poll::Ready(())
}

#[cold]
#[inline(never)]
fn pay(cx: &mut Context<'_>) -> Poll<()> {
    spend(cx, |_| Poll::Ready(())).map(|()| TAKEN.set(0))
}

/// Whether an operation would still be let through. A `Pending` met without budget is not idleness.
#[inline]
pub(crate) fn has_budget() -> bool {
    coop::has_budget_remaining()
}

/// Spends one unit for an item that has already been taken. Where none is left, the next [`has_or_yield`] yields.
#[inline]
pub(crate) fn take(cx: &mut Context<'_>) {
    if has_budget() {
        let _spent = spend(cx, |_| Poll::Ready(()));
    }
}

/// Waits for what `poll` brings, at one unit: for drivers, where an item is worth a look at the budget.
pub(crate) async fn paid<R>(mut poll: impl FnMut(&mut Context<'_>) -> Poll<R>) -> R {
    poll_fn(|cx| {
        ready!(has_or_yield(cx));
        let result = ready!(poll(cx));
        take(cx);
        Poll::Ready(result)
    })
    .await
}

/// Ready while there is budget; Pending, with a wake, when there is none. Unlike [`spend`] it keeps nothing that a
/// nested operation's budget could be given back with.
#[inline]
pub(crate) fn has_or_yield(cx: &mut Context<'_>) -> Poll<()> {
    if has_budget() {
        Poll::Ready(())
    } else {
        spend(cx, |_| Poll::Pending)
    }
}
