//! One way into a partition, for single records and for runs.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
#[cfg(feature = "durable")]
use std::{pin::Pin, task::ready};

use futures_util::future::select;
#[cfg(feature = "durable")]
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use crate::broker::{Error, Position};

use super::partition::{Feed, Stop};
use super::shared::Shared;
use super::topic::TopicState;
use crate::broker::group::later;

/// Records that went into a partition together.
pub(crate) struct Offered {
    pub(crate) first: u64,
    pub(crate) count: u64,
    /// Answers when they are stored; `None` where they are.
    pub(crate) ticket: Option<Ticket>,
    /// Why there are not more, where more were asked for.
    pub(crate) stop: Option<Stop>,
}

/// Records on their way to the disk.
pub(crate) struct Ticket {
    #[cfg(feature = "durable")]
    stored: oneshot::Receiver<Result<(), Error>>,
    #[cfg(not(feature = "durable"))]
    never: std::convert::Infallible,
}

impl Offered {
    pub(crate) fn on_the_way(self) -> Option<Ticket> {
        self.ticket
    }

    /// Waits until the records are stored.
    pub(crate) async fn stored(self) -> Result<(), Error> {
        match self.ticket {
            Some(mut ticket) => poll_fn(|cx| ticket.poll_stored(cx)).await,
            None => Ok(()),
        }
    }
}

impl Ticket {
    #[cfg(feature = "durable")]
    pub(crate) fn new(stored: oneshot::Receiver<Result<(), Error>>) -> Self {
        Self { stored }
    }

    #[cfg(feature = "durable")]
    pub(crate) fn poll_stored(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let stored = ready!(Pin::new(&mut self.stored).poll(cx));
        Poll::Ready(stored.unwrap_or(Err(Error::Closed { record: None })))
    }

    #[cfg(not(feature = "durable"))]
    pub(crate) fn poll_stored(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        match self.never {}
    }
}

impl Shared {
    /// Appends records from the front of a feed, which all go to this partition, and says why it stopped.
    pub(crate) fn offer(
        self: &Arc<Self>,
        topic: &Arc<TopicState>,
        partition: u32,
        feed: &mut impl Feed,
        most: u64,
    ) -> Offered {
        #[cfg(feature = "durable")]
        if let Some(store) = &self.store {
            return super::disk::offer(store, topic, partition, feed, most, self.now());
        }
        let appended = topic.partitions[partition as usize].append(feed, most, self.now());
        Offered {
            first: appended.first,
            count: appended.count,
            ticket: None,
            stop: appended.stop,
        }
    }

    /// Pushes the first record of a feed and up to `most - 1` behind it, which go to the same partition; waits for room, which
    /// groups make or age does, and until they are stored. Errors come without the record; one that was refused is still in the feed.
    pub(crate) async fn push(
        self: &Arc<Self>,
        topic: &Arc<TopicState>,
        partition: u32,
        feed: &mut impl Feed,
        most: u64,
    ) -> Result<Offered, Error> {
        let place = &topic.partitions[partition as usize];
        let mut waited = false;
        loop {
            let room = std::pin::pin!(place.room.notified());
            self.open()?;
            let offered = self.offer(topic, partition, feed, most);
            if offered.count > 0 {
                if waited {
                    place.room.notify_one();
                }
                return Ok(offered);
            }
            match offered.stop {
                Some(stop) if stop.waits() => {
                    #[cfg(feature = "durable")]
                    place.intact()?;
                    let expires = place.lock().log.expires();
                    match expires {
                        None => room.await,
                        Some(at) => {
                            let old = Duration::from_micros(at.saturating_sub(self.now()));
                            let old = sleep_until(later(Instant::now(), old));
                            select(room, std::pin::pin!(old)).await;
                        }
                    }
                }
                Some(stop) => return Err(refusal(topic, partition, &stop)),
                None => return Ok(offered),
            }
            waited = true;
        }
    }
}

/// The error of a record that did not go in.
pub(crate) fn refusal(topic: &TopicState, partition: u32, stop: &Stop) -> Error {
    match *stop {
        Stop::Full(_) => Error::Full {
            topic: topic.name.clone(),
            partition,
            record: None,
        },
        Stop::TooLarge { size, max } => Error::TooLarge {
            topic: topic.name.clone(),
            size,
            max,
            record: None,
        },
    }
}

pub(crate) fn position(topic: &TopicState, partition: u32, offset: u64) -> Position {
    Position::new(topic.name.clone(), partition, offset)
}
