//! The seat over an engine that does what the test says.

mod answers;
mod feed;
mod membership;
mod model;
mod waits;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::broker::{
    Capabilities, Consumer as _, ConsumerConfig, Delivery, Error, Event, Events, Record, Start,
    Topic,
};
use crate::sync::{Mutex, lock};

use super::{Arrival, Consumer, Engine, Place, Seat, delegate_consumer};

const SECOND: Duration = Duration::from_secs(1);

/// Notes what it is asked, and answers what it was told to.
#[derive(Default)]
struct Script {
    subscribed: Vec<Vec<String>>,
    refuses: Option<Error>,
    /// How long everything takes that the consumer waits for.
    takes: Duration,
    seeks: Vec<(Place, u64, u64)>,
    nudges: usize,
    stored: usize,
    buried: Vec<Record>,
    bury_fails: usize,
    left: usize,
}

#[derive(Default)]
struct Fake<const SINGLE: bool> {
    script: Mutex<Script>,
}

impl<const SINGLE: bool> Fake<SINGLE> {
    async fn pause(&self) {
        let takes = lock(&self.script).takes;
        if !takes.is_zero() {
            tokio::time::sleep(takes).await;
        }
    }
}

impl<const SINGLE: bool> Engine for Fake<SINGLE> {
    /// So many times did the offset come.
    type Ticket = u32;

    const SINGLE: bool = SINGLE;

    fn capabilities(&self) -> Capabilities {
        Capabilities::none("the fake")
    }

    async fn partitions(&self, topic: &Topic) -> Result<u32, Error> {
        match topic.as_str() {
            "t" => Ok(4),
            "u" => Ok(1),
            _ => Err(Error::UnknownTopic {
                topic: topic.clone(),
                record: None,
            }),
        }
    }

    async fn prepare(&self, _dead_letter: &Topic) -> Result<(), Error> {
        Ok(())
    }

    async fn subscribe(
        &self,
        _seat: &Arc<Seat<Self>>,
        topics: BTreeMap<Topic, u32>,
    ) -> Result<(), Error> {
        self.pause().await;
        let mut script = lock(&self.script);
        let names = topics.into_keys().map(String::from);
        script.subscribed.push(names.collect());
        script.refuses.take().map_or(Ok(()), Err)
    }

    async fn resolve(&self, topic: &Topic, partition: u32, start: Start) -> Result<u64, Error> {
        self.pause().await;
        match start {
            Start::Offset(offset) if offset < 1000 => Ok(offset),
            Start::Offset(offset) => Err(Error::OffsetOutOfRange {
                topic: topic.clone(),
                partition,
                offset,
                first: 0,
                next: 1000,
            }),
            _ => Ok(0),
        }
    }

    fn seek(&self, place: Place, to: u64, epoch: u64) {
        lock(&self.script).seeks.push((place, to, epoch));
    }

    fn nudge(&self) {
        lock(&self.script).nudges += 1;
    }

    async fn stored(&self) -> Result<(), Error> {
        self.pause().await;
        lock(&self.script).stored += 1;
        Ok(())
    }

    async fn committed(&self, _topic: &Topic, partition: u32) -> Result<Option<u64>, Error> {
        Ok(Some(u64::from(partition) + 500))
    }

    async fn lag(&self, _topic: &Topic, _partition: u32, low: Option<u64>) -> Result<u64, Error> {
        Ok(1000 - low.unwrap_or(400))
    }

    async fn bury(&self, record: Record) -> Result<(), Error> {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let mut script = lock(&self.script);
        if script.bury_fails > 0 {
            script.bury_fails -= 1;
            return Err(Error::Closed { record: None });
        }
        script.buried.push(record);
        Ok(())
    }

    async fn leave(&self) -> Result<(), Error> {
        lock(&self.script).left += 1;
        Ok(())
    }
}

struct Fed<const SINGLE: bool>(Consumer<Fake<SINGLE>>);

delegate_consumer!(Fed<true>);
delegate_consumer!(Fed<false>);

/// A consumer of topic `t` and its engine.
struct World<const SINGLE: bool = true> {
    engine: Arc<Fake<SINGLE>>,
    seat: Arc<Seat<Fake<SINGLE>>>,
    consumer: Fed<SINGLE>,
    events: Events,
}

fn config() -> ConsumerConfig {
    ConsumerConfig::group("g")
}

impl<const SINGLE: bool> World<SINGLE>
where
    Fed<SINGLE>: crate::broker::Consumer,
{
    async fn new(config: ConsumerConfig) -> Self {
        let world = Self::silent(config);
        world.consumer.subscribe(["t"]).await.unwrap();
        world
    }

    /// Without a subscription.
    fn silent(config: ConsumerConfig) -> Self {
        let engine = Arc::new(Fake::default());
        let seat = Seat::new(Arc::clone(&engine), config);
        let consumer = Fed(Consumer::new(Arc::clone(&seat)));
        let events = consumer.events();
        Self {
            engine,
            seat,
            consumer,
            events,
        }
    }

    fn place(&self, partition: u32) -> Place {
        self.seat.place(&"t".into(), partition)
    }

    /// Grants a partition that is read from here on, and swallows the event.
    fn grant(&self, partition: u32, start: u64) -> (Place, u64) {
        let place = self.place(partition);
        let epoch = self.seat.grant(place, start, None).unwrap();
        assert_eq!(self.next_event(), format!("assigned {partition}"));
        (place, epoch)
    }

    fn feed(&self, (place, epoch): (Place, u64), offsets: impl IntoIterator<Item = u64>) {
        self.feed_again((place, epoch), offsets, 1);
    }

    /// Offsets that come for the so manieth time.
    fn feed_again(
        &self,
        (place, epoch): (Place, u64),
        offsets: impl IntoIterator<Item = u64>,
        times: u32,
    ) {
        let arrivals = offsets.into_iter().map(|offset| arrival(offset, times));
        let mut arrivals: Vec<_> = arrivals.collect();
        self.seat.arrive(place, epoch, &mut arrivals);
        assert!(arrivals.is_empty());
    }

    async fn poll(&self, max: usize) -> Vec<Delivery> {
        self.consumer.poll(max, Duration::ZERO).await.unwrap()
    }

    async fn offsets(&self, max: usize) -> Vec<u64> {
        offsets(&self.poll(max).await)
    }

    /// What the engine is told: arrivals with how often they came, and committed offsets.
    fn answers(&self) -> (Vec<(u64, u32)>, Vec<u64>) {
        let answers = self.seat.answers();
        let done = answers
            .done
            .into_iter()
            .map(|(_, _, offset, ticket)| (offset, ticket));
        let committed = answers.committed.into_iter().map(|(_, _, offset)| offset);
        (done.collect(), committed.collect())
    }

    fn next_event(&self) -> String {
        self.events.try_next().map_or_else(
            || "none".into(),
            |event| match event {
                Event::Assigned { partition, .. } => format!("assigned {partition}"),
                Event::Revoked {
                    partition,
                    unacknowledged,
                    ..
                } => format!("revoked {partition}, {unacknowledged} unacknowledged"),
                Event::Expired => "expired".into(),
                Event::InFlightFull { in_flight, .. } => format!("full with {in_flight}"),
                Event::DeadLettered { position, reason } => format!("dead {position}: {reason}"),
                Event::GivenUp { position, reason } => format!("given up {position}: {reason}"),
                Event::Failed(error) => format!("failed: {error}"),
                other => format!("{other:?}"),
            },
        )
    }

    fn script<R>(&self, look: impl FnOnce(&mut Script) -> R) -> R {
        look(&mut lock(&self.engine.script))
    }
}

fn arrival(offset: u64, times: u32) -> Arrival<u32> {
    Arrival {
        offset,
        record: Record::new("", offset.to_string()),
        time: SystemTime::UNIX_EPOCH,
        attempts_before: 0,
        follows: true,
        ticket: times,
    }
}

fn offsets(deliveries: &[Delivery]) -> Vec<u64> {
    for delivery in deliveries {
        assert_eq!(delivery.record.value, delivery.position.offset.to_string());
        assert_eq!(delivery.record.topic, delivery.position.topic);
    }
    let positions = deliveries.iter().map(|delivery| &delivery.position);
    positions.map(|position| position.offset).collect()
}

fn attempts(deliveries: &[Delivery]) -> Vec<(u64, u32)> {
    let each = deliveries.iter();
    each.map(|delivery| (delivery.position.offset, delivery.attempt))
        .collect()
}

const NONE: [u64; 0] = [];
