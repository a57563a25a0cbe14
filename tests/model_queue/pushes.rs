//! What a poll of a waiting push has to come to.

use std::collections::VecDeque;
use std::task::Poll;

use crate::oracle::{Need, Offer, Refusal, Ticket, Verdict};
use crate::world::World;

impl World<'_> {
    pub(crate) fn polled_push(
        &mut self,
        ticket: Ticket,
        (id, weight): (u32, usize),
        late: bool,
        got: Poll<Result<(), Refusal>>,
    ) -> bool {
        let oracle = &mut self.oracle;
        let refused = if oracle.closed {
            Some(Refusal::Closed)
        } else {
            (weight > oracle.max_weight).then_some(Refusal::TooHeavy)
        };
        let want = match (oracle.place(ticket), refused) {
            (None, _) => match oracle.offer(id, weight, oracle.policy) {
                Offer::In => Poll::Ready(Ok(())),
                Offer::Refused(refusal) => Poll::Ready(Err(refusal)),
                Offer::Wait => {
                    oracle.wait(ticket, Need::Room(weight));
                    Poll::Pending
                }
            },
            (Some(_), Some(refusal)) => {
                oracle.leave(ticket);
                oracle.refuse(refusal);
                Poll::Ready(Err(refusal))
            }
            (Some(_), None) => match oracle.producer_verdict(ticket) {
                Verdict::Served => Poll::Ready(Ok(())),
                Verdict::Either if got == Poll::Ready(Ok(())) => got,
                _ => Poll::Pending,
            },
        };
        let want = match want {
            Poll::Pending if late => {
                oracle.leave(ticket);
                oracle.refuse(Refusal::Timeout);
                Poll::Ready(Err(Refusal::Timeout))
            }
            Poll::Ready(Ok(())) if oracle.place(ticket).is_some() => {
                oracle.serve_push(ticket, id, weight);
                want
            }
            want => want,
        };
        assert_eq!(got, want);
        want.is_ready()
    }

    pub(crate) fn polled_many(
        &mut self,
        ticket: Ticket,
        left: &mut VecDeque<(u32, usize)>,
        moved: &mut usize,
        got: Poll<Result<usize, Refusal>>,
    ) -> bool {
        let before = *moved;
        let want = self.expect_many(ticket, left, moved);
        assert_eq!(got, want, "{} moved in this poll", *moved - before);
        want.is_ready()
    }

    fn expect_many(
        &mut self,
        ticket: Ticket,
        left: &mut VecDeque<(u32, usize)>,
        moved: &mut usize,
    ) -> Poll<Result<usize, Refusal>> {
        let runs = self.moves_runs();
        let policy = self.oracle.policy;
        let pushed = self.stats().pushed;
        let oracle = &mut self.oracle;
        if let (Some((place, _)), Some(front)) = (oracle.place(ticket), left.front().copied()) {
            if oracle.closed || front.1 > oracle.max_weight {
                let refusal = if oracle.closed {
                    Refusal::Closed
                } else {
                    Refusal::TooHeavy
                };
                oracle.leave(ticket);
                oracle.refuse(refusal);
                return Poll::Ready(Err(refusal));
            }
            let served = match oracle.producer_verdict(ticket) {
                Verdict::Served => true,
                Verdict::Waits => false,
                Verdict::Either => pushed > oracle.count.pushed,
            };
            if !served {
                return Poll::Pending;
            }
            if runs {
                let run = left.len().min(oracle.room() - place);
                let run: Vec<_> = left.drain(..run).collect();
                oracle.serve_run(ticket, &run);
                *moved += run.len();
                if left.is_empty() {
                    oracle.leave(ticket);
                    return Poll::Ready(Ok(*moved));
                }
                return Poll::Pending;
            }
            left.pop_front();
            oracle.serve_push(ticket, front.0, front.1);
            *moved += 1;
        }
        while let Some((id, weight)) = left.front().copied() {
            let refused = oracle.count.refused;
            if runs {
                let run = oracle.enter_run(left);
                *moved += run;
                if run > 0 {
                    continue;
                }
            }
            match oracle.offer(id, weight, policy) {
                Offer::In => {
                    *moved += 1;
                    left.pop_front();
                }
                Offer::Wait => {
                    oracle.wait(ticket, Need::Room(weight));
                    return Poll::Pending;
                }
                Offer::Refused(Refusal::Full) if *moved > 0 => {
                    oracle.count.refused = refused;
                    break;
                }
                Offer::Refused(refusal) => return Poll::Ready(Err(refusal)),
            }
        }
        Poll::Ready(Ok(*moved))
    }
}
