//! What is going on inside: counters by name, read in one snapshot.

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
