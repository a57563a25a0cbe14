//! Whose the partition was. An assignment was surely valid from the end of the first call that shows it to the beginning of
//! the last one.

use std::collections::HashMap;

use crate::checker::group::Reading;
use crate::checker::{Anomalies, Kind};
use crate::history::{Op, Outcome, Place};

/// By process and generation: from when on and until when the assignment surely was valid.
pub(super) struct Owners {
    valid: HashMap<(u64, u64), (usize, usize)>,
}

impl Owners {
    pub(super) fn of(reading: &Reading) -> Self {
        let mut owners = Self {
            valid: HashMap::new(),
        };
        for delivery in &reading.deliveries {
            owners.seen(
                delivery.process,
                delivery.at.generation,
                delivery.from,
                delivery.to,
            );
        }
        for answer in &reading.answers {
            let call = &answer.call;
            if let (Some(at), Outcome::Done) = (answer.at, &call.outcome) {
                owners.seen(call.process, at.generation, call.from, call.to);
            }
        }
        owners
    }

    fn seen(&mut self, process: u64, generation: u64, from: usize, to: usize) {
        let known = self
            .valid
            .entry((process, generation))
            .or_insert((to, from));
        known.0 = known.0.min(to);
        known.1 = known.1.max(from);
    }

    /// Whether the assignment was valid after this moment.
    pub(super) fn valid_after(&self, process: u64, generation: u64, index: usize) -> bool {
        self.valid
            .get(&(process, generation))
            .is_some_and(|(_, until)| *until > index)
    }

    pub(super) fn check(
        &self,
        group: u32,
        place: Place,
        reading: &Reading,
        anomalies: &mut Anomalies,
    ) {
        let mut spans: Vec<_> = self
            .valid
            .iter()
            .filter(|(_, (from, until))| from < until)
            .map(|(&(process, generation), &(from, until))| (from, until, process, generation))
            .collect();
        spans.sort_unstable();
        // Of those that began before: the one that was valid longest, and the longest of another process.
        let mut longest: Vec<(usize, u64, u64)> = Vec::new();
        for (from, until, process, generation) in spans {
            let other = longest.iter().find(|(_, other, _)| *other != process);
            if let Some((end, other, theirs)) = other.filter(|(end, ..)| *end > from) {
                let what = format!(
                    "group {group} at {place:?}: process {other} (generation {theirs}) until entry {end}, process {process} (generation \
                     {generation}) from entry {from} on"
                );
                anomalies.add(Kind::TwoOwners, what);
            }
            longest.push((until, process, generation));
            longest.sort_unstable_by(|one, two| two.cmp(one));
            let first = longest[0].1;
            let second = longest.iter().position(|(_, process, _)| *process != first);
            longest = longest
                .iter()
                .take(1)
                .chain(second.map(|at| &longest[at]))
                .copied()
                .collect();
        }
        for answer in &reading.answers {
            let call = &answer.call;
            let (Some(at), Outcome::Fenced) = (answer.at, &call.outcome) else {
                continue;
            };
            if matches!(
                call.op,
                Op::Ack { .. } | Op::Nack { .. } | Op::CommitTo { .. }
            ) && self.valid_after(call.process, at.generation, call.to)
            {
                let what = format!(
                    "group {group} at {place:?}@{}: process {} was refused at entry {}, and generation {} was valid later",
                    at.offset, call.process, call.to, at.generation
                );
                anomalies.add(Kind::FencedWrongly, what);
            }
        }
    }
}
