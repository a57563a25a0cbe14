//! One group in one partition: everything that happened there, in order.
//!
//! `again` says what may be delivered again, `floor` how far the group is known to have come, `order` in which order records may
//! come, `owners` whose answers may count, `committed` where the committed offset may stand.

mod again;
mod committed;
mod floor;
mod order;
mod owners;

use std::collections::{BTreeSet, HashMap};

use crate::history::{Op, Place, Spot, What};

use super::calls::{Calls, NEVER};
use super::group::{Answer, Delivery, Group, Reading};
use super::log::Log;
use super::{Anomalies, Kind, Rules};
use committed::Committed;
use floor::Floor;
use order::Order;
use owners::Owners;

pub(super) struct Partition<'a> {
    group: &'a Group,
    place: Place,
    reading: &'a Reading,
    events: &'a [(usize, What)],
    troubles: &'a [(u64, u64)],
    rules: Rules,
    owners: Owners,
    records: HashMap<u64, Record>,
    /// Delivered, and not surely acknowledged.
    open: BTreeSet<u64>,
    floor: Floor,
    order: Order,
    committed: Committed,
    /// Process and generation of the last delivery.
    current: (u64, u64),
    /// Calls that acknowledge more than one: beginning, end, and up to where.
    wide: Vec<(usize, usize, u64)>,
    /// What calls that acknowledge more than one acknowledge surely, by their beginnings.
    covered: HashMap<usize, Vec<u64>>,
}

/// What happened to one record.
#[derive(Default)]
struct Record {
    acks: Vec<Ack>,
    /// Beginnings of nacks that were not refused.
    nacks: Vec<usize>,
    /// Fenced acknowledgements: their beginnings.
    fenced: Vec<usize>,
    /// The delivery before, and the first.
    last: Option<Delivery>,
    first: Option<Delivery>,
    deliveries: usize,
}

/// An acknowledgement that was not refused.
#[derive(Clone, Copy)]
struct Ack {
    process: u64,
    generation: u64,
    from: usize,
    to: usize,
    /// It counted. Otherwise it may have.
    sure: bool,
    /// Up to where everything was surely acknowledged when it had returned.
    low: u64,
}

#[derive(Clone, Copy)]
enum Step {
    Delivered(usize),
    Answering(usize),
    Answered(usize),
    Seek(usize),
    Looking(usize),
    Looked(usize),
    Event(usize),
}

impl<'a> Partition<'a> {
    pub(super) fn new(
        group: &'a Group,
        place: Place,
        reading: &'a Reading,
        calls: &'a Calls,
        log: &Log,
        rules: Rules,
    ) -> Self {
        let stored = log.records.get(&place).into_iter().flatten();
        let offsets: Vec<_> = stored.clone().map(|(offset, _)| *offset).collect();
        let keys = stored.map(|(offset, record)| (record.key, *offset));
        Self {
            group,
            place,
            reading,
            events: &calls.events,
            troubles: &calls.troubles,
            rules,
            owners: Owners::of(reading),
            records: HashMap::new(),
            open: BTreeSet::new(),
            order: Order::new(group.terms.ordered.then_some(keys)),
            committed: Committed::new(&offsets, rules.committed_is_shared),
            floor: Floor::new(offsets),
            current: (0, 0),
            wide: Vec::new(),
            covered: HashMap::new(),
        }
    }

    pub(super) fn check(mut self, drained: bool, anomalies: &mut Anomalies) {
        self.owners
            .check(self.group.number, self.place, self.reading, anomalies);
        for (_, step) in self.steps() {
            match step {
                Step::Delivered(n) => self.delivered(self.reading.deliveries[n], anomalies),
                Step::Answering(n) => self.answering(&self.reading.answers[n]),
                Step::Answered(n) => self.answered(&self.reading.answers[n]),
                Step::Seek(n) => self.floor.sought(self.reading.seeks[n].0),
                Step::Looking(n) => self.committed.looking(&self.reading.committed[n].1),
                Step::Looked(n) => self.looked(n, anomalies),
                Step::Event(n) => self.event(n),
            }
        }
        self.ahead(anomalies);
        if drained {
            self.nothing_is_forgotten(anomalies);
        }
    }

    /// Everything that happens here, in order.
    fn steps(&self) -> Vec<(usize, Step)> {
        let reading = self.reading;
        let mut steps = Vec::new();
        for (n, delivery) in reading.deliveries.iter().enumerate() {
            steps.push((delivery.to, Step::Delivered(n)));
        }
        for (n, answer) in reading.answers.iter().enumerate() {
            steps.push((answer.call.from, Step::Answering(n)));
            steps.push((answer.call.to, Step::Answered(n)));
        }
        for (n, (_, call)) in reading.seeks.iter().enumerate() {
            steps.push((call.from, Step::Seek(n)));
            steps.push((call.to, Step::Seek(n)));
        }
        for (n, (_, call)) in reading.committed.iter().enumerate() {
            steps.push((call.from, Step::Looking(n)));
            steps.push((call.to, Step::Looked(n)));
        }
        for (n, (index, _)) in self.events.iter().enumerate() {
            steps.push((*index, Step::Event(n)));
        }
        steps.sort_by_key(|(index, _)| *index);
        steps
    }

    fn delivered(&mut self, delivery: Delivery, anomalies: &mut Anomalies) {
        let offset = delivery.at.offset;
        let current = (delivery.process, delivery.at.generation);
        if std::mem::replace(&mut self.current, current) != current {
            let rules = self.rules;
            if !rules.acks_survive_moves {
                self.floor.lost();
            } else if !rules.gaps_survive_moves || self.sought(0, delivery.to) {
                // What was acknowledged after a seek went with its owner, unless it was committed.
                self.floor.forget_beyond();
            }
        }
        // A poll that has not been seen to end yet may have taken what a commit covered.
        let overlapping = self
            .wide
            .iter()
            .rev()
            .take(256)
            .filter(|(_, to, up_to)| *to > delivery.from && *up_to >= offset)
            .map(|(from, ..)| *from)
            .next();
        let record = self.records.entry(offset).or_default();
        if let Some(from) = overlapping {
            record.acks.push(Ack::maybe(from));
        }
        self.delivered_again(&delivery, anomalies);
        self.in_order(&delivery, anomalies);
        let record = self.records.entry(offset).or_default();
        record.first.get_or_insert(delivery);
        record.last = Some(delivery);
        record.deliveries += 1;
        let silent = record.acks.is_empty();
        self.open.insert(offset);
        self.committed.delivered(offset, silent);
    }

    /// A call begins that may acknowledge something.
    fn answering(&mut self, answer: &Answer) {
        let call = &answer.call;
        match (call.op, answer.at) {
            (Op::Nack { .. }, Some(at)) => {
                if !call.is_refused() {
                    self.records
                        .entry(at.offset)
                        .or_default()
                        .nacks
                        .push(call.from);
                }
            }
            (_, Some(at)) if call.is_refused() => {
                self.records
                    .entry(at.offset)
                    .or_default()
                    .fenced
                    .push(call.from);
            }
            (Op::Ack { .. }, Some(at)) => {
                let sure = call.is_done();
                self.acknowledge(at.offset, answer, at.generation, sure);
            }
            (Op::CommitTo { .. }, Some(at)) => {
                self.wide.push((call.from, call.to, at.offset));
                let mut covered: Vec<_> = self.open.range(..=at.offset).copied().collect();
                covered.retain(|&offset| {
                    let sure = call.is_done() && self.covers(call.process, at, offset);
                    self.acknowledge(offset, answer, at.generation, sure);
                    sure
                });
                self.cover(answer, covered);
            }
            _ if call.is_refused() => {}
            // All that this process has in hand; surely where the assignment was valid later.
            _ => {
                self.wide.push((call.from, call.to, u64::MAX));
                let (owner, generation) = self.current;
                let valid = owner == call.process
                    && self.owners.valid_after(owner, generation, call.to)
                    && call.is_done();
                let mine: Vec<_> = self.in_hand(call.process).collect();
                let mut covered = Vec::new();
                for at in mine {
                    let sure = valid && at.generation == generation;
                    covered.extend(sure.then_some(at.offset));
                    self.acknowledge(at.offset, answer, at.generation, sure);
                }
                // Of a partition that is not its own it stores nothing.
                if valid {
                    self.cover(answer, covered);
                }
            }
        }
    }

    /// Whether a commit up to a position surely acknowledges this offset before it, too. Where keys hold each other back, those
    /// that this assignment has not delivered yet stay as they are.
    fn covers(&self, process: u64, at: Spot, offset: u64) -> bool {
        let last = self.records.get(&offset).and_then(|record| record.last);
        let mine =
            last.is_some_and(|last| (last.process, last.at.generation) == (process, at.generation));
        mine || !self.group.terms.ordered
    }

    /// What was delivered to this process last, and not said to have failed since.
    fn in_hand(&self, process: u64) -> impl Iterator<Item = Spot> {
        self.open.iter().filter_map(move |offset| {
            let record = self.records.get(offset)?;
            let last = record.last.filter(|last| last.process == process)?;
            let failed = record.nacks.iter().any(|from| *from > last.to);
            (!failed).then_some(last.at)
        })
    }

    fn acknowledge(&mut self, offset: u64, answer: &Answer, generation: u64, sure: bool) {
        let call = &answer.call;
        self.records.entry(offset).or_default().acks.push(Ack {
            process: call.process,
            generation,
            from: call.from,
            to: if sure { call.to } else { NEVER },
            sure,
            low: 0,
        });
        self.order.answered(offset);
        self.committed.answered(offset);
    }

    fn cover(&mut self, answer: &Answer, covered: Vec<u64>) {
        let call = &answer.call;
        if call.is_done() {
            self.floor.storing(call.from, &covered);
            self.covered.insert(call.from, covered);
        }
    }

    /// A call has returned.
    fn answered(&mut self, answer: &Answer) {
        let call = &answer.call;
        if !call.is_done() {
            return;
        }
        let offsets = match (call.op, answer.at) {
            (Op::Ack { .. }, Some(at)) => vec![at.offset],
            (Op::CommitTo { .. } | Op::Commit, _) => {
                self.floor.stored(call.from, call.to);
                self.covered.remove(&call.from).unwrap_or_default()
            }
            _ => return,
        };
        let generation = answer.at.map_or(self.current.1, |at| at.generation);
        let all_last = self.rules.acks_survive_moves && self.rules.gaps_survive_moves;
        let lasts =
            (call.process, generation) == self.current || (all_last && !self.sought(0, call.to));
        for &offset in &offsets {
            self.open.remove(&offset);
            if lasts {
                self.floor.acknowledged(offset);
            }
        }
        let low = self.floor.low();
        for offset in offsets {
            let acks = &mut self.records.entry(offset).or_default().acks;
            for ack in acks.iter_mut().filter(|ack| ack.from == call.from) {
                ack.low = low;
            }
        }
    }

    fn event(&mut self, n: usize) {
        let (index, what) = &self.events[n];
        match what {
            What::Restarted => self.floor.restarted(*index),
            What::Killed => self.killed(*index, self.rules.commits_survive_kills),
            What::Cut => self.killed(*index, true),
            _ => {}
        }
    }

    /// Something may be forgotten; what was committed only where that does not survive.
    fn killed(&mut self, index: usize, commits_survive: bool) {
        self.floor.killed(index, commits_survive);
        self.committed.killed(self.floor.low());
    }

    /// What was in work in a trouble may come late now.
    fn is_late(&self, now: u64) -> bool {
        let late = self.rules.late_after_troubles;
        let during =
            |(began, ended): &(u64, u64)| *began <= now && now <= ended.saturating_add(late);
        late > 0 && self.troubles.iter().any(during)
    }

    /// A seek, which may have gone anywhere, took place between these moments.
    fn sought(&self, from: usize, to: usize) -> bool {
        let mut seeks = self.reading.seeks.iter();
        seeks.any(|(_, call)| call.to > from && call.from < to)
    }

    fn name(&self) -> String {
        format!("group {} at {:?}", self.group.number, self.place)
    }
}

impl Ack {
    /// One of which nothing is known but its beginning.
    const fn maybe(from: usize) -> Self {
        Self {
            process: 0,
            generation: 0,
            from,
            to: NEVER,
            sure: false,
            low: 0,
        }
    }
}
