//! The durable that the server keeps for a group and a partition, and what is asked of it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, Info, pull};
use async_nats::jetstream::context::ConsumerInfoErrorKind;
use async_nats::jetstream::stream::RawMessageErrorKind;
use bytes::Bytes;
use tokio::time::{Instant, sleep, timeout};

use crate::broker::{Error, Start};
use crate::nats::connection::Connection;
use crate::nats::lease::Note;
use crate::nats::lease::wire::token;
use crate::nats::topic::TopicState;
use crate::nats::trouble::engine_error;

use super::passes::is_unknown;
use super::reply;

/// Between two looks at what the server knows.
const LOOK: Duration = Duration::from_millis(20);
/// Deliver it again at once, or in an hour.
const AGAIN: &[u8] = b"-NAK";
const LATER: &[u8] = b"-NAK {\"delay\":3600000000000}";
/// More is not asked for one by one.
const MANY: u64 = 100_000;
/// By how much less the server may count than it has delivered. It counts one down whenever it has something to deliver again to
/// somebody who has stopped listening: what it delivered last is then neither counted nor gone from the queue.
const MISCOUNT: u64 = 64;
/// Times beyond can be neither told nor reached: two hundred years.
const FAR: Duration = Duration::from_secs(200 * 365 * 24 * 60 * 60);

/// A group's durable in one partition.
#[derive(Clone, Debug)]
pub(super) struct Durable {
    pub(super) stream: String,
    pub(super) name: String,
    pub(super) subject: String,
    pub(super) ack_wait: Duration,
}

/// Where a group stands in a partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Stand {
    /// Where reading goes on.
    pub(super) start: u64,
    pub(super) committed: Option<u64>,
}

impl Durable {
    pub(super) fn new(
        topic: &TopicState,
        partition: u32,
        group: &str,
        session_timeout: Duration,
    ) -> Result<Self, Error> {
        Ok(Self {
            stream: topic.stream.clone(),
            name: format!("{}-{partition}", token(group)),
            subject: subject(topic, partition)?.into(),
            ack_wait: ack_wait(session_timeout),
        })
    }

    fn config(&self, start: u64) -> pull::Config {
        pull::Config {
            durable_name: Some(self.name.clone()),
            filter_subject: self.subject.clone(),
            deliver_policy: DeliverPolicy::ByStartSequence {
                start_sequence: start.max(1),
            },
            ack_policy: AckPolicy::Explicit,
            ack_wait: self.ack_wait,
            max_deliver: -1,
            // What is asked for bounds what is out. With a bound here, the server would fall silent.
            max_ack_pending: -1,
            ..pull::Config::default()
        }
    }

    /// What the server knows of it. `None`: there is none.
    pub(super) async fn info(&self, connection: &Connection) -> Result<Option<Info>, Error> {
        const ACTION: &str = "asking for the state of a group";
        let stream = connection.context.get_stream_no_info(&self.stream).await;
        let stream = stream.map_err(|error| engine_error(ACTION, error))?;
        let request = || stream.consumer_info(&self.name);
        match connection.request(ACTION, request).await? {
            Ok(info) => Ok(Some(info)),
            Err(error) if error.kind() == ConsumerInfoErrorKind::NotFound => Ok(None),
            Err(error) => Err(engine_error(ACTION, error)),
        }
    }

    /// Makes it, to begin there.
    pub(super) async fn create(&self, connection: &Connection, start: u64) -> Result<(), Error> {
        const ACTION: &str = "making a durable for a group";
        self.put(connection, ACTION, self.config(start)).await
    }

    async fn put(
        &self,
        connection: &Connection,
        action: &'static str,
        config: pull::Config,
    ) -> Result<(), Error> {
        let context = &connection.context;
        let request = || context.create_consumer_on_stream(config.clone(), &self.stream);
        let made = connection.request(action, request).await?;
        made.map(|_durable| ())
            .map_err(|error| engine_error(action, error))
    }

    /// Gives one that exists the settings of this member, where they differ.
    pub(super) async fn adapt(&self, connection: &Connection, info: &Info) -> Result<(), Error> {
        const ACTION: &str = "changing the settings of a group";
        if info.config.ack_wait == self.ack_wait && info.config.max_ack_pending == -1 {
            return Ok(());
        }
        let mut config = self.config(1);
        config.deliver_policy = info.config.deliver_policy;
        self.put(connection, ACTION, config).await
    }

    pub(super) async fn delete(&self, connection: &Connection) -> Result<(), Error> {
        const ACTION: &str = "moving a group elsewhere";
        let context = &connection.context;
        let request = || context.delete_consumer_from_stream(&self.name, &self.stream);
        match connection.request(ACTION, request).await? {
            Ok(_) => Ok(()),
            Err(error) if is_unknown(&error) => Ok(()),
            // A server that stumbles over its own files has deleted it nevertheless.
            Err(error) => match self.info(connection).await? {
                None => Ok(()),
                Some(_) => Err(engine_error(ACTION, error)),
            },
        }
    }

    /// What the server knows of it, once the requests of those who had it before are forgotten. Until then, records that come
    /// back could go to them, or out of order.
    pub(super) async fn quiet_info(
        &self,
        connection: &Connection,
        within: Duration,
    ) -> Result<Option<Info>, Error> {
        let end = Instant::now() + within;
        loop {
            let info = self.info(connection).await?;
            let busy = info.as_ref().is_some_and(|info| info.num_waiting > 0);
            if !busy || Instant::now() >= end {
                return Ok(info);
            }
            sleep(LOOK).await;
        }
    }

    /// Has the server deliver again what it delivered to somebody else and had no answer to: all of it before anything new, in
    /// its order. `false`: that did not work.
    pub(super) async fn recall(
        &self,
        connection: &Connection,
        info: &Info,
        keep: impl Fn(u64) -> bool,
    ) -> Result<bool, Error> {
        const ACTION: &str = "taking over what a group had not acknowledged";
        if info.num_ack_pending == 0 {
            return Ok(true);
        }
        let from = info.ack_floor.stream_sequence + 1;
        // What was not delivered is none of the durable's to deliver again, and is passed over.
        let to = info.delivered.stream_sequence + MISCOUNT;
        let delivery = info.delivered.consumer_sequence;
        if to < from || to - from > MANY {
            return Ok(false);
        }
        let subject = |offset| reply::of(&self.stream, &self.name, offset, delivery);
        let lost = || (from..=to).filter(|&offset| !keep(offset));
        let Some(last) = lost().last() else {
            return Ok(true);
        };
        let client = &connection.client;
        // What is queued to be delivered again keeps its place there. It loses it when it is to wait, and then all of it is
        // queued anew, in its order.
        for payload in [LATER, AGAIN] {
            for offset in lost() {
                let sent = client.publish(subject(offset), Bytes::from_static(payload));
                sent.await.map_err(|error| engine_error(ACTION, error))?;
            }
        }
        // The server takes them in their order: with its answer to one more, it has all.
        let within = connection.options.request_timeout;
        let answer = client.request(subject(last), Bytes::from_static(AGAIN));
        Ok(matches!(timeout(within, answer).await, Ok(Ok(_))))
    }

    /// Where the group stands by what the server knows and what was noted.
    pub(super) fn stand(info: &Info, note: &Note) -> Stand {
        let begun = info.ack_floor.consumer_sequence > 0;
        let start = info.ack_floor.stream_sequence + 1;
        Stand {
            start,
            committed: if begun { Some(start) } else { note.committed },
        }
    }
}

/// For how long the server waits for an answer. Only what gets lost on the way waits for that: what is held is renewed well
/// within it, and a new owner asks for what the last one had.
fn ack_wait(session_timeout: Duration) -> Duration {
    session_timeout.clamp(Duration::from_secs(10), Duration::from_secs(3600))
}

fn subject(topic: &TopicState, partition: u32) -> Result<&str, Error> {
    topic.check(partition)?;
    Ok(&topic.subjects[partition as usize])
}

/// The first offset of a partition that is retained, and the next one that can be written.
pub(super) async fn range(
    connection: &Connection,
    topic: &TopicState,
    partition: u32,
) -> Result<(u64, u64), Error> {
    const ACTION: &str = "looking where a partition begins and ends";
    let subject = subject(topic, partition)?;
    let context = &connection.context;
    let request = || context.get_stream(&topic.stream);
    let stream = connection.request(ACTION, request).await?;
    let stream = stream.map_err(|error| engine_error(ACTION, error))?;
    let next = stream.cached_info().state.last_sequence + 1;
    let request = || stream.get_first_raw_message_by_subject(subject, 1);
    match connection.request(ACTION, request).await? {
        Ok(first) => Ok((first.sequence, next.max(first.sequence + 1))),
        Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok((next, next)),
        Err(error) => Err(engine_error(ACTION, error)),
    }
}

/// How many offsets from this one on retention has removed before they were delivered. Where a topic has several partitions,
/// some may have been of the others.
pub(super) async fn removed(
    connection: &Connection,
    topic: &TopicState,
    partition: u32,
    start: u64,
) -> Result<u64, Error> {
    const ACTION: &str = "looking for what retention removed";
    let request = || connection.context.get_stream(&topic.stream);
    let stream = connection.request(ACTION, request).await?;
    let stream = stream.map_err(|error| engine_error(ACTION, error))?;
    let subject = subject(topic, partition)?;
    let request = || stream.get_first_raw_message_by_subject(subject, 1);
    let first = match connection.request(ACTION, request).await? {
        Ok(first) => first.sequence,
        // Nothing is left that could tell.
        Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => return Ok(0),
        Err(error) => return Err(engine_error(ACTION, error)),
    };
    if first <= start {
        return Ok(0);
    }
    let state = &stream.cached_info().state;
    let before = state.first_sequence.clamp(start, first);
    let mut removed = before - start;
    if state.deleted_count.is_some_and(|count| count > 0) {
        let request = || async {
            let detailed = stream.info_builder().with_deleted(true);
            detailed.fetch().await
        };
        let detailed = connection.request(ACTION, request).await?;
        let detailed = detailed.map_err(|error| engine_error(ACTION, error))?;
        let deleted = detailed.info.state.deleted.iter().flatten();
        removed += deleted
            .filter(|&&offset| (before..first).contains(&offset))
            .count() as u64;
    }
    Ok(removed)
}

/// The offset that a start means. Where it may be `near`, one that is out of range gives the nearest.
pub(super) async fn resolve(
    connection: &Connection,
    topic: &TopicState,
    partition: u32,
    start: Start,
    near: bool,
) -> Result<u64, Error> {
    let (first, next) = range(connection, topic, partition).await?;
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
            let found = at_time(connection, topic, partition, time).await?;
            Ok(found.clamp(first, next))
        }
    }
}

/// The first offset at that time or later. Only a consumer can be told a time: a passing one is made, and asked where it would
/// begin.
async fn at_time(
    connection: &Connection,
    topic: &TopicState,
    partition: u32,
    time: SystemTime,
) -> Result<u64, Error> {
    const ACTION: &str = "looking for a time";
    let context = &connection.context;
    let config = pull::Config {
        filter_subject: subject(topic, partition)?.into(),
        deliver_policy: DeliverPolicy::ByStartTime {
            start_time: time.clamp(UNIX_EPOCH, UNIX_EPOCH + FAR).into(),
        },
        ack_policy: AckPolicy::None,
        inactive_threshold: Duration::from_secs(5),
        memory_storage: true,
        num_replicas: 1,
        ..pull::Config::default()
    };
    let request = || context.create_consumer_on_stream(config.clone(), &topic.stream);
    let made = connection.request(ACTION, request).await?;
    let made = made.map_err(|error| engine_error(ACTION, error))?;
    let info = made.cached_info();
    let found = info.delivered.stream_sequence + 1;
    // It goes by itself where this fails.
    let _gone = context
        .delete_consumer_from_stream(&info.name, &topic.stream)
        .await;
    Ok(found)
}
