//! The producer.

mod core;
mod flight;

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, ready};

use futures_sink::Sink;
use futures_util::future::select;

use super::shared::Shared;
use crate::broker::{Error, Position, Record};
use crate::coop;
use crate::sync::{Mutex, lock};

pub(super) use self::core::Core;
use self::core::Sent;
use self::flight::{Flight, Lane, Lanes, Whose};

/// How many records of a sink, or of one call, may be on their way.
const ON_THE_WAY: usize = 16 * 1024;

/// Pushes into the topics of a cluster. Cheap to clone.
///
/// A push is acknowledged when all replicas in sync have the record, once and in order. librdkafka gathers records for
/// `linger.ms` (5 ms unless told otherwise) and sends them together: for throughput, keep many pushes on their way, or use
/// [`push_many`](crate::broker::Producer::push_many) or the sink.
///
/// As a sink, each clone has up to 16,384 records on their way. Flushing and closing wait until the cluster has acknowledged
/// them. Each record that failed comes back with an error of its own, from `poll_ready`, `poll_flush` or `poll_close`.
/// What is on its way when the handle is dropped is still sent.
///
/// Where the client holds as much as it may (`queue.buffering.max.messages`, `queue.buffering.max.kbytes`), pushes wait.
/// A topic's own bound, where [`create_topic`](super::Kafka::create_topic) was called on this connection, is looked at before.
///
/// # Errors
/// Besides those of every producer: [`Engine`](Error::Engine) where the cluster has not acknowledged the record within the
/// [request timeout](super::Options::request_timeout). It may be stored all the same. After an error that is fatal
/// to the client, as a gap in its numbering is, every push fails with it: [`Kafka::producer`](super::Kafka::producer) makes
/// a new client then.
///
/// When [`push_many`](crate::broker::Producer::push_many) fails, the records that failed with the first one are put back in
/// front of those that were not pushed. Like the first, they may be stored all the same.
pub struct Producer {
    shared: Arc<Shared>,
    core: Result<Arc<Core>, Error>,
    lanes: Lanes,
    /// The sink's record that waits. Only ever reached through `&mut`: the lock makes the handle `Sync`.
    waiting: Mutex<Option<Waiting>>,
}

type Waiting = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

impl Producer {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let core = core_of(&shared);
        Self::over(shared, core)
    }

    fn over(shared: Arc<Shared>, core: Result<Arc<Core>, Error>) -> Self {
        Self {
            shared,
            core,
            lanes: Lanes::new(),
            waiting: Mutex::new(None),
        }
    }

    fn core(&self) -> Result<&Arc<Core>, Error> {
        self.shared.open()?;
        let core = self.core.as_ref().map_err(Clone::clone)?;
        match core.fatal() {
            Some(error) => Err(error),
            None => Ok(core),
        }
    }

    fn waiting(&mut self) -> &mut Option<Waiting> {
        self.waiting
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands over the record that waits, tells of one that failed, and waits until no more than `but` are on their way.
    fn poll_until(&mut self, cx: &mut Context<'_>, but: usize) -> Poll<Result<(), Error>> {
        if let Some(waiting) = self.waiting() {
            let sent = ready!(waiting.as_mut().poll(cx));
            *self.waiting() = None;
            sent?;
        }
        let landed = self.lanes.flight.poll_until(cx, but);
        match self.lanes.flight.failure() {
            Some(error) => Poll::Ready(Err(error)),
            None => landed.map(Ok),
        }
    }
}

/// The client of this connection: the one there is, unless it has come to its end.
fn core_of(shared: &Arc<Shared>) -> Result<Arc<Core>, Error> {
    shared.open()?;
    let mut slot = lock(&shared.core);
    if let Some(core) = slot.as_ref().filter(|core| core.fatal().is_none()) {
        return Ok(Arc::clone(core));
    }
    let core = Core::start(shared)?;
    let old = slot.replace(Arc::clone(&core));
    drop(slot);
    drop(old);
    Ok(core)
}

/// Whether the record can be pushed, as far as is known. `None`: the cluster has to be asked.
fn check(shared: &Shared, record: &Record) -> Option<Result<(), Error>> {
    let known = shared.known(&record.topic)?;
    if record
        .partition
        .is_some_and(|partition| partition >= known.partitions)
    {
        return None;
    }
    let max = known.max_record.unwrap_or(usize::MAX);
    if record.size() > max {
        return Some(Err(Error::TooLarge {
            topic: record.topic.clone(),
            size: record.size(),
            max,
            record: None,
        }));
    }
    Some(Ok(()))
}

/// Whether the record can be pushed; asks the cluster where that is not known.
async fn checked(shared: &Shared, record: &Record) -> Result<(), Error> {
    shared.open()?;
    if let Some(checked) = check(shared, record) {
        return checked;
    }
    let known = shared.look_up_together(&record.topic).await?;
    match record.partition {
        Some(partition) if partition >= known.partitions => Err(Error::UnknownPartition {
            topic: record.topic.clone(),
            partition,
            partitions: known.partitions,
            record: None,
        }),
        _ => check(shared, record).unwrap_or(Ok(())),
    }
}

/// Hands the record in the slot to the client, and waits while that has no room. What it did not take stays in the slot.
async fn send(
    shared: &Shared,
    core: &Core,
    slot: &mut Option<Record>,
    lane: impl Fn(&Record) -> Arc<Lane>,
) -> Result<(), Error> {
    while let Some(record) = slot.take() {
        let lane = lane(&record);
        let record = match core.send(record, &lane) {
            Sent::Off => return Ok(()),
            Sent::Failed(error) => return Err(error),
            Sent::Full(record) => record,
        };
        // Somebody may have made room before this began to wait.
        let room = core.room();
        match core.send(record, &lane) {
            Sent::Off => return Ok(()),
            Sent::Failed(error) => return Err(error),
            Sent::Full(record) => *slot = Some(record),
        }
        select(pin!(room), pin!(shared.ending.notified())).await;
        shared.open()?;
    }
    Ok(())
}

/// Checks a record and hands it over. What was not taken comes with the error.
async fn enqueue(
    shared: &Shared,
    core: &Core,
    record: Record,
    lane: impl Fn(&Record) -> Arc<Lane>,
) -> Result<(), Error> {
    if let Err(error) = checked(shared, &record).await {
        return Err(error.with_record(record));
    }
    let mut slot = Some(record);
    let sent = send(shared, core, &mut slot, lane).await;
    sent.map_err(|error| match slot {
        Some(record) => error.with_record(record),
        None => error,
    })
}

impl crate::broker::Producer for Producer {
    async fn push(&self, record: Record) -> Result<Position, Error> {
        // A whole unit each would let 128 pushes of a task through at a time, and poll thousands more for nothing.
        poll_fn(coop::share).await;
        let core = match self.core() {
            Ok(core) => core,
            Err(error) => return Err(error.with_record(record)),
        };
        let topic = record.topic.clone();
        let lane = Arc::new(Lane {
            flight: Whose::Own(Flight::default()),
            fixed: record.partition.is_some(),
            places: true,
        });
        // Most often it goes off at once. The way that waits would make each of these futures several times as large.
        let record = match check(&self.shared, &record) {
            Some(Ok(())) => match core.send(record, &lane) {
                Sent::Off => None,
                Sent::Failed(error) => return Err(error),
                Sent::Full(record) => Some(record),
            },
            Some(Err(error)) => return Err(error.with_record(record)),
            None => Some(record),
        };
        if let Some(record) = record {
            Box::pin(enqueue(&self.shared, core, record, |_| Arc::clone(&lane))).await?;
        }
        lane.flight.until(0).await;
        if let Some(error) = lane.flight.failure() {
            return Err(error);
        }
        let (partition, offset) = lane.flight.place().unwrap_or_default();
        Ok(Position::new(topic, partition, offset))
    }

    async fn push_many(&self, records: &mut VecDeque<Record>) -> Result<usize, Error> {
        poll_fn(|cx| coop::spend(cx, |_| Poll::Ready(()))).await;
        let lanes = Lanes::new();
        let mut pushed = 0;
        let stopped = self.send_all(records, &lanes, &mut pushed).await;
        lanes.flight.until(0).await;
        let mut failed: VecDeque<_> = std::iter::from_fn(|| lanes.flight.failure()).collect();
        if let Err(error) = stopped {
            failed.push_back(error);
        }
        let Some(first) = failed.pop_front() else {
            return Ok(pushed);
        };
        let others = failed.into_iter().rev().filter_map(Error::into_record);
        others.for_each(|record| records.push_front(record));
        Err(first)
    }

    /// Nothing is acknowledged before all replicas in sync have it: there is nothing to wait for.
    async fn sync(&self) -> Result<(), Error> {
        self.core().map(|_core| ())
    }
}

impl Producer {
    /// Hands over records until one fails. Those that were not taken stay.
    async fn send_all(
        &self,
        records: &mut VecDeque<Record>,
        lanes: &Lanes,
        pushed: &mut usize,
    ) -> Result<(), Error> {
        let core = self.core();
        let mut room = None;
        while let Some(record) = records.front() {
            let checked = match &core {
                Ok(_) => checked(&self.shared, record).await,
                Err(error) => Err(error.clone()),
            };
            // It leaves the front, and comes back, without anything in between that could be dropped.
            let Some(record) = records.pop_front() else {
                break;
            };
            let core = match (&core, checked) {
                (Ok(core), Ok(())) => core,
                (_, Err(error)) => return Err(error.with_record(record)),
                (Err(error), _) => return Err(error.clone().with_record(record)),
            };
            let lane = lanes.of(record.partition.is_some());
            match core.send(record, lane) {
                Sent::Off => *pushed += 1,
                Sent::Failed(error) => return Err(error),
                Sent::Full(record) => {
                    records.push_front(record);
                    match room.take() {
                        // Somebody may have made room before this began to wait.
                        None => room = Some(core.room()),
                        Some(room) => {
                            select(pin!(room), pin!(self.shared.ending.notified())).await;
                        }
                    }
                    self.shared.open()?;
                }
            }
            if lanes.flight.has_failed() {
                break;
            }
            if lanes.flight.count() >= ON_THE_WAY {
                lanes.flight.until(ON_THE_WAY / 4 * 3).await;
            }
        }
        Ok(())
    }
}

impl Sink<Record> for Producer {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let full = self.lanes.flight.count() >= ON_THE_WAY;
        let but = if full { ON_THE_WAY / 4 * 3 } else { usize::MAX };
        self.poll_until(cx, but)
    }

    fn start_send(mut self: Pin<&mut Self>, record: Record) -> Result<(), Error> {
        assert!(
            self.waiting().is_none(),
            "`start_send` without `poll_ready` before it"
        );
        let core = match self.core() {
            Ok(core) => Arc::clone(core),
            Err(error) => return Err(error.with_record(record)),
        };
        let lane = Arc::clone(self.lanes.of(record.partition.is_some()));
        let record = match check(&self.shared, &record) {
            Some(Ok(())) => match core.send(record, &lane) {
                Sent::Off => return Ok(()),
                Sent::Failed(error) => return Err(error),
                Sent::Full(record) => record,
            },
            Some(Err(error)) => return Err(error.with_record(record)),
            None => record,
        };
        let shared = Arc::clone(&self.shared);
        *self.waiting() = Some(Box::pin(async move {
            enqueue(&shared, &core, record, |_| Arc::clone(&lane)).await
        }));
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_until(cx, 0)
    }

    /// Flushes. The connection stays open, and so does this handle.
    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_flush(cx)
    }
}

impl Clone for Producer {
    fn clone(&self) -> Self {
        Self::over(Arc::clone(&self.shared), self.core.clone())
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer")
            .field("brokers", &self.shared.brokers)
            .field("on_the_way", &self.lanes.flight.count())
            .finish_non_exhaustive()
    }
}
