//! The line at a bucket: who waits, whose turn it is, and who does not come.

use std::collections::BTreeMap;
use std::task::Waker;
use std::time::Duration;

use tokio::time::Instant;

use super::bucket::{Bucket, Until};
use super::{Limited, RateLimit};

/// Whoever is due and does not come for so long no longer holds up the others: a future that was forgotten, a stream
/// that nobody polls. It keeps its place, and is the first again when it comes.
const GRACE: Duration = Duration::from_millis(100);

/// Not more than this many calls of the same cost are paid ahead, and not more than this part of the burst: units on
/// lease are missing in a burst that follows upon a pause.
const AHEAD: u32 = 63;
const PART_OF_BURST: u32 = 256;

/// The same for the units that are lent to whoever comes next, by those who come no further apart than this.
const LOAN: u32 = 127;
const PART_ON_LOAN: u32 = 1024;
const RUN: Duration = Duration::from_millis(1);

/// A place in the line. Tickets are numbered in the order in which they are drawn.
pub(super) type Ticket = u64;

/// What a turn asks for, and its place in the line once it has had to wait.
#[derive(Debug, Default)]
pub(super) struct Call {
    pub(super) ticket: Option<Ticket>,
    pub(super) cost: u32,
    /// Takes it as a lease.
    pub(super) lease: bool,
    pub(super) ahead: Ahead,
    /// How many have been taken for calls of its own to come.
    pub(super) prepaid: u32,
    /// Its cost is on lease. Noted with the taking of it, so that a waker that panics then leaves no lease behind.
    pub(super) leased: bool,
}

/// Whether one that passes at once takes some more on lease, for calls to come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Ahead {
    #[default]
    Nothing,
    /// For its own.
    Own,
    /// For anybody's.
    Anybodys,
}

/// Where a [`Call`] stands.
pub(super) enum Step {
    /// The units are taken. One who had to wait is to be dropped outside of the lock.
    Pass { _waiter: Option<Waiter> },
    /// It is in the line, its waker is kept, and it is worth asking again at that time if there is one.
    Wait(Until),
    /// A clone of the waker is needed first.
    BringWaker,
}

pub(super) struct Waiter {
    cost: u32,
    /// The cost has been taken as a debt, because it is above the burst.
    reserved: bool,
    /// When it is to come: because it was woken, or because that is what its timer is set to.
    expected: Option<Instant>,
    waker: Option<Waker>,
}

/// A bucket and those who wait for it. Pure: `now` is an argument, and the one to be woken is left in `called`.
pub(super) struct Line {
    bucket: Bucket,
    waiting: BTreeMap<Ticket, Waiter>,
    /// Those who were due and did not come.
    absent: BTreeMap<Ticket, Waiter>,
    next_ticket: Ticket,
    /// What those who wait are still to take.
    queued: u64,
    /// The head has no timer, because a lease leaves too little of the burst for it.
    stuck: bool,
    /// Whether it lends at all.
    lends: bool,
    /// How many units are lent to whoever comes next. None while anybody waits.
    lent: u32,
    /// When somebody last passed who might have been lent them.
    passed: Option<Instant>,
    /// To be woken when the lock is released.
    called: Option<Waker>,
    /// Of one who was called and passed at once, so that the call went to the next: to be dropped outside of the lock.
    spare: Option<Waker>,
}

impl Line {
    pub(super) fn new(limit: RateLimit, now: Instant, lends: bool) -> Self {
        Self {
            bucket: Bucket::new(limit, now),
            waiting: BTreeMap::new(),
            absent: BTreeMap::new(),
            next_ticket: 0,
            queued: 0,
            stuck: false,
            lends,
            lent: 0,
            passed: None,
            called: None,
            spare: None,
        }
    }

    pub(super) fn limit(&self) -> RateLimit {
        self.bucket.limit()
    }

    pub(super) fn level(&mut self, now: Instant) -> u32 {
        self.bucket.level(now)
    }

    /// How many stand in the line, absent or not.
    pub(super) fn len(&self) -> usize {
        self.waiting.len() + self.absent.len()
    }

    /// Whether a new one would do as well: the bucket is full, nobody waits, and nobody holds a lease.
    pub(super) fn is_idle(&mut self, now: Instant) -> bool {
        self.len() == 0 && self.bucket.is_full(now)
    }

    /// The one to be woken when the lock is released.
    pub(super) fn take_called(&mut self) -> Option<Waker> {
        self.called.take()
    }

    /// What is left of a call that went to somebody else.
    pub(super) fn take_spare(&mut self) -> Option<Waker> {
        self.spare.take()
    }

    /// How many units are lent.
    pub(super) fn lent(&self) -> u32 {
        self.lent
    }

    /// Takes back what was lent; so many of it were not used.
    pub(super) fn settle(&mut self, now: Instant, unused: u32) {
        let lent = std::mem::take(&mut self.lent);
        self.bucket.end_lease(now, lent, unused);
    }

    pub(super) fn try_take(&mut self, now: Instant, n: u32) -> Result<(), Limited<()>> {
        let answer = match self.head(now) {
            None => self.bucket.try_take(now, n, self.queued),
            Some(_) => Err(self.bucket.wait_for(now, self.queued + u64::from(n))),
        };
        match answer {
            Ok(()) => {
                self.lend(now);
                Ok(())
            }
            Err(retry_after) => Err(Limited {
                item: (),
                retry_after,
            }),
        }
    }

    /// One step of waiting. `fresh` brings a waker in and a replaced one out.
    pub(super) fn step(
        &mut self,
        now: Instant,
        call: &mut Call,
        waker: &Waker,
        fresh: &mut Option<Waker>,
    ) -> Step {
        let ticket = match call.ticket {
            Some(ticket) => {
                self.is_here(ticket);
                ticket
            }
            None => {
                if self.head(now).is_none() && self.claim(now, call).is_ok() {
                    match call.ahead {
                        Ahead::Nothing => {}
                        Ahead::Own => self.pay_ahead(now, call),
                        Ahead::Anybodys => self.lend(now),
                    }
                    return Step::Pass { _waiter: None };
                }
                if fresh.is_none() {
                    return Step::BringWaker;
                }
                self.join(call, fresh.take())
            }
        };
        let until = if self.head(now) == Some(ticket) {
            match self.claim_as_head(now, ticket, call) {
                Ok(()) => {
                    call.ticket = None;
                    return Step::Pass {
                        _waiter: self.remove(now, ticket),
                    };
                }
                Err(until) => until,
            }
        } else {
            self.look_again(now)
        };
        if let Some(waiter) = self.waiting.get_mut(&ticket) {
            if !waiter
                .waker
                .as_ref()
                .is_some_and(|kept| kept.will_wake(waker))
            {
                if fresh.is_none() {
                    // Should its clone panic, the others must not wait for ever.
                    waiter.expected = waiter.expected.or(Some(now));
                    return Step::BringWaker;
                }
                std::mem::swap(&mut waiter.waker, fresh);
            }
        }
        Step::Wait(until)
    }

    /// Leaves the line. What was paid goes back; the rest is to be dropped outside of the lock.
    pub(super) fn leave(&mut self, now: Instant, ticket: Ticket) -> Option<Waiter> {
        let left = self.remove(now, ticket);
        if let Some(waiter) = left.as_ref().filter(|waiter| waiter.reserved) {
            self.bucket.give_back(now, waiter.cost);
        }
        left
    }

    /// Ends a lease of `n` units, of which `unused` did not pass.
    pub(super) fn end_lease(&mut self, now: Instant, n: u32, unused: u32) {
        self.bucket.end_lease(now, n, unused);
        if std::mem::take(&mut self.stuck) || unused > 0 {
            self.call_head(now);
        }
    }

    pub(super) fn set_limit(&mut self, now: Instant, limit: RateLimit) {
        self.bucket.set_limit(now, limit);
        self.call_head(now);
    }

    /// Takes the cost of one whose turn it is, unless it is above the burst.
    fn claim(&mut self, now: Instant, call: &mut Call) -> Result<(), Until> {
        if call.lease {
            self.bucket.lease(now, call.cost)?;
            call.leased = true;
            Ok(())
        } else {
            self.bucket.take(now, call.cost)
        }
    }

    /// The same for the head of the line, who may go into debt. Units within the burst are taken when they pass and
    /// not before: the bucket goes on filling up to its brim until the head has come for them, and no further.
    fn claim_as_head(
        &mut self,
        now: Instant,
        ticket: Ticket,
        call: &mut Call,
    ) -> Result<(), Until> {
        let Some(waiter) = self.waiting.get_mut(&ticket) else {
            return Err(None);
        };
        if !waiter.reserved && waiter.cost > self.bucket.limit().max_burst() {
            waiter.reserved = true;
            self.queued -= u64::from(waiter.cost);
            self.bucket.reserve(now, waiter.cost);
        }
        let claimed = if waiter.reserved {
            self.bucket.paid(now)
        } else {
            self.claim(now, call)
        };
        if let (Err(until), Some(waiter)) = (claimed, self.waiting.get_mut(&ticket)) {
            waiter.expected = until;
            self.stuck = until.is_none();
        }
        claimed
    }

    fn pay_ahead(&mut self, now: Instant, call: &mut Call) {
        let most = self.bucket.limit().max_burst() / PART_OF_BURST;
        let n = call.cost.saturating_mul(AHEAD).min(most);
        if n > 0 && self.bucket.lease(now, n).is_ok() {
            call.prepaid = n;
        }
    }

    /// Lends units to whoever comes next. Only in a run of calls: a call now and then is not worth it, and what is taken
    /// from a loan is taken at an unknown time, so that a bucket which was full before may be short of it after a pause.
    fn lend(&mut self, now: Instant) {
        let n = LOAN.min(self.bucket.limit().max_burst() / PART_ON_LOAN);
        if !self.lends || n == 0 {
            return;
        }
        let before = self.passed.replace(now);
        let in_a_run = before.is_some_and(|at| now.saturating_duration_since(at) < RUN);
        if in_a_run && self.bucket.lease(now, n).is_ok() {
            self.lent = n;
        }
    }

    fn join(&mut self, call: &mut Call, waker: Option<Waker>) -> Ticket {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        let waiter = Waiter {
            cost: call.cost,
            reserved: false,
            expected: None,
            waker,
        };
        self.queued += waiter.owes();
        self.waiting.insert(ticket, waiter);
        call.ticket = Some(ticket);
        ticket
    }

    /// The one whose turn it is. Steps over those who should have come long ago, and calls the next one.
    #[inline]
    fn head(&mut self, now: Instant) -> Option<Ticket> {
        if self.waiting.is_empty() {
            return None;
        }
        self.first_to_come(now)
    }

    fn first_to_come(&mut self, now: Instant) -> Option<Ticket> {
        let mut stepped_over = false;
        while let Some(first) = self.waiting.first_entry() {
            let expected = first.get().expected;
            if expected.is_none_or(|at| now.saturating_duration_since(at) < GRACE) {
                let head = *first.key();
                if stepped_over {
                    self.call_head(now);
                }
                return Some(head);
            }
            let (ticket, waiter) = first.remove_entry();
            self.queued -= waiter.owes();
            self.absent.insert(ticket, waiter);
            stepped_over = true;
        }
        None
    }

    /// When one behind the head should look whether it is the head by now, in case that those before it do not come: when
    /// all of them should have passed; or soon, if the head is late.
    fn look_again(&mut self, now: Instant) -> Until {
        let expected = self
            .waiting
            .first_key_value()
            .and_then(|(_, head)| head.expected);
        let due = match expected.filter(|&at| at <= now) {
            Some(late) => late,
            None => now.checked_add(self.bucket.wait_for(now, self.queued))?,
        };
        due.checked_add(GRACE)
    }

    /// One who is expected, or absent, has come.
    fn is_here(&mut self, ticket: Ticket) {
        if let Some(waiter) = self.absent.remove(&ticket) {
            self.queued += waiter.owes();
            self.waiting.insert(ticket, waiter);
        }
        if let Some(waiter) = self.waiting.get_mut(&ticket) {
            waiter.expected = None;
        }
    }

    fn remove(&mut self, now: Instant, ticket: Ticket) -> Option<Waiter> {
        if let Some(waiter) = self.absent.remove(&ticket) {
            return Some(waiter);
        }
        let was_head = self
            .waiting
            .first_key_value()
            .is_some_and(|(&head, _)| head == ticket);
        let waiter = self.waiting.remove(&ticket)?;
        self.queued -= waiter.owes();
        if was_head {
            self.call_head(now);
        }
        Some(waiter)
    }

    /// Has the head woken, unless it was and has not come since.
    fn call_head(&mut self, now: Instant) {
        let Some(mut head) = self.waiting.first_entry() else {
            return;
        };
        if let Some(waker) = head.get_mut().waker.take() {
            head.get_mut().expected = Some(now);
            self.spare = self.called.replace(waker).or_else(|| self.spare.take());
        }
    }
}

impl Waiter {
    fn owes(&self) -> u64 {
        if self.reserved { 0 } else { self.cost.into() }
    }
}
