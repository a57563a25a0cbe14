//! Snapshots handed on: to the `metrics` facade by [`Exporter`], to `tracing` by [`Snapshot::trace`].

#[cfg(feature = "metrics")]
pub use facade::Exporter;

#[cfg(feature = "tracing")]
use crate::batch::FlushReason;

#[cfg(feature = "tracing")]
impl super::Snapshot {
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
    }
}

#[cfg(feature = "metrics")]
mod facade {
    use std::collections::HashMap;

    use metrics::{Label, Unit};

    use crate::batch::FlushReason;
    use crate::meter::{BatchEntry, OperatorEntry, QueueEntry, Snapshot};

    /// Publishes snapshots through the `metrics` facade, to whichever recorder the program has installed.
    ///
    /// Counters grow by what was added since this exporter's last snapshot, so that they keep growing where a name is
    /// given anew to something else. It therefore wants to see the last counters of everything: let one place take
    /// snapshots, and hand them on from there.
    ///
    /// | metric | kind | further label |
    /// |---|---|---|
    /// | `pushpull_queue_pushed_total`, `_pulled_total`, `_refused_total`, `_cancelled_total` | counter | |
    /// | `pushpull_queue_dropped_total` | counter | `reason`: `newest`, `oldest`, `abandoned` |
    /// | `pushpull_queue_waits_total` | counter | `side`: `producer`, `consumer` |
    /// | `pushpull_queue_len`, `_peak_len`, `_capacity`, `_weight`, `_reserved` | gauge | |
    /// | `pushpull_queue_handles`, `_waiting` | gauge | `side` |
    /// | `pushpull_queue_time_seconds` | gauge, where it is measured | `quantile`: `0.5`, `0.9`, `0.99`, `1` |
    /// | `pushpull_batch_closed_total` | counter | `reason`: see [`FlushReason`](crate::batch::FlushReason) |
    /// | `pushpull_batch_items_total` | counter | |
    /// | `pushpull_batch_shortest`, `_longest` | gauge | |
    /// | `pushpull_operator_items_total`, `_waits_total`, `_errors_total` | counter | |
    /// | `pushpull_operator_waiting`, `_ended` | gauge: 0 or 1 | |
    ///
    /// Every metric has the entry's name as a label: `queue="orders"`, `batch="rows"`, `operator="parsed"`. Recorders keep a series for
    /// each name they have ever seen, so do not name things after users or connections, and mind that names given many
    /// times over at once get an index each.
    ///
    /// ```
    /// use futures::StreamExt;
    /// use pushpull::{meter, prelude::*};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let mut exporter = meter::Exporter::new();
    /// let count = futures::stream::iter(0..3).metered("published").count().await;
    /// assert_eq!(count, 3);
    /// // Usually in a task of its own, every ten seconds.
    /// exporter.publish(&meter::registry().snapshot());
    /// # }
    /// ```
    #[derive(Debug, Default)]
    pub struct Exporter {
        described: bool,
        /// What has been published of each entry's counters.
        seen: HashMap<(u64, &'static str, &'static str), u64>,
    }

    impl Exporter {
        /// An exporter that has published nothing yet: its first snapshot counts from zero.
        pub fn new() -> Self {
            Self::default()
        }

        /// Sets the gauges, and adds to the counters what is new.
        pub fn publish(&mut self, snapshot: &Snapshot) {
            if !self.described {
                describe(QUEUE);
                describe(BATCH);
                describe(OPERATOR);
                metrics::describe_gauge!(TIME, Unit::Seconds, "Time from push to pull, sampled");
                self.described = true;
            }
            let mut seen = HashMap::with_capacity(self.seen.len());
            for entry in &snapshot.queues {
                let of = Of {
                    id: entry.id,
                    gone: entry.gone,
                    kind: "queue",
                    name: &entry.name,
                };
                self.entry(&mut seen, &of, QUEUE, entry);
                if let Some(times) = entry.time_in_queue {
                    let quantiles = [
                        ("0.5", times.p50),
                        ("0.9", times.p90),
                        ("0.99", times.p99),
                        ("1", times.max),
                    ];
                    for (quantile, time) in quantiles {
                        let labels = of.labels("quantile", quantile);
                        metrics::gauge!(TIME, labels).set(time.as_secs_f64());
                    }
                }
            }
            for entry in &snapshot.batches {
                let of = Of {
                    id: entry.id,
                    gone: entry.gone,
                    kind: "batch",
                    name: &entry.name,
                };
                self.entry(&mut seen, &of, BATCH, entry);
            }
            for entry in &snapshot.operators {
                let of = Of {
                    id: entry.id,
                    gone: entry.gone,
                    kind: "operator",
                    name: &entry.name,
                };
                self.entry(&mut seen, &of, OPERATOR, entry);
            }
            self.seen = seen;
        }

        fn entry<E>(
            &self,
            seen: &mut HashMap<(u64, &'static str, &'static str), u64>,
            of: &Of<'_>,
            metrics: &[Metric<E>],
            entry: &E,
        ) {
            for metric in metrics {
                let labels = of.labels(metric.label, metric.value);
                match metric.read {
                    Read::Counter(read) => {
                        let key = (of.id, metric.name, metric.value);
                        let now = read(entry);
                        let before = self.seen.get(&key).copied().unwrap_or(0);
                        metrics::counter!(metric.name, labels)
                            .increment(now.saturating_sub(before));
                        if !of.gone {
                            seen.insert(key, now);
                        }
                    }
                    Read::Gauge(read) => {
                        metrics::gauge!(metric.name, labels).set(read(entry));
                    }
                }
            }
        }
    }

    /// Whose metric it is.
    struct Of<'a> {
        id: u64,
        gone: bool,
        kind: &'static str,
        name: &'a str,
    }

    impl Of<'_> {
        fn labels(&self, label: &'static str, value: &'static str) -> Vec<Label> {
            let mut labels = vec![Label::new(self.kind, self.name.to_owned())];
            if !label.is_empty() {
                labels.push(Label::from_static_parts(label, value));
            }
            labels
        }
    }

    /// One metric of an entry `E`; `label` and `value` are empty where it has no further label.
    struct Metric<E> {
        name: &'static str,
        label: &'static str,
        value: &'static str,
        about: &'static str,
        read: Read<E>,
    }

    enum Read<E> {
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

    fn describe<E>(metrics: &[Metric<E>]) {
        for Metric {
            name, about, read, ..
        } in metrics
        {
            match read {
                Read::Counter(_) => metrics::describe_counter!(*name, Unit::Count, *about),
                Read::Gauge(_) => metrics::describe_gauge!(*name, Unit::Count, *about),
            }
        }
    }

    const TIME: &str = "pushpull_queue_time_seconds";

    const QUEUE: &[Metric<QueueEntry>] = {
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

    const BATCH: &[Metric<BatchEntry>] = {
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

    const OPERATOR: &[Metric<OperatorEntry>] = &[
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

    fn flag(is: bool) -> f64 {
        f64::from(u8::from(is))
    }
}
