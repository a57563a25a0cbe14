//! NATS JetStream, beside `async-nats`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::jetstream::consumer::{AckPolicy, Consumer as Handle, pull};
use async_nats::jetstream::context::{Context, PublishAckFuture};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{Config, StorageType};
use futures::{StreamExt, stream};
use pushpull::broker::{Consumer as _, ConsumerConfig, Topic, TopicConfig};
use pushpull::nats::{Consumer, Nats, Options, Producer};
use tokio::runtime::Runtime;

use crate::harness::{Case, Contender};
use crate::ours::{self, MANY, SIZE};
use crate::{Held, TARGET, on, runtime};

/// How many pushes may be under way, where they are made one by one.
const FLIGHT: usize = 256;
/// How many our sink has under way.
const SINK: usize = 1024;
/// How many `push_many` is given at once.
const AT_ONCE: usize = 500;

pub(crate) fn cases(url: &str) -> Vec<Held> {
    let push: [(_, Pushed<Ours>, Pushed<Bare>); 3] = [
        ("push, one by one", Ours::push, Bare::push),
        ("push as a sink", Ours::sink, Bare::window),
        ("push_many", Ours::push_many, Bare::many),
    ];
    let mut cases: Vec<Held> = push
        .into_iter()
        .enumerate()
        .map(|(n, (name, ours, bare))| {
            let ours = on(url, format!("ours-{n}"), Ours::new, ours);
            let bare = on(url, format!("bare-{n}"), Bare::new, bare);
            held(name, ours, bare, 20_000)
        })
        .collect();
    let ours = on(url, "ours-read".into(), Ours::new, Ours::read);
    let bare = on(url, "bare-read".into(), Bare::new, Bare::read);
    cases.push(held("poll, ack", ours, bare, 20_000));
    cases
}

type Pushed<T> = fn(&mut T, u64) -> Duration;

fn held(
    name: &str,
    ours: impl Fn(u64) -> Duration + Send + Sync + 'static,
    bare: impl Fn(u64) -> Duration + Send + Sync + 'static,
    items: u64,
) -> Held {
    let contenders = vec![Contender::ours(ours), Contender::peer("async-nats", bare)];
    let case = Case::new(name, "MT2", contenders).items(items);
    Held {
        case,
        target: TARGET,
    }
}

struct Ours {
    runtime: Arc<Runtime>,
    nats: Nats,
    producer: Producer,
    consumer: Option<Consumer>,
    topic: Topic,
}

impl Ours {
    fn new(url: &str, topic: &str) -> Self {
        let runtime = Arc::new(runtime());
        let nats = runtime.block_on(async {
            let nats = Nats::connect(url, Options::new().in_memory(true)).await?;
            nats.create_topic(topic, TopicConfig::partitions(1)).await?;
            Ok::<_, pushpull::broker::Error>(nats)
        });
        let nats = nats.expect("a topic");
        Self {
            runtime,
            producer: nats.producer(),
            nats,
            consumer: None,
            topic: topic.into(),
        }
    }

    fn push(&mut self, items: u64) -> Duration {
        let runtime = Arc::clone(&self.runtime);
        runtime.block_on(ours::push(&self.producer, &self.topic, items, FLIGHT))
    }

    fn sink(&mut self, items: u64) -> Duration {
        let runtime = Arc::clone(&self.runtime);
        runtime.block_on(ours::sink(&mut self.producer, &self.topic, items))
    }

    fn push_many(&mut self, items: u64) -> Duration {
        let runtime = Arc::clone(&self.runtime);
        runtime.block_on(ours::push_many(&self.producer, &self.topic, items, AT_ONCE))
    }

    fn read(&mut self, items: u64) -> Duration {
        let runtime = Arc::clone(&self.runtime);
        runtime.block_on(async {
            if self.consumer.is_none() {
                let consumer = self.nats.consumer(ConsumerConfig::group("bench"));
                consumer.subscribe([&self.topic]).await.expect("the topic");
                self.consumer = Some(consumer);
            }
            ours::push_many(&self.producer, &self.topic, items, AT_ONCE).await;
            let consumer = self.consumer.as_ref().expect("it has subscribed");
            ours::consume(consumer, items).await
        })
    }
}

/// As the client's documentation has it: message ids, acknowledgements waited for, explicit acks.
struct Bare {
    runtime: Arc<Runtime>,
    jetstream: Context,
    messages: Option<pull::Stream>,
    subject: String,
    name: String,
}

impl Bare {
    fn new(url: &str, topic: &str) -> Self {
        let runtime = Arc::new(runtime());
        let subject = format!("{topic}.0");
        let config = Config {
            name: topic.to_owned(),
            subjects: vec![subject.clone()],
            storage: StorageType::Memory,
            ..Config::default()
        };
        let jetstream = runtime.block_on(async {
            let client = async_nats::connect(url).await?;
            let jetstream = async_nats::jetstream::new(client);
            jetstream.create_stream(config).await?;
            Ok::<_, async_nats::Error>(jetstream)
        });
        Self {
            runtime,
            jetstream: jetstream.expect("a stream"),
            messages: None,
            subject,
            name: topic.to_owned(),
        }
    }

    async fn publish(&self) -> PublishAckFuture {
        let message = PublishMessage::build()
            .payload(ours::payload().into())
            .message_id(ours::id());
        let sent = self.jetstream.send_publish(self.subject.clone(), message);
        sent.await.expect("it is sent")
    }

    fn push(&mut self, items: u64) -> Duration {
        self.runtime.block_on(async {
            let start = Instant::now();
            let mut pushes = stream::iter(0..items)
                .map(async |_| self.publish().await.await)
                .buffered(FLIGHT);
            let mut pushed = 0;
            while let Some(ack) = pushes.next().await {
                ack.expect("it is stored");
                pushed += 1;
            }
            let took = start.elapsed();
            assert_eq!(pushed, items, "some are missing");
            took
        })
    }

    fn window(&mut self, items: u64) -> Duration {
        self.runtime.block_on(async {
            let start = Instant::now();
            let mut acks = VecDeque::with_capacity(SINK);
            for _ in 0..items {
                if acks.len() == SINK {
                    let oldest: PublishAckFuture = acks.pop_front().expect("there are some");
                    oldest.await.expect("it is stored");
                }
                acks.push_back(self.publish().await);
            }
            for ack in acks {
                ack.await.expect("it is stored");
            }
            start.elapsed()
        })
    }

    fn many(&mut self, items: u64) -> Duration {
        let runtime = Arc::clone(&self.runtime);
        runtime.block_on(self.publish_many(items))
    }

    async fn publish_many(&self, items: u64) -> Duration {
        let start = Instant::now();
        let mut left = items;
        while left > 0 {
            let count = left.min(AT_ONCE as u64);
            let mut acks = Vec::with_capacity(AT_ONCE);
            for _ in 0..count {
                acks.push(self.publish().await);
            }
            for ack in acks {
                ack.await.expect("it is stored");
            }
            left -= count;
        }
        start.elapsed()
    }

    async fn messages(&self) -> Result<pull::Stream, async_nats::Error> {
        let config = pull::Config {
            durable_name: Some("bench".to_owned()),
            ack_policy: AckPolicy::Explicit,
            max_ack_pending: -1, // what is asked for bounds what is out, as with ours
            ..pull::Config::default()
        };
        let stream = self.jetstream.get_stream(&self.name).await?;
        let consumer: Handle<pull::Config> = stream.create_consumer(config).await?;
        Ok(consumer
            .stream()
            .max_messages_per_batch(MANY)
            .messages()
            .await?)
    }

    fn read(&mut self, items: u64) -> Duration {
        let runtime = Arc::clone(&self.runtime);
        runtime.block_on(async {
            if self.messages.is_none() {
                self.messages = Some(self.messages().await.expect("a consumer"));
            }
            self.publish_many(items).await;
            let messages = self.messages.as_mut().expect("there is one");
            let start = Instant::now();
            let mut bytes = 0;
            for left in (0..items).rev() {
                let message = messages.next().await.expect("it goes on");
                let message = message.expect("it can be read");
                bytes += message.payload.len();
                if left > 0 {
                    message.ack().await.expect("it is sent");
                } else {
                    message.double_ack().await.expect("all are stored");
                }
            }
            let took = start.elapsed();
            assert_eq!(bytes, SIZE * usize::try_from(items).expect("so many fit"));
            took
        })
    }
}
