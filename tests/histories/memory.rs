//! The broker in memory: on a paused clock, where a seed decides everything, and on threads.

use std::sync::Arc;

use pushpull::broker::Broker;

use super::checker::Rules;
use super::history::Entry;
use super::judge;
use super::recorder::Recorder;
use super::running::{drain, finish, start};
use super::world::{Engine, Plan, World};

/// Works a plan off in one round and returns its history.
pub(crate) async fn history_of<E: Engine>(engine: E, plan: &Plan) -> Vec<Entry> {
    let recorder = Arc::new(Recorder::new());
    let world = World::new(engine, plan, &recorder, 0, plan.operations);
    world.create_topics().await;
    finish(start(&world)).await;
    drain(&world).await;
    recorder.take()
}

// guarantee: K1, K2, K5, K6, K7
#[tokio::test(start_paused = true)]
async fn in_memory_on_a_paused_clock() {
    let plan = Plan::new(20_000);
    let history = history_of(Broker::in_memory(), &plan).await;
    assert!(judge("memory", &plan, &history, Rules::EMBEDDED).is_clean());
}

// guarantee: K1, K2, K5, K6, K7
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn in_memory_on_threads() {
    let plan = Plan::new(20_000);
    let history = history_of(Broker::in_memory(), &plan).await;
    assert!(judge("memory-on-threads", &plan, &history, Rules::EMBEDDED).is_clean());
}
