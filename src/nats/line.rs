//! The connections that records are published over.
//!
//! A client that lost its connection keeps what it had queued and sends it over the next one, where it would overtake what was
//! lost on the way. So records have a connection of their own, which ends when it is lost, and what is queued with it; whoever
//! published over it takes the next line, and sends again, in order, all that was not acknowledged.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::context::ContextBuilder;
use async_nats::{ConnectOptions, ServerAddr};
use tokio::sync::Mutex;

use crate::broker::Error;

use super::trouble::{Advised, engine_error};

/// No server is ever here: connecting to it fails at once, on this machine.
const NOWHERE: &str = "nats://127.0.0.1:0";

/// How many records may be on their way over one line, whoever pushed them.
const ON_THE_WAY: usize = 1 << 16;

/// A connection that is not renewed.
pub(crate) struct Line {
    pub(crate) context: Context,
    number: u64,
}

/// The line in use.
pub(crate) struct Lines {
    options: ConnectOptions,
    servers: Vec<ServerAddr>,
    /// How long an acknowledgement takes at the most.
    attempt: Duration,
    current: Mutex<Current>,
}

#[derive(Default)]
struct Current {
    line: Option<Arc<Line>>,
    number: u64,
}

impl Lines {
    pub(crate) fn new(
        options: ConnectOptions,
        servers: Vec<ServerAddr>,
        attempt: Duration,
    ) -> Self {
        Self {
            options,
            servers,
            attempt,
            current: Mutex::default(),
        }
    }

    /// The line in use, if it is not this one, or else a new one.
    pub(crate) async fn other_than(&self, lost: Option<&Arc<Line>>) -> Result<Arc<Line>, Error> {
        let mut current = self.current.lock().await;
        let lost = lost.map(|lost| lost.number);
        if let Some(line) = &current.line {
            if Some(line.number) != lost {
                return Ok(Arc::clone(line));
            }
        }
        current.line = None;
        let context = self.connect().await?;
        current.number += 1;
        let line = Arc::new(Line {
            context,
            number: current.number,
        });
        current.line = Some(Arc::clone(&line));
        Ok(line)
    }

    async fn connect(&self) -> Result<Context, Error> {
        // Each server once; and Nowhere as often, when the connection is lost.
        let options = self.options.clone().max_reconnects(self.servers.len());
        let options = options.ignore_discovered_servers();
        let connected = options.connect(&self.servers[..]).await;
        let client = connected.map_err(Advised::connecting)?;
        let last = client.set_server_pool(NOWHERE).await;
        last.map_err(|error| engine_error("connecting", error))?;
        Ok(ContextBuilder::new()
            .timeout(self.attempt)
            .ack_timeout(self.attempt)
            .max_ack_inflight(ON_THE_WAY)
            .build(client))
    }

    pub(crate) async fn close(&self) {
        let line = self.current.lock().await.line.take();
        if let Some(line) = line {
            // A line that was lost before has nothing left to say.
            let _drained = line.context.client().drain().await;
        }
    }
}
