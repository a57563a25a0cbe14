//! The broker traits on NATS JetStream.
