//! Faults planted between the workload and a sound broker: the checker must find each.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::{Sink, Stream};
use pushpull::broker::{
    Acker, Broker, Capabilities, Consumer, ConsumerConfig, Delivery, Error, Events, Position,
    Producer, Record, Start, Topic,
};

use super::checker::{Kind, Rules, by_kind, check};
use super::memory::history_of;
use super::world::{Engine, Plan, number};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// One record reaches nobody.
    Drop,
    /// A push is acknowledged and not made.
    Swallow,
    /// What was acknowledged comes once more.
    Double,
    /// A push is made twice.
    PushTwice,
    /// Two deliveries change places.
    Swap,
    /// The order of keys is not kept.
    Unordered,
    /// A fenced acknowledgement is answered with success.
    IgnoreFence,
    /// An acknowledgement counts and is answered as fenced.
    CountFenced,
    /// A failure is taken for an acknowledgement.
    NackIsAck,
    /// A byte of a record changes.
    Corrupt,
    /// A record comes from nowhere.
    Forge,
    /// Deliveries come again before their time.
    Hurry,
    /// Attempts are not counted.
    Miscount,
    /// The committed offset is said to be lower than before.
    Back,
    /// The committed offset is said to be higher than it is.
    Ahead,
}

/// An engine with a fault in it.
struct Faulty<E> {
    inner: E,
    plant: Arc<Plant>,
}

struct Plant {
    fault: Fault,
    /// How often there was an occasion. Some faults take only the first few.
    occasions: AtomicU32,
    acknowledged: Mutex<VecDeque<Delivery>>,
}

impl Plant {
    fn is(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    /// An occasion for this fault has come; every sixteenth is taken. One alone may be covered up by what the workload
    /// happens to do next.
    fn strikes(&self, fault: Fault) -> bool {
        self.is(fault) && self.occasions.fetch_add(1, Ordering::Relaxed) % 16 == 7
    }
}

impl<E: Engine> Engine for Faulty<E> {
    type Producer = FaultyProducer<E::Producer>;
    type Consumer = FaultyConsumer<E::Consumer>;

    async fn create(&self, topic: &str, partitions: u32) -> Result<(), Error> {
        self.inner.create(topic, partitions).await
    }

    fn producer(&self) -> Self::Producer {
        FaultyProducer {
            inner: self.inner.producer(),
            plant: Arc::clone(&self.plant),
        }
    }

    fn consumer(&self, mut config: ConsumerConfig) -> Self::Consumer {
        if self.plant.is(Fault::Unordered) {
            config = config.ordered(false);
        }
        if self.plant.is(Fault::Hurry) {
            config = config.ack_wait(Duration::from_millis(2));
        }
        FaultyConsumer {
            inner: self.inner.consumer(config),
            plant: Arc::clone(&self.plant),
        }
    }
}

struct FaultyProducer<P> {
    inner: P,
    plant: Arc<Plant>,
}

impl<P: Producer + Send + Sync + Unpin> Producer for FaultyProducer<P> {
    async fn push(&self, record: Record) -> Result<Position, Error> {
        if self.plant.strikes(Fault::PushTwice) {
            self.inner.push(record.clone()).await?;
        }
        self.inner.push(record).await
    }

    async fn push_many(&self, records: &mut VecDeque<Record>) -> Result<usize, Error> {
        let swallowed = self
            .plant
            .strikes(Fault::Swallow)
            .then(|| records.pop_front());
        let pushed = self.inner.push_many(records).await?;
        Ok(pushed + usize::from(swallowed.is_some()))
    }

    async fn sync(&self) -> Result<(), Error> {
        self.inner.sync().await
    }
}

impl<P: Producer + Unpin> Sink<Record> for FaultyProducer<P> {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Pin::new(&mut self.inner).poll_ready(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, record: Record) -> Result<(), Error> {
        Pin::new(&mut self.inner).start_send(record)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Pin::new(&mut self.inner).poll_close(cx)
    }
}

struct FaultyConsumer<C> {
    inner: C,
    plant: Arc<Plant>,
}

impl<C: Consumer + Send + Sync> FaultyConsumer<C> {
    async fn spoil(&self, mut polled: Vec<Delivery>) -> Result<Vec<Delivery>, Error> {
        let plant = &self.plant;
        if plant.is(Fault::Drop) {
            for delivery in &polled {
                if is_doomed(delivery) {
                    self.inner.ack(delivery).await?;
                }
            }
            polled.retain(|delivery| !is_doomed(delivery));
        }
        if plant.is(Fault::Double) {
            let again = plant.acknowledged.lock().unwrap().pop_front();
            // Not right after it, lest the history leave open which was first.
            if let Some(again) = again.filter(|_| plant.strikes(Fault::Double)) {
                polled.push(again);
            }
        }
        if let Some(at) = neighbours(&polled).filter(|_| plant.strikes(Fault::Swap)) {
            polled.swap(at, at + 1);
        }
        if plant.is(Fault::Miscount) {
            for delivery in &mut polled {
                delivery.attempt = 1;
            }
        }
        let Some(first) = polled.first_mut() else {
            return Ok(polled);
        };
        if plant.strikes(Fault::Corrupt) {
            let mut value = first.record.value.to_vec();
            *value.last_mut().unwrap() ^= 1;
            first.record.value = value.into();
        }
        if plant.strikes(Fault::Forge) {
            first.record.value = "987654321987654321:".into();
        }
        Ok(polled)
    }
}

fn is_doomed(delivery: &Delivery) -> bool {
    let at = &delivery.position;
    at.topic == "orders" && at.partition == 0 && at.offset == 7
}

/// Two first attempts from one partition, one behind the other.
fn neighbours(polled: &[Delivery]) -> Option<usize> {
    polled.windows(2).position(|two| {
        let (one, other) = (&two[0], &two[1]);
        let together = one.position.topic == other.position.topic
            && one.position.partition == other.position.partition;
        together && one.attempt == 1 && other.attempt == 1
    })
}

impl<C: Consumer + Send + Sync + Unpin> Consumer for FaultyConsumer<C> {
    fn subscribe<I>(&self, topics: I) -> impl Future<Output = Result<(), Error>> + Send
    where
        I: IntoIterator + Send,
        I::Item: AsRef<str>,
    {
        self.inner.subscribe(topics)
    }

    fn add_topics<I>(&self, topics: I) -> impl Future<Output = Result<(), Error>> + Send
    where
        I: IntoIterator + Send,
        I::Item: AsRef<str>,
    {
        self.inner.add_topics(topics)
    }

    fn remove_topics<I>(&self, topics: I) -> impl Future<Output = Result<(), Error>> + Send
    where
        I: IntoIterator + Send,
        I::Item: AsRef<str>,
    {
        self.inner.remove_topics(topics)
    }

    fn subscription(&self) -> Vec<Topic> {
        self.inner.subscription()
    }

    fn assignment(&self) -> Vec<(Topic, u32)> {
        self.inner.assignment()
    }

    async fn poll(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>, Error> {
        let polled = self.inner.poll(max, wait).await?;
        self.spoil(polled).await
    }

    async fn seek(&self, topic: &str, partition: u32, start: Start) -> Result<(), Error> {
        self.inner.seek(topic, partition, start).await
    }

    fn position(&self, topic: &str, partition: u32) -> Result<u64, Error> {
        self.inner.position(topic, partition)
    }

    async fn committed(&self, topic: &str, partition: u32) -> Result<Option<u64>, Error> {
        let committed = self.inner.committed(topic, partition).await?;
        let Some(offset) = committed.filter(|offset| *offset > 3) else {
            return Ok(committed);
        };
        if self.plant.strikes(Fault::Ahead) {
            return Ok(Some(offset + 100));
        }
        if self.plant.is(Fault::Back)
            && self.plant.occasions.fetch_add(1, Ordering::Relaxed) % 2 == 1
        {
            return Ok(Some(offset - 3));
        }
        Ok(committed)
    }

    async fn lag(&self, topic: &str, partition: u32) -> Result<u64, Error> {
        self.inner.lag(topic, partition).await
    }

    fn acker(&self) -> Acker {
        self.inner.acker()
    }

    async fn ack(&self, delivery: &Delivery) -> Result<(), Error> {
        let acked = self.inner.ack(delivery).await;
        if acked.is_ok() && self.plant.is(Fault::Double) {
            self.plant
                .acknowledged
                .lock()
                .unwrap()
                .push_back(delivery.clone());
        }
        let at = &delivery.position;
        let fenced = || Error::Fenced {
            topic: at.topic.clone(),
            partition: at.partition,
            offset: at.offset,
        };
        match acked {
            Err(error) if error.is_fenced() && self.plant.is(Fault::IgnoreFence) => Ok(()),
            Ok(()) if self.plant.strikes(Fault::CountFenced) => Err(fenced()),
            acked => acked,
        }
    }

    async fn nack(&self, delivery: &Delivery, delay: Option<Duration>) -> Result<(), Error> {
        if self.plant.strikes(Fault::NackIsAck) {
            return self.inner.ack(delivery).await;
        }
        self.inner.nack(delivery, delay).await
    }

    fn commit(&self) -> impl Future<Output = Result<(), Error>> + Send {
        self.inner.commit()
    }

    async fn commit_to(&self, position: &Position) -> Result<(), Error> {
        self.inner.commit_to(position).await
    }

    fn pause(&self, topic: &str, partition: u32) -> Result<(), Error> {
        self.inner.pause(topic, partition)
    }

    fn resume(&self, topic: &str, partition: u32) -> Result<(), Error> {
        self.inner.resume(topic, partition)
    }

    fn events(&self) -> Events {
        self.inner.events()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn close(&self) -> Result<(), Error> {
        self.inner.close().await
    }
}

impl<C: Consumer + Unpin> Stream for FaultyConsumer<C> {
    type Item = Result<Delivery, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.inner).poll_next(cx)
    }
}

/// The kinds of anomalies that are found with a fault in the broker.
async fn kinds_with(fault: Fault) -> Vec<Kind> {
    let plant = Plant {
        fault,
        occasions: AtomicU32::new(0),
        acknowledged: Mutex::default(),
    };
    let engine = Faulty {
        inner: Broker::in_memory(),
        plant: Arc::new(plant),
    };
    let mut plan = Plan::new(0);
    plan.seed = number("PUSHPULL_SEED").unwrap_or(5);
    plan.operations = 16_000;
    let anomalies = check(&history_of(engine, &plan).await, Rules::EMBEDDED);
    println!(
        "{fault:?}, PUSHPULL_SEED={}: {:?}",
        plan.seed,
        by_kind(&anomalies)
    );
    by_kind(&anomalies).into_keys().collect()
}

macro_rules! planted {
    ($($name:ident: $fault:ident is $($kind:ident)|+;)*) => {$(
        #[tokio::test(start_paused = true)]
        async fn $name() {
            let kinds = kinds_with(Fault::$fault).await;
            assert!(kinds.iter().any(|kind| matches!(kind, $(Kind::$kind)|+)), "{kinds:?}");
        }
    )*};
}

planted! {
    a_dropped_record_is_found: Drop is Lost;
    a_swallowed_push_is_found: Swallow is Lost;
    a_doubled_delivery_is_found: Double is Doubled;
    a_doubled_push_is_found: PushTwice is StoredTwice;
    swapped_deliveries_are_found: Swap is Reordered;
    keys_out_of_order_are_found: Unordered is Reordered;
    an_ignored_fence_is_found: IgnoreFence is Doubled | TwoOwners;
    a_fence_that_is_none_is_found: CountFenced is FencedCounted;
    a_failure_that_is_forgotten_is_found: NackIsAck is NeverRedelivered;
    a_changed_record_is_found: Corrupt is Changed;
    a_record_from_nowhere_is_found: Forge is Unexpected;
    a_hasty_redelivery_is_found: Hurry is Premature;
    a_wrong_attempt_is_found: Miscount is Miscounted;
    a_committed_offset_that_goes_back_is_found: Back is CommittedBack;
    a_committed_offset_that_runs_ahead_is_found: Ahead is CommittedAhead;
}
