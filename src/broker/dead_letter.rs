//! What a dead letter says of where it comes from.

use std::time::Duration;

use super::group::GivenUp;
use super::{Position, Record, Topic};

/// How long after a failure the dead-letter topic is tried again.
pub(crate) const AGAIN: Duration = Duration::from_secs(1);

/// The record as it goes to the dead-letter topic.
pub(crate) fn dead_letter(
    record: Record,
    to: Topic,
    position: &Position,
    group: &str,
    given_up: &GivenUp,
) -> Record {
    let mut record = record
        .header("dead-letter-topic", position.topic.to_string())
        .header("dead-letter-partition", position.partition.to_string())
        .header("dead-letter-offset", position.offset.to_string())
        .header("dead-letter-group", group.to_owned())
        .header("dead-letter-attempts", given_up.attempts.to_string())
        .header("dead-letter-reason", given_up.reason.clone());
    record.topic = to;
    record.partition = None;
    record
}
