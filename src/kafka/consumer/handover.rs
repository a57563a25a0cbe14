//! Taking partitions, and giving them up.
//!
//! When the group changes, all its members give everything up and are given their partitions anew. Before that, this one
//! lets what is in hand be answered, and commits. A partition that comes back goes on as if nothing had been, unless somebody
//! else has committed in it meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::util::Timeout;

use super::driver::{Driver, QUESTION, SOON};
use super::member::committed;
use super::slot::{Slot, out_of_range};
use super::starts;
use crate::broker::remote::Place;
use crate::broker::{Event, Start, Topic};
use crate::kafka::fault;

const TAKING: &str = "taking partitions over";
/// How long to wait before the cluster is asked again.
const AGAIN: Duration = Duration::from_millis(100);
/// How long the commit before a handover may take.
const COMMIT: Duration = Duration::from_secs(5);

/// Where a change of the group stands.
pub(super) enum Hand {
    /// There is none, or it is for others to go on.
    Still,
    /// What is in hand is waited for.
    Draining(Instant),
    /// The last commit is waited for.
    Committing(Instant),
    /// The cluster is asked where to begin.
    Taking {
        partitions: Vec<(Topic, u32)>,
        next: Instant,
    },
}

impl Hand {
    pub(super) const fn is_still(&self) -> bool {
        matches!(self, Self::Still)
    }

    /// Whether records are handed to the seat.
    pub(super) const fn reads(&self) -> bool {
        self.is_still()
    }

    /// The last commit cannot be made any more.
    pub(super) fn hurry(&mut self) {
        if let Self::Committing(until) = self {
            *until = Instant::now();
        }
    }

    pub(super) const fn due(&self) -> Option<Instant> {
        match self {
            Self::Still => None,
            Self::Draining(at) | Self::Committing(at) => Some(*at),
            Self::Taking { next, .. } => Some(*next),
        }
    }
}

/// Where a partition is to be read from.
struct Begin {
    place: Place,
    topic: Topic,
    partition: u32,
    start: u64,
    committed: Option<u64>,
    /// It was here before, and goes on in this epoch. A seek that is on its way brings another one.
    stays: Option<u64>,
    event: Option<Event>,
}

impl Driver {
    /// The group takes all partitions back.
    pub(super) fn revoked(&mut self, lost: bool) {
        if !self.joined {
            self.clear();
        } else if lost {
            for (place, _) in self.seat.granted() {
                self.seat.revoke(place);
                self.forget(place);
            }
            if self.commits.is_on_the_way() {
                self.slots.clear();
                self.kept.clear();
                self.hand = Hand::Committing(Instant::now());
            } else {
                self.clear();
            }
            self.report(fault::because(
                READING_ON,
                "the group has gone on without this member, and gave its partitions to others",
            ));
        } else if self.slots.is_empty() {
            self.hand = Hand::Still;
            self.unassign();
        } else {
            for slot in &self.slots {
                self.seat.retire(slot.place);
            }
            // Who changes its own subscription cannot answer deliveries meanwhile.
            let patience = if self.own {
                Duration::ZERO
            } else {
                self.seat.engine().patience()
            };
            self.hand = Hand::Draining(Instant::now() + patience);
        }
    }

    /// The group gives partitions.
    pub(super) fn assigned(&mut self, partitions: Vec<(String, i32)>) {
        let named = partitions.into_iter().filter_map(|(topic, partition)| {
            let partition = u32::try_from(partition).ok()?;
            Some((Topic::from(topic), partition))
        });
        let partitions: Vec<_> = named.collect();
        let places = partitions
            .iter()
            .map(|(topic, at)| self.seat.place(topic, *at));
        let places: BTreeSet<_> = places.collect();
        // What is somebody else's now has come to its end here, also if it should come back before this is through.
        let kept = std::mem::take(&mut self.kept);
        let (here, gone) = kept
            .into_iter()
            .partition(|(place, _)| places.contains(place));
        self.kept = here;
        let gone: BTreeMap<_, _> = gone;
        for place in gone.into_keys() {
            self.seat.revoke(place);
            self.forget(place);
        }
        self.hand = Hand::Taking {
            partitions,
            next: Instant::now(),
        };
    }

    /// Goes on with a change of the group, if it can.
    pub(super) fn step(&mut self, now: Instant) {
        match &self.hand {
            Hand::Still => {}
            Hand::Draining(until) => {
                let in_hand = |slot: &Slot| self.seat.in_hand(slot.place) > 0;
                if now >= *until || !self.slots.iter().any(in_hand) {
                    self.take_answers();
                    self.commit_now(now);
                    self.hand = Hand::Committing(now + COMMIT);
                }
            }
            Hand::Committing(until) => {
                let over = now >= *until;
                if over && !self.commits.is_on_the_way() && !self.commits.is_idle() {
                    self.report(fault::because(
                        "committing",
                        "it took too long; what was acknowledged last may be delivered again",
                    ));
                }
                // One that is still on its way would be made in the name of the generation that follows, over what others
                // have committed by then. Without its coordinator the group does not go on anyway.
                let settled = self.commits.is_idle() || over && !self.commits.is_on_the_way();
                if settled {
                    self.hand = Hand::Still;
                    self.kept = self
                        .slots
                        .drain(..)
                        .map(|it| (it.place, (it.epoch, it.next)))
                        .collect();
                    self.unassign();
                } else {
                    self.commit_now(now);
                }
            }
            Hand::Taking { partitions, next } if now >= *next => {
                let partitions = partitions.clone();
                self.take(partitions);
            }
            Hand::Taking { .. } => {}
        }
    }

    fn take(&mut self, partitions: Vec<(Topic, u32)>) {
        match self.beginnings(&partitions) {
            Ok(beginnings) => self.begin(beginnings),
            Err(error) => {
                let refused = error.rdkafka_error_code().is_some_and(fault::is_refusal);
                let error = fault::engine(TAKING, error);
                if refused {
                    self.fail(error);
                } else {
                    self.report(error);
                }
                self.hand = Hand::Taking {
                    partitions,
                    next: Instant::now() + AGAIN,
                };
            }
        }
    }

    /// Asks where to begin. Changes nothing.
    fn beginnings(&self, partitions: &[(Topic, u32)]) -> KafkaResult<Vec<Begin>> {
        if partitions.is_empty() {
            return Ok(Vec::new());
        }
        let timeout = Timeout::After(QUESTION);
        let committed = committed(&self.client, partitions, timeout)?;
        let granted: BTreeMap<_, _> = self.seat.granted().into_iter().collect();
        let mut beginnings = Vec::with_capacity(partitions.len());
        for ((topic, partition), committed) in partitions.iter().zip(committed) {
            let place = self.seat.place(topic, *partition);
            let mut begin = Begin {
                place,
                topic: self.seat.topic(place),
                partition: *partition,
                start: 0,
                committed,
                stays: None,
                event: None,
            };
            let here = granted.get(&place) == Some(&true);
            // Whoever had it meanwhile and acknowledged something has committed something else.
            let alone = self.commits.known(place) == committed;
            match self.kept.get(&place).filter(|_| here && alone) {
                Some(&(epoch, next)) => {
                    begin.start = next;
                    begin.stays = Some(epoch);
                }
                None => {
                    let start = committed.map_or_else(|| self.seat.config().start, Start::Offset);
                    let found = starts::find(&*self.client, topic, *partition, start, timeout)?;
                    begin.start = found.nearly();
                    if let Some(offset) = committed {
                        begin.event = out_of_range(&begin.topic, *partition, offset, found);
                    }
                    if begin.event.is_some() {
                        begin.start = found.first;
                    }
                }
            }
            beginnings.push(begin);
        }
        Ok(beginnings)
    }

    fn begin(&mut self, beginnings: Vec<Begin>) {
        let stay: Vec<_> = beginnings.iter().filter(|it| it.stays.is_some()).collect();
        for (place, _) in self.seat.granted() {
            if !stay.iter().any(|it| it.place == place) {
                self.seat.revoke(place);
                self.forget(place);
            }
        }
        self.kept.clear();
        self.slots.clear();
        let mut list = TopicPartitionList::with_capacity(beginnings.len());
        let mut again = false;
        for begin in beginnings {
            match self.open(begin, &mut list) {
                Ok(missed) => again |= missed,
                Err(error) => self.report(fault::engine(TAKING, error)),
            }
        }
        self.hand = Hand::Still;
        if let Err(error) = self.client.assign(&list) {
            self.report(fault::engine(TAKING, error));
        }
        self.own = false;
        self.up();
        self.settle(&Ok(()));
        if again {
            self.step_aside(SOON);
        }
    }

    /// Makes a partition the seat's, and gives it a queue. Answers whether it should be asked for again.
    fn open(&mut self, begin: Begin, list: &mut TopicPartitionList) -> KafkaResult<bool> {
        let place = begin.place;
        let epoch = if let Some(epoch) = begin.stays {
            self.seat.keep(place);
            Some(epoch)
        } else {
            self.commits.learn(place, begin.committed);
            self.seat.grant(place, begin.start, begin.committed)
        };
        // The seat does not want it any more, of which the group will learn, or was silent for too long just now.
        let Some(epoch) = epoch else {
            return Ok(self.seat.subscription().contains(&begin.topic));
        };
        if let Some(event) = begin.event {
            self.seat.report(event);
        }
        let partition = i32::try_from(begin.partition).unwrap_or(i32::MAX);
        // Before it is assigned: otherwise records may come by way of the client's own queue.
        let queue = self.client.split_partition_queue(&begin.topic, partition);
        let queue = queue.ok_or_else(|| KafkaError::Subscription(begin.topic.to_string()))?;
        let link = &self.seat.engine().link;
        let at = (epoch, begin.start);
        let slot = Slot::new(place, begin.topic, partition, queue, at, link);
        list.add_partition_offset(&slot.topic, partition, slot.offset())?;
        self.slots.push(slot);
        Ok(false)
    }
}

const READING_ON: &str = "staying in the group";
