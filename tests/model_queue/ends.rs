//! The two ends that keep a place between polls: the producer as a `Sink`, the consumer as a `Stream`.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures::{Sink, Stream};
use pushpull::queue::{Consumer, DropReason, Overflow, Producer, PushError};

use crate::oracle::{Need, Offer, Oracle, Refusal, Ticket, Verdict};
use crate::pulls::expect_reserve;
use crate::world::{Item, World, pick, refusal_of};

#[derive(Clone, Copy, Debug)]
pub(crate) enum SinkAct {
    Ready,
    Send(usize),
    Flush,
    Close,
    Drop,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum StreamAct {
    Next,
    Many(usize),
    Drop,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    Idle,
    Ready,
    Reserved,
    Parked(u32, usize),
}

#[derive(Debug)]
pub(crate) struct SinkEnd {
    pub(crate) tx: Producer<Item>,
    pub(crate) ticket: Ticket,
    phase: Phase,
    closed: bool,
    unflushed: bool,
    /// It has flushed, and is to be told when the queue closes.
    watches: bool,
}

#[derive(Debug)]
pub(crate) struct StreamEnd {
    pub(crate) rx: Consumer<Item>,
    pub(crate) ticket: Ticket,
}

type Answer = Poll<Result<(), Refusal>>;

impl SinkEnd {
    pub(crate) const fn new(tx: Producer<Item>, ticket: Ticket) -> Self {
        Self {
            tx,
            ticket,
            phase: Phase::Idle,
            closed: false,
            unflushed: false,
            watches: false,
        }
    }

    pub(crate) fn holds(&self) -> usize {
        usize::from(matches!(self.phase, Phase::Parked(..)))
    }

    /// Guarantee T4 for one that only waits for the end.
    pub(crate) fn must_wake(&self, oracle: &Oracle) -> bool {
        self.watches && oracle.closed && !self.closed
    }

    pub(crate) fn holds_slot(&self) -> bool {
        matches!(self.phase, Phase::Parked(..) | Phase::Reserved)
    }
}

impl World<'_> {
    pub(crate) fn act_sink(&mut self, at: u8, act: SinkAct) {
        let Some(at) = pick(&self.sinks, at) else {
            return;
        };
        match act {
            SinkAct::Ready => self.ready(at),
            SinkAct::Send(weight) => self.send(at, weight),
            SinkAct::Flush => self.flush(at),
            SinkAct::Close => self.close_sink(at),
            SinkAct::Drop => self.drop_sink(at),
        }
    }

    /// What the task of a sink does when it is woken.
    pub(crate) fn poll_sink(&mut self, at: usize) {
        match self.sinks[at].phase {
            Phase::Parked(..) => self.flush(at),
            _ => self.ready(at),
        }
    }

    fn poll_real(
        &mut self,
        at: usize,
        poll: impl FnOnce(Pin<&mut Producer<Item>>, &mut Context<'_>) -> Poll<Result<(), PushError<()>>>,
    ) -> Answer {
        self.sinks[at].watches = false;
        let waker = self.waker(self.sinks[at].ticket, false);
        let mut cx = Context::from_waker(&waker);
        poll(Pin::new(&mut self.sinks[at].tx), &mut cx).map_err(|error| refusal_of(&error))
    }

    fn ready(&mut self, at: usize) {
        let got = self.poll_real(at, |tx, cx| tx.poll_ready(cx));
        let want = self.expect_ready(at, got);
        assert_eq!(got, want);
    }

    fn expect_ready(&mut self, at: usize, got: Answer) -> Answer {
        if self.sinks[at].closed {
            self.oracle.refuse(Refusal::Closed);
            return Poll::Ready(Err(Refusal::Closed));
        }
        match self.expect_unpark(at) {
            Poll::Ready(Ok(())) => {}
            other => return other,
        }
        let sink = &mut self.sinks[at];
        let oracle = &mut self.oracle;
        if matches!(oracle.policy, Overflow::DropNewest | Overflow::DropOldest) {
            if oracle.closed {
                oracle.refuse(Refusal::Closed);
                return Poll::Ready(Err(Refusal::Closed));
            }
            sink.phase = Phase::Ready;
            return Poll::Ready(Ok(()));
        }
        if sink.phase == Phase::Reserved {
            return Poll::Ready(Ok(()));
        }
        let want = expect_reserve(oracle, sink.ticket, got);
        if want == Poll::Ready(Ok(())) {
            sink.phase = Phase::Reserved;
        }
        want
    }

    /// What is parked goes in, or is refused, or waits.
    fn expect_unpark(&mut self, at: usize) -> Answer {
        let parked = self.stats().parked;
        let sink = &mut self.sinks[at];
        let oracle = &mut self.oracle;
        let Phase::Parked(id, weight) = sink.phase else {
            return Poll::Ready(Ok(()));
        };
        if oracle.revoked || weight > oracle.max_weight {
            oracle.leave(sink.ticket);
            sink.phase = Phase::Idle;
            let (refusal, reason) = if oracle.revoked {
                (Refusal::Closed, DropReason::Closed)
            } else {
                oracle.parked -= 1;
                oracle.release();
                (Refusal::TooHeavy, DropReason::Newest)
            };
            oracle.refuse(refusal);
            oracle.dropped.push((id, reason));
            return Poll::Ready(Err(refusal));
        }
        if oracle.place(sink.ticket).is_none() {
            match oracle.redeem_or_park(id, weight) {
                Offer::In => oracle.parked -= 1,
                _ => {
                    oracle.wait(sink.ticket, Need::Weight(weight));
                    return Poll::Pending;
                }
            }
        } else {
            match oracle.producer_verdict(sink.ticket) {
                Verdict::Waits => return Poll::Pending,
                Verdict::Either if parked == oracle.parked => return Poll::Pending,
                _ => oracle.serve_parked(sink.ticket, id, weight),
            }
        }
        sink.phase = Phase::Idle;
        Poll::Ready(Ok(()))
    }

    fn send(&mut self, at: usize, weight: usize) {
        let phase = self.sinks[at].phase;
        if !matches!(phase, Phase::Ready | Phase::Reserved) {
            return;
        }
        let item = self.item(weight);
        let (id, weight) = (item.id, self.weight(&item));
        let got = Pin::new(&mut self.sinks[at].tx).start_send(item);
        let got = got.map_err(|error| refusal_of(&error));
        let sink = &mut self.sinks[at];
        let oracle = &mut self.oracle;
        sink.unflushed = true;
        let offer = if phase == Phase::Reserved {
            oracle.redeem_or_park(id, weight)
        } else {
            let choked = !oracle.newcomer_fits(Need::Room(weight)) && oracle.is_choked();
            let policy = if choked {
                Overflow::DropNewest
            } else {
                oracle.policy
            };
            oracle.offer(id, weight, policy)
        };
        sink.phase = Phase::Idle;
        let want = match offer {
            Offer::In => Ok(()),
            Offer::Wait => {
                oracle.parked += 1;
                sink.phase = Phase::Parked(id, weight);
                Ok(())
            }
            Offer::Refused(refusal) => {
                let reason = match refusal {
                    Refusal::Closed => DropReason::Closed,
                    _ => DropReason::Newest,
                };
                oracle.dropped.push((id, reason));
                Err(refusal)
            }
        };
        assert_eq!(got, want);
    }

    fn flush(&mut self, at: usize) {
        // It does not ask for the slot that the handle may wait for, and does not hear of it.
        let ticket = self.sinks[at].ticket;
        let waits = self.oracle.place(ticket).is_some() && self.sinks[at].holds() == 0;
        let rung = self.rung(ticket);
        let got = self.poll_real(at, |tx, cx| tx.poll_flush(cx));
        if waits && rung {
            self.unhear(ticket);
        }
        let mut want = self.expect_unpark(at);
        let closed = self.oracle.closed;
        let sink = &mut self.sinks[at];
        if want == Poll::Ready(Ok(())) && !sink.closed {
            let flushed = std::mem::take(&mut sink.unflushed);
            sink.watches = flushed || !closed;
            if !sink.watches {
                want = Poll::Ready(Err(Refusal::Closed));
            }
        }
        assert_eq!(got, want);
    }

    fn close_sink(&mut self, at: usize) {
        let got = self.poll_real(at, |tx, cx| tx.poll_close(cx));
        if self.sinks[at].closed {
            return assert_eq!(got, Poll::Ready(Ok(())));
        }
        let want = self.expect_unpark(at);
        assert_eq!(got, want);
        if want.is_ready() {
            self.let_go(at);
            self.sinks[at].closed = true;
            self.oracle.remove_producer();
        }
    }

    fn let_go(&mut self, at: usize) {
        let sink = &mut self.sinks[at];
        let oracle = &mut self.oracle;
        oracle.leave(sink.ticket);
        match std::mem::replace(&mut sink.phase, Phase::Idle) {
            Phase::Idle | Phase::Ready => {}
            Phase::Reserved => oracle.release(),
            Phase::Parked(id, _) if oracle.revoked => {
                oracle.refuse(Refusal::Closed);
                oracle.dropped.push((id, DropReason::Closed));
            }
            Phase::Parked(id, _) => {
                oracle.parked -= 1;
                oracle.release();
                oracle.count.cancelled += 1;
                oracle.dropped.push((id, DropReason::Cancelled));
            }
        }
    }

    pub(crate) fn drop_sink(&mut self, at: usize) {
        self.let_go(at);
        let sink = self.sinks.remove(at);
        drop(sink.tx);
        if !sink.closed {
            self.oracle.remove_producer();
        }
    }

    pub(crate) fn act_stream(&mut self, at: u8, act: StreamAct) {
        let Some(at) = pick(&self.streams, at) else {
            return;
        };
        match act {
            StreamAct::Next => self.poll_stream(at, None),
            StreamAct::Many(limit) => self.poll_stream(at, Some(limit)),
            StreamAct::Drop => self.drop_stream(at),
        }
    }

    pub(crate) fn poll_stream(&mut self, at: usize, limit: Option<usize>) {
        let ticket = self.streams[at].ticket;
        let waker = self.waker(ticket, false);
        let mut cx = Context::from_waker(&waker);
        let rx = &mut self.streams[at].rx;
        match limit {
            None => {
                let got = Pin::new(rx).poll_next(&mut cx);
                let got = got.map(|next| {
                    next.map(|item| item.id)
                        .ok_or(pushpull::queue::PullError::Closed)
                });
                self.polled_pull(ticket, false, got);
            }
            Some(limit) => {
                let mut out = Vec::new();
                let got = rx.poll_pull_many(&mut cx, &mut out, limit);
                let got = got.map(|_| out.iter().map(|item| item.id).collect());
                self.polled_run(ticket, limit, got);
            }
        }
    }

    pub(crate) fn drop_stream(&mut self, at: usize) {
        let stream = self.streams.remove(at);
        self.oracle.leave(stream.ticket);
        drop(stream.rx);
        self.oracle.remove_consumer();
    }
}
