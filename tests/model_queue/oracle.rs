//! The queue as its guarantees describe it: a `VecDeque`, two lists of waiters and some counters. No wakers, no locks.

use std::collections::VecDeque;

use pushpull::queue::{DropReason, Overflow};

/// How many newcomers may overtake the waiter at the head before room is held for it.
const OVERTAKES: u32 = 32;

/// Names a waiter.
pub(crate) type Ticket = u64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// A slot and this much weight.
    Room(usize),
    /// This much weight, for an item parked in a sink that holds a slot.
    Weight(usize),
    Item,
    Run(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Full,
    Closed,
    TooHeavy,
    Timeout,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offer {
    In,
    Wait,
    Refused(Refusal),
}

/// What a waiter that is polled has to come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Served,
    Waits,
    /// The guarantees leave it open.
    Either,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiter {
    pub(crate) ticket: Ticket,
    pub(crate) need: Need,
}

#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) pushed: u64,
    pub(crate) pulled: u64,
    pub(crate) newest: u64,
    pub(crate) oldest: u64,
    pub(crate) abandoned: u64,
    pub(crate) refused: u64,
    pub(crate) cancelled: u64,
    pub(crate) producer_waits: u64,
    pub(crate) consumer_waits: u64,
    pub(crate) peak: usize,
}

#[derive(Debug)]
pub(crate) struct Oracle {
    pub(crate) policy: Overflow,
    pub(crate) weighted: bool,
    pub(crate) capacity: usize,
    pub(crate) max_weight: usize,
    pub(crate) items: VecDeque<(u32, usize)>,
    pub(crate) reserved: usize,
    pub(crate) parked: usize,
    pub(crate) closed: bool,
    pub(crate) revoked: bool,
    pub(crate) producers: usize,
    pub(crate) consumers: usize,
    pub(crate) pushing: Vec<Waiter>,
    pub(crate) pulling: Vec<Waiter>,
    pub(crate) overtakes: u32,
    pub(crate) count: Counts,
    pub(crate) dropped: Vec<(u32, DropReason)>,
}

impl Oracle {
    pub(crate) fn new(policy: Overflow, capacity: usize, max_weight: Option<usize>) -> Self {
        Self {
            policy,
            weighted: max_weight.is_some(),
            capacity,
            max_weight: max_weight.unwrap_or(usize::MAX),
            items: VecDeque::new(),
            reserved: 0,
            parked: 0,
            closed: false,
            revoked: false,
            producers: 1,
            consumers: 1,
            pushing: Vec::new(),
            pulling: Vec::new(),
            overtakes: 0,
            count: Counts::default(),
            dropped: Vec::new(),
        }
    }

    pub(crate) fn used(&self) -> usize {
        self.items.iter().map(|(_, weight)| weight).sum()
    }

    pub(crate) fn room(&self) -> usize {
        self.capacity
            .saturating_sub(self.items.len() + self.reserved)
    }

    fn spare_weight(&self) -> usize {
        self.max_weight.saturating_sub(self.used())
    }

    pub(crate) fn finished(&self) -> bool {
        self.closed && self.items.is_empty() && self.reserved == 0
    }

    /// Slots and weight that newcomers may not take.
    pub(crate) fn held(&self) -> (usize, usize) {
        match self.pushing.first() {
            Some(head) if self.overtakes >= OVERTAKES => match head.need {
                // It will be refused.
                Need::Room(weight) | Need::Weight(weight) if weight > self.max_weight => (0, 0),
                Need::Room(weight) => (1, weight),
                Need::Weight(weight) => (0, weight),
                Need::Item | Need::Run(_) => unreachable!("a consumer among the producers"),
            },
            _ => (0, 0),
        }
    }

    pub(crate) fn fits(&self, need: Need, held: (usize, usize)) -> bool {
        let (slots, weight) = match need {
            Need::Room(weight) => (1, weight),
            Need::Weight(weight) => (0, weight),
            Need::Item | Need::Run(_) => unreachable!("a consumer among the producers"),
        };
        weight <= self.spare_weight().saturating_sub(held.1) && (slots == 0 || self.room() > held.0)
    }

    /// Whether nothing is held for `need` that a newcomer wants: the rule for a call's first poll.
    pub(crate) fn newcomer_fits(&self, need: Need) -> bool {
        self.fits(need, self.held())
    }

    fn overtook(&mut self) {
        if !self.pushing.is_empty() {
            self.overtakes += 1;
        }
    }

    fn enter(&mut self, id: u32, weight: usize) {
        self.items.push_back((id, weight));
        self.count.pushed += 1;
        self.count.peak = self.count.peak.max(self.items.len());
    }

    pub(crate) fn refuse(&mut self, refusal: Refusal) -> Offer {
        self.count.refused += 1;
        Offer::Refused(refusal)
    }

    fn drop_newest(&mut self, id: u32) -> Offer {
        self.count.pushed += 1;
        self.count.newest += 1;
        self.dropped.push((id, DropReason::Newest));
        Offer::In
    }

    fn evict(&mut self) {
        let (id, _) = self.items.pop_front().expect("something to evict");
        self.count.oldest += 1;
        self.dropped.push((id, DropReason::Oldest));
    }

    /// A push at its first poll, by `policy`.
    pub(crate) fn offer(&mut self, id: u32, weight: usize, policy: Overflow) -> Offer {
        if self.closed {
            return self.refuse(Refusal::Closed);
        }
        if weight > self.max_weight {
            return self.refuse(Refusal::TooHeavy);
        }
        let need = Need::Room(weight);
        if self.newcomer_fits(need) {
            self.overtook();
            self.enter(id, weight);
            return Offer::In;
        }
        match policy {
            Overflow::Wait => Offer::Wait,
            Overflow::Reject => self.refuse(Refusal::Full),
            Overflow::DropNewest => self.drop_newest(id),
            Overflow::DropOldest => {
                if self.is_choked() {
                    return self.refuse(Refusal::Full);
                }
                self.evict();
                while !self.fits(need, (0, 0)) {
                    self.evict();
                }
                self.enter(id, weight);
                Offer::In
            }
            other => unreachable!("{other:?}"),
        }
    }

    /// Nothing can be taken out that would make room.
    pub(crate) fn is_choked(&self) -> bool {
        self.reserved >= self.capacity || self.items.is_empty() && self.room() <= self.held().0
    }

    /// `force_push`: the oldest comes back where there is no room.
    pub(crate) fn force(&mut self, id: u32, weight: usize) -> Result<Option<u32>, Refusal> {
        let refusal = if self.closed {
            Refusal::Closed
        } else if weight > self.max_weight {
            Refusal::TooHeavy
        } else if self.newcomer_fits(Need::Room(weight)) {
            self.overtook();
            self.enter(id, weight);
            return Ok(None);
        } else if self.reserved >= self.capacity || self.items.is_empty() {
            Refusal::Full
        } else {
            let (oldest, _) = self.items.pop_front().expect("not empty");
            self.count.pulled += 1;
            while !self.fits(Need::Room(weight), (0, 0)) {
                self.evict();
            }
            self.enter(id, weight);
            return Ok(Some(oldest));
        };
        self.refuse(refusal);
        Err(refusal)
    }

    pub(crate) fn reserve(&mut self, waits: bool) -> Offer {
        if self.closed {
            self.refuse(Refusal::Closed)
        } else if self.newcomer_fits(Need::Room(0)) {
            self.overtook();
            self.reserved += 1;
            Offer::In
        } else if waits {
            Offer::Wait
        } else {
            self.refuse(Refusal::Full)
        }
    }

    pub(crate) fn release(&mut self) {
        if !self.revoked {
            self.reserved -= 1;
        }
    }

    fn enter_reserved(&mut self, id: u32, weight: usize) {
        self.release();
        self.enter(id, weight);
    }

    /// `Permit::push`.
    pub(crate) fn redeem(&mut self, id: u32, weight: usize) -> Offer {
        if self.revoked {
            return self.refuse(Refusal::Closed);
        }
        if weight > self.max_weight {
            self.release();
            return self.refuse(Refusal::TooHeavy);
        }
        if self.newcomer_fits(Need::Weight(weight)) {
            if self.weighted && weight > 0 {
                self.overtook();
            }
        } else if self.policy == Overflow::DropNewest {
            self.release();
            return self.drop_newest(id);
        } else if self.policy != Overflow::DropOldest {
            self.release();
            return self.refuse(Refusal::Full);
        }
        if self.policy == Overflow::DropOldest {
            while self.items.len() >= self.capacity || !self.fits(Need::Weight(weight), (0, 0)) {
                self.evict();
            }
        }
        self.enter_reserved(id, weight);
        Offer::In
    }

    /// A sink's item on its reserved slot, at the first poll.
    pub(crate) fn redeem_or_park(&mut self, id: u32, weight: usize) -> Offer {
        if self.revoked {
            return self.refuse(Refusal::Closed);
        }
        if weight > self.max_weight {
            self.release();
            return self.refuse(Refusal::TooHeavy);
        }
        if !self.newcomer_fits(Need::Weight(weight)) {
            return Offer::Wait;
        }
        if self.weighted && weight > 0 {
            self.overtook();
        }
        self.enter_reserved(id, weight);
        Offer::In
    }

    /// A waiting sink's item goes in.
    pub(crate) fn serve_parked(&mut self, ticket: Ticket, id: u32, weight: usize) {
        self.leave(ticket);
        self.parked -= 1;
        self.enter_reserved(id, weight);
    }

    pub(crate) fn serve_push(&mut self, ticket: Ticket, id: u32, weight: usize) {
        self.leave(ticket);
        self.enter(id, weight);
    }

    /// A waiting `push_many` moves on, and keeps its place where it is not done.
    pub(crate) fn serve_run(&mut self, ticket: Ticket, run: &[(u32, usize)]) {
        if self.pushing[0].ticket == ticket && !run.is_empty() {
            self.overtakes = 0;
        }
        for (id, weight) in run {
            self.enter(*id, *weight);
        }
    }

    /// As many as fit of a newcomer's run go in: one call, one overtaking.
    pub(crate) fn enter_run(&mut self, left: &mut VecDeque<(u32, usize)>) -> usize {
        if self.closed || !self.newcomer_fits(Need::Room(0)) {
            return 0;
        }
        let run = left.len().min(self.room() - self.held().0);
        self.overtook();
        for (id, weight) in left.drain(..run) {
            self.enter(id, weight);
        }
        run
    }

    pub(crate) fn wait(&mut self, ticket: Ticket, need: Need) {
        let waiter = Waiter { ticket, need };
        match need {
            Need::Room(_) | Need::Weight(_) => {
                self.pushing.push(waiter);
                self.count.producer_waits += 1;
            }
            Need::Item | Need::Run(_) => {
                self.pulling.push(waiter);
                self.count.consumer_waits += 1;
            }
        }
    }

    /// Gives up a place, if there is one.
    pub(crate) fn leave(&mut self, ticket: Ticket) {
        if self.pushing.first().is_some_and(|w| w.ticket == ticket) {
            self.overtakes = 0;
        }
        self.pushing.retain(|w| w.ticket != ticket);
        self.pulling.retain(|w| w.ticket != ticket);
    }

    pub(crate) fn place(&self, ticket: Ticket) -> Option<(usize, Need)> {
        let list = if self.pushing.iter().any(|w| w.ticket == ticket) {
            &self.pushing
        } else {
            &self.pulling
        };
        let at = list.iter().position(|w| w.ticket == ticket)?;
        Some((at, list[at].need))
    }

    /// Nothing but slots taken in turn: no sink's item that goes in past those who lack a slot.
    pub(crate) fn pushing_is_plain(&self) -> bool {
        self.pushing.iter().all(|w| matches!(w.need, Need::Room(_)))
    }

    pub(crate) fn pulling_is_plain(&self) -> bool {
        self.pulling.iter().all(|w| w.need == Need::Item)
    }

    /// How many of the waiting producers can go on, in order, if nobody overtakes them.
    pub(crate) fn entitled_producers(&self) -> usize {
        let (mut slots, mut weight) = (self.room(), self.spare_weight());
        self.pushing
            .iter()
            .take_while(|waiter| {
                let Need::Room(own) = waiter.need else {
                    return false;
                };
                if own > self.max_weight {
                    // It will be refused.
                    return true;
                }
                let fits = slots > 0 && own <= weight;
                if fits {
                    slots -= 1;
                    weight -= own;
                }
                fits
            })
            .count()
    }

    pub(crate) fn producer_verdict(&self, ticket: Ticket) -> Verdict {
        let (at, need) = self.place(ticket).expect("waits");
        if self.pushing_is_plain() {
            return if at < self.entitled_producers() {
                Verdict::Served
            } else {
                Verdict::Waits
            };
        }
        match self.fits(need, (0, 0)) {
            false => Verdict::Waits,
            true if self.pushing.len() == 1 => Verdict::Served,
            true => Verdict::Either,
        }
    }

    pub(crate) fn consumer_verdict(&self, ticket: Ticket) -> Verdict {
        let (at, _) = self.place(ticket).expect("waits");
        if self.pulling_is_plain() {
            return if at < self.items.len() {
                Verdict::Served
            } else {
                Verdict::Waits
            };
        }
        if self.items.is_empty() {
            Verdict::Waits
        } else {
            Verdict::Either
        }
    }

    /// What one consumer that waits may take: all but what belongs to those before it. `None` where that is open.
    pub(crate) fn share(&self, ticket: Ticket) -> Option<usize> {
        let (at, _) = self.place(ticket)?;
        (at == 0 || self.pulling_is_plain()).then(|| self.items.len() - at.min(self.items.len()))
    }

    pub(crate) fn take(&mut self, n: usize) -> Vec<u32> {
        self.count.pulled += n as u64;
        self.items.drain(..n).map(|(id, _)| id).collect()
    }

    pub(crate) fn revoke(&mut self) {
        self.closed = true;
        self.revoked = true;
        self.reserved = 0;
        self.parked = 0;
    }

    pub(crate) fn remove_producer(&mut self) {
        self.producers -= 1;
        self.closed |= self.producers == 0;
    }

    pub(crate) fn remove_consumer(&mut self) {
        self.consumers -= 1;
        if self.consumers == 0 {
            self.revoke();
            for (id, _) in std::mem::take(&mut self.items) {
                self.count.abandoned += 1;
                self.dropped.push((id, DropReason::Abandoned));
            }
        }
    }

    pub(crate) fn shrink(&mut self) {
        while self.policy == Overflow::DropOldest
            && !self.items.is_empty()
            && (self.items.len() + self.reserved > self.capacity || self.used() > self.max_weight)
        {
            self.evict();
        }
    }

    /// Whether a producer waits that has not been woken; `None` where that cannot be told from outside.
    pub(crate) fn producers_stuck(&self, rung: impl Fn(Ticket) -> bool) -> Option<bool> {
        if self.pushing.is_empty() {
            return Some(false);
        }
        let all_rung = self.pushing.iter().all(|w| rung(w.ticket));
        (!all_rung).then_some(true)
    }
}
