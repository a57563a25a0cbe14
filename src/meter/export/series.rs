//! Every metric there is: its name, its labels, and where its value stands.

use crate::batch::FlushReason;
use crate::meter::{BatchEntry, BroadcastEntry, EngineEntry, OperatorEntry, QueueEntry};

/// One metric of an entry `E`; `label` and `value` are empty where it has no further label.
pub(super) struct Metric<E> {
    pub(super) name: &'static str,
    pub(super) label: &'static str,
    pub(super) value: &'static str,
    pub(super) about: &'static str,
    pub(super) read: Read<E>,
}

pub(super) enum Read<E> {
    Counter(fn(&E) -> u64),
    Gauge(fn(&E) -> f64),
}

impl<E> Clone for Read<E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E> Copy for Read<E> {}

impl<E> Metric<E> {
    const fn counter(name: &'static str, about: &'static str, read: fn(&E) -> u64) -> Self {
        Self {
            name,
            label: "",
            value: "",
            about,
            read: Read::Counter(read),
        }
    }

    const fn gauge(name: &'static str, about: &'static str, read: fn(&E) -> f64) -> Self {
        Self {
            name,
            label: "",
            value: "",
            about,
            read: Read::Gauge(read),
        }
    }

    const fn labelled(mut self, label: &'static str, value: &'static str) -> Self {
        self.label = label;
        self.value = value;
        self
    }
}

pub(super) const TIME: &str = "pushpull_queue_time_seconds";
pub(super) const ROUND_TRIP: &str = "pushpull_engine_round_trip_seconds";
pub(super) const LAG: &str = "pushpull_engine_lag";

pub(super) const QUEUE: &[Metric<QueueEntry>] = {
    const DROPPED: &str = "pushpull_queue_dropped_total";
    const DROPPED_ABOUT: &str = "Items accepted and then dropped";
    const WAITS: &str = "pushpull_queue_waits_total";
    const WAITS_ABOUT: &str = "Times a producer waited for room or a consumer for an item";
    const HANDLES: &str = "pushpull_queue_handles";
    const HANDLES_ABOUT: &str = "Producer and consumer handles";
    const WAITING: &str = "pushpull_queue_waiting";
    const WAITING_ABOUT: &str = "Producers and consumers waiting now";
    &[
        Metric::counter("pushpull_queue_pushed_total", "Items accepted", |q| {
            q.pushed
        }),
        Metric::counter(
            "pushpull_queue_pulled_total",
            "Items handed to consumers",
            |q| q.pulled,
        ),
        Metric::counter("pushpull_queue_refused_total", "Items given back", |q| {
            q.refused
        }),
        Metric::counter(
            "pushpull_queue_cancelled_total",
            "Pushes dropped while they waited",
            |q| q.cancelled,
        ),
        Metric::counter(DROPPED, DROPPED_ABOUT, |q: &QueueEntry| q.dropped_newest)
            .labelled("reason", "newest"),
        Metric::counter(DROPPED, DROPPED_ABOUT, |q: &QueueEntry| q.dropped_oldest)
            .labelled("reason", "oldest"),
        Metric::counter(DROPPED, DROPPED_ABOUT, |q: &QueueEntry| q.abandoned)
            .labelled("reason", "abandoned"),
        Metric::counter(WAITS, WAITS_ABOUT, |q: &QueueEntry| q.producer_waits)
            .labelled("side", "producer"),
        Metric::counter(WAITS, WAITS_ABOUT, |q: &QueueEntry| q.consumer_waits)
            .labelled("side", "consumer"),
        Metric::gauge("pushpull_queue_len", "Items queued", |q| q.len as f64),
        Metric::gauge("pushpull_queue_peak_len", "Most items queued so far", |q| {
            q.peak_len as f64
        }),
        Metric::gauge("pushpull_queue_capacity", "Bound on items", |q| {
            q.capacity as f64
        }),
        Metric::gauge("pushpull_queue_weight", "Weight of what is queued", |q| {
            q.weight as f64
        }),
        Metric::gauge("pushpull_queue_reserved", "Slots promised", |q| {
            q.reserved as f64
        }),
        Metric::gauge(HANDLES, HANDLES_ABOUT, |q: &QueueEntry| q.producers as f64)
            .labelled("side", "producer"),
        Metric::gauge(HANDLES, HANDLES_ABOUT, |q: &QueueEntry| q.consumers as f64)
            .labelled("side", "consumer"),
        Metric::gauge(WAITING, WAITING_ABOUT, |q: &QueueEntry| {
            q.waiting_producers as f64
        })
        .labelled("side", "producer"),
        Metric::gauge(WAITING, WAITING_ABOUT, |q: &QueueEntry| {
            q.waiting_consumers as f64
        })
        .labelled("side", "consumer"),
    ]
};

pub(super) const BATCH: &[Metric<BatchEntry>] = {
    const CLOSED: &str = "pushpull_batch_closed_total";
    const ABOUT: &str = "Batches closed";
    &[
        Metric::counter(CLOSED, ABOUT, |b: &BatchEntry| {
            b.closed_by(FlushReason::Size)
        })
        .labelled("reason", FlushReason::Size.as_str()),
        Metric::counter(CLOSED, ABOUT, |b: &BatchEntry| {
            b.closed_by(FlushReason::Weight)
        })
        .labelled("reason", FlushReason::Weight.as_str()),
        Metric::counter(CLOSED, ABOUT, |b: &BatchEntry| {
            b.closed_by(FlushReason::Age)
        })
        .labelled("reason", FlushReason::Age.as_str()),
        Metric::counter(CLOSED, ABOUT, |b: &BatchEntry| {
            b.closed_by(FlushReason::Idle)
        })
        .labelled("reason", FlushReason::Idle.as_str()),
        Metric::counter(CLOSED, ABOUT, |b: &BatchEntry| {
            b.closed_by(FlushReason::Predicate)
        })
        .labelled("reason", FlushReason::Predicate.as_str()),
        Metric::counter(CLOSED, ABOUT, |b: &BatchEntry| {
            b.closed_by(FlushReason::End)
        })
        .labelled("reason", FlushReason::End.as_str()),
        Metric::counter(CLOSED, ABOUT, |b: &BatchEntry| {
            b.closed_by(FlushReason::Error)
        })
        .labelled("reason", FlushReason::Error.as_str()),
        Metric::counter(CLOSED, ABOUT, |b: &BatchEntry| {
            b.closed_by(FlushReason::Flush)
        })
        .labelled("reason", FlushReason::Flush.as_str()),
        Metric::counter(
            "pushpull_batch_items_total",
            "Items in closed batches",
            |b| b.items,
        ),
        Metric::gauge(
            "pushpull_batch_shortest",
            "Items in the shortest batch",
            |b| b.shortest as f64,
        ),
        Metric::gauge(
            "pushpull_batch_longest",
            "Items in the longest batch",
            |b| b.longest as f64,
        ),
    ]
};

pub(super) const BROADCAST: &[Metric<BroadcastEntry>] = {
    const WAITS: &str = "pushpull_broadcast_waits_total";
    const WAITS_ABOUT: &str = "Times a publisher waited for room or a subscriber for a value";
    const WAITING: &str = "pushpull_broadcast_waiting";
    const WAITING_ABOUT: &str = "Publishers and subscribers waiting now";
    &[
        Metric::counter(
            "pushpull_broadcast_published_total",
            "Values published",
            |b| b.published,
        ),
        Metric::counter(
            "pushpull_broadcast_sent_total",
            "Values owed to subscribers",
            |b| b.sent,
        ),
        Metric::counter(
            "pushpull_broadcast_delivered_total",
            "Values read by subscribers",
            |b| b.delivered,
        ),
        Metric::counter(
            "pushpull_broadcast_missed_total",
            "Values missed by lossy subscribers",
            |b| b.missed,
        ),
        Metric::counter(
            "pushpull_broadcast_abandoned_total",
            "Values not read when their subscriber went",
            |b| b.abandoned,
        ),
        Metric::counter(
            "pushpull_broadcast_disconnected_total",
            "Subscribers disconnected because they lagged",
            |b| b.disconnected,
        ),
        Metric::counter(WAITS, WAITS_ABOUT, |b: &BroadcastEntry| b.publisher_waits)
            .labelled("side", "publisher"),
        Metric::counter(WAITS, WAITS_ABOUT, |b: &BroadcastEntry| b.subscriber_waits)
            .labelled("side", "subscriber"),
        Metric::gauge("pushpull_broadcast_len", "Values kept", |b| b.len as f64),
        Metric::gauge(
            "pushpull_broadcast_peak_len",
            "Most values kept so far",
            |b| b.peak_len as f64,
        ),
        Metric::gauge("pushpull_broadcast_capacity", "Bound on values kept", |b| {
            b.capacity as f64
        }),
        Metric::gauge(
            "pushpull_broadcast_unread",
            "Values owed and not read yet",
            |b| b.unread as f64,
        ),
        Metric::gauge("pushpull_broadcast_publishers", "Publisher handles", |b| {
            b.publishers as f64
        }),
        Metric::gauge("pushpull_broadcast_subscribers", "Subscribers", |b| {
            b.subscribers as f64
        }),
        Metric::gauge(WAITING, WAITING_ABOUT, |b: &BroadcastEntry| {
            b.waiting_publishers as f64
        })
        .labelled("side", "publisher"),
        Metric::gauge(WAITING, WAITING_ABOUT, |b: &BroadcastEntry| {
            b.waiting_subscribers as f64
        })
        .labelled("side", "subscriber"),
    ]
};

pub(super) const OPERATOR: &[Metric<OperatorEntry>] = &[
    Metric::counter(
        "pushpull_operator_items_total",
        "Items that went through",
        |o| o.items,
    ),
    Metric::counter(
        "pushpull_operator_waits_total",
        "Waits for an item or for room",
        |o| o.waits,
    ),
    Metric::counter(
        "pushpull_operator_errors_total",
        "Errors of the sink",
        |o| o.errors,
    ),
    Metric::gauge("pushpull_operator_waiting", "Whether it waits now", |o| {
        flag(o.waiting)
    }),
    Metric::gauge("pushpull_operator_ended", "Whether it has ended", |o| {
        flag(o.ended)
    }),
];

pub(super) const ENGINE: &[Metric<EngineEntry>] = &[
    Metric::counter("pushpull_engine_pushed_total", "Records sent", |e| e.pushed),
    Metric::counter(
        "pushpull_engine_pushed_bytes_total",
        "Bytes of records sent",
        |e| e.pushed_bytes,
    ),
    Metric::counter(
        "pushpull_engine_delivered_total",
        "Records that came in",
        |e| e.delivered,
    ),
    Metric::counter(
        "pushpull_engine_delivered_bytes_total",
        "Bytes of records that came in",
        |e| e.delivered_bytes,
    ),
    Metric::counter(
        "pushpull_engine_errors_total",
        "Requests that failed",
        |e| e.errors,
    ),
    Metric::counter(
        "pushpull_engine_retries_total",
        "Requests made again",
        |e| e.retries,
    ),
    Metric::gauge(
        "pushpull_engine_waiting",
        "Records that wait in the client",
        |e| e.waiting as f64,
    ),
    Metric::gauge(
        "pushpull_engine_waiting_bytes",
        "Bytes of records that wait in the client",
        |e| e.waiting_bytes as f64,
    ),
    Metric::gauge(
        "pushpull_engine_connections",
        "Servers connected with",
        |e| e.connections as f64,
    ),
];

fn flag(is: bool) -> f64 {
    f64::from(u8::from(is))
}
