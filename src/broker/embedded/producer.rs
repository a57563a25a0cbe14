//! The producer of the embedded broker.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_sink::Sink;

use crate::broker::{Error, Position, Record};
use crate::sync::Mutex;

use super::offer::{Ticket, position, refusal};
use super::partition::{Feed, RunOf};
use super::shared::Shared;
use super::topic::TopicState;

/// How many records a run of [`push_many`](crate::broker::Producer::push_many) has at the most.
const RUN: u64 = 4096;
/// How many runs, or records of a sink, may be on their way to the disk.
const ON_THE_WAY: usize = 1024;

/// Pushes into the topics of a [`Broker`](super::Broker). Cheap to clone.
///
/// As a sink, each clone has up to 1024 records on their way to the disk; in memory, none: they are stored when
/// `start_send` returns. A record that finds its partition full stays with the handle until there is room, and
/// goes with the handle if that is dropped before a flush.
pub struct Producer {
    shared: Arc<Shared>,
    /// The sink's records on their way. Only ever reached through `&mut`: the lock makes the handle `Sync`.
    flight: Mutex<Flight>,
}

type Blocked = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

#[derive(Default)]
struct Flight {
    /// Records that have offsets and are on their way to the disk, in order.
    tickets: VecDeque<Ticket>,
    /// The record that found no room.
    blocked: Option<Blocked>,
}

impl Producer {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            flight: Mutex::new(Flight::default()),
        }
    }

    fn flight(&mut self) -> &mut Flight {
        self.flight
            .get_mut()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Pushes one record, and gives it back with the error where it did not go in.
async fn push(shared: &Arc<Shared>, record: Record) -> Result<Position, Error> {
    let mut slot = Some(record);
    let pushed = push_slot(shared, &mut slot).await;
    pushed.map_err(|error| with(error, slot))
}

async fn push_slot(shared: &Arc<Shared>, slot: &mut Option<Record>) -> Result<Position, Error> {
    let Some(record) = &*slot else {
        return Err(Error::Closed { record: None });
    };
    let (topic, partition) = target(shared, record)?;
    let offered = shared.push(&topic, partition, slot, 1).await?;
    let first = offered.first;
    offered.stored().await?;
    Ok(position(&topic, partition, first))
}

fn target(shared: &Shared, record: &Record) -> Result<(Arc<TopicState>, u32), Error> {
    shared.open()?;
    let topic = shared.find(&record.topic)?;
    let partition = topic.choose(record)?;
    Ok((topic, partition))
}

fn with(error: Error, record: Option<Record>) -> Error {
    match record {
        Some(record) => error.with_record(record),
        None => error,
    }
}

impl crate::broker::Producer for Producer {
    async fn push(&self, record: Record) -> Result<Position, Error> {
        push(&self.shared, record).await
    }

    async fn push_many(&self, records: &mut VecDeque<Record>) -> Result<usize, Error> {
        let mut pushed = 0;
        let mut on_the_way = VecDeque::new();
        while let Some(first) = records.front() {
            let (topic, partition) = match target(&self.shared, first) {
                Ok(target) => target,
                Err(error) => {
                    all_stored(&mut on_the_way, 0).await?;
                    return Err(with(error, records.pop_front()));
                }
            };
            let mut run = Run::of(records, &topic, partition);
            let offered = match self.shared.push(&topic, partition, &mut run, RUN).await {
                Ok(offered) => offered,
                Err(error) => {
                    all_stored(&mut on_the_way, 0).await?;
                    return Err(with(error, records.pop_front()));
                }
            };
            pushed += usize::try_from(offered.count).unwrap_or(usize::MAX);
            on_the_way.extend(offered.on_the_way());
            all_stored(&mut on_the_way, ON_THE_WAY).await?;
        }
        all_stored(&mut on_the_way, 0).await?;
        Ok(pushed)
    }

    async fn sync(&self) -> Result<(), Error> {
        #[cfg(feature = "durable")]
        if let Some(store) = &self.shared.store {
            return store.sync().await;
        }
        self.shared.open()
    }
}

/// Waits for the oldest of these until no more than `but` are on their way.
fn poll_tickets(
    tickets: &mut VecDeque<Ticket>,
    but: usize,
    cx: &mut Context<'_>,
) -> Poll<Result<(), Error>> {
    while tickets.len() > but {
        let Some(oldest) = tickets.front_mut() else {
            break;
        };
        let stored = ready!(oldest.poll_stored(cx));
        tickets.pop_front();
        stored?;
    }
    Poll::Ready(Ok(()))
}

async fn all_stored(tickets: &mut VecDeque<Ticket>, but: usize) -> Result<(), Error> {
    poll_fn(|cx| poll_tickets(tickets, but, cx)).await
}

/// The records at the front that go to the same partition as the first.
struct Run<'a> {
    records: &'a mut VecDeque<Record>,
    topic: &'a TopicState,
    partition: u32,
    /// Those with neither key nor partition go along.
    keyless: bool,
}

impl<'a> Run<'a> {
    fn of(records: &'a mut VecDeque<Record>, topic: &'a TopicState, partition: u32) -> Self {
        let keyless = records.front().is_some_and(is_keyless);
        Self {
            records,
            topic,
            partition,
            keyless,
        }
    }
}

fn is_keyless(record: &Record) -> bool {
    record.key.is_none() && record.partition.is_none()
}

impl Run<'_> {
    /// Whether a record of this topic goes to this partition.
    fn goes_along(&self, record: &Record) -> bool {
        if is_keyless(record) {
            self.keyless
        } else {
            matches!(self.topic.choose(record), Ok(partition) if partition == self.partition)
        }
    }
}

impl Feed for Run<'_> {
    fn front(&self) -> Option<&Record> {
        self.records
            .front()
            .filter(|record| record.topic == self.topic.name && self.goes_along(record))
    }

    fn take(&mut self) -> Option<Record> {
        self.records.pop_front()
    }

    fn run(&self, most: u64) -> RunOf {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let mut run = RunOf::default();
        let Some(first) = self.front() else {
            return run;
        };
        for record in self.records.iter().take(most) {
            // Most often they share one name, which need not be read then.
            if record.topic != first.topic || !self.goes_along(record) {
                break;
            }
            run.add(record);
        }
        run
    }

    fn take_run(&mut self, count: usize) -> VecDeque<Record> {
        // The buffer as it came, unless most of it is empty.
        if count == self.records.len() && self.records.capacity() / 2 <= count {
            return std::mem::take(self.records);
        }
        self.records.drain(..count).collect()
    }

    fn give_back(&mut self, buffer: VecDeque<Record>) {
        if self.records.capacity() == 0 {
            *self.records = buffer;
        }
    }
}

impl Sink<Record> for Producer {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.flight().poll_until(cx, ON_THE_WAY - 1)
    }

    fn start_send(mut self: Pin<&mut Self>, record: Record) -> Result<(), Error> {
        let shared = Arc::clone(&self.shared);
        let flight = self.flight();
        assert!(
            flight.blocked.is_none(),
            "`start_send` without `poll_ready` before it"
        );
        let (topic, partition) = match target(&shared, &record) {
            Ok(target) => target,
            Err(error) => return Err(error.with_record(record)),
        };
        let mut slot = Some(record);
        let offered = shared.offer(&topic, partition, &mut slot, 1);
        match offered.stop {
            None => flight.tickets.extend(offered.on_the_way()),
            Some(stop) if stop.waits() => {
                flight.blocked = Some(Box::pin(async move {
                    let pushed = async {
                        let offered = shared.push(&topic, partition, &mut slot, 1).await?;
                        offered.stored().await
                    };
                    let pushed = pushed.await;
                    pushed.map_err(|error| with(error, slot))
                }));
            }
            Some(stop) => return Err(with(refusal(&topic, partition, &stop), slot)),
        }
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.flight().poll_until(cx, 0)
    }

    /// Flushes. The broker stays open, and so does this handle.
    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_flush(cx)
    }
}

impl Flight {
    /// Waits for the record that has found no room, and for those on their way until no more than `but` are left.
    fn poll_until(&mut self, cx: &mut Context<'_>, but: usize) -> Poll<Result<(), Error>> {
        ready!(poll_tickets(&mut self.tickets, but, cx))?;
        if let Some(blocked) = &mut self.blocked {
            let pushed = ready!(blocked.as_mut().poll(cx));
            self.blocked = None;
            pushed?;
        }
        Poll::Ready(Ok(()))
    }
}

impl Clone for Producer {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.shared))
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer").finish_non_exhaustive()
    }
}
