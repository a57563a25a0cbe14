//! One partition as a group sees it, and all of them.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::cursor::Cursor;
use super::{MemberId, Place};

#[derive(Default)]
pub(super) struct Partition {
    pub(super) owner: Option<MemberId>,
    /// It is on its way from its owner to another member.
    pub(super) hand_over: Option<HandOver>,
    /// Of the assignment; 0 before the first.
    pub(super) generation: u64,
    /// The generation that the cursor's window began under: what is older was forgotten.
    pub(super) window_since: u64,
    pub(super) paused: bool,
    /// It is about to be revoked: its owner answers, and takes nothing more.
    pub(super) retired: bool,
    /// Where the group was before its owner sought elsewhere, as long as nothing was committed there.
    pub(super) home: Option<u64>,
    /// `None` until it is known where to begin.
    pub(super) cursor: Option<Cursor>,
    /// Stands in the list of those whose committed offset has moved.
    pub(super) dirty: bool,
}

/// A partition that waits for its owner's answers before it goes to another member.
#[derive(Clone, Copy)]
pub(super) struct HandOver {
    pub(super) to: MemberId,
    /// It does not wait beyond.
    pub(super) until: Option<Instant>,
}

impl Partition {
    /// Whether the member may take from it.
    pub(super) fn is_active(&self, member: MemberId) -> bool {
        self.owner == Some(member) && self.hand_over.is_none() && !self.retired
    }

    /// Whose it is, or is to be.
    pub(super) fn target(&self) -> Option<MemberId> {
        self.hand_over.map(|hand_over| hand_over.to).or(self.owner)
    }

    /// Deliveries that are neither answered nor overdue.
    pub(super) fn out(&self) -> usize {
        self.cursor.as_ref().map_or(0, Cursor::out)
    }

    /// When a delivery is overdue. May be early.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.owner
            .and(self.cursor.as_ref())
            .and_then(Cursor::deadline)
    }

    /// Whether a hand-over need not wait, or may no longer.
    pub(super) fn may_go(&self, now: Instant) -> bool {
        self.hand_over.is_some_and(|hand_over| {
            self.out() == 0 || hand_over.until.is_some_and(|until| until <= now)
        })
    }
}

/// Partitions by topic and number.
#[derive(Default)]
pub(super) struct Partitions {
    topics: BTreeMap<u32, Vec<Partition>>,
}

impl Partitions {
    pub(super) fn get(&self, place: Place) -> Option<&Partition> {
        self.topics.get(&place.topic)?.get(place.partition as usize)
    }

    pub(super) fn get_mut(&mut self, place: Place) -> Option<&mut Partition> {
        self.topics
            .get_mut(&place.topic)?
            .get_mut(place.partition as usize)
    }

    /// The partition, which comes into being with all before it if it has not been heard of.
    pub(super) fn ensure(&mut self, place: Place) -> &mut Partition {
        let topic = self.topics.entry(place.topic).or_default();
        let index = place.partition as usize;
        if topic.len() <= index {
            topic.resize_with(index + 1, Partition::default);
        }
        &mut topic[index]
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Place, &Partition)> {
        self.topics.iter().flat_map(|(&topic, partitions)| {
            (0..).zip(partitions).map(move |(partition, it)| {
                let place = Place { topic, partition };
                (place, it)
            })
        })
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (Place, &mut Partition)> {
        self.topics.iter_mut().flat_map(|(&topic, partitions)| {
            (0..).zip(partitions).map(move |(partition, it)| {
                let place = Place { topic, partition };
                (place, it)
            })
        })
    }
}
