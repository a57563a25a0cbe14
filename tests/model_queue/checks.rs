//! What has to hold after every step: who has been woken, and what is counted.

use pushpull::queue::{Overflow, QueueStats};

use crate::oracle::{Need, Oracle, Ticket};

impl Oracle {
    /// guarantee: T4 and Q7. `rung` says who has a wake that was not consumed, `ringing` who got one in this step.
    pub(crate) fn check_wakes(
        &self,
        rung: impl Fn(Ticket) -> bool,
        ringing: impl Fn(Ticket) -> bool,
    ) {
        // What somebody was woken for may be gone again when a call is over that evicts more than once.
        let evicts = self.policy == Overflow::DropOldest;
        let entitled = self.entitled_producers();
        let anyone = self.pushing.iter().any(|w| rung(w.ticket));
        // Where the other side has been woken, the last to come may have rung for itself, to look again behind it.
        let come = self.pulling.iter().any(|w| rung(w.ticket));
        // One that was woken wakes the next when it has acted. Consumers that are left with nothing have all of them
        // woken, when the last of them goes to sleep.
        let starved = self.items.is_empty() && !self.pulling.is_empty() && !come;
        for (at, waiter) in self.pushing.iter().enumerate() {
            let (needed, allowed) = match waiter.need {
                Need::Room(weight) if self.closed || weight > self.max_weight => (true, true),
                Need::Weight(weight) if self.revoked || weight > self.max_weight => (true, true),
                _ if self.pushing_is_plain() => {
                    let looks = come && at + 1 == self.pushing.len();
                    let needed = at < entitled && (starved || !anyone);
                    (needed, at < entitled || evicts || looks)
                }
                need => (at == 0 && !anyone && self.fits(need, (0, 0)), true),
            };
            assert!(
                !needed || rung(waiter.ticket),
                "{waiter:?} sleeps beside room"
            );
            assert!(
                allowed || !ringing(waiter.ticket),
                "{waiter:?} woken for nothing"
            );
        }
        let come = anyone;
        let anyone = self.pulling.iter().any(|w| rung(w.ticket));
        let stuck = self.producers_stuck(&rung) == Some(true);
        for (at, waiter) in self.pulling.iter().enumerate() {
            let (needed, allowed) = match waiter.need {
                _ if self.finished() => (true, true),
                Need::Item if self.pulling_is_plain() => {
                    let served = at < self.items.len();
                    (served, served || evicts)
                }
                Need::Run(run) => {
                    let met =
                        self.items.len() >= run || !self.items.is_empty() && (self.closed || stuck);
                    (met && !anyone, !self.items.is_empty() || self.closed)
                }
                _ => (!self.items.is_empty() && !anyone, !self.items.is_empty()),
            };
            assert!(
                !needed || rung(waiter.ticket),
                "{waiter:?} sleeps beside items"
            );
            let looks = come && at + 1 == self.pulling.len();
            assert!(
                allowed || looks || !ringing(waiter.ticket),
                "{waiter:?} woken for nothing"
            );
        }
    }

    /// guarantee: Q1, Q3
    pub(crate) fn check_stats(&self, stats: &QueueStats) {
        let count = &self.count;
        assert_eq!(
            stats.pushed,
            stats.pulled + stats.dropped + stats.len as u64
        );
        assert_eq!(stats.pushed, count.pushed, "pushed");
        assert_eq!(stats.pulled, count.pulled, "pulled");
        assert_eq!(stats.dropped_newest, count.newest, "dropped_newest");
        assert_eq!(stats.dropped_oldest, count.oldest, "dropped_oldest");
        assert_eq!(stats.abandoned, count.abandoned, "abandoned");
        assert_eq!(stats.dropped, count.newest + count.oldest + count.abandoned);
        assert_eq!(stats.refused, count.refused, "refused");
        assert_eq!(stats.cancelled, count.cancelled, "cancelled");
        assert_eq!(stats.len, self.items.len(), "len");
        assert_eq!(stats.weight, self.used(), "weight");
        assert_eq!(stats.capacity, self.capacity, "capacity");
        assert_eq!(stats.peak_len, count.peak, "peak_len");
        assert_eq!(stats.reserved, self.reserved, "reserved");
        assert_eq!(stats.parked, self.parked, "parked");
        assert_eq!(stats.producers, self.producers, "producers");
        assert_eq!(stats.consumers, self.consumers, "consumers");
        assert_eq!(
            stats.waiting_producers,
            self.pushing.len(),
            "waiting_producers"
        );
        assert_eq!(
            stats.waiting_consumers,
            self.pulling.len(),
            "waiting_consumers"
        );
        assert_eq!(stats.producer_waits, count.producer_waits, "producer_waits");
        assert_eq!(stats.consumer_waits, count.consumer_waits, "consumer_waits");
        if self.policy == Overflow::DropOldest {
            assert!(stats.len <= stats.capacity && stats.weight <= self.max_weight);
        }
    }
}
