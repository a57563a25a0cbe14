//! Which of the errors about durables pass.

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{ConsumerInfoError, ConsumerInfoErrorKind};
use async_nats::jetstream::stream::{
    ConsumerError, ConsumerErrorKind, RawMessageError, RawMessageErrorKind,
};

use crate::nats::trouble::{Passing, refusal_passes};

impl Passing for ConsumerInfoError {
    fn passes(&self) -> bool {
        match self.kind() {
            ConsumerInfoErrorKind::Offline
            | ConsumerInfoErrorKind::Request
            | ConsumerInfoErrorKind::TimedOut
            | ConsumerInfoErrorKind::NoResponders => true,
            ConsumerInfoErrorKind::JetStream(error) => refusal_passes(&error),
            _ => false,
        }
    }
}

impl Passing for ConsumerError {
    fn passes(&self) -> bool {
        match self.kind() {
            ConsumerErrorKind::TimedOut | ConsumerErrorKind::Request => true,
            ConsumerErrorKind::JetStream(error) => refusal_passes(&error),
            _ => false,
        }
    }
}

impl Passing for RawMessageError {
    fn passes(&self) -> bool {
        match self.kind() {
            RawMessageErrorKind::Other => true,
            RawMessageErrorKind::JetStream(error) => refusal_passes(&error),
            _ => false,
        }
    }
}

/// Whether there was no such durable.
pub(super) fn is_unknown(error: &ConsumerError) -> bool {
    matches!(
        error.kind(),
        ConsumerErrorKind::JetStream(error) if error.error_code() == ErrorCode::CONSUMER_NOT_FOUND
    )
}
