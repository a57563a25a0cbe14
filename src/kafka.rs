//! The broker traits on Kafka.
