//! Partitions that are read, and feeding the seat from them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::util::Timeout;

use super::driver::{Driver, QUESTION, READING};
use super::link::Link;
use super::says::Says;
use super::starts;
use crate::broker::remote::{Arrival, Place};
use crate::broker::{Error, Event, Start, Topic};
use crate::kafka::fault;
use crate::kafka::format;

/// How many records of a partition are handed to the seat at once.
const BATCH: usize = 1024;
/// How long to wait before librdkafka is told again where to read.
const AGAIN: Duration = Duration::from_millis(100);

/// A partition that is read. It has a queue of its own, which is left alone while the seat has no room: librdkafka fetches
/// no more than the queue may hold then, and throws nothing away.
pub(super) struct Slot {
    pub(super) place: Place,
    pub(super) topic: Topic,
    pub(super) partition: i32,
    queue: PartitionQueue<Says>,
    pub(super) epoch: u64,
    /// The offset that is expected next.
    pub(super) next: u64,
    /// It is to be read from `next` on, which librdkafka has yet to be told: at this time, or later.
    sought: Option<Instant>,
    buffer: Vec<Arrival<()>>,
}

impl Slot {
    pub(super) fn new(
        place: Place,
        topic: Topic,
        partition: i32,
        queue: PartitionQueue<Says>,
        (epoch, next): (u64, u64),
        link: &Arc<Link>,
    ) -> Self {
        Self {
            place,
            topic,
            partition,
            queue: ringing(queue, link),
            epoch,
            next,
            sought: None,
            buffer: Vec::new(),
        }
    }

    pub(super) fn offset(&self) -> Offset {
        Offset::Offset(i64::try_from(self.next).unwrap_or(i64::MAX))
    }
}

impl Driver {
    /// Hands over what has come. Answers whether there may be more at once.
    pub(super) fn feed(&mut self) -> bool {
        self.listen();
        self.seek_again();
        if !self.hand.reads() {
            return false;
        }
        let mut busy = false;
        let mut fatal = None;
        let mut maimed = None;
        for slot in &mut self.slots {
            if slot.sought.is_some() {
                continue;
            }
            let room = self.seat.room(slot.place);
            let most = room.records.min(BATCH);
            let (mut count, mut bytes) = (0, 0);
            while count < most && bytes < room.bytes {
                // A message must not outlive this, so that its queue can be dropped.
                let polled = slot.queue.poll(Duration::ZERO);
                let message = match polled {
                    Some(Ok(message)) => message,
                    Some(Err(KafkaError::MessageConsumptionFatal(code))) => {
                        fatal = Some(code);
                        break;
                    }
                    // What else is wrong was said already.
                    Some(Err(_)) => continue,
                    None => break,
                };
                // Not through `&mut slot`, whose queue the message borrows.
                let offset = u64::try_from(message.offset()).unwrap_or_default();
                let (record, whole) = self.copier.record(&message, slot.topic.clone());
                if !whole {
                    let at = || (slot.topic.clone(), slot.partition, offset);
                    maimed.get_or_insert_with(at);
                }
                bytes += record.size();
                slot.next = offset + 1;
                slot.buffer.push(Arrival {
                    offset,
                    record,
                    time: format::time(&message),
                    attempts_before: 0,
                    follows: true,
                    ticket: (),
                });
                count += 1;
            }
            if count > 0 {
                self.seat.arrive(slot.place, slot.epoch, &mut slot.buffer);
                slot.buffer.clear();
                busy = true;
            }
        }
        if let Some(code) = fatal {
            self.fail(fault::engine(READING, code));
        }
        if let Some((topic, partition, offset)) = maimed {
            let reason = format!(
                "{topic}/{partition}@{offset} has a header that is no text, which was left out"
            );
            self.report(fault::because(READING, reason));
        }
        if busy {
            self.up();
        }
        busy
    }

    /// Lets librdkafka say what it has to: its callbacks run in here.
    fn listen(&mut self) {
        for _ in 0..8 {
            match self.client.poll(Duration::ZERO) {
                Some(Err(KafkaError::MessageConsumptionFatal(code))) => {
                    self.fail(fault::engine(READING, code));
                    return;
                }
                Some(_) => {}
                None => {}
            }
        }
    }

    pub(super) fn seek(&mut self, place: Place, to: u64, epoch: u64) {
        // A later seek, or a loss, comes with an order of its own.
        if self.seat.epoch(place) != Some(epoch) {
            return;
        }
        if let Some(slot) = self.slots.iter_mut().find(|slot| slot.place == place) {
            slot.epoch = epoch;
            slot.next = to;
            slot.sought = Some(Instant::now());
        } else if let Some(next) = self.kept.get_mut(&place) {
            *next = (epoch, to);
        }
        self.seek_again();
    }

    /// Tells librdkafka where to read on, until it has done so.
    fn seek_again(&mut self) {
        let mut failed = None;
        let now = Instant::now();
        for slot in &mut self.slots {
            if slot.sought.is_none_or(|due| now < due) {
                continue;
            }
            let timeout = Timeout::After(QUESTION);
            let offset = slot.offset();
            match self
                .client
                .seek(&slot.topic, slot.partition, offset, timeout)
            {
                Ok(()) => slot.sought = None,
                Err(error) => {
                    slot.sought = Some(Instant::now() + AGAIN);
                    failed = Some(error);
                }
            }
        }
        if let Some(error) = failed {
            self.report(fault::engine("seeking", error));
        }
    }

    /// A partition was to be read from where it has nothing. Those whose place has gone are read from what there is.
    pub(super) fn find_ways(&mut self, reason: &str) {
        let mut events = Vec::new();
        for slot in &mut self.slots {
            let timeout = Timeout::After(QUESTION);
            let start = Start::Offset(slot.next);
            let partition = slot.place.partition;
            let found = starts::find(&*self.client, &slot.topic, partition, start, timeout);
            let Ok(found) = found else {
                events.push(Event::Failed(fault::because(READING, reason)));
                continue;
            };
            if let Some(event) = out_of_range(&slot.topic, partition, slot.next, found) {
                events.push(event);
                slot.next = found.first;
            }
        }
        for event in events {
            self.seat.report(event);
        }
        self.assign_again();
    }

    /// Has all partitions read from where they stand. One that librdkafka has given up cannot be sought in.
    fn assign_again(&mut self) {
        let mut list = TopicPartitionList::with_capacity(self.slots.len());
        let mut listed = Ok(());
        for slot in &mut self.slots {
            slot.sought = None;
            let queue = self
                .client
                .split_partition_queue(&slot.topic, slot.partition);
            if let Some(queue) = queue {
                slot.queue = ringing(queue, &self.seat.engine().link);
            }
            let at = slot.offset();
            listed =
                listed.and_then(|()| list.add_partition_offset(&slot.topic, slot.partition, at));
        }
        if let Err(error) = listed.and_then(|()| self.client.assign(&list)) {
            self.report(fault::engine(READING, error));
        }
    }
}

/// The queue, which wakes the thread when something comes into it.
fn ringing(mut queue: PartitionQueue<Says>, link: &Arc<Link>) -> PartitionQueue<Says> {
    let link = Arc::clone(link);
    queue.set_nonempty_callback(move || link.ring());
    queue
}

/// What happened where an offset is outside of a partition. It is read from its beginning then: rather twice than never.
pub(super) fn out_of_range(
    topic: &Topic,
    partition: u32,
    offset: u64,
    found: starts::Found,
) -> Option<Event> {
    let topic = topic.clone();
    if offset < found.first {
        return Some(Event::Lost {
            topic,
            partition,
            from: offset,
            missed: found.first - offset,
        });
    }
    (offset > found.next).then(|| {
        Event::Failed(Error::OffsetOutOfRange {
            topic,
            partition,
            offset,
            first: found.first,
            next: found.next,
        })
    })
}
