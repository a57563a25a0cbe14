//! Moving partitions between members, and everything that time brings.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::assign::{Readers, Seat, assign};
use super::cursor::Cursor;
use super::member::Member;
use super::partition::HandOver;
use super::{Group, MemberId, Place};

impl Group {
    /// Does everything that is due: deliveries whose `ack_wait` is over, sessions that ended, hand-overs that are finished
    /// or overdue. A comparison where nothing is.
    pub(crate) fn tick(&mut self, now: Instant) {
        if self.due.is_none_or(|due| now < due) {
            return;
        }
        self.overdue_deliveries(now);
        // Sessions before hand-overs: so no partition moves twice in one tick.
        self.ended_sessions(now);
        self.finished_hand_overs(now);
        self.due = self.earliest();
    }

    /// When `tick` has something to do, or a redelivery gets due, as far as it concerns this member: in its own
    /// partitions, in those on their way to it, and the sessions of others. May be early, and may be past where something
    /// can be taken right now.
    ///
    /// A member that waits in a poll is woken when this would become earlier.
    pub(crate) fn next_due(&self, member: MemberId) -> Option<Instant> {
        let asking = self.members.get(&member)?;
        let sessions = self
            .members
            .iter()
            .filter(|&(&id, _)| id != member)
            .filter_map(|(_, other)| other.session_end());
        let places = self.partitions.iter().flat_map(|(_, partition)| {
            let owner = partition.owner == Some(member);
            let concerned = owner || partition.target() == Some(member);
            let takes = partition.is_active(member) && !partition.paused;
            [
                partition.deadline().filter(|_| concerned),
                partition
                    .hand_over
                    .and_then(|hand_over| hand_over.until)
                    .filter(|_| concerned),
                partition
                    .cursor
                    .as_ref()
                    .filter(|_| takes)
                    .and_then(Cursor::redelivery),
            ]
        });
        let due = sessions.chain(places.flatten()).min();
        asking.told.set(due);
        due
    }

    /// Gives every partition the owner that it should have, now or as soon as its present one has answered.
    pub(super) fn rebalance(&mut self, now: Instant) {
        let topics = self.readers();
        for (&topic, readers) in &topics {
            if let Some(partition) = readers.partitions.checked_sub(1) {
                self.partitions.ensure(Place { topic, partition });
            }
        }
        let mut seats: Vec<_> = self
            .partitions
            .iter()
            .map(|(place, partition)| Seat {
                place,
                owner: partition.owner,
                target: partition.target(),
            })
            .collect();
        assign(&topics, &mut seats);
        for seat in seats {
            self.seat(seat, now);
        }
    }

    /// Who reads which topic.
    fn readers(&self) -> BTreeMap<u32, Readers> {
        let mut topics = BTreeMap::<u32, Readers>::new();
        for (&id, member) in self.members.iter().filter(|(_, member)| member.live) {
            for (&topic, &partitions) in &member.topics {
                let readers = topics.entry(topic).or_default();
                readers.members.push(id);
                readers.partitions = readers.partitions.max(partitions);
            }
        }
        topics
    }

    fn seat(&mut self, seat: Seat, now: Instant) {
        let Seat {
            place,
            owner,
            target,
        } = seat;
        let Some(partition) = self.partitions.get_mut(place) else {
            return;
        };
        if target == owner {
            if let (Some(owner), Some(_)) = (owner, partition.hand_over.take()) {
                self.effects.wake(owner);
            }
            return;
        }
        let Some((from, to)) = owner.zip(target) else {
            return self.hand(place, target);
        };
        let holder = self.members.get(&from);
        let Some(holder) = holder.filter(|it| it.wants(place.topic) && partition.out() > 0) else {
            return self.hand(place, target);
        };
        let until = match partition.hand_over {
            Some(begun) => begun.until,
            None => now.checked_add(holder.terms.session_timeout),
        };
        partition.hand_over = Some(HandOver { to, until });
        self.effects.wake(from);
        self.effects.wake(to);
        if let Some(until) = until {
            self.arm(until);
        }
    }

    /// Makes a partition somebody's, or nobody's, at once.
    pub(super) fn hand(&mut self, place: Place, to: Option<MemberId>) {
        let Some(partition) = self.partitions.get_mut(place) else {
            return;
        };
        partition.hand_over = None;
        partition.paused = false;
        partition.retired = false;
        let from = std::mem::replace(&mut partition.owner, to);
        if let Some(from) = from {
            let unacknowledged = partition.cursor.as_mut().map_or(0, |c| c.release());
            // A seek was for its owner alone, as long as nothing was committed after it.
            if let (Some(home), Some(cursor)) = (partition.home.take(), &mut partition.cursor) {
                *cursor = Cursor::new(home, cursor.committed());
                partition.window_since = partition.generation + 1;
            }
            if let Some(member) = self.members.get_mut(&from) {
                member.lose(place);
            }
            self.effects.revoke(from, place, unacknowledged);
        }
        if let Some(to) = to {
            partition.generation += 1;
            if let Some(member) = self.members.get_mut(&to) {
                member.gain(place);
            }
            self.effects.assign(to, place);
        }
    }

    fn overdue_deliveries(&mut self, now: Instant) {
        for (place, partition) in self.partitions.iter_mut() {
            let (Some(owner), Some(cursor)) = (partition.owner, &mut partition.cursor) else {
                continue;
            };
            let Some(member) = self.members.get(&owner) else {
                continue;
            };
            let generation = partition.generation;
            let mut any = false;
            cursor.overdue(now, member.terms.max_attempts, |offset, given_up| {
                any = true;
                if let Some(attempts) = given_up {
                    self.effects.given_up.push(super::GivenUp {
                        member: owner,
                        place,
                        offset,
                        generation,
                        attempts,
                        reason: format!("not acknowledged within {:?}", member.terms.ack_wait),
                    });
                }
            });
            if any {
                self.effects.wake(owner);
            }
        }
    }

    fn ended_sessions(&mut self, now: Instant) {
        let mut any = false;
        for (&id, member) in &mut self.members {
            if member.session_end().is_some_and(|end| end <= now) {
                any = true;
                member.live = false;
                self.effects.expired.push(id);
                self.effects.wake(id);
            }
        }
        if any {
            self.rebalance(now);
        }
    }

    fn finished_hand_overs(&mut self, now: Instant) {
        let finished: Vec<_> = self
            .partitions
            .iter()
            .filter(|(_, partition)| partition.may_go(now))
            .map(|(place, partition)| (place, partition.target()))
            .collect();
        for (place, to) in finished {
            self.hand(place, to);
        }
    }

    fn earliest(&self) -> Option<Instant> {
        let sessions = self.members.values().filter_map(Member::session_end);
        let hand_overs = self
            .partitions
            .iter()
            .filter_map(|(_, partition)| partition.hand_over?.until);
        let deadlines = self
            .partitions
            .iter()
            .filter_map(|(_, partition)| partition.deadline());
        sessions.chain(hand_overs).chain(deadlines).min()
    }
}
