//! The stretch in which a message has its number and enters the queues: nothing waits in it, and no panic splits it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::core::Core;
use super::keyed::Borrowed;
use super::lines::{Entry, Line};
use crate::queue::{DropReason, Unfit};
use crate::wake::all;

/// What became of a message.
pub(super) struct Delivered<T> {
    pub(super) seq: u64,
    /// Connections that it went to.
    pub(super) connections: usize,
    /// Copies that went into their queues, or were dropped there.
    pub(super) copies: usize,
    pub(super) stored: bool,
    /// The message, where nobody took it.
    pub(super) left: Option<T>,
}

impl<T> Delivered<T> {
    /// Gives a message to all lines, one copy each and the item itself to the last.
    pub(super) fn to(lines: &[Entry<T>], seq: u64, item: Option<T>, copies: Vec<T>) -> Self {
        let mut items = copies.into_iter().chain(item);
        let mut delivered = Self {
            seq,
            connections: 0,
            copies: 0,
            stored: false,
            left: None,
        };
        all(lines, |entry| {
            if entry.floor >= seq {
                // It has read it from the mailbox.
                delivered.connections += 1;
                return;
            }
            let mut copy = Copy {
                line: &entry.line,
                slot: items.next().map(|item| (seq, item)),
            };
            delivered.connections += 1;
            delivered.copies += 1;
            if let Err(Unfit::Closed) = copy.push(seq) {
                delivered.connections -= 1;
                delivered.copies -= 1;
                delivered.left = copy.take();
            }
        });
        if delivered.left.is_none() {
            delivered.left = items.next();
        }
        delivered
    }
}

/// A copy for one line. One that the line does not take is dropped there, and counted.
struct Copy<'a, T> {
    line: &'a Line<T>,
    slot: Option<(u64, T)>,
}

impl<T> Copy<'_, T> {
    #[inline]
    fn push(&mut self, seq: u64) -> Result<(), Unfit> {
        self.line.begin(seq);
        self.line.producer.push_slot(&mut self.slot)
    }

    fn take(&mut self) -> Option<T> {
        self.slot.take().map(|(_, item)| item)
    }
}

impl<T> Drop for Copy<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if let Some(pair) = self.slot.take() {
            refuse(self.line, pair);
        }
    }
}

#[cold]
#[inline(never)]
fn refuse<T>(line: &Line<T>, pair: (u64, T)) {
    line.refused.fetch_add(1, Ordering::Relaxed);
    line.producer.discard(pair, DropReason::Newest);
}

/// The turn of a key in a call that does not wait, and a number that is given out if the call comes to that.
pub(super) struct Hold<'a, K, T> {
    core: &'a Arc<Core<K, T>>,
    key: &'a Borrowed<'a, K>,
    pub(super) seq: u64,
    pub(super) given: bool,
}

impl<'a, K, T> Hold<'a, K, T> {
    #[inline]
    pub(super) const fn new(core: &'a Arc<Core<K, T>>, key: &'a Borrowed<'a, K>, seq: u64) -> Self {
        Self {
            core,
            key,
            seq,
            given: false,
        }
    }
}

impl<K, T> Drop for Hold<'_, K, T> {
    #[inline]
    fn drop(&mut self) {
        let number = self.given.then_some(self.seq);
        (self.core.pass_on)(self.core, self.key, number);
    }
}

/// A message to the one line of a key: whether there is room for it is seen by pushing it.
pub(super) struct One<'a, K, T> {
    slot: Option<(u64, T)>,
    settled: bool,
    hold: Hold<'a, K, T>,
}

impl<K, T> Drop for One<'_, K, T> {
    #[inline]
    fn drop(&mut self) {
        if !self.settled {
            // A panic; if the queue has taken the message, it came after that.
            self.hold.given = self.slot.is_none();
        }
    }
}

impl<'a, K, T> One<'a, K, T> {
    #[inline]
    pub(super) fn new(hold: Hold<'a, K, T>, item: Option<T>) -> Self {
        let slot = item.map(|item| (hold.seq, item));
        Self {
            slot,
            settled: false,
            hold,
        }
    }

    /// Gives it to the line, unless it has to wait; then it comes back.
    #[inline]
    pub(super) fn push(mut self, line: &Line<T>) -> Result<Delivered<T>, Option<T>> {
        line.begin(self.hold.seq);
        let pushed = line.producer.push_slot(&mut self.slot);
        self.settled = true;
        let slot = self.slot.take();
        self.hold.given = pushed != Err(Unfit::Later);
        let mut delivered = Delivered {
            seq: self.hold.seq,
            connections: 1,
            copies: 1,
            stored: false,
            left: None,
        };
        match pushed {
            Ok(()) => {}
            Err(Unfit::Later) => return Err(slot.map(|(_, item)| item)),
            Err(Unfit::Refused) => {
                if let Some(pair) = slot {
                    refuse(line, pair);
                }
            }
            Err(Unfit::Closed) => {
                delivered.connections = 0;
                delivered.copies = 0;
                delivered.left = slot.map(|(_, item)| item);
            }
        }
        Ok(delivered)
    }
}
