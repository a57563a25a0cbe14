//! Where messages are kept for those who are not connected.

mod memory;

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

pub use memory::Memory;

use super::keyed::Keyed;

/// Keeps the messages of each key under numbers that it gives out: 1 for the first, then one more each time.
///
/// The router calls [`append`](Self::append) for one message of a key at a time, and for many keys at once. What is
/// appended must be in what [`after`](Self::after) answers from the moment on at which `append` completes, or earlier.
/// Numbers must survive what the messages survive; one that was given out is never given to another message, also where
/// messages have been removed since.
///
/// [`Memory`] is one; `broker::Broker::mailbox`, with the feature `durable`, gives one on disk. An `Arc` of a mailbox is a mailbox too, so that one can be kept to look into.
///
/// ```
/// use std::sync::Mutex;
/// use pushpull::router::{Mailbox, MailboxError, Router};
///
/// /// One list for everybody, which takes three messages.
/// #[derive(Default)]
/// struct Few(Mutex<Vec<(&'static str, u64, String)>>);
///
/// impl Mailbox<&'static str, String> for Few {
///     async fn append(&self, key: &&'static str, item: &String) -> Result<u64, MailboxError> {
///         let mut list = self.0.lock().map_err(|_| MailboxError::new("a panic came first"))?;
///         if list.len() == 3 {
///             return Err(MailboxError::new("the disk is full"));
///         }
///         let number = list.iter().filter(|(k, ..)| k == key).count() as u64 + 1;
///         list.push((*key, number, item.clone()));
///         Ok(number)
///     }
///
///     async fn after(
///         &self,
///         key: &&'static str,
///         after: u64,
///         limit: usize,
///     ) -> Result<Vec<(u64, String)>, MailboxError> {
///         let list = self.0.lock().map_err(|_| MailboxError::new("a panic came first"))?;
///         let theirs = list.iter().filter(|(k, number, _)| k == key && *number > after);
///         Ok(theirs.take(limit).map(|(_, number, item)| (*number, item.clone())).collect())
///     }
///
///     async fn last(&self, key: &&'static str) -> Result<u64, MailboxError> {
///         let list = self.0.lock().map_err(|_| MailboxError::new("a panic came first"))?;
///         Ok(list.iter().filter(|(k, ..)| k == key).count() as u64)
///     }
/// }
///
/// # tokio_test::block_on(async {
/// let router = Router::builder().mailbox(Few::default()).build();
/// for text in ["one", "two", "three"] {
///     assert!(router.push(&"ann", text.to_owned()).await.unwrap().stored);
/// }
/// let error = router.push(&"ann", "four".to_owned()).await.unwrap_err();
/// assert_eq!(error.to_string(), "the mailbox failed: the disk is full");
/// assert_eq!(error.into_item(), "four");
/// # });
/// ```
pub trait Mailbox<K, T>: Send + Sync + 'static {
    /// Keeps a message for `key` and answers its number, one more than that of the key's message before it.
    ///
    /// # Cancel safety
    /// The router completes this future once it has polled it. Only outside of a tokio runtime, or while the runtime
    /// shuts down, it may be dropped before: the message has then been kept or not.
    ///
    /// # Errors
    /// If the message could not be kept. It is not given to any connection then.
    fn append(&self, key: &K, item: &T) -> impl Future<Output = Result<u64, MailboxError>> + Send;

    /// The messages of `key` with numbers above `after`, in the order of their numbers, `limit` at the most. Fewer mean
    /// that there are no more at this moment. `limit` may be `usize::MAX`, `after` `u64::MAX`.
    ///
    /// # Errors
    /// If they cannot be read.
    fn after(
        &self,
        key: &K,
        after: u64,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<(u64, T)>, MailboxError>> + Send;

    /// The number of the key's last message that is stored, also where that has been removed since; 0 where there never was one.
    /// One that is on its way does not count: whoever asks takes what is not there for removed.
    ///
    /// # Errors
    /// If it cannot be read.
    fn last(&self, key: &K) -> impl Future<Output = Result<u64, MailboxError>> + Send;
}

impl<K, T, M> Mailbox<K, T> for Arc<M>
where
    M: Mailbox<K, T>,
    K: Sync,
    T: Sync,
{
    fn append(&self, key: &K, item: &T) -> impl Future<Output = Result<u64, MailboxError>> + Send {
        M::append(self, key, item)
    }

    fn after(
        &self,
        key: &K,
        after: u64,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<(u64, T)>, MailboxError>> + Send {
        M::after(self, key, after, limit)
    }

    fn last(&self, key: &K) -> impl Future<Output = Result<u64, MailboxError>> + Send {
        M::last(self, key)
    }
}

/// What went wrong in a mailbox.
///
/// ```
/// use pushpull::router::MailboxError;
/// use std::error::Error;
///
/// let error = MailboxError::new(std::io::Error::other("no space left on device"));
/// assert_eq!(error.to_string(), "the mailbox failed: no space left on device");
/// assert!(error.source().unwrap().is::<std::io::Error>());
/// ```
#[derive(Clone)]
pub struct MailboxError {
    cause: Arc<dyn Error + Send + Sync>,
}

impl MailboxError {
    /// An error with this cause: another error, or a text.
    pub fn new(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            cause: cause.into().into(),
        }
    }
}

impl fmt::Debug for MailboxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MailboxError").field(&self.cause).finish()
    }
}

impl fmt::Display for MailboxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the mailbox failed: {}", self.cause)
    }
}

impl Error for MailboxError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.cause)
    }
}

pub(super) type BoxFuture<'a, R> = Pin<Box<dyn Future<Output = R> + Send + 'a>>;

/// What [`Store::append`] comes to: the item comes back either way.
pub(super) type Appended<T> = (T, Result<u64, MailboxError>);

/// A mailbox of some type.
pub(super) trait Store<K, T>: Send + Sync {
    fn append(self: Arc<Self>, key: Arc<Keyed<K>>, item: T) -> BoxFuture<'static, Appended<T>>;

    fn after<'a>(
        &'a self,
        key: &'a K,
        after: u64,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<(u64, T)>, MailboxError>>;

    fn last<'a>(&'a self, key: &'a K) -> BoxFuture<'a, Result<u64, MailboxError>>;
}

impl<K, T, M> Store<K, T> for M
where
    K: Send + Sync + 'static,
    T: Send + Sync + 'static,
    M: Mailbox<K, T>,
{
    fn append(self: Arc<Self>, key: Arc<Keyed<K>>, item: T) -> BoxFuture<'static, Appended<T>> {
        Box::pin(async move {
            let appended = Mailbox::append(&*self, &key.key, &item).await;
            (item, appended)
        })
    }

    fn after<'a>(
        &'a self,
        key: &'a K,
        after: u64,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<(u64, T)>, MailboxError>> {
        Box::pin(Mailbox::after(self, key, after, limit))
    }

    fn last<'a>(&'a self, key: &'a K) -> BoxFuture<'a, Result<u64, MailboxError>> {
        Box::pin(Mailbox::last(self, key))
    }
}
