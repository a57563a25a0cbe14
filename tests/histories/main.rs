//! Brokers as Jepsen looks at them: random producers, consumers, cancellers, restarts, kills and cuts; every operation taken
//! down with its beginning, its end and its outcome; and a pure checker that says what no broker may have done.
//!
//! `PUSHPULL_OPERATIONS` says how many operations an engine gets: a push of one record, a poll, an ack, a nack, a commit, a
//! seek, a join, a leave, a restart, a kill and a cut are one each. `PUSHPULL_SEED` repeats the choices of a run that printed
//! it. `PUSHPULL_HISTORY` names a history that was written, to be checked once more.
#![cfg(feature = "broker")]

mod checker;
mod consuming;
mod content;
mod dice;
#[cfg(feature = "durable")]
mod durable;
mod engines;
mod history;
#[cfg(feature = "kafka")]
mod kafka;
mod memory;
#[cfg(feature = "nats")]
mod nats;
mod planted;
mod producing;
#[cfg(feature = "nats")]
#[path = "../support/proxy.rs"]
mod proxy;
mod recorder;
mod running;
#[cfg(feature = "nats")]
#[path = "../support/nats.rs"]
mod server;
mod summary;
#[cfg(any(feature = "kafka", feature = "nats"))]
mod trouble;
mod world;

use checker::{Rules, check};
use history::Entry;
use summary::Summary;
use world::Plan;

/// Checks a history, says what it came to, and keeps it where something is wrong.
fn judge(name: &str, plan: &Plan, history: &[Entry], rules: Rules) -> Summary {
    let anomalies = check(history, rules);
    let title = format!("{name}, PUSHPULL_SEED={}", plan.seed);
    let summary = Summary::of(title, history, anomalies);
    println!("{summary}");
    if !summary.is_clean() {
        let path = history::write(history, name);
        println!("the history is in {}", path.display());
    }
    summary
}

/// By the name of a file that [`judge`] wrote: the rules by which it judged.
fn rules_of(path: &str) -> Rules {
    let rules = [
        #[cfg(feature = "nats")]
        ("nats-cut", nats::TROUBLED),
        #[cfg(feature = "nats")]
        ("nats-killed", nats::KILLED),
        #[cfg(feature = "nats")]
        ("nats", nats::RULES),
        #[cfg(feature = "kafka")]
        ("kafka-in-trouble", kafka::TROUBLED),
        #[cfg(feature = "kafka")]
        ("kafka", kafka::RULES),
        ("", Rules::EMBEDDED),
    ];
    let known = rules.iter().find(|(name, _)| path.contains(name));
    known.map_or(Rules::EMBEDDED, |(_, rules)| *rules)
}

/// A history that an earlier run wrote.
#[test]
fn a_written_history_is_checked_again() {
    let Ok(path) = std::env::var("PUSHPULL_HISTORY") else {
        return;
    };
    let history = history::read(path.as_ref());
    let summary = judge("written", &Plan::new(0), &history, rules_of(&path));
    assert!(summary.is_clean());
}
