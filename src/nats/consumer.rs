//! The consumer of NATS JetStream.

mod acks;
mod bucket;
mod durable;
mod engine;
mod feed;
mod member;
mod passes;
mod reply;

use std::sync::Arc;

use crate::broker::{ConsumerConfig, remote};

use super::connection::Connection;
use engine::Engine;

/// Reads topics of a NATS server as a member of a group.
pub struct Consumer(remote::Consumer<Engine>);

impl Consumer {
    pub(crate) fn new(connection: Arc<Connection>, config: ConsumerConfig) -> Self {
        let engine = Arc::new(Engine::new(connection, &config));
        Self(remote::Consumer::new(remote::Seat::new(engine, config)))
    }
}

remote::delegate_consumer!(Consumer);
