//! What all handles of a broker share.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::time::Instant;

use crate::broker::{Capabilities, Error, Topic, TopicConfig};
use crate::sync::{AtomicBool, Mutex, lock};

use super::clock::Clock;
use super::coordinator::Coordinator;
use super::log::Log;
use super::partition::Partition;
#[cfg(feature = "durable")]
use super::store::Store;
use super::topic::{TopicState, Topics};
use crate::broker::check::{check_config, check_topic};
use crate::broker::group::Place;

pub(crate) struct Shared {
    topics: Mutex<Arc<Topics>>,
    pub(crate) groups: Mutex<HashMap<String, Arc<Coordinator>>>,
    pub(crate) clock: Clock,
    /// One topic is created at a time.
    pub(crate) creating: tokio::sync::Mutex<()>,
    closed: AtomicBool,
    #[cfg(feature = "durable")]
    pub(crate) store: Option<Store>,
}

impl Shared {
    pub(crate) fn in_memory() -> Self {
        Self {
            topics: Mutex::new(Arc::new(Topics::default())),
            groups: Mutex::new(HashMap::new()),
            clock: Clock::new(0),
            creating: tokio::sync::Mutex::new(()),
            closed: AtomicBool::new(false),
            #[cfg(feature = "durable")]
            store: None,
        }
    }

    #[cfg(feature = "durable")]
    pub(crate) fn on_disk(store: Store, newest: u64) -> Self {
        Self {
            clock: Clock::new(newest),
            store: Some(store),
            ..Self::in_memory()
        }
    }

    pub(crate) fn topics(&self) -> Arc<Topics> {
        Arc::clone(&lock(&self.topics))
    }

    pub(crate) fn find(&self, name: &str) -> Result<Arc<TopicState>, Error> {
        self.topics().find(name).cloned()
    }

    pub(crate) fn now(&self) -> u64 {
        self.clock.at(Instant::now())
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub(crate) fn open(&self) -> Result<(), Error> {
        if self.is_closed() {
            return Err(Error::Closed { record: None });
        }
        Ok(())
    }

    /// Refuses everything from now on, and tells everybody who waits.
    pub(crate) fn shut(&self) {
        self.closed.store(true, Ordering::Release);
        for topic in &self.topics().by_id {
            for partition in &topic.partitions {
                partition.room.notify_waiters();
            }
        }
        let groups: Vec<_> = lock(&self.groups).values().cloned().collect();
        for group in groups {
            group.wake_all();
        }
    }

    pub(crate) fn capabilities(&self) -> Capabilities {
        #[cfg(feature = "durable")]
        let durable = self.store.is_some();
        #[cfg(not(feature = "durable"))]
        let durable = false;
        Capabilities {
            durable,
            seek: true,
            seek_time: true,
            redelivers: true,
            nack_delay: true,
            dense_offsets: true,
            partitions: true,
            pauses: true,
            lag: true,
            retains_records: true,
            retains_bytes: true,
            retains_age: true,
            waits_when_full: true,
            bounds_records: true,
            cooperative: true,
            ..Capabilities::none("the embedded broker")
        }
    }

    pub(crate) async fn create_topic(
        self: &Arc<Self>,
        name: Topic,
        config: TopicConfig,
    ) -> Result<(), Error> {
        check_topic(&name)?;
        check_config(&name, &config)?;
        #[cfg(feature = "durable")]
        if self.store.is_some() {
            // In a task of its own: were it dropped halfway, the disk would know a topic that the broker does not.
            let shared = Arc::clone(self);
            let created = tokio::spawn(async move { shared.create(name, config).await });
            return created.await.unwrap_or(Err(Error::Closed { record: None }));
        }
        self.create(name, config).await
    }

    async fn create(&self, name: Topic, config: TopicConfig) -> Result<(), Error> {
        let _turn = self.creating.lock().await;
        self.open()?;
        let topics = self.topics();
        let known = topics.by_name.get(&name);
        if let Some(known) = known.filter(|known| known.count() != config.partitions) {
            return Err(Error::TopicExists {
                partitions: known.count(),
                topic: name,
            });
        }
        let id = known.map_or(topics.by_id.len(), |known| known.id as usize);
        let id = u32::try_from(id).map_err(|_too_many| Error::InvalidConfig {
            reason: "there are too many topics".into(),
        })?;
        #[cfg(feature = "durable")]
        if let Some(store) = &self.store {
            if let Some(known) = known {
                super::disk::refine(store, known, &config).await?;
            }
            super::disk::create_topic(store, id, &name, config).await?;
        }
        match known {
            Some(known) => known.configure(config),
            None => self.add_topic(TopicState::new(id, name, self.partitions(config))),
        }
        Ok(())
    }

    /// Has the disk forget what retention has removed.
    pub(crate) fn trim(&self, expired: Vec<(Place, u64)>) {
        #[cfg(feature = "durable")]
        if let Some(store) = &self.store {
            for (place, keep_from) in expired {
                super::disk::trim(store, place, keep_from);
            }
            return;
        }
        drop(expired);
    }

    pub(crate) fn add_topic(&self, topic: TopicState) {
        let mut topics = Topics::clone(&self.topics());
        topics.add(Arc::new(topic));
        let old = std::mem::replace(&mut *lock(&self.topics), Arc::new(topics));
        drop(old);
    }

    fn partitions(&self, config: TopicConfig) -> Box<[Partition]> {
        let log = || {
            #[cfg(feature = "durable")]
            if self.store.is_some() {
                return Log::on_disk(&config, 0, 0, std::collections::VecDeque::new());
            }
            Log::in_memory(&config)
        };
        (0..config.partitions)
            .map(|_| Partition::new(log(), config))
            .collect()
    }

    /// The group of this name, which comes into being where there is none.
    pub(crate) fn group(&self, name: &str) -> Arc<Coordinator> {
        let mut groups = lock(&self.groups);
        if let Some(known) = groups.get(name) {
            return Arc::clone(known);
        }
        let group = Arc::new(Coordinator::new(groups.len() as u64, name.into()));
        groups.insert(name.into(), Arc::clone(&group));
        group
    }
}
