//! A consumer group: who owns which partition, and how far each has come. Pure: the present and the log are arguments.
//!
//! `assign` decides whose a partition is to be, `rebalance` moves it there, `cursor` knows what of it was delivered and
//! what became of that, `take` hands out fairly, and `settle` takes the answers. What others have to know goes into
//! [`Effects`].

mod assign;
mod cursor;
mod effects;
#[cfg(any(feature = "kafka", feature = "nats", test))]
mod grant;
mod member;
mod partition;
mod rebalance;
mod settle;
mod take;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use member::Member;
use partition::{Partition, Partitions};

#[cfg(feature = "nats")]
pub(crate) use assign::{Readers, Seat as Share, assign};
pub(crate) use effects::{Effects, GivenUp};

pub(crate) type MemberId = u64;

/// A partition of a topic, by their numbers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(crate) struct Place {
    pub(crate) topic: u32,
    pub(crate) partition: u32,
}

/// What a member brings with it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(crate) ack_wait: Duration,
    pub(crate) max_attempts: Option<u32>,
    pub(crate) session_timeout: Duration,
    pub(crate) max_in_flight: usize,
    pub(crate) ordered: bool,
}

/// The records, as a group needs them.
pub(crate) trait Source {
    /// The oldest offset that is retained, and the next to be written.
    fn range(&mut self, place: Place) -> (u64, u64);

    /// A hash of the record's key, asked for in ordered mode only; all records without a key have one in common. `None`:
    /// not at hand now.
    fn key(&mut self, place: Place, offset: u64) -> Option<u64>;

    /// Hands a delivery out. `false`: not at hand now, and nothing was handed out.
    fn give(&mut self, place: Place, offset: u64, attempt: u32, generation: u64) -> bool;

    /// Hands out deliveries of `count` offsets, up to the first that is not at hand now. Returns how many.
    fn give_run(
        &mut self,
        place: Place,
        from: u64,
        count: usize,
        attempt: u32,
        generation: u64,
    ) -> usize {
        (from..)
            .take(count)
            .take_while(|&offset| self.give(place, offset, attempt, generation))
            .count()
    }
}

/// What a take came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) count: usize,
    /// What the source did not have at hand. Nothing behind it in its partition was handed out.
    pub(crate) missing: Vec<(Place, u64)>,
}

/// What became of an answer to a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settle {
    /// It counts; `moved` is the committed offset where that is a new one.
    Done { moved: Option<u64> },
    /// Settled before: nothing changed, and nothing is wrong.
    Late,
    /// The partition is not, or no longer, in these hands: nothing changed.
    Fenced,
    /// It was never delivered: nothing changed.
    Unknown,
}

/// The members of a group and its partitions.
///
/// Members that are gone may still be named, in calls (which do nothing then) as in effects.
pub(crate) struct Group {
    members: BTreeMap<MemberId, Member>,
    last_member: MemberId,
    partitions: Partitions,
    /// Before this there is nothing to do for `tick`. May be early, never late.
    due: Option<Instant>,
    effects: Effects,
    /// Partitions whose committed offset has moved since effects were drained.
    dirty: Vec<Place>,
    /// The memory of a take's round.
    round: Vec<Place>,
}

impl Group {
    pub(crate) fn new() -> Self {
        Self {
            members: BTreeMap::new(),
            last_member: 0,
            partitions: Partitions::default(),
            due: None,
            effects: Effects::default(),
            dirty: Vec::new(),
            round: Vec::new(),
        }
    }

    /// A new member, without a subscription.
    pub(crate) fn join(&mut self, terms: Terms, now: Instant) -> MemberId {
        self.last_member += 1;
        let id = self.last_member;
        self.members.insert(id, Member::new(terms, now));
        self.session_began(id);
        id
    }

    /// Replaces the member's subscription. `topics`: number of the topic and how many partitions it has.
    pub(crate) fn subscribe(&mut self, member: MemberId, topics: &[(u32, u32)], now: Instant) {
        let Some(known) = self.members.get_mut(&member) else {
            return;
        };
        known.topics = topics.iter().copied().collect();
        known.seen = now;
        if !known.live {
            known.live = true;
            self.session_began(member);
        }
        self.rebalance(now);
    }

    /// The member is gone. What it had goes to the others at once.
    pub(crate) fn leave(&mut self, member: MemberId, now: Instant) {
        if self.members.remove(&member).is_some() {
            self.rebalance(now);
        }
    }

    /// The member did something. One that had expired joins again, with the subscription it had.
    pub(crate) fn touch(&mut self, member: MemberId, now: Instant) {
        let Some(known) = self.members.get_mut(&member) else {
            return;
        };
        known.seen = known.seen.max(now);
        if !known.live {
            known.live = true;
            self.session_began(member);
            self.rebalance(now);
        }
    }

    /// The member waits in a poll, and does not expire meanwhile. Counted.
    pub(crate) fn park(&mut self, member: MemberId) {
        if let Some(known) = self.members.get_mut(&member) {
            known.parked += 1;
        }
    }

    /// One poll of the member waits no more.
    pub(crate) fn unpark(&mut self, member: MemberId, now: Instant) {
        let Some(known) = self.members.get_mut(&member) else {
            return;
        };
        known.parked = known.parked.saturating_sub(1);
        // The timer that was told may have gone with this poll.
        known.told.set(None);
        let alone = known.parked == 0;
        self.touch(member, now);
        if alone {
            self.session_began(member);
        }
    }

    /// Whether the partition is the member's, and not on its way to another.
    pub(crate) fn is_owner(&self, member: MemberId, place: Place) -> bool {
        self.partitions
            .get(place)
            .is_some_and(|partition| partition.is_active(member))
    }

    /// The partitions that are the member's, in order; also those that it only answers for until they are handed over.
    pub(crate) fn assignment(&self, member: MemberId) -> Vec<Place> {
        self.members
            .get(&member)
            .map_or_else(Vec::new, |member| member.places.clone())
    }

    /// Stops and starts taking from a partition. `false`: the member is not its owner.
    pub(crate) fn pause(&mut self, member: MemberId, place: Place, paused: bool) -> bool {
        let Some(partition) = self.owned(member, place) else {
            return false;
        };
        partition.paused = paused;
        if !paused {
            self.effects.wake(member);
        }
        true
    }

    /// The member's partitions from which nothing can be taken before [`begin`](Self::begin).
    pub(crate) fn needs_start(&self, member: MemberId) -> Vec<Place> {
        let Some(member) = self.members.get(&member) else {
            return Vec::new();
        };
        let no_cursor = |place: &&Place| {
            self.partitions
                .get(**place)
                .is_some_and(|partition| partition.cursor.is_none())
        };
        member.places.iter().filter(no_cursor).copied().collect()
    }

    /// Where reading begins in a partition. Without effect where it has begun.
    pub(crate) fn begin(&mut self, place: Place, at: u64) {
        self.start(place, at, None);
    }

    /// Where the group had come to, before there was this [`Group`]. Without effect where reading has begun.
    #[cfg(any(feature = "durable", test))]
    pub(crate) fn restore(&mut self, place: Place, committed: u64) {
        self.start(place, committed, Some(committed));
    }

    fn start(&mut self, place: Place, at: u64, committed: Option<u64>) {
        let partition = self.partitions.ensure(place);
        if partition.cursor.is_some() {
            return;
        }
        partition.cursor = Some(cursor::Cursor::new(at, committed));
        if let Some(owner) = partition.owner {
            self.effects.wake(owner);
        }
    }

    /// Goes on elsewhere, and forgets what was delivered. The committed offset moves with the next answer. `false`: the
    /// member is not the owner.
    pub(crate) fn seek(&mut self, member: MemberId, place: Place, to: u64) -> bool {
        let Some(partition) = self.owned(member, place) else {
            return false;
        };
        let known = partition.cursor.as_ref();
        let committed = known.and_then(cursor::Cursor::committed);
        let here = known.map(cursor::Cursor::low);
        partition.home = partition.home.or(here);
        partition.cursor = Some(cursor::Cursor::new(to, committed));
        partition.generation += 1;
        partition.window_since = partition.generation;
        self.effects.wake(member);
        true
    }

    /// The first offset that was never delivered (in ordered mode: never looked at).
    pub(crate) fn position(&self, place: Place) -> Option<u64> {
        self.cursor(place).map(cursor::Cursor::next)
    }

    /// What the group has committed: a restart goes on here. `None` before the first answer.
    pub(crate) fn committed(&self, place: Place) -> Option<u64> {
        self.cursor(place).and_then(cursor::Cursor::committed)
    }

    /// The first offset that is not acknowledged.
    pub(crate) fn low(&self, place: Place) -> Option<u64> {
        self.cursor(place).map(cursor::Cursor::low)
    }

    /// What happened since the last call. What was revoked was so before anything was assigned.
    pub(crate) fn effects(&mut self) -> Effects {
        for place in self.dirty.drain(..) {
            let Some(partition) = self.partitions.get_mut(place) else {
                continue;
            };
            partition.dirty = false;
            if let Some(committed) = partition.cursor.as_ref().and_then(|c| c.committed()) {
                self.effects.moved.push((place, committed));
            }
        }
        std::mem::take(&mut self.effects)
    }

    fn cursor(&self, place: Place) -> Option<&cursor::Cursor> {
        self.partitions.get(place)?.cursor.as_ref()
    }

    /// The partition, if the member owns it and may take from it.
    fn owned(&mut self, member: MemberId, place: Place) -> Option<&mut Partition> {
        self.partitions
            .get_mut(place)
            .filter(|partition| partition.is_active(member))
    }

    /// Whoever waits must learn of a session that may end earlier than anything they wait for.
    fn session_began(&mut self, member: MemberId) {
        let Some(end) = self.members.get(&member).and_then(Member::session_end) else {
            return;
        };
        self.arm(end);
        for (&id, other) in &self.members {
            if id != member && other.sleeps_beyond(end) {
                self.effects.wake(id);
            }
        }
    }

    /// There is something to do for `tick` at this time.
    fn arm(&mut self, at: Instant) {
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }
}

/// An instant beyond the clock's reach counts as thirty years.
pub(crate) fn later(now: Instant, wait: Duration) -> Instant {
    const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);
    now.checked_add(wait.min(FAR)).unwrap_or(now)
}
