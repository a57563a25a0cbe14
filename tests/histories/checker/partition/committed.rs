//! Where the committed offset may stand: nowhere behind a record that nobody acknowledged, and never lower than it was.

use std::collections::{BTreeSet, HashMap};

use crate::checker::calls::Call;
use crate::checker::group::Reading;

use super::{Anomalies, Kind, Partition};

pub(super) struct Committed {
    /// All members see the same.
    shared: bool,
    /// The highest that was seen, and where the look that saw it began; by process where each has a view of its own.
    highest: HashMap<u64, (u64, usize)>,
    /// The same when a look began, by its beginning.
    looking: HashMap<usize, Option<(u64, usize)>>,
    /// Never delivered to the group so far.
    unseen: BTreeSet<u64>,
    /// Delivered, and no acknowledgement has begun.
    silent: BTreeSet<u64>,
    /// Seen to be passed without delivery: the offset, where it was seen, what was seen.
    passed: Vec<(u64, usize, u64)>,
}

impl Committed {
    pub(super) fn new(offsets: &[u64], shared: bool) -> Self {
        Self {
            shared,
            highest: HashMap::new(),
            looking: HashMap::new(),
            unseen: offsets.iter().copied().collect(),
            silent: BTreeSet::new(),
            passed: Vec::new(),
        }
    }

    pub(super) fn delivered(&mut self, offset: u64, silent: bool) {
        self.unseen.remove(&offset);
        if silent {
            self.silent.insert(offset);
        }
    }

    pub(super) fn answered(&mut self, offset: u64) {
        self.silent.remove(&offset);
    }

    pub(super) fn looking(&mut self, call: &Call) {
        let highest = self.highest.get(&self.view(call)).copied();
        self.looking.insert(call.from, highest);
    }

    fn view(&self, call: &Call) -> u64 {
        if self.shared { 0 } else { call.process }
    }

    /// No more than this outlives what happened.
    pub(super) fn killed(&mut self, kept: u64) {
        let looks = self.looking.values_mut().flatten();
        for (highest, _) in looks.chain(self.highest.values_mut()) {
            *highest = kept.min(*highest);
        }
    }
}

impl Partition<'_> {
    pub(super) fn looked(&mut self, n: usize, anomalies: &mut Anomalies) {
        let (seen, call) = &self.reading.committed[n];
        let before = self.committed.looking.remove(&call.from).flatten();
        let now = seen.unwrap_or(0);
        if let Some((highest, since)) = before {
            // What was seen and not stored may have been lost with the assignment.
            let lasting = if self.rules.acks_survive_moves {
                highest
            } else {
                self.floor.kept()
            };
            let highest = highest.min(lasting);
            let late = self.is_late(call.ended);
            if now < highest && !late && !moved_back(self.reading, highest, since, call.to) {
                let what = format!(
                    "{}: {seen:?} at entry {}, after {highest} at entry {since}",
                    self.name(),
                    call.to
                );
                anomalies.add(Kind::CommittedBack, what);
            }
        }
        let sought = self.sought(0, call.to) || self.is_late(call.ended);
        let (unseen, silent) = (&self.committed.unseen, &self.committed.silent);
        let passed = unseen
            .first()
            .copied()
            .filter(|first| *first < now && !sought);
        let unanswered = silent
            .first()
            .copied()
            .filter(|first| *first < now && !sought);
        if let Some(offset) = unanswered {
            let what = format!(
                "{}: {now} at entry {}, and @{offset} was not answered",
                self.name(),
                call.to
            );
            anomalies.add(Kind::CommittedAhead, what);
        }
        self.committed
            .passed
            .extend(passed.map(|offset| (offset, call.to, now)));
        let view = self.committed.view(call);
        let highest = self.committed.highest.get(&view);
        // After a seek it grows from where it is now.
        if sought || highest.is_none_or(|(highest, _)| now > *highest) {
            self.committed.highest.insert(view, (now, call.from));
        }
    }

    /// What was passed without delivery, unless it was on its way.
    pub(super) fn ahead(&self, anomalies: &mut Anomalies) {
        for (offset, at, seen) in &self.committed.passed {
            let first = self.records.get(offset).and_then(|record| record.first);
            if first.is_none_or(|first| first.from > *at) {
                let what = format!(
                    "{}: {seen} at entry {at}, and @{offset} was not delivered",
                    self.name()
                );
                anomalies.add(Kind::CommittedAhead, what);
            }
        }
    }
}

/// Whether a seek may have moved it back since.
fn moved_back(reading: &Reading, highest: u64, since: usize, to: usize) -> bool {
    let mut seeks = reading.seeks.iter();
    seeks.any(|(target, seek)| {
        let acts =
            |call: &Call| call.process == seek.process && call.from > seek.from && call.to > since;
        let takes_effect = || reading.answers.iter().any(|answer| acts(&answer.call));
        *target < highest && seek.from < to && (seek.to > since || takes_effect())
    })
}
