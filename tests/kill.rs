//! A process that pushes, reads and acknowledges is killed at random moments, again and again, on one store. Whatever it was
//! told is stored must be there afterwards. `PUSHPULL_KILLS` says how often; 25 unless told otherwise.
//!
//! Killing a process leaves the operating system's memory as it is, so this shows nothing about the disk itself: that is
//! for the store's own tests, over a disk that forgets what was not synced.
#![cfg(feature = "durable")]

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use pushpull::broker::{
    Broker, Consumer, ConsumerConfig, Delivery, Producer, Record, SyncPolicy, TopicConfig, WhenFull,
};

const DIR: &str = "PUSHPULL_KILL_DIR";
const PARTITIONS: u32 = 3;
/// Small enough for retention to be at work in every round.
const RETAINED: u64 = 500;

/// What the child said, and so was told.
#[derive(Default)]
struct Told {
    /// By partition and offset: the value that was acknowledged there.
    pushed: HashMap<(u32, u64), String>,
    /// By group and partition: the highest offset that a commit was acknowledged for.
    committed: BTreeMap<(String, u32), u64>,
}

impl Told {
    fn hear(&mut self, line: &str) {
        let words: Vec<_> = line.split(' ').collect();
        match words[..] {
            ["pushed", partition, offset, value] => {
                let place = (partition.parse().unwrap(), offset.parse().unwrap());
                let before = self.pushed.insert(place, value.into());
                assert_eq!(before, None, "an offset was given out twice: {line}");
            }
            ["committed", group, partition, offset] => {
                let offset: u64 = offset.parse().unwrap();
                let known = self
                    .committed
                    .entry((group.into(), partition.parse().unwrap()))
                    .or_default();
                *known = offset.max(*known);
            }
            _ => panic!("the child said: {line}"),
        }
    }
}

/// The process that is killed. Without its variable this is no test of anything.
#[test]
fn child() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(work(dir.into()));
}

async fn work(dir: PathBuf) {
    let broker = Broker::open(&dir, SyncPolicy::Always).await.unwrap();
    broker.create_topic("log", kept()).await.unwrap();
    let run: u64 = broker.stats().topics[0].pushed;
    let mut tasks = tokio::task::JoinSet::new();
    for producer in 0..8 {
        let broker = broker.clone();
        tasks.spawn(async move {
            let pushes = broker.producer();
            for n in 0_u64.. {
                let value = format!("{run}-{producer}-{n}-{}", "x".repeat((n % 300) as usize));
                let record = Record::new("log", value.clone()).key(format!("{}", n % 17));
                let position = pushes.push(record).await.unwrap();
                say(&format!(
                    "pushed {} {} {value}",
                    position.partition, position.offset
                ));
            }
        });
    }
    for group in ["one", "two"] {
        let broker = broker.clone();
        tasks.spawn(async move {
            let consumer = broker.consumer(ConsumerConfig::group(group));
            consumer.subscribe(["log"]).await.unwrap();
            loop {
                let taken = consumer.poll(64, Duration::from_secs(1)).await.unwrap();
                let mut last: BTreeMap<u32, &Delivery> = BTreeMap::new();
                for delivery in &taken {
                    last.insert(delivery.position.partition, delivery);
                }
                for (partition, delivery) in last {
                    consumer.commit_to(&delivery.position).await.unwrap();
                    let committed = delivery.position.offset + 1;
                    say(&format!("committed {group} {partition} {committed}"));
                }
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
}

/// One line in one write: a killed process leaves whole lines, but for the last one.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("{line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

fn kept() -> TopicConfig {
    TopicConfig::partitions(PARTITIONS)
        .retain_records(RETAINED)
        .when_full(WhenFull::DropOldest)
}

fn start(dir: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["child", "--exact", "--nocapture", "--test-threads=1"])
        .env(DIR, dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

// guarantee: K1
#[test]
fn what_was_acknowledged_outlives_a_kill() {
    if std::env::var(DIR).is_ok() {
        return;
    }
    let kills: u32 = std::env::var("PUSHPULL_KILLS").map_or(25, |kills| kills.parse().unwrap());
    let dir = std::env::temp_dir().join(format!("pushpull-kill-{}", std::process::id()));
    let mut told = Told::default();
    let mut pushed_before = 0;
    for round in 0..kills {
        let mut child = start(&dir);
        let lines = BufReader::new(child.stdout.take().unwrap());
        // From the first word on it may be killed at any moment, also in the middle of a commit or a recovery.
        let patience = 1 + u64::from(round) * 7919 % 97;
        let mut killed = false;
        let mut heard = 0;
        for line in lines.split(b'\n') {
            let line = String::from_utf8(line.unwrap()).unwrap();
            // What the test harness says around it is not for us. Each line was one short write: none is cut off.
            if line.starts_with("pushed ") || line.starts_with("committed ") {
                told.hear(&line);
                heard += 1;
            }
            if !killed && heard > patience * 10 {
                child.kill().unwrap();
                killed = true;
            }
        }
        child.wait().unwrap();
        assert!(killed, "round {round}: the child ended by itself");
        if round % 5 == 4 || round + 1 == kills {
            look(&dir, &told);
        }
        assert!(told.pushed.len() > pushed_before, "nothing was pushed");
        pushed_before = told.pushed.len();
    }
    println!("{kills} kills, {} pushes acknowledged", told.pushed.len());
    std::fs::remove_dir_all(dir).unwrap();
}

/// Opens the store and holds it against what the children were told.
#[tokio::main(flavor = "current_thread")]
async fn look(dir: &Path, told: &Told) {
    let broker = Broker::open(dir, SyncPolicy::Always).await.unwrap();
    let reader = broker.consumer(ConsumerConfig::group("reader").max_in_flight(usize::MAX));
    reader.subscribe(["log"]).await.unwrap();
    let mut found = HashMap::new();
    loop {
        let taken = reader.poll(1000, Duration::ZERO).await.unwrap();
        if taken.is_empty() {
            break;
        }
        for delivery in taken {
            let place = (delivery.position.partition, delivery.position.offset);
            found.insert(
                place,
                String::from_utf8(delivery.record.value.to_vec()).unwrap(),
            );
        }
    }
    for partition in 0..PARTITIONS {
        let first = found
            .keys()
            .filter(|(at, _)| *at == partition)
            .map(|(_, offset)| *offset);
        let (first, last) = (first.clone().min().unwrap(), first.max().unwrap());
        let there = found.keys().filter(|(at, _)| *at == partition).count() as u64;
        assert_eq!(last + 1 - first, there, "partition {partition} has gaps");
        assert!(there <= RETAINED);
        for ((at, offset), value) in &told.pushed {
            if *at == partition && *offset >= first {
                assert_eq!(
                    found.get(&(partition, *offset)),
                    Some(value),
                    "offset {offset}"
                );
            }
            assert!(
                *at != partition || *offset <= last,
                "offset {offset} is gone"
            );
        }
    }
    for ((group, partition), committed) in &told.committed {
        let member = broker.consumer(ConsumerConfig::group(group));
        member.subscribe(["log"]).await.unwrap();
        let known = member.committed("log", *partition).await.unwrap().unwrap();
        assert!(
            known >= *committed,
            "group {group}: {known} for {committed}"
        );
    }
    broker.close().await.unwrap();
}
