//! What goes wrong in Kafka, in the broker's words.

use std::fmt;
use std::sync::Arc;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::broker::Error;

pub(super) const ENGINE: &str = "Kafka";

/// A cause that has nothing but words.
#[derive(Debug)]
struct Reason(String);

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Reason {}

pub(super) fn because(action: &'static str, reason: impl Into<String>) -> Error {
    engine(action, Reason(reason.into()))
}

pub(super) fn engine(
    action: &'static str,
    source: impl std::error::Error + Send + Sync + 'static,
) -> Error {
    Error::Engine {
        engine: ENGINE,
        action,
        source: Arc::new(source),
        record: None,
    }
}

pub(super) fn invalid(reason: impl Into<String>) -> Error {
    Error::InvalidConfig {
        reason: reason.into(),
    }
}

pub(super) const fn unsupported(what: &'static str) -> Error {
    Error::Unsupported {
        engine: ENGINE,
        what,
    }
}

pub(super) const fn closed() -> Error {
    Error::Closed { record: None }
}

/// A client that could not be made.
pub(super) fn unmade(error: KafkaError) -> Error {
    match error {
        KafkaError::ClientConfig(_, reason, name, value) => {
            let value = if is_secret(&name) { "…" } else { &value };
            let hint = needs_tls(&reason);
            invalid(format!(
                "the property `{name}` cannot be `{value}`: {reason}{hint}"
            ))
        }
        KafkaError::ClientCreation(reason) => {
            let hint = needs_tls(&reason);
            invalid(reason + hint)
        }
        other => engine("making a client", other),
    }
}

/// What helps where librdkafka was built without OpenSSL.
fn needs_tls(reason: &str) -> &'static str {
    let lacks = reason.contains("OpenSSL not available") || reason.contains("openssl support");
    if lacks && cfg!(not(feature = "kafka-tls")) {
        "; the feature `kafka-tls` of pushpull builds it with OpenSSL"
    } else {
        ""
    }
}

fn is_secret(name: &str) -> bool {
    ["password", "secret", "key", "pem", "token"]
        .iter()
        .any(|part| name.contains(part))
}

/// Whether nothing this client tries will ever go through.
pub(super) const fn is_refusal(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::Authentication
            | Code::SaslAuthenticationFailed
            | Code::ClusterAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::TopicAuthorizationFailed
            | Code::UnsupportedSASLMechanism
            | Code::Fatal
            | Code::SSL
    )
}

#[cfg(all(test, not(feature = "kafka-tls")))]
mod tests {
    use rdkafka::ClientConfig;
    use rdkafka::producer::BaseProducer;

    #[test]
    fn what_needs_openssl_says_how_to_get_it() {
        let settings = [
            &[("security.protocol", "ssl")][..],
            &[
                ("security.protocol", "sasl_plaintext"),
                ("sasl.mechanisms", "SCRAM-SHA-512"),
                ("sasl.username", "billing"),
                ("sasl.password", "secret"),
            ],
        ];
        for settings in settings {
            let mut config = ClientConfig::new();
            config.extend(
                settings
                    .iter()
                    .map(|&(name, value)| (name.to_owned(), value.to_owned())),
            );
            let made: Result<BaseProducer, _> = config.create();
            let Err(error) = made.map_err(super::unmade) else {
                panic!("librdkafka has OpenSSL");
            };
            assert!(error.to_string().contains("`kafka-tls`"), "{error}");
        }
    }
}
