//! A ring between two locks: who pushes takes one, who pulls the other, and who has to know more takes both.
//!
//! Each end has a line of memory of its own: a lock, the position up to which the end has come, what it last saw of the
//! other's position, and *gates*, which say how far it may go on by itself. As long as a push or a pull is of the plain
//! kind (there is room, or an item; nobody sleeps who would have to be woken; nothing is held for others) that one line is
//! all it needs, and one read-modify-write. Everything else is done with both locks in hand, where the rules see the
//! whole queue at rest and may change any of it; on the way out they set the gates anew. So the rules stand once,
//! and know nothing of two locks; the gates have to be no wider than the rules would answer.

use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::Ring;
use super::slots::View;
use crate::sync::{AtomicU64, Guard, Lock, planted};

/// How far the ends may go on without the rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::queue) struct Gates {
    /// So many items may be in.
    pub(in crate::queue) bound: usize,
    /// A push may start before the tail has come to this position; 0: none may.
    pub(in crate::queue) push_until: u64,
    /// The head may be moved up to this position.
    pub(in crate::queue) pull_until: u64,
    /// The most items there have been.
    pub(in crate::queue) peak: usize,
}

/// What the ends have done by themselves.
#[derive(Clone, Copy, Debug)]
pub(in crate::queue) struct Since {
    pub(in crate::queue) pushed: u64,
    pub(in crate::queue) pulled: u64,
    /// Slots promised, less those used: may be negative.
    pub(in crate::queue) reserved: isize,
    pub(in crate::queue) peak: usize,
}

/// Why an end cannot go on by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::queue) enum Why {
    /// The other end has to move first: there is no room, or no item.
    Stuck,
    /// The rules have to be asked.
    Shut,
}

/// The rules of a queue, which own its ring.
pub(in crate::queue) trait Rules<T> {
    fn ring(&self) -> &Ring<T>;

    fn ring_mut(&mut self) -> &mut Ring<T>;

    /// Takes note of what has happened. The ring is up to date.
    fn catch_up(&mut self, since: Since);

    fn gates(&self) -> Gates;
}

/// How many slots ahead an end has memory brought over from the other's core.
const AHEAD: u64 = 16;

/// The two ends. Where both locks are taken, that of the tail comes first.
pub(in crate::queue) struct Lanes<T, R: Rules<T>> {
    entry: Lane<Tail<T>>,
    exit: Lane<Exit<T, R>>,
    /// The bound as last set, for a look.
    bound: AtomicUsize,
    /// Critical sections, of one lock or both.
    #[cfg(test)]
    pub(in crate::queue) sections: AtomicUsize,
}

/// One end: a line of its own.
#[repr(C, align(128))]
struct Lane<E> {
    /// Written by the holder of the lock, read by the other end.
    at: AtomicU64,
    /// A look tells who comes that the lock is of no use to him: the gate is shut.
    shut: AtomicBool,
    end: Lock<E>,
}

struct Tail<T> {
    slots: View<T>,
    /// The head as last seen.
    head: u64,
    bound: u64,
    until: u64,
    reserved: i32,
    peak: u32,
}

#[repr(C)]
struct Exit<T, R> {
    slots: View<T>,
    /// The tail as last seen.
    tail: u64,
    until: u64,
    rules: R,
}

impl<T, R: Rules<T>> Lanes<T, R> {
    pub(in crate::queue) fn new(rules: R) -> Self {
        let ring = rules.ring();
        let (head, tail) = (ring.head, ring.tail);
        let gates = rules.gates();
        Self {
            entry: Lane {
                at: AtomicU64::new(tail),
                shut: AtomicBool::new(gates.push_until == 0),
                end: Lock::new(Tail {
                    slots: View::clone(&ring.slots),
                    head,
                    bound: bound(&gates, ring),
                    until: gates.push_until,
                    reserved: 0,
                    peak: narrow(gates.peak),
                }),
            },
            exit: Lane {
                at: AtomicU64::new(head),
                shut: AtomicBool::new(gates.pull_until == 0),
                end: Lock::new(Exit {
                    slots: View::clone(&ring.slots),
                    tail,
                    until: gates.pull_until,
                    rules,
                }),
            },
            bound: AtomicUsize::new(0),
            #[cfg(test)]
            sections: AtomicUsize::new(0),
        }
    }

    #[inline]
    fn entry(&self) -> Guard<'_, Tail<T>> {
        #[cfg(test)]
        self.sections.fetch_add(1, Ordering::Relaxed);
        self.entry.end.lock()
    }

    #[inline]
    fn exit(&self) -> Guard<'_, Exit<T, R>> {
        #[cfg(test)]
        self.sections.fetch_add(1, Ordering::Relaxed);
        self.exit.end.lock()
    }

    /// Takes both locks.
    pub(in crate::queue) fn both(&self) -> Both<'_, T, R> {
        let entry = self.entry();
        let mut exit = self.exit.end.lock();
        let head = self.exit.at.load(Ordering::Relaxed);
        let tail = self.entry.at.load(Ordering::Relaxed);
        catch_up(&mut exit.rules, &entry, head, tail);
        Both {
            lanes: self,
            entry,
            exit,
        }
    }

    /// How many items are in: as many as there were at one moment of the call.
    pub(in crate::queue) fn len(&self) -> usize {
        let mut head = self.exit.at.load(Ordering::Acquire);
        loop {
            let tail = self.entry.at.load(Ordering::Acquire);
            let again = self.exit.at.load(Ordering::Acquire);
            if again == head {
                return tail.saturating_sub(head) as usize;
            }
            head = again;
        }
    }

    /// Whether the last item seems to be in that fits: a look without order or obligation.
    pub(in crate::queue) fn seems_full(&self) -> bool {
        self.glance() >= self.bound.load(Ordering::Relaxed)
    }

    /// How many items seem to be in: a look without order or obligation.
    pub(in crate::queue) fn glance(&self) -> usize {
        let head = self.head();
        self.tail().saturating_sub(head) as usize
    }

    /// How many items have ever come: where the tail is, or was a moment ago.
    pub(in crate::queue) fn tail(&self) -> u64 {
        self.entry.at.load(Ordering::Relaxed)
    }

    /// How many items have ever gone: where the head is, or was a moment ago.
    pub(in crate::queue) fn head(&self) -> u64 {
        self.exit.at.load(Ordering::Relaxed)
    }

    /// Puts the item in `slot` in, if the gates allow.
    #[inline]
    pub(in crate::queue) fn push(&self, slot: &mut Option<T>) -> Result<(), Why> {
        if self.entry.is_shut() {
            return Err(Why::Shut);
        }
        let mut end = self.entry();
        let tail = self.entry.at.load(Ordering::Relaxed);
        if tail >= end.until {
            return Err(Why::Shut);
        }
        if self.room(&mut end, tail) == 0 {
            return Err(Why::Stuck);
        }
        end.slots.prefetch::<true>(tail, AHEAD);
        // SAFETY: the bound is at most the number of slots, and fewer are taken, so the one at the tail is empty; the
        // lock makes it ours, and only with both locks are slots exchanged.
        if unsafe { end.slots.write_from(tail, slot) } {
            self.pushed(&mut end, tail + 1);
        }
        Ok(())
    }

    /// Puts all the items in, if the gates allow. Answers how many went in.
    #[inline]
    pub(in crate::queue) fn push_run(&self, items: &mut VecDeque<T>) -> usize {
        let run = items.len();
        let mut end = self.entry();
        let tail = self.entry.at.load(Ordering::Relaxed);
        if tail >= end.until {
            return 0;
        }
        if end.room(tail) < run as u64 {
            end.head = self.exit.at.load(Ordering::Acquire);
        }
        if run == 0 || end.room(tail) < run as u64 {
            return 0;
        }
        // SAFETY: as in `push`, for each of the `run` slots.
        unsafe { end.slots.write_run(tail, items, run) };
        self.pushed(&mut end, tail + run as u64);
        run
    }

    /// Promises a slot, if the gates allow.
    #[inline]
    pub(in crate::queue) fn reserve(&self) -> Result<(), Why> {
        let mut end = self.entry();
        let tail = self.entry.at.load(Ordering::Relaxed);
        if tail >= end.until {
            return Err(Why::Shut);
        }
        if self.room(&mut end, tail) == 0 {
            return Err(Why::Stuck);
        }
        end.bound -= 1;
        end.reserved += 1;
        Ok(())
    }

    /// Puts an item into a slot that was promised, if the gates allow.
    #[inline]
    pub(in crate::queue) fn redeem(&self, slot: &mut Option<T>) -> bool {
        let mut end = self.entry();
        let tail = self.entry.at.load(Ordering::Relaxed);
        if tail >= end.until {
            return false;
        }
        let bound = end.bound;
        // There may be fewer slots than the bound would allow.
        end.bound = (bound + 1).min(end.slots.count() as u64);
        if self.room(&mut end, tail) == 0 {
            end.bound = bound;
            return false;
        }
        end.reserved -= 1;
        // SAFETY: as in `push`.
        if unsafe { end.slots.write_from(tail, slot) } {
            self.pushed(&mut end, tail + 1);
        }
        true
    }

    /// Takes the first item, if there is one and the gates allow.
    #[inline]
    pub(in crate::queue) fn pull(&self) -> Result<T, Why> {
        if self.exit.is_shut() {
            return Err(Why::Shut);
        }
        let mut end = self.exit();
        let head = self.exit.at.load(Ordering::Relaxed);
        if head >= end.until {
            return Err(Why::Shut);
        }
        if head == end.tail {
            end.tail = self.entry.at.load(Ordering::Acquire);
            if head == end.tail {
                return Err(Why::Stuck);
            }
        }
        end.slots.prefetch::<false>(head, AHEAD);
        // SAFETY: the tail is beyond the head, so there is an item, written before the tail was; the lock makes it ours,
        // and only with both locks are slots exchanged.
        let item = unsafe { end.slots.read(head) };
        self.exit.at.store(head + 1, Ordering::Release);
        Ok(item)
    }

    /// Moves up to `limit` items to the end of `out`, as far as it has room and the gates allow. Answers how many.
    #[inline]
    pub(in crate::queue) fn pull_run(&self, out: &mut Vec<T>, limit: usize) -> usize {
        let mut end = self.exit();
        let head = self.exit.at.load(Ordering::Relaxed);
        let limit = limit.min(out.capacity() - out.len()) as u64;
        if end.tail - head < limit {
            end.tail = self.entry.at.load(Ordering::Acquire);
        }
        let run = limit.min(end.tail - head);
        if run == 0 || run > end.until.saturating_sub(head) {
            return 0;
        }
        // SAFETY: as in `pull`, for each of the items; `out` has room for them.
        unsafe { end.slots.read_run(head, out, run as usize) };
        self.exit.at.store(head + run, Ordering::Release);
        run as usize
    }

    #[inline]
    fn room(&self, end: &mut Tail<T>, tail: u64) -> u64 {
        let room = end.room(tail);
        if room > 0 {
            return room;
        }
        // Acquire: the items before it have been taken out.
        end.head = self.exit.at.load(Ordering::Acquire);
        end.room(tail)
    }

    #[inline]
    fn pushed(&self, end: &mut Tail<T>, tail: u64) {
        let order = if planted("publish_unordered") {
            Ordering::Relaxed
        } else {
            Ordering::Release
        };
        self.entry.at.store(tail, order);
        if tail - end.head > u64::from(end.peak) {
            // By the head as last seen there may seem to be more than there are.
            end.head = self.exit.at.load(Ordering::Acquire);
            end.peak = end.peak.max(narrow((tail - end.head) as usize));
        }
    }
}

impl<E> Lane<E> {
    #[inline]
    fn is_shut(&self) -> bool {
        self.shut.load(Ordering::Relaxed)
    }

    fn set_shut(&self, shut: bool) {
        self.shut.store(shut, Ordering::Relaxed);
    }
}

impl<T> Tail<T> {
    #[inline]
    const fn room(&self, tail: u64) -> u64 {
        self.bound.saturating_sub(tail - self.head)
    }
}

fn catch_up<T, R: Rules<T>>(rules: &mut R, entry: &Tail<T>, head: u64, tail: u64) {
    let ring = rules.ring_mut();
    let since = Since {
        pushed: tail - ring.tail,
        pulled: head - ring.head,
        reserved: entry.reserved as isize,
        peak: entry.peak as usize,
    };
    // SAFETY: the ends move on only over items they have written or read.
    unsafe { ring.resume(head, tail) };
    rules.catch_up(since);
}

/// No more than there are slots, so that an end that keeps to it finds the next slot empty.
fn bound<T>(gates: &Gates, ring: &Ring<T>) -> u64 {
    gates.bound.min(ring.slots.count()) as u64
}

/// A number of items that were in memory, in a line that has no room to spare.
fn narrow(items: usize) -> u32 {
    u32::try_from(items).unwrap_or(u32::MAX)
}

/// Both locks. The rules may be asked and changed; dropped, the gates are set and the locks given back.
pub(in crate::queue) struct Both<'a, T, R: Rules<T>> {
    lanes: &'a Lanes<T, R>,
    entry: Guard<'a, Tail<T>>,
    exit: Guard<'a, Exit<T, R>>,
}

impl<T, R: Rules<T>> Deref for Both<'_, T, R> {
    type Target = R;

    fn deref(&self) -> &R {
        &self.exit.rules
    }
}

impl<T, R: Rules<T>> DerefMut for Both<'_, T, R> {
    fn deref_mut(&mut self) -> &mut R {
        &mut self.exit.rules
    }
}

impl<T, R: Rules<T>> Drop for Both<'_, T, R> {
    fn drop(&mut self) {
        let gates = self.exit.rules.gates();
        let ring = self.exit.rules.ring();
        let (head, tail) = (ring.head, ring.tail);
        let (slots, bound) = (View::clone(&ring.slots), bound(&gates, ring));
        *self.entry = Tail {
            slots: slots.clone(),
            head,
            bound,
            until: gates.push_until,
            reserved: 0,
            peak: narrow(gates.peak),
        };
        self.exit.slots = slots;
        self.exit.tail = tail;
        self.exit.until = gates.pull_until;
        if self.lanes.bound.load(Ordering::Relaxed) != gates.bound {
            self.lanes.bound.store(gates.bound, Ordering::Relaxed);
        }
        self.lanes.entry.set_shut(gates.push_until == 0);
        self.lanes.exit.set_shut(gates.pull_until == 0);
        self.lanes.entry.at.store(tail, Ordering::Release);
        self.lanes.exit.at.store(head, Ordering::Release);
    }
}

impl<T, R: Rules<T>> Drop for Lanes<T, R> {
    fn drop(&mut self) {
        let head = self.exit.at.load(Ordering::Relaxed);
        let tail = self.entry.at.load(Ordering::Relaxed);
        catch_up(
            &mut self.exit.end.get_mut().rules,
            self.entry.end.get_mut(),
            head,
            tail,
        );
    }
}
