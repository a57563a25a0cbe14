//! What is going on inside: counters by name, read in one snapshot.
//!
//! Give a name to what you want to see, and take a [`snapshot`](Registry::snapshot) of the [`registry`]:
//!
//! | to see | name it with |
//! |---|---|
//! | a queue | [`queue::Builder::name`](crate::queue::Builder::name) |
//! | batches | [`BatchPolicy::name`](crate::BatchPolicy::name) |
//! | a broadcast | [`broadcast::Builder::name`](crate::broadcast::Builder::name) |
//! | any other stream | [`metered`](crate::PullExt::metered) |
//! | any other sink | [`sink_metered`](crate::PushExt::sink_metered) |
//! | a client of Kafka | `kafka::Options::statistics_every`, without a name |
//!
//! Counting is always on: queues and broadcasts count under the lock that they hold anyway, batching operators once a
//! batch, metered ones by a plain store an item. Without a name the same counters are read from their owner: `stats()` on queues,
//! publishers and batching operators.
//!
//! ```
//! use std::time::Duration;
//!
//! use futures::StreamExt;
//! use pushpull::queue::{self, Overflow};
//! use pushpull::{BatchPolicy, FlushReason, meter, prelude::*};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! let (tx, rx) = queue::builder().capacity(8).overflow(Overflow::DropOldest).name("orders").build();
//! let policy = BatchPolicy::items(4).within(Duration::from_secs(1)).name("rows");
//! let mut rows = rx.metered("pulled").batch_with(policy);
//!
//! for n in 0..10 {
//!     tx.push(n).await.unwrap();
//! }
//! assert_eq!(rows.next().await.unwrap().items, [2, 3, 4, 5]);
//! assert_eq!(rows.next().await.unwrap().items, [6, 7, 8, 9]);
//!
//! let snapshot = meter::registry().snapshot();
//! let orders = snapshot.queue("orders").unwrap();
//! assert_eq!(orders.pushed, orders.pulled + orders.dropped + orders.len as u64);
//! assert_eq!((orders.dropped_oldest, orders.peak_len), (2, 8));
//! assert_eq!(snapshot.operator("pulled").unwrap().items, 8);
//! assert_eq!(snapshot.batch("rows").unwrap().closed_by(FlushReason::Size), 2);
//! assert!(snapshot.queue("other").is_none());
//! println!("{snapshot}");
//! # }
//! ```
//!
//! prints
//!
//! ```text
//! queue   len  capacity  peak  weight  pushed  pulled  dropped  refused  cancelled  push-waits  pull-waits
//! orders    0         8     8       0      10       8        2        0          0           0           0
//!
//! drops   newest  oldest  abandoned
//! orders       0       2          0
//!
//! batch  batches  items  items/batch  shortest  longest  size  weight  age  idle  predicate  end  error  flush
//! rows         2      8          4.0         4        4     2       0    0     0          0    0      0      0
//!
//! operator  items  items/s  waits  errors  age/s  state
//! pulled        8      0.0      0       0  0.000  ready
//! ```
//!
//! # How to read it
//!
//! * **Is it keeping up?** `len` near `capacity` and growing `push-waits`: the consumers are the slow side. `len` near 0
//!   and growing `pull-waits`: the producers are. `peak` near `capacity` with a low `len`: bursts; a larger queue would
//!   take them.
//! * **What is lost?** `dropped` under a drop policy, by reason in the table `drops`; `refused` and `cancelled` items are
//!   still with the producer, or were handed to `on_drop`.
//! * **How long does it take?** Ask for `time_in_queue` when the queue is built (feature `histogram`).
//!   `p99` far beyond `p50` means bursts, both high means a queue that is too long for the rate at which it is pulled.
//! * **Are the batches right?** Many closed by `age` or `idle` never reach their size; all closed by `size`, behind a full
//!   queue, want a larger one.
//! * **Where does it stick?** The first operator of a chain that is `waiting` while the queue before it is not empty.
//! * **How fast is it now?** Take two snapshots and ask for the [rates between them](Snapshot::since).
//!
//! # What holds
//!
//! * An entry is consistent in itself: the equations in the documentation of [`QueueStats`](crate::queue::QueueStats),
//!   [`BatchStats`](crate::batch::BatchStats), [`BroadcastStats`](crate::broadcast::BroadcastStats) and
//!   [`OperatorStats`] hold in each reading. Entries are read one after the other, so items that move from one to the next
//!   in between may show in both or in neither.
//! * The registry keeps nothing alive. The last counters of what has gone are kept until a snapshot has read them, once:
//!   let one place take snapshots and hand them on. Of those that nobody reads, the last 1,024 are kept;
//!   [`forgotten`](Snapshot::forgotten) counts the others.
//! * Of equal names in one list the later ones get an index, `orders#2`, the lowest that is free. A name is free again when
//!   its last counters have been read.
//!
//! # On its way out
//!
//! `Display` makes tables for people. With the feature `serde` a snapshot serializes, durations as seconds. With `metrics`,
//! an `Exporter` publishes it through the `metrics` facade. With `tracing`, `Snapshot::trace` makes an event of each entry.

mod engine;
#[cfg(feature = "metrics")]
mod export;
mod histogram;
mod operator;
mod rates;
mod registry;
mod snapshot;
mod table;
#[cfg(feature = "tracing")]
mod trace;

pub use engine::{EngineEntry, EngineStats};
#[cfg(feature = "metrics")]
#[cfg_attr(docsrs, doc(cfg(feature = "metrics")))]
pub use export::Exporter;
pub use histogram::Percentiles;
pub use operator::{Meter, Metered, SinkMetered};
pub use rates::{BatchRates, BroadcastRates, OperatorRates, QueueRates, Rates};
pub use registry::{Registry, registry};
pub use snapshot::{
    BatchEntry, BroadcastEntry, OperatorEntry, OperatorStats, QueueEntry, Snapshot,
};

#[cfg(feature = "kafka")]
pub(crate) use engine::EngineMeter;
pub(crate) use histogram::{Passed, Sampler, TimeInQueue};
pub(crate) use registry::{Kind, Naming, Reading, Registration, Source};

/// Durations are seconds wherever they are serialized.
#[cfg(feature = "serde")]
fn seconds<S: serde::Serializer>(
    duration: &std::time::Duration,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}
