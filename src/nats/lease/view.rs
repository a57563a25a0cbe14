//! What is known of a group's keys.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::{Key, Lease, Member, Part, Value};

/// The newest of what was seen of each key.
#[derive(Default)]
pub(crate) struct View {
    pub(super) members: BTreeMap<String, SeenMember>,
    pub(super) parts: BTreeMap<Part, SeenLease>,
}

pub(super) struct SeenMember {
    /// 0: the key was never seen, but the name.
    pub(super) revision: u64,
    pub(super) life: Life,
    /// When this revision was first seen.
    pub(super) since: Instant,
}

pub(super) struct SeenLease {
    pub(super) revision: u64,
    pub(super) lease: Lease,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Life {
    Alive(Member),
    Gone,
    /// A lease names it, and that is all that is known of it.
    Heard,
}

impl View {
    pub(super) fn saw(&mut self, key: &Key, revision: u64, value: Option<Value>, now: Instant) {
        match key {
            Key::Member(name) => self.saw_member(name, revision, value, now),
            Key::Part(part) => self.saw_lease(part, revision, value, now),
        }
    }

    fn saw_member(&mut self, name: &str, revision: u64, value: Option<Value>, now: Instant) {
        let life = match value {
            Some(Value::Member(member)) => Life::Alive(member),
            Some(Value::Gone) => Life::Gone,
            // Swept away by somebody who knew that it was gone, or not written yet.
            Some(Value::Lease(_)) | None => return,
        };
        let known = self.members.get(name);
        if known.is_some_and(|known| known.revision >= revision) {
            return;
        }
        self.members.insert(
            name.into(),
            SeenMember {
                revision,
                life,
                since: now,
            },
        );
    }

    fn saw_lease(&mut self, part: &Part, revision: u64, value: Option<Value>, now: Instant) {
        let Some(Value::Lease(lease)) = value else {
            return;
        };
        if let Some(owner) = &lease.owner {
            self.members.entry(owner.clone()).or_insert(SeenMember {
                revision: 0,
                life: Life::Heard,
                since: now,
            });
        }
        let known = self.parts.get(part);
        if known.is_some_and(|known| known.revision >= revision) {
            return;
        }
        self.parts
            .insert(part.clone(), SeenLease { revision, lease });
    }

    /// Whoever owns a partition and was not declared gone.
    pub(super) fn owner(&self, part: &Part) -> Option<&str> {
        let owner = self.parts.get(part)?.lease.owner.as_deref()?;
        let gone = self
            .members
            .get(owner)
            .is_some_and(|member| member.life == Life::Gone);
        (!gone).then_some(owner)
    }

    pub(super) fn revision(&self, key: &Key) -> u64 {
        match key {
            Key::Member(name) => self.members.get(name).map_or(0, |it| it.revision),
            Key::Part(part) => self.parts.get(part).map_or(0, |it| it.revision),
        }
    }
}
