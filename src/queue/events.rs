//! What a queue says through `tracing`: that it closed, and that items were dropped. Never under the lock.

use super::{DropReason, QueueStats};

/// The queue closed with these counters.
pub(super) fn closed(queue: Option<&str>, stats: &QueueStats) {
    tracing::debug!(
        target: "pushpull::queue",
        queue,
        len = stats.len,
        pushed = stats.pushed,
        pulled = stats.pulled,
        producers = stats.producers,
        consumers = stats.consumers,
        "closed"
    );
}

/// So many items will not be pulled, and have been handed to `on_drop` or dropped.
pub(super) fn dropped(queue: Option<&str>, items: usize, reason: DropReason) {
    let reason = match reason {
        DropReason::Newest => "newest",
        DropReason::Oldest => "oldest",
        DropReason::Cancelled => "cancelled",
        DropReason::Closed => "closed",
        DropReason::Abandoned => "abandoned",
    };
    if items > 0 {
        tracing::debug!(target: "pushpull::queue", queue, items, reason, "dropped");
    }
}
