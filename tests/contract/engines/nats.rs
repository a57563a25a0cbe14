//! NATS JetStream: one server for all cases, and an account of it for each.

use std::fmt::Write;
use std::fs;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use pushpull::broker::{ConsumerConfig, Error, TopicConfig};
use pushpull::nats::{self, Options};

use super::Engine;
use crate::kit::Clock;

#[path = "../../support/nats.rs"]
mod support;

/// More than there are cases.
const ACCOUNTS: u32 = 256;

static SERVER: Mutex<Option<support::Server>> = Mutex::new(None);

/// Starts the server where it does not run yet, and says where it listens.
fn server() -> String {
    let mut server = SERVER.lock().unwrap_or_else(PoisonError::into_inner);
    let server = server.get_or_insert_with(|| {
        let mut accounts = String::from("accounts {\n");
        for n in 0..ACCOUNTS {
            writeln!(
                accounts,
                "  case{n}: {{ jetstream: enabled, users: [{{ user: case{n}, password: secret{n} }}] }}"
            )
            .expect("a string takes everything");
        }
        accounts.push_str("}\n");
        let name = format!("pushpull-contract-{}.conf", std::process::id());
        let config = std::env::temp_dir().join(name);
        fs::write(&config, accounts).expect("the server's configuration is written");
        let server = support::Server::start_with(&["-c", config.to_str().expect("a plain path")]);
        fs::remove_file(&config).expect("it is read");
        server
    });
    server.url()
}

/// Ends the server, which a static does not do by itself.
pub(crate) fn stop() {
    let mut server = SERVER.lock().unwrap_or_else(PoisonError::into_inner);
    drop(server.take());
}

/// An account of the server.
pub(crate) struct Nats(nats::Nats);

impl Engine for Nats {
    const NAME: &'static str = "nats";
    const CLOCK: Clock = Clock::Real;

    type Producer = nats::Producer;
    type Consumer = nats::Consumer;

    fn skipped() -> Option<String> {
        support::skipped().then(|| "PUSHPULL_SKIP_NATS is 1".into())
    }

    async fn start() -> Self {
        static CASES: AtomicU32 = AtomicU32::new(0);
        let case = CASES.fetch_add(1, Ordering::Relaxed);
        assert!(case < ACCOUNTS, "more cases than accounts");
        let options = Options::new().user(format!("case{case}"), format!("secret{case}"));
        Self(nats::Nats::connect(server(), options).await.unwrap())
    }

    async fn create(&self, topic: &str, config: TopicConfig) -> Result<(), Error> {
        self.0.create_topic(topic, config).await
    }

    fn producer(&self) -> nats::Producer {
        self.0.producer()
    }

    fn consumer(&self, config: ConsumerConfig) -> nats::Consumer {
        self.0.consumer(config)
    }
}
