//! The answers of members, and of whoever deals with what was given up.

use tokio::time::Instant;

use super::cursor::{Cursor, Nacked};
use super::partition::Partition;
use super::{GivenUp, Group, MemberId, Place, Settle};

impl Group {
    /// A delivery is done with.
    pub(crate) fn ack(
        &mut self,
        member: MemberId,
        place: Place,
        offset: u64,
        generation: u64,
    ) -> Settle {
        let Some(partition) = self.held(member, place, generation) else {
            return Settle::Fenced;
        };
        let Some(cursor) = &mut partition.cursor else {
            return Settle::Fenced;
        };
        let settle = cursor.ack(offset);
        // Most acknowledgements concern nobody else.
        if partition.hand_over.is_some() || cursor.is_changed(partition.dirty) {
            self.settled(place);
        }
        settle
    }

    /// A delivery failed, and is to be made again, not before `at`.
    #[expect(clippy::too_many_arguments, reason = "each says something of its own")]
    pub(crate) fn nack(
        &mut self,
        member: MemberId,
        place: Place,
        offset: u64,
        generation: u64,
        at: Instant,
        reason: Option<String>,
        now: Instant,
    ) -> Settle {
        let max_attempts = self
            .members
            .get(&member)
            .and_then(|member| member.terms.max_attempts);
        let held = self.held(member, place, generation);
        let Some(cursor) = held.and_then(|it| it.cursor.as_mut()) else {
            return Settle::Fenced;
        };
        let attempts = match cursor.nack(offset, at.max(now), max_attempts) {
            Nacked::Not(settle) => return settle,
            Nacked::Waits => None,
            Nacked::GivenUp(attempts) => Some(attempts),
        };
        match attempts {
            None => self.effects.wake(member),
            Some(attempts) => self.effects.given_up.push(GivenUp {
                member,
                place,
                offset,
                generation,
                attempts,
                reason: reason.unwrap_or_else(|| "nacked".into()),
            }),
        }
        self.settled(place);
        Settle::Done { moved: None }
    }

    /// A delivery is in work: the time for its answer begins anew.
    pub(crate) fn extend(
        &mut self,
        member: MemberId,
        place: Place,
        offset: u64,
        generation: u64,
        now: Instant,
    ) -> Settle {
        let ack_wait = self.members.get(&member).map(|it| it.terms.ack_wait);
        let deadline = ack_wait.and_then(|wait| now.checked_add(wait));
        let held = self.held(member, place, generation);
        let Some(cursor) = held.and_then(|it| it.cursor.as_mut()) else {
            return Settle::Fenced;
        };
        let settle = cursor.extend(offset, deadline);
        if let (Settle::Done { .. }, Some(deadline)) = (settle, deadline) {
            self.arm(deadline);
            // A poll of the same member may be asleep, and does not know of this deadline.
            let asleep = self.members.get(&member);
            if asleep.is_some_and(|it| it.sleeps_beyond(deadline)) {
                self.effects.wake(member);
            }
        }
        settle
    }

    /// Everything that was delivered up to and including this offset is done with. `generation` 0: of whichever
    /// assignment.
    pub(crate) fn commit_to(
        &mut self,
        member: MemberId,
        place: Place,
        offset: u64,
        generation: u64,
    ) -> Settle {
        let current = self.partitions.get(place).map_or(0, |it| it.generation);
        let generation = if generation == 0 { current } else { generation };
        let held = self.held(member, place, generation);
        let Some(cursor) = held.and_then(|it| it.cursor.as_mut()) else {
            return Settle::Fenced;
        };
        let settle = cursor.commit_to(offset);
        self.settled(place);
        settle
    }

    /// Everything that was delivered to the member so far is done with, but for what it said failed. Returns the committed
    /// offsets that moved.
    pub(crate) fn commit_all(&mut self, member: MemberId) -> Vec<(Place, u64)> {
        let mut moved = Vec::new();
        for place in self.assignment(member) {
            let cursor = self
                .partitions
                .get_mut(place)
                .and_then(|partition| partition.cursor.as_mut());
            if let Some(committed) = cursor.and_then(Cursor::commit_all) {
                moved.push((place, committed));
            }
            self.settled(place);
        }
        moved
    }

    /// A record that was given up has been dealt with: it counts as acknowledged.
    pub(crate) fn given_up(&mut self, place: Place, offset: u64, generation: u64) {
        if let Some(cursor) = self.window(place, generation) {
            cursor.given_up(offset);
            self.settled(place);
        }
    }

    /// A record that was given up is to be delivered again after all, not before `at`.
    pub(crate) fn retry(&mut self, place: Place, offset: u64, generation: u64, at: Instant) {
        if let Some(cursor) = self.window(place, generation) {
            cursor.retry(offset, at);
            self.settled(place);
        }
    }

    /// The partition, if the member answers for it under this generation.
    fn held(&mut self, member: MemberId, place: Place, generation: u64) -> Option<&mut Partition> {
        self.partitions
            .get_mut(place)
            .filter(|it| it.owner == Some(member) && it.generation == generation)
    }

    /// The cursor, if it remembers what was delivered under this generation. Hand-overs do not change that.
    fn window(&mut self, place: Place, generation: u64) -> Option<&mut Cursor> {
        let partition = self.partitions.get_mut(place)?;
        if generation < partition.window_since {
            return None;
        }
        partition.cursor.as_mut()
    }

    /// What follows from a change in a cursor.
    pub(super) fn settled(&mut self, place: Place) {
        let Some(partition) = self.partitions.get_mut(place) else {
            return;
        };
        let Some(cursor) = &mut partition.cursor else {
            return;
        };
        let change = cursor.change();
        if change.moved {
            partition.home = None;
        }
        if change.moved && !partition.dirty {
            partition.dirty = true;
            self.dirty.push(place);
        }
        if let (true, Some(owner)) = (change.stirred, partition.owner) {
            self.effects.wake(owner);
        }
        let Some(hand_over) = partition.hand_over else {
            return;
        };
        if partition.out() == 0 {
            self.hand(place, Some(hand_over.to));
        }
    }
}
