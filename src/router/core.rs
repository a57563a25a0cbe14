//! What all handles of a router share.

use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::keyed::Borrowed;
use super::lines::Line;
use super::mailbox::Store;
use super::registry::Registry;
use super::spot::Closed;
use super::turn::Turn;
use crate::queue;
use crate::wake::{all, in_turn};

pub(super) type OnOffline<K, T> = Box<dyn Fn(&K, &T) + Send + Sync>;

pub(super) struct Core<K, T> {
    pub(super) registry: Registry<K, T>,
    pub(super) queues: queue::Builder<(u64, T)>,
    pub(super) mailbox: Option<Arc<dyn Store<K, T>>>,
    pub(super) on_offline: Option<OnOffline<K, T>>,
    pub(super) totals: Arc<Totals>,
    /// Gives a turn in which a number was given out to the next in line. A turn that is dropped knows nothing of `K`.
    pub(super) pass_on: PassOn<K, T>,
    handles: AtomicUsize,
}

type PassOn<K, T> = fn(&Arc<Core<K, T>>, &Borrowed<'_, K>, Option<u64>);

/// What is counted for all keys together.
#[derive(Debug, Default)]
pub(super) struct Totals {
    pub(super) dropped: AtomicU64,
    pub(super) abandoned: AtomicU64,
    pub(super) replayed: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) connections: AtomicUsize,
    pub(super) online: AtomicUsize,
}

impl<K: Eq + Hash, T> Core<K, T> {
    pub(super) fn new(
        queues: queue::Builder<(u64, T)>,
        mailbox: Option<Arc<dyn Store<K, T>>>,
        on_offline: Option<OnOffline<K, T>>,
        totals: Arc<Totals>,
    ) -> Self {
        Self {
            registry: Registry::new(mailbox.is_none()),
            queues,
            mailbox,
            on_offline,
            totals,
            pass_on: Self::give_turn_on,
            handles: AtomicUsize::new(0),
        }
    }

    fn give_turn_on(self: &Arc<Self>, key: &Borrowed<'_, K>, mut number: Option<u64>) {
        while let Some((next, shared)) = self.registry.end_turn(key, number.take()) {
            let mut back = None;
            // A waker may panic, and this may be an unwinding already.
            all([(next, Turn::new(self, &shared))], |(next, turn)| {
                back = next.send(turn).err();
            });
            match back {
                None => return,
                // That one has gone.
                Some(mut turn) => turn.held = false,
            }
        }
    }

    /// Closes all connections of a key. They bring what they have and end.
    pub(super) fn disconnect(&self, key: &K) -> usize {
        let closed = self.registry.disconnect(key);
        closed.map_or(0, |closed| self.end(closed))
    }
}

impl<K, T> Core<K, T> {
    pub(super) fn count_in(&self, first: bool) {
        self.totals.connections.fetch_add(1, Ordering::Relaxed);
        self.totals
            .online
            .fetch_add(usize::from(first), Ordering::Relaxed);
    }

    pub(super) fn count_out(&self, connections: usize, last: bool) {
        self.totals
            .connections
            .fetch_sub(connections, Ordering::Relaxed);
        self.totals
            .online
            .fetch_sub(usize::from(last), Ordering::Relaxed);
    }

    /// Closes the router: nothing is taken any more, and every connection ends when it has brought what it has.
    pub(super) fn close(&self) {
        let (closed, waiting) = self.registry.close();
        let (mut closed, mut waiting) = (closed.into_iter(), waiting.into_iter());
        in_turn([
            &mut || {
                all(&mut closed, |closed| {
                    self.end(closed);
                });
            },
            &mut || all(&mut waiting, drop),
        ]);
    }

    /// Ends connections, and answers how many. Their tasks are woken, so this is nothing for a lock.
    fn end(&self, closed: Closed<T>) -> usize {
        let gone = closed.len();
        self.count_out(gone, gone > 0);
        let live = closed.lines.as_slice().iter().map(|entry| &entry.line);
        let replaying = closed.replaying.iter().map(|(_, line)| line);
        all(live.chain(replaying), |line: &Arc<Line<T>>| {
            line.producer.close();
        });
        gone
    }
}

/// One of the handles that keep a router open.
pub(super) struct Handle<K, T>(pub(super) Arc<Core<K, T>>);

impl<K, T> Handle<K, T> {
    pub(super) fn new(core: &Arc<Core<K, T>>) -> Self {
        core.handles.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(core))
    }
}

impl<K, T> Clone for Handle<K, T> {
    fn clone(&self) -> Self {
        Self::new(&self.0)
    }
}

impl<K, T> Drop for Handle<K, T> {
    fn drop(&mut self) {
        // What other handles have done comes before the end.
        if self.0.handles.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.close();
        }
    }
}
