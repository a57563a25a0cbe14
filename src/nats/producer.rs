//! The producer of NATS JetStream.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, ready};

use futures_sink::Sink;
use tokio::time::Instant;

use crate::broker::{Error, Position, Record};
use crate::sync::Mutex;

use super::connection::Connection;
use super::flight::Flight;

/// How many records of a sink, or of one [`push_many`](crate::broker::Producer::push_many), may be on their way.
const ON_THE_WAY: usize = 1024;

/// Pushes into the topics of a NATS server. Cheap to clone.
///
/// Every record carries a message id: its own, or one that is made for it. Until it is acknowledged, or the [request
/// timeout](super::Options::request_timeout) is over, it is sent again with the same id: after the connection was lost, as soon
/// as it is back. The server tells it by the id and stores it once. A record whose time is over comes back with the error, and
/// whether it was stored is not known: to be sure that it is stored once, give it an [id](Record::id) and push it again
/// within two minutes, for which the server remembers ids (or as long as the topic keeps records, if that is less).
///
/// The ids are the topic's, whatever the partition: a record with the id of one in another partition is not stored.
///
/// # Order
/// Records that one handle pushes one after another, by a [`push_many`](crate::broker::Producer::push_many) or as a sink lie in
/// each partition in the order in which they were pushed. That holds when the connection is lost, too: what was on the way is
/// sent again from the oldest one on, before anything else. Two things break it: a record that is refused (then it is not
/// there, and those behind it that were on the way may be), and a cluster that is without a leader for a moment while records
/// are on their way.
///
/// # Partitions
/// A key decides the partition, by its hash, and so does an id where there is no key. Records with neither take the
/// partitions in turn.
///
/// As a sink, each clone has up to 1024 records on their way. Flushing and closing wait until they are acknowledged. What is
/// sent is sent while the sink is polled.
pub struct Producer {
    connection: Arc<Connection>,
    /// The sink's records on their way. Only ever reached through `&mut`: the lock makes the handle `Sync`.
    flight: Mutex<Flight>,
}

impl Producer {
    pub(crate) fn new(connection: Arc<Connection>) -> Self {
        Self {
            connection,
            flight: Mutex::default(),
        }
    }

    fn parts(&mut self) -> (&Arc<Connection>, &mut Flight) {
        let flight = self.flight.get_mut();
        (
            &self.connection,
            flight.unwrap_or_else(PoisonError::into_inner),
        )
    }

    /// Waits for the oldest of the sink's records until no more than `but` are on their way.
    fn poll_until(&mut self, but: usize, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let (connection, flight) = self.parts();
        let sent = flight.poll_send(connection, cx);
        while flight.len() > but {
            match ready!(flight.poll_oldest(connection, cx)) {
                Some(pushed) => pushed?,
                None => break,
            };
        }
        // With room left, what could not be sent yet goes with the next call.
        let _later = sent;
        Poll::Ready(Ok(()))
    }
}

/// The records of a call.
struct Run<'a> {
    records: &'a mut VecDeque<Record>,
    flight: Flight,
}

impl Run<'_> {
    /// Takes along what there is room for, up to a record that is known to be refused.
    fn fill(&mut self, connection: &Connection) {
        if self.records.is_empty() || self.flight.len() == ON_THE_WAY {
            return;
        }
        let now = Instant::now();
        while self.flight.len() < ON_THE_WAY {
            let Some(record) = self.records.pop_front() else {
                return;
            };
            if !self.flight.take(connection, record, now) {
                return;
            }
        }
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        for record in self.flight.unsent().rev() {
            self.records.push_front(record);
        }
    }
}

impl crate::broker::Producer for Producer {
    async fn push(&self, record: Record) -> Result<Position, Error> {
        let mut flight = Flight::halting(1);
        flight.take(&self.connection, record, Instant::now());
        let pushed = poll_fn(|cx| flight.poll_oldest(&self.connection, cx)).await;
        pushed.unwrap_or(Err(Error::Closed { record: None }))
    }

    /// Pushes with up to 1024 records on their way.
    ///
    /// After an error, those behind the record at fault that were on their way are waited for: what was stored is not left in
    /// `records`, and what was not, or may not have been, is.
    async fn push_many(&self, records: &mut VecDeque<Record>) -> Result<usize, Error> {
        let connection = &self.connection;
        let mut run = Run {
            flight: Flight::halting(records.len().min(ON_THE_WAY)),
            records,
        };
        let mut pushed = 0;
        let failed = loop {
            run.fill(connection);
            match poll_fn(|cx| run.flight.poll_oldest(connection, cx)).await {
                None => return Ok(pushed),
                Some(Ok(_position)) => pushed += 1,
                Some(Err(error)) => break error,
            }
        };
        let unsent: VecDeque<_> = run.flight.unsent().collect();
        let mut left = VecDeque::new();
        while let Some(behind) = poll_fn(|cx| run.flight.poll_oldest(connection, cx)).await {
            left.extend(behind.err().and_then(Error::into_record));
        }
        left.extend(unsent);
        for record in left.into_iter().rev() {
            run.records.push_front(record);
        }
        Err(failed)
    }

    /// What is acknowledged is stored as safely as the server stores it: it writes to the disk at once and syncs in intervals
    /// of its own (`sync_interval`), or has replicas. There is nothing to wait for.
    async fn sync(&self) -> Result<(), Error> {
        self.connection.check()
    }
}

impl Sink<Record> for Producer {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_until(ON_THE_WAY - 1, cx)
    }

    /// Takes the record along. What is wrong with it is told by a later call.
    fn start_send(mut self: Pin<&mut Self>, record: Record) -> Result<(), Error> {
        let (connection, flight) = self.parts();
        flight.take(connection, record, Instant::now());
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_until(0, cx)
    }

    /// Flushes. The connection stays open, and so does this handle.
    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_flush(cx)
    }
}

impl Clone for Producer {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.connection))
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer").finish_non_exhaustive()
    }
}
