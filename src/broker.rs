//! Topics, partitions, offsets and groups: two traits for every engine, and a broker inside the process.
//!
//! A [`Producer`] pushes [records](Record) into topics. A topic has partitions, each a log: records get growing offsets and
//! stay until retention removes them. A [`Consumer`] reads as a member of a group: the partitions are divided among the
//! members, and the group's committed offset says how far it has come.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
//! use std::time::Duration;
//! use pushpull::broker::{Broker, Consumer, ConsumerConfig, Producer, Record, TopicConfig};
//!
//! let broker = Broker::in_memory();
//! broker.create_topic("orders", TopicConfig::partitions(4)).await.unwrap();
//!
//! let producer = broker.producer();
//! let position = producer.push(Record::new("orders", "two apples").key("alice")).await.unwrap();
//!
//! let consumer = broker.consumer(ConsumerConfig::group("billing"));
//! consumer.subscribe(["orders"]).await.unwrap();
//! let deliveries = consumer.poll(100, Duration::from_secs(1)).await.unwrap();
//! assert_eq!(deliveries[0].record.value, "two apples");
//! assert_eq!(deliveries[0].position, position);
//! consumer.ack(&deliveries[0]).await.unwrap();
//!
//! // Nothing more has come when the wait is over.
//! assert!(consumer.poll(100, Duration::from_secs(1)).await.unwrap().is_empty());
//! assert!(consumer.subscribe(["invoices"]).await.is_err());
//! # }
//! ```
//!
//! # Where to look
//!
//! * [`Broker`]: in memory, or on disk with the feature `durable`; its [`embedded::Consumer`] and [`embedded::Producer`] are
//!   the types to keep in a struct, or [`BoxConsumer`] and [`BoxProducer`] where the engine is chosen at run time.
//! * `nats::Nats` and `kafka::Kafka`, with the features of these names: the same traits on more than one machine.
//!   [`Capabilities`] says what an engine can do.
//! * [`listen`]: handlers instead of polling.
//! * [`Acker`] and [`Events`]: what to keep when an operator or a listener takes the consumer.
//! * `Broker::mailbox`: messages for a [`Router`](crate::Router) in the same store.

mod acker;
mod boxed;
mod capabilities;
pub(crate) mod check;
mod config;
mod consumer;
mod dead_letter;
mod deliveries;
pub mod embedded;
mod error;
mod events;
pub(crate) mod group;
mod listen;
pub(crate) mod partitioner;
mod producer;
mod record;
#[cfg(any(feature = "kafka", feature = "nats"))]
#[cfg_attr(
    not(any(test, all(feature = "kafka", feature = "nats"))),
    expect(dead_code, reason = "each engine uses its part")
)]
pub(crate) mod remote;

pub use acker::{Acker, Settle, Settled, Verdict};
pub use boxed::{BoxConsumer, BoxProducer};
pub use capabilities::Capabilities;
#[cfg(feature = "durable")]
pub use config::SyncPolicy;
pub use config::{ConsumerConfig, TopicConfig, WhenFull};
pub use consumer::Consumer;
#[doc(inline)]
pub use embedded::Broker;
pub use error::Error;
pub use events::{Event, Events};
pub use listen::{Listen, Listener, ListenerReport, Order, listen};
pub use producer::Producer;
pub use record::{Delivery, Position, Record, Start, Topic};
