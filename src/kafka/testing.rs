//! A cluster inside the process, for tests.
//!
//! [`Cluster`] is librdkafka's mock: brokers that listen on TCP and speak Kafka's protocol, with groups, and with faults on
//! demand. It keeps nothing, knows no times, and creates topics only by its own call.

use std::fmt;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use super::{Kafka, Options, fault};
use crate::broker::Error;

/// A cluster inside the process. It ends when the last handle of it, and of the [`Kafka`]s that it connected, is dropped.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use pushpull::broker::{Error, Producer, Record, TopicConfig};
/// use pushpull::kafka::{Options, testing::Cluster};
///
/// let cluster = Cluster::start(1).unwrap();
/// let kafka = cluster.connect(Options::new()).await.unwrap();
/// kafka.create_topic("orders", TopicConfig::partitions(4)).await.unwrap();
///
/// let position = kafka.producer().push(Record::new("orders", "two apples").partition(3)).await.unwrap();
/// assert_eq!((position.partition, position.offset), (3, 0));
/// let error = kafka.producer().push(Record::new("orders", "a pear").partition(4)).await.unwrap_err();
/// assert!(matches!(error, Error::UnknownPartition { partitions: 4, .. }));
/// # }
/// ```
#[derive(Clone)]
pub struct Cluster {
    mock: Mock,
    address: String,
}

impl Cluster {
    /// Starts this many brokers.
    ///
    /// # Errors
    /// What librdkafka says where it cannot.
    pub fn start(brokers: u16) -> Result<Self, Error> {
        let (tell, told) = mpsc::channel();
        let (orders, jobs) = mpsc::channel::<Job>();
        let worker = thread::Builder::new().name("pushpull-kafka-mock".into());
        let spawned = worker.spawn(move || {
            let cluster = match MockCluster::new(i32::from(brokers)) {
                Ok(cluster) => cluster,
                Err(error) => return drop(tell.send(Err(error))),
            };
            drop(tell.send(Ok(cluster.bootstrap_servers())));
            for job in jobs {
                job(&cluster);
            }
        });
        spawned.map_err(|error| fault::engine(STARTING, error))?;
        let address = told
            .recv()
            .map_err(|error| fault::engine(STARTING, error))?;
        Ok(Self {
            mock: Mock { orders },
            address: address.map_err(|error| fault::engine(STARTING, error))?,
        })
    }

    /// Where the brokers listen: the argument of [`Kafka::connect`].
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Connects to it. A group that comes into being waits for three seconds for others to join, and one that is joined for two
    /// and a half: `session.timeout.ms` is set to 3.5 seconds unless the options have it.
    ///
    /// In contrast to [`Kafka::connect`] with its [`address`](Self::address), topics can be created, and the
    /// capabilities are those of the mock.
    ///
    /// # Errors
    /// Those of [`Kafka::connect`].
    pub async fn connect(&self, options: Options) -> Result<Kafka, Error> {
        let options = match options.property("session.timeout.ms") {
            Some(_) => options,
            None => options.set("session.timeout.ms", SESSION),
        };
        Kafka::connect_to(self.address.clone(), options, Some(self.mock.clone())).await
    }

    /// Creates a topic.
    ///
    /// # Errors
    /// What the mock says, where there is one of that name for instance.
    pub fn create_topic(&self, name: &str, partitions: u32) -> Result<(), Error> {
        self.mock.create_topic(name, partitions)
    }

    /// Takes all brokers down: connections break, and no new ones are accepted.
    ///
    /// # Errors
    /// What the mock says.
    pub fn down(&self) -> Result<(), Error> {
        self.mock.order(|cluster| cluster.broker_down(ALL))
    }

    /// Brings all brokers back, with all they had.
    ///
    /// # Errors
    /// What the mock says.
    pub fn up(&self) -> Result<(), Error> {
        self.mock.order(|cluster| cluster.broker_up(ALL))
    }

    /// Lets every answer take this long.
    ///
    /// # Errors
    /// What the mock says.
    pub fn round_trip(&self, time: Duration) -> Result<(), Error> {
        self.mock
            .order(move |cluster| cluster.broker_round_trip_time(ALL, time))
    }

    /// Makes a broker (counted from 1) the leader of a partition.
    ///
    /// # Errors
    /// What the mock says.
    pub fn lead(&self, topic: &str, partition: u32, broker: u16) -> Result<(), Error> {
        let topic = topic.to_owned();
        let partition = i32::try_from(partition).unwrap_or(i32::MAX);
        self.mock
            .order(move |cluster| cluster.partition_leader(&topic, partition, Some(broker.into())))
    }

    /// Answers the next requests of this kind with these faults, one each.
    ///
    /// # Errors
    /// Where the mock has gone.
    pub fn fail(&self, request: Request, faults: &[Fault]) -> Result<(), Error> {
        let faults: Vec<_> = faults.iter().map(|fault| fault.code()).collect();
        self.mock.order(move |cluster| {
            cluster.request_errors(request.key(), &faults);
            Ok(())
        })
    }

    /// Takes back what [`fail`](Self::fail) has left for requests of this kind.
    ///
    /// # Errors
    /// Where the mock has gone.
    pub fn heal(&self, request: Request) -> Result<(), Error> {
        self.mock.order(move |cluster| {
            cluster.clear_request_errors(request.key());
            Ok(())
        })
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// What a client asks of a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Request {
    /// To store records.
    Produce,
    /// To hand out records.
    Fetch,
    /// What the first and the last offset of a partition are.
    ListOffsets,
    /// Which topics there are.
    Metadata,
    /// To keep how far a group has come.
    OffsetCommit,
    /// How far a group has come.
    OffsetFetch,
    /// Who looks after a group.
    FindCoordinator,
    /// To be a member of a group.
    JoinGroup,
    /// Who has which partitions.
    SyncGroup,
    /// To stay a member.
    Heartbeat,
    /// To give an idempotent producer its number.
    InitProducerId,
}

impl Request {
    const fn key(self) -> RDKafkaApiKey {
        match self {
            Self::Produce => RDKafkaApiKey::Produce,
            Self::Fetch => RDKafkaApiKey::Fetch,
            Self::ListOffsets => RDKafkaApiKey::ListOffsets,
            Self::Metadata => RDKafkaApiKey::Metadata,
            Self::OffsetCommit => RDKafkaApiKey::OffsetCommit,
            Self::OffsetFetch => RDKafkaApiKey::OffsetFetch,
            Self::FindCoordinator => RDKafkaApiKey::FindCoordinator,
            Self::JoinGroup => RDKafkaApiKey::JoinGroup,
            Self::SyncGroup => RDKafkaApiKey::SyncGroup,
            Self::Heartbeat => RDKafkaApiKey::Heartbeat,
            Self::InitProducerId => RDKafkaApiKey::InitProducerId,
        }
    }
}

/// What a broker answers instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Nothing: it breaks the connection.
    Disconnect,
    /// Somebody else leads the partition. Passes.
    NotLeader,
    /// It took too long. Passes.
    TimedOut,
    /// Too few replicas are in sync. Passes.
    NotEnoughReplicas,
    /// The group's coordinator is not there. Passes.
    NoCoordinator,
    /// The group is changing hands. Passes.
    Rebalancing,
    /// The group does not know this member any more.
    UnknownMember,
    /// A record is missing before this one. Fatal to an idempotent producer.
    OutOfOrder,
    /// The batch is too large.
    TooLarge,
    /// The topic is not for this user.
    TopicForbidden,
    /// The group is not for this user.
    GroupForbidden,
    /// The cluster is not for this user.
    ClusterForbidden,
}

impl Fault {
    const fn code(self) -> RDKafkaRespErr {
        use RDKafkaRespErr as Code;
        match self {
            Self::Disconnect => Code::RD_KAFKA_RESP_ERR__TRANSPORT,
            Self::NotLeader => Code::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
            Self::TimedOut => Code::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
            Self::NotEnoughReplicas => Code::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
            Self::NoCoordinator => Code::RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE,
            Self::Rebalancing => Code::RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS,
            Self::UnknownMember => Code::RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID,
            Self::OutOfOrder => Code::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER,
            Self::TooLarge => Code::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE,
            Self::TopicForbidden => Code::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
            Self::GroupForbidden => Code::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED,
            Self::ClusterForbidden => Code::RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED,
        }
    }
}

/// A second less is how long the mock waits for all to join again, and less than three is less than it waits for the first.
const SESSION: &str = "3500";
const STARTING: &str = "starting a cluster for tests";
/// The number that stands for every broker.
const ALL: i32 = -1;

type Mocked = MockCluster<'static, DefaultProducerContext>;
type Job = Box<dyn FnOnce(&Mocked) + Send>;

/// The mock stays on its thread, which does what it is told.
#[derive(Clone)]
pub(super) struct Mock {
    orders: mpsc::Sender<Job>,
}

impl Mock {
    fn order(
        &self,
        job: impl FnOnce(&Mocked) -> KafkaResult<()> + Send + 'static,
    ) -> Result<(), Error> {
        let (tell, told) = mpsc::channel();
        let job: Job = Box::new(move |cluster| drop(tell.send(job(cluster))));
        let gone = || fault::because(ORDERING, "its thread has gone");
        self.orders.send(job).map_err(|_| gone())?;
        let done = told.recv().map_err(|_| gone())?;
        done.map_err(|error: KafkaError| fault::engine(ORDERING, error))
    }

    pub(super) fn create_topic(&self, name: &str, partitions: u32) -> Result<(), Error> {
        let name = name.to_owned();
        let partitions = i32::try_from(partitions).unwrap_or(i32::MAX);
        self.order(move |cluster| cluster.create_topic(&name, partitions, 1))
    }
}

const ORDERING: &str = "telling the cluster for tests";
