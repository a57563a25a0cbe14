//! What follows from a step of the seat.

use crate::broker::Event;
use crate::broker::group::Effects;

use super::bury::Buried;
use super::seat::State;
use super::window::Held;
use super::{Engine, Place, Seat};

/// What is left to be done once the lock is released.
pub(super) struct After<T> {
    pub(super) dropped: Dropped<T>,
    pub(super) events: Vec<Event>,
    pub(super) bury: Vec<Buried>,
    pub(super) signal: bool,
    pub(super) nudge: bool,
}

impl<T> After<T> {
    pub(super) const fn new() -> Self {
        Self {
            dropped: Dropped {
                first: None,
                more: Vec::new(),
            },
            events: Vec::new(),
            bury: Vec::new(),
            signal: false,
            nudge: false,
        }
    }
}

/// Records to be dropped. Mostly none or one: a list would cost more than the rest of an answer.
pub(super) struct Dropped<T> {
    first: Option<Held<T>>,
    more: Vec<Held<T>>,
}

impl<T> Extend<Held<T>> for Dropped<T> {
    fn extend<I: IntoIterator<Item = Held<T>>>(&mut self, records: I) {
        let mut records = records.into_iter();
        if self.first.is_none() {
            self.first = records.next();
        }
        self.more.extend(records);
    }
}

impl<E: Engine> Seat<E> {
    /// What the step changed around the group. What may run user code is put into `after`.
    pub(super) fn follow(&self, state: &mut State<E::Ticket>, after: &mut After<E::Ticket>) {
        let State {
            group,
            windows,
            moved,
            ..
        } = &mut *state;
        group.moved(|place, index| {
            let Some(window) = windows.get_mut(&place) else {
                return;
            };
            if window.commit(index, &mut after.dropped) && !window.moved {
                window.moved = true;
                moved.push(place);
            }
        });
        let answers = !state.done.is_empty() || !state.moved.is_empty();
        if answers && !state.nudged {
            state.nudged = true;
            after.nudge = true;
        }
        if !state.group.is_quiet() {
            let effects = state.group.effects();
            self.report_effects(state, effects, after);
        }
        if !state.retired.is_empty() {
            let group = &state.group;
            let before = state.retired.len();
            state.retired.retain(|&place| group.in_hand(place) > 0);
            if state.retired.len() < before {
                after.nudge = true;
            }
        }
        if state.expired {
            let (group, member) = (&state.group, self.member);
            state.expired = state
                .windows
                .keys()
                .any(|&place| !group.is_owned(member, place));
        }
        let present = self.is_present(state);
        if std::mem::replace(&mut state.present, present) != present {
            after.nudge = true;
        }
    }

    fn report_effects(
        &self,
        state: &mut State<E::Ticket>,
        effects: Effects,
        after: &mut After<E::Ticket>,
    ) {
        let name = |place: Place| state.topics[place.topic as usize].clone();
        for (_, place, unacknowledged) in effects.revoked {
            after.events.push(Event::Revoked {
                topic: name(place),
                partition: place.partition,
                unacknowledged,
            });
        }
        for (_, place) in effects.assigned {
            after.events.push(Event::Assigned {
                topic: name(place),
                partition: place.partition,
            });
        }
        let expired = !effects.expired.is_empty();
        if expired {
            after.events.push(Event::Expired);
        }
        for (_, place, in_flight) in effects.in_flight_full {
            after.events.push(Event::InFlightFull {
                topic: name(place),
                partition: place.partition,
                in_flight,
            });
        }
        for given_up in effects.given_up {
            let window = state.windows.get(&given_up.place);
            let held = window.and_then(|window| window.get(given_up.offset));
            after.bury.extend(held.map(|held| {
                let place = given_up.place;
                Buried::new(name(place), held.offset, held.record.clone(), given_up)
            }));
        }
        after.signal |= !effects.wake.is_empty();
        state.expired |= expired;
    }

    /// Without the lock. What is to be dropped stays where it is: moving it costs more than the rest.
    pub(super) fn run(&self, after: &mut After<E::Ticket>) {
        for event in after.events.drain(..) {
            self.report(event);
        }
        for buried in after.bury.drain(..) {
            self.bury(buried);
        }
        if after.signal {
            self.signal.notify_waiters();
        }
        if after.nudge {
            self.engine.nudge();
        }
    }
}
