//! What is to be done now, and when to look again.

use tokio::time::Instant;

use super::view::{Life, SeenMember};
use super::{
    Action, End, Going, Held, Key, Lease, Leases, Member, Part, State, Value, Write, Writing,
    shares,
};

/// For so many terms the name of a member that is gone is kept, so that nobody who lags behind misses that it is.
const REMEMBERED: u32 = 8;

impl Leases {
    /// What is to be done. To be called after everything that was told, and when it is [due](Self::next_due).
    pub(in crate::nats) fn step(&mut self, now: Instant) -> Vec<Action> {
        self.writes
            .retain(|_, writing| !matches!(writing, Writing::Resting(until) if *until <= now));
        match self.state {
            State::Over => {}
            _ if self.has_expired(now) => self.end(End::Expired),
            State::Leaving => self.go(),
            State::Member => {
                self.renew(now);
                if self.is_active() {
                    self.take_stock();
                    self.share();
                    self.declare(now);
                    self.sweep(now);
                }
            }
        }
        std::mem::take(&mut self.actions)
    }

    /// When there is something to do, if nothing is told before. May be early.
    pub(in crate::nats) fn next_due(&self) -> Option<Instant> {
        if self.state == State::Over {
            return None;
        }
        let rests = self.writes.values().filter_map(|writing| match writing {
            Writing::Resting(until) => Some(*until),
            Writing::Sent => None,
        });
        let active = self.is_active();
        let others = self.view.members.iter().filter(|(name, _)| {
            let key = Key::Member((*name).clone());
            active && **name != self.me && !self.writes.contains_key(&key)
        });
        let others = others.filter_map(|(name, seen)| {
            let kept = seen.life == Life::Gone && self.is_named(name);
            (!kept).then(|| self.ends(name, seen))
        });
        let me = Key::Member(self.me.clone());
        let beat = self.last_beat.map(|sent| sent + self.terms.beat());
        let beat = beat.filter(|_| !self.writes.contains_key(&me));
        rests
            .chain(others)
            .chain(beat)
            .chain(self.trusted_until)
            .min()
    }

    /// When a silent member may be declared gone, or one that is gone may be forgotten.
    fn ends(&self, name: &String, seen: &SeenMember) -> Instant {
        match &seen.life {
            // Nobody knows better.
            Life::Alive(_) | Life::Heard if self.former.contains(name) => seen.since,
            Life::Alive(member) => seen.since + member.term,
            Life::Heard => seen.since + self.terms.term,
            Life::Gone => seen.since + self.terms.term * REMEMBERED,
        }
    }

    fn has_expired(&self, now: Instant) -> bool {
        let gone = |seen: &SeenMember| seen.life == Life::Gone;
        self.view.members.get(&self.me).is_some_and(gone)
            || self.trusted_until.is_some_and(|until| until <= now)
    }

    fn end(&mut self, end: End) {
        let held = std::mem::take(&mut self.held);
        let lost = held.into_keys().map(Action::Lose);
        self.actions.extend(lost);
        self.actions.push(Action::End(end));
        self.state = State::Over;
    }

    /// Gives up what it owns, and then itself.
    fn go(&mut self) {
        let view = &self.view;
        self.held
            .retain(|part, _| view.owner(part) == Some(&self.me));
        self.release(&[]);
        if self.held.is_empty() {
            self.leave_now();
        }
    }

    /// With the own key everything goes that is left.
    fn leave_now(&mut self) {
        let key = Key::Member(self.me.clone());
        if matches!(self.writes.get(&key), Some(Writing::Sent)) {
            return;
        }
        let expected = self.view.revision(&key);
        if expected > 0 {
            self.actions.push(Action::Write(Write {
                key,
                expected,
                value: Value::Gone,
            }));
        }
        self.end(End::Left);
    }

    fn renew(&mut self, now: Instant) {
        let due = self
            .last_beat
            .is_none_or(|sent| sent + self.terms.beat() <= now)
            || self.told.as_ref() != Some(&self.topics);
        if !due {
            return;
        }
        let key = Key::Member(self.me.clone());
        if self.writes.contains_key(&key) {
            return;
        }
        self.beat += 1;
        self.beats.push_back((self.beat, now));
        self.last_beat = Some(now);
        self.told = Some(self.topics.clone());
        let member = Member {
            term: self.terms.term,
            beat: self.beat,
            topics: self.topics.clone(),
        };
        self.write(key, Value::Member(member));
    }

    /// Takes over what the leases say is this member's, and gives up what they say is not.
    fn take_stock(&mut self) {
        let view = &self.view;
        let mut lost = Vec::new();
        self.held.retain(|part, _| {
            let mine = view.owner(part) == Some(&self.me);
            if !mine {
                lost.push(part.clone());
            }
            mine
        });
        self.actions.extend(lost.into_iter().map(Action::Lose));
        for part in view.parts.keys() {
            let mine = view.owner(part) == Some(&self.me);
            if mine && !self.held.contains_key(part) {
                let held = Held {
                    going: Going::No,
                    note: None,
                };
                self.held.insert(part.clone(), held);
                self.actions.push(Action::Own(part.clone()));
            }
        }
    }

    /// Claims what is to be this member's, and gives up what is to be somebody else's.
    fn share(&mut self) {
        let mine = shares::mine(&self.view, &self.me);
        self.release(&mine);
        for part in mine {
            let free = self.view.owner(&part).is_none();
            let key = Key::Part(part.clone());
            if free && !self.held.contains_key(&part) && !self.writes.contains_key(&key) {
                let note = self.note_of(&part).cloned().unwrap_or_default();
                let owner = Some(self.me.clone());
                self.write(key, Value::Lease(Lease { owner, note }));
            }
        }
    }

    /// Gives up what is not to be this member's, and writes what was noted.
    fn release(&mut self, mine: &[Part]) {
        let mut writes = Vec::new();
        for (part, held) in &mut self.held {
            let stays = mine.binary_search(part).is_ok();
            match (held.going, stays) {
                (Going::No, false) => {
                    held.going = Going::Draining;
                    self.actions.push(Action::Drain(part.clone()));
                }
                (Going::Draining, true) => {
                    held.going = Going::No;
                    self.actions.push(Action::Keep(part.clone()));
                }
                _ => {}
            }
            let key = Key::Part(part.clone());
            if self.writes.contains_key(&key) {
                continue;
            }
            let known = self.view.parts.get(part).map(|seen| &seen.lease.note);
            if held.note.as_ref() == known {
                held.note = None;
            }
            let release = held.going == Going::Drained;
            if !release && held.note.is_none() {
                continue;
            }
            let note = held.note.as_ref().or(known).cloned().unwrap_or_default();
            let owner = (!release).then(|| self.me.clone());
            writes.push((part.clone(), Lease { owner, note }));
        }
        for (part, lease) in writes {
            self.write(Key::Part(part), Value::Lease(lease));
        }
    }

    /// Declares gone who has been silent for its term.
    fn declare(&mut self, now: Instant) {
        let silent: Vec<_> = self
            .view
            .members
            .iter()
            .filter(|(name, seen)| {
                **name != self.me && seen.life != Life::Gone && self.ends(name, seen) <= now
            })
            .map(|(name, _)| Key::Member(name.clone()))
            .collect();
        for key in silent {
            if !self.writes.contains_key(&key) {
                self.write(key, Value::Gone);
            }
        }
    }

    /// Forgets who is long gone.
    fn sweep(&mut self, now: Instant) {
        let old: Vec<String> = self
            .view
            .members
            .iter()
            .filter(|(name, seen)| seen.life == Life::Gone && self.ends(name, seen) <= now)
            .filter(|(name, _)| !self.is_named(name))
            .map(|(name, _)| name.clone())
            .collect();
        for name in old {
            self.view.members.remove(&name);
            self.actions.push(Action::Sweep(name));
        }
    }

    /// Whether some partition's lease names this member.
    fn is_named(&self, name: &str) -> bool {
        let mut leases = self.view.parts.values();
        leases.any(|seen| seen.lease.owner.as_deref() == Some(name))
    }

    fn write(&mut self, key: Key, value: Value) {
        let write = Write {
            expected: self.view.revision(&key),
            key: key.clone(),
            value,
        };
        self.writes.insert(key, Writing::Sent);
        self.actions.push(Action::Write(write));
    }
}
