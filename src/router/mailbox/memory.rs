//! The mailbox in memory.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Mailbox, MailboxError};
use crate::sync::{Mutex, lock};

const SHARDS: usize = 64;

/// Keeps the last messages of each key in memory: 1,000 of them, unless [`retain`](Self::retain) says otherwise, of any age,
/// unless [`retain_for`](Self::retain_for) does.
///
/// Put it into an [`Arc`] and give the router a clone of that, where you want to [`forget`](Self::forget) keys, or to give
/// it to the next router. A key's `Hash` and `Eq` run under a lock of the mailbox and must not use it; messages and keys
/// are cloned and dropped outside of it.
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// use std::sync::Arc;
/// use std::time::Duration;
/// use pushpull::router::{Router, mailbox::Memory};
///
/// let mailbox = Arc::new(Memory::new().retain(2).retain_for(Duration::from_secs(60)));
/// let router = Router::builder().mailbox(mailbox.clone()).build();
/// for text in ["one", "two", "three"] {
///     router.push(&"ann", text).await.unwrap();
/// }
/// assert_eq!(router.sync(&"ann", 0, 10).await.unwrap(), [(2, "two"), (3, "three")]);
///
/// tokio::time::sleep(Duration::from_secs(60)).await;
/// assert!(router.sync(&"ann", 0, 10).await.unwrap().is_empty());
/// assert_eq!(router.push(&"ann", "four").await.unwrap().seq, 4);
///
/// assert!(mailbox.forget(&"ann"));
/// assert_eq!(router.push(&"ann", "one again").await.unwrap().seq, 1);
/// # }
/// ```
pub struct Memory<K, T> {
    hasher: RandomState,
    shards: Box<[Mutex<Shard<K, T>>]>,
    bounds: Bounds,
}

struct Shard<K, T> {
    boxes: HashMap<K, Kept<T>>,
    /// When to look for messages that have become too old in boxes that nobody touches.
    sweep_at: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Bounds {
    items: usize,
    age: Option<Duration>,
}

/// When it came, and the message, shared so that it is cloned and dropped outside of the lock.
type Letter<T> = (Instant, Arc<T>);

/// The messages of one key.
struct Kept<T> {
    /// The number of the last one there has been.
    last: u64,
    letters: VecDeque<Letter<T>>,
}

impl<T> Kept<T> {
    const fn new() -> Self {
        Self {
            last: 0,
            letters: VecDeque::new(),
        }
    }

    /// Moves what is beyond the bounds into `gone`.
    fn trim(&mut self, now: Instant, bounds: Bounds, gone: &mut Vec<Letter<T>>) {
        let crowd = self.letters.len().saturating_sub(bounds.items);
        let old = |at: Instant| {
            bounds
                .age
                .is_some_and(|age| now.saturating_duration_since(at) >= age)
        };
        let aged = self.letters.iter().take_while(|(at, _)| old(*at)).count();
        gone.extend(self.letters.drain(..crowd.max(aged)));
        // What was a long list once need not stay one.
        if self.letters.is_empty() && self.letters.capacity() > 64 {
            self.letters = VecDeque::new();
        }
    }

    /// The messages above `after`, with their numbers.
    fn after(&self, after: u64, limit: usize) -> Vec<(u64, Arc<T>)> {
        let before = self.last - self.letters.len() as u64;
        let skip = usize::try_from(after.saturating_sub(before)).unwrap_or(usize::MAX);
        let numbered = (before + 1..=self.last).zip(&self.letters);
        let numbered = numbered.map(|(seq, (_, item))| (seq, Arc::clone(item)));
        numbered.skip(skip).take(limit).collect()
    }
}

impl<K, T> Memory<K, T> {
    /// An empty mailbox that keeps 1,000 messages a key.
    pub fn new() -> Self {
        let shard = || Shard {
            boxes: HashMap::new(),
            sweep_at: None,
        };
        Self {
            hasher: RandomState::new(),
            shards: (0..SHARDS).map(|_| Mutex::new(shard())).collect(),
            bounds: Bounds {
                items: 1_000,
                age: None,
            },
        }
    }

    /// Keeps the last `items` messages of each key. `usize::MAX` keeps all.
    ///
    /// # Panics
    /// If `items` is 0: a router without a mailbox keeps nothing.
    #[must_use]
    #[track_caller]
    pub fn retain(mut self, items: usize) -> Self {
        assert!(items > 0, "a mailbox has to retain at least 1 message");
        self.bounds.items = items;
        self
    }

    /// Removes messages that have become as old as `age`, on tokio's clock.
    ///
    /// They are not seen any more from that moment on. The memory of a key that nobody touches is given back when a
    /// message comes for another key of its shard, an `age` later at the most.
    #[must_use]
    pub const fn retain_for(mut self, age: Duration) -> Self {
        self.bounds.age = Some(age);
        self
    }
}

impl<K: Eq + Hash, T> Memory<K, T> {
    /// Removes a key with its messages and its number, and answers whether it was there. Its next message is number 1
    /// again, so nobody should come back with a number from before.
    pub fn forget(&self, key: &K) -> bool {
        let gone = lock(self.shard(key)).boxes.remove_entry(key);
        gone.is_some()
    }

    fn shard(&self, key: &K) -> &Mutex<Shard<K, T>> {
        let hash = self.hasher.hash_one(key);
        &self.shards[hash as usize % SHARDS]
    }

    /// Reads from the box of `key`, if there is one, after removing what is too old.
    fn read<R>(&self, key: &K, read: impl FnOnce(&Kept<T>) -> R) -> Option<R> {
        let now = Instant::now();
        let mut gone = Vec::new();
        let mut shard = lock(self.shard(key));
        let result = shard.boxes.get_mut(key).map(|kept| {
            kept.trim(now, self.bounds, &mut gone);
            read(kept)
        });
        drop(shard);
        result
    }

    fn put(&self, key: &K, item: Arc<T>) -> u64
    where
        K: Clone,
    {
        let now = Instant::now();
        let mut owned = None;
        // Dropped after the lock is released.
        let mut gone = Vec::new();
        loop {
            let mut shard = lock(self.shard(key));
            if !shard.boxes.contains_key(key) {
                if let Some(key) = owned.take() {
                    shard.boxes.insert(key, Kept::new());
                }
            }
            if let Some(kept) = shard.boxes.get_mut(key) {
                kept.letters.push_back((now, item));
                kept.last += 1;
                let number = kept.last;
                kept.trim(now, self.bounds, &mut gone);
                shard.sweep_when_due(now, self.bounds, &mut gone);
                return number;
            }
            drop(shard);
            owned = Some(key.clone());
        }
    }
}

impl<K, T> Shard<K, T> {
    /// Once in the time that messages may become old, looks at all boxes of the shard.
    fn sweep_when_due(&mut self, now: Instant, bounds: Bounds, gone: &mut Vec<Letter<T>>) {
        let Some(age) = bounds.age else { return };
        match self.sweep_at {
            Some(at) if now < at => return,
            Some(_) => {
                for kept in self.boxes.values_mut() {
                    kept.trim(now, bounds, gone);
                }
            }
            None => {}
        }
        // Not for each message where none is kept for long.
        self.sweep_at = now.checked_add(age.max(Duration::from_millis(100)));
    }
}

impl<K, T> Mailbox<K, T> for Memory<K, T>
where
    K: Eq + Hash + Clone + Send + Sync + 'static,
    T: Clone + Send + Sync + 'static,
{
    async fn append(&self, key: &K, item: &T) -> Result<u64, MailboxError> {
        Ok(self.put(key, Arc::new(item.clone())))
    }

    async fn after(
        &self,
        key: &K,
        after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, T)>, MailboxError> {
        let letters = self.read(key, |kept| kept.after(after, limit));
        let letters = letters.unwrap_or_default().into_iter();
        Ok(letters
            .map(|(seq, item)| (seq, Arc::unwrap_or_clone(item)))
            .collect())
    }

    async fn last(&self, key: &K) -> Result<u64, MailboxError> {
        Ok(self.read(key, |kept| kept.last).unwrap_or(0))
    }
}

impl<K, T> Default for Memory<K, T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K, T> fmt::Debug for Memory<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: usize = self.shards.iter().map(|s| lock(s).boxes.len()).sum();
        f.debug_struct("Memory")
            .field("retain", &self.bounds.items)
            .field("retain_for", &self.bounds.age)
            .field("keys", &keys)
            .finish()
    }
}
