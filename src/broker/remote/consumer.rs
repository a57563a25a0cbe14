//! The consumer over a seat, which the engines' consumers wrap.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::broker::deliveries::{Deliveries, Polling};
use crate::broker::{Acker, Capabilities, Delivery, Error, Events, Settle, Start, Topic};

use super::{Engine, Seat};

/// A consumer of any engine outside the process. Dropping it leaves the group.
pub(crate) struct Consumer<E: Engine> {
    seat: Arc<Seat<E>>,
    deliveries: Deliveries,
    /// The stream has ended with the engine's last error.
    ended: bool,
}

impl<E: Engine> Consumer<E> {
    pub(crate) fn new(seat: Arc<Seat<E>>) -> Self {
        Self {
            seat,
            deliveries: Deliveries::default(),
            ended: false,
        }
    }

    pub(crate) fn seat(&self) -> &Arc<Seat<E>> {
        &self.seat
    }

    pub(crate) async fn read(&self, names: Vec<Topic>, only: bool) -> Result<(), Error> {
        self.seat.read(names, only).await
    }

    pub(crate) async fn drop_topics(&self, names: Vec<Topic>) -> Result<(), Error> {
        self.seat.drop_topics(names).await
    }

    pub(crate) fn subscription(&self) -> Vec<Topic> {
        self.seat.subscription()
    }

    pub(crate) fn assignment(&self) -> Vec<(Topic, u32)> {
        self.seat.assignment()
    }

    pub(crate) async fn poll(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>, Error> {
        self.seat.poll(max, wait).await
    }

    pub(crate) async fn seek(&self, topic: &str, partition: u32, to: Start) -> Result<(), Error> {
        self.seat.seek(topic, partition, to).await
    }

    pub(crate) fn position(&self, topic: &str, partition: u32) -> Result<u64, Error> {
        self.seat.position(topic, partition)
    }

    pub(crate) async fn committed(&self, topic: &str, of: u32) -> Result<Option<u64>, Error> {
        self.seat.committed(topic, of).await
    }

    pub(crate) async fn lag(&self, topic: &str, partition: u32) -> Result<u64, Error> {
        self.seat.lag(topic, partition).await
    }

    pub(crate) fn acker(&self) -> Acker {
        Acker::new(Arc::clone(&self.seat) as Arc<dyn Settle>)
    }

    pub(crate) async fn commit(&self) -> Result<(), Error> {
        self.seat.commit().await
    }

    pub(crate) fn pause(&self, topic: &str, partition: u32, paused: bool) -> Result<(), Error> {
        self.seat.pause(topic, partition, paused)
    }

    pub(crate) fn events(&self) -> Events {
        self.seat.events()
    }

    pub(crate) fn capabilities(&self) -> Capabilities {
        self.seat.engine().capabilities()
    }

    pub(crate) async fn close(&self) -> Result<(), Error> {
        self.seat.close().await
    }

    pub(crate) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Delivery, Error>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let seat = &self.seat;
        let poll = || -> Polling {
            let seat = Arc::clone(seat);
            Box::pin(async move { seat.poll(1, Duration::MAX).await })
        };
        let next = self.deliveries.poll_next(cx, || seat.take_one(), poll);
        if let Poll::Ready(Some(Err(_))) = next {
            self.ended = seat.is_over();
        }
        next
    }

    pub(crate) fn is_terminated(&self) -> bool {
        self.ended || self.seat.has_left()
    }

    pub(crate) fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer")
            .field("group", &self.seat.config().group)
            .field("assignment", &self.assignment())
            .finish_non_exhaustive()
    }
}

impl<E: Engine> Drop for Consumer<E> {
    fn drop(&mut self) {
        self.deliveries.clear();
        self.seat.leave();
    }
}
