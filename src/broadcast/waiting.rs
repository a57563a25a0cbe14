//! Who waits: subscribers, woken all at once, and publishers, served one by one in order.

use std::mem;
use std::task::Waker;

use super::value::Value;
use crate::wake;

const NIL: u32 = u32::MAX;

/// A seat, taken by one that sleeps until everybody is woken.
#[derive(Debug)]
pub(super) enum Seat {
    Free { next: u32 },
    Taken(Waker),
}

/// A seat in one round of sleep. When the round has been woken it stands for nothing any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket {
    round: u64,
    seat: u32,
}

/// Those who are woken together. Waking takes the seats away whole, so that it costs nothing under the lock.
#[derive(Debug)]
pub(super) struct Sleepers {
    seats: Vec<Seat>,
    /// Storage that came back from a waking, for the next round.
    spare: Vec<Seat>,
    free: u32,
    taken: usize,
    round: u64,
}

impl Sleepers {
    pub(super) const fn new() -> Self {
        Self {
            seats: Vec::new(),
            spare: Vec::new(),
            free: NIL,
            taken: 0,
            round: 0,
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.taken
    }

    pub(super) fn has_room(&self) -> bool {
        self.free != NIL || self.seats.len() < self.seats.capacity()
    }

    /// How many seats to allocate for the next sleeper.
    pub(super) fn grown(&self) -> usize {
        self.seats.capacity().saturating_mul(2).max(4)
    }

    /// Moves all into `room`; hands back the old storage, empty, to be freed outside of the lock.
    pub(super) fn adopt(&mut self, mut room: Vec<Seat>) -> Vec<Seat> {
        if room.capacity() > self.seats.len() {
            room.append(&mut self.seats);
            mem::swap(&mut self.seats, &mut room);
        }
        room
    }

    /// Whether the ticket's owner still sleeps, with a waker that wakes the same task.
    pub(super) fn sleeps_with(&self, ticket: Option<Ticket>, waker: &Waker) -> bool {
        ticket.is_some_and(|ticket| {
            ticket.round == self.round
                && matches!(&self.seats[ticket.seat as usize], Seat::Taken(own) if own.will_wake(waker))
        })
    }

    /// Takes a seat, the ticket's own if it is still good. There must be room. The waker that sat there before is to
    /// be dropped outside of the lock.
    pub(super) fn sit(&mut self, ticket: Option<Ticket>, waker: Waker) -> (Ticket, Option<Waker>) {
        if let Some(ticket) = ticket.filter(|ticket| ticket.round == self.round) {
            let old = mem::replace(&mut self.seats[ticket.seat as usize], Seat::Taken(waker));
            return (ticket, old.waker());
        }
        debug_assert!(self.has_room(), "the seats must not grow under the lock");
        let seat = if self.free == NIL {
            self.seats.push(Seat::Taken(waker));
            self.seats.len() as u32 - 1
        } else {
            let seat = self.free;
            let free = &mut self.seats[seat as usize];
            if let Seat::Free { next } = *free {
                self.free = next;
            }
            *free = Seat::Taken(waker);
            seat
        };
        self.taken += 1;
        (
            Ticket {
                round: self.round,
                seat,
            },
            None,
        )
    }

    /// Gives the seat up. The waker is to be dropped outside of the lock.
    pub(super) fn rise(&mut self, ticket: Ticket) -> Option<Waker> {
        if ticket.round != self.round {
            return None;
        }
        self.taken -= 1;
        let free = Seat::Free {
            next: mem::replace(&mut self.free, ticket.seat),
        };
        mem::replace(&mut self.seats[ticket.seat as usize], free).waker()
    }

    /// Ends the round. The seats are to be woken outside of the lock, and to be handed back by
    /// [`reuse`](Self::reuse).
    pub(super) fn take(&mut self) -> Vec<Seat> {
        if self.taken == 0 {
            return Vec::new();
        }
        self.taken = 0;
        self.free = NIL;
        self.round += 1;
        mem::replace(&mut self.seats, mem::take(&mut self.spare))
    }

    /// Keeps emptied seats for another round, or hands back what is to be freed outside of the lock.
    pub(super) fn reuse(&mut self, mut seats: Vec<Seat>) -> Vec<Seat> {
        if seats.capacity() > self.spare.capacity() {
            mem::swap(&mut self.spare, &mut seats);
        }
        seats
    }
}

impl Seat {
    fn waker(self) -> Option<Waker> {
        match self {
            Self::Free { .. } => None,
            Self::Taken(waker) => Some(waker),
        }
    }
}

/// Wakes everybody, and leaves the seats empty.
pub(super) fn wake_seats(seats: &mut Vec<Seat>) {
    wake::all(seats.drain(..).filter_map(Seat::waker), Waker::wake);
}

/// A place in the line. Only its owner gives it up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place(u32);

/// What became of a publisher that waited.
#[derive(Debug)]
pub(super) enum Outcome<T> {
    /// Its value went to so many subscribers.
    Published(usize),
    /// A slot is reserved for it.
    Reserved,
    /// Nothing is published any more. Its value, if it left one.
    Closed(Option<Value<T>>),
}

#[derive(Debug)]
pub(super) enum Node<T> {
    Free {
        next: u32,
    },
    Waiting {
        /// The value to publish; without one, a slot is wanted.
        value: Option<Value<T>>,
        waker: Waker,
        prev: u32,
        next: u32,
    },
    Settled(Outcome<T>),
}

/// Publishers that wait for room, in order of arrival. Joining, leaving and being served take constant time.
#[derive(Debug)]
pub(super) struct Line<T> {
    nodes: Vec<Node<T>>,
    free: u32,
    head: u32,
    tail: u32,
    len: usize,
    values: usize,
}

impl<T> Line<T> {
    pub(super) const fn new() -> Self {
        Self {
            nodes: Vec::new(),
            free: NIL,
            head: NIL,
            tail: NIL,
            len: 0,
            values: 0,
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// How many of them left a value to be published.
    pub(super) const fn values(&self) -> usize {
        self.values
    }

    pub(super) fn has_room(&self) -> bool {
        self.free != NIL || self.nodes.len() < self.nodes.capacity()
    }

    /// How many places to allocate for the next one.
    pub(super) fn grown(&self) -> usize {
        self.nodes.capacity().saturating_mul(2).max(4)
    }

    /// Moves all into `room`; hands back the old storage, empty, to be freed outside of the lock.
    pub(super) fn adopt(&mut self, mut room: Vec<Node<T>>) -> Vec<Node<T>> {
        if room.capacity() > self.nodes.len() {
            room.append(&mut self.nodes);
            mem::swap(&mut self.nodes, &mut room);
        }
        room
    }

    /// Joins at the end. There must be room.
    pub(super) fn join(&mut self, value: Option<Value<T>>, waker: Waker) -> Place {
        debug_assert!(self.has_room(), "the line must not grow under the lock");
        self.len += 1;
        self.values += usize::from(value.is_some());
        let node = Node::Waiting {
            value,
            waker,
            prev: self.tail,
            next: NIL,
        };
        let at = if self.free == NIL {
            self.nodes.push(node);
            self.nodes.len() as u32 - 1
        } else {
            let at = self.free;
            if let Node::Free { next } = mem::replace(&mut self.nodes[at as usize], node) {
                self.free = next;
            }
            at
        };
        self.set_next(self.tail, at);
        self.tail = at;
        Place(at)
    }

    pub(super) fn first(&self) -> Option<Place> {
        (self.head != NIL).then_some(Place(self.head))
    }

    pub(super) fn after(&self, place: Place) -> Option<Place> {
        match self.nodes[place.0 as usize] {
            Node::Waiting { next, .. } if next != NIL => Some(Place(next)),
            _ => None,
        }
    }

    /// Whether the one at this place left a value.
    pub(super) fn has_value(&self, place: Place) -> bool {
        matches!(
            &self.nodes[place.0 as usize],
            Node::Waiting { value: Some(_), .. }
        )
    }

    /// Serves the one at this place; `outcome` makes of its value what became of it. Its waker is to be woken.
    pub(super) fn settle(
        &mut self,
        place: Place,
        outcome: impl FnOnce(Option<Value<T>>) -> Outcome<T>,
    ) -> Option<Waker> {
        let (value, waker) = self.unlink(place)?;
        self.nodes[place.0 as usize] = Node::Settled(outcome(value));
        Some(waker)
    }

    /// Whether the one at this place still waits, with a waker that wakes the same task.
    pub(super) fn waits_with(&self, place: Place, waker: &Waker) -> bool {
        matches!(&self.nodes[place.0 as usize], Node::Waiting { waker: own, .. } if own.will_wake(waker))
    }

    /// Changes the waker of one that waits; the one no longer needed is to be dropped outside of the lock.
    pub(super) fn rearm(&mut self, place: Place, new: Waker) -> Waker {
        match &mut self.nodes[place.0 as usize] {
            Node::Waiting { waker, .. } => mem::replace(waker, new),
            _ => new,
        }
    }

    /// Takes the outcome and gives the place up, if it has been served.
    pub(super) fn outcome(&mut self, place: Place) -> Option<Outcome<T>> {
        if !matches!(self.nodes[place.0 as usize], Node::Settled(_)) {
            return None;
        }
        match self.give_up(place) {
            Node::Settled(outcome) => Some(outcome),
            _ => None,
        }
    }

    /// Leaves the line without having been served, with everything that was left there.
    pub(super) fn leave(&mut self, place: Place) -> Option<(Option<Value<T>>, Waker)> {
        let left = self.unlink(place)?;
        self.give_up(place);
        Some(left)
    }

    fn give_up(&mut self, place: Place) -> Node<T> {
        let free = Node::Free {
            next: mem::replace(&mut self.free, place.0),
        };
        mem::replace(&mut self.nodes[place.0 as usize], free)
    }

    /// Takes a waiting node out of the chain and leaves `Free` in its place.
    fn unlink(&mut self, place: Place) -> Option<(Option<Value<T>>, Waker)> {
        let node = &mut self.nodes[place.0 as usize];
        if !matches!(node, Node::Waiting { .. }) {
            return None;
        }
        let Node::Waiting {
            value,
            waker,
            prev,
            next,
        } = mem::replace(node, Node::Free { next: NIL })
        else {
            return None;
        };
        self.set_next(prev, next);
        if next == NIL {
            self.tail = prev;
        } else if let Node::Waiting { prev: back, .. } = &mut self.nodes[next as usize] {
            *back = prev;
        }
        self.len -= 1;
        self.values -= usize::from(value.is_some());
        Some((value, waker))
    }

    fn set_next(&mut self, at: u32, to: u32) {
        if at == NIL {
            self.head = to;
        } else if let Node::Waiting { next, .. } = &mut self.nodes[at as usize] {
            *next = to;
        }
    }
}
