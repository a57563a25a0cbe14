//! One partition as a group ought to see it, written down plainly.

use super::*;

/// What became of a record that was delivered, or that retention removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Out(Option<Instant>),
    Waits(Instant),
    Acked,
    GivenUp,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) attempts: u32,
    pub(super) fate: Fate,
    /// Delivered under this assignment, and not said to have failed.
    pub(super) mine: bool,
}

/// All that is known of a partition.
#[derive(Debug, Default)]
pub(super) struct Book {
    pub(super) owner: Option<MemberId>,
    pub(super) generation: u64,
    pub(super) since: u64,
    pub(super) paused: bool,
    pub(super) begun: bool,
    /// Where reading began.
    base: u64,
    pub(super) next: u64,
    /// Where it was before a seek that nothing was committed after.
    home: Option<u64>,
    pub(super) committed: Option<u64>,
    /// As it was when effects were drained.
    pub(super) committed_told: Option<u64>,
    pub(super) known: BTreeMap<u64, Known>,
    pub(super) full_told: bool,
    /// For the final account.
    pub(super) delivered: BTreeSet<u64>,
    pub(super) lost: BTreeSet<u64>,
    pub(super) skipped: BTreeSet<u64>,
}

impl Book {
    pub(super) fn begin(&mut self, at: u64, committed: Option<u64>) {
        if self.begun {
            return;
        }
        self.begun = true;
        (self.base, self.next) = (at, at);
        (self.committed, self.committed_told) = (committed, committed);
        self.skipped.extend(0..at);
    }

    /// The first offset that is neither acknowledged nor lost.
    pub(super) fn low(&self) -> u64 {
        let settled = |offset: &u64| {
            self.known
                .get(offset)
                .is_some_and(|it| it.fate == Fate::Acked)
        };
        (self.base..).find(|offset| !settled(offset)).unwrap()
    }

    pub(super) fn out(&self) -> usize {
        let out = |it: &&Known| matches!(it.fate, Fate::Out(_));
        self.known.values().filter(out).count()
    }

    /// Whether an earlier record of the same key is not acknowledged.
    pub(super) fn is_behind(&self, offset: u64, key: impl Fn(u64) -> u64) -> bool {
        let open = |it: &u64| self.known.get(it).is_none_or(|it| it.fate != Fate::Acked);
        (self.low()..offset).any(|it| key(it) == key(offset) && open(&it))
    }

    /// Whether answers under this assignment count.
    fn holds(&self, member: MemberId, generation: u64) -> bool {
        self.begun && self.owner == Some(member) && self.generation == generation
    }

    fn commit(&mut self, at: u64) {
        if self.committed != Some(at) {
            self.home = None;
        }
        self.committed = Some(at);
    }

    /// After something was acknowledged.
    fn settle(&mut self, before: u64) -> Settle {
        let low = self.low();
        if low == before {
            return Settle::Done { moved: None };
        }
        self.full_told = false;
        self.commit(low);
        Settle::Done { moved: Some(low) }
    }

    pub(super) fn ack(&mut self, member: MemberId, offset: u64, generation: u64) -> Settle {
        if !self.holds(member, generation) {
            return Settle::Fenced;
        }
        let low = self.low();
        let Some(known) = self.known.get_mut(&offset).filter(|_| offset >= low) else {
            return if offset < low {
                Settle::Late
            } else {
                Settle::Unknown
            };
        };
        if known.fate == Fate::Acked {
            return Settle::Late;
        }
        known.fate = Fate::Acked;
        self.settle(low)
    }

    /// Also returns the attempts where they were the last.
    pub(super) fn nack(
        &mut self,
        (member, generation): (MemberId, u64),
        offset: u64,
        at: Instant,
        max_attempts: Option<u32>,
    ) -> (Settle, Option<u32>) {
        if !self.holds(member, generation) {
            return (Settle::Fenced, None);
        }
        let low = self.low();
        let Some(known) = self.known.get_mut(&offset).filter(|_| offset >= low) else {
            let late = offset < low;
            return (if late { Settle::Late } else { Settle::Unknown }, None);
        };
        known.mine = false;
        if !matches!(known.fate, Fate::Out(_)) {
            return (Settle::Late, None);
        }
        (DONE, known.fail(at, max_attempts))
    }

    pub(super) fn extend(
        &mut self,
        (member, generation): (MemberId, u64),
        offset: u64,
        deadline: Option<Instant>,
    ) -> Settle {
        if !self.holds(member, generation) {
            return Settle::Fenced;
        }
        let low = self.low();
        let Some(known) = self.known.get_mut(&offset).filter(|_| offset >= low) else {
            let late = offset < low;
            return if late { Settle::Late } else { Settle::Unknown };
        };
        match known.fate {
            Fate::Out(_) => {}
            Fate::Waits(_) if known.mine => {}
            _ => return Settle::Late,
        }
        known.fate = Fate::Out(deadline);
        DONE
    }

    pub(super) fn commit_to(&mut self, member: MemberId, offset: u64, generation: u64) -> Settle {
        let generation = if generation == 0 {
            self.generation
        } else {
            generation
        };
        if !self.holds(member, generation) {
            return Settle::Fenced;
        }
        let low = self.low();
        if offset < low {
            return Settle::Late;
        }
        if !self.known.contains_key(&offset) {
            return Settle::Unknown;
        }
        for (_, known) in self.known.range_mut(low..=offset) {
            known.fate = Fate::Acked;
        }
        self.settle(low)
    }

    pub(super) fn commit_all(&mut self) -> Option<u64> {
        let low = self.low();
        for known in self.known.values_mut().filter(|known| known.mine) {
            known.fate = Fate::Acked;
        }
        let before = self.committed;
        self.settle(low);
        self.commit(self.low());
        self.committed.filter(|_| self.committed != before)
    }

    /// What was given up is acknowledged, or waits again.
    pub(super) fn resolve(&mut self, offset: u64, generation: u64, retry: Option<Instant>) {
        let low = self.low();
        if generation < self.since || offset < low {
            return;
        }
        let Some(known) = self.known.get_mut(&offset) else {
            return;
        };
        if known.fate == Fate::GivenUp {
            known.fate = retry.map_or(Fate::Acked, Fate::Waits);
            self.settle(low);
        }
    }

    pub(super) fn seek(&mut self, to: u64, begun: bool) {
        self.skipped.extend(self.low()..to);
        if begun && self.home.is_none() {
            self.home = Some(self.low());
        }
        self.known.clear();
        (self.base, self.next) = (to, to);
        self.generation += 1;
        self.since = self.generation;
        self.full_told = false;
    }

    /// The owner is gone. Returns what it left unanswered.
    pub(super) fn release(&mut self, now: Instant) -> u64 {
        let mut left = 0;
        for known in self.known.values_mut() {
            let waits = matches!(known.fate, Fate::Waits(_)) && known.mine;
            let out = matches!(known.fate, Fate::Out(_));
            left += u64::from(waits || out);
            if out {
                known.fate = Fate::Waits(now);
            }
            known.mine = false;
        }
        self.owner = None;
        self.paused = false;
        self.full_told = false;
        if let Some(home) = self.home.take() {
            self.known.clear();
            (self.base, self.next) = (home, home);
            self.since = self.generation + 1;
        }
        left
    }

    /// Retention has removed everything before `first`. Returns the first record that was lost by it, and how many were.
    pub(super) fn cut(&mut self, first: u64) -> Option<(u64, u64)> {
        let low = self.low();
        if first <= low {
            return None;
        }
        let mut missed = 0;
        for offset in low..first {
            let known = self.known.entry(offset).or_insert(Known {
                attempts: 0,
                fate: Fate::GivenUp,
                mine: false,
            });
            if known.fate != Fate::Acked {
                known.fate = Fate::Acked;
                self.lost.insert(offset);
                missed += 1;
            }
        }
        self.next = self.next.max(first);
        let low_now = self.low();
        self.commit(self.committed.map_or(low_now, |at| at.max(low_now)));
        self.full_told = false;
        Some((low, missed))
    }
}

impl Known {
    /// Returns the attempts where they were the last.
    pub(super) fn fail(&mut self, at: Instant, max_attempts: Option<u32>) -> Option<u32> {
        if max_attempts.is_some_and(|max| self.attempts >= max) {
            self.fate = Fate::GivenUp;
            return Some(self.attempts);
        }
        self.fate = Fate::Waits(at);
        None
    }
}
