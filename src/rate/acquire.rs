//! The future behind waiting for units.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::RateLimiter;
use super::turn::Turn;
use crate::coop;

/// Waits for units. Small, and gone in an instant, where they are lent: only one who finds none takes a turn in the line.
pub(super) struct Acquire<'a> {
    limiter: &'a RateLimiter,
    n: u32,
    turn: Option<Turn<&'a RateLimiter>>,
}

impl<'a> Acquire<'a> {
    #[inline]
    pub(super) const fn new(limiter: &'a RateLimiter, n: u32) -> Self {
        Self {
            limiter,
            n,
            turn: None,
        }
    }

    #[inline]
    fn poll_units(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.turn.is_none() && self.limiter.take_lent(self.n) {
            return Poll::Ready(());
        }
        self.poll_turn(cx)
    }

    #[inline(never)]
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let turn = self.turn.get_or_insert_with(|| Turn::new(self.limiter));
        turn.poll_take(cx, self.n)
    }
}

impl Future for Acquire<'_> {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        ready!(coop::share(cx));
        self.poll_units(cx)
    }
}
