//! What goes wrong below the store, and how it is told.

use std::error::Error as StdError;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use crate::broker::Error;

/// A failure that does not know yet in which store it happened.
#[derive(Debug)]
pub(super) enum Fault {
    /// Reading or writing failed.
    Storage(Arc<dyn StdError + Send + Sync>),
    /// Something is there that was never written, or is not there that was.
    Damaged(String),
    /// Somebody else has it open.
    Locked,
    /// It is not open any more.
    Closed,
}

impl Fault {
    pub(super) fn damaged(place: impl Into<String>) -> Self {
        Self::Damaged(place.into())
    }

    pub(super) fn told(self, path: &Path, action: &'static str) -> Error {
        match self {
            Self::Storage(source) => Error::Storage {
                path: path.into(),
                action,
                source,
                record: None,
            },
            Self::Damaged(place) => Error::Damaged {
                path: path.into(),
                place,
            },
            Self::Locked => Error::Locked {
                path: path.parent().unwrap_or(path).into(),
            },
            Self::Closed => Error::Closed { record: None },
        }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Storage(Arc::new(error))
    }
}

impl From<redb::Error> for Fault {
    fn from(error: redb::Error) -> Self {
        match error {
            // The engine's word for a file that is none of its own.
            redb::Error::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
                Self::Damaged(error.to_string())
            }
            redb::Error::Io(error) => error.into(),
            redb::Error::DatabaseAlreadyOpen => Self::Locked,
            redb::Error::Corrupted(what) => Self::Damaged(what),
            error @ (redb::Error::TableDoesNotExist(_)
            | redb::Error::TableTypeMismatch { .. }
            | redb::Error::TableIsMultimap(_)
            | redb::Error::TypeDefinitionChanged { .. }
            | redb::Error::UpgradeRequired(_)) => Self::Damaged(error.to_string()),
            error => Self::Storage(Arc::new(error)),
        }
    }
}

macro_rules! through_redb {
    ($($error:ident)*) => {$(
        impl From<redb::$error> for Fault {
            fn from(error: redb::$error) -> Self {
                redb::Error::from(error).into()
            }
        }
    )*};
}

through_redb!(StorageError TableError TransactionError CommitError DatabaseError SetDurabilityError);

/// Runs what calls the engine. It asserts what holds in a file that it wrote itself: a panic there is damage.
pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let what = panic
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("no reason given");
        Err(Fault::Damaged(format!(
            "the engine met what it cannot have written: {what}"
        )))
    })
}
