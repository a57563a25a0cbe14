//! Which keys there are: sharded, so that pushes to different keys seldom meet.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hash, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::keyed::{AsIs, Borrowed, Keyed, Sought, owned};
use super::lines::Line;
use super::spot::{Caught, Closed, Given, Rest, Roll, Spot};
use super::turn::Waiter;
use crate::sync::Lock;

const SHARDS: usize = 64;

pub(super) struct Registry<K, T> {
    hasher: RandomState,
    shards: Box<[Shard<K, T>]>,
    /// Numbers are kept here, since there is no mailbox that does.
    counts: bool,
    /// Each connection's is higher than those before.
    tickets: AtomicU64,
}

/// Lines of memory of its own.
#[repr(align(128))]
struct Shard<K, T> {
    /// Held for a look at one key and a few words, most often: taking and giving back a lock that has to be asked for
    /// sleepers would cost a push more than that. Where a table grows, who comes meanwhile looks again, and then sleeps.
    table: Lock<Table<K, T>>,
    tally: Tally,
}

/// What is counted for the keys of a shard.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) pushed: AtomicU64,
    pub(super) routed: AtomicU64,
    pub(super) stored: AtomicU64,
    pub(super) offline: AtomicU64,
}

type Keys<K, T> = HashMap<Keyed<K>, Spot<K, T>, BuildHasherDefault<AsIs>>;

struct Table<K, T> {
    closed: bool,
    /// Messages given to a connection under the lock: neither `pushed` nor `routed` has them.
    plain: u64,
    keys: Keys<K, T>,
}

/// What a push finds where there is no mailbox.
pub(super) enum Visit<K, T> {
    /// The one connection has it, under this number. It is counted.
    Pushed(u64),
    /// Nobody is connected. The message has this number, and was pushed to nobody.
    Nobody(u64),
    /// The turn, to be given back, and who is connected.
    Turn(Arc<Keyed<K>>, Roll<T>),
    /// Somebody else has the turn.
    Busy(Arc<Keyed<K>>),
    Closed,
}

/// The answer to one who wants the turn.
pub(super) enum Asked<T> {
    Got(Roll<T>),
    Busy,
    Closed,
}

/// A line was added.
pub(super) struct Joined {
    pub(super) ticket: u64,
    /// The number of the last message before.
    pub(super) last: u64,
    /// It is the key's only one.
    pub(super) first: bool,
}

/// Of the bits in the middle: a table uses those at both ends.
const fn shard_of(hash: u64) -> usize {
    (hash >> 32) as usize % SHARDS
}

impl<K, T> Registry<K, T> {
    pub(super) fn new(counts: bool) -> Self {
        let shard = || Shard {
            table: Lock::new(Table {
                closed: false,
                plain: 0,
                keys: HashMap::default(),
            }),
            tally: Tally::default(),
        };
        Self {
            hasher: RandomState::new(),
            shards: (0..SHARDS).map(|_| shard()).collect(),
            counts,
            tickets: AtomicU64::new(0),
        }
    }

    fn shard(&self, hash: u64) -> &Shard<K, T> {
        &self.shards[shard_of(hash)]
    }

    pub(super) fn tally(&self, hash: u64) -> &Tally {
        &self.shard(hash).tally
    }

    /// The tally of each shard, and the messages that it does not have: each was pushed, and went to one connection.
    pub(super) fn tallies(&self) -> impl Iterator<Item = (&Tally, u64)> {
        let shards = self.shards.iter();
        shards.map(|shard| (&shard.tally, shard.table.lock().plain))
    }

    /// How many keys there is something of.
    pub(super) fn keys(&self) -> usize {
        let keys = self.shards.iter().map(|s| s.table.lock().keys.len());
        keys.sum()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.shards.iter().any(|shard| shard.table.lock().closed)
    }

    /// Takes nothing any more, and answers who was connected. Who waits for a turn learns it from having none.
    pub(super) fn close(&self) -> (Vec<Closed<T>>, Vec<Waiter<K, T>>) {
        let (mut closed, mut waiting) = (Vec::new(), Vec::new());
        for shard in &self.shards {
            let mut table = shard.table.lock();
            table.closed = true;
            let mut keys = std::mem::take(&mut table.keys);
            for spot in keys.values_mut() {
                if let Some(rest) = &mut spot.busy {
                    closed.push(rest.disconnect(spot.last));
                    waiting.extend(rest.dismiss());
                }
            }
            drop(table);
        }
        (closed, waiting)
    }

    /// The keys of one shard that somebody is connected to; `None` behind the last.
    pub(super) fn online(&self, shard: usize) -> Option<Vec<Arc<Keyed<K>>>> {
        let shard = self.shards.get(shard)?;
        let table = shard.table.lock();
        let rests = table.keys.values().filter_map(|spot| spot.busy.as_ref());
        let online = rests.filter(|rest| rest.connections() > 0);
        Some(online.map(|rest| Arc::clone(&rest.key)).collect())
    }

    fn ticket(&self) -> u64 {
        // Under the lock of a shard, so a key's connections get them in order.
        self.tickets.fetch_add(1, Ordering::Relaxed)
    }
}

impl<K, T> Spot<K, T> {
    const fn with(last: u64, busy: Option<Box<Rest<K, T>>>) -> Self {
        Self {
            last,
            port: None,
            busy,
        }
    }
}

/// Whose turn it is, of which key.
type Next<K, T> = (Waiter<K, T>, Arc<Keyed<K>>);

/// What is dropped outside of the lock.
type Gone<K, T> = (Option<Box<Rest<K, T>>>, Option<(Keyed<K>, Spot<K, T>)>);

impl<K: Eq + Hash, T> Registry<K, T> {
    pub(super) fn seek<'k>(&self, key: &'k K) -> Borrowed<'k, K> {
        (self.hasher.hash_one(key), key)
    }

    /// Changes a key that is in use, and tidies up behind. `None` if it is not.
    fn change<R>(
        &self,
        key: &Borrowed<'_, K>,
        change: impl FnOnce(&mut Rest<K, T>, u64) -> R,
    ) -> Option<R> {
        let shard = self.shard(key.0);
        let mut table = shard.table.lock();
        let spot = table.keys.get_mut(key as &dyn Sought<K>)?;
        let result = change(spot.busy.as_mut()?, spot.last);
        let gone = self.tidy(&mut table.keys, key);
        drop(table);
        drop(gone);
        Some(result)
    }

    /// After a change: what is not in use is put away, and where there is one connection the port is open.
    fn tidy(&self, keys: &mut Keys<K, T>, key: &Borrowed<'_, K>) -> Gone<K, T> {
        let key: &dyn Sought<K> = key;
        let Some(spot) = keys.get_mut(key) else {
            return (None, None);
        };
        let idle = spot.busy.as_ref().is_some_and(|rest| rest.is_idle());
        if !idle {
            // The line holds the queue too, so this is never the last handle to it.
            spot.port = match &spot.busy {
                Some(rest) if self.counts => rest.port(),
                _ => None,
            };
            return (None, None);
        }
        spot.port = None;
        let rest = spot.busy.take();
        let of_use = self.counts && spot.last > 0;
        (rest, if of_use { None } else { keys.remove_entry(key) })
    }

    /// Whether somebody is connected, and how many.
    pub(super) fn connections(&self, key: &K) -> usize {
        let key = self.seek(key);
        let table = self.shard(key.0).table.lock();
        let spot = table.keys.get(&key as &dyn Sought<K>);
        let rest = spot.and_then(|spot| spot.busy.as_ref());
        rest.map_or(0, |rest| rest.connections())
    }

    /// Removes the number of a key that has nothing else.
    pub(super) fn forget(&self, key: &K) -> bool {
        let key = self.seek(key);
        let key: &dyn Sought<K> = &key;
        let mut table = self.shard(key.parts().0).table.lock();
        let gone = match table.keys.get(key) {
            Some(spot) if spot.busy.is_none() => table.keys.remove_entry(key),
            _ => None,
        };
        drop(table);
        gone.is_some()
    }

    /// Takes a connection out, which is to be dropped outside of the lock, and answers whether it was the last one.
    pub(super) fn leave(&self, key: &Keyed<K>, ticket: u64) -> Option<(Arc<Line<T>>, bool)> {
        self.change(&key.as_sought(), |rest, _| {
            let line = rest.leave(ticket)?;
            Some((line, rest.connections() == 0))
        })?
    }

    /// Makes a replay live that has read everything up to `cursor`, unless there is more, and answers its new ticket.
    pub(super) fn catch_up(&self, key: &Keyed<K>, ticket: u64, cursor: u64) -> (Caught, u64) {
        let caught = self.change(&key.as_sought(), |rest, last| {
            let new = self.ticket();
            (rest.catch_up(last, ticket, cursor, new), new)
        });
        caught.unwrap_or((Caught::Closed, ticket))
    }

    /// Takes all connections of a key out.
    pub(super) fn disconnect(&self, key: &K) -> Option<Closed<T>> {
        let key = self.seek(key);
        self.change(&key, |rest, last| rest.disconnect(last))
    }

    /// Ends a turn in which `number` was given out, and answers whose it is now.
    pub(super) fn end_turn(
        &self,
        key: &Borrowed<'_, K>,
        number: Option<u64>,
    ) -> Option<Next<K, T>> {
        let mut table = self.shard(key.0).table.lock();
        let spot = table.keys.get_mut(key as &dyn Sought<K>)?;
        if let Some(number) = number {
            spot.last = spot.last.max(number);
        }
        let rest = spot.busy.as_mut()?;
        let next = rest.end_turn().map(|next| (next, Arc::clone(&rest.key)));
        let gone = self.tidy(&mut table.keys, key);
        drop(table);
        drop(gone);
        next
    }

    /// Who is connected, for one who has the turn; `None` if the router is closed.
    pub(super) fn roll(&self, key: &Keyed<K>) -> Option<Roll<T>> {
        let table = self.shard(key.hash).table.lock();
        let spot = table.keys.get(&key.as_sought() as &dyn Sought<K>)?;
        Some(spot.busy.as_ref()?.roll(spot.last))
    }

    /// Gives out `number`, or the next one, if there is a copy for each line. For one who has the turn.
    pub(super) fn give_out(&self, key: &Keyed<K>, number: Option<u64>, copies: usize) -> Given<T> {
        let mut table = self.shard(key.hash).table.lock();
        let spot = table.keys.get_mut(&key.as_sought() as &dyn Sought<K>);
        match (spot, number) {
            (Some(spot), _) => spot.give_out(number, copies),
            // It is stored, and nobody is left to get it.
            (None, Some(number)) => Given::Out(number, Roll::NOBODY),
            (None, None) => Given::Closed,
        }
    }
}

impl<K: Clone + Eq + Hash, T> Registry<K, T> {
    /// What a push of what is in `slot` finds. Most often it is done by that. Without a mailbox.
    #[inline]
    pub(super) fn visit(&self, key: &Borrowed<'_, K>, slot: &mut Option<T>) -> Visit<K, T> {
        let mut made = None;
        loop {
            let mut table = self.shard(key.0).table.lock();
            if table.closed {
                return Visit::Closed;
            }
            let Some(spot) = table.keys.get_mut(key as &dyn Sought<K>) else {
                let Some(key) = made.take() else {
                    drop(table);
                    made = Some(owned(key));
                    continue;
                };
                table.keys.insert(key, Spot::with(1, None));
                return Visit::Nobody(1);
            };
            let seq = spot.last + 1;
            if let Some(port) = &spot.port {
                let mut pair = slot.take().map(|item| (seq, item));
                if port.push(&mut pair) {
                    spot.last = seq;
                    table.plain += 1;
                    return Visit::Pushed(seq);
                }
                *slot = pair.map(|(_, item)| item);
            }
            let Some(rest) = &mut spot.busy else {
                spot.last = seq;
                return Visit::Nobody(seq);
            };
            let key = Arc::clone(&rest.key);
            if !rest.take_turn() {
                return Visit::Busy(key);
            }
            spot.port = None;
            return Visit::Turn(key, rest.roll(spot.last));
        }
    }

    /// The key as it is shared, to ask for its turn.
    pub(super) fn keyed(&self, key: &K) -> Arc<Keyed<K>> {
        let key = self.seek(key);
        let table = self.shard(key.0).table.lock();
        let spot = table.keys.get(&key as &dyn Sought<K>);
        if let Some(rest) = spot.and_then(|spot| spot.busy.as_ref()) {
            return Arc::clone(&rest.key);
        }
        drop(table);
        Arc::new(owned(&key))
    }

    /// Takes the turn of a key, or gets in line with `waiter`.
    pub(super) fn ask(&self, key: &Arc<Keyed<K>>, waiter: Option<Waiter<K, T>>) -> Asked<T> {
        // Those who were cancelled.
        let mut gone = Vec::new();
        let asked = self.using(key, |spot, rest| {
            if rest.take_turn() {
                spot.port = None;
                return Asked::Got(rest.roll(spot.last));
            }
            if let Some(waiter) = waiter {
                rest.wait(waiter, &mut gone);
            }
            Asked::Busy
        });
        asked.unwrap_or(Asked::Closed)
    }

    /// Adds a connection; `None` if the router is closed.
    pub(super) fn join(
        &self,
        key: &Arc<Keyed<K>>,
        line: &Arc<Line<T>>,
        replays: bool,
    ) -> Option<Joined> {
        self.using(key, |spot, rest| {
            let first = rest.connections() == 0;
            let ticket = self.ticket();
            rest.join(ticket, line, replays);
            spot.port = if self.counts { rest.port() } else { None };
            Joined {
                ticket,
                last: spot.last,
                first,
            }
        })
    }

    /// Does something with a key that is in use, which it is from now on. `None` if the router is closed.
    fn using<R>(
        &self,
        key: &Arc<Keyed<K>>,
        act: impl FnOnce(&mut Spot<K, T>, &mut Rest<K, T>) -> R,
    ) -> Option<R> {
        let sought = key.as_sought();
        let mut made = None;
        // A key that was not needed: dropped after the lock is released.
        let mut spare = Vec::new();
        loop {
            let mut table = self.shard(key.hash).table.lock();
            if table.closed {
                return None;
            }
            let there = table.keys.get_mut(&sought as &dyn Sought<K>);
            let spot = match there {
                Some(spot) => {
                    if let Some((key, rest)) = made.take_if(|_| spot.busy.is_none()) {
                        spare.push(key);
                        spot.busy = Some(rest);
                    }
                    Some(spot)
                }
                None => made
                    .take()
                    .map(|(key, rest)| table.keys.entry(key).or_insert(Spot::with(0, Some(rest)))),
            };
            if let Some(spot) = spot {
                if let Some(mut rest) = spot.busy.take() {
                    let result = act(spot, &mut rest);
                    spot.busy = Some(rest);
                    return Some(result);
                }
            }
            drop(table);
            made = Some((owned(&sought), Box::new(Rest::new(Arc::clone(key)))));
        }
    }
}
