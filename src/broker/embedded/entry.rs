//! A record as it is kept.

use crate::broker::Record;

/// A record, and when the broker took it.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) record: Record,
    /// Microseconds since the Unix epoch.
    pub(crate) time: u64,
}
