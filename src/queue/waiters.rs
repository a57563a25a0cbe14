//! Who waits, in which order, for what.

use std::num::NonZeroU32;
use std::task::Waker;

use crate::sync::planted;
use crate::wake::WakeList;

/// A place in a list of waiters. It belongs to whoever waits; only its owner gives it up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key(NonZeroU32);

/// What a waiter waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// A producer: one slot, and this much weight.
    Room { weight: usize },
    /// A sink that holds a slot: this much weight. Honoured after close.
    Weight { weight: usize },
    /// A consumer: one item.
    Item,
    /// A consumer: this many items, or fewer if producers are stuck behind them.
    Run { items: usize },
    /// Somebody who wants to know that the queue is closed.
    Closed,
    /// Somebody who wants to know that it is closed and drained.
    Drained,
}

impl Need {
    const NOTHING: Self = Self::Weight { weight: 0 };

    /// Slots or items that this need lays claim to once it has been woken.
    pub(crate) const fn units(self) -> usize {
        match self {
            Self::Room { .. } | Self::Item => 1,
            Self::Run { items } => items,
            Self::Weight { .. } | Self::Closed | Self::Drained => 0,
        }
    }

    /// Weight that this need lays claim to once it has been woken.
    pub(crate) const fn weight(self) -> usize {
        match self {
            Self::Room { weight } | Self::Weight { weight } => weight,
            _ => 0,
        }
    }
}

/// What to do with a sleeping waiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Wake,
    /// Wake it to be told that it waits in vain: it lays claim to nothing.
    Dismiss,
    /// Wake it to look, asleep as it is: it waits in vain, but may not for ever.
    Nudge,
    Skip,
    Stop,
}

/// Claims of woken waiters that have not acted yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Claims {
    pub(crate) units: usize,
    pub(crate) weight: usize,
}

impl Claims {
    fn add(&mut self, need: Need) {
        self.units = self.units.saturating_add(need.units());
        self.weight = self.weight.saturating_add(need.weight());
    }
}

#[derive(Debug)]
pub(crate) struct Node {
    waker: Option<Waker>,
    need: Need,
    woken: bool,
    living: bool,
    /// How often it has looked again instead of going to sleep.
    looks: u8,
    /// Grows with every arrival, so that two places can be compared.
    arrival: u64,
    prev: u32,
    next: u32,
}

const NIL: u32 = u32::MAX;

/// A list of waiters in order of arrival: insertion, removal and a change in the middle take constant time. It lies in
/// one vector, which never grows by itself (see [`Waiters::adopt`]).
#[derive(Debug)]
pub(crate) struct Waiters {
    nodes: Vec<Node>,
    free: u32,
    head: u32,
    tail: u32,
    /// The first waiter that sleeps.
    asleep: u32,
    sleeping: usize,
    len: usize,
    arrivals: u64,
    /// Kept in step by every change of a woken waiter, so that reading it costs nothing.
    claims: Sums,
}

/// Sums that may pass `usize::MAX` (a run of `usize::MAX` items may be waited for twice).
#[derive(Debug, Default)]
struct Sums {
    units: u128,
    weight: u128,
}

impl Waiters {
    pub(crate) const fn new() -> Self {
        Self {
            nodes: Vec::new(),
            free: NIL,
            head: NIL,
            tail: NIL,
            asleep: NIL,
            sleeping: 0,
            len: 0,
            arrivals: 0,
            claims: Sums {
                units: 0,
                weight: 0,
            },
        }
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Waiters that have not been woken.
    pub(crate) const fn sleeping(&self) -> usize {
        self.sleeping
    }

    /// What the woken waiters together lay claim to.
    pub(crate) fn claims(&self) -> Claims {
        Claims {
            units: usize::try_from(self.claims.units).unwrap_or(usize::MAX),
            weight: usize::try_from(self.claims.weight).unwrap_or(usize::MAX),
        }
    }

    /// The need of the waiter at the head.
    pub(crate) fn first(&self) -> Option<Need> {
        (self.head != NIL).then(|| self.nodes[self.head as usize].need)
    }

    pub(crate) fn has_room(&self) -> bool {
        self.free != NIL || self.nodes.len() < self.nodes.capacity()
    }

    /// How many nodes to allocate for the next waiter.
    pub(crate) fn grown(&self) -> usize {
        self.nodes.capacity().saturating_mul(2).max(4)
    }

    /// Moves the nodes into `room`; hands back the old storage, empty, to be freed outside of the lock.
    pub(crate) fn adopt(&mut self, mut room: Vec<Node>) -> Vec<Node> {
        if room.capacity() > self.nodes.len() {
            room.append(&mut self.nodes);
            std::mem::swap(&mut self.nodes, &mut room);
        }
        room
    }

    /// Puts a sleeping waiter at the end. There must be room for it.
    pub(crate) fn insert(&mut self, need: Need, waker: Waker) -> Key {
        self.insert_with(need, Some(waker))
    }

    fn insert_with(&mut self, need: Need, waker: Option<Waker>) -> Key {
        debug_assert!(self.has_room(), "the list must not grow under the lock");
        let node = Node {
            waker,
            need,
            woken: false,
            living: true,
            looks: 0,
            arrival: self.arrivals,
            prev: self.tail,
            next: NIL,
        };
        self.arrivals += 1;
        let at = if self.free == NIL {
            self.nodes.push(node);
            u32::try_from(self.nodes.len() - 1).unwrap_or(NIL)
        } else {
            let at = self.free;
            self.free = self.nodes[at as usize].next;
            self.nodes[at as usize] = node;
            at
        };
        if self.tail == NIL {
            self.head = at;
        } else {
            self.nodes[self.tail as usize].next = at;
        }
        self.tail = at;
        if self.asleep == NIL {
            self.asleep = at;
        }
        self.sleeping += 1;
        self.len += 1;
        Key(NonZeroU32::MIN.saturating_add(at))
    }

    /// Puts a waiter at the end that does not sleep, but has its task polled again to look once more: as if it had been
    /// woken already. There must be room for it.
    pub(crate) fn insert_awake(&mut self, need: Need) -> Key {
        let key = self.insert_with(need, None);
        let at = self.index(key);
        self.nodes[at as usize].woken = true;
        self.nodes[at as usize].looks = 1;
        self.claims.units += need.units() as u128;
        self.claims.weight += need.weight() as u128;
        self.sleeping -= 1;
        if self.asleep == at {
            self.asleep = NIL;
        }
        key
    }

    /// How often a waiter that is awake has looked again; 0 if it was woken.
    pub(crate) fn looks(&self, key: Key) -> u8 {
        self.nodes[self.index(key) as usize].looks
    }

    pub(crate) fn look_again(&mut self, key: Key) {
        let at = self.index(key);
        self.nodes[at as usize].looks += 1;
    }

    /// Whether one has been woken that has neither acted nor left.
    pub(crate) const fn has_woken(&self) -> bool {
        self.len > self.sleeping
    }

    /// Takes a waiter out, wherever it stands. Its waker, if it still has one, is to be dropped outside of the lock.
    pub(crate) fn remove(&mut self, key: Key) -> Option<Waker> {
        let at = self.index(key);
        let (prev, next) = {
            let node = &self.nodes[at as usize];
            debug_assert!(node.living, "a place is given up once");
            (node.prev, node.next)
        };
        if self.nodes[at as usize].woken {
            self.unclaim(at);
        } else {
            self.sleeping -= 1;
        }
        if self.asleep == at {
            self.asleep = self.next_asleep(next);
        }
        if prev == NIL {
            self.head = next;
        } else {
            self.nodes[prev as usize].next = next;
        }
        if next == NIL {
            self.tail = prev;
        } else {
            self.nodes[next as usize].prev = prev;
        }
        self.len -= 1;
        let free = self.free;
        self.free = at;
        let node = &mut self.nodes[at as usize];
        node.living = false;
        node.next = free;
        node.waker.take()
    }

    pub(crate) fn need(&self, key: Key) -> Need {
        self.nodes[self.index(key) as usize].need
    }

    pub(crate) fn is_woken(&self, key: Key) -> bool {
        self.nodes[self.index(key) as usize].woken
    }

    pub(crate) fn is_first(&self, key: Key) -> bool {
        self.head == self.index(key)
    }

    /// Whether this waiter sleeps with a waker that wakes the same task.
    pub(crate) fn sleeps_with(&self, key: Key, waker: &Waker) -> bool {
        let node = &self.nodes[self.index(key) as usize];
        if planted("stale_waker") {
            return !node.woken;
        }
        !node.woken && node.waker.as_ref().is_some_and(|own| own.will_wake(waker))
    }

    /// Sends a waiter to sleep (again) at its place, and hands back the waker it had, to be dropped outside.
    ///
    /// One that was woken and found nothing was overtaken. Then those woken behind it have nothing to claim before it
    /// has its own: they go back to sleep, until they are polled without a waker, for their wake is on its way.
    pub(crate) fn sleep(&mut self, key: Key, need: Need, waker: Waker) -> Option<Waker> {
        let at = self.index(key);
        if self.nodes[at as usize].woken {
            self.unclaim(at);
            self.sleeping += 1;
            let arrival = self.nodes[at as usize].arrival;
            if self.asleep == NIL || arrival < self.nodes[self.asleep as usize].arrival {
                self.asleep = at;
            }
            self.nodes[at as usize].woken = false;
            self.take_back(self.nodes[at as usize].next);
        }
        let node = &mut self.nodes[at as usize];
        node.need = need;
        node.looks = 0;
        node.waker.replace(waker)
    }

    /// Sends all to sleep that were woken: what they were woken for may be gone, and their wake is on its way.
    pub(crate) fn call_back(&mut self) {
        self.take_back(self.head);
        self.asleep = self.head;
    }

    /// Sends all to sleep that were woken, from `at` on.
    fn take_back(&mut self, mut at: u32) {
        while at != NIL && self.sleeping < self.len {
            if self.nodes[at as usize].woken {
                self.unclaim(at);
                self.sleeping += 1;
                self.nodes[at as usize].woken = false;
            }
            at = self.nodes[at as usize].next;
        }
    }

    /// How many came before this one.
    pub(crate) fn ahead_of(&self, key: Key) -> usize {
        let mut ahead = 0;
        let mut at = self.nodes[self.index(key) as usize].prev;
        while at != NIL {
            ahead += 1;
            at = self.nodes[at as usize].prev;
        }
        ahead
    }

    /// What the woken waiters ahead of this one lay claim to.
    pub(crate) fn claims_ahead(&self, key: Key) -> Claims {
        let mut claims = Claims::default();
        let mut at = self.nodes[self.index(key) as usize].prev;
        while at != NIL {
            let node = &self.nodes[at as usize];
            if node.woken {
                claims.add(node.need);
            }
            at = node.prev;
        }
        claims
    }

    /// Asks `verdict` about each sleeping waiter in order and wakes as it says, as far as `wakes` has room. Answers how
    /// many more it would have woken.
    pub(crate) fn wake(
        &mut self,
        wakes: &mut WakeList,
        mut verdict: impl FnMut(Need) -> Verdict,
    ) -> usize {
        let mut at = self.asleep;
        let mut beyond = 0;
        while at != NIL {
            let node = &self.nodes[at as usize];
            let next = node.next;
            if !node.woken {
                match verdict(node.need) {
                    Verdict::Stop => break,
                    Verdict::Skip => {}
                    Verdict::Nudge if node.waker.is_none() => {}
                    _ if beyond > 0 || !wakes.has_room() => beyond += 1,
                    Verdict::Nudge => {
                        let waker = self.nodes[at as usize].waker.take();
                        waker.into_iter().for_each(|waker| wakes.push(waker));
                    }
                    Verdict::Wake => self.wake_one(at, wakes),
                    Verdict::Dismiss => {
                        self.nodes[at as usize].need = Need::NOTHING;
                        self.wake_one(at, wakes);
                    }
                }
            }
            at = next;
        }
        beyond
    }

    fn wake_one(&mut self, at: u32, wakes: &mut WakeList) {
        let node = &mut self.nodes[at as usize];
        node.woken = true;
        self.claims.units += node.need.units() as u128;
        self.claims.weight += node.need.weight() as u128;
        let (waker, next) = (node.waker.take(), node.next);
        self.sleeping -= 1;
        if self.asleep == at {
            self.asleep = self.next_asleep(next);
        }
        if let Some(waker) = waker {
            wakes.push(waker);
        }
    }

    fn unclaim(&mut self, at: u32) {
        let need = self.nodes[at as usize].need;
        self.claims.units -= need.units() as u128;
        self.claims.weight -= need.weight() as u128;
    }

    /// The first sleeping waiter from `at` on.
    fn next_asleep(&self, mut at: u32) -> u32 {
        if self.sleeping == 0 {
            return NIL;
        }
        while at != NIL && self.nodes[at as usize].woken {
            at = self.nodes[at as usize].next;
        }
        at
    }

    fn index(&self, key: Key) -> u32 {
        key.0.get() - 1
    }
}
