//! The broker on disk: closed in the middle of everything and opened again, and in a process that is killed.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use pushpull::broker::{Broker, SyncPolicy};

use super::checker::Rules;
use super::dice::Dice;
use super::history::{Entry, What};
use super::judge;
use super::recorder::Recorder;
use super::running::{drain, finish, start};
use super::world::{Plan, World, number};

const DIR: &str = "PUSHPULL_HISTORIES_DIR";
const RUN: &str = "PUSHPULL_HISTORIES_RUN";
const SINCE: &str = "PUSHPULL_HISTORIES_SINCE";

struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let dir = format!("pushpull-histories-{name}-{}", std::process::id());
        Self(std::env::temp_dir().join(dir))
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir_all(&self.0);
    }
}

async fn open(dir: &Path) -> Broker {
    Broker::open(dir, SyncPolicy::Always).await.unwrap()
}

/// So many rounds are a plan's operations parted into.
fn lives(plan: &Plan) -> u64 {
    (plan.operations / 2500).max(6)
}

// guarantee: K1, K2, K5, K6, K7
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn on_disk_across_restarts() {
    let plan = Plan::new(6_000);
    let dir = Dir::new("restarts");
    let recorder = Arc::new(Recorder::new());
    let rounds = lives(&plan);
    for round in 0..rounds {
        let broker = open(&dir.0).await;
        let until = plan.operations * (round + 1) / rounds;
        let world = World::interrupted(broker.clone(), &plan, &recorder, round, until);
        world.create_topics().await;
        let tasks = start(&world);
        world.over.notified().await;
        broker.close().await.unwrap();
        // Whatever was answered with success is stored now, and nothing is any more.
        recorder.event(What::Restarted);
        world.stop();
        finish(tasks).await;
    }
    let history = read_to_the_end(&dir.0, &plan, &recorder).await;
    let summary = judge("durable-restarted", &plan, &history, Rules::EMBEDDED);
    assert!(summary.is_clean());
    assert_eq!(summary.happened("restarts") as u64, rounds);
}

async fn read_to_the_end(dir: &Path, plan: &Plan, recorder: &Arc<Recorder>) -> Vec<Entry> {
    let broker = open(dir).await;
    let world = World::new(broker.clone(), plan, recorder, u64::MAX, 0);
    drain(&world).await;
    broker.close().await.unwrap();
    recorder.take()
}

/// The process that is killed. Without its variables this is no test of anything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Ok(dir) = std::env::var(DIR) else { return };
    // The harness has begun a line.
    println!();
    let run = number(RUN).unwrap();
    let recorder = Arc::new(Recorder::saying(run, number(SINCE).unwrap()));
    let plan = Plan::new(0);
    let broker = open(dir.as_ref()).await;
    let world = World::new(broker, &plan, &recorder, run, u64::MAX);
    world.create_topics().await;
    finish(start(&world)).await;
}

fn spawn(dir: &Path, plan: &Plan, run: u64, since: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([
            "durable::child",
            "--exact",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(DIR, dir)
        .env(RUN, run.to_string())
        .env(SINCE, since.to_string())
        .env("PUSHPULL_SEED", plan.seed.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

// guarantee: K1, K2, K5, K6, K7
#[tokio::test]
async fn on_disk_across_kills() {
    let plan = Plan::new(6_000);
    let dir = Dir::new("kills");
    let recorder = Arc::new(Recorder::new());
    let mut dice = Dice::new(plan.seed, 0);
    let life = plan.operations / lives(&plan);
    let mut run = 0;
    while recorder.operations() < plan.operations {
        run += 1;
        let mut child = spawn(&dir.0, &plan, run, recorder.now());
        let enough = recorder.operations() + dice.between(1, 2 * life);
        hear(&mut child, &recorder, enough);
        recorder.event(What::Killed);
    }
    let history = read_to_the_end(&dir.0, &plan, &recorder).await;
    let summary = judge("durable-killed", &plan, &history, Rules::EMBEDDED);
    assert!(summary.is_clean());
    assert_eq!(summary.happened("kills") as u64, run);
}

/// Takes down what the child says, and kills it after so many operations.
fn hear(child: &mut Child, recorder: &Recorder, enough: u64) {
    let lines = BufReader::new(child.stdout.take().unwrap());
    let mut killed = false;
    for line in lines.split(b'\n') {
        let line = String::from_utf8(line.unwrap()).unwrap();
        // What the test harness says around it is not for us.
        if line.starts_with('{') {
            match serde_json::from_str(&line) {
                Ok(entry) => recorder.heard(entry),
                // A long line may have been cut off by the kill.
                Err(error) => assert!(killed, "{error}: {line}"),
            }
        }
        if !killed && recorder.operations() >= enough {
            child.kill().unwrap();
            killed = true;
        }
    }
    child.wait().unwrap();
    assert!(killed, "the child ended by itself");
}
