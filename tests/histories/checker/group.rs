//! What each group was given, sorted by partition.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::history::{Content, Op, Outcome, Place, Spot, Terms, What};

use super::calls::{Call, Calls, NEVER};
use super::log::Log;
use super::partition::Partition;
use super::{Anomalies, Kind, Rules};

/// A delivery of one record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Delivery {
    pub(super) process: u64,
    pub(super) at: Spot,
    pub(super) attempt: u32,
    pub(super) record: Content,
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) began: u64,
    pub(super) ended: u64,
}

/// A call that concerns one partition, or all of a process's.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) call: Call,
    /// The delivery it names; `None` for a commit.
    pub(super) at: Option<Spot>,
}

/// Everything about one group in one partition.
#[derive(Default)]
pub(super) struct Reading {
    /// In the order of the ends of polls.
    pub(super) deliveries: Vec<Delivery>,
    pub(super) answers: Vec<Answer>,
    /// Where to, and the call.
    pub(super) seeks: Vec<(u64, Call)>,
    /// What was seen to be committed.
    pub(super) committed: Vec<(Option<u64>, Call)>,
}

pub(super) struct Group {
    pub(super) number: u32,
    pub(super) terms: Terms,
    /// Where in the history a process began to leave.
    pub(super) leaves: HashMap<u64, usize>,
    pub(super) readings: BTreeMap<Place, Reading>,
    drained: Option<u64>,
    members: HashSet<u64>,
    /// Where a process was given something.
    given: HashMap<u64, BTreeSet<Place>>,
}

pub(super) fn groups(calls: &Calls) -> Vec<Group> {
    let mut groups = BTreeMap::<u32, Group>::new();
    let mut of = HashMap::new();
    for call in &calls.all {
        if let Op::Join { group, terms } = call.op {
            of.insert(call.process, group);
            let known = groups
                .entry(group)
                .or_insert_with(|| Group::new(group, terms));
            known.members.insert(call.process);
        }
    }
    for (_, event) in &calls.events {
        if let What::Drained { group, lag } = event {
            if let Some(group) = groups.get_mut(group) {
                group.drained = Some(*lag);
            }
        }
    }
    for call in &calls.all {
        let known = of
            .get(&call.process)
            .and_then(|group| groups.get_mut(group));
        if let Some(group) = known {
            group.put(call);
        }
    }
    let mut groups: Vec<_> = groups.into_values().collect();
    for group in &mut groups {
        for reading in group.readings.values_mut() {
            // Those of one poll stay in their order.
            reading.deliveries.sort_by_key(|delivery| delivery.to);
        }
    }
    groups
}

impl Group {
    fn new(number: u32, terms: Terms) -> Self {
        Self {
            number,
            terms,
            leaves: HashMap::new(),
            readings: BTreeMap::new(),
            drained: None,
            members: HashSet::new(),
            given: HashMap::new(),
        }
    }

    fn put(&mut self, call: &Call) {
        match (&call.op, &call.outcome) {
            (Op::Poll { .. }, Outcome::Took(taken)) => {
                for it in taken {
                    self.given
                        .entry(call.process)
                        .or_default()
                        .insert(it.at.place);
                    let reading = self.readings.entry(it.at.place).or_default();
                    reading.deliveries.push(Delivery {
                        process: call.process,
                        at: it.at,
                        attempt: it.attempt,
                        record: it.record,
                        from: call.from,
                        to: call.to,
                        began: call.began,
                        ended: call.ended,
                    });
                }
            }
            (Op::Ack { at } | Op::Nack { at } | Op::CommitTo { at }, _) => {
                let answer = Answer {
                    call: call.clone(),
                    at: Some(*at),
                };
                self.readings
                    .entry(at.place)
                    .or_default()
                    .answers
                    .push(answer);
            }
            (Op::Commit, _) => {
                for place in self.given.get(&call.process).into_iter().flatten() {
                    let reading = self.readings.entry(*place).or_default();
                    reading.answers.push(Answer {
                        call: call.clone(),
                        at: None,
                    });
                }
            }
            (Op::Seek { place, to }, _) if !call.is_refused() => {
                let reading = self.readings.entry(*place).or_default();
                reading.seeks.push((*to, call.clone()));
            }
            (Op::Committed { place }, Outcome::At(committed)) => {
                let reading = self.readings.entry(*place).or_default();
                reading.committed.push((*committed, call.clone()));
            }
            (Op::Leave, _) => {
                self.leaves.insert(call.process, call.from);
            }
            _ => {}
        }
    }

    pub(super) fn check(&self, calls: &Calls, log: &Log, rules: Rules, anomalies: &mut Anomalies) {
        for (_, event) in &calls.events {
            if let What::Lost {
                process,
                place,
                from,
                missed,
            } = event
            {
                if self.members.contains(process) {
                    let what = format!(
                        "group {} was told that {missed} records from {place:?}@{from} on are gone",
                        self.number
                    );
                    anomalies.add(Kind::Lost, what);
                }
            }
        }
        for (&place, reading) in &self.readings {
            Partition::new(self, place, reading, calls, log, rules)
                .check(self.drained.is_some(), anomalies);
        }
        if let Some(lag) = self.drained {
            self.nothing_is_left(lag, log, anomalies);
        }
    }

    /// Everything that was acknowledged to its producer has been delivered.
    fn nothing_is_left(&self, lag: u64, log: &Log, anomalies: &mut Anomalies) {
        if lag > 0 {
            let what = format!("group {} was drained, and its lag is {lag}", self.number);
            anomalies.add(Kind::Stuck, what);
        }
        let delivered: HashSet<u64> = self
            .readings
            .values()
            .flat_map(|reading| &reading.deliveries)
            .map(|delivery| delivery.record.value)
            .collect();
        for &(value, at) in &log.acknowledged {
            if delivered.contains(&value)
                || at.is_some_and(|(place, offset)| self.may_skip(place, offset))
            {
                continue;
            }
            let what = format!(
                "value {value} (at {at:?}) never reached group {}",
                self.number
            );
            anomalies.add(Kind::Lost, what);
        }
    }

    /// Somebody may have gone on behind this offset.
    fn may_skip(&self, place: Place, offset: u64) -> bool {
        let reading = self.readings.get(&place);
        reading.is_some_and(|it| it.seeks.iter().any(|(to, _)| *to > offset))
    }

    /// Whether a process began to leave between these two moments.
    pub(super) fn left(&self, process: u64, from: usize, to: usize) -> bool {
        let left = self.leaves.get(&process).copied().unwrap_or(NEVER);
        from < left && left < to
    }
}
