//! What names and settings make sense; the same for every engine.

use super::{ConsumerConfig, Error, Topic, TopicConfig};

/// The longest name that a topic or a group can have, in bytes. Kafka's bound.
const MAX_NAME: usize = 249;

/// The most partitions that a topic can have: each costs memory, whether it is used or not.
const MAX_PARTITIONS: u32 = 65_536;

/// Names as they are given.
pub(crate) fn names<I>(topics: I) -> Vec<Topic>
where
    I: IntoIterator,
    I::Item: AsRef<str>,
{
    topics
        .into_iter()
        .map(|name| Topic::from(name.as_ref()))
        .collect()
}

/// Whether a topic can have this name.
pub(crate) fn check_topic(name: &str) -> Result<(), Error> {
    fault(name).map_or(Ok(()), |reason| {
        Err(Error::InvalidTopic {
            topic: name.into(),
            reason,
            record: None,
        })
    })
}

/// Whether a group can have this name.
pub(crate) fn check_group(name: &str) -> Result<(), Error> {
    fault(name).map_or(Ok(()), |reason| {
        Err(Error::InvalidGroup {
            group: name.into(),
            reason,
        })
    })
}

fn fault(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        Some("it is empty")
    } else if name.len() > MAX_NAME {
        Some("it is longer than 249 bytes")
    } else if name.chars().any(char::is_control) {
        Some("it has control characters in it")
    } else {
        None
    }
}

/// Whether a topic can be kept in this way.
pub(crate) fn check_config(name: &str, config: &TopicConfig) -> Result<(), Error> {
    let reason = if config.partitions == 0 {
        "has no partitions: give it one at least"
    } else if config.partitions > MAX_PARTITIONS {
        "has too many partitions: 65536 at the most"
    } else if config.max_records == Some(0) || config.max_bytes == Some(0) {
        "would keep nothing: `retain_records` and `retain_bytes` are 1 at least"
    } else if config.max_age.is_some_and(|age| age.is_zero()) {
        "would keep nothing: `retain_for` is longer than nothing"
    } else {
        return Ok(());
    };
    Err(Error::InvalidConfig {
        reason: format!("topic `{name}` {reason}"),
    })
}

/// Whether a group can be read in this way.
pub(crate) fn check_consumer(config: &ConsumerConfig) -> Result<(), Error> {
    check_group(&config.group)?;
    if config.max_in_flight == 0 {
        return Err(invalid("`max_in_flight` is 0: nothing could be delivered"));
    }
    if config.max_attempts == Some(0) {
        return Err(invalid("`max_attempts` is 0: nothing could be delivered"));
    }
    if config.session_timeout.is_zero() {
        return Err(invalid(
            "`session_timeout` is 0: a member would lose everything between two calls",
        ));
    }
    Ok(())
}

/// Whether these topics can be read by a consumer with these settings.
pub(crate) fn check_topics(
    config: &ConsumerConfig,
    reads: impl FnOnce(&Topic) -> bool,
) -> Result<(), Error> {
    if config.dead_letter.as_ref().is_some_and(reads) {
        return Err(invalid(
            "a consumer cannot read the topic that it puts its own dead letters into: they would go round for ever",
        ));
    }
    Ok(())
}

fn invalid(reason: &str) -> Error {
    Error::InvalidConfig {
        reason: reason.into(),
    }
}
