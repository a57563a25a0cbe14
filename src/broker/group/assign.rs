//! Whose a partition is to be: balanced, and as it was wherever balance allows.

use std::collections::BTreeMap;

use super::{MemberId, Place};

/// A partition, where it is, and where it is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seat {
    pub(crate) place: Place,
    /// Who has it now.
    pub(crate) owner: Option<MemberId>,
    /// Who was to have it; becomes who is to have it.
    pub(crate) target: Option<MemberId>,
}

/// Who reads a topic.
#[derive(Debug, Default)]
pub(crate) struct Readers {
    /// In order.
    pub(crate) members: Vec<MemberId>,
    pub(crate) partitions: u32,
}

type Topics = BTreeMap<u32, Readers>;

/// Sets every seat's target.
///
/// A seat stays with its target if that still reads the topic. Those without one go to who has the fewest. Then seats
/// move one by one from whoever has the most to whoever has the fewest, while that makes the two less unequal. So members
/// that read the same topics end up with numbers that differ by one at the most, and no seat moves that need not.
pub(crate) fn assign(topics: &Topics, seats: &mut [Seat]) {
    let mut load = Load::default();
    for readers in topics.values() {
        for &member in &readers.members {
            load.0.insert(member, 0);
        }
    }
    for seat in seats.iter_mut() {
        let readers = readers(topics, seat.place);
        seat.target = seat.target.filter(|it| readers.binary_search(it).is_ok());
        load.add(seat.target);
    }
    for seat in seats.iter_mut().filter(|seat| seat.target.is_none()) {
        seat.target = load.least(readers(topics, seat.place), seat.owner);
        load.add(seat.target);
    }
    while let Some((index, to)) = improvement(topics, seats, &load) {
        load.remove(seats[index].target);
        seats[index].target = Some(to);
        load.add(Some(to));
    }
}

fn readers(topics: &Topics, place: Place) -> &[MemberId] {
    topics
        .get(&place.topic)
        .filter(|readers| place.partition < readers.partitions)
        .map_or(&[], |readers| &readers.members)
}

/// The seat whose move helps most, and where it goes.
fn improvement(topics: &Topics, seats: &[Seat], load: &Load) -> Option<(usize, MemberId)> {
    let mut best = None;
    // A difference of one does not get smaller.
    let mut most = 2;
    // Seats of a topic lie together, so the least loaded of its readers is looked up once.
    let mut least = None;
    for (index, seat) in seats.iter().enumerate() {
        let (Some(target), topic) = (seat.target, seat.place.topic) else {
            continue;
        };
        let to = match least {
            Some((known, to)) if known == topic => to,
            _ => load.least(readers(topics, seat.place), None),
        };
        least = Some((topic, to));
        let Some(to) = to else { continue };
        let gap = load.of(target).saturating_sub(load.of(to));
        if gap >= most {
            most = gap;
            best = Some((index, to));
        }
    }
    best
}

/// How many partitions everybody is to have.
#[derive(Default)]
struct Load(BTreeMap<MemberId, usize>);

impl Load {
    fn of(&self, member: MemberId) -> usize {
        self.0.get(&member).copied().unwrap_or(0)
    }

    fn add(&mut self, member: Option<MemberId>) {
        if let Some(member) = member {
            *self.0.entry(member).or_default() += 1;
        }
    }

    fn remove(&mut self, member: Option<MemberId>) {
        if let Some(load) = member.and_then(|member| self.0.get_mut(&member)) {
            *load = load.saturating_sub(1);
        }
    }

    /// Who has the fewest; among equals `favourite`, then who came first.
    fn least(&self, members: &[MemberId], favourite: Option<MemberId>) -> Option<MemberId> {
        let cost = |member: &MemberId| (self.of(*member), Some(*member) != favourite, *member);
        members.iter().copied().min_by_key(cost)
    }
}
