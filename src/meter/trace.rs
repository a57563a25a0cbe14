//! Snapshots handed on to `tracing`.

use super::Snapshot;
use crate::batch::FlushReason;

impl Snapshot {
    /// Emits one `tracing` event an entry, at level `INFO` with the target `pushpull::meter`.
    ///
    /// The entry's kind is the message, its name the field of that kind (`queue = "orders"`), its counters are fields
    /// under the names they have in the statistics.
    pub fn trace(&self) {
        for entry in &self.queues {
            tracing::info!(
                target: "pushpull::meter",
                queue = %entry.name,
                gone = entry.gone,
                len = entry.len,
                capacity = entry.capacity,
                peak_len = entry.peak_len,
                weight = entry.weight,
                pushed = entry.pushed,
                pulled = entry.pulled,
                dropped_newest = entry.dropped_newest,
                dropped_oldest = entry.dropped_oldest,
                abandoned = entry.abandoned,
                refused = entry.refused,
                cancelled = entry.cancelled,
                producer_waits = entry.producer_waits,
                consumer_waits = entry.consumer_waits,
                p50_seconds = entry.time_in_queue.map(|times| times.p50.as_secs_f64()),
                p99_seconds = entry.time_in_queue.map(|times| times.p99.as_secs_f64()),
                "queue"
            );
        }
        for entry in &self.batches {
            tracing::info!(
                target: "pushpull::meter",
                batch = %entry.name,
                gone = entry.gone,
                batches = entry.batches,
                items = entry.items,
                shortest = entry.shortest,
                longest = entry.longest,
                size = entry.closed_by(FlushReason::Size),
                weight = entry.closed_by(FlushReason::Weight),
                age = entry.closed_by(FlushReason::Age),
                idle = entry.closed_by(FlushReason::Idle),
                predicate = entry.closed_by(FlushReason::Predicate),
                end = entry.closed_by(FlushReason::End),
                error = entry.closed_by(FlushReason::Error),
                flush = entry.closed_by(FlushReason::Flush),
                "batch"
            );
        }
        for entry in &self.broadcasts {
            tracing::info!(
                target: "pushpull::meter",
                broadcast = %entry.name,
                gone = entry.gone,
                len = entry.len,
                capacity = entry.capacity,
                peak_len = entry.peak_len,
                subscribers = entry.subscribers,
                published = entry.published,
                sent = entry.sent,
                delivered = entry.delivered,
                missed = entry.missed,
                abandoned = entry.abandoned,
                unread = entry.unread,
                disconnected = entry.disconnected,
                publisher_waits = entry.publisher_waits,
                subscriber_waits = entry.subscriber_waits,
                "broadcast"
            );
        }
        for entry in &self.operators {
            tracing::info!(
                target: "pushpull::meter",
                operator = %entry.name,
                gone = entry.gone,
                items = entry.items,
                waits = entry.waits,
                waiting = entry.waiting,
                errors = entry.errors,
                ended = entry.ended,
                age_seconds = entry.age.as_secs_f64(),
                "operator"
            );
        }
        for entry in &self.engines {
            tracing::info!(
                target: "pushpull::meter",
                engine = %entry.name,
                gone = entry.gone,
                pushed = entry.pushed,
                pushed_bytes = entry.pushed_bytes,
                delivered = entry.delivered,
                delivered_bytes = entry.delivered_bytes,
                waiting = entry.waiting,
                waiting_bytes = entry.waiting_bytes,
                connections = entry.connections,
                errors = entry.errors,
                retries = entry.retries,
                round_trip_seconds = entry.round_trip.map(|time| time.as_secs_f64()),
                lag = entry.lag,
                "engine"
            );
        }
    }
}
