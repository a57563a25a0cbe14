//! What a poll of a waiting pull has to come to, and of a reservation, which sinks share.

use std::task::Poll;

use pushpull::queue::{Drained, Overflow, PullError};

use crate::oracle::{Need, Offer, Oracle, Refusal, Ticket, Verdict};
use crate::world::{Item, World};

/// A slot asked for at a first poll or by a waiter.
pub(crate) fn expect_reserve(
    oracle: &mut Oracle,
    ticket: Ticket,
    got: Poll<Result<(), Refusal>>,
) -> Poll<Result<(), Refusal>> {
    if oracle.place(ticket).is_none() {
        return match oracle.reserve(oracle.policy != Overflow::Reject) {
            Offer::In => Poll::Ready(Ok(())),
            Offer::Refused(refusal) => Poll::Ready(Err(refusal)),
            Offer::Wait => {
                oracle.wait(ticket, Need::Room(0));
                Poll::Pending
            }
        };
    }
    if oracle.closed {
        oracle.leave(ticket);
        oracle.refuse(Refusal::Closed);
        return Poll::Ready(Err(Refusal::Closed));
    }
    match oracle.producer_verdict(ticket) {
        Verdict::Waits => return Poll::Pending,
        Verdict::Either if got.is_pending() => return Poll::Pending,
        _ => {}
    }
    oracle.leave(ticket);
    oracle.reserved += 1;
    Poll::Ready(Ok(()))
}

impl World<'_> {
    pub(crate) fn polled_pull(
        &mut self,
        ticket: Ticket,
        late: bool,
        got: Poll<Result<u32, PullError>>,
    ) -> bool {
        let oracle = &mut self.oracle;
        let served = match oracle.place(ticket) {
            None => !oracle.items.is_empty(),
            Some(_) if oracle.finished() => false,
            Some(_) => match oracle.consumer_verdict(ticket) {
                Verdict::Served => true,
                Verdict::Waits => false,
                Verdict::Either => matches!(got, Poll::Ready(Ok(_))),
            },
        };
        let want = if served {
            Poll::Ready(Ok(oracle.take(1)[0]))
        } else if oracle.finished() {
            Poll::Ready(Err(PullError::Closed))
        } else {
            if oracle.place(ticket).is_none() {
                oracle.wait(ticket, Need::Item);
            }
            match late {
                true => Poll::Ready(Err(PullError::Timeout)),
                false => Poll::Pending,
            }
        };
        if want.is_ready() {
            oracle.leave(ticket);
        }
        assert_eq!(got, want);
        want.is_ready()
    }

    pub(crate) fn polled_run(&mut self, ticket: Ticket, limit: usize, got: Poll<Vec<u32>>) -> bool {
        let oracle = &mut self.oracle;
        let len = oracle.items.len();
        let share = match oracle.place(ticket) {
            None => len,
            Some(_) => match (oracle.consumer_verdict(ticket), oracle.share(ticket)) {
                (Verdict::Waits, _) => 0,
                (Verdict::Served, Some(share)) => share,
                _ => match &got {
                    Poll::Ready(ids) => {
                        assert!(ids.len() <= limit.min(len));
                        ids.len()
                    }
                    Poll::Pending => 0,
                },
            },
        };
        let want = if share > 0 {
            Poll::Ready(oracle.take(share.min(limit)))
        } else if oracle.finished() {
            Poll::Ready(Vec::new())
        } else {
            if oracle.place(ticket).is_none() {
                oracle.wait(ticket, Need::Item);
            }
            Poll::Pending
        };
        if want.is_ready() {
            oracle.leave(ticket);
        }
        assert_eq!(got, want);
        want.is_ready()
    }

    pub(crate) fn polled_batch(
        &mut self,
        ticket: Ticket,
        max: usize,
        late: bool,
        got: Poll<Option<Vec<u32>>>,
    ) -> bool {
        let stuck = self.oracle.producers_stuck(|ticket| self.rung(ticket));
        let waits = self.stats().consumer_waits;
        let oracle = &mut self.oracle;
        let len = oracle.items.len();
        let all = len.min(max);
        let took = match &got {
            Poll::Ready(Some(ids)) => ids.len(),
            _ => 0,
        };
        let mut take = None;
        if oracle.place(ticket).is_none() {
            let enough = len >= max || len > 0 && (oracle.closed || stuck == Some(true));
            let open = len > 0 && stuck.is_none();
            let waited = waits > oracle.count.consumer_waits;
            if enough || open && !waited {
                take = Some(all);
            } else if !oracle.finished() {
                oracle.wait(ticket, Need::Run(max));
            }
        } else if took > 0 && !late {
            assert!(
                len >= max || oracle.closed || stuck != Some(false),
                "{took} of {len}, too early for a batch of {max}"
            );
            let share = oracle.share(ticket).map(|share| share.min(max));
            take = Some(share.unwrap_or_else(|| took.min(all)));
        }
        let want = match take {
            Some(take) => Poll::Ready(Some(oracle.take(take))),
            None if oracle.finished() => Poll::Ready(None),
            // Also what waiters before it have been woken for, if it asks once more in its turn.
            None if late => Poll::Ready(Some(oracle.take(if took > 0 {
                took.min(all)
            } else {
                all
            }))),
            None => Poll::Pending,
        };
        if want.is_ready() {
            oracle.leave(ticket);
        }
        assert_eq!(got, want);
        want.is_ready()
    }

    pub(crate) fn polled_drain(
        &mut self,
        before: &mut Option<u64>,
        late: bool,
        got: Poll<Drained<Item>>,
    ) -> bool {
        let oracle = &mut self.oracle;
        oracle.closed = true;
        let before = *before.get_or_insert(oracle.count.pulled);
        let finished = oracle.finished();
        if !finished && !late {
            assert!(got.is_pending());
            return false;
        }
        let Poll::Ready(got) = got else {
            panic!("the time is over, or nothing is left");
        };
        assert_eq!(got.pulled as u64, oracle.count.pulled - before);
        assert_eq!(got.timed_out, !finished);
        let left = oracle.take(oracle.items.len());
        assert!(got.left.iter().map(|item| item.id).eq(left));
        true
    }
}
