//! What a router keeps of one key: its number, its connections, and whose turn it is. Pure.
//!
//! Messages of a key are given out one after the other. A push takes the key's *turn*, which is no lock: while it has it,
//! it may wait for room, clone messages, store, and wake tasks. Only the turn's owner gives out numbers and fills queues, so
//! room that it has seen stays until it uses it, and a connection that comes meanwhile has an empty queue.

use std::collections::VecDeque;
use std::sync::Arc;

use super::keyed::Keyed;
use super::lines::{Entry, Line, Lines};
use super::turn::Waiter;
use crate::queue::Port;

/// A key. Small, for there may be many that nobody is connected to.
pub(super) struct Spot<K, T> {
    /// The number of the last message that was given out here; with a mailbox 0 until there is one.
    pub(super) last: u64,
    /// Where the next message may go without anybody's turn: there is one connection, no mailbox, and nobody has the
    /// turn.
    pub(super) port: Option<Port<(u64, T)>>,
    /// While somebody is connected or has the turn.
    pub(super) busy: Option<Box<Rest<K, T>>>,
}

/// The part of a key that is in use.
pub(super) struct Rest<K, T> {
    pub(super) key: Arc<Keyed<K>>,
    taken: bool,
    /// Who waits for the turn, in order.
    waiting: VecDeque<Waiter<K, T>>,
    live: Lines<T>,
    /// Connections that read from the mailbox still, by ticket.
    replaying: Vec<(u64, Arc<Line<T>>)>,
    /// Connections that were closed while they replayed, and no number was known that they should end at.
    leaving: Vec<(u64, Arc<Line<T>>)>,
}

/// The connections at one moment.
pub(super) struct Roll<T> {
    pub(super) lines: Lines<T>,
    pub(super) replaying: usize,
    pub(super) last: u64,
}

impl<T> Roll<T> {
    pub(super) const NOBODY: Self = Self {
        lines: Lines::None,
        replaying: 0,
        last: 0,
    };
}

/// How a replay goes on that has come to the end of what is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Caught {
    /// It gets what comes from now on.
    Up,
    /// More has come meanwhile.
    Behind,
    /// The connection has been closed.
    Closed,
}

/// What became of giving out a number.
pub(super) enum Given<T> {
    /// This one, to those.
    Out(u64, Roll<T>),
    /// There are so many lines, and not as many copies.
    Short(usize),
    /// The router was closed.
    Closed,
}

/// Connections that were closed.
pub(super) struct Closed<T> {
    pub(super) lines: Lines<T>,
    pub(super) replaying: Vec<(u64, Arc<Line<T>>)>,
}

impl<T> Closed<T> {
    pub(super) fn len(&self) -> usize {
        self.lines.len() + self.replaying.len()
    }
}

impl<K, T> Rest<K, T> {
    pub(super) const fn new(key: Arc<Keyed<K>>) -> Self {
        Self {
            key,
            taken: false,
            waiting: VecDeque::new(),
            live: Lines::None,
            replaying: Vec::new(),
            leaving: Vec::new(),
        }
    }

    pub(super) fn connections(&self) -> usize {
        self.live.len() + self.replaying.len()
    }

    pub(super) fn is_idle(&self) -> bool {
        !self.taken && self.connections() == 0 && self.leaving.is_empty()
    }

    pub(super) fn roll(&self, last: u64) -> Roll<T> {
        Roll {
            lines: self.live.clone(),
            replaying: self.replaying.len(),
            last,
        }
    }

    /// Where a message may go without a turn.
    pub(super) fn port(&self) -> Option<Port<(u64, T)>> {
        match &self.live {
            Lines::One(entry) if !self.taken => Some(entry.line.producer.port()),
            _ => None,
        }
    }

    /// Takes the turn if it is free.
    pub(super) fn take_turn(&mut self) -> bool {
        !std::mem::replace(&mut self.taken, true)
    }

    /// Gets in line. Before the line grows in memory, those leave it who were cancelled.
    pub(super) fn wait(&mut self, waiter: Waiter<K, T>, gone: &mut Vec<Waiter<K, T>>) {
        if self.waiting.len() == self.waiting.capacity() {
            let mut at = 0;
            while at < self.waiting.len() {
                if self.waiting[at].is_closed() {
                    gone.extend(self.waiting.remove(at));
                } else {
                    at += 1;
                }
            }
        }
        self.waiting.push_back(waiter);
    }

    /// Those who wait in line, and will wait in vain.
    pub(super) fn dismiss(&mut self) -> VecDeque<Waiter<K, T>> {
        std::mem::take(&mut self.waiting)
    }

    /// Ends a turn. It is the next one's, if there is one.
    pub(super) fn end_turn(&mut self) -> Option<Waiter<K, T>> {
        let next = self.waiting.pop_front();
        self.taken = next.is_some();
        next
    }

    pub(super) fn join(&mut self, ticket: u64, line: &Arc<Line<T>>, replays: bool) {
        let line = Arc::clone(line);
        if replays {
            self.replaying.push((ticket, line));
        } else {
            self.live.add(Entry {
                ticket,
                floor: 0,
                line,
            });
        }
    }

    /// Takes a connection out, which is to be dropped outside of the lock.
    pub(super) fn leave(&mut self, ticket: u64) -> Option<Arc<Line<T>>> {
        if let Some(entry) = self.live.remove(ticket) {
            return Some(entry.line);
        }
        // The connection that goes has the line too.
        self.leaving.retain(|(own, _)| *own != ticket);
        let at = self.replays_at(ticket)?;
        Some(self.replaying.swap_remove(at).1)
    }

    /// Makes a replay live that has read everything up to `cursor`, unless there is more. It gets another ticket.
    pub(super) fn catch_up(&mut self, last: u64, ticket: u64, cursor: u64, new: u64) -> Caught {
        let Some(at) = self.replays_at(ticket) else {
            return Caught::Closed;
        };
        if last > cursor {
            return Caught::Behind;
        }
        let (_, line) = self.replaying.swap_remove(at);
        self.live.add(Entry {
            ticket: new,
            floor: cursor,
            line,
        });
        Caught::Up
    }

    fn replays_at(&self, ticket: u64) -> Option<usize> {
        self.replaying.iter().position(|(own, _)| *own == ticket)
    }

    /// Takes all connections out. Replays go on to the number `last`, or until another one is given out.
    pub(super) fn disconnect(&mut self, last: u64) -> Closed<T> {
        let replaying = std::mem::take(&mut self.replaying);
        if last == 0 {
            self.leaving.extend(replaying.iter().cloned());
        }
        for (_, line) in replaying.iter().filter(|_| last > 0) {
            let _once = line.end.set(last);
        }
        Closed {
            lines: self.live.take(),
            replaying,
        }
    }

    /// The message with this number is none for those who have left.
    fn cut_off(&self, number: u64) {
        for (_, line) in &self.leaving {
            let _once = line.end.set(number.saturating_sub(1));
        }
    }
}

impl<K, T> Spot<K, T> {
    /// Gives out `number`, or the next one, if there is a copy for each line. For the turn's owner.
    pub(super) fn give_out(&mut self, number: Option<u64>, copies: usize) -> Given<T> {
        let lines = self.busy.as_ref().map_or(0, |rest| rest.live.len());
        if lines > copies {
            return Given::Short(lines);
        }
        let number = number.unwrap_or(self.last + 1);
        self.last = self.last.max(number);
        let roll = self.busy.as_ref().map(|rest| {
            rest.cut_off(number);
            rest.roll(self.last)
        });
        Given::Out(number, roll.unwrap_or(Roll::NOBODY))
    }
}

#[cfg(all(test, not(pushpull_loom)))]
mod tests {
    use tokio::sync::oneshot;

    use super::*;
    use crate::router::registry::Registry;

    #[test]
    fn who_left_the_line_takes_no_memory() {
        let registry = Registry::<u8, u8>::new(true);
        let mut rest = Rest::<u8, u8>::new(registry.keyed(&1));
        assert!(rest.take_turn());
        let (first, _stays) = oneshot::channel();
        let mut gone = Vec::new();
        rest.wait(first, &mut gone);
        for _ in 0..1_000 {
            rest.wait(oneshot::channel().0, &mut gone);
        }
        assert!(rest.waiting.len() < 10, "{}", rest.waiting.len());
        assert_eq!(rest.waiting.len() + gone.len(), 1_001);
        assert!(!rest.waiting[0].is_closed());
    }
}
