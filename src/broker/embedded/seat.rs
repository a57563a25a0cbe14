//! A consumer's seat in its group: everything that its handles share.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::select;
use tokio::time::{Instant, sleep_until};

use crate::broker::{ConsumerConfig, Delivery, Error, Start, Topic};
use crate::coop;
use crate::sync::{AtomicBool, Mutex, lock};

use super::coordinator::{Coordinator, Member};
use super::shared::Shared;
use super::take::{Cache, Reader, Short};
use super::topic::TopicState;
use crate::broker::check::{check_config, check_consumer, check_topics};
use crate::broker::group::{MemberId, Place, later};

pub(crate) struct Seat {
    pub(crate) shared: Arc<Shared>,
    pub(crate) group: Arc<Coordinator>,
    pub(crate) id: MemberId,
    pub(crate) member: Arc<Member>,
    subscription: Mutex<BTreeMap<Topic, Arc<TopicState>>>,
    /// One change of the subscription at a time.
    changing: tokio::sync::Mutex<()>,
    left: AtomicBool,
    /// Records read from disk that are not delivered yet.
    cache: Mutex<Cache>,
}

/// What a look for deliveries came to.
enum Look {
    Found(Vec<Delivery>),
    /// Something has to be read first.
    Short(Short),
    /// Nothing, and nothing before this moment unless the member is told.
    Nothing(Option<Instant>),
}

impl Seat {
    pub(crate) fn new(shared: Arc<Shared>, config: ConsumerConfig) -> Self {
        let group = shared.group(&config.group);
        let member = Arc::new(Member::new(config));
        let id = group.join(&member, Instant::now());
        Self {
            shared,
            group,
            id,
            member,
            subscription: Mutex::new(BTreeMap::new()),
            changing: tokio::sync::Mutex::new(()),
            left: AtomicBool::new(false),
            cache: Mutex::new(Cache::default()),
        }
    }

    pub(crate) fn open(&self) -> Result<(), Error> {
        if self.has_left() {
            return Err(Error::Closed { record: None });
        }
        self.shared.open()
    }

    pub(crate) fn has_left(&self) -> bool {
        self.left.load(std::sync::atomic::Ordering::Acquire)
    }

    /// Leaves the group for good.
    pub(crate) fn leave(&self) {
        if self.left.swap(true, std::sync::atomic::Ordering::AcqRel) {
            return;
        }
        self.group.leave(&self.shared, self.id);
        self.member.signal.notify_waiters();
        let cache = std::mem::take(&mut *lock(&self.cache));
        drop(cache);
    }

    pub(crate) fn subscription(&self) -> Vec<Topic> {
        lock(&self.subscription).keys().cloned().collect()
    }

    /// Changes the subscription as a whole, or leaves it as it is.
    pub(crate) async fn subscribe(
        &self,
        change: impl FnOnce(&mut BTreeMap<Topic, Arc<TopicState>>) -> Result<(), Error> + Send,
    ) -> Result<(), Error> {
        let _turn = self.changing.lock().await;
        self.open()?;
        self.prepare().await?;
        let mut topics = lock(&self.subscription).clone();
        change(&mut topics)?;
        check_topics(&self.member.config, |topic| topics.contains_key(topic))?;
        let numbers: Vec<_> = topics
            .values()
            .map(|topic| (topic.id, topic.count()))
            .collect();
        let old = std::mem::replace(&mut *lock(&self.subscription), topics);
        drop(old);
        let fresh = self.group.step(&self.shared, |group| {
            group.subscribe(self.id, &numbers, Instant::now());
            group.needs_start(self.id)
        });
        self.begin(fresh).await
    }

    /// Looks whether the settings make sense, and sees to the dead-letter topic.
    async fn prepare(&self) -> Result<(), Error> {
        let config = &self.member.config;
        check_consumer(config)?;
        let Some(dead_letter) = &config.dead_letter else {
            return Ok(());
        };
        if self.shared.topics().by_name.contains_key(dead_letter) {
            return Ok(());
        }
        // Whatever a topic took, and the headers that are added.
        let one = crate::broker::TopicConfig::partitions(1).max_record_bytes(usize::MAX);
        check_config(dead_letter, &one)?;
        match self.shared.create_topic(dead_letter.clone(), one).await {
            // Somebody else has created it meanwhile, with more partitions.
            Err(Error::TopicExists { .. }) => Ok(()),
            created => created,
        }
    }

    /// Begins to read partitions that the group has no position in.
    async fn begin(&self, places: Vec<Place>) -> Result<(), Error> {
        for place in places {
            let topic = Arc::clone(&self.shared.topics().by_id[place.topic as usize]);
            let start = self.member.config.start;
            let at = self.resolve(&topic, place.partition, start, true).await?;
            self.group.begin(&self.shared, place, at);
        }
        Ok(())
    }

    /// The offset that is meant by a start. Where it may be `near`, one that is out of range gives the nearest.
    async fn resolve(
        &self,
        topic: &TopicState,
        partition: u32,
        start: Start,
        near: bool,
    ) -> Result<u64, Error> {
        let (first, next) = {
            let inner = topic.partition(partition)?.lock();
            (inner.log.first(), inner.log.next())
        };
        match start {
            Start::Earliest => Ok(first),
            Start::Latest => Ok(next),
            Start::Offset(offset) if near => Ok(offset.clamp(first, next)),
            Start::Offset(offset) if (first..=next).contains(&offset) => Ok(offset),
            Start::Offset(offset) => Err(Error::OffsetOutOfRange {
                topic: topic.name.clone(),
                partition,
                offset,
                first,
                next,
            }),
            Start::Time(time) => {
                let time = super::clock::micros(time);
                let (at_hand, older) = topic.partition(partition)?.lock().log.find_time(time);
                #[cfg(feature = "durable")]
                if let Some(store) = self.shared.store.as_ref().filter(|_store| older) {
                    let place = (topic.id, partition);
                    let found = store.find_time(place, time).await?;
                    return Ok(found.map_or(at_hand, |found| found.max(first)));
                }
                #[cfg(not(feature = "durable"))]
                let _ = older;
                Ok(at_hand)
            }
        }
    }

    /// Takes up to `max` deliveries, or none when `wait` is over.
    pub(crate) async fn poll(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>, Error> {
        std::future::poll_fn(|cx| coop::spend(cx, |_| std::task::Poll::Ready(()))).await;
        let mut parked = None;
        let deadline = later(Instant::now(), wait);
        loop {
            let told = std::pin::pin!(self.member.signal.notified());
            let due = match self.look(max)? {
                Look::Found(deliveries) => return Ok(deliveries),
                Look::Short(short) => {
                    self.fetch(short).await?;
                    continue;
                }
                Look::Nothing(due) => due,
            };
            if max == 0 || Instant::now() >= deadline {
                return Ok(Vec::new());
            }
            parked.get_or_insert_with(|| Parked::new(self));
            let until = due.map_or(deadline, |due| due.min(deadline));
            select(told, std::pin::pin!(sleep_until(until))).await;
        }
    }

    /// Takes a delivery that is at hand. Whatever is in its way is left to [`poll`](Self::poll) to find out.
    pub(crate) fn take_one(&self) -> Option<Delivery> {
        match self.look(1) {
            Ok(Look::Found(deliveries)) => deliveries.into_iter().next(),
            _ => None,
        }
    }

    /// Takes what there is now.
    fn look(&self, max: usize) -> Result<Look, Error> {
        self.open()?;
        // Not under its lock: what follows from the step may run wakers, and those may poll.
        let mut cache = std::mem::take(&mut *lock(&self.cache));
        let now = Instant::now();
        let topics = OnceCell::new();
        let (starts, taken, due, reader) = self.group.step(&self.shared, |group| {
            // Within the step: a topic may have been created, and assigned to this member, just before it.
            let topics = topics.get_or_init(|| self.shared.topics());
            let mut reader = Reader::new(topics, &mut cache, self.shared.clock.at(now));
            group.touch(self.id, now);
            group.tick(now);
            let starts = group.needs_start(self.id);
            if max == 0 || !starts.is_empty() {
                return (starts, None, None, reader);
            }
            let taken = group.take(self.id, max, now, &mut reader);
            reader.release();
            let due = (taken.count == 0)
                .then(|| group.next_due(self.id))
                .flatten();
            (starts, Some(taken), due, reader)
        });
        let (deliveries, expired) = reader.finish();
        self.shared.trim(expired);
        let out = lock(&self.cache).put_back(cache);
        drop(out);
        if !deliveries.is_empty() {
            return Ok(Look::Found(deliveries));
        }
        if !starts.is_empty() && max > 0 {
            return Ok(Look::Short(Short::Starts(starts)));
        }
        match taken.map(|taken| taken.missing) {
            Some(missing) if !missing.is_empty() => Ok(Look::Short(Short::Records(missing))),
            _ => Ok(Look::Nothing(due)),
        }
    }

    async fn fetch(&self, short: Short) -> Result<(), Error> {
        match short {
            Short::Starts(places) => self.begin(places).await,
            Short::Records(missing) => {
                #[cfg(feature = "durable")]
                if let Some(store) = &self.shared.store {
                    let topics = self.shared.topics();
                    for (place, offset) in missing {
                        // It may have come with one before it.
                        if lock(&self.cache).has(place, offset) {
                            continue;
                        }
                        let entries = super::disk::read(store, &topics, place, offset).await?;
                        let out = lock(&self.cache).fill(place, entries);
                        drop(out);
                    }
                }
                #[cfg(not(feature = "durable"))]
                let _ = missing;
                Ok(())
            }
        }
    }

    /// The partition of this name, if this consumer has subscribed to its topic.
    pub(crate) fn place(
        &self,
        name: &str,
        partition: u32,
    ) -> Result<(Arc<TopicState>, Place), Error> {
        let topic = lock(&self.subscription).get(name).cloned();
        let Some(topic) = topic else {
            self.shared.find(name)?;
            return Err(Error::NotSubscribed { topic: name.into() });
        };
        topic.partition(partition)?;
        let place = Place {
            topic: topic.id,
            partition,
        };
        Ok((topic, place))
    }

    /// The same, if it is this consumer's at the moment.
    pub(crate) fn owned(
        &self,
        name: &str,
        partition: u32,
    ) -> Result<(Arc<TopicState>, Place), Error> {
        self.open()?;
        let (topic, place) = self.place(name, partition)?;
        if !self.group.look(|group| group.is_owner(self.id, place)) {
            return Err(not_assigned(&topic, partition));
        }
        Ok((topic, place))
    }

    pub(crate) fn assignment(&self) -> Vec<(Topic, u32)> {
        let places = self.group.look(|group| group.assignment(self.id));
        let topics = self.shared.topics();
        let mut named: Vec<_> = places
            .into_iter()
            .map(|place| {
                (
                    topics.by_id[place.topic as usize].name.clone(),
                    place.partition,
                )
            })
            .collect();
        named.sort_unstable();
        named
    }

    pub(crate) fn position(&self, name: &str, partition: u32) -> Result<u64, Error> {
        let (topic, place) = self.owned(name, partition)?;
        let position = self.group.look(|group| group.position(place));
        position.ok_or_else(|| not_assigned(&topic, partition))
    }

    pub(crate) fn lag(&self, name: &str, partition: u32) -> Result<u64, Error> {
        let (topic, place) = self.place(name, partition)?;
        let low = self.group.look(|group| group.low(place)).unwrap_or(0);
        let inner = topic.partition(partition)?.lock();
        Ok(inner.log.next() - low.clamp(inner.log.first(), inner.log.next()))
    }

    /// Leaves the group when everything that it acknowledged is stored.
    pub(crate) async fn close(&self) -> Result<(), Error> {
        self.leave();
        #[cfg(feature = "durable")]
        if let Some(store) = self
            .shared
            .store
            .as_ref()
            .filter(|_store| !self.shared.is_closed())
        {
            return store.sync().await;
        }
        Ok(())
    }

    pub(crate) async fn seek(&self, name: &str, partition: u32, start: Start) -> Result<(), Error> {
        let (topic, place) = self.owned(name, partition)?;
        let to = self.resolve(&topic, partition, start, false).await?;
        let done = self.group.step(&self.shared, |group| {
            group.touch(self.id, Instant::now());
            group.seek(self.id, place, to)
        });
        if !done {
            return Err(not_assigned(&topic, partition));
        }
        Ok(())
    }

    pub(crate) fn pause(&self, name: &str, partition: u32, paused: bool) -> Result<(), Error> {
        let (topic, place) = self.owned(name, partition)?;
        let done = self
            .group
            .step(&self.shared, |group| group.pause(self.id, place, paused));
        if !done {
            return Err(not_assigned(&topic, partition));
        }
        if !paused {
            self.member.signal.notify_waiters();
        }
        Ok(())
    }
}

/// A member that waits in a poll.
struct Parked<'a>(&'a Seat);

impl<'a> Parked<'a> {
    fn new(seat: &'a Seat) -> Self {
        seat.group.step(&seat.shared, |group| group.park(seat.id));
        Self(seat)
    }
}

impl Drop for Parked<'_> {
    fn drop(&mut self) {
        self.0.group.step(&self.0.shared, |group| {
            group.unpark(self.0.id, Instant::now());
        });
    }
}

fn not_assigned(topic: &TopicState, partition: u32) -> Error {
    Error::NotAssigned {
        topic: topic.name.clone(),
        partition,
    }
}
