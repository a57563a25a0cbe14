//! What happens to a consumer beside its deliveries.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use futures_core::stream::FusedStream;

use crate::queue::{self, Overflow};

use super::{Error, Position, Topic};

/// How many events are kept for a consumer that does not read them. The oldest go first.
const KEPT: usize = 1024;

/// Something that happened to a consumer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A partition became this consumer's.
    Assigned {
        /// The topic.
        topic: Topic,
        /// The partition.
        partition: u32,
    },
    /// A partition went to another member, or the subscription ended. Later acknowledgements of its deliveries are
    /// fenced.
    Revoked {
        /// The topic.
        topic: Topic,
        /// The partition.
        partition: u32,
        /// Deliveries that were not acknowledged. They are delivered again.
        unacknowledged: u64,
    },
    /// The consumer was silent for longer than its session timeout and has lost all its partitions.
    Expired,
    /// Retention removed records that the group had not acknowledged.
    Lost {
        /// The topic.
        topic: Topic,
        /// The partition.
        partition: u32,
        /// The first one that was removed.
        from: u64,
        /// How many there were.
        missed: u64,
    },
    /// As many deliveries of a partition are unacknowledged as may be. No more come before some are.
    InFlightFull {
        /// The topic.
        topic: Topic,
        /// The partition.
        partition: u32,
        /// How many those are.
        in_flight: usize,
    },
    /// A record failed for the last time and went to the dead-letter topic.
    DeadLettered {
        /// Where it was.
        position: Position,
        /// Why it failed.
        reason: String,
    },
    /// A record failed for the last time, and there is no dead-letter topic. It counts as acknowledged.
    GivenUp {
        /// Where it is.
        position: Position,
        /// Why it failed.
        reason: String,
    },
    /// The connection to the engine is gone. It is sought again; what was acknowledged meanwhile is told to the engine then.
    Disconnected {
        /// Why, as far as that is known.
        reason: String,
    },
    /// The connection to the engine is back.
    Connected,
    /// An error that passes, or one that nobody was waiting for.
    Failed(Error),
}

/// The events of a consumer, as they come. Clones compete for them.
///
/// The last 1024 are kept for those who have not read them yet. The stream ends when the consumer is gone.
#[derive(Clone, Debug)]
pub struct Events {
    events: queue::Consumer<Event>,
}

impl Events {
    /// A stream of events and the end that feeds it; for those who implement an engine.
    pub fn channel() -> (queue::Producer<Event>, Self) {
        let (feed, events) = queue::builder()
            .capacity(KEPT)
            .overflow(Overflow::DropOldest)
            .build();
        (feed, Self { events })
    }

    /// The next event, if one has happened.
    pub fn try_next(&self) -> Option<Event> {
        self.events.try_pull().ok()
    }

    /// How many events nobody read in time.
    pub fn missed(&self) -> u64 {
        self.events.stats().dropped
    }
}

impl Stream for Events {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        Pin::new(&mut self.events).poll_next(cx)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.events.size_hint()
    }
}

impl FusedStream for Events {
    fn is_terminated(&self) -> bool {
        self.events.is_terminated()
    }
}
