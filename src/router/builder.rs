//! How a router is made.

use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::core::{Core, OnOffline, Totals};
use super::mailbox::Store;
use super::{Mailbox, Router};
use crate::queue::{self, DropReason};

/// Builds a router. See [`Router::builder`].
#[must_use = "a builder does nothing before `build`"]
pub struct Builder<K, T> {
    queues: queue::Builder<(u64, T)>,
    mailbox: Option<Arc<dyn Store<K, T>>>,
    on_offline: Option<OnOffline<K, T>>,
}

impl<K, T> Builder<K, T> {
    pub(super) const fn new() -> Self {
        Self {
            queues: queue::builder(),
            mailbox: None,
            on_offline: None,
        }
    }

    /// Sets what each connection's queue is like. 1,024 messages for which pushes wait, if not set.
    ///
    /// The queue's items are what the connection yields: a message with its number. `on_drop` gets what the connection
    /// misses, also under [`Overflow::Reject`](crate::Overflow::Reject); a weight must not depend on the number, which is a
    /// guess where room is looked for.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use pushpull::{Overflow, Router, queue};
    ///
    /// let router = Router::builder()
    ///     .connection_queue(
    ///         queue::builder()
    ///             .capacity(2)
    ///             .overflow(Overflow::DropNewest)
    ///             .on_drop(|(seq, text): (u64, &str), why| eprintln!("{seq}, {text}: {why:?}")),
    ///     )
    ///     .build();
    /// let mut ann = router.connect("ann");
    /// for text in ["one", "two", "three"] {
    ///     router.push(&"ann", text).await.unwrap();
    /// }
    /// assert_eq!(ann.pull().await, Some((1, "one")));
    /// assert_eq!((ann.stats().dropped, router.stats().dropped), (1, 1));
    /// # }
    /// ```
    pub fn connection_queue(mut self, queues: queue::Builder<(u64, T)>) -> Self {
        self.queues = queues;
        self
    }

    /// Stores every message in `mailbox`, which gives out the numbers. Without one nothing is stored, and the router
    /// counts.
    pub fn mailbox(mut self, mailbox: impl Mailbox<K, T>) -> Self
    where
        K: Send + Sync + 'static,
        T: Send + Sync + 'static,
    {
        self.mailbox = Some(Arc::new(mailbox));
        self
    }

    /// Sets what is told of messages whose key has no connection, stored or not: to call a webhook, say, or send a mail.
    ///
    /// It runs outside of locks, after the message has its number and is stored, on the task that pushes it, and holds up
    /// that push only. If it panics, the panic goes on in that push.
    pub fn on_offline(mut self, on_offline: impl Fn(&K, &T) + Send + Sync + 'static) -> Self {
        self.on_offline = Some(Box::new(on_offline));
        self
    }
}

impl<K, T> Builder<K, T>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    T: Clone + Send + Sync + 'static,
{
    /// Makes the router.
    pub fn build(self) -> Router<K, T> {
        let totals = Arc::new(Totals::default());
        let counted = Arc::clone(&totals);
        let queues = self.queues.tap_drops(move |reason| {
            let count = match reason {
                DropReason::Abandoned => &counted.abandoned,
                _ => &counted.dropped,
            };
            count.fetch_add(1, Ordering::Relaxed);
        });
        let core = Core::new(queues, self.mailbox, self.on_offline, totals);
        Router::of(&Arc::new(core))
    }
}

impl<K, T> fmt::Debug for Builder<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("connection_queue", &self.queues)
            .field("mailbox", &self.mailbox.is_some())
            .field("on_offline", &self.on_offline.is_some())
            .finish()
    }
}
