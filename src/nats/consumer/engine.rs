//! What the seat asks of NATS, and how it reaches the tasks.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use async_nats::Subject;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, timeout};

use crate::broker::remote::{self, Place, Standing};
use crate::broker::{Capabilities, Error, Producer as _, Record, Start, Topic, TopicConfig};
use crate::nats::CAPABILITIES;
use crate::nats::connection::Connection;
use crate::nats::lease::{Key, Note, Part, Value};
use crate::nats::producer::Producer;
use crate::nats::topic::TopicState;
use crate::nats::trouble::engine_error;
use crate::sync::{AtomicBool, Mutex, lock};

use super::acks::Acks;
use super::bucket::Bucket;
use super::durable::{self, Durable};
use super::member;

pub(super) type Seat = remote::Seat<Engine>;

/// The engine of one consumer.
pub(crate) struct Engine {
    pub(super) connection: Arc<Connection>,
    pub(super) group: String,
    pub(super) session_timeout: Duration,
    pub(super) start: Start,
    seat: OnceLock<Weak<Seat>>,
    /// What is to be read, and the how manieth such wish it is.
    pub(super) wanted: watch::Sender<(u64, BTreeMap<Topic, u32>)>,
    /// The last wish that came true as far as it can at once.
    pub(super) settled: watch::Sender<u64>,
    /// For whom there may be something to do.
    pub(super) wake: Wake,
    /// The member looks at everything: it waits for somebody to read for, or until nothing of a partition is in hand.
    pub(super) attentive: AtomicBool,
    /// The feeds of the partitions.
    feeds: Mutex<HashMap<Place, mpsc::UnboundedSender<Order>>>,
    /// The last seeks: their epochs, and where they went.
    places: Mutex<HashMap<Place, (u64, u64)>>,
    /// Since which epoch a durable is where it is, and this consumer's: what was delivered before is answered no more.
    moved: Mutex<HashMap<Place, u64>>,
    /// Seeks that are not done yet, by their epochs.
    seeks: Mutex<HashMap<Place, u64>>,
    sought: Notify,
    acks: tokio::sync::Mutex<Acks>,
    /// What was answered last could not be stored.
    failure: Mutex<Option<Error>>,
    /// Whether there is no task (any more).
    idle: watch::Sender<bool>,
}

/// Where tasks sleep until they are told.
#[derive(Default)]
pub(super) struct Wake {
    pub(super) member: Notify,
    pub(super) acks: Notify,
    pub(super) feeds: Notify,
}

/// What a partition's feed is told.
#[derive(Debug)]
pub(super) enum Order {
    Seek {
        to: u64,
        epoch: u64,
    },
    /// Nothing was acknowledged since the seek, and the place is committed nevertheless.
    Commit {
        to: u64,
        stored: oneshot::Sender<()>,
    },
}

impl Engine {
    pub(crate) fn new(connection: Arc<Connection>, config: &crate::broker::ConsumerConfig) -> Self {
        Self {
            connection,
            group: config.group.clone(),
            session_timeout: config.session_timeout,
            start: config.start,
            seat: OnceLock::new(),
            wanted: watch::Sender::default(),
            settled: watch::Sender::default(),
            wake: Wake::default(),
            attentive: AtomicBool::new(true),
            feeds: Mutex::default(),
            places: Mutex::default(),
            moved: Mutex::default(),
            seeks: Mutex::default(),
            sought: Notify::new(),
            acks: tokio::sync::Mutex::default(),
            failure: Mutex::default(),
            idle: watch::Sender::new(true),
        }
    }

    pub(super) async fn durable(&self, part: &Part) -> Result<(Arc<TopicState>, Durable), Error> {
        let topic = self.connection.topic(&part.topic).await?;
        let durable = Durable::new(&topic, part.partition, &self.group, self.session_timeout)?;
        Ok((topic, durable))
    }

    /// Where a partition's feed is told what to do, until it ends.
    pub(super) fn feed(&self, place: Place) -> mpsc::UnboundedReceiver<Order> {
        let (orders, feed) = mpsc::unbounded_channel();
        lock(&self.feeds).insert(place, orders);
        feed
    }

    /// The feed is gone, and with it what it was told.
    pub(super) fn unfeed(&self, place: Place) {
        lock(&self.feeds).remove(&place);
        lock(&self.seeks).remove(&place);
        lock(&self.places).remove(&place);
        self.sought.notify_waiters();
    }

    pub(super) fn has_sought(&self, place: Place, epoch: u64) {
        let mut seeks = lock(&self.seeks);
        if seeks.get(&place) == Some(&epoch) {
            seeks.remove(&place);
        }
        drop(seeks);
        self.sought.notify_waiters();
    }

    /// From now on, the server would take answers to what was delivered before this epoch for others.
    pub(super) fn moves(&self, place: Place, epoch: u64) {
        lock(&self.moved).insert(place, epoch);
    }

    /// Whether the server may hear of an answer.
    pub(super) fn is_current(&self, seat: &Seat, place: Place, epoch: u64) -> bool {
        let moved = lock(&self.moved).get(&place).copied();
        seat.epoch(place).is_some() && moved.is_none_or(|moved| epoch >= moved)
    }

    /// The last seek in a partition: its epoch, and where it went.
    pub(super) fn sought_to(&self, place: Place) -> Option<(u64, u64)> {
        lock(&self.places).get(&place).copied()
    }

    /// Hands an order to a partition's feed. `false`: there is none.
    pub(super) fn order(&self, place: Place, order: Order) -> bool {
        let feeds = lock(&self.feeds);
        feeds
            .get(&place)
            .is_some_and(|orders| orders.send(order).is_ok())
    }

    /// Sends what was answered. Errors are for whoever waits for it to be stored; the server delivers again what it has not
    /// heard of.
    pub(super) async fn send_answers(&self, seat: &Seat) -> Result<(), Error> {
        let mut acks = self.acks.lock().await;
        acks.take(self, seat);
        acks.send(self, seat).await
    }

    /// The same, and waits until the server has them.
    pub(super) async fn store_answers(&self, seat: &Seat) -> Result<(), Error> {
        const ACTION: &str = "acknowledging";
        let within = self.connection.options.request_timeout;
        let stored = async {
            let mut acks = self.acks.lock().await;
            acks.take(self, seat);
            acks.send(self, seat).await?;
            acks.sync(self, seat).await
        };
        let stored = timeout(within, stored).await;
        stored.map_err(|late| engine_error(ACTION, late))?
    }

    /// Waits until a seek in this partition is done, or can no longer be.
    async fn after_seek(&self, place: Place) {
        loop {
            let told = std::pin::pin!(self.sought.notified());
            if !lock(&self.seeks).contains_key(&place) {
                return;
            }
            told.await;
        }
    }

    /// What the group's key for a partition says.
    async fn note(&self, part: &Part) -> Result<Note, Error> {
        let within = self.connection.options.request_timeout;
        let bucket = Bucket::open(&self.connection, &self.group, within).await?;
        let seen = bucket.read(Key::Part(part.clone())).await;
        Ok(match seen.and_then(|seen| seen.value) {
            Some(Value::Lease(lease)) => lease.note,
            _ => Note::default(),
        })
    }

    pub(super) fn seat(&self) -> Option<Arc<Seat>> {
        self.seat.get().and_then(Weak::upgrade)
    }

    pub(super) fn is_running(&self) -> bool {
        !*self.idle.borrow()
    }

    /// The last acknowledgements were not stored.
    pub(super) fn fail(&self, error: Error) {
        lock(&self.failure).get_or_insert(error);
    }

    /// The last task has ended.
    pub(super) fn ended(&self) {
        self.idle.send_replace(true);
        self.settled.send_replace(u64::MAX);
    }
}

impl remote::Engine for Engine {
    type Ticket = Subject;

    const SINGLE: bool = true;

    fn capabilities(&self) -> Capabilities {
        CAPABILITIES
    }

    async fn partitions(&self, topic: &Topic) -> Result<u32, Error> {
        let topic = self.connection.topic(topic).await?;
        Ok(topic.partitions())
    }

    async fn prepare(&self, dead_letter: &Topic) -> Result<(), Error> {
        match self.connection.topic(dead_letter).await {
            Err(Error::UnknownTopic { .. }) => {}
            known => return known.map(|_topic| ()),
        }
        // Whatever a topic took, and the headers that are added.
        let max = self.connection.client.max_payload();
        let config = TopicConfig::partitions(1).max_record_bytes(max);
        match self.connection.create_topic(dead_letter, config).await {
            // Somebody else has created it meanwhile, with more partitions.
            Err(Error::TopicExists { .. }) => Ok(()),
            created => created,
        }
    }

    async fn subscribe(&self, seat: &Arc<Seat>, topics: BTreeMap<Topic, u32>) -> Result<(), Error> {
        self.connection.check()?;
        self.seat.get_or_init(|| Arc::downgrade(seat));
        let mut wish = 0;
        self.wanted.send_modify(|(number, wanted)| {
            *number += 1;
            wish = *number;
            *wanted = topics;
        });
        if self
            .idle
            .send_if_modified(|idle| std::mem::replace(idle, false))
        {
            member::spawn(Arc::clone(seat));
        }
        let mut settled = self.settled.subscribe();
        let came_true = settled.wait_for(|&settled| settled >= wish);
        // What takes longer happens nevertheless, and is told as an event.
        let _late = timeout(self.connection.options.request_timeout, came_true).await;
        Ok(())
    }

    async fn resolve(&self, topic: &Topic, partition: u32, start: Start) -> Result<u64, Error> {
        let topic = self.connection.topic(topic).await?;
        durable::resolve(&self.connection, &topic, partition, start, false).await
    }

    fn seek(&self, place: Place, to: u64, epoch: u64) {
        lock(&self.seeks).insert(place, epoch);
        lock(&self.places).insert(place, (epoch, to));
        if !self.order(place, Order::Seek { to, epoch }) {
            // The partition is lost already.
            self.has_sought(place, epoch);
        }
    }

    fn nudge(&self) {
        self.wake.acks.notify_one();
        self.wake.feeds.notify_waiters();
        // Most of this is about answers, and none of the member's business.
        let present = |seat: Arc<Seat>| seat.standing() == Standing::Present;
        if self.attentive.load(Ordering::Acquire) || !self.seat().is_some_and(present) {
            self.wake.member.notify_one();
        }
    }

    async fn stored(&self) -> Result<(), Error> {
        self.connection.check()?;
        match self.seat() {
            Some(seat) => self.store_answers(&seat).await,
            None => Ok(()),
        }
    }

    async fn committed(&self, topic: &Topic, partition: u32) -> Result<Option<u64>, Error> {
        let part = Part {
            topic: topic.clone(),
            partition,
        };
        let (_topic, durable) = self.durable(&part).await?;
        let Some(info) = durable.info(&self.connection).await? else {
            return Ok(self.note(&part).await?.committed);
        };
        let begun = info.ack_floor.consumer_sequence > 0;
        let note = if begun {
            Note::default()
        } else {
            self.note(&part).await?
        };
        Ok(Durable::stand(&info, &note).committed)
    }

    async fn lag(&self, topic: &Topic, partition: u32, low: Option<u64>) -> Result<u64, Error> {
        let part = Part {
            topic: topic.clone(),
            partition,
        };
        if let (Some(seat), Some(_own)) = (self.seat(), low) {
            // The server counts: it has to know what was acknowledged, and where reading is.
            let place = seat.place(topic, partition);
            let within = self.connection.options.request_timeout;
            let _late = timeout(within, self.after_seek(place)).await;
            self.store_answers(&seat).await?;
        }
        let (topic, durable) = self.durable(&part).await?;
        if let Some(info) = durable.info(&self.connection).await? {
            return Ok(info.num_pending + info.num_ack_pending as u64);
        }
        let begin = durable::resolve(&self.connection, &topic, partition, self.start, true).await?;
        let (_first, next) = durable::range(&self.connection, &topic, partition).await?;
        Ok(next - begin)
    }

    async fn bury(&self, record: Record) -> Result<(), Error> {
        let producer = Producer::new(Arc::clone(&self.connection));
        producer.push(record).await.map(|_position| ())
    }

    async fn leave(&self) -> Result<(), Error> {
        let mut idle = self.idle.subscribe();
        // The sender is here.
        let _ended = idle.wait_for(|&idle| idle).await.map(|_idle| ());
        lock(&self.failure).take().map_or(Ok(()), Err)
    }
}

/// Between two looks at what the server knows.
const LOOK: Duration = Duration::from_millis(20);

/// Waits until something is so, looking again and again.
pub(super) async fn until<F>(end: Instant, mut is_so: impl FnMut() -> F) -> Result<bool, Error>
where
    F: Future<Output = Result<bool, Error>>,
{
    loop {
        if is_so().await? {
            return Ok(true);
        }
        if Instant::now() + LOOK >= end {
            return Ok(false);
        }
        sleep(LOOK).await;
    }
}
