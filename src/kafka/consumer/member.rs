//! A member of a group, as its seat sees it.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::util::Timeout;
use tokio::sync::{oneshot, watch};

use super::driver;
use super::link::{Link, Order};
use super::says::Says;
use super::starts;
use crate::broker::remote::{Engine, Place, Seat};
use crate::broker::{Capabilities, ConsumerConfig, Error, Record, Start, Topic, TopicConfig};
use crate::kafka::options::millis;
use crate::kafka::shared::{Shared, apart};
use crate::kafka::{Producer, fault};
use crate::sync::{Mutex, lock};

/// How long a change of the subscription waits for its first assignment. Groups that come into being are given three seconds
/// by their brokers, for others to join.
const SETTLING: Duration = Duration::from_secs(6);

/// The longest session. With the patience of a handover it is still within what brokers take.
const LONGEST: Duration = Duration::from_secs(8 * 3600);

pub(crate) struct Member {
    shared: Arc<Shared>,
    config: ConsumerConfig,
    pub(super) link: Arc<Link>,
    running: Mutex<Option<Running>>,
}

/// The thread.
struct Running {
    client: Weak<BaseConsumer<Says>>,
    /// Says how it ended, when it has.
    ended: watch::Receiver<Option<Result<(), Error>>>,
}

impl Member {
    pub(super) fn new(shared: Arc<Shared>, config: &ConsumerConfig) -> Self {
        Self {
            shared,
            config: config.clone(),
            link: Arc::new(Link::default()),
            running: Mutex::new(None),
        }
    }

    pub(super) fn timeout(&self) -> Duration {
        self.shared.options.request_timeout
    }

    /// How long a partition that is to be given up may keep what is in hand.
    pub(super) fn patience(&self) -> Duration {
        self.config.ack_wait.min(self.session())
    }

    fn session(&self) -> Duration {
        self.config.session_timeout.min(LONGEST)
    }

    fn client(&self) -> ClientConfig {
        let options = &self.shared.options;
        let session = self.session();
        let mut config = options.client(&self.shared.brokers);
        config.set("group.id", &self.config.group);
        config.set("enable.auto.commit", "false");
        config.set("enable.auto.offset.store", "false");
        config.set("partition.assignment.strategy", "range");
        // Where a partition is to be read from is decided here.
        config.set("auto.offset.reset", "error");
        // Brokers take no less, and no more, unless they are told otherwise. Who stalls is found out by the seat, sooner.
        if options.property("session.timeout.ms").is_none() {
            config.set("session.timeout.ms", millis(session, 6_000, 1_800_000));
        }
        if options.property("heartbeat.interval.ms").is_none() {
            config.set("heartbeat.interval.ms", millis(session / 4, 500, 3_000));
        }
        // The thread polls for ever: this is a backstop.
        let backstop = session.saturating_add(self.patience()) + Duration::from_secs(60);
        let least = 2 * 3_600_000;
        config.set("max.poll.interval.ms", millis(backstop, least, 86_400_000));
        options.measured(&mut config);
        config
    }

    /// Starts the thread where there is none.
    fn start(&self, seat: &Arc<Seat<Self>>) -> Result<(), Error> {
        self.shared.open()?;
        let mut running = lock(&self.running);
        if running.is_some() {
            return Ok(());
        }
        let name = format!("kafka {}", self.config.group);
        let meter = self.shared.options.meter(&name);
        let says = Says::new(Arc::clone(&self.link), meter);
        let mut client: BaseConsumer<Says> = self
            .client()
            .create_with_context(says)
            .map_err(fault::unmade)?;
        let link = Arc::clone(&self.link);
        client.set_nonempty_callback(move || link.ring());
        let client = Arc::new(client);
        let weak = Arc::downgrade(&client);
        let (tell, ended) = watch::channel(None);
        driver::start(Arc::clone(seat), client, tell)?;
        *running = Some(Running {
            client: weak,
            ended,
        });
        Ok(())
    }

    fn running(&self) -> Option<Arc<BaseConsumer<Says>>> {
        lock(&self.running).as_ref()?.client.upgrade()
    }

    /// Tells the thread something, and waits for its reply.
    async fn told(
        &self,
        order: impl FnOnce(oneshot::Sender<Result<(), Error>>) -> Order,
    ) -> Result<(), Error> {
        let (reply, told) = oneshot::channel();
        self.link.order(order(reply));
        told.await.unwrap_or_else(|_| Err(fault::closed()))
    }
}

impl Engine for Member {
    type Ticket = ();
    const SINGLE: bool = false;

    fn capabilities(&self) -> Capabilities {
        self.shared.capabilities()
    }

    async fn partitions(&self, topic: &Topic) -> Result<u32, Error> {
        // Their number may have grown.
        let known = self.shared.look_up(topic).await?;
        Ok(known.partitions)
    }

    async fn prepare(&self, dead_letter: &Topic) -> Result<(), Error> {
        match self.shared.find(dead_letter).await {
            Err(Error::UnknownTopic { .. }) => {}
            found => return found.map(|_known| ()),
        }
        // Whatever a topic took, and the headers that are added.
        let one = TopicConfig::partitions(1).max_record_bytes(usize::MAX);
        match self.shared.create_topic(dead_letter.clone(), one).await {
            // Somebody else has created it meanwhile, with more partitions.
            Err(Error::TopicExists { .. }) => Ok(()),
            created => created,
        }
    }

    async fn subscribe(
        &self,
        seat: &Arc<Seat<Self>>,
        topics: BTreeMap<Topic, u32>,
    ) -> Result<(), Error> {
        if topics.is_empty() && lock(&self.running).is_none() {
            return Ok(());
        }
        self.start(seat)?;
        let names = topics.keys().map(ToString::to_string).collect();
        let settled = self.told(|reply| Order::Subscribe(names, reply));
        match tokio::time::timeout(SETTLING, settled).await {
            Ok(settled) => settled,
            // It goes on in the background.
            Err(_) => Ok(()),
        }
    }

    async fn resolve(&self, topic: &Topic, partition: u32, start: Start) -> Result<u64, Error> {
        if matches!(start, Start::Time(_)) && !self.capabilities().seek_time {
            return Err(fault::unsupported("seek to a time"));
        }
        let name = topic.clone();
        let found = self.shared.ask("asking for offsets", move |client, left| {
            starts::find(client, &name, partition, start, left)
        });
        found.await?.strictly(topic, partition, start)
    }

    fn seek(&self, place: Place, to: u64, epoch: u64) {
        self.link.order(Order::Seek { place, to, epoch });
    }

    fn nudge(&self) {
        self.link.nudge();
    }

    async fn stored(&self) -> Result<(), Error> {
        if lock(&self.running).is_none() {
            return Ok(());
        }
        self.told(Order::Store).await
    }

    async fn committed(&self, topic: &Topic, partition: u32) -> Result<Option<u64>, Error> {
        let Some(client) = self.running() else {
            return Ok(None);
        };
        let name = topic.clone();
        let timeout = Timeout::After(self.timeout());
        apart(move || {
            let found = committed(&client, &[(name, partition)], timeout)
                .map_err(|error| fault::engine("asking for a committed offset", error))?;
            Ok(found.into_iter().next().flatten())
        })
        .await
    }

    async fn lag(&self, topic: &Topic, partition: u32, low: Option<u64>) -> Result<u64, Error> {
        let low = match low {
            Some(low) => Some(low),
            None => self.committed(topic, partition).await?,
        };
        let start = low.map_or(self.config.start, Start::Offset);
        let name = topic.clone();
        let found = self.shared.ask("asking for offsets", move |client, left| {
            starts::find(client, &name, partition, start, left)
        });
        let found = found.await?;
        Ok(found.next - found.nearly())
    }

    async fn bury(&self, record: Record) -> Result<(), Error> {
        let producer = Producer::new(Arc::clone(&self.shared));
        crate::broker::Producer::push(&producer, record).await?;
        Ok(())
    }

    async fn leave(&self) -> Result<(), Error> {
        let ended = lock(&self.running).as_ref().map(|it| it.ended.clone());
        let Some(mut ended) = ended else {
            return Ok(());
        };
        let how = ended.wait_for(Option::is_some).await;
        how.ok().and_then(|how| how.clone()).unwrap_or(Ok(()))
    }
}

/// The group's committed offsets in these partitions.
pub(super) fn committed(
    client: &BaseConsumer<Says>,
    places: &[(Topic, u32)],
    timeout: Timeout,
) -> rdkafka::error::KafkaResult<Vec<Option<u64>>> {
    let mut list = TopicPartitionList::with_capacity(places.len());
    for (topic, partition) in places {
        list.add_partition(topic, i32::try_from(*partition).unwrap_or(i32::MAX));
    }
    let list = client.committed_offsets(list, timeout)?;
    let offsets = list.elements().into_iter().map(|it| {
        it.error()?;
        Ok(match it.offset() {
            Offset::Offset(offset) => u64::try_from(offset).ok(),
            _ => None,
        })
    });
    offsets.collect()
}
