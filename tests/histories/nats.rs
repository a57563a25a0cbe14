//! NATS JetStream, on a real server: as it is, and with a server that is killed and lines to it that are cut.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use pushpull::broker::{ConsumerConfig, Error, TopicConfig};
use pushpull::nats::{Consumer, Nats, Options, Producer};

use super::checker::Rules;
use super::dice::Dice;
use super::history::What;
use super::judge;
use super::memory::history_of;
use super::proxy::{Line, Proxy};
use super::recorder::Recorder;
use super::running::{drain, finish, start};
use super::server::{Server, skipped};
use super::trouble::{Troubles, trouble};
use super::world::{Engine, Plan, World};

/// Several connections, which producers and consumers take in turn.
struct Connections {
    all: Vec<Nats>,
    next: AtomicUsize,
}

impl Connections {
    async fn to(urls: impl IntoIterator<Item = String>) -> Self {
        let mut all = Vec::new();
        for url in urls {
            let options = Options::new().request_timeout(Duration::from_secs(4));
            all.push(Nats::connect(url, options).await.unwrap());
        }
        Self {
            all,
            next: AtomicUsize::new(0),
        }
    }

    fn next(&self) -> &Nats {
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        &self.all[next % self.all.len()]
    }
}

impl Engine for Connections {
    type Producer = Producer;
    type Consumer = Consumer;

    async fn create(&self, topic: &str, partitions: u32) -> Result<(), Error> {
        self.all[0]
            .create_topic(topic, TopicConfig::partitions(partitions))
            .await
    }

    fn producer(&self) -> Producer {
        self.next().producer()
    }

    fn consumer(&self, config: ConsumerConfig) -> Consumer {
        self.next().consumer(config)
    }
}

/// The server keeps each acknowledgement, once it has it. How often something was delivered, it counts by itself.
pub(crate) const RULES: Rules = Rules {
    attempts: false,
    gaps_survive_moves: true,
    acks_survive_moves: true,
    committed_is_shared: false,
    commits_survive_kills: true,
    late_after_troubles: 0,
    aftermath: 0,
};

/// What nobody confirmed may get lost on the way, and members may lose what they have sooner than they know. A record that was on
/// a line when that was cut comes again when its owner knows, and one that was not may come before it.
pub(crate) const TROUBLED: Rules = Rules {
    acks_survive_moves: false,
    aftermath: 6_000_000,
    late_after_troubles: 10_000_000,
    ..RULES
};

/// A server that is killed may have forgotten where a group was (it writes that down in its own time): everything may come again,
/// and what was in work comes when the server's own patience is over.
pub(crate) const KILLED: Rules = Rules {
    commits_survive_kills: false,
    late_after_troubles: 30_000_000,
    ..TROUBLED
};

fn plan(operations: u64) -> Plan {
    Plan {
        ack_wait: Duration::from_millis(1000),
        session: Duration::from_millis(2000),
        patience: Duration::from_secs(40),
        ..Plan::new(operations)
    }
}

// guarantee: K1, K2, K5, K6, K7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nats_as_it_is() {
    if skipped() {
        return;
    }
    let plan = plan(4_000);
    let server = Server::start();
    let connections = Connections::to([server.url(), server.url()]).await;
    let history = history_of(connections, &plan).await;
    assert!(judge("nats", &plan, &history, RULES).is_clean());
}

/// The server, and the lines to it.
struct Net {
    server: Server,
    lines: Vec<Proxy>,
    /// The server is killed, too.
    kills: bool,
    /// What happens next: to the server, or to one of the lines.
    next: Option<(usize, Line)>,
}

impl Troubles for Net {
    fn next(&mut self, dice: &mut Dice) -> (What, Duration) {
        if self.kills && dice.chance(40) {
            self.next = None;
            return (What::Killed, Duration::from_millis(dice.below(500)));
        }
        let line = match dice.below(10) {
            0..=5 => Line::Cut,
            6 | 7 => Line::Held,
            _ => Line::Mute,
        };
        let which = dice.below(self.lines.len() as u64) as usize;
        self.next = Some((which, line));
        // Some outlast a session.
        let most = if dice.chance(20) { 4000 } else { 800 };
        (What::Cut, Duration::from_millis(dice.between(10, most)))
    }

    async fn begin(&mut self) {
        match self.next {
            None => self.server.kill(),
            Some((which, line)) => self.lines[which].set(line),
        }
    }

    async fn end(&mut self) {
        match self.next {
            None => tokio::task::block_in_place(|| self.server.restart()),
            Some((which, _)) => self.lines[which].set(Line::Open),
        }
    }
}

/// Works a plan off while lines to the server are cut, and the server is killed where that is asked for.
async fn in_trouble(name: &str, kills: bool, rules: Rules) {
    if skipped() {
        return;
    }
    let plan = plan(3_000);
    let server = Server::start();
    let mut lines = Vec::new();
    for _ in 0..4 {
        lines.push(Proxy::to(server.address()).await);
    }
    let connections = Connections::to(lines.iter().map(Proxy::url)).await;
    let recorder = Arc::new(Recorder::new());
    let world = World::new(connections, &plan, &recorder, 0, plan.operations);
    world.create_topics().await;
    let tasks = start(&world);
    let mut net = Net {
        server,
        lines,
        kills,
        next: None,
    };
    trouble(&world, &mut net).await;
    finish(tasks).await;
    drain(&world).await;
    assert!(judge(name, &plan, &recorder.take(), rules).is_clean());
}

// guarantee: K1, K2, K5, K6, K7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nats_with_lines_that_are_cut() {
    in_trouble("nats-cut", false, TROUBLED).await;
}

// guarantee: K1, K5, K7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nats_with_a_server_that_is_killed() {
    in_trouble("nats-killed", true, KILLED).await;
}
