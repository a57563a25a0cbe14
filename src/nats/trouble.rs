//! The client's errors: which of them pass, and how they read in ours.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use async_nats::jetstream::context::{
    CreateStreamErrorKind, GetStreamErrorKind, PublishError, PublishErrorKind,
};
use async_nats::jetstream::stream::{PurgeError, PurgeErrorKind};
use async_nats::jetstream::{self, ErrorCode, context};
use async_nats::{ConnectError, ConnectErrorKind};

use crate::broker::{Error, Record};

use super::topic::TopicState;
use super::{ENGINE, format};

type Source = Box<dyn StdError + Send + Sync>;

/// An error of the engine's.
pub(crate) fn engine_error(action: &'static str, source: impl Into<Source>) -> Error {
    Error::Engine {
        engine: ENGINE,
        action,
        source: Arc::from(source.into()),
        record: None,
    }
}

/// An error that may be gone with the next attempt.
pub(crate) trait Passing: StdError + Send + Sync + 'static {
    fn passes(&self) -> bool;
}

/// Whether JetStream could not say yes or no: it comes up, or a cluster looks for a leader.
pub(crate) fn refusal_passes(error: &jetstream::Error) -> bool {
    let never = [
        ErrorCode::JETSTREAM_NOT_ENABLED,
        ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT,
    ];
    error.code() == 503 && !never.contains(&error.error_code())
}

impl Passing for context::CreateStreamError {
    fn passes(&self) -> bool {
        match self.kind() {
            CreateStreamErrorKind::JetStreamUnavailable
            | CreateStreamErrorKind::TimedOut
            | CreateStreamErrorKind::Response => true,
            CreateStreamErrorKind::JetStream(error) => refusal_passes(&error),
            _ => false,
        }
    }
}

impl Passing for context::GetStreamError {
    fn passes(&self) -> bool {
        match self.kind() {
            GetStreamErrorKind::Request => true,
            GetStreamErrorKind::JetStream(error) => refusal_passes(&error),
            _ => false,
        }
    }
}

impl Passing for context::StreamsError {
    fn passes(&self) -> bool {
        true
    }
}

impl Passing for PurgeError {
    fn passes(&self) -> bool {
        match self.kind() {
            PurgeErrorKind::Request | PurgeErrorKind::TimedOut => true,
            PurgeErrorKind::JetStream(error) => refusal_passes(&error),
        }
    }
}

/// An error with advice.
#[derive(Debug)]
pub(crate) struct Advised {
    source: Source,
    advice: &'static str,
}

impl Advised {
    pub(crate) fn connecting(error: ConnectError) -> Error {
        let advice = match error.kind() {
            ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
                "see `user`, `token`, `credentials_file` and `nkey` of `nats::Options`"
            }
            ConnectErrorKind::Tls => {
                "see `root_certificates` and `client_certificate` of `nats::Options`"
            }
            _ => "is a server there, is the URL its, and does it speak TLS if it is asked to?",
        };
        let source = Box::new(error);
        engine_error("connecting", Self { source, advice })
    }

    /// There was no answer in time.
    pub(crate) fn late(action: &'static str) -> Error {
        let source = "there was no answer in time".into();
        let advice = "whether the server is there can be seen in its log; `request_timeout` of `nats::Options` is the time";
        engine_error(action, Self { source, advice })
    }

    /// There was no yes or no.
    pub(crate) fn unanswered(action: &'static str, source: impl Into<Source>) -> Error {
        let source = source.into();
        let advice = "whether it was done is not known: with an `id` it can be pushed again and is stored once";
        engine_error(action, Self { source, advice })
    }

    /// The groups could not be told of: mostly a matter of rights, of which the server says something only in passing.
    pub(crate) fn no_bucket(action: &'static str, source: impl Into<Source>) -> Error {
        let advice = "if the server is there, the account needs the right to publish to `$KV.pushpull-groups.>` and `$JS.API.>`, or somebody else creates the bucket for it (`nats kv add pushpull-groups`)";
        let source = source.into();
        engine_error(action, Self { source, advice })
    }

    pub(crate) fn no_jetstream(action: &'static str, source: impl Into<Source>) -> Error {
        let advice = "start the server with JetStream (`nats-server -js`), and give the account the right to use it";
        let source = source.into();
        engine_error(action, Self { source, advice })
    }
}

impl fmt::Display for Advised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.source, self.advice)
    }
}

impl StdError for Advised {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.source)
    }
}

/// What a publish that was not acknowledged comes to.
pub(crate) enum Refusal {
    /// It will be refused again.
    Stays(Error),
    /// The line is lost, and what was on it with it.
    Lost,
    /// The server could not say.
    Passes,
    /// No stream takes the subject, at least at the moment.
    NoStream,
}

impl Refusal {
    pub(crate) fn of(
        error: &PublishError,
        topic: &TopicState,
        partition: u32,
        record: &Record,
        max_payload: usize,
    ) -> Self {
        let too_large = || {
            let most = topic.max_message_bytes.min(max_payload);
            let size = record.size();
            // What the headers add counts as well.
            let added = format::message_size(record).saturating_sub(size);
            Self::Stays(Error::TooLarge {
                topic: topic.name.clone(),
                size,
                max: most.saturating_sub(added),
                record: None,
            })
        };
        match error.kind() {
            PublishErrorKind::StreamNotFound => return Self::NoStream,
            PublishErrorKind::MaxPayloadExceeded => return too_large(),
            _ => {}
        }
        let source = StdError::source(error);
        let Some(refusal) = source.and_then(|source| source.downcast_ref::<jetstream::Error>())
        else {
            return Self::Lost;
        };
        // The server has one code for all that keeps a message out of a store, and says in words what it was.
        let text = refusal.to_string();
        match refusal.error_code() {
            ErrorCode::STREAM_STORE_FAILED if text.contains("maximum ") => {
                Self::Stays(Error::Full {
                    topic: topic.name.clone(),
                    partition,
                    record: None,
                })
            }
            ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM => too_large(),
            _ if refusal_passes(refusal) => Self::Passes,
            _ => Self::Stays(engine_error("publishing a record", refusal.clone())),
        }
    }
}
