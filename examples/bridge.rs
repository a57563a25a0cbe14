//! A bridge: copies a topic from the embedded broker to NATS, and back into another topic, and compares all three. A record is
//! acknowledged at its source when the target has acknowledged it, so each arrives at least once; the bridge is killed once on
//! the way, and its ids keep what it then sends again from being stored twice.
//!
//! `cargo run --example bridge --features nats`

mod support;

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::env;
use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use clap::Parser;
use pushpull::broker::{
    self, BoxConsumer, BoxProducer, Broker, Consumer, ConsumerConfig, Delivery, Producer, Record,
    TopicConfig,
};
use pushpull::nats::Nats;
use pushpull::prelude::*;
use pushpull::pump::PumpError;
use pushpull::push;
use support::{nats, quakes};
use tokio_util::sync::CancellationToken;

const PARTITIONS: u32 = 4;
const PATIENCE: Duration = Duration::from_secs(60);

/// Copies a topic to NATS and back.
#[derive(Debug, Parser)]
#[command(name = "bridge")]
struct Args {
    /// A NATS server with JetStream [default: one that is started for the run, or nats://127.0.0.1:4222]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let (nats, _server) = match nats::connect(args.url.as_deref()).await {
        Ok(connected) => connected,
        Err(error) if env::var("PUSHPULL_SKIP_NATS").is_ok_and(|skip| skip == "1") => {
            println!("skipped, as PUSHPULL_SKIP_NATS has it: {error}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("bridge: {error}; PUSHPULL_SKIP_NATS=1 does without");
            return ExitCode::FAILURE;
        }
    };
    match run(&nats).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bridge: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(nats: &Nats) -> Result<(), Box<dyn Error>> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
    let there = format!("quakes-{now}"); // the server may be in use
    let config = TopicConfig::partitions(PARTITIONS);
    let broker = Broker::in_memory();
    broker.create_topic("quakes", config).await?;
    broker.create_topic("quakes.back", config).await?;
    nats.create_topic(&there, config).await?;

    let mut records: VecDeque<Record> = quakes::records("quakes")?.into();
    records.extend(odd_ones());
    let count = records.len();
    broker.producer().push_many(&mut records).await?;

    let reader = |group| BoxConsumer::new(broker.consumer(ConsumerConfig::group(group)));
    let distant = |group| BoxConsumer::new(nats.consumer(ConsumerConfig::group(group)));
    let to_nats = BoxProducer::new(nats.producer());
    let to_broker = BoxProducer::new(broker.producer());

    let first = Copy {
        to: &there,
        count,
        lives: 3,
    };
    let done = first.run(reader("bridge"), "quakes", &to_nats).await?;
    println!("copied {done}, then died with a batch that was on NATS and not acknowledged here");
    let second = Copy {
        count: count - done,
        lives: usize::MAX,
        ..first
    };
    let rest = second.run(reader("bridge"), "quakes", &to_nats).await?;
    println!("a second bridge went on where the first was: {rest}");
    let back = Copy {
        to: "quakes.back",
        count,
        lives: usize::MAX,
    };
    let done = back.run(distant("bridge"), &there, &to_broker).await?;
    println!("copied {done} back");

    let here = read(reader("compare"), "quakes", count).await?;
    let beyond = read(distant("compare"), &there, count).await?;
    let returned = read(reader("compare"), "quakes.back", count).await?;
    same("on NATS", &here, &beyond)?;
    same("back from NATS", &here, &returned)?;
    nats.close().await?;
    Ok(broker.close().await?)
}

/// Copies into the topic `to` until `count` records are acknowledged at their source, or dies with a batch.
#[derive(Clone, Copy)]
struct Copy<'a> {
    to: &'a str,
    count: usize,
    /// The batch that it dies with.
    lives: usize,
}

impl Copy<'_> {
    /// How many were acknowledged at their source.
    async fn run(
        self,
        mut source: BoxConsumer,
        from: &str,
        target: &BoxProducer,
    ) -> Result<usize, Box<dyn Error>> {
        source.subscribe([from]).await?;
        let acker = source.acker();
        let (done, batches) = (Cell::new(0), Cell::new(0));
        let over = CancellationToken::new();

        let copy = push::each(|batch: Result<Vec<Delivery>, broker::Error>| async {
            let batch = batch?;
            if over.is_cancelled() {
                return Ok(()); // the pump had one more in hand when this died
            }
            let mut records = batch.iter().map(|delivery| self.copied(delivery)).collect();
            // In their order, many on their way at once. When this returns, the target has acknowledged all of them.
            target.push_many(&mut records).await?;
            batches.set(batches.get() + 1);
            if batches.get() == self.lives {
                over.cancel();
                return Ok(());
            }
            for delivery in &batch {
                match acker.ack(delivery).await {
                    Ok(()) => done.set(done.get() + 1),
                    Err(error) if error.is_fenced() => {} // it comes again
                    Err(error) => return Err(error),
                }
            }
            if done.get() >= self.count {
                over.cancel();
            }
            Ok::<_, broker::Error>(())
        });
        let pump = (&mut source)
            .try_batch(256, Duration::from_millis(50))
            .pump_into(copy)
            .until(over.cancelled());
        match tokio::time::timeout(PATIENCE, pump).await {
            Ok(pumped) => pumped.map_err(PumpError::into_error)?,
            Err(_) => {
                let (done, count) = (done.get(), self.count);
                return Err(format!("{done} of {count} were copied in {PATIENCE:?}").into());
            }
        };
        if batches.get() < self.lives {
            source.commit().await?;
            source.close().await?;
        }
        Ok(done.get())
    }

    /// The same record for the other topic, into the same partition.
    fn copied(&self, delivery: &Delivery) -> Record {
        let mut record = delivery.record.clone();
        record.topic = self.to.into();
        record.partition(delivery.position.partition)
    }
}

/// Records that a bridge could stumble over.
fn odd_ones() -> Vec<Record> {
    let odd = |id: &str, value: &'static [u8]| Record::new("quakes", value).id(id);
    vec![
        odd("no key", b"a").partition(0),
        odd("nothing in it", b"").key(""),
        odd("a key in bytes", b"\0\xff").key(vec![0, 13, 10, 255]),
        odd("a name twice", b"b")
            .key("k")
            .header("note", "one")
            .header("note", "two"),
        odd("bytes in a header", b"c")
            .key("k")
            .header("Raw", vec![0, 13, 10, 255])
            .header("raw", ""),
        odd("no plain name", b"d")
            .key("k")
            .header("a: b\r\n", "e")
            .header("\u{e4}", "\u{f6} "),
    ]
}

/// What makes a record what it is, wherever it lies.
type Content = (Option<Bytes>, Bytes, Vec<(String, Bytes)>, Option<String>);

/// All records of a topic by partition, in their order.
async fn read(
    consumer: BoxConsumer,
    topic: &str,
    count: usize,
) -> Result<BTreeMap<u32, Vec<Content>>, broker::Error> {
    consumer.subscribe([topic]).await?;
    let mut partitions: BTreeMap<u32, Vec<Content>> = BTreeMap::new();
    let mut came = 0;
    loop {
        // When all have come there must be no more.
        let wait = if came < count {
            PATIENCE
        } else {
            Duration::from_millis(200)
        };
        let deliveries = consumer.poll(1000, wait).await?;
        if deliveries.is_empty() {
            break;
        }
        came += deliveries.len();
        for delivery in deliveries {
            consumer.ack(&delivery).await?;
            let Delivery {
                record, position, ..
            } = delivery;
            let content = (record.key, record.value, record.headers, record.id);
            partitions
                .entry(position.partition)
                .or_default()
                .push(content);
        }
    }
    consumer.close().await?;
    Ok(partitions)
}

/// Says how the copies compare.
fn same(
    place: &str,
    originals: &BTreeMap<u32, Vec<Content>>,
    copies: &BTreeMap<u32, Vec<Content>>,
) -> Result<(), Box<dyn Error>> {
    for (partition, originals) in originals {
        let copies = copies.get(partition).map_or(&[][..], |copies| copies);
        let pairs = originals.iter().zip(copies);
        if let Some((original, copy)) = pairs.clone().find(|(original, copy)| original != copy) {
            return Err(
                format!("{place}, in partition {partition}: {original:?} became {copy:?}").into(),
            );
        }
        let (all, copied) = (originals.len(), copies.len());
        if all != copied {
            return Err(
                format!("{place}, partition {partition} has {copied} records, not {all}").into(),
            );
        }
    }
    let all: usize = originals.values().map(Vec::len).sum();
    println!(
        "{place}: the same {all} records, keys, headers and ids, in the same order in each partition"
    );
    Ok(())
}
