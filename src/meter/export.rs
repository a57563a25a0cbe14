//! Snapshots handed on to the `metrics` facade.

mod series;

use std::collections::HashMap;

use metrics::{Label, Unit};

use super::Snapshot;
use series::{BATCH, BROADCAST, ENGINE, LAG, Metric, OPERATOR, QUEUE, ROUND_TRIP, Read, TIME};

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
/// | `pushpull_broadcast_published_total`, `_sent_total`, `_delivered_total`, `_missed_total`, `_abandoned_total`, `_disconnected_total` | counter | |
/// | `pushpull_broadcast_waits_total` | counter | `side`: `publisher`, `subscriber` |
/// | `pushpull_broadcast_len`, `_peak_len`, `_capacity`, `_unread`, `_publishers`, `_subscribers` | gauge | |
/// | `pushpull_broadcast_waiting` | gauge | `side` |
/// | `pushpull_operator_items_total`, `_waits_total`, `_errors_total` | counter | |
/// | `pushpull_operator_waiting`, `_ended` | gauge: 0 or 1 | |
/// | `pushpull_engine_pushed_total`, `_pushed_bytes_total`, `_delivered_total`, `_delivered_bytes_total`, `_errors_total`, `_retries_total` | counter | |
/// | `pushpull_engine_waiting`, `_waiting_bytes`, `_connections` | gauge | |
/// | `pushpull_engine_round_trip_seconds`, `_lag` | gauge, where it is known | |
///
/// Every metric has the entry's name as a label: `queue="orders"`, `batch="rows"`, `broadcast="quakes"`, `operator="parsed"`,
/// `engine="kafka producer"`. Recorders keep a series for each name they have ever seen, so do not name things after users or connections, and mind that names given many
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
            describe(BROADCAST);
            describe(OPERATOR);
            describe(ENGINE);
            metrics::describe_gauge!(LAG, Unit::Count, "Records not acknowledged yet");
            metrics::describe_gauge!(ROUND_TRIP, Unit::Seconds, "Time from request to answer");
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
        for entry in &snapshot.broadcasts {
            let of = Of {
                id: entry.id,
                gone: entry.gone,
                kind: "broadcast",
                name: &entry.name,
            };
            self.entry(&mut seen, &of, BROADCAST, entry);
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
        for entry in &snapshot.engines {
            let of = Of {
                id: entry.id,
                gone: entry.gone,
                kind: "engine",
                name: &entry.name,
            };
            self.entry(&mut seen, &of, ENGINE, entry);
            if let Some(lag) = entry.lag {
                metrics::gauge!(LAG, of.labels("", "")).set(lag as f64);
            }
            if let Some(time) = entry.round_trip {
                metrics::gauge!(ROUND_TRIP, of.labels("", "")).set(time.as_secs_f64());
            }
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
                    metrics::counter!(metric.name, labels).increment(now.saturating_sub(before));
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
