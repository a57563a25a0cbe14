//! What a push answers, and what is counted.

/// Where a message went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Routed {
    /// How many connections of the key it went to. One whose queue dropped it counts; so does one that still replays and
    /// will read it from the mailbox.
    pub connections: usize,
    /// Its number among the key's messages, from 1.
    pub seq: u64,
    /// Whether it is in the mailbox.
    pub stored: bool,
}

/// Where a message to many keys went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct RoutedMany {
    /// How many keys it was a message to.
    pub keys: usize,
    /// How many connections it went to, of all keys together.
    pub connections: usize,
    /// For how many keys it is in the mailbox.
    pub stored: usize,
}

impl RoutedMany {
    pub(super) fn add(&mut self, routed: Routed) {
        self.keys += 1;
        self.connections += routed.connections;
        self.stored += usize::from(routed.stored);
    }
}

/// The counters of a router. Each is true; together they are of about the same moment.
///
/// While nothing is being pushed, `delivered + dropped + abandoned` is the number of copies that live connections were given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct RouterStats {
    /// Keys that the router keeps something of: connections or, without a mailbox, a number.
    pub keys: usize,
    /// Keys with a connection.
    pub online: usize,
    /// Connections of all keys.
    pub connections: usize,
    /// Messages pushed. One to many keys counts for each.
    pub pushed: u64,
    /// Copies in the queues of connections, or pulled from them.
    pub delivered: u64,
    /// Copies that the overflow policy of a connection's queue dropped, or that were too heavy for it.
    pub dropped: u64,
    /// Copies that were still queued when their connection was dropped.
    pub abandoned: u64,
    /// Messages put into the mailbox.
    pub stored: u64,
    /// Messages whose key had no connection.
    pub offline: u64,
    /// Messages that connections have read from the mailbox.
    pub replayed: u64,
    /// Messages that the mailbox has refused. They are not among `pushed`.
    pub failed: u64,
}

/// The counters of one connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ConnectionStats {
    /// Messages that it has yielded.
    pub received: u64,
    /// Of `received`: those from the mailbox.
    pub replayed: u64,
    /// Numbers missing up to the last message that it has yielded: see [`Connection::missed`](super::Connection::missed).
    pub missed: u64,
    /// Messages that the overflow policy of its queue has dropped, or that were too heavy for it.
    pub dropped: u64,
    /// Messages in its queue.
    pub queued: usize,
    /// The most there may be.
    pub capacity: usize,
}
