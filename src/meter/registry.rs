//! The one registry: weak references to everything with a name, and the last counters of what has gone.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque, hash_map};
use std::fmt;
// A static, and nothing is entered in models: these never need to be loom's.
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use super::engine::EngineStats;
use super::histogram::Percentiles;
use super::snapshot::{OperatorStats, Snapshot};
use crate::batch::BatchStats;
use crate::broadcast::BroadcastStats;
use crate::queue::QueueStats;
use crate::sync::Arc as SharedArc;

/// How many last counters are kept for the next snapshot. A program that names things and never looks does not grow.
const KEPT: usize = 1024;

/// The registry of this process: a handle without weight.
#[derive(Clone, Copy)]
pub struct Registry {
    inner: &'static Mutex<Inner>,
}

/// The registry that named queues, broadcasts, batches and metered operators are entered in.
pub fn registry() -> Registry {
    static REGISTRY: OnceLock<Mutex<Inner>> = OnceLock::new();
    Registry {
        inner: REGISTRY.get_or_init(Mutex::default),
    }
}

impl Registry {
    /// Reads everything that has a name, in the order in which it was named.
    ///
    /// Each entry is consistent in itself; entries are read one after the other, each under its own lock and none
    /// under the registry's. What has gone since the snapshot before appears here for the last time.
    pub fn snapshot(&self) -> Snapshot {
        let (live, gone, forgotten) = self.lock().collect();
        let mut readings: Vec<Read> = gone;
        for Live { id, name, source } in live {
            // Not upgradable: still being built, or on its way out and about to leave its last counters.
            let Some(source) = source.upgrade() else {
                continue;
            };
            let reading = source.read();
            readings.push(Read {
                id,
                name,
                gone: false,
                reading,
            });
        }
        readings.sort_by_key(|read| read.id);
        Snapshot::new(readings, forgotten)
    }

    fn lock(&self) -> MutexGuard<'static, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(self, kind: Kind, name: &str, source: Weak<dyn Source>) -> Registration {
        let mut inner = self.lock();
        let label = inner.names.take(kind, name);
        let text = Arc::clone(&label.text);
        let id = inner.next;
        inner.next += 1;
        inner.live.insert(id, Slot { label, source });
        Registration {
            registry: self,
            id,
            name: text,
        }
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").finish_non_exhaustive()
    }
}

/// Something that can be read at any moment, from any thread. `read` takes its own lock and runs no user code.
pub(crate) trait Source: Send + Sync {
    fn read(&self) -> Reading;
}

/// The list a name belongs to. Names are told apart within one list only: a queue `orders` and a metered operator
/// `orders` both keep their name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Queue,
    Batch,
    Broadcast,
    Operator,
    #[cfg(feature = "kafka")]
    Engine,
}

/// What a [`Source`] has to say.
#[derive(Clone, Debug)]
pub(crate) enum Reading {
    Queue {
        stats: QueueStats,
        time_in_queue: Option<Percentiles>,
    },
    Batch(BatchStats),
    Broadcast(BroadcastStats),
    Operator(OperatorStats),
    #[cfg_attr(not(feature = "kafka"), expect(dead_code, reason = "no engine speaks"))]
    Engine(EngineStats),
}

/// A place in the registry. The owner's `Drop` calls [`finish`](Self::finish); dropped without, it leaves no trace.
pub(crate) struct Registration {
    registry: Registry,
    id: u64,
    name: Arc<str>,
}

impl Registration {
    /// The name, with its index where the name was taken.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Leaves the registry, and the last counters to be read once.
    pub(crate) fn finish(&self, last: Reading) {
        let mut inner = self.registry.lock();
        if let Some(slot) = inner.live.remove(&self.id) {
            let weak = inner.keep(self.id, slot, last);
            drop(inner);
            drop(weak);
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut inner = self.registry.lock();
        if let Some(slot) = inner.live.remove(&self.id) {
            inner.names.give_back(&slot.label);
            drop(inner);
            drop(slot);
        }
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Registration").field(&self.name).finish()
    }
}

/// A name asked for while building a `T`, which need not be `Send` nor `'static` unless it is named: the bound is on
/// [`Naming::new`] (and so on the builder's `name` method), not on `build`.
///
/// The builder keeps an `Option<Naming<Shared<T>>>`, `build` calls [`Naming::build`] instead of `Arc::new`, the owner
/// keeps the `Option<Registration>` and in its `Drop` calls `registration.finish(self.read())`.
pub(crate) struct Naming<T> {
    kind: Kind,
    name: Arc<str>,
    erase: fn(&Weak<T>) -> Weak<dyn Source>,
}

impl<T: Source + 'static> Naming<T> {
    pub(crate) fn new(kind: Kind, name: &str) -> Self {
        fn erase<T: Source + 'static>(weak: &Weak<T>) -> Weak<dyn Source> {
            let weak: Weak<T> = Weak::clone(weak);
            weak
        }
        Self {
            kind,
            name: name.into(),
            erase: erase::<T>,
        }
    }
}

impl<T> Naming<T> {
    /// Builds the owner, entered in the registry where there is a name. `make` keeps the registration in the owner.
    #[cfg(not(pushpull_loom))]
    pub(crate) fn build(
        naming: Option<&Self>,
        make: impl FnOnce(Option<Registration>) -> T,
    ) -> SharedArc<T> {
        match naming {
            None => SharedArc::new(make(None)),
            Some(Self { kind, name, erase }) => {
                Arc::new_cyclic(|weak| make(Some(registry().enter(*kind, name, erase(weak)))))
            }
        }
    }

    /// Models know no weak references, so there nothing is entered.
    #[cfg(pushpull_loom)]
    pub(crate) fn build(
        _naming: Option<&Self>,
        make: impl FnOnce(Option<Registration>) -> T,
    ) -> SharedArc<T> {
        SharedArc::new(make(None))
    }

    /// The name asked for.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

impl<T> Clone for Naming<T> {
    fn clone(&self) -> Self {
        Self {
            kind: self.kind,
            name: Arc::clone(&self.name),
            erase: self.erase,
        }
    }
}

impl<T> fmt::Debug for Naming<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Naming").field(&self.name).finish()
    }
}

/// One reading with the name it goes by.
pub(super) struct Read {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) gone: bool,
    pub(super) reading: Reading,
}

#[derive(Default)]
struct Inner {
    /// By order of entry.
    live: BTreeMap<u64, Slot>,
    gone: VecDeque<Gone>,
    names: Names,
    next: u64,
    /// Last counters given up unread.
    forgotten: u64,
}

struct Slot {
    label: Label,
    source: Weak<dyn Source>,
}

struct Gone {
    id: u64,
    label: Label,
    last: Reading,
}

/// A name in use: what was asked for, and the index that made it unlike the others.
struct Label {
    kind: Kind,
    base: Arc<str>,
    index: u64,
    /// `orders`, or `orders#2`.
    text: Arc<str>,
}

struct Live {
    id: u64,
    name: String,
    source: Weak<dyn Source>,
}

impl Inner {
    fn collect(&mut self) -> (Vec<Live>, Vec<Read>, u64) {
        let live = self.live.iter().map(|(&id, slot)| Live {
            id,
            name: slot.label.text.to_string(),
            source: Weak::clone(&slot.source),
        });
        let live = live.collect();
        let mut gone = Vec::with_capacity(self.gone.len());
        for Gone { id, label, last } in std::mem::take(&mut self.gone) {
            self.names.give_back(&label);
            gone.push(Read {
                id,
                name: label.text.to_string(),
                gone: true,
                reading: last,
            });
        }
        (live, gone, self.forgotten)
    }

    /// Keeps the last counters; the weak reference comes back to be dropped outside the lock.
    fn keep(&mut self, id: u64, slot: Slot, last: Reading) -> Weak<dyn Source> {
        let Slot { label, source } = slot;
        self.gone.push_back(Gone { id, label, last });
        if self.gone.len() > KEPT {
            if let Some(oldest) = self.gone.pop_front() {
                self.names.give_back(&oldest.label);
                self.forgotten += 1;
            }
        }
        source
    }
}

/// Which names are in use, and which indices of a name are free again.
#[derive(Default)]
struct Names {
    taken: HashSet<(Kind, Arc<str>)>,
    indices: HashMap<(Kind, Arc<str>), Indices>,
}

#[derive(Default)]
struct Indices {
    /// The highest index given out so far.
    highest: u64,
    free: BTreeSet<u64>,
}

impl Names {
    /// The lowest index whose label is free. A label like `orders#2` may also have been asked for by name.
    fn take(&mut self, kind: Kind, base: &str) -> Label {
        let base: Arc<str> = base.into();
        let indices = self.indices.entry((kind, Arc::clone(&base))).or_default();
        let mut passed = Vec::new();
        loop {
            let index = indices.free.pop_first().unwrap_or_else(|| {
                indices.highest += 1;
                indices.highest
            });
            let text = if index == 1 {
                Arc::clone(&base)
            } else {
                format!("{base}#{index}").into()
            };
            if self.taken.insert((kind, Arc::clone(&text))) {
                indices.free.extend(passed);
                return Label {
                    kind,
                    base,
                    index,
                    text,
                };
            }
            passed.push(index);
        }
    }

    fn give_back(&mut self, label: &Label) {
        self.taken.remove(&(label.kind, Arc::clone(&label.text)));
        let key = (label.kind, Arc::clone(&label.base));
        if let hash_map::Entry::Occupied(mut entry) = self.indices.entry(key) {
            let indices = entry.get_mut();
            indices.free.insert(label.index);
            if indices.free.len() as u64 == indices.highest {
                entry.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(names: &mut Names, base: &str) -> String {
        names.take(Kind::Queue, base).text.to_string()
    }

    fn give(names: &mut Names, base: &str, index: u64, text: &str) {
        names.give_back(&Label {
            kind: Kind::Queue,
            base: base.into(),
            index,
            text: text.into(),
        });
    }

    #[test]
    fn equal_names_get_the_lowest_free_index() {
        let mut names = Names::default();
        assert_eq!(label(&mut names, "a"), "a");
        assert_eq!(label(&mut names, "a"), "a#2");
        assert_eq!(label(&mut names, "a"), "a#3");
        assert_eq!(
            names.take(Kind::Operator, "a").text.as_ref(),
            "a",
            "another list"
        );
        give(&mut names, "a", 2, "a#2");
        assert_eq!(label(&mut names, "a"), "a#2");
    }

    #[test]
    fn a_name_that_looks_like_an_index_clashes_with_nothing() {
        let mut names = Names::default();
        assert_eq!(label(&mut names, "a#2"), "a#2");
        assert_eq!(label(&mut names, "a"), "a");
        assert_eq!(label(&mut names, "a"), "a#3");
        assert_eq!(label(&mut names, "a#2"), "a#2#2");
        give(&mut names, "a#2", 1, "a#2");
        assert_eq!(label(&mut names, "a"), "a#2");
    }

    #[test]
    fn a_name_nobody_uses_leaves_nothing_behind() {
        let mut names = Names::default();
        for _ in 0..3 {
            label(&mut names, "a");
        }
        give(&mut names, "a", 2, "a#2");
        give(&mut names, "a", 1, "a");
        give(&mut names, "a", 3, "a#3");
        assert!(names.taken.is_empty() && names.indices.is_empty());
    }
}
