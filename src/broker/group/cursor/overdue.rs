//! Deliveries that are due for an answer, and those that get more time.

use std::cmp::Reverse;

use tokio::time::Instant;

use super::super::Settle;
use super::runs::Span;
use super::{Cursor, Slot, State};

impl Cursor {
    /// The delivery is in work: it is overdue only after `deadline`. One that is overdue and not on its way again is taken back.
    pub(crate) fn extend(&mut self, offset: u64, deadline: Option<Instant>) -> Settle {
        if offset < self.low {
            return Settle::Late;
        }
        let Some(&Slot {
            attempts,
            state,
            mine,
        }) = self.slot(offset)
        else {
            return Settle::Unknown;
        };
        match state {
            _ if attempts == 0 => return Settle::Unknown,
            State::Out => {
                if let Some(deadline) = deadline {
                    self.extended.insert(offset, (attempts, deadline));
                }
            }
            State::Waiting | State::Behind if mine => {
                if let Some(slot) = self.slot_mut(offset) {
                    slot.state = State::Out;
                }
                self.out += 1;
                self.redeliveries.retain(|Reverse(it)| it.offset != offset);
                if state == State::Waiting {
                    self.no_longer_waiting(1);
                }
                if let Some(deadline) = deadline {
                    let span = Span {
                        from: offset,
                        to: offset + 1,
                        attempt: attempts,
                    };
                    self.deadlines.push(deadline, span);
                }
            }
            _ => return Settle::Late,
        }
        Settle::Done { moved: None }
    }

    /// Deliveries that were due for an answer by now fail: `failed` is told the offset, and the attempts where they were
    /// the last.
    pub(crate) fn overdue(
        &mut self,
        now: Instant,
        max_attempts: Option<u32>,
        mut failed: impl FnMut(u64, Option<u32>),
    ) {
        while let Some((deadline, span)) = self.deadlines.first_run() {
            if deadline > now {
                // Nobody needs to wake up for a run that has been answered.
                if self.first_out(span).is_some() {
                    return;
                }
                self.deadlines.pop();
                continue;
            }
            self.deadlines.pop();
            for offset in span.from.max(self.low)..span.to.min(self.next()) {
                if !self.is_out(offset, span.attempt) {
                    continue;
                }
                match self.extended.remove(&offset) {
                    Some((attempts, later)) if attempts == span.attempt && later > now => {
                        let span = Span {
                            from: offset,
                            to: offset + 1,
                            attempt: attempts,
                        };
                        self.deadlines.push(later, span);
                    }
                    _ => failed(offset, self.fail(offset, now, max_attempts)),
                }
            }
        }
    }

    pub(super) fn is_out(&self, offset: u64, attempts: u32) -> bool {
        self.slot(offset)
            .is_some_and(|slot| slot.state == State::Out && slot.attempts == attempts)
    }

    /// The first delivery of these that is still out.
    pub(super) fn first_out(&self, span: Span) -> Option<u64> {
        (span.from.max(self.low)..span.to.min(self.next()))
            .find(|&offset| self.is_out(offset, span.attempt))
    }
}
