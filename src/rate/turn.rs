//! One turn at a limiter: a place in its line, and a timer.

use std::borrow::Borrow;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::time::{Sleep, sleep_until};

use super::RateLimiter;
use super::line::{Ahead, Call, Step};

/// Takes units, again and again, and waits for them in the limiter's line. Dropped, it leaves the line.
///
/// The timer is for the time at which its turn comes: for the head of the line; for the others, in case that those before
/// them never come, so that it hardly ever goes off. It is boxed, and not before it is needed: so whoever holds a turn can be
/// moved, and is small. None of tokio's cooperative budget is spent, save by a timer that has gone off.
#[derive(Debug)]
pub(super) struct Turn<L: Borrow<RateLimiter>> {
    limiter: L,
    call: Call,
    /// What is left of `call.prepaid`.
    credits: u32,
    /// A run of [`Turn::poll_take_run`] has begun.
    running: bool,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl<L: Borrow<RateLimiter>> Turn<L> {
    pub(super) fn new(limiter: L) -> Self {
        Self {
            limiter,
            call: Call::default(),
            credits: 0,
            running: false,
            sleep: None,
        }
    }

    /// Takes `cost` units, which pass as this returns.
    pub(super) fn poll_take(&mut self, cx: &mut Context<'_>, cost: u32) -> Poll<()> {
        self.call.ahead = Ahead::Anybodys;
        self.poll(cx, cost, false)
    }

    /// The same, and pays for some more in advance, so that not every call has to look at the clock: for itself where
    /// the limiter is nobody else's, else for whoever comes next. [`Turn::pause`] belongs where a run of calls ends.
    pub(super) fn poll_take_run(&mut self, cx: &mut Context<'_>, cost: u32) -> Poll<()> {
        if self.take_paid(cost) {
            return Poll::Ready(());
        }
        let last = cost == self.credits;
        if last {
            self.credits = 0;
        }
        self.settle();
        if last {
            return Poll::Ready(());
        }
        self.call.ahead = match self.limiter.borrow().is_unshared() {
            false => Ahead::Anybodys,
            // From the second call of a run on: single ones are not worth it.
            true if self.running => Ahead::Own,
            true => Ahead::Nothing,
        };
        ready!(self.poll(cx, cost, false));
        self.credits = self.call.prepaid;
        self.running = true;
        Poll::Ready(())
    }

    /// Takes from what has been paid in advance for it, or for anybody, if that is enough. Asked first by
    /// [`Turn::poll_take_run`].
    #[inline]
    pub(super) fn take_paid(&mut self, cost: u32) -> bool {
        if self.credits > 0 {
            let left = cost < self.credits;
            self.credits -= if left { cost } else { 0 };
            return left;
        }
        // One that waits has a place in the line.
        let limiter = self.limiter.borrow();
        self.call.ticket.is_none() && !limiter.is_unshared() && limiter.take_lent(cost)
    }

    /// Ends a run of [`Turn::poll_take_run`].
    pub(super) fn pause(&mut self) {
        self.settle();
        self.running = false;
    }

    /// Gives back what has been paid in advance and not used.
    fn settle(&mut self) {
        let prepaid = std::mem::take(&mut self.call.prepaid);
        let unused = std::mem::take(&mut self.credits);
        if prepaid > 0 {
            self.limiter.borrow().end_lease(prepaid, unused);
        }
    }

    /// Takes a unit which passes when [`Turn::spend_lease`] says so. Ready at once where there is one already.
    pub(super) fn poll_lease(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.call.leased {
            return Poll::Ready(());
        }
        self.call.ahead = Ahead::Nothing;
        self.poll(cx, 1, true)
    }

    /// Uses the lease. False if there is none.
    pub(super) fn spend_lease(&mut self) -> bool {
        let leased = std::mem::take(&mut self.call.leased);
        if leased {
            self.limiter.borrow().end_lease(1, 0);
        }
        leased
    }

    /// Leaves the line and gives back what has been taken and not used.
    pub(super) fn give_up(&mut self) {
        self.sleep = None;
        if let Some(ticket) = self.call.ticket.take() {
            self.limiter.borrow().leave(ticket);
        }
        if std::mem::take(&mut self.call.leased) {
            self.limiter.borrow().end_lease(1, 1);
        }
        self.settle();
    }

    fn poll(&mut self, cx: &mut Context<'_>, cost: u32, lease: bool) -> Poll<()> {
        if cost == 0 {
            return Poll::Ready(());
        }
        (self.call.cost, self.call.lease) = (cost, lease);
        let mut fresh = None;
        loop {
            match self
                .limiter
                .borrow()
                .step(&mut self.call, cx.waker(), &mut fresh)
            {
                Step::Pass { .. } => {
                    // One that has not gone off would wake for nothing; one that has is kept for the next time.
                    if self.sleep.as_ref().is_some_and(|sleep| !sleep.is_elapsed()) {
                        self.sleep = None;
                    }
                    return Poll::Ready(());
                }
                Step::BringWaker => fresh = Some(cx.waker().clone()),
                Step::Wait(None) => {
                    self.sleep = None;
                    return Poll::Pending;
                }
                Step::Wait(Some(until)) => {
                    // What came back is a waker that was replaced.
                    drop(fresh.take());
                    let sleep = self
                        .sleep
                        .get_or_insert_with(|| Box::pin(sleep_until(until)));
                    if sleep.deadline() != until {
                        sleep.as_mut().reset(until);
                    }
                    ready!(sleep.as_mut().poll(cx));
                }
            }
        }
    }
}

impl<L: Borrow<RateLimiter>> Drop for Turn<L> {
    fn drop(&mut self) {
        self.give_up();
    }
}
