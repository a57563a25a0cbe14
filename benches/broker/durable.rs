//! Pushes that wait for the disk, beside a plain file that is written and synced as often.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use pushpull::broker::{Broker, Producer as _, Record, SyncPolicy, Topic, TopicConfig};
use tokio::runtime::{Builder, Runtime};

use crate::Held;
use crate::harness::{Case, Contender};

const SIZE: usize = 100;

pub(crate) fn cases() -> Vec<Held> {
    let mut cases = Vec::new();
    for (producers, target) in [(1, None), (16, None), (256, Some(2.0))] {
        for (mode, workers) in [("CT", 0), ("MT2", 2)] {
            let case = Case::new(
                format!("push, {producers} producers/{mode}"),
                mode,
                beside_a_file(producers, workers),
            );
            cases.push(Held { case, target });
        }
    }
    cases
}

fn runtime(workers: usize) -> Runtime {
    let mut builder = match workers {
        0 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    if workers > 0 {
        builder.worker_threads(workers);
    }
    builder.enable_all().build().expect("a runtime")
}

/// A directory that goes with the bench.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let name = format!("pushpull-bench-{name}-{}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        fs::create_dir_all(&dir).expect("a directory for the bench");
        Self(dir)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

struct Disk {
    broker: Broker,
    // After the broker: its file is in there.
    runtime: Runtime,
    _dir: Dir,
}

impl Disk {
    fn new(producers: u64, workers: usize) -> Self {
        let dir = Dir::new(&format!("{producers}-{workers}"));
        let runtime = runtime(workers);
        let broker = runtime.block_on(async {
            let broker = Broker::open(&dir.0, SyncPolicy::Always).await?;
            let config = TopicConfig::partitions(1).retain_records(100_000);
            broker.create_topic("t", config).await?;
            Ok::<_, pushpull::broker::Error>(broker)
        });
        Self {
            broker: broker.expect("a broker on disk"),
            runtime,
            _dir: dir,
        }
    }
}

fn beside_a_file(producers: u64, workers: usize) -> Vec<Contender> {
    // How many records ours wrote with each sync, in its last round.
    let together = Arc::new(AtomicU64::new(producers));
    let written = Arc::clone(&together);
    let disk = Mutex::new(None);
    vec![
        Contender::ours(move |items| {
            let mut disk = disk.lock().expect("no round has panicked");
            let disk = disk.get_or_insert_with(|| Disk::new(producers, workers));
            let before = disk.broker.stats().commits;
            let took = disk.runtime.block_on(push(&disk.broker, producers, items));
            let commits = disk.broker.stats().commits - before;
            written.store((items / commits.max(1)).max(1), Ordering::Relaxed);
            took
        }),
        Contender::peer("a plain file", move |items| {
            let dir = Dir::new(&format!("{producers}-{workers}-plain"));
            let mut file = File::create(dir.0.join("plain")).expect("a file");
            let together = together.load(Ordering::Relaxed);
            let bytes = vec![7; SIZE * usize::try_from(together).expect("so many fit")];
            let start = Instant::now();
            for _ in 0..items.div_ceil(together) {
                file.write_all(&bytes).expect("room on the disk");
                file.sync_data().expect("a disk that syncs");
            }
            start.elapsed()
        }),
    ]
}

/// Each producer pushes its share, one record after the other, and waits for each.
async fn push(broker: &Broker, producers: u64, items: u64) -> Duration {
    let start = Instant::now();
    let tasks: Vec<_> = (0..producers)
        .map(|number| {
            let producer = broker.producer();
            let share = items / producers + u64::from(number < items % producers);
            tokio::spawn(async move {
                let topic = Topic::from_static("t");
                let value = Bytes::from(vec![7; SIZE]);
                for _ in 0..share {
                    let record = Record::new(topic.clone(), value.clone());
                    producer.push(record).await.expect("an open broker");
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no producer panicked");
    }
    start.elapsed()
}
