//! tokio's cooperative budget, spent by leaf operations so that a chain that is always ready still yields.

use std::task::{Context, Poll};

use tokio::task::coop;

/// Spends one unit of the budget for an operation that `poll` performs; Pending, with a wake, when none is left.
/// The unit is given back where `poll` is Pending itself.
#[inline]
pub(crate) fn spend<R>(
    cx: &mut Context<'_>,
    poll: impl FnOnce(&mut Context<'_>) -> Poll<R>,
) -> Poll<R> {
    let restore = std::task::ready!(coop::poll_proceed(cx));
    let polled = poll(cx);
    if polled.is_ready() {
        restore.made_progress();
    }
    polled
}

/// Whether an operation would still be let through. A `Pending` met without budget is not idleness.
#[inline]
pub(crate) fn has_budget() -> bool {
    coop::has_budget_remaining()
}
