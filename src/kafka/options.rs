//! How to connect.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;

use super::fault;
use crate::broker::Error;
use crate::meter::EngineMeter;

/// Properties that follow from what this crate promises, and why they cannot be set.
const OWNED: &[(&[&str], &str)] = &[
    (
        &["bootstrap.servers", "metadata.broker.list"],
        "the brokers are an argument of `Kafka::connect`",
    ),
    (
        &["group.id", "auto.offset.reset"],
        "it comes from the `ConsumerConfig`",
    ),
    (
        &[
            "enable.auto.commit",
            "auto.commit.enable",
            "auto.commit.interval.ms",
            "enable.auto.offset.store",
            "offset.store.method",
        ],
        "offsets are committed when deliveries are acknowledged",
    ),
    (
        &[
            "partition.assignment.strategy",
            "group.protocol",
            "group.remote.assignor",
            "group.instance.id",
            "max.poll.interval.ms",
            "enable.partition.eof",
        ],
        "how a member takes and hands over partitions is this crate's own",
    ),
    (
        &[
            "enable.idempotence",
            "acks",
            "request.required.acks",
            "enable.gapless.guarantee",
            "transactional.id",
            "delivery.report.only.error",
        ],
        "a push is acknowledged when all replicas in sync have it, once and in order",
    ),
    (
        &["partitioner"],
        "a key has the same partition on every engine",
    ),
    (
        &[
            "message.timeout.ms",
            "delivery.timeout.ms",
            "statistics.interval.ms",
        ],
        "use `request_timeout` and `statistics_every` of the options",
    ),
    (
        &["allow.auto.create.topics"],
        "topics are created by `Kafka::create_topic`",
    ),
    (
        &["test.mock.num.brokers"],
        "each client would have brokers of its own: use `kafka::testing::Cluster`",
    ),
];

/// The largest record that a producer takes where nobody said otherwise. What a topic takes is for its brokers to say.
const MAX_MESSAGE: &str = "16777216";

/// How to connect to a cluster, and how to treat it.
///
/// A cluster that wants a certificate of its clients, or a name and a password, over TLS; with the feature `kafka-tls`:
///
/// ```no_run
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), pushpull::broker::Error> {
/// use std::time::Duration;
/// use pushpull::kafka::{Kafka, Options};
///
/// let by_certificate = Options::new()
///     .set("security.protocol", "ssl")
///     .set("ssl.ca.location", "/etc/kafka/ca.pem")
///     .set("ssl.certificate.location", "/etc/kafka/billing.pem")
///     .set("ssl.key.location", "/etc/kafka/billing.key");
/// let kafka = Kafka::connect("one.example.org:9093,two.example.org:9093", by_certificate).await?;
///
/// let by_password = Options::new()
///     .set("security.protocol", "sasl_ssl")
///     .set("sasl.mechanisms", "SCRAM-SHA-512")
///     .set("sasl.username", "billing")
///     .set("sasl.password", "secret")
///     .replicas(3)
///     .request_timeout(Duration::from_secs(10));
/// assert!(!format!("{by_password:?}").contains("secret"));
/// let kafka = Kafka::connect("one.example.org:9094", by_password).await?;
/// # Ok(()) }
/// ```
///
/// Options that contradict what this crate promises are refused, before anything is sent:
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use pushpull::kafka::{Kafka, Options};
///
/// let error = Kafka::connect("localhost:9092", Options::new().set("acks", "1")).await.unwrap_err();
/// assert!(error.to_string().starts_with("the property `acks` cannot be set"));
/// # }
/// ```
#[derive(Clone)]
pub struct Options {
    properties: Vec<(String, String)>,
    pub(super) replicas: Option<u16>,
    pub(super) request_timeout: Duration,
    statistics_every: Option<Duration>,
}

impl Options {
    /// Those that suit a cluster without authentication.
    pub const fn new() -> Self {
        Self {
            properties: Vec::new(),
            replicas: None,
            request_timeout: Duration::from_secs(30),
            statistics_every: None,
        }
    }

    /// Sets a property of librdkafka, by the name that its documentation gives it.
    ///
    /// Those that this crate's promises rest upon cannot be set: [`connect`](super::Kafka::connect) refuses them, and says
    /// why. It also refuses those that librdkafka does not know, or was built without.
    #[must_use]
    pub fn set(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.properties.push((name.into(), value.into()));
        self
    }

    /// How many brokers keep each record of the topics that are created. What the cluster has as its default unless told
    /// otherwise.
    #[must_use]
    pub const fn replicas(mut self, replicas: u16) -> Self {
        self.replicas = Some(replicas);
        self
    }

    /// How long to wait for an answer of the cluster: to connect, to learn about topics and offsets, and for a push to be
    /// acknowledged, with all that is tried again meanwhile. 30 s unless told otherwise.
    #[must_use]
    pub const fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// How often the client's statistics go into the [meter](crate::meter): see
    /// [`EngineStats`](crate::meter::EngineStats). Never unless told so.
    #[must_use]
    pub const fn statistics_every(mut self, interval: Duration) -> Self {
        self.statistics_every = Some(interval);
        self
    }

    /// The value that a property was given.
    pub(super) fn property(&self, name: &str) -> Option<&str> {
        self.properties
            .iter()
            .rev()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// Whether all this can be.
    pub(super) fn check(&self) -> Result<(), Error> {
        for (name, _) in &self.properties {
            let owned = OWNED
                .iter()
                .find(|(names, _)| names.contains(&name.as_str()));
            if let Some((_, reason)) = owned {
                return Err(fault::invalid(format!(
                    "the property `{name}` cannot be set: {reason}"
                )));
            }
        }
        if self.request_timeout.is_zero() {
            return Err(fault::invalid(
                "`request_timeout` is 0: no broker is that quick",
            ));
        }
        if self.replicas == Some(0) {
            return Err(fault::invalid("`replicas` is 0: nothing would be kept"));
        }
        Ok(())
    }

    /// What every client has in common.
    pub(super) fn client(&self, brokers: &str) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("client.id", "pushpull");
        config.set("bootstrap.servers", brokers);
        // A socket that broke is no news: what follows from it is.
        config.set("log.connection.close", "false");
        for (name, value) in &self.properties {
            config.set(name, value);
        }
        config
    }

    /// A place in the meter for a client, if clients are to be seen there.
    pub(super) fn meter(&self, name: &str) -> Option<Arc<EngineMeter>> {
        self.statistics_every.map(|_| EngineMeter::new(name))
    }

    /// What a client has that is to be seen in the meter.
    pub(super) fn measured(&self, config: &mut ClientConfig) {
        if let Some(every) = self.statistics_every {
            config.set("statistics.interval.ms", millis(every, 1, 86_400_000));
        }
    }

    /// What a producer has beyond that.
    pub(super) fn producer(&self, brokers: &str) -> ClientConfig {
        let mut config = self.client(brokers);
        if self.property("message.max.bytes").is_none() {
            config.set("message.max.bytes", MAX_MESSAGE);
        }
        config.set("enable.idempotence", "true");
        config.set("acks", "all");
        config.set("partitioner", "murmur2_random");
        config.set(
            "message.timeout.ms",
            millis(self.request_timeout, 1, 2_147_483_647),
        );
        self.measured(&mut config);
        config
    }

    /// The largest record that a producer takes.
    pub(super) fn max_message(&self) -> usize {
        self.property("message.max.bytes")
            .unwrap_or(MAX_MESSAGE)
            .parse()
            .unwrap_or(usize::MAX)
    }
}

/// A duration as librdkafka wants it, within bounds.
pub(super) fn millis(duration: Duration, least: u128, most: u128) -> String {
    duration.as_millis().clamp(least, most).to_string()
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

/// Names of properties only: values may be secrets.
impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.properties.iter().map(|(name, _)| name).collect();
        f.debug_struct("Options")
            .field("properties", &names)
            .field("replicas", &self.replicas)
            .field("request_timeout", &self.request_timeout)
            .field("statistics_every", &self.statistics_every)
            .finish()
    }
}
