//! A connection's place in the router, and how it reads what it has missed.
//!
//! While a connection replays, it is not among those that live messages go to: everything is in the mailbox, in order, and
//! it reads on from there. When the mailbox has nothing more for it, it asks, under the lock of the key, whether a message
//! has been given out meanwhile; if not, it is live from that moment on. A message that is stored by then and given out
//! later is left out for it: it has read that. So there is no gap, no message comes twice, and no queue has to hold back
//! pushes for the time of the replay.

use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::MailboxError;
use super::core::Core;
use super::keyed::Keyed;
use super::lines::Line;
use super::mailbox::{BoxFuture, Store};
use super::spot::Caught;

/// How many messages are read at a time.
const PAGE: usize = 256;

/// What reading on came to.
pub(super) enum Turned<T> {
    /// More messages, those after `read`. Before that, `gone` ones are missing.
    Page {
        items: Vec<(u64, T)>,
        read: u64,
        gone: u64,
    },
    /// Everything up to `read` has been read. From now on the queue brings what comes.
    Live {
        read: u64,
        gone: u64,
    },
    /// The connection was closed, and has what there was until then.
    End,
    Failed(MailboxError),
}

/// A connection's place, with no word of the type of the keys.
pub(super) struct Seat<T> {
    line: Arc<Line<T>>,
    place: Arc<dyn Place<T>>,
}

impl<T> Seat<T> {
    pub(super) fn line(&self) -> &Line<T> {
        &self.line
    }

    /// Leaves the key. May be repeated.
    pub(super) fn leave(&self) {
        self.place.leave();
    }

    /// Reads what comes after the number `read`.
    pub(super) fn read_on(&self, read: u64) -> BoxFuture<'static, Turned<T>> {
        Arc::clone(&self.place).read_on(read)
    }
}

trait Place<T>: Send + Sync {
    fn leave(&self);

    fn read_on(self: Arc<Self>, read: u64) -> BoxFuture<'static, Turned<T>>;
}

struct At<K, T> {
    core: Arc<Core<K, T>>,
    key: Arc<Keyed<K>>,
    line: Arc<Line<T>>,
    ticket: AtomicU64,
}

impl<K, T> Place<T> for At<K, T>
where
    K: Eq + Hash + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    fn leave(&self) {
        let ticket = self.ticket.load(Ordering::Relaxed);
        if let Some((_line, last)) = self.core.registry.leave(&self.key, ticket) {
            self.core.count_out(1, last);
        }
    }

    fn read_on(self: Arc<Self>, read: u64) -> BoxFuture<'static, Turned<T>> {
        Box::pin(async move {
            let Some(mailbox) = &self.core.mailbox else {
                return Turned::End;
            };
            match self.turn_page(&**mailbox, read).await {
                Ok(turned) => turned,
                Err(error) => Turned::Failed(error),
            }
        })
    }
}

/// What comes after `read`, and nothing else, whatever the mailbox says.
async fn page<K, T>(
    mailbox: &dyn Store<K, T>,
    key: &K,
    read: u64,
) -> Result<Vec<(u64, T)>, MailboxError> {
    let mut items = mailbox.after(key, read, PAGE).await?;
    items.retain(|(seq, _)| *seq > read);
    Ok(items)
}

impl<K: Eq + Hash, T> At<K, T> {
    async fn turn_page(
        &self,
        mailbox: &dyn Store<K, T>,
        mut read: u64,
    ) -> Result<Turned<T>, MailboxError> {
        let key = &self.key.key;
        let mut gone = 0;
        loop {
            let mut items = page(mailbox, key, read).await?;
            if items.is_empty() {
                let last = mailbox.last(key).await?;
                if last <= read {
                    // Nothing more; or less than the client has, who then gets what comes.
                    read = last;
                    match self.catch_up(read) {
                        Caught::Up => return Ok(Turned::Live { read, gone }),
                        Caught::Closed => return Ok(Turned::End),
                        Caught::Behind => continue,
                    }
                }
                // More came between the two questions, or all of it is gone.
                items = page(mailbox, key, read).await?;
                if items.is_empty() {
                    gone += last - read;
                    read = last;
                    continue;
                }
            }
            if let Some(end) = self.line.end.get() {
                items.retain(|(seq, _)| seq <= end);
                if items.is_empty() {
                    return Ok(Turned::End);
                }
            }
            self.core
                .totals
                .replayed
                .fetch_add(items.len() as u64, Ordering::Relaxed);
            return Ok(Turned::Page { items, read, gone });
        }
    }

    fn catch_up(&self, read: u64) -> Caught {
        let ticket = self.ticket.load(Ordering::Relaxed);
        let (caught, ticket) = self.core.registry.catch_up(&self.key, ticket, read);
        if caught == Caught::Up {
            self.ticket.store(ticket, Ordering::Relaxed);
        }
        caught
    }
}

impl<K, T> Core<K, T>
where
    K: Eq + Hash + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    /// The seat of a line that has joined.
    pub(super) fn seat(
        self: &Arc<Self>,
        key: Arc<Keyed<K>>,
        line: Arc<Line<T>>,
        ticket: u64,
    ) -> Seat<T> {
        let place = Arc::new(At {
            core: Arc::clone(self),
            key,
            line: Arc::clone(&line),
            ticket: AtomicU64::new(ticket),
        });
        Seat { line, place }
    }
}
