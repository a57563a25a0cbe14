//! The group without a runtime: each rule by itself, then all of them against a reference.

mod answers;
mod extremes;
mod membership;
mod model;
mod order;
mod reference;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::{Effects, GivenUp, Group, MemberId, Place, Settle, Source, Terms};

const SECOND: Duration = Duration::from_secs(1);

const TERMS: Terms = Terms {
    ack_wait: Duration::from_secs(30),
    max_attempts: None,
    session_timeout: Duration::from_secs(10),
    max_in_flight: 1000,
    ordered: false,
};

fn place(topic: u32, partition: u32) -> Place {
    Place { topic, partition }
}

/// A delivery, as a source sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Given {
    place: Place,
    offset: u64,
    attempt: u32,
    generation: u64,
}

/// Records of which nothing is known but where they are, their keys, and whether they are at hand.
#[derive(Default)]
struct Records {
    ranges: BTreeMap<Place, (u64, u64)>,
    keys: BTreeMap<(Place, u64), u64>,
    cold: BTreeSet<(Place, u64)>,
    /// Keys are at hand also where their records are not.
    warm_keys: bool,
    given: Vec<Given>,
}

impl Source for Records {
    fn range(&mut self, place: Place) -> (u64, u64) {
        self.ranges.get(&place).copied().unwrap_or((0, 0))
    }

    fn key(&mut self, place: Place, offset: u64) -> Option<u64> {
        if !self.warm_keys && self.cold.contains(&(place, offset)) {
            return None;
        }
        Some(self.keys.get(&(place, offset)).copied().unwrap_or(0))
    }

    fn give(&mut self, place: Place, offset: u64, attempt: u32, generation: u64) -> bool {
        if self.cold.contains(&(place, offset)) {
            return false;
        }
        self.given.push(Given {
            place,
            offset,
            attempt,
            generation,
        });
        true
    }
}

/// A group over records, with a clock that is set by hand.
struct World {
    group: Group,
    records: Records,
    now: Instant,
}

impl World {
    fn new() -> Self {
        Self {
            group: Group::new(),
            records: Records::default(),
            now: Instant::now(),
        }
    }

    /// Topic 0 with one partition of so many records, and one member that reads it.
    fn alone(terms: Terms, records: u64) -> (Self, MemberId) {
        let mut world = Self::new();
        world.records.ranges.insert(place(0, 0), (0, records));
        let member = world.member(terms, &[(0, 1)]);
        (world, member)
    }

    /// A new member that reads these topics, from the beginning where nobody has read them.
    fn member(&mut self, terms: Terms, topics: &[(u32, u32)]) -> MemberId {
        let member = self.group.join(terms, self.now);
        self.group.subscribe(member, topics, self.now);
        self.begin(member);
        member
    }

    fn begin(&mut self, member: MemberId) {
        for place in self.group.needs_start(member) {
            self.group.begin(place, 0);
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.group.tick(self.now);
    }

    fn take(&mut self, member: MemberId, max: usize) -> Vec<Given> {
        self.begin(member);
        self.records.given.clear();
        let taken = self.group.take(member, max, self.now, &mut self.records);
        assert_eq!(taken.count, self.records.given.len());
        self.records.given.clone()
    }

    fn offsets(&mut self, member: MemberId, max: usize) -> Vec<u64> {
        let given = self.take(member, max);
        given.iter().map(|given| given.offset).collect()
    }

    fn ack(&mut self, member: MemberId, given: Given) -> Settle {
        self.group
            .ack(member, given.place, given.offset, given.generation)
    }

    fn nack(&mut self, member: MemberId, given: Given, delay: Duration) -> Settle {
        self.group.nack(
            member,
            given.place,
            given.offset,
            given.generation,
            self.now + delay,
            None,
            self.now,
        )
    }

    fn extend(&mut self, member: MemberId, given: Given) -> Settle {
        self.group.extend(
            member,
            given.place,
            given.offset,
            given.generation,
            self.now,
        )
    }

    fn effects(&mut self) -> Effects {
        self.group.effects()
    }
}

fn done(moved: u64) -> Settle {
    Settle::Done { moved: Some(moved) }
}

const DONE: Settle = Settle::Done { moved: None };
