//! What is going on inside: counters by name, read in one snapshot.

mod registry;
mod snapshot;

pub use registry::{Registry, registry};
pub use snapshot::{BroadcastEntry, OperatorEntry, OperatorStats, QueueEntry, Snapshot};

#[expect(
    unused_imports,
    reason = "for the queue and the broadcast, which are to come"
)]
pub(crate) use registry::{Kind, Naming, Reading, Registration, Source};
#[expect(unused_imports, reason = "for the queue, which is to come")]
pub(crate) use snapshot::QueueReading;
