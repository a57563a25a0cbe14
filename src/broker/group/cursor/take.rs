//! Taking from one partition.

use std::cmp::Reverse;

use tokio::time::Instant;

use super::super::{Place, Source};
use super::runs::Span;
use super::{Cursor, Slot, State};

/// What is to be taken, and from where.
pub(crate) struct Pull<'a> {
    pub(crate) place: Place,
    pub(crate) generation: u64,
    pub(crate) limit: usize,
    pub(crate) now: Instant,
    /// By when to answer.
    pub(crate) deadline: Option<Instant>,
    pub(crate) max_in_flight: usize,
    pub(crate) ordered: bool,
    pub(crate) source: &'a mut dyn Source,
    pub(crate) missing: &'a mut Vec<(Place, u64)>,
}

impl Pull<'_> {
    fn give(&mut self, offset: u64, attempt: u32) -> bool {
        let given = self
            .source
            .give(self.place, offset, attempt, self.generation);
        if !given {
            self.missing.push((self.place, offset));
        }
        given
    }

    /// Gives records as their so manieth attempt, up to the first that is missing.
    fn give_run(&mut self, from: u64, count: usize, attempt: u32) -> usize {
        let (place, generation) = (self.place, self.generation);
        let given = self
            .source
            .give_run(place, from, count, attempt, generation);
        if given < count {
            self.missing.push((self.place, from + given as u64));
        }
        given
    }

    fn key(&mut self, offset: u64) -> Option<u64> {
        let key = self.source.key(self.place, offset);
        if key.is_none() {
            self.missing.push((self.place, offset));
        }
        key
    }
}

#[derive(Default)]
pub(crate) struct Pulled {
    pub(crate) count: usize,
    /// The first record that retention removed unacknowledged, and how many there were.
    pub(crate) lost: Option<(u64, u64)>,
    /// The window's length, where that stopped the take for the first time.
    pub(crate) full: Option<usize>,
}

impl Cursor {
    pub(crate) fn take(&mut self, pull: &mut Pull<'_>) -> Pulled {
        let (first, end) = pull.source.range(pull.place);
        let mut pulled = Pulled {
            lost: self.cut(first),
            ..Pulled::default()
        };
        self.taken = Some(pull.now);
        if !self.order(pull) {
            return pulled;
        }
        let missing = pull.missing.len();
        pulled.count = self.take_again(pull);
        if pull.missing.len() > missing {
            return pulled;
        }
        let want = pull.limit - pulled.count;
        pulled.count += if pull.ordered {
            self.take_by_key(pull, want, end)
        } else {
            self.take_run(pull, want, end)
        };
        let room = self.slots.len() < pull.max_in_flight;
        if !room && pulled.count < pull.limit && self.next() < end && !self.full_told {
            self.full_told = true;
            pulled.full = Some(self.slots.len());
        }
        pulled
    }
    /// Begins and ends ordered mode, as the owners come. `false`: a key is not at hand.
    fn order(&mut self, pull: &mut Pull<'_>) -> bool {
        if !pull.ordered {
            if self.keys.take().is_some() {
                for offset in self.low..self.next() {
                    if self
                        .slot(offset)
                        .is_some_and(|it| it.state == State::Behind)
                    {
                        self.wait(offset, self.taken);
                    }
                }
            }
            return true;
        }
        let mut keys = self.keys.take().unwrap_or_default();
        let mut complete = true;
        for index in keys.known()..self.slots.len() {
            if self.slots[index].state == State::Acked {
                keys.push_acked();
                continue;
            }
            let offset = self.low + index as u64;
            let Some(key) = pull.key(offset) else {
                complete = false;
                break;
            };
            keys.push(key, offset);
        }
        self.keys = Some(keys);
        complete
    }

    /// Takes what is due for redelivery. What the source does not have stays due.
    fn take_again(&mut self, pull: &mut Pull<'_>) -> usize {
        let mut missing = Vec::new();
        let mut given = 0;
        let mut span: Option<Span> = None;
        while given + missing.len() < pull.limit {
            let Some(&Reverse(due)) = self.redeliveries.peek() else {
                break;
            };
            if due.at > Some(pull.now) {
                break;
            }
            self.redeliveries.pop();
            if !self.is_waiting(&due) {
                continue;
            }
            let offset = due.offset;
            if let Some(keys) = &self.keys {
                if !keys.is_first(offset - self.low, offset) {
                    self.set(offset, due.attempts, State::Behind);
                    continue;
                }
            }
            let before = match due.attempts {
                0 => self.before(offset),
                known => known,
            };
            let attempt = before.saturating_add(1);
            if !pull.give(offset, attempt) {
                missing.push(Reverse(due));
                continue;
            }
            given += 1;
            if due.attempts == 0 && before > 0 {
                self.before.remove(&offset);
            }
            self.set(offset, attempt, State::Out);
            match &mut span {
                Some(span) if span.to == offset && span.attempt == attempt => span.to += 1,
                _ => {
                    let alone = Span {
                        from: offset,
                        to: offset + 1,
                        attempt,
                    };
                    let ended = span.replace(alone);
                    self.out_until(ended, pull);
                }
            }
        }
        self.out_until(span, pull);
        self.redeliveries.extend(missing);
        given
    }

    /// A slot that waits does so no longer.
    fn set(&mut self, offset: u64, attempts: u32, state: State) {
        if let Some(slot) = self.slot_mut(offset) {
            let mine = state == State::Out || slot.mine;
            *slot = Slot {
                attempts,
                state,
                mine,
            };
        }
        self.out += usize::from(state == State::Out);
        self.no_longer_waiting(1);
    }

    /// Takes new records.
    fn take_run(&mut self, pull: &mut Pull<'_>, want: usize, end: u64) -> usize {
        let from = self.next();
        let there = usize::try_from(end.saturating_sub(from)).unwrap_or(usize::MAX);
        let room = pull.max_in_flight.saturating_sub(self.slots.len());
        let count = want.min(there).min(room);
        if self.before.is_empty() {
            return self.take_alike(pull, count, 0);
        }
        let mut given = 0;
        while given < count {
            let from = self.next();
            let (alike, before) = match self.before.range(from..).next() {
                Some((&offset, &before)) if offset == from => (1, before),
                Some((&offset, _)) => {
                    let until = usize::try_from(offset - from).unwrap_or(usize::MAX);
                    (until.min(count - given), 0)
                }
                None => (count - given, 0),
            };
            let got = self.take_alike(pull, alike, before);
            given += got;
            if got < alike {
                break;
            }
            self.before.remove(&from);
        }
        given
    }

    /// Takes new records that were delivered equally often before.
    fn take_alike(&mut self, pull: &mut Pull<'_>, count: usize, before: u32) -> usize {
        let (from, attempts) = (self.next(), before.saturating_add(1));
        let given = pull.give_run(from, count, attempts);
        let slot = Slot {
            attempts,
            ..Slot::NEW
        };
        self.slots.extend(std::iter::repeat_n(slot, given));
        self.out += given;
        self.out_until(deliveries(from, given, attempts), pull);
        given
    }

    /// A record that was not taken yet has been delivered so often before.
    #[cfg(any(feature = "kafka", feature = "nats", test))]
    pub(crate) fn delivered_before(&mut self, offset: u64, attempts: u32) {
        if offset >= self.next() && attempts > 0 {
            self.before.insert(offset, attempts);
        }
    }

    /// Whether a record is acknowledged.
    #[cfg(any(feature = "kafka", feature = "nats", test))]
    pub(crate) fn is_done(&self, offset: u64) -> bool {
        offset < self.low || self.slot(offset).is_some_and(|it| it.state == State::Acked)
    }

    /// How often a record was delivered before there was this cursor.
    fn before(&self, offset: u64) -> u32 {
        self.before.get(&offset).copied().unwrap_or(0)
    }

    /// Takes new records that have their key to themselves. The others come into the window, and have their turn later.
    fn take_by_key(&mut self, pull: &mut Pull<'_>, want: usize, end: u64) -> usize {
        let Some(mut keys) = self.keys.take() else {
            return 0;
        };
        let mut given = 0;
        let mut run = 0;
        while given < want && self.next() < end && self.slots.len() < pull.max_in_flight {
            let offset = self.next();
            let Some(key) = pull.key(offset) else {
                break;
            };
            if !keys.push(key, offset) {
                self.out_until(deliveries(offset - run, run as usize, 1), pull);
                run = 0;
                self.slots.push_back(Slot::BEHIND);
                continue;
            }
            let attempts = self.before(offset).saturating_add(1);
            if !pull.give(offset, attempts) {
                keys.unpush();
                break;
            }
            if attempts > 1 {
                self.out_until(deliveries(offset - run, run as usize, 1), pull);
                self.out_until(deliveries(offset, 1, attempts), pull);
                self.before.remove(&offset);
                run = 0;
            } else {
                run += 1;
            }
            self.slots.push_back(Slot {
                attempts,
                ..Slot::NEW
            });
            self.out += 1;
            given += 1;
        }
        self.out_until(deliveries(self.next() - run, run as usize, 1), pull);
        self.keys = Some(keys);
        given
    }

    /// Notes by when these are to be answered.
    fn out_until(&mut self, span: Option<Span>, pull: &Pull<'_>) {
        let (Some(span), Some(deadline)) = (span, pull.deadline) else {
            return;
        };
        if self.deadlines.is_long(self.out) {
            let mut deadlines = std::mem::take(&mut self.deadlines);
            deadlines.trim(|span| self.first_out(span));
            self.deadlines = deadlines;
        }
        self.deadlines.push(deadline, span);
    }
}

impl Slot {
    const NEW: Self = Self {
        attempts: 1,
        state: State::Out,
        mine: true,
    };
    const BEHIND: Self = Self {
        attempts: 0,
        state: State::Behind,
        mine: false,
    };
}

fn deliveries(from: u64, count: usize, attempt: u32) -> Option<Span> {
    (count > 0).then(|| Span {
        from,
        to: from + count as u64,
        attempt,
    })
}
