//! What a queue counts.

/// The counters of one queue at one moment, read under its lock and so consistent with each other.
///
/// `pushed == pulled + dropped + len` holds in every snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct QueueStats {
    /// Items the queue accepted, those that an overflow policy dropped at once included.
    pub pushed: u64,
    /// Items that left towards a caller: pulled, or handed back by `force_push`, `drain` or `abort`.
    pub pulled: u64,
    /// Items accepted and then dropped: `dropped_newest + dropped_oldest + abandoned`.
    pub dropped: u64,
    /// Of `dropped`: new items that found no room under `Overflow::DropNewest`.
    pub dropped_newest: u64,
    /// Of `dropped`: oldest items that made room for newer ones.
    pub dropped_oldest: u64,
    /// Of `dropped`: items still queued when the last consumer went.
    pub abandoned: u64,
    /// Pushes and reservations answered with an error. An item that a sink's error cannot carry went to `on_drop`.
    pub refused: u64,
    /// Items whose push was cancelled while it waited. They were never queued.
    pub cancelled: u64,
    /// Items queued now.
    pub len: usize,
    /// Their weight together; 0 where the queue has no weight bound.
    pub weight: usize,
    /// The bound on `len` now.
    pub capacity: usize,
    /// The largest `len` so far.
    pub peak_len: usize,
    /// Slots promised to permits and sinks and not yet used.
    pub reserved: usize,
    /// Items that a sink has taken over and that wait in its handle for weight to become free. Each holds one of the
    /// `reserved` slots.
    pub parked: usize,
    /// Producer handles.
    pub producers: usize,
    /// Consumer handles.
    pub consumers: usize,
    /// Producers waiting for room now.
    pub waiting_producers: usize,
    /// Consumers waiting for items now.
    pub waiting_consumers: usize,
    /// How often a producer had to wait for room so far.
    pub producer_waits: u64,
    /// How often a consumer had to wait for an item so far.
    pub consumer_waits: u64,
}
