//! How a listener works.

use std::time::Duration;

/// What a listener keeps in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Order {
    /// Deliveries of one partition are handled one after the other. The default.
    #[default]
    Partition,
    /// Deliveries of one partition that have the same key are handled one after the other, and so are those without a key.
    Key,
    /// None: every delivery is handled as soon as there is a free hand.
    None,
}

/// How a listener works. A plain number is the number of handlers at once.
///
/// ```
/// use std::time::Duration;
/// use pushpull::broker::{Listen, Order};
///
/// let settings = Listen::new(8)
///     .order(Order::Key)
///     .nack_delay(Some(Duration::from_secs(5)));
/// assert_ne!(settings, Listen::from(8));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    pub(super) concurrency: usize,
    pub(super) ahead: usize,
    pub(super) order: Order,
    pub(super) poll_wait: Duration,
    pub(super) nack_delay: Option<Duration>,
    pub(super) heartbeat: Duration,
    pub(super) extend_for: Duration,
}

impl Listen {
    /// At most this many handlers at once.
    ///
    /// # Panics
    /// If `concurrency` is 0.
    #[track_caller]
    pub const fn new(concurrency: usize) -> Self {
        assert!(
            concurrency > 0,
            "without handlers nothing would be listened to"
        );
        Self {
            concurrency,
            ahead: 0,
            order: Order::Partition,
            poll_wait: Duration::from_secs(1),
            nack_delay: None,
            heartbeat: Duration::from_secs(3),
            extend_for: Duration::ZERO,
        }
    }

    /// How many deliveries are taken beyond those that could be handled at once. They wait for a free hand, or for the one
    /// before them in their order. 0 unless told otherwise.
    ///
    /// A delivery that waits behind another one holds room that a delivery of another partition could have. With some room
    /// ahead, a slow partition takes longer to bring the others to a halt. The time for an acknowledgement
    /// ([`ack_wait`](crate::broker::ConsumerConfig::ack_wait)) runs while a delivery waits.
    #[must_use]
    pub const fn ahead(mut self, deliveries: usize) -> Self {
        self.ahead = deliveries;
        self
    }

    /// What is kept in order. [`Order::Partition`] unless told otherwise.
    #[must_use]
    pub const fn order(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    /// How long one poll waits for deliveries. 1 s unless told otherwise. It decides how often an idle listener asks, not
    /// how soon it has what comes in.
    #[must_use]
    pub const fn poll_wait(mut self, wait: Duration) -> Self {
        self.poll_wait = wait;
        self
    }

    /// How long a delivery whose handler failed rests before it is delivered again. Not at all unless told otherwise. An
    /// engine without [`nack_delay`](crate::broker::Capabilities::nack_delay) delivers it again at once.
    #[must_use]
    pub const fn nack_delay(mut self, delay: Option<Duration>) -> Self {
        self.nack_delay = delay;
        self
    }

    /// How often the listener gives a sign of life while all hands are full and it does not poll for more. Every 3 s unless
    /// told otherwise, and at most once in a millisecond. Keep it well below the
    /// [session timeout](crate::broker::ConsumerConfig::session_timeout): a third is usual.
    #[must_use]
    pub const fn heartbeat(mut self, every: Duration) -> Self {
        self.heartbeat = every;
        self
    }

    /// How long a delivery may take at the most, from when it was taken until its handler is done, without being delivered
    /// again: at every [heartbeat](Self::heartbeat) until then the listener [extends](crate::broker::Consumer::extend) what it
    /// has. For slow handlers. Not at all unless told otherwise: what takes longer than
    /// [`ack_wait`](crate::broker::ConsumerConfig::ack_wait) is delivered again then, even while its handler is at it.
    ///
    /// The heartbeat has to be well below `ack_wait` for this.
    #[must_use]
    pub const fn extend_for(mut self, longest: Duration) -> Self {
        self.extend_for = longest;
        self
    }
}

impl From<usize> for Listen {
    /// # Panics
    /// As [`new`](Self::new).
    #[track_caller]
    fn from(concurrency: usize) -> Self {
        Self::new(concurrency)
    }
}
