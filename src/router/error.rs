//! What a push answers when it did not go through.

use std::error::Error;
use std::fmt;

use super::MailboxError;

/// A message that was not routed, and comes back.
///
/// As an [`Error`] it has the item's auto traits: [`map`](Self::map) leaves the item behind where that is in the way.
///
/// ```
/// use pushpull::router::{RouteError, Router};
///
/// # tokio_test::block_on(async {
/// let router = Router::builder().build();
/// router.push(&"ann", "hello").await.unwrap();
/// router.close();
/// let error = router.push(&"ann", "too late").await.unwrap_err();
/// assert!(matches!(error, RouteError::Closed("too late")));
/// assert_eq!(error.to_string(), "the router is closed and takes no more messages");
/// # });
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub enum RouteError<T> {
    /// The router was closed.
    Closed(T),
    /// The mailbox did not store the message, so no connection got it either. Whether something of it was stored all
    /// the same, its error may tell.
    Mailbox(T, MailboxError),
}

impl<T> RouteError<T> {
    /// Gives the message back.
    pub fn into_item(self) -> T {
        match self {
            Self::Closed(item) | Self::Mailbox(item, _) => item,
        }
    }

    /// Whether the router was closed. No later push goes through.
    pub const fn is_closed(&self) -> bool {
        matches!(self, Self::Closed(_))
    }

    /// The same error about something else.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> RouteError<U> {
        match self {
            Self::Closed(item) => RouteError::Closed(f(item)),
            Self::Mailbox(item, error) => RouteError::Mailbox(f(item), error),
        }
    }
}

impl<T> fmt::Debug for RouteError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(_) => f.debug_tuple("Closed").finish_non_exhaustive(),
            Self::Mailbox(_, error) => f.debug_tuple("Mailbox").field(error).finish(),
        }
    }
}

impl<T> fmt::Display for RouteError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(_) => f.write_str("the router is closed and takes no more messages"),
            Self::Mailbox(_, error) => error.fmt(f),
        }
    }
}

impl<T> Error for RouteError<T> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Closed(_) => None,
            Self::Mailbox(_, error) => error.source(),
        }
    }
}
