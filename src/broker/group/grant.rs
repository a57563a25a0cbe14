//! Partitions that an engine outside the process gives and takes. For groups with one member, which subscribes to nothing
//! here: `assign` has nothing to say then.

use tokio::time::Instant;

use super::cursor::Cursor;
use super::member::Member;
use super::partition::Partition;
use super::{Group, MemberId, Place};

impl Group {
    /// Makes a partition the member's, under a generation that it never had before.
    pub(crate) fn grant(
        &mut self,
        member: MemberId,
        place: Place,
        at: u64,
        committed: Option<u64>,
        generation: u64,
    ) {
        self.revoke(place);
        let Some(known) = self.members.get_mut(&member) else {
            return;
        };
        known.gain(place);
        let partition = self.partitions.ensure(place);
        *partition = Partition {
            owner: Some(member),
            generation,
            window_since: generation,
            cursor: Some(Cursor::new(at, committed)),
            dirty: partition.dirty,
            ..Partition::default()
        };
        self.effects.assign(member, place);
    }

    /// Takes a partition from whoever has it.
    pub(crate) fn revoke(&mut self, place: Place) {
        if self
            .partitions
            .get(place)
            .is_some_and(|it| it.owner.is_some())
        {
            self.hand(place, None);
        }
    }

    /// Stops and starts taking from a partition that is about to be revoked. Its owner still answers for what it has.
    pub(crate) fn retire(&mut self, place: Place, retired: bool) {
        let Some(partition) = self.partitions.get_mut(place) else {
            return;
        };
        partition.retired = retired && partition.owner.is_some();
        if let Some(owner) = partition.owner {
            self.effects.wake(owner);
        }
    }

    /// Goes on elsewhere, and forgets what was delivered. `false`: the member is not the owner.
    pub(crate) fn reseat(
        &mut self,
        member: MemberId,
        place: Place,
        to: u64,
        generation: u64,
    ) -> bool {
        let Some(partition) = self.owned(member, place) else {
            return false;
        };
        let committed = partition.cursor.as_ref().and_then(Cursor::committed);
        partition.cursor = Some(Cursor::new(to, committed));
        partition.generation = generation;
        partition.window_since = generation;
        self.effects.wake(member);
        true
    }

    /// A record that was never taken here has been delivered so often before.
    pub(crate) fn delivered_before(&mut self, place: Place, offset: u64, attempts: u32) {
        let partition = self.partitions.get_mut(place);
        if let Some(cursor) = partition.and_then(|it| it.cursor.as_mut()) {
            cursor.delivered_before(offset, attempts);
        }
    }

    /// Whether a record is acknowledged.
    pub(crate) fn is_done(&self, place: Place, offset: u64) -> bool {
        self.cursor(place)
            .is_some_and(|cursor| cursor.is_done(offset))
    }

    /// Whether the member answers for the partition: also while it is retired.
    pub(crate) fn is_owned(&self, member: MemberId, place: Place) -> bool {
        let partition = self.partitions.get(place);
        partition.is_some_and(|partition| partition.owner == Some(member))
    }

    /// Deliveries of a partition that are neither answered nor overdue.
    pub(crate) fn in_hand(&self, place: Place) -> usize {
        self.partitions
            .get(place)
            .filter(|partition| partition.owner.is_some())
            .map_or(0, Partition::out)
    }

    /// Whether the member's session has not ended.
    pub(crate) fn is_live(&self, member: MemberId) -> bool {
        self.members.get(&member).is_some_and(|it| it.live)
    }

    /// When the member's session ends, unless something is heard of it.
    pub(crate) fn session_end(&self, member: MemberId) -> Option<Instant> {
        self.members.get(&member).and_then(Member::session_end)
    }

    /// Whether nothing happened but that offsets moved.
    pub(crate) fn is_quiet(&self) -> bool {
        self.effects.is_empty()
    }

    /// Hands out the committed offsets that moved; [`effects`](Self::effects) does not tell them again.
    pub(crate) fn moved(&mut self, mut each: impl FnMut(Place, u64)) {
        for place in self.dirty.drain(..) {
            let Some(partition) = self.partitions.get_mut(place) else {
                continue;
            };
            partition.dirty = false;
            if let Some(committed) = partition.cursor.as_ref().and_then(Cursor::committed) {
                each(place, committed);
            }
        }
    }
}
