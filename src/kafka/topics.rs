//! Creating topics, and listing them.

use std::pin::pin;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::util::Timeout;

use super::fault;
use super::shared::{Shared, apart};
use crate::block::block_on;
use crate::broker::{Error, Topic, TopicConfig, WhenFull};

/// The longest name that a topic can have.
const MAX_NAME: usize = 249;
/// What a batch has beside its records, and a record beside what counts for its size.
const ENVELOPE: usize = 1024;
/// What brokers take as one batch where nobody said otherwise. Batches have many records, so no topic gets less.
const BATCH: usize = 1_048_588;

/// Whether a topic can have this name.
pub(super) fn check_name(name: &str) -> Result<(), Error> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let reason = if name.is_empty() {
        "it is empty"
    } else if name.len() > MAX_NAME {
        "it is longer than 249 bytes"
    } else if name == "." || name == ".." {
        "Kafka keeps `.` and `..` for itself"
    } else if !name.chars().all(legal) {
        "Kafka takes ASCII letters, digits, `.`, `_` and `-` only"
    } else {
        return Ok(());
    };
    Err(Error::InvalidTopic {
        topic: name.into(),
        reason,
        record: None,
    })
}

/// Whether Kafka can keep a topic in this way.
fn check_config(name: &str, config: &TopicConfig) -> Result<(), Error> {
    crate::broker::check::check_config(name, config)?;
    if config.max_records.is_some() {
        return Err(fault::unsupported(
            "bound a topic by the number of its records; see `retain_bytes` and `retain_for`",
        ));
    }
    match config.when_full {
        WhenFull::DropOldest => Ok(()),
        WhenFull::Wait => Err(fault::unsupported("make producers wait for a full topic")),
        WhenFull::Reject => Err(fault::unsupported("refuse pushes into a full topic")),
    }
}

impl Shared {
    pub(super) async fn create_topic(&self, name: Topic, config: TopicConfig) -> Result<(), Error> {
        self.open()?;
        check_name(&name)?;
        check_config(&name, &config)?;
        match self.look_up(&name).await {
            Ok(known) => return self.existing(&name, known.partitions, &config),
            Err(Error::UnknownTopic { .. }) => {}
            Err(error) => return Err(error),
        }
        match &self.mock {
            Some(_) if config.max_bytes.is_some() || config.max_age.is_some() => {
                return Err(fault::unsupported(
                    "remove records: a mock cluster keeps everything",
                ));
            }
            Some(mock) => {
                if let Err(error) = mock.create_topic(&name, config.partitions) {
                    // Somebody else may have been quicker.
                    self.look_up(&name).await.map_err(|_unknown| error)?;
                }
            }
            None => self.create(&name, &config).await?,
        }
        self.appeared(&name, &config).await
    }

    fn existing(&self, name: &Topic, partitions: u32, config: &TopicConfig) -> Result<(), Error> {
        if partitions != config.partitions {
            return Err(Error::TopicExists {
                topic: name.clone(),
                partitions,
            });
        }
        self.remember(name, partitions, Some(config.max_record_bytes));
        Ok(())
    }

    /// Has the cluster create it.
    async fn create(&self, name: &Topic, config: &TopicConfig) -> Result<(), Error> {
        let client = self.options.client(&self.brokers);
        let timeout = self.options.request_timeout;
        let replicas = self.options.replicas.map_or(-1, i32::from);
        let settings = settings(config);
        let partitions = i32::try_from(config.partitions).unwrap_or(i32::MAX);
        let topic = name.clone();
        apart(move || {
            let admin: AdminClient<DefaultClientContext> =
                client.create().map_err(fault::unmade)?;
            let mut new = NewTopic::new(&topic, partitions, TopicReplication::Fixed(replicas));
            for (key, value) in &settings {
                new = new.set(key, value);
            }
            let options = AdminOptions::new()
                .request_timeout(Some(Timeout::After(timeout)))
                .operation_timeout(Some(Timeout::After(timeout)));
            let mut creating = pin!(admin.create_topics([&new], &options));
            let created = block_on(|cx| creating.as_mut().poll(cx));
            let created = created.map_err(|error| fault::engine(CREATING, error))?;
            match created.into_iter().next() {
                Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) | Some(Ok(_)) => Ok(()),
                Some(Err((_, code))) => Err(fault::engine(CREATING, code)),
                None => Err(fault::because(
                    CREATING,
                    "the cluster said nothing about it",
                )),
            }
        })
        .await
    }

    /// Waits until all of the cluster knows a topic that was created.
    async fn appeared(&self, name: &Topic, config: &TopicConfig) -> Result<(), Error> {
        let until = Instant::now() + self.options.request_timeout;
        loop {
            match self.look_up(name).await {
                Ok(known) => return self.existing(name, known.partitions, config),
                Err(Error::UnknownTopic { .. }) if Instant::now() < until => {}
                Err(error) => return Err(error),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(super) async fn names(&self) -> Result<Vec<Topic>, Error> {
        self.open()?;
        self.ask("asking for topics", |client, left| {
            let metadata = client.fetch_metadata(None, left)?;
            let mut names: Vec<_> = metadata
                .topics()
                .iter()
                .filter(|topic| topic.error().is_none() && !topic.name().starts_with("__"))
                .map(|topic| Topic::from(topic.name()))
                .collect();
            names.sort_unstable();
            Ok(names)
        })
        .await
    }
}

const CREATING: &str = "creating a topic";

/// A topic's configuration in Kafka's words.
fn settings(config: &TopicConfig) -> Vec<(&'static str, String)> {
    let largest = config.max_record_bytes.saturating_add(ENVELOPE).max(BATCH);
    let largest = i32::try_from(largest).unwrap_or(i32::MAX);
    let mut settings = vec![
        ("cleanup.policy", "delete".to_owned()),
        ("max.message.bytes", largest.to_string()),
    ];
    let forever = || "-1".to_owned();
    let age = config.max_age.map(|age| {
        i64::try_from(age.as_millis().max(1)).map_or_else(|_| forever(), |age| age.to_string())
    });
    settings.push(("retention.ms", age.unwrap_or_else(forever)));
    let bytes = config
        .max_bytes
        .map(|bytes| i64::try_from(bytes).map_or_else(|_| forever(), |bytes| bytes.to_string()));
    settings.push(("retention.bytes", bytes.unwrap_or_else(forever)));
    settings
}
