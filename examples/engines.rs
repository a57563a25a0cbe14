//! One program on every engine: earthquakes into a topic, and two groups that read them, the one in batches at a limited rate,
//! the other as a listener. What it prints on standard output is the same for each.
//!
//! `cargo run --example engines --features full -- --engine nats`

mod support;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::error::Error;
use std::fmt;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Parser, ValueEnum};
use futures::stream;
use pushpull::broker::{
    self, BoxConsumer, BoxProducer, Broker, Consumer, ConsumerConfig, Delivery, Listen, Order,
    TopicConfig, listen,
};
use pushpull::prelude::*;
use pushpull::pump::PumpError;
use pushpull::push;
use pushpull::rate::RateLimit;
use support::quakes;
use tokio_util::sync::CancellationToken;

const PARTITIONS: u32 = 4;

/// Runs the earthquake feed through a broker's topic, on the engine of your choice.
#[derive(Debug, Parser)]
#[command(name = "engines")]
struct Args {
    /// Where the topic is
    #[arg(long, value_enum, default_value_t = Choice::Memory)]
    engine: Choice,

    /// A NATS server with JetStream [default: one that is started for the run, or nats://127.0.0.1:4222]
    #[arg(long, value_name = "URL")]
    url: Option<String>,

    /// Kafka's brokers, `host:port` separated by commas [default: librdkafka's mock, in this process]
    #[arg(long, value_name = "LIST")]
    brokers: Option<String>,

    /// The topic. It is created, and must be empty [default: one of this run's own; on a server it stays]
    #[arg(long, value_name = "NAME")]
    topic: Option<String>,

    /// How long the groups may take
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    patience: u64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Choice {
    /// In this process, for as long as it runs
    Memory,
    /// In this process and on its disk; here in a directory that goes with the run
    Durable,
    /// A NATS server with JetStream
    Nats,
    /// A Kafka cluster
    Kafka,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("engines: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<(), Box<dyn Error>> {
    let engine = Engine::start(&args).await?;
    let topic = args.topic.clone().unwrap_or_else(of_this_run);
    eprintln!(
        "{}, topic {topic}",
        engine.consumer("who").capabilities().engine
    );
    engine.create_topic(&topic).await?;

    let quakes = quakes::records(&topic)?;
    let count = quakes.len();
    // A producer is a sink: the pump flushes it at the end, and then the engine has acknowledged all of them.
    let pushed = stream::iter(quakes).pump_into(engine.producer()).await?;
    println!(
        "{} earthquakes pushed into {PARTITIONS} partitions",
        pushed.items
    );

    let patience = Duration::from_secs(args.patience);
    println!("\nin batches:");
    print!(
        "{}",
        in_batches(engine.consumer("census"), &topic, count, patience).await?
    );
    println!("\nas a listener:");
    print!(
        "{}",
        as_a_listener(engine.consumer("alerts"), &topic, count, patience).await?
    );
    engine.close().await
}

/// A group that takes up to 100 at a time, and no more than 200 batches a second.
async fn in_batches(
    mut consumer: BoxConsumer,
    topic: &str,
    count: usize,
    patience: Duration,
) -> Result<Ledger, Box<dyn Error>> {
    consumer.subscribe([topic]).await?;
    let acker = consumer.acker();
    let ledger = Mutex::new(Ledger::default());
    let done = CancellationToken::new();

    let enter = push::each(|batch: Result<Vec<Delivery>, broker::Error>| async {
        for delivery in batch? {
            let seen = enter(&ledger, &delivery);
            settled(acker.ack(&delivery).await)?;
            if seen == count {
                done.cancel();
            }
        }
        Ok::<_, broker::Error>(())
    });
    let pump = (&mut consumer)
        .try_batch(100, Duration::from_millis(50))
        .rate_limit(RateLimit::per_second(200))
        .pump_into(enter)
        .until(done.cancelled());
    match tokio::time::timeout(patience, pump).await {
        Ok(pumped) => pumped.map_err(PumpError::into_error)?,
        Err(_) => return Err(late(&ledger, count, patience)),
    };

    consumer.commit().await?;
    for (topic, partition) in consumer.assignment() {
        let left = consumer.lag(&topic, partition).await?;
        if left > 0 {
            return Err(format!("{left} of partition {partition} are not acknowledged").into());
        }
    }
    consumer.close().await?;
    finished(
        ledger.into_inner().unwrap_or_else(PoisonError::into_inner),
        count,
    )
}

/// A group that handles eight at once, those of one network one after the other.
async fn as_a_listener(
    consumer: BoxConsumer,
    topic: &str,
    count: usize,
    patience: Duration,
) -> Result<Ledger, Box<dyn Error>> {
    consumer.subscribe([topic]).await?;
    let ledger = Arc::new(Mutex::new(Ledger::default()));
    let done = CancellationToken::new();

    let (book, all) = (Arc::clone(&ledger), done.clone());
    let listener = listen(
        consumer,
        Listen::new(8).order(Order::Key),
        move |delivery| {
            if enter(&book, &delivery) == count {
                all.cancel();
            }
            async { Ok::<_, String>(()) }
        },
    );
    let ended = tokio::time::timeout(patience, done.cancelled()).await;
    let report = listener.stop(Duration::from_secs(10)).await; // acknowledges what is in hand first
    if let Some(error) = report.last_error {
        return Err(error.into());
    }
    if ended.is_err() {
        return Err(late(&ledger, count, patience));
    }
    let ledger = std::mem::take(&mut *ledger.lock().unwrap_or_else(PoisonError::into_inner));
    finished(ledger, count)
}

/// What a group has seen.
#[derive(Default)]
struct Ledger {
    ids: HashSet<String>,
    /// When the last earthquake of each network was.
    last: HashMap<String, String>,
    /// How many of each network there are in each partition.
    partitions: BTreeMap<u32, BTreeMap<String, u64>>,
    again: u64,
    out_of_order: u64,
}

/// Writes a delivery down, and says how many different ones there are now.
fn enter(ledger: &Mutex<Ledger>, delivery: &Delivery) -> usize {
    let mut ledger = ledger.lock().unwrap_or_else(PoisonError::into_inner);
    let record = &delivery.record;
    // At least once: the id tells what came twice.
    if !ledger.ids.insert(record.id.clone().unwrap_or_default()) {
        ledger.again += 1;
        return ledger.ids.len();
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let network = text(record.key.as_deref().unwrap_or_default());
    let time = text(record.header_value("time").map_or(b"", |time| time));
    let last = ledger.last.insert(network.clone(), time.clone());
    ledger.out_of_order += u64::from(last.is_some_and(|last| last > time));
    let partition = delivery.position.partition;
    *ledger
        .partitions
        .entry(partition)
        .or_default()
        .entry(network)
        .or_default() += 1;
    ledger.ids.len()
}

/// An acknowledgement that came too late changes nothing: the record is delivered again.
fn settled(answer: Result<(), broker::Error>) -> Result<(), broker::Error> {
    match answer {
        Err(error) if error.is_fenced() => Ok(()),
        answer => answer,
    }
}

fn finished(ledger: Ledger, count: usize) -> Result<Ledger, Box<dyn Error>> {
    if ledger.ids.len() != count || ledger.ids.contains("") {
        return Err(format!("{} different ones came, not {count}", ledger.ids.len()).into());
    }
    if ledger.out_of_order > 0 {
        return Err(format!(
            "{} came before an earlier one of their network",
            ledger.out_of_order
        )
        .into());
    }
    if ledger.again > 0 {
        eprintln!("{} came twice", ledger.again);
    }
    Ok(ledger)
}

fn late(ledger: &Mutex<Ledger>, count: usize, patience: Duration) -> Box<dyn Error> {
    let came = ledger
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .ids
        .len();
    format!("{came} of {count} have come in {patience:?}; --patience gives them more time").into()
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (partition, networks) in &self.partitions {
            let quakes: u64 = networks.values().sum();
            write!(f, "  partition {partition}: {quakes:>4} of")?;
            for (network, quakes) in networks {
                write!(f, " {network} ({quakes})")?;
            }
            writeln!(f)?;
        }
        let (quakes, networks) = (self.ids.len(), self.last.len());
        writeln!(
            f,
            "  {quakes} of {networks} networks, each network's in order"
        )
    }
}

fn of_this_run() -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    format!("quakes-{}", now.as_millis())
}

/// The engine, and what has to live as long as it does.
enum Engine {
    Memory(Broker),
    #[cfg(feature = "durable")]
    Durable(Broker, std::path::PathBuf),
    #[cfg(feature = "nats")]
    Nats(pushpull::nats::Nats, Option<support::nats::Server>),
    #[cfg(feature = "kafka")]
    Kafka(
        pushpull::kafka::Kafka,
        Option<pushpull::kafka::testing::Cluster>,
    ),
}

impl Engine {
    async fn start(args: &Args) -> Result<Self, Box<dyn Error>> {
        match args.engine {
            Choice::Memory => Ok(Self::Memory(Broker::in_memory())),
            #[cfg(feature = "durable")]
            Choice::Durable => {
                let dir = std::env::temp_dir().join(format!("pushpull-{}", of_this_run()));
                let broker = Broker::open(&dir, broker::SyncPolicy::Always).await?;
                Ok(Self::Durable(broker, dir))
            }
            #[cfg(feature = "nats")]
            Choice::Nats => {
                let (nats, server) = support::nats::connect(args.url.as_deref()).await?;
                Ok(Self::Nats(nats, server))
            }
            #[cfg(feature = "kafka")]
            Choice::Kafka => {
                use pushpull::kafka::{Kafka, Options, testing::Cluster};

                let options = Options::new();
                if let Some(brokers) = &args.brokers {
                    return Ok(Self::Kafka(Kafka::connect(brokers, options).await?, None));
                }
                let cluster = Cluster::start(1)?;
                let kafka = cluster.connect(options).await?;
                Ok(Self::Kafka(kafka, Some(cluster)))
            }
            #[cfg(not(all(feature = "durable", feature = "nats", feature = "kafka")))]
            other => {
                let feature = format!("{other:?}").to_lowercase();
                Err(format!(
                    "this was built without the feature `{feature}`: cargo run --example engines \
                     --features rate,{feature} -- --engine {feature}"
                )
                .into())
            }
        }
    }

    async fn create_topic(&self, name: &str) -> Result<(), broker::Error> {
        let config = TopicConfig::partitions(PARTITIONS);
        match self {
            Self::Memory(broker) => broker.create_topic(name, config).await,
            #[cfg(feature = "durable")]
            Self::Durable(broker, _) => broker.create_topic(name, config).await,
            #[cfg(feature = "nats")]
            Self::Nats(nats, _) => nats.create_topic(name, config).await,
            #[cfg(feature = "kafka")]
            Self::Kafka(kafka, _) => kafka.create_topic(name, config).await,
        }
    }

    fn producer(&self) -> BoxProducer {
        match self {
            Self::Memory(broker) => BoxProducer::new(broker.producer()),
            #[cfg(feature = "durable")]
            Self::Durable(broker, _) => BoxProducer::new(broker.producer()),
            #[cfg(feature = "nats")]
            Self::Nats(nats, _) => BoxProducer::new(nats.producer()),
            #[cfg(feature = "kafka")]
            Self::Kafka(kafka, _) => BoxProducer::new(kafka.producer()),
        }
    }

    fn consumer(&self, group: &str) -> BoxConsumer {
        let config = ConsumerConfig::group(group);
        match self {
            Self::Memory(broker) => BoxConsumer::new(broker.consumer(config)),
            #[cfg(feature = "durable")]
            Self::Durable(broker, _) => BoxConsumer::new(broker.consumer(config)),
            #[cfg(feature = "nats")]
            Self::Nats(nats, _) => BoxConsumer::new(nats.consumer(config)),
            #[cfg(feature = "kafka")]
            Self::Kafka(kafka, _) => BoxConsumer::new(kafka.consumer(config)),
        }
    }

    async fn close(self) -> Result<(), Box<dyn Error>> {
        match self {
            Self::Memory(broker) => broker.close().await?,
            #[cfg(feature = "durable")]
            Self::Durable(broker, dir) => {
                broker.close().await?;
                std::fs::remove_dir_all(dir)?;
            }
            #[cfg(feature = "nats")]
            Self::Nats(nats, _server) => nats.close().await?,
            #[cfg(feature = "kafka")]
            Self::Kafka(kafka, _cluster) => kafka.close().await?,
        }
        Ok(())
    }
}
