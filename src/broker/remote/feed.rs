//! The engine's side of a seat: partitions come and go, records arrive, answers are taken.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::Instant;

use crate::broker::Topic;
use crate::sync::lock;

use super::seat::State;
use super::window::{Known, Window};
use super::{Answers, Arrival, Engine, Place, Remains, Room, Seat};

/// How many records of a partition wait to be taken: as many as may be in flight, within these bounds.
const AHEAD: (usize, usize) = (64, 4096);

/// How many bytes wait in all partitions together, and how many in one at the least.
const BYTES: usize = 64 * 1024 * 1024;
const FEW_BYTES: usize = 256 * 1024;
const MANY_BYTES: usize = 8 * 1024 * 1024;

/// An epoch that nobody in this process has had: so a delivery of one consumer is never taken for one of another.
pub(super) fn epoch() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

impl<E: Engine> Seat<E> {
    /// The seat's number for a partition, the same for as long as the seat exists.
    pub(crate) fn place(&self, topic: &Topic, partition: u32) -> Place {
        let topic = lock(&self.state).number(topic);
        Place { topic, partition }
    }

    /// The topic's name, which is cheap to copy, of one of the seat's numbers. The partition is [`Place::partition`].
    pub(crate) fn topic(&self, place: Place) -> Topic {
        lock(&self.state).topics[place.topic as usize].clone()
    }

    /// Makes a partition this consumer's, to be read from `start` on: what lies before counts as done with. Returns the epoch of
    /// its arrivals, which no other grant or seek in this process has. One that was granted before is
    /// [revoked](Self::revoke) first, by the caller. `None`: the consumer is [not there](super::Standing), or has not
    /// subscribed to the topic (any more).
    pub(crate) fn grant(&self, place: Place, start: u64, committed: Option<u64>) -> Option<u64> {
        self.step(|state, after| {
            let topic = state.topics.get(place.topic as usize)?;
            if !state.subscription.contains_key(topic) || !self.is_present(state) {
                return None;
            }
            let epoch = epoch();
            let at_start = committed.filter(|&it| it == start).map(|_| 0);
            let window = Window::new(epoch, 0, start, committed);
            if let Some(old) = state.windows.insert(place, window) {
                state.moved.retain(|it| *it != place);
                after.dropped.extend(old.records);
            }
            state.group.grant(self.member, place, 0, at_start, epoch);
            Some(epoch)
        })
    }

    /// The first offset of a partition that was never delivered.
    #[cfg(feature = "nats")]
    pub(crate) fn next(&self, place: Place) -> Option<u64> {
        lock(&self.state).position(place)
    }

    /// The epoch of a partition's arrivals: the last grant's, or the last seek's after it.
    pub(crate) fn epoch(&self, place: Place) -> Option<u64> {
        let state = lock(&self.state);
        state.windows.get(&place).map(|window| window.epoch)
    }

    /// Delivers no more of a partition that is to be revoked. The consumer still answers for what it has.
    pub(crate) fn retire(&self, place: Place) {
        self.step(|state, _| {
            state.group.retire(place, true);
            if !state.retired.contains(&place) {
                state.retired.push(place);
            }
        });
    }

    /// Delivers from a partition again that was retired: it stays here after all.
    pub(crate) fn keep(&self, place: Place) {
        self.step(|state, _| {
            state.group.retire(place, false);
            state.retired.retain(|it| *it != place);
        });
    }

    /// How many deliveries of a partition are neither answered nor overdue.
    pub(crate) fn in_hand(&self, place: Place) -> usize {
        self.step(|state, _| {
            state.group.tick(Instant::now());
            state.group.in_hand(place)
        })
    }

    /// Takes a partition from this consumer, with what the engine has to know of it. Later answers are fenced.
    pub(crate) fn revoke(&self, place: Place) -> Remains<E::Ticket> {
        self.step(|state, after| {
            state.group.revoke(place);
            state.retired.retain(|it| *it != place);
            state.moved.retain(|it| *it != place);
            let mut remains = Remains {
                done: Vec::new(),
                committed: None,
                left: Vec::new(),
            };
            let all = std::mem::take(&mut state.done);
            let epoch = state.windows.get(&place).map(|window| window.epoch);
            for (at, of, offset, ticket) in all {
                if at != place {
                    state.done.push((at, of, offset, ticket));
                } else if epoch == Some(of) {
                    remains.done.push((offset, ticket));
                }
            }
            let Some(mut window) = state.windows.remove(&place) else {
                return remains;
            };
            remains.committed = window.committed.filter(|_| window.moved);
            if E::SINGLE {
                let left = window.records.iter_mut();
                remains.left = left
                    .filter_map(|held| Some((held.offset, held.ticket.take()?)))
                    .collect();
            }
            after.dropped.extend(window.records);
            remains
        })
    }

    /// All partitions that were granted and not yet revoked, also those that the group has lost by silence, by leaving or by a
    /// change of the subscription (`false`): these are to be revoked.
    pub(crate) fn granted(&self) -> Vec<(Place, bool)> {
        let state = lock(&self.state);
        let owned = state.group.assignment(self.member);
        let places = state.windows.keys();
        places
            .map(|&place| (place, owned.binary_search(&place).is_ok()))
            .collect()
    }

    /// Takes what the engine has sent, and leaves the buffer empty. Of another epoch, it is dropped. What is known and not done
    /// with gets the newer ticket; what is done with goes back into the [answers](Self::answers).
    pub(crate) fn arrive(&self, place: Place, epoch: u64, arrivals: &mut Vec<Arrival<E::Ticket>>) {
        // Records that were there before. Dropped without the lock.
        let mut known = Vec::new();
        self.step(|state, after| {
            let State {
                group,
                windows,
                done,
                ..
            } = state;
            let Some(window) = windows.get_mut(&place).filter(|it| it.epoch == epoch) else {
                return;
            };
            let before = window.end();
            window.records.reserve(arrivals.len());
            for arrival in arrivals.drain(..) {
                let attempts = arrival.attempts_before;
                match window.push(arrival) {
                    Known::Not if attempts > 0 => {
                        group.delivered_before(place, window.end() - 1, attempts);
                    }
                    Known::Not => {}
                    Known::Renewed(record) => known.push(record),
                    Known::Done(offset, ticket, record) => {
                        known.push(record);
                        if E::SINGLE {
                            done.push((place, epoch, offset, ticket));
                        }
                    }
                }
            }
            after.signal |= window.end() > before;
        });
        arrivals.clear();
    }

    /// How much more of a partition may arrive. Where that was less than half, the engine is nudged once it is more.
    pub(crate) fn room(&self, place: Place) -> Room {
        let mut state = lock(&self.state);
        let most = most(&self.config, state.windows.len());
        let Some(window) = state.windows.get_mut(&place) else {
            return Room {
                records: 0,
                bytes: 0,
            };
        };
        let room = left(window, most);
        window.short = is_short(room, most);
        room
    }

    /// The tickets of everything of a partition that arrived and is not done with, in the order of arrival.
    pub(crate) fn held(&self, place: Place) -> Vec<(u64, E::Ticket)> {
        let state = lock(&self.state);
        let Some(window) = state.windows.get(&place) else {
            return Vec::new();
        };
        let held = window.records.iter();
        held.filter_map(|held| Some((held.offset, held.ticket.clone()?)))
            .collect()
    }

    /// What the engine has to be told since the last call.
    pub(crate) fn answers(&self) -> Answers<E::Ticket> {
        let mut state = lock(&self.state);
        let State {
            windows,
            moved,
            done,
            nudged,
            ..
        } = &mut *state;
        *nudged = false;
        let committed = moved.drain(..).filter_map(|place| {
            let window = windows.get_mut(&place)?;
            window.moved = false;
            Some((place, window.epoch, window.committed?))
        });
        Answers {
            committed: committed.collect(),
            done: std::mem::take(done),
        }
    }

    /// The group has looked at these partitions: there may be room in their windows. Whether the engine waits for it.
    pub(super) fn looked(&self, state: &mut State<E::Ticket>) -> bool {
        let most = most(&self.config, state.windows.len());
        let mut any = false;
        for place in state.touched.drain(..) {
            let Some(window) = state.windows.get_mut(&place) else {
                continue;
            };
            if let Some(index) = state.group.position(place) {
                window.look(index);
            }
            if window.short && !is_short(left(window, most), most) {
                window.short = false;
                any = true;
            }
        }
        any
    }
}

impl<T> State<T> {
    /// A record has been answered: its ticket goes to the engine.
    pub(super) fn answer<E: Engine>(&mut self, place: Place, index: u64) {
        if !E::SINGLE {
            return;
        }
        let Some(window) = self.windows.get_mut(&place) else {
            return;
        };
        let epoch = window.epoch;
        if let Some(held) = window.get_mut(index) {
            let ticket = held.ticket.take();
            self.done
                .extend(ticket.map(|ticket| (place, epoch, held.offset, ticket)));
        }
    }

    /// All that is done with in a partition has been answered.
    pub(super) fn answer_all<E: Engine>(&mut self, place: Place) {
        if !E::SINGLE {
            return;
        }
        let Some(window) = self.windows.get(&place) else {
            return;
        };
        let end = self.group.position(place).unwrap_or(0);
        for index in window.first..end {
            if self.group.is_done(place, index) {
                self.answer::<E>(place, index);
            }
        }
    }
}

fn most(config: &crate::broker::ConsumerConfig, windows: usize) -> Room {
    Room {
        records: config.max_in_flight.clamp(AHEAD.0, AHEAD.1),
        bytes: (BYTES / windows.max(1)).clamp(FEW_BYTES, MANY_BYTES),
    }
}

fn left<T>(window: &Window<T>, most: Room) -> Room {
    Room {
        records: most.records.saturating_sub(window.ahead()),
        bytes: most.bytes.saturating_sub(window.ahead_bytes),
    }
}

fn is_short(room: Room, most: Room) -> bool {
    room.records < most.records / 2 || room.bytes < most.bytes / 2
}
