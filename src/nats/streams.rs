//! Topics on the server: created, found, listed.

use std::future::IntoFuture;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_nats::jetstream::stream::Config;
use async_nats::jetstream::{ErrorCode, context};
use futures_util::TryStreamExt;

use crate::broker::{Error, Topic, TopicConfig};
use crate::sync::lock;

use super::connection::Connection;
use super::topic::{self, TopicState};
use super::trouble::engine_error;

impl Connection {
    /// A topic that is known already.
    pub(crate) fn known(&self, name: &str) -> Option<Arc<TopicState>> {
        lock(&self.topics).get(name).cloned()
    }

    /// How often something has changed about what is known.
    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// A topic.
    pub(crate) async fn topic(&self, name: &str) -> Result<Arc<TopicState>, Error> {
        match self.known(name) {
            Some(topic) => Ok(topic),
            None => self.look_up(name).await,
        }
    }

    /// A topic as the server has it now.
    pub(crate) async fn look_up(&self, name: &str) -> Result<Arc<TopicState>, Error> {
        topic::check_topic(name)?;
        let stream = topic::stream_name(name);
        let found = self.request("looking up a topic", || self.context.get_stream(&stream));
        let unknown = || Error::UnknownTopic {
            topic: name.into(),
            record: None,
        };
        let state = match found.await? {
            Ok(found) => {
                let info = found.cached_info();
                let created = info.created.unix_timestamp_nanos();
                TopicState::of(&info.config).map(|topic| topic.created_at(created))
            }
            Err(error) if is_unknown(&error) => None,
            Err(error) => return Err(engine_error("looking up a topic", error)),
        };
        let state = state.map(Arc::new);
        let mut topics = lock(&self.topics);
        match &state {
            Some(state) => topics.insert(state.name.clone(), Arc::clone(state)),
            None => topics.remove(name),
        };
        self.changes.fetch_add(1, Ordering::Release);
        drop(topics);
        state.ok_or_else(unknown)
    }

    pub(crate) async fn create_topic(&self, name: &str, config: TopicConfig) -> Result<(), Error> {
        const ACTION: &str = "creating a topic";
        self.check()?;
        topic::check_topic(name)?;
        topic::check_config(name, &config, self.client.max_payload())?;
        let stream = topic::new_stream(name, &config, &self.options);
        let created = self.request(ACTION, || self.context.get_or_create_stream(&stream));
        let mut found = match created.await? {
            Ok(stream) => stream.cached_info().config.clone(),
            Err(error) => return Err(refused(name, ACTION, error)),
        };
        let Some(state) = TopicState::of(&found) else {
            return Err(topic::invalid(
                name,
                "NATS has a stream in its place whose subjects are not those of a topic",
            ));
        };
        if state.partitions() != config.partitions {
            return Err(Error::TopicExists {
                topic: state.name.clone(),
                partitions: state.partitions(),
            });
        }
        let before = found.clone();
        topic::bound(&mut found, &config);
        if before != found {
            let updated = self.request(ACTION, || self.context.update_stream(&found));
            updated
                .await?
                .map_err(|error| refused(name, ACTION, error))?;
        }
        let state = self.look_up(name).await?;
        match config.max_records {
            Some(keep) => self.trim(&state, &before, keep).await,
            None => Ok(()),
        }
    }

    /// A server holds what comes from now on against a new bound; what is there is left to us.
    async fn trim(&self, topic: &TopicState, before: &Config, keep: u64) -> Result<(), Error> {
        const ACTION: &str = "removing records above a new bound";
        let bound = before.max_messages_per_subject;
        if u64::try_from(bound).is_ok_and(|bound| bound > 0 && bound <= keep) {
            return Ok(());
        }
        let stream = self.request(ACTION, || self.context.get_stream(&topic.stream));
        let stream = stream.await?.map_err(|error| engine_error(ACTION, error))?;
        for subject in &topic.subjects {
            let purge = || {
                stream
                    .purge()
                    .filter(subject.as_str())
                    .keep(keep)
                    .into_future()
            };
            let purged = self.request(ACTION, purge).await?;
            purged.map_err(|error| engine_error(ACTION, error))?;
        }
        Ok(())
    }

    pub(crate) async fn topics(&self) -> Result<Vec<Topic>, Error> {
        let action = "listing the topics";
        let all = self.request(action, || self.context.streams().try_collect::<Vec<_>>());
        let all = all.await?.map_err(|error| engine_error(action, error))?;
        let all = all.iter().filter_map(|info| TopicState::of(&info.config));
        let mut names: Vec<_> = all.map(|topic| topic.name).collect();
        names.sort_unstable();
        Ok(names)
    }
}

pub(crate) fn is_unknown(error: &context::GetStreamError) -> bool {
    matches!(
        error.kind(),
        context::GetStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND
    )
}

fn refused(name: &str, action: &'static str, error: context::CreateStreamError) -> Error {
    let context::CreateStreamErrorKind::JetStream(why) = error.kind() else {
        return engine_error(action, error);
    };
    match why.error_code() {
        ErrorCode::STREAM_SUBJECT_OVERLAP => topic::invalid(
            name,
            "another stream takes its subjects, which are the name, a dot and the partition",
        ),
        _ => engine_error(action, error),
    }
}
