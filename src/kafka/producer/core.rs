//! The client that all producers of a connection share.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use rdkafka::Statistics;
use rdkafka::client::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext};
use tokio::sync::Notify;

use super::flight::Lane;
use crate::broker::{Error, Record, Topic};
use crate::kafka::fault;
use crate::kafka::format::{self, Copier};
use crate::kafka::shared::Shared;
use crate::kafka::stats::figures;
use crate::meter::EngineMeter;
use crate::sync::{AtomicBool, Mutex, lock};

/// How long the thread waits for reports before it looks whether it is still needed.
const TURN: Duration = Duration::from_millis(100);
const PUSHING: &str = "pushing";

/// The client, and the thread that takes its reports. What is on its way when the last handle goes is still sent.
pub(in crate::kafka) struct Core {
    client: Arc<BaseProducer<Reports>>,
    over: Arc<AtomicBool>,
}

/// What became of a record that was handed over.
pub(super) enum Sent {
    /// It is on its way.
    Off,
    /// The client holds as many as it may.
    Full(Record),
    Failed(Error),
}

impl Core {
    pub(super) fn start(shared: &Arc<Shared>) -> Result<Arc<Self>, Error> {
        let reports = Reports {
            shared: Arc::downgrade(shared),
            starved: AtomicBool::new(false),
            room: Notify::new(),
            troubled: AtomicBool::new(false),
            heard: Mutex::new(None),
            meter: shared.options.meter("kafka producer"),
        };
        let client: BaseProducer<Reports> = shared
            .options
            .producer(&shared.brokers)
            .create_with_context(reports)
            .map_err(fault::unmade)?;
        let client = Arc::new(client);
        let over = Arc::new(AtomicBool::new(false));
        let (polled, stop) = (Arc::clone(&client), Arc::clone(&over));
        let worker = thread::Builder::new().name("pushpull-kafka".into());
        let spawned = worker.spawn(move || {
            // The last to let go of the client, because that takes time.
            while !stop.load(Ordering::Acquire)
                || polled.in_flight_count() > 0
                || Arc::strong_count(&polled) > 1
            {
                polled.poll(TURN);
                // A report comes before its record has made room: who was woken by the last one may have found none.
                polled.context().tell_of_room();
            }
        });
        spawned.map_err(|error| fault::engine("starting a thread", error))?;
        Ok(Arc::new(Self { client, over }))
    }

    /// Hands a record to the client, which never waits.
    pub(super) fn send(&self, record: Record, lane: &Arc<Lane>) -> Sent {
        let headers = match format::headers(&record) {
            Ok(headers) => headers,
            Err(error) => return Sent::Failed(error.with_record(record)),
        };
        let mut message =
            BaseRecord::with_opaque_to(&record.topic, Arc::clone(lane)).payload(&record.value[..]);
        message.key = record.key.as_deref();
        message.partition = record
            .partition
            .map(|partition| i32::try_from(partition).unwrap_or(i32::MAX));
        message.headers = headers;
        lane.flight.took_off();
        let Err((error, message)) = self.client.send(message) else {
            return Sent::Off;
        };
        drop(message);
        lane.flight.stayed();
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull) {
            return Sent::Full(record);
        }
        let error = self.reports().error(&error, &record);
        Sent::Failed(error.with_record(record))
    }

    fn reports(&self) -> &Reports {
        self.client.context()
    }

    /// Waits until the client may take another record. To be called before it is tried.
    pub(super) fn room(&self) -> tokio::sync::futures::Notified<'_> {
        let reports = self.reports();
        let room = reports.room.notified();
        reports.starved.store(true, Ordering::SeqCst);
        room
    }

    pub(in crate::kafka) fn on_the_way(&self) -> i32 {
        self.client.in_flight_count()
    }

    /// What ended this client for good.
    pub(super) fn fatal(&self) -> Option<Error> {
        if !self.reports().troubled.load(Ordering::Acquire) {
            return None;
        }
        let (code, reason) = self.client.client().fatal_error()?;
        let reason = format!("it is fatal to this producer, take a new one: {code}: {reason}");
        Some(fault::because(PUSHING, reason))
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
    }
}

/// What the client says.
pub(super) struct Reports {
    shared: Weak<Shared>,
    /// Somebody waits for room.
    starved: AtomicBool,
    room: Notify,
    /// Something was said already, which may have been fatal.
    troubled: AtomicBool,
    /// What was said last.
    heard: Mutex<Option<String>>,
    meter: Option<Arc<EngineMeter>>,
}

impl Reports {
    /// There may be room for those who wait for it.
    fn tell_of_room(&self) {
        if self.starved.load(Ordering::SeqCst) && self.starved.swap(false, Ordering::SeqCst) {
            // Wakers are strangers here too.
            drop(catch_unwind(AssertUnwindSafe(|| {
                self.room.notify_waiters()
            })));
        }
    }

    /// An error about a record, in the broker's words.
    fn error(&self, error: &KafkaError, record: &Record) -> Error {
        use RDKafkaErrorCode as Code;
        let shared = self.shared.upgrade();
        let shared = shared.as_ref();
        let known = shared.and_then(|shared| shared.known(&record.topic));
        let topic = record.topic.clone();
        match error.rdkafka_error_code() {
            Some(Code::UnknownTopic | Code::UnknownTopicOrPartition) => {
                if let Some(shared) = shared {
                    shared.forget(&topic);
                }
                Error::UnknownTopic {
                    topic,
                    record: None,
                }
            }
            Some(Code::UnknownPartition) => Error::UnknownPartition {
                topic,
                partition: record.partition.unwrap_or_default(),
                partitions: known.map_or(0, |known| known.partitions),
                record: None,
            },
            Some(Code::MessageSizeTooLarge | Code::InvalidMessageSize) => {
                let size = record.size();
                let bound = shared.map_or(usize::MAX, |shared| shared.options.max_message());
                Error::TooLarge {
                    topic,
                    size,
                    // What a broker refuses is above its own bound, which it does not tell.
                    max: bound.min(size.saturating_sub(1)),
                    record: None,
                }
            }
            Some(Code::PurgeQueue | Code::PurgeInflight) => fault::closed(),
            _ => match &*lock(&self.heard) {
                Some(reason) => fault::because(PUSHING, format!("{error}: {reason}")),
                None => fault::engine(PUSHING, error.clone()),
            },
        }
    }

    fn failed(&self, error: &KafkaError, message: &BorrowedMessage<'_>, lane: &Lane) {
        let topic = Topic::from(message.topic());
        let (mut record, _whole) = Copier::default().record(message, topic);
        record.partition = u32::try_from(message.partition())
            .ok()
            .filter(|_partition| lane.fixed);
        let error = self.error(error, &record).with_record(record);
        lane.flight.crashed(error);
    }
}

impl ClientContext for Reports {
    fn stats(&self, statistics: Statistics) {
        if let Some(meter) = &self.meter {
            meter.set(figures(&statistics));
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        #[cfg(feature = "tracing")]
        tracing::warn!(target: "pushpull", %error, reason, "kafka producer");
        self.troubled.store(true, Ordering::Release);
        let mut heard = lock(&self.heard);
        // That all are down says less than why they are.
        let down = error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown);
        if !down || heard.is_none() {
            *heard = Some(reason.to_owned());
        }
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = Arc<Lane>;

    fn delivery(&self, report: &DeliveryResult<'_>, lane: Arc<Lane>) {
        // Wakers are strangers. This thread has everybody's reports to take.
        let told = catch_unwind(AssertUnwindSafe(|| {
            match report {
                Ok(message) => lane.flight.landed(lane.places.then(|| place(message))),
                Err((error, message)) => self.failed(error, message, &lane),
            }
            drop(lane);
        }));
        // A panic was said by its hook.
        drop(told);
        self.tell_of_room();
    }
}

fn place(message: &BorrowedMessage<'_>) -> (u32, u64) {
    let partition = u32::try_from(message.partition()).unwrap_or_default();
    (
        partition,
        u64::try_from(message.offset()).unwrap_or_default(),
    )
}
