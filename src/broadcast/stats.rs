//! What a broadcast counts.

/// The counters of one broadcast at one moment, read under its lock and so consistent with each other.
///
/// `sent == delivered + missed + abandoned + unread` holds in every snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct BroadcastStats {
    /// Values published, those that nobody was subscribed to included.
    pub published: u64,
    /// Values owed to subscribers: each value once for each of its subscribers, and what was replayed to newcomers.
    pub sent: u64,
    /// Of `sent`: read by their subscribers.
    pub delivered: u64,
    /// Of `sent`: missed by lossy subscribers. It adds up to what their [`Lagged`](super::Lagged) reports say, those not
    /// yet read included.
    pub missed: u64,
    /// Of `sent`: not read when their subscriber was dropped.
    pub abandoned: u64,
    /// Of `sent`: not read yet.
    pub unread: u64,
    /// Subscribers disconnected because they lagged.
    pub disconnected: u64,
    /// Values kept now, for subscribers or for replay.
    pub len: usize,
    /// The bound on `len`.
    pub capacity: usize,
    /// The largest `len` so far.
    pub peak_len: usize,
    /// Slots promised to sinks and not yet used.
    pub reserved: usize,
    /// Publisher handles.
    pub publishers: usize,
    /// Subscribers that the next value goes to.
    pub subscribers: usize,
    /// Publishers waiting for room now.
    pub waiting_publishers: usize,
    /// Subscribers waiting for a value now.
    pub waiting_subscribers: usize,
    /// How often a publisher had to wait so far.
    pub publisher_waits: u64,
    /// How often a subscriber had to wait so far.
    pub subscriber_waits: u64,
}
