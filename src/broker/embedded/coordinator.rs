//! A group as its members share it: the core under a lock, and what has to happen around it.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::broker::{ConsumerConfig, Event, Events};
use crate::queue;
use crate::sync::{Mutex, lock};

use super::bury::bury;
use super::offer::position;
use super::shared::Shared;
use super::topic::Topics;
use crate::broker::group::{GivenUp, Group, MemberId, Place, Terms};

pub(crate) struct Coordinator {
    id: u64,
    pub(crate) name: Arc<str>,
    state: Mutex<State>,
}

pub(crate) struct State {
    pub(crate) group: Group,
    members: HashMap<MemberId, Arc<Member>>,
}

/// What others must be able to reach of a member.
pub(crate) struct Member {
    pub(crate) config: ConsumerConfig,
    /// Told when there may be something to take, or something to be told of.
    pub(crate) signal: Arc<Notify>,
    pub(crate) feed: queue::Producer<Event>,
    pub(crate) events: Events,
}

impl Member {
    pub(crate) fn new(config: ConsumerConfig) -> Self {
        let (feed, events) = Events::channel();
        Self {
            config,
            signal: Arc::new(Notify::new()),
            feed,
            events,
        }
    }

    /// Reports something. Never waits: the oldest event makes room.
    pub(crate) fn report(&self, event: Event) {
        // Refused only where the consumer, and with it whoever could read this, is gone.
        let _closed = self.feed.try_push(event);
    }

    fn terms(&self) -> Terms {
        Terms {
            ack_wait: self.config.ack_wait,
            max_attempts: self.config.max_attempts,
            session_timeout: self.config.session_timeout,
            max_in_flight: self.config.max_in_flight,
            ordered: self.config.ordered,
        }
    }
}

impl Coordinator {
    pub(crate) fn new(id: u64, name: Arc<str>) -> Self {
        Self {
            id,
            name,
            state: Mutex::new(State {
                group: Group::new(),
                members: HashMap::new(),
            }),
        }
    }

    pub(crate) fn join(&self, member: &Arc<Member>, now: Instant) -> MemberId {
        let mut state = lock(&self.state);
        let id = state.group.join(member.terms(), now);
        state.members.insert(id, Arc::clone(member));
        id
    }

    /// Takes a step of the group, and then does what follows from it.
    pub(crate) fn step<R>(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        step: impl FnOnce(&mut Group) -> R,
    ) -> R {
        let mut after = After::default();
        let mut state = lock(&self.state);
        let result = step(&mut state.group);
        self.settle(shared, &mut state, &mut after);
        drop(state);
        after.run(shared, self);
        result
    }

    /// Looks at the group without changing it.
    pub(crate) fn look<R>(&self, look: impl FnOnce(&Group) -> R) -> R {
        look(&lock(&self.state).group)
    }

    pub(crate) fn leave(self: &Arc<Self>, shared: &Arc<Shared>, id: MemberId) {
        self.step(shared, |group| group.leave(id, Instant::now()));
        let gone = lock(&self.state).members.remove(&id);
        drop(gone);
    }

    pub(crate) fn members(&self) -> usize {
        lock(&self.state).members.len()
    }

    pub(crate) fn wake_all(&self) {
        let signals: Vec<_> = lock(&self.state)
            .members
            .values()
            .map(|member| Arc::clone(&member.signal))
            .collect();
        for signal in signals {
            signal.notify_waiters();
        }
    }

    /// Begins to read a partition, at its committed offset or anew.
    pub(crate) fn begin(self: &Arc<Self>, shared: &Arc<Shared>, place: Place, at: u64) {
        let mut after = After::default();
        let mut state = lock(&self.state);
        if state.group.position(place).is_none() {
            state.group.begin(place, at);
            // Before anybody can acknowledge anything: a mark that comes late would take back theirs.
            let topics = shared.topics();
            self.mark(&topics, place, at);
            // Where a group began is where it goes on after a restart, even if nothing is acknowledged till then.
            self.store(shared, place, at);
            after.room(&topics, vec![(place, at)]);
        }
        self.settle(shared, &mut state, &mut after);
        drop(state);
        after.run(shared, self);
    }

    /// A position found on disk.
    #[cfg(feature = "durable")]
    pub(crate) fn restore(&self, topics: &Topics, place: Place, committed: u64) {
        lock(&self.state).group.restore(place, committed);
        self.mark(topics, place, committed);
    }

    fn mark(&self, topics: &Topics, place: Place, acknowledged: u64) {
        let Some(topic) = topics.by_id.get(place.topic as usize) else {
            return;
        };
        let partition = &topic.partitions[place.partition as usize];
        partition.lock().mark(self.id, acknowledged);
    }

    fn store(&self, shared: &Shared, place: Place, offset: u64) {
        #[cfg(feature = "durable")]
        if let Some(store) = &shared.store {
            super::disk::commit(store, &self.name, place, offset);
        }
        #[cfg(not(feature = "durable"))]
        let _ = (shared, place, offset);
    }

    /// What the group's step changed around it. Under the group's lock, so that it happens in the order of the steps; what
    /// may run user code is put into `after`.
    fn settle(&self, shared: &Shared, state: &mut State, after: &mut After) {
        let effects = state.group.effects();
        if effects.is_empty() {
            return;
        }
        let topics = shared.topics();
        let name = |place: Place| topics.by_id[place.topic as usize].name.clone();
        let members = &state.members;
        let mut report = |member: MemberId, event: Event| {
            after.events.extend(
                members
                    .get(&member)
                    .map(|member| (Arc::clone(member), event)),
            );
        };
        for (member, place, unacknowledged) in effects.revoked {
            let partition =
                &topics.by_id[place.topic as usize].partitions[place.partition as usize];
            partition.lock().read_by(self.id, None);
            report(
                member,
                Event::Revoked {
                    topic: name(place),
                    partition: place.partition,
                    unacknowledged,
                },
            );
        }
        for (member, place) in effects.assigned {
            let partition =
                &topics.by_id[place.topic as usize].partitions[place.partition as usize];
            let signal = members
                .get(&member)
                .map(|member| Arc::clone(&member.signal));
            partition.lock().read_by(self.id, signal);
            report(
                member,
                Event::Assigned {
                    topic: name(place),
                    partition: place.partition,
                },
            );
        }
        for member in effects.expired {
            report(member, Event::Expired);
        }
        for (member, place, from, missed) in effects.lost {
            report(
                member,
                Event::Lost {
                    topic: name(place),
                    partition: place.partition,
                    from,
                    missed,
                },
            );
        }
        for (member, place, in_flight) in effects.in_flight_full {
            report(
                member,
                Event::InFlightFull {
                    topic: name(place),
                    partition: place.partition,
                    in_flight,
                },
            );
        }
        for &(place, committed) in &effects.moved {
            self.mark(&topics, place, committed);
            self.store(shared, place, committed);
        }
        after.room(&topics, effects.moved);
        for given_up in effects.given_up {
            let Some(member) = members.get(&given_up.member) else {
                continue;
            };
            let topic = &topics.by_id[given_up.place.topic as usize];
            after.bury.push(Buried {
                member: Arc::clone(member),
                topic: Arc::clone(topic),
                position: position(topic, given_up.place.partition, given_up.offset),
                given_up,
            });
        }
        after.wake.extend(
            effects
                .wake
                .iter()
                .filter_map(|member| members.get(member))
                .map(|member| Arc::clone(&member.signal)),
        );
    }
}

/// A record that failed for the last time, and who had it.
pub(crate) struct Buried {
    pub(crate) member: Arc<Member>,
    pub(crate) topic: Arc<super::topic::TopicState>,
    pub(crate) position: crate::broker::Position,
    pub(crate) given_up: GivenUp,
}

/// Committed offsets.
type Moved = Vec<(Place, u64)>;

/// What is left to be done once the group's lock is released.
#[derive(Default)]
struct After {
    /// Partitions in which a push may find room.
    room: Option<(Arc<Topics>, Moved)>,
    events: Vec<(Arc<Member>, Event)>,
    bury: Vec<Buried>,
    wake: Vec<Arc<Notify>>,
}

impl After {
    fn room(&mut self, topics: &Arc<Topics>, moved: Moved) {
        match &mut self.room {
            Some((_topics, all)) => all.extend(moved),
            None if moved.is_empty() => {}
            room => *room = Some((Arc::clone(topics), moved)),
        }
    }

    fn run(self, shared: &Arc<Shared>, group: &Arc<Coordinator>) {
        if let Some((topics, moved)) = self.room {
            for (place, _committed) in moved {
                let topic = &topics.by_id[place.topic as usize];
                topic.partitions[place.partition as usize].room.notify_one();
            }
        }
        for (member, event) in self.events {
            member.report(event);
        }
        for buried in self.bury {
            bury(shared, group, buried);
        }
        for signal in self.wake {
            signal.notify_waiters();
        }
    }
}
