//! The consumer of NATS JetStream.
