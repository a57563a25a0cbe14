//! Who of a group owns which partition, by leases in a shared store of keys. Pure: what was seen of the keys, and when, are
//! arguments.
//!
//! Every member keeps a key of its own alive by writing it again and again. A partition's key names the member that owns
//! it. Every write says which revision it follows, and fails if there is another: so whoever wants to take what a silent
//! member has, first writes *that member's* key, and succeeds only if the member really has been silent since.
//!
//! A member trusts itself for three quarters of its term, from the moment at which it sent the last write of its own key
//! that is known to have come through. Others wait for the whole term, from the moment at which they saw that write. So as
//! long as clocks run alike to within a quarter, two members never believe that they own the same partition, whatever is
//! delayed, lost or seen late.

mod decide;
mod shares;
#[cfg(test)]
mod tests;
mod view;
pub(super) mod wire;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use crate::broker::Topic;

use view::View;
pub(super) use wire::{Lease, Member, Note};

/// A partition of a topic.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Part {
    pub(super) topic: Topic,
    pub(super) partition: u32,
}

/// What stands in the store.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Key {
    Member(String),
    Part(Part),
}

/// What is to be written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Value {
    Member(Member),
    Lease(Lease),
    /// The member is gone, or is declared so.
    Gone,
}

/// One write. It must fail where the key's last revision is another than `expected`; 0: where there is one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Write {
    pub(super) key: Key,
    pub(super) expected: u64,
    pub(super) value: Value,
}

/// What is to be done. Writes are answered by [`Leases::wrote`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Action {
    Write(Write),
    /// Look what the key holds now, and tell.
    Read(Key),
    /// Nobody needs the key any more: a member that is long gone.
    Sweep(String),
    /// The partition is this member's from now on.
    Own(Part),
    /// It is to go to somebody else: no more of it is to be delivered, and [`Leases::drained`] is to be called when what is
    /// out has been answered.
    Drain(Part),
    /// It is to stay after all.
    Keep(Part),
    /// It is this member's no longer.
    Lose(Part),
    /// This membership is over, and with it all that it owned.
    End(End),
}

/// Why a membership ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    /// It could not renew itself in time, or others declared it gone.
    Expired,
    /// It left.
    Left,
}

/// What became of a write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wrote {
    /// It came through, as this revision.
    As(u64),
    /// It did not: the key's revision was another.
    Conflict,
    /// Nobody knows.
    Unknown,
}

/// How long things take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Terms {
    /// A member that does not renew itself for so long may be declared gone.
    pub(super) term: Duration,
}

impl Terms {
    /// Shorter terms would be at the mercy of the scheduler.
    const LEAST: Duration = Duration::from_secs(1);
    /// Longer ones would keep partitions from everybody for ever.
    const MOST: Duration = Duration::from_secs(24 * 60 * 60);

    pub(super) fn new(session_timeout: Duration) -> Self {
        Self {
            term: session_timeout.clamp(Self::LEAST, Self::MOST),
        }
    }

    /// How long a member trusts itself.
    fn trust(self) -> Duration {
        self.term / 4 * 3
    }

    /// How often it renews itself.
    fn beat(self) -> Duration {
        (self.term / 6).min(Duration::from_secs(5))
    }

    /// For how long a server may keep what it was asked for by a member: it must have forgotten that of a member that others
    /// may declare gone.
    pub(super) fn expires(self) -> Duration {
        (self.term / 2).min(Duration::from_secs(5))
    }

    /// How long after a failure something is tried again.
    fn pause(self) -> Duration {
        (self.term / 16).min(Duration::from_secs(1))
    }
}

/// One membership, from its first write until it [ends](End). Whoever wants to be a member again takes a new name.
pub(super) struct Leases {
    me: String,
    former: Vec<String>,
    terms: Terms,
    /// What this member reads: topics, and how many partitions they have.
    topics: BTreeMap<Topic, u32>,
    view: View,
    /// This member's own key has been seen: so has everything that was written before it.
    synced: bool,
    held: BTreeMap<Part, Held>,
    /// Writes that are under way, or failed a moment ago.
    writes: BTreeMap<Key, Writing>,
    /// Writes of the own key that may have come through: their number, and when they were sent.
    beats: VecDeque<(u64, Instant)>,
    beat: u64,
    last_beat: Option<Instant>,
    /// What the last one said.
    told: Option<BTreeMap<Topic, u32>>,
    trusted_until: Option<Instant>,
    state: State,
    actions: Vec<Action>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Member,
    Leaving,
    Over,
}

/// A partition of this member's.
struct Held {
    going: Going,
    /// What is to be written into the lease.
    note: Option<Note>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Going {
    No,
    Draining,
    Closing,
    Drained,
}

#[derive(Clone, Debug)]
enum Writing {
    /// Under way.
    Sent,
    /// Nothing before this time.
    Resting(Instant),
}

impl Leases {
    /// A member of this name, which nobody else has or had. `former`: names that it had before, in memberships that are over.
    pub(super) fn new(
        me: String,
        terms: Terms,
        topics: BTreeMap<Topic, u32>,
        former: impl IntoIterator<Item = String>,
    ) -> Self {
        Self {
            me,
            former: former.into_iter().collect(),
            terms,
            topics,
            view: View::default(),
            synced: false,
            held: BTreeMap::new(),
            writes: BTreeMap::new(),
            beats: VecDeque::new(),
            beat: 0,
            last_beat: None,
            told: None,
            trusted_until: None,
            state: State::Member,
            actions: Vec::new(),
        }
    }

    /// Changes what this member reads.
    pub(super) fn read(&mut self, topics: BTreeMap<Topic, u32>) {
        self.topics = topics;
    }

    /// What a key holds, and since which revision. `None`: it holds nothing, and never did or not any more.
    pub(super) fn saw(&mut self, key: &Key, revision: u64, value: Option<Value>, now: Instant) {
        if matches!(key, Key::Member(name) if *name == self.me) {
            if let Some(Value::Member(member)) = &value {
                self.renewed(member.beat);
                self.synced = true;
            }
        }
        self.view.saw(key, revision, value, now);
    }

    /// What became of a write.
    pub(super) fn wrote(&mut self, write: &Write, outcome: Wrote, now: Instant) {
        let rest = now + self.terms.pause();
        match outcome {
            Wrote::As(revision) => {
                self.writes.remove(&write.key);
                match &write.value {
                    Value::Member(member) => self.renewed(member.beat),
                    Value::Lease(_) | Value::Gone => {}
                }
                self.view
                    .saw(&write.key, revision, Some(write.value.clone()), now);
            }
            Wrote::Conflict | Wrote::Unknown => {
                self.writes
                    .insert(write.key.clone(), Writing::Resting(rest));
                self.actions.push(Action::Read(write.key.clone()));
                match &write.key {
                    Key::Member(name) if *name == self.me => self.last_beat = None,
                    // Who leaves does not try again: with its own key, the partition goes as well.
                    Key::Part(part) if self.state == State::Leaving => drop(self.held.remove(part)),
                    _ => {}
                }
            }
        }
    }

    /// A partition that is to go has nothing out any more, and is given up with that.
    pub(super) fn drained(&mut self, part: &Part) {
        if let Some(held) = self.held.get_mut(part) {
            if held.going != Going::No {
                held.going = Going::Drained;
            }
        }
    }

    /// A partition that is to go does so for good: it can no longer stay, and is [drained](Self::drained) soon.
    pub(super) fn closing(&mut self, part: &Part) {
        if let Some(held) = self.held.get_mut(part) {
            held.going = Going::Closing;
        }
    }

    /// Whether everything that can be had at once is.
    pub(super) fn is_settled(&self) -> bool {
        let claims = |key: &Key| matches!(key, Key::Part(_));
        self.is_active()
            && self.told.as_ref() == Some(&self.topics)
            && !self.writes.keys().any(claims)
            && self.knows(&self.topics)
    }

    /// Whether this member's key says that it reads this.
    fn knows(&self, topics: &BTreeMap<Topic, u32>) -> bool {
        let me = self.view.members.get(&self.me);
        me.is_some_and(|me| matches!(&me.life, view::Life::Alive(me) if me.topics == *topics))
    }

    /// Whether others have heard of this member, and it of them.
    fn is_active(&self) -> bool {
        self.synced && self.trusted_until.is_some() && self.state == State::Member
    }

    /// Writes something into the lease of an own partition.
    pub(super) fn note(&mut self, part: &Part, note: Note) {
        if let Some(held) = self.held.get_mut(part) {
            held.note = Some(note);
        }
    }

    /// Whether everything that was [noted](Self::note) has been written. `None`: the partition is not this member's.
    pub(super) fn noted(&self, part: &Part) -> Option<bool> {
        self.held.get(part).map(|held| held.note.is_none())
    }

    /// What stands in the lease of a partition, whoever has it. `None`: nobody ever had it, as far as was seen.
    pub(super) fn note_of(&self, part: &Part) -> Option<&Note> {
        self.view.parts.get(part).map(|seen| &seen.lease.note)
    }

    /// Until when this member may trust in owning what it owns.
    pub(super) fn trusted_until(&self) -> Option<Instant> {
        self.trusted_until
    }

    /// Whether a partition is this member's, and is not being [given up](Self::closing).
    #[cfg(test)]
    pub(super) fn owns(&self, part: &Part) -> bool {
        let held = self.held.get(part);
        held.is_some_and(|held| !matches!(held.going, Going::Closing | Going::Drained))
    }

    /// Leaves, when everything has been [drained](Self::drained) that this member owns.
    pub(super) fn leave(&mut self) {
        if self.state == State::Member {
            self.state = State::Leaving;
        }
    }

    #[cfg(test)]
    pub(super) fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// A write of the own key has come through, and so has none before it later than it.
    fn renewed(&mut self, beat: u64) {
        while let Some(&(number, sent)) = self.beats.front() {
            if number > beat {
                break;
            }
            self.beats.pop_front();
            if number == beat {
                let until = sent + self.terms.trust();
                self.trusted_until =
                    Some(self.trusted_until.map_or(until, |known| known.max(until)));
            }
        }
    }
}
