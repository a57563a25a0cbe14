//! A router's mailbox on the broker's disk.

use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::broker::Error;
use crate::router::{self, MailboxError};
use crate::sync::{Mutex, lock};

use super::shared::Shared;
use super::store::{Mail, Op, Store};

/// Something that a [`DiskMailbox`] can write and read: its keys and its messages.
///
/// ```
/// use pushpull::broker::embedded::Letter;
/// use pushpull::router::MailboxError;
///
/// #[derive(Debug, PartialEq)]
/// struct Celsius(f32);
///
/// impl Letter for Celsius {
///     fn to_bytes(&self) -> bytes::Bytes {
///         self.0.to_le_bytes().to_vec().into()
///     }
///
///     fn from_bytes(bytes: bytes::Bytes) -> Result<Self, MailboxError> {
///         let bytes = bytes.as_ref().try_into().map_err(MailboxError::new)?;
///         Ok(Self(f32::from_le_bytes(bytes)))
///     }
/// }
///
/// assert_eq!(Celsius::from_bytes(Celsius(36.6).to_bytes()).unwrap(), Celsius(36.6));
/// assert!(Celsius::from_bytes("lukewarm".into()).is_err());
/// ```
pub trait Letter: Sized {
    /// The bytes to be written. Different keys have different bytes.
    fn to_bytes(&self) -> Bytes;

    /// What was written as these bytes.
    ///
    /// # Errors
    /// If nothing was.
    fn from_bytes(bytes: Bytes) -> Result<Self, MailboxError>;
}

impl Letter for Bytes {
    fn to_bytes(&self) -> Bytes {
        self.clone()
    }

    fn from_bytes(bytes: Bytes) -> Result<Self, MailboxError> {
        Ok(bytes)
    }
}

impl Letter for Vec<u8> {
    fn to_bytes(&self) -> Bytes {
        Bytes::copy_from_slice(self)
    }

    fn from_bytes(bytes: Bytes) -> Result<Self, MailboxError> {
        Ok(bytes.into())
    }
}

impl Letter for String {
    fn to_bytes(&self) -> Bytes {
        Bytes::copy_from_slice(self.as_bytes())
    }

    fn from_bytes(bytes: Bytes) -> Result<Self, MailboxError> {
        Self::from_utf8(bytes.into()).map_err(MailboxError::new)
    }
}

impl Letter for Arc<str> {
    fn to_bytes(&self) -> Bytes {
        Bytes::copy_from_slice(self.as_bytes())
    }

    fn from_bytes(bytes: Bytes) -> Result<Self, MailboxError> {
        let text = std::str::from_utf8(&bytes).map_err(MailboxError::new)?;
        Ok(text.into())
    }
}

impl Letter for u64 {
    fn to_bytes(&self) -> Bytes {
        Bytes::copy_from_slice(&self.to_be_bytes())
    }

    fn from_bytes(bytes: Bytes) -> Result<Self, MailboxError> {
        let bytes = bytes.as_ref().try_into().map_err(MailboxError::new)?;
        Ok(Self::from_be_bytes(bytes))
    }
}

/// A mailbox for a [`Router`](crate::Router) in the store of a broker: messages and their numbers survive restarts, as far as
/// the broker's sync policy says. Made by [`Broker::mailbox`](super::Broker::mailbox).
///
/// It keeps the last 1,000 messages of each key unless told otherwise, and in memory the last number of each key that was
/// written to since the broker was opened. One router at a time should write to a mailbox.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// # let dir = std::env::temp_dir().join(format!("pushpull-doc-mailbox-{}", std::process::id()));
/// use pushpull::Router;
/// use pushpull::broker::{Broker, Error, SyncPolicy};
///
/// let broker = Broker::open(&dir, SyncPolicy::Always).await.unwrap();
/// let inboxes = broker.mailbox("inboxes").await.unwrap().retain(100);
/// let router = Router::<String, String>::builder().mailbox(inboxes).build();
/// let routed = router.push(&"ann".into(), "hello".into()).await.unwrap();
/// assert_eq!((routed.connections, routed.seq, routed.stored), (0, 1, true));
/// broker.close().await.unwrap();
/// assert!(router.push(&"ann".into(), "too late".into()).await.is_err());
///
/// let broker = Broker::open(&dir, SyncPolicy::Always).await.unwrap();
/// let router = Router::builder().mailbox(broker.mailbox("inboxes").await.unwrap()).build();
/// let mut ann = router.connect_from("ann".to_owned(), 0);
/// assert_eq!(ann.pull().await, Some((1, "hello".to_owned())));
/// # drop(ann);
/// # broker.close().await.unwrap();
/// # std::fs::remove_dir_all(dir).unwrap();
/// assert!(matches!(Broker::in_memory().mailbox::<u64, u64>("m").await, Err(Error::Unsupported { .. })));
/// # }
/// ```
pub struct DiskMailbox<K, T> {
    shared: Arc<Shared>,
    store: Store,
    id: u32,
    name: String,
    /// The number of the last message of each key that was written to.
    last: Mutex<HashMap<Bytes, u64>>,
    items: u64,
    age: Option<u64>,
    letters: PhantomData<fn(K) -> T>,
}

impl<K, T> DiskMailbox<K, T> {
    pub(crate) async fn open(shared: Arc<Shared>, name: &str) -> Result<Self, Error> {
        shared.open()?;
        crate::broker::check::check_topic(name)?;
        let Some(store) = shared.store.clone() else {
            return Err(Error::Unsupported {
                engine: "a broker in memory",
                what: "keep a mailbox: a router's own in memory is `router::mailbox::Memory`",
            });
        };
        let id = store.mailbox(name).await?;
        Ok(Self {
            shared,
            store,
            id,
            name: name.into(),
            last: Mutex::new(HashMap::new()),
            items: 1_000,
            age: None,
            letters: PhantomData,
        })
    }

    /// Keeps the last `items` messages of each key. `u64::MAX` keeps all.
    ///
    /// # Panics
    /// If `items` is 0.
    #[must_use]
    #[track_caller]
    pub fn retain(mut self, items: u64) -> Self {
        assert!(items > 0, "a mailbox has to retain at least 1 message");
        self.items = items;
        self
    }

    /// Removes messages that are older: they are not seen any more, and leave the disk when their key is next read.
    #[must_use]
    pub fn retain_for(mut self, age: Duration) -> Self {
        self.age = Some(u64::try_from(age.as_micros()).unwrap_or(u64::MAX));
        self
    }

    /// The number of the key's last message that is stored.
    async fn stored(&self, key: Bytes) -> Result<u64, MailboxError> {
        let bounds = self.store.mail_bounds(self.id, key).await;
        Ok(bounds
            .map_err(MailboxError::new)?
            .map_or(0, |bounds| bounds.last))
    }

    /// The number that was given out last for the key.
    async fn last(&self, key: &Bytes) -> Result<u64, MailboxError> {
        if let Some(last) = lock(&self.last).get(key) {
            return Ok(*last);
        }
        let found = self.stored(key.clone()).await?;
        // Another message of the key may have been written meanwhile.
        Ok(*lock(&self.last).entry(key.clone()).or_insert(found))
    }
}

impl<K, T> router::Mailbox<K, T> for DiskMailbox<K, T>
where
    K: Letter + Sync + 'static,
    T: Letter + Sync + 'static,
{
    async fn append(&self, key: &K, item: &T) -> Result<u64, MailboxError> {
        let (key, value) = (key.to_bytes(), item.to_bytes());
        self.last(&key).await?;
        let time = self.shared.now();
        let (done, stored) = oneshot::channel();
        let seq = {
            // Submitted under the lock, so that numbers come to the store in their order.
            let mut all = lock(&self.last);
            let last = all.entry(key.clone()).or_default();
            *last += 1;
            self.store.submit(Op::Mail {
                box_id: self.id,
                key,
                seq: *last,
                value,
                time,
                keep_from: (*last + 1).saturating_sub(self.items),
                done: Some(Box::new(|result| drop(done.send(result)))),
            });
            *last
        };
        let answered = stored.await.unwrap_or(Err(Error::Closed { record: None }));
        answered.map_err(MailboxError::new)?;
        Ok(seq)
    }

    async fn after(
        &self,
        key: &K,
        mut after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, T)>, MailboxError> {
        let key = key.to_bytes();
        let since = self
            .age
            .map_or(0, |age| self.shared.now().saturating_sub(age));
        loop {
            let found = self.store.mail_after(self.id, key.clone(), after, limit);
            let mut found = found.await.map_err(MailboxError::new)?;
            let old = found.iter().take_while(|mail| mail.time < since).count();
            let last_old = found.drain(..old).next_back();
            if let Some(last) = last_old {
                self.store.submit(Op::TrimMail {
                    box_id: self.id,
                    key: key.clone(),
                    keep_from: last.seq + 1,
                    done: None,
                });
                if found.is_empty() && old == limit {
                    // A page of nothing but old ones: what is asked for may lie behind it.
                    after = last.seq;
                    continue;
                }
            }
            let read = |mail: Mail| match T::from_bytes(mail.value) {
                Ok(item) => Ok((mail.seq, item)),
                Err(error) => Err(MailboxError::new(format!(
                    "message {} of mailbox `{}` is of another type: {error}",
                    mail.seq, self.name
                ))),
            };
            return found.into_iter().map(read).collect();
        }
    }

    /// Of those that are stored: a message on its way has its number already, and is not to be taken for one that is gone.
    async fn last(&self, key: &K) -> Result<u64, MailboxError> {
        self.stored(key.to_bytes()).await
    }
}

impl<K, T> fmt::Debug for DiskMailbox<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskMailbox")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
