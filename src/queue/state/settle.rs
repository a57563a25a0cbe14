//! Whom to wake.

use super::State;
use super::room::PASSED_BY;
use crate::queue::waiters::{Need, Verdict};
use crate::sync::planted;
use crate::wake::WakeList;

impl<T> State<T> {
    /// Wakes whoever can go on after a change, as far as `wakes` has room, and answers how many more there are.
    ///
    /// An item or a slot wakes at most one waiter: those woken before lay claim to what they were woken for until they
    /// act or leave.
    pub(in crate::queue) fn settle(&mut self, wakes: &mut WakeList) -> usize {
        let mut beyond = 0;
        if self.pushing.sleeping() > 0 {
            beyond += self.wake_producers(wakes);
        }
        if self.pulling.sleeping() > 0 {
            beyond += self.wake_consumers(wakes);
        }
        self.starving &= beyond > 0;
        if self.closed && self.watching.sleeping() > 0 {
            let finished = self.is_finished();
            beyond += self.watching.wake(wakes, |need| match need {
                Need::Drained if !finished || planted("drained_silent") => Verdict::Skip,
                _ => Verdict::Wake,
            });
        }
        beyond
    }

    fn wake_producers(&mut self, wakes: &mut WakeList) -> usize {
        let claims = self.pushing.claims();
        let mut slots = self.room().saturating_sub(claims.units);
        let mut weight = self.spare_weight().checked_sub(claims.weight);
        let (closed, revoked, max) = (self.closed, self.revoked, self.max_weight);
        if slots > 1 && planted("bulk_pull_silent") {
            return 0;
        }
        // One who has been woken, and fills the room that there is, wakes the next. The others may sleep as long as that
        // one can be expected to come: until a consumer is left with nothing, or newcomers pass it by again and again.
        let starved = self.ring.len() == 0 && self.pulling.sleeping() > 0;
        let every = starved
            || self.starving
            || self.rebound
            || self.ring.is_weighted()
            || self.overtakes >= PASSED_BY;
        if !every {
            slots = slots.min(usize::from(claims.units == 0));
        }
        if slots == 0 && self.parked == 0 && !closed && !self.ring.is_weighted() {
            return 0;
        }
        if closed && planted("close_forgets_producers") {
            return 0;
        }
        // `None`: somebody who was woken was overtaken since, and will block those behind.
        let mut take = |own: usize| {
            weight = weight.and_then(|weight| weight.checked_sub(own));
            weight.is_some()
        };
        // After a new bound all are looked at, for some may have become too heavy behind one that waits for weight.
        let stop = if self.rebound {
            Verdict::Skip
        } else {
            Verdict::Stop
        };
        // Without a slot nobody behind can go on but a sink that holds one.
        let full = if self.parked > 0 || self.rebound {
            Verdict::Skip
        } else {
            Verdict::Stop
        };
        let beyond = self.pushing.wake(wakes, |need| match need {
            _ if revoked => Verdict::Dismiss,
            _ if need.weight() > max => Verdict::Nudge,
            Need::Weight { weight: own } if take(own) => Verdict::Wake,
            Need::Weight { .. } if closed => Verdict::Skip,
            Need::Weight { .. } => stop,
            _ if closed => Verdict::Dismiss,
            _ if slots == 0 => full,
            _ if take(need.weight()) => {
                slots -= 1;
                Verdict::Wake
            }
            _ => stop,
        });
        self.rebound &= beyond > 0;
        beyond
    }

    fn wake_consumers(&mut self, wakes: &mut WakeList) -> usize {
        let finished = self.is_finished();
        if finished {
            if planted("close_forgets_consumers") {
                return 0;
            }
            return self.pulling.wake(wakes, |_| Verdict::Wake);
        }
        let mut items = self.ring.len().saturating_sub(self.pulling.claims().units);
        let useless = self.closed || self.pushing.sleeping() > 0;
        if planted("wake_two_short") {
            items = items.saturating_sub(1);
        }
        self.pulling.wake(wakes, |need| match need {
            _ if items == 0 => Verdict::Stop,
            Need::Run { items: run } if run > items && !useless => Verdict::Skip,
            _ => {
                items = items.saturating_sub(need.units());
                Verdict::Wake
            }
        })
    }
}
