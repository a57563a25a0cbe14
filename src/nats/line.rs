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

use crate::broker::Error;
use crate::sync::{Mutex, lock};

use super::trouble::{Advised, engine_error};

/// No server is ever here: connecting to it fails at once, on this machine.
const NOWHERE: &str = "nats://127.0.0.1:0";

/// How many records may be on their way over one line, whoever pushed them.
const ON_THE_WAY: usize = 1 << 16;

/// A connection that is not renewed.
pub(crate) struct Line {
    pub(crate) context: Context,
    /// Lines are counted, beginning with 1.
    pub(crate) number: u64,
}

/// The line in use.
pub(crate) struct Lines {
    options: ConnectOptions,
    servers: Vec<ServerAddr>,
    /// How long an acknowledgement takes at the most.
    attempt: Duration,
    current: Mutex<Option<Arc<Line>>>,
    /// Held by the one who connects.
    connecting: tokio::sync::Mutex<()>,
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
            connecting: tokio::sync::Mutex::default(),
        }
    }

    /// The line in use, if it came after this one.
    pub(crate) fn after(&self, lost: u64) -> Option<Arc<Line>> {
        let current = lock(&self.current);
        current.as_ref().filter(|line| line.number > lost).cloned()
    }

    /// The line in use, if it came after this one, or else a new one.
    pub(crate) async fn renew(&self, lost: u64) -> Result<Arc<Line>, Error> {
        let connecting = self.connecting.lock().await;
        if let Some(line) = self.after(lost) {
            return Ok(line);
        }
        let line = Arc::new(Line {
            context: self.connect().await?,
            number: lost + 1,
        });
        let before = lock(&self.current).replace(Arc::clone(&line));
        drop(before);
        drop(connecting);
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
        let line = lock(&self.current).take();
        if let Some(line) = line {
            // A line that was lost before has nothing left to say.
            let _drained = line.context.client().drain().await;
        }
    }
}
