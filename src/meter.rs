//! What is going on inside: counters by name, read in one snapshot.

mod export;
mod histogram;
mod operator;
mod registry;
mod snapshot;
mod table;

#[cfg(feature = "metrics")]
#[cfg_attr(docsrs, doc(cfg(feature = "metrics")))]
pub use export::Exporter;
pub use histogram::Percentiles;
pub use operator::{Meter, Metered, SinkMetered};
pub use registry::{Registry, registry};
pub use snapshot::{
    BatchEntry, BatchRates, BroadcastEntry, OperatorEntry, OperatorRates, OperatorStats,
    QueueEntry, QueueRates, Rates, Snapshot,
};

pub(crate) use histogram::{Passed, Sampler, TimeInQueue};
pub(crate) use registry::{Kind, Naming, Reading, Registration, Source};
