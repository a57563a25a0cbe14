//! Messages to keys: a user, a device, a room; to every connection of the key, and to its mailbox.
//!
//! A [`Router`] knows who is connected. A message to a key gets the key's next number and goes to every [`Connection`] of
//! the key, each with a [queue](crate::queue) of its own; with a [`Mailbox`] it is stored as well, so that a connection that
//! comes later can go on from the number it has seen last.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
//! use pushpull::router::{Router, mailbox::Memory};
//!
//! let router = Router::builder()
//!     .mailbox(Memory::new().retain(100))
//!     .on_offline(|user: &&str, text: &&str| println!("mail to {user}: {text}"))
//!     .build();
//!
//! let mut phone = router.connect("ann");
//! let routed = router.push(&"ann", "hello").await.unwrap();
//! assert_eq!((routed.connections, routed.seq, routed.stored), (1, 1, true));
//! assert_eq!(phone.pull().await, Some((1, "hello")));
//!
//! drop(phone); // out of reach
//! assert!(!router.is_online(&"ann"));
//! assert_eq!(router.push(&"ann", "are you there?").await.unwrap().connections, 0);
//!
//! let mut phone = router.connect_from("ann", 1); // back, having seen number 1
//! router.push(&"ann", "welcome back").await.unwrap();
//! assert_eq!(phone.pull().await, Some((2, "are you there?")));
//! assert_eq!(phone.pull().await, Some((3, "welcome back")));
//!
//! router.disconnect(&"ann");
//! assert_eq!(phone.pull().await, None);
//! # }
//! ```
//!
//! # What holds
//!
//! * **Each key counts for itself**, from 1. A message reaches every connection that its key has at that moment, and the
//!   mailbox where there is one: stored first, then live, in the order of the numbers. Of one that finds no connection,
//!   stored or not, [`on_offline`](Builder::on_offline) is told.
//! * **No gap, nothing twice**, from whatever number a connection goes on: the mailbox is read until it has nothing more,
//!   and then the connection is live. What it misses all the same, because it is not retained any more or because its
//!   queue drops, it [counts](Connection::missed).
//! * **All or nothing.** A push that is dropped before its end has reached all of the key's connections and the mailbox,
//!   or none.
//! * **Each connection has a queue**, with an [`Overflow`](crate::Overflow) of your choice. One that waits holds up pushes
//!   to its own key, and to no other.
//! * **A key that nobody is connected to costs its number**, and with a mailbox nothing.
//! * **Your code runs outside of locks**, but for the `Hash` and `Eq` of keys.

mod builder;
mod connection;
mod core;
mod delivery;
mod error;
mod keyed;
mod lines;
pub mod mailbox;
mod pushing;
mod registry;
mod replay;
mod sink;
mod spot;
mod stats;
mod storing;
mod turn;

use std::borrow::Borrow;
use std::fmt;
use std::future::poll_fn;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::stream::{self, StreamExt};

use self::core::{Core, Handle};
use self::keyed::Keyed;
use self::lines::Line;
use self::pushing::AtOnce;
use self::sink::SinkSide;
use crate::coop;

pub use builder::Builder;
pub use connection::Connection;
pub use error::RouteError;
pub use mailbox::{Mailbox, MailboxError};
pub use stats::{ConnectionStats, Routed, RoutedMany, RouterStats};

/// So many keys at once wait for room or the mailbox in a push to many.
const AT_ONCE: usize = 64;

/// Routes messages to the connections of keys. Clones are handles to the same router; it is closed with the last of them.
///
/// It is a [`Sink`](futures_sink::Sink) of `(key, message)` as well, whose rules stand
/// [there](#impl-Sink<(K,+T)>-for-Router<K,+T>). The [module](self) says what holds.
pub struct Router<K, T> {
    handle: Handle<K, T>,
    sink: SinkSide<K, T>,
}

impl<K, T> Router<K, T> {
    /// Starts building a router. Without settings it has no mailbox, and queues of 1,024 messages for which pushes wait.
    pub const fn builder() -> Builder<K, T> {
        Builder::new()
    }

    fn of(core: &Arc<Core<K, T>>) -> Self {
        Self {
            handle: Handle::new(core),
            sink: SinkSide::new(),
        }
    }

    const fn core(&self) -> &Arc<Core<K, T>> {
        &self.handle.0
    }

    /// Closes the router for all handles: pushes are refused with their messages, and every connection brings what it has
    /// and ends. May be repeated.
    ///
    /// This is not the `close` of futures' `SinkExt`, which flushes one handle: `SinkExt::close(&mut router)`.
    pub fn close(&self) {
        self.core().close();
    }

    /// One reading of all counters. It takes no longer where there are more keys.
    pub fn stats(&self) -> RouterStats {
        let core = self.core();
        let totals = &core.totals;
        let mut stats = RouterStats {
            keys: core.registry.keys(),
            online: totals.online.load(Ordering::Relaxed),
            connections: totals.connections.load(Ordering::Relaxed),
            dropped: totals.dropped.load(Ordering::Relaxed),
            abandoned: totals.abandoned.load(Ordering::Relaxed),
            replayed: totals.replayed.load(Ordering::Relaxed),
            failed: totals.failed.load(Ordering::Relaxed),
            ..RouterStats::default()
        };
        let mut routed = 0;
        for (tally, plain) in core.registry.tallies() {
            stats.pushed += plain + tally.pushed.load(Ordering::Relaxed);
            stats.stored += tally.stored.load(Ordering::Relaxed);
            stats.offline += tally.offline.load(Ordering::Relaxed);
            routed += plain + tally.routed.load(Ordering::Relaxed);
        }
        stats.delivered = u64::saturating_sub(routed, stats.dropped + stats.abandoned);
        stats
    }
}

impl<K, T> Router<K, T>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    T: Clone + Send + Sync + 'static,
{
    /// Connects to `key`: the messages from now on.
    ///
    /// On a router that is closed the connection ends at once.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use pushpull::Router;
    ///
    /// let router = Router::builder().build();
    /// router.push(&"room", "nobody hears this").await.unwrap();
    /// let (mut ann, mut bob) = (router.connect("room"), router.connect("room"));
    /// assert_eq!(router.push(&"room", "hello").await.unwrap().connections, 2);
    /// assert_eq!(ann.pull().await, Some((2, "hello")));
    /// assert_eq!(bob.pull().await, Some((2, "hello")));
    ///
    /// drop(bob);
    /// assert_eq!(router.connections(&"room"), 1);
    /// drop(router);
    /// assert_eq!(ann.pull().await, None);
    /// # }
    /// ```
    pub fn connect(&self, key: K) -> Connection<T> {
        self.join(&key, None)
    }

    /// Connects to `key`, going on after the message with the number `after`: what is stored since comes first, then what
    /// comes from now on, without gap, and nothing twice. 0 brings everything that is stored.
    ///
    /// What the mailbox retains no longer is left out, and [counted](Connection::missed); without a mailbox that is all up
    /// to now. Where `after` is above the last number there is, nothing is replayed, and what comes from now on is brought
    /// whatever its number: so a client that remembers more than the mailbox does is not left without messages.
    ///
    /// The mailbox is read while the connection is polled. Only when that has caught up, live messages go to the
    /// connection's queue, so a long replay neither fills it nor holds up pushes.
    ///
    /// On a router that is closed the connection ends at once.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
    /// use pushpull::router::{Router, mailbox::Memory};
    ///
    /// let router = Router::builder().mailbox(Memory::new().retain(2)).build();
    /// for text in ["one", "two", "three", "four"] {
    ///     router.push(&"ann", text).await.unwrap();
    /// }
    /// let mut all = router.connect_from("ann", 1);
    /// assert_eq!(all.pull().await, Some((3, "three")));
    /// assert_eq!(all.missed(), 1); // number 2 is gone
    ///
    /// let mut ahead = router.connect_from("ann", 1_000);
    /// let pushed = async {
    ///     tokio::task::yield_now().await; // when `ahead` has seen that there is nothing
    ///     router.push(&"ann", "five").await
    /// };
    /// assert_eq!(tokio::join!(ahead.pull(), pushed).0, Some((5, "five")));
    /// # }
    /// ```
    pub fn connect_from(&self, key: K, after: u64) -> Connection<T> {
        self.join(&key, Some(after))
    }

    fn join(&self, key: &K, after: Option<u64>) -> Connection<T> {
        let core = self.core();
        let (producer, consumer) = core.queues.clone().build();
        let line = Arc::new(Line::new(producer));
        let replays = after.is_some() && core.mailbox.is_some();
        let key = core.registry.keyed(key);
        let Some(joined) = core.registry.join(&key, &line, replays) else {
            line.producer.close();
            return Connection::live(consumer, None, None, 0);
        };
        core.count_in(joined.first);
        let seat = core.seat(key, line, joined.ticket);
        match after {
            Some(after) if replays => Connection::replaying(consumer, seat, after),
            Some(after) => {
                let missed = joined.last.saturating_sub(after);
                let last = (after <= joined.last).then_some(joined.last);
                Connection::live(consumer, Some(seat), last, missed)
            }
            None => Connection::live(consumer, Some(seat), None, 0),
        }
    }

    /// Closes all connections of `key`, and answers how many: a logout. They count no longer, bring what they have, and
    /// end; one that replays brings what has been given out by now.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use pushpull::Router;
    ///
    /// let router = Router::builder().build();
    /// let mut ann = router.connect("ann");
    /// router.push(&"ann", 'a').await.unwrap();
    /// assert_eq!(router.disconnect(&"ann"), 1);
    /// assert_eq!(router.push(&"ann", 'b').await.unwrap().connections, 0);
    /// assert_eq!(ann.pull().await, Some((1, 'a')));
    /// assert_eq!(ann.pull().await, None);
    /// assert_eq!(router.disconnect(&"ann"), 0);
    /// # }
    /// ```
    pub fn disconnect(&self, key: &K) -> usize {
        self.core().disconnect(key)
    }

    /// Pushes a message to `key`: to all its connections, and to the mailbox.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use pushpull::router::{Routed, Router};
    ///
    /// let router = Router::builder().build();
    /// let ann = router.connect("ann");
    /// let routed = router.push(&"ann", "hello").await.unwrap();
    /// assert_eq!(routed, Routed { connections: 1, seq: 1, stored: false });
    /// drop(ann);
    /// let routed = router.push(&"ann", "anybody?").await.unwrap();
    /// assert_eq!(routed, Routed { connections: 0, seq: 2, stored: false });
    /// router.close();
    /// assert_eq!(router.push(&"ann", "no").await.unwrap_err().into_item(), "no");
    /// # }
    /// ```
    ///
    /// # Back-pressure
    /// It waits for the pushes to the same key that came before; for room in the queue of each connection, where the queues
    /// [wait](crate::Overflow::Wait); then for the mailbox. So a connection that nobody pulls from holds up its key. A
    /// push that is neither polled nor dropped does so too.
    ///
    /// # Cancel safety
    /// Dropped before the end, the message has reached nobody, and is dropped; or, if the mailbox was at work, it is on its
    /// way to the mailbox and all connections, and a task on the tokio runtime of that poll brings it there. The number of a
    /// message that reached nobody is given to the next.
    ///
    /// # Errors
    /// With the message: [`Closed`](RouteError::Closed); [`Mailbox`](RouteError::Mailbox) where it could not be stored, and
    /// then it was given to nobody. Without a mailbox a push to an open router does not fail.
    pub async fn push(&self, key: &K, item: T) -> Result<Routed, RouteError<T>> {
        poll_fn(coop::share).await;
        self.core().push(key, item).await
    }

    /// Pushes a message to each of `keys`, each of which gives it a number of its own.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use pushpull::Router;
    ///
    /// let router = Router::builder().build();
    /// let (mut ann, mut bob) = (router.connect("ann"), router.connect("bob"));
    /// let routed = router.push_many(["ann", "bob", "eve"], "hello").await.unwrap();
    /// assert_eq!((routed.keys, routed.connections), (3, 2));
    /// assert_eq!(ann.pull().await, Some((1, "hello")));
    /// assert_eq!(bob.pull().await, Some((1, "hello")));
    /// router.close();
    /// assert!(router.push_many(["ann"], "no").await.unwrap_err().is_closed());
    /// # }
    /// ```
    ///
    /// # Back-pressure
    /// As [`push`](Self::push), for 64 keys at once: one that waits does not hold up the others, but the answer.
    ///
    /// # Cancel safety
    /// As [`push`](Self::push) for each key: some may have it and others not.
    ///
    /// # Errors
    /// As [`push`](Self::push): the first error, after the message was pushed to the keys that take it.
    pub async fn push_many<I>(&self, keys: I, item: T) -> Result<RoutedMany, RouteError<T>>
    where
        I: IntoIterator<Item: Borrow<K>>,
    {
        let core = self.core();
        let mut sum = RoutedMany::default();
        let mut later = Vec::new();
        for key in keys {
            poll_fn(coop::share).await;
            match core.push_at_once(key.borrow(), &mut Some(item.clone())) {
                AtOnce::Routed(routed) => sum.add(routed),
                AtOnce::Later(key) => later.push(key),
                AtOnce::Closed => return Err(RouteError::Closed(item)),
            }
        }
        self.push_later(later, item, sum).await
    }

    /// Pushes a message to every key that has a connection, each of which gives it a number of its own.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use pushpull::Router;
    ///
    /// let router = Router::builder().build();
    /// let mut users: Vec<_> = (0..100).map(|user| router.connect(user)).collect();
    /// router.push(&1_000, "nobody there").await.unwrap();
    /// let routed = router.push_all("we close at ten").await.unwrap();
    /// assert_eq!((routed.keys, routed.connections), (100, 100));
    /// for user in &mut users {
    ///     assert_eq!(user.pull().await, Some((1, "we close at ten")));
    /// }
    /// router.close();
    /// assert!(router.push_all("no").await.unwrap_err().is_closed());
    /// # }
    /// ```
    ///
    /// Keys that get their first connection, or lose their last, while it runs, may be in it or not.
    ///
    /// # Back-pressure
    /// As [`push_many`](Self::push_many).
    ///
    /// # Cancel safety
    /// As [`push_many`](Self::push_many).
    ///
    /// # Errors
    /// As [`push_many`](Self::push_many).
    pub async fn push_all(&self, item: T) -> Result<RoutedMany, RouteError<T>> {
        let core = self.core();
        let mut sum = RoutedMany::default();
        let mut later = Vec::new();
        for shard in 0.. {
            let Some(keys) = core.registry.online(shard) else {
                break;
            };
            for key in keys {
                poll_fn(coop::share).await;
                if core.mailbox.is_some() {
                    later.push(key);
                    continue;
                }
                match core.push_at_once(&key.key, &mut Some(item.clone())) {
                    AtOnce::Routed(routed) => sum.add(routed),
                    AtOnce::Later(key) => later.push(key),
                    AtOnce::Closed => return Err(RouteError::Closed(item)),
                }
            }
        }
        if core.registry.is_closed() {
            return Err(RouteError::Closed(item));
        }
        self.push_later(later, item, sum).await
    }

    /// Pushes to those that have to wait, a number of them at once.
    async fn push_later(
        &self,
        keys: Vec<Arc<Keyed<K>>>,
        item: T,
        mut sum: RoutedMany,
    ) -> Result<RoutedMany, RouteError<T>> {
        let pushes = keys.into_iter().map(|key| {
            let (core, item) = (Arc::clone(self.core()), item.clone());
            async move { core.push_in_turn(&key, item).await }
        });
        let mut pushes = stream::iter(pushes).buffer_unordered(AT_ONCE);
        let mut failed = None;
        while let Some(pushed) = pushes.next().await {
            match pushed {
                Ok(routed) => sum.add(routed),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(sum), Err)
    }

    /// Whether `key` has a connection.
    pub fn is_online(&self, key: &K) -> bool {
        self.connections(key) > 0
    }

    /// How many connections `key` has.
    pub fn connections(&self, key: &K) -> usize {
        self.core().registry.connections(key)
    }

    /// Reads what the mailbox has for `key` after the number `after`, oldest first, `limit` messages at the most; without a
    /// mailbox nothing. For clients that ask now and then and have no connection.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
    /// use pushpull::router::{Router, mailbox::Memory};
    ///
    /// let router = Router::builder().mailbox(Memory::new()).build();
    /// for n in 1..=3 {
    ///     router.push(&"ann", n * 10).await.unwrap();
    /// }
    /// assert_eq!(router.sync(&"ann", 1, 100).await.unwrap(), [(2, 20), (3, 30)]);
    /// assert_eq!(router.sync(&"ann", 3, 100).await.unwrap(), []);
    /// # }
    /// ```
    ///
    /// # Cancel safety
    /// It changes nothing.
    ///
    /// # Errors
    /// If the mailbox cannot be read.
    pub async fn sync(
        &self,
        key: &K,
        after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, T)>, MailboxError> {
        match &self.core().mailbox {
            Some(mailbox) if limit > 0 => mailbox.after(key, after, limit).await,
            _ => Ok(Vec::new()),
        }
    }

    /// Forgets the number of a key that has no connection, and answers whether there was one. The next message to it is
    /// number 1. With a mailbox, which keeps the numbers, there is nothing to forget here.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use pushpull::Router;
    ///
    /// let router = Router::builder().build();
    /// router.push(&"ann", "hello").await.unwrap();
    /// assert_eq!(router.push(&"ann", "hello?").await.unwrap().seq, 2);
    /// assert!(router.forget(&"ann"));
    /// assert_eq!(router.stats().keys, 0);
    /// assert_eq!(router.push(&"ann", "hello?").await.unwrap().seq, 1);
    /// let _ann = router.connect("ann");
    /// assert!(!router.forget(&"ann"));
    /// # }
    /// ```
    pub fn forget(&self, key: &K) -> bool {
        self.core().registry.forget(key)
    }
}

impl<K, T> Clone for Router<K, T> {
    fn clone(&self) -> Self {
        Self {
            handle: self.handle.clone(),
            sink: SinkSide::new(),
        }
    }
}

impl<K, T> fmt::Debug for Router<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
