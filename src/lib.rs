//! Push into a [`Sink`](futures_sink::Sink), pull from a [`Stream`](futures_core::Stream), and everything that belongs
//! between the two: bounded queues, batches by size or time, rate limits, broadcast, meters, pumps.
//!
#![cfg_attr(feature = "rate", doc = "```")]
#![cfg_attr(not(feature = "rate"), doc = "```ignore")]
//! use std::time::Duration;
//!
//! use pushpull::prelude::*;
//! use pushpull::{Overflow, RateLimit, push, queue};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (tx, rx) =
//!     queue::builder().capacity(10_000).overflow(Overflow::DropOldest).name("ingest").build();
//! for reading in 0..250 {
//!     tx.push(reading).await?;
//! }
//! tx.close();
//! assert!(tx.push(250).await.unwrap_err().is_closed());
//!
//! let store = push::each(|rows: Vec<i32>| async move {
//!     if rows.is_empty() { Err("an empty batch") } else { Ok(()) }
//! });
//! let pumped = rx
//!     .batch(100, Duration::from_secs(1))
//!     .rate_limit(RateLimit::per_second(50))
//!     .pump_into(store)
//!     .await
//!     .map_err(|failed| failed.error)?;
//! assert_eq!(pumped.items, 3); // batches of 100, 100 and 50
//! # Ok(())
//! # }
//! ```
//!
//! # Where to look
//!
//! * [`queue`]: many producers, many consumers, each item to one of them.
//! * [`PullExt`]: what can be done to every stream: `batch`, `rate_limit`, `buffer`, `broadcast`, `metered`, `pump_into`.
//! * [`PushExt`]: what can be done to every sink: `sink_batch`, `sink_rate_limit`, `sink_metered`, `spawn`.
//! * [`push`]: sinks to start from: an async function, one that reconnects, many as one.
//! * [`batch`]: when a batch closes, and why it did.
#![cfg_attr(
    feature = "rate",
    doc = "* [`rate`]: token buckets that shape or police, shared, keyed, changed live."
)]
//! * [`broadcast`]: every item to every subscriber, each with a policy of its own.
#![cfg_attr(
    feature = "broker",
    doc = "* [`broker`]: topics, partitions, offsets and groups; in memory or on disk."
)]
#![cfg_attr(
    feature = "nats",
    doc = "* [`nats`]: the broker's traits on NATS JetStream."
)]
#![cfg_attr(feature = "kafka", doc = "* [`kafka`]: the broker's traits on Kafka.")]
//! * [`router`]: messages to keys, to every connection of the key and to its mailbox.
//! * [`pump`]: moving items from a stream into a sink, and shutting down.
//! * [`meter`]: everything that has a name, in one snapshot.
//!
//! # What holds everywhere
//!
//! * Bounds are exact, and nothing is allocated ahead for them.
//! * Nothing is lost unseen: errors give the item back, what is dropped is counted.
//! * Each async function says under *Cancel safety* what a dropped future leaves behind. A wake is never lost with it.
//! * Time is tokio's clock, so everything is exact under `tokio::time::pause`.
//! * User code runs outside of locks: it may be slow, panic, or use the same queue again. The one exception is the `Hash`
//!   and `Eq` of keys that rates are limited by or messages are routed to.
//! * Nothing is spawned unless the documentation says so, and what is spawned ends with its handle.
//! * A chain that is always ready spends tokio's cooperative budget and lets its neighbours run.

#![warn(missing_docs)]
#![cfg_attr(not(test), warn(clippy::unwrap_used))]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod batch;
mod block;
pub mod broadcast;
#[cfg(feature = "broker")]
#[cfg_attr(docsrs, doc(cfg(feature = "broker")))]
pub mod broker;
mod coop;
#[cfg(feature = "kafka")]
#[cfg_attr(docsrs, doc(cfg(feature = "kafka")))]
pub mod kafka;
pub mod meter;
#[cfg(feature = "nats")]
#[cfg_attr(docsrs, doc(cfg(feature = "nats")))]
pub mod nats;
pub mod pull;
pub mod pump;
pub mod push;
pub mod queue;
#[cfg(feature = "rate")]
pub mod rate;
pub mod router;
mod sync;
mod wake;

#[cfg(feature = "retry")]
#[cfg_attr(docsrs, doc(cfg(feature = "retry")))]
pub use backon;
pub use batch::{Batch, BatchPolicy, FlushReason};
pub use broadcast::{Lagged, Lossy};
pub use pull::PullExt;
pub use push::PushExt;
pub use queue::{Overflow, PullError, PushError};
#[cfg(feature = "rate")]
pub use rate::{KeyedRateLimiter, Limited, RateLimit, RateLimiter};
pub use router::Router;

/// The two extension traits, and nothing else.
pub mod prelude {
    pub use crate::{PullExt, PushExt};
}

/// The examples of the README, run with those of the documentation.
#[cfg(all(doctest, feature = "rate", feature = "durable"))]
#[doc = include_str!("../README.md")]
struct Readme;

/// Those of the page on engines.
#[cfg(all(doctest, feature = "kafka", feature = "nats"))]
#[doc = include_str!("../docs/engines.md")]
struct Engines;
