//! A message on its way to the connections of its key.

use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::core::Core;
use super::delivery::{Delivered, Hold, One};
use super::keyed::{Borrowed, Keyed};
use super::lines::Lines;
use super::registry::Visit;
use super::spot::{Given, Roll};
use super::storing::Storing;
use super::turn::Turn;
use super::{RouteError, Routed};

/// What became of a message that does not wait.
pub(super) enum AtOnce<K> {
    Routed(Routed),
    Closed,
    /// It has to wait, for its turn, for room, or for the mailbox. It is where it was.
    Later(Arc<Keyed<K>>),
}

impl<K, T> Core<K, T>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    T: Clone + Send + Sync + 'static,
{
    /// Routes what is in `slot`, unless it has to wait.
    #[inline]
    pub(super) fn push_at_once(self: &Arc<Self>, key: &K, slot: &mut Option<T>) -> AtOnce<K> {
        if self.mailbox.is_some() {
            return AtOnce::Later(self.registry.keyed(key));
        }
        let key = self.registry.seek(key);
        match self.registry.visit(&key, slot) {
            Visit::Pushed(seq) => AtOnce::Routed(Routed {
                connections: 1,
                seq,
                stored: false,
            }),
            Visit::Turn(shared, roll) => match self.deliver_at_once(&key, &roll, slot) {
                Some(delivered) => AtOnce::Routed(self.finish(&key, &delivered)),
                None => AtOnce::Later(shared),
            },
            Visit::Busy(shared) => AtOnce::Later(shared),
            Visit::Nobody(seq) => {
                let delivered = Delivered::to(&[], seq, slot.take(), Vec::new());
                AtOnce::Routed(self.finish(&key, &delivered))
            }
            Visit::Closed => AtOnce::Closed,
        }
    }

    /// Gives what is in `slot` to the connections of a key in this turn, if nothing has to be waited for.
    fn deliver_at_once(
        self: &Arc<Self>,
        key: &Borrowed<'_, K>,
        roll: &Roll<T>,
        slot: &mut Option<T>,
    ) -> Option<Delivered<T>> {
        let hold = Hold::new(self, key, roll.last + 1);
        if let Lines::One(entry) = &roll.lines {
            let one = One::new(hold, slot.take());
            return match one.push(&entry.line) {
                Ok(delivered) => Some(delivered),
                Err(item) => {
                    *slot = item;
                    None
                }
            };
        }
        self.deliver_to_many(hold, &roll.lines, slot)
    }

    #[inline(never)]
    fn deliver_to_many(
        self: &Arc<Self>,
        mut hold: Hold<'_, K, T>,
        lines: &Lines<T>,
        slot: &mut Option<T>,
    ) -> Option<Delivered<T>> {
        let lines = lines.as_slice();
        let pair = (hold.seq, slot.take()?);
        let weight = self.weigh(&pair);
        let item = slot.insert(pair.1);
        if !lines.iter().all(|e| e.line.producer.fits(weight)) {
            return None;
        }
        let copies = copies(item, lines.len());
        hold.given = true;
        Some(Delivered::to(lines, hold.seq, slot.take(), copies))
    }

    /// What a message weighs, where that matters before it is pushed.
    fn weigh(&self, pair: &(u64, T)) -> usize {
        if self.queues.waits() {
            self.queues.weigh(pair)
        } else {
            0
        }
    }

    /// Routes a message, waiting for its turn, for room, and for the mailbox.
    pub(super) async fn push(self: &Arc<Self>, key: &K, item: T) -> Result<Routed, RouteError<T>> {
        let mut slot = Some(item);
        let at_once = self.push_at_once(key, &mut slot);
        match (at_once, slot) {
            (AtOnce::Routed(routed), _) => Ok(routed),
            // In a box, so that the future of a push that does not wait is small.
            (AtOnce::Later(key), Some(item)) => Box::pin(self.push_in_turn(&key, item)).await,
            (AtOnce::Closed, Some(item)) => Err(RouteError::Closed(item)),
            (_, None) => unreachable!("a message that was not routed is where it was"),
        }
    }

    /// Waits for the turn of a key and routes a message in it.
    pub(super) async fn push_in_turn(
        self: &Arc<Self>,
        key: &Arc<Keyed<K>>,
        item: T,
    ) -> Result<Routed, RouteError<T>> {
        let Some((turn, roll)) = self.turn(key).await else {
            return Err(RouteError::Closed(item));
        };
        let lines = roll.lines.as_slice();
        let pair = (roll.last + 1, item);
        let weight = self.weigh(&pair);
        // Room that is there stays: nobody else fills these queues.
        for entry in lines {
            entry.line.producer.until_fits(weight).await;
        }
        let item = pair.1;
        let copies = copies(&item, lines.len());
        let delivered = match &self.mailbox {
            Some(mailbox) => {
                let append = Arc::clone(mailbox).append(Arc::clone(key), item);
                Storing::new(turn, append, copies).await?
            }
            None => turn
                .give_out(None, item, copies)
                .map_err(RouteError::Closed)?,
        };
        Ok(self.finish(&key.as_sought(), &delivered))
    }

    /// Counts a message, and says so if nobody was there. Not in its turn any more.
    pub(super) fn finish(&self, key: &Borrowed<'_, K>, delivered: &Delivered<T>) -> Routed {
        let tally = self.registry.tally(key.0);
        tally.pushed.fetch_add(1, Ordering::Relaxed);
        let copies = delivered.copies as u64;
        tally.routed.fetch_add(copies, Ordering::Relaxed);
        if delivered.stored {
            tally.stored.fetch_add(1, Ordering::Relaxed);
        }
        if delivered.connections == 0 {
            tally.offline.fetch_add(1, Ordering::Relaxed);
            if let (Some(tell), Some(item)) = (&self.on_offline, &delivered.left) {
                tell(key.1, item);
            }
        }
        Routed {
            connections: delivered.connections,
            seq: delivered.seq,
            stored: delivered.stored,
        }
    }
}

/// A copy for each line but one, which gets the item itself. Made before anything has happened: a clone may panic.
fn copies<T: Clone>(item: &T, lines: usize) -> Vec<T> {
    (1..lines).map(|_| item.clone()).collect()
}

impl<K: Eq + Hash, T: Clone> Turn<K, T> {
    /// Gives out `number`, or the next one, for a message that all lines have room for, and gives it to them. Only one that
    /// is not stored comes back, if the router was closed.
    pub(super) fn give_out(
        self,
        number: Option<u64>,
        item: T,
        mut copies: Vec<T>,
    ) -> Result<Delivered<T>, T> {
        loop {
            let given = self
                .core
                .registry
                .give_out(&self.key, number, copies.len() + 1);
            match given {
                // A line that has come meanwhile has an empty queue.
                Given::Short(lines) => {
                    copies.extend((copies.len() + 1..lines).map(|_| item.clone()));
                }
                Given::Closed => return Err(item),
                Given::Out(seq, roll) => {
                    let lines = roll.lines.as_slice();
                    copies.truncate(lines.len().saturating_sub(1));
                    let mut delivered = Delivered::to(lines, seq, Some(item), copies);
                    delivered.connections += roll.replaying;
                    delivered.stored = number.is_some();
                    return Ok(delivered);
                }
            }
        }
    }
}
