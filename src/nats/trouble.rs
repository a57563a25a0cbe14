//! The client's errors: which of them pass, and how they read in ours.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use async_nats::jetstream::context::{AccountErrorKind, CreateStreamErrorKind, GetStreamErrorKind};
use async_nats::jetstream::{self, ErrorCode, context};
use async_nats::{ConnectError, ConnectErrorKind};

use crate::broker::Error;

use super::ENGINE;

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
    error.code() == 503 && error.error_code() != ErrorCode::JETSTREAM_NOT_ENABLED
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

impl Passing for context::AccountError {
    fn passes(&self) -> bool {
        match self.kind() {
            AccountErrorKind::JetStream(error) => refusal_passes(&error),
            _ => true,
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
            _ => "is a server there, and is the URL its?",
        };
        let source = Box::new(error);
        engine_error("connecting", Self { source, advice })
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
