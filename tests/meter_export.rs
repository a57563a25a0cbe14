//! Snapshots on their way out: through `metrics`, through `tracing`, through `serde`.

#![cfg(all(feature = "metrics", feature = "tracing", feature = "serde"))]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::{StreamExt, stream};
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use pushpull::batch::BatchPolicy;
use pushpull::broadcast;
use pushpull::meter::{Exporter, registry};
use pushpull::prelude::*;
use pushpull::queue::{self, Overflow};
use tokio::time::advance;
use tracing::field::{Field, Visit};
use tracing::span;

/// Snapshots take last counters away, so one test at a time.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

#[derive(Default)]
struct Recorded {
    counters: Mutex<BTreeMap<String, Arc<AtomicU64>>>,
    gauges: Mutex<BTreeMap<String, Arc<AtomicU64>>>,
    described: Mutex<Vec<String>>,
}

impl Recorded {
    fn cell(map: &Mutex<BTreeMap<String, Arc<AtomicU64>>>, key: &Key) -> Arc<AtomicU64> {
        let labels: Vec<_> = key
            .labels()
            .map(|l| format!("{}={}", l.key(), l.value()))
            .collect();
        let name = format!("{}{{{}}}", key.name(), labels.join(","));
        Arc::clone(map.lock().unwrap().entry(name).or_default())
    }

    fn counter(&self, name: &str) -> Option<u64> {
        self.counters
            .lock()
            .unwrap()
            .get(name)
            .map(|cell| cell.load(Ordering::Relaxed))
    }

    fn gauge(&self, name: &str) -> Option<f64> {
        let gauges = self.gauges.lock().unwrap();
        gauges
            .get(name)
            .map(|cell| f64::from_bits(cell.load(Ordering::Relaxed)))
    }
}

impl Recorder for Recorded {
    fn describe_counter(&self, key: KeyName, _: Option<Unit>, _: SharedString) {
        self.described.lock().unwrap().push(key.as_str().to_owned());
    }

    fn describe_gauge(&self, key: KeyName, _: Option<Unit>, _: SharedString) {
        self.described.lock().unwrap().push(key.as_str().to_owned());
    }

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {
        unreachable!("nothing is published as a histogram");
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(Self::cell(&self.counters, key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(Self::cell(&self.gauges, key))
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        unreachable!("nothing is published as a histogram");
    }
}

// guarantee: M2
#[tokio::test]
async fn counters_grow_over_everything_that_bore_the_name() {
    let _alone = ALONE.lock().await;
    let recorded = Recorded::default();
    let mut exporter = Exporter::new();
    let mut publish = || {
        let snapshot = registry().snapshot();
        metrics::with_local_recorder(&recorded, || exporter.publish(&snapshot));
    };
    let items = || recorded.counter("pushpull_operator_items_total{operator=m-series}");
    let ended = || recorded.gauge("pushpull_operator_ended{operator=m-series}");

    let mut series = stream::iter(0..5).metered("m-series");
    assert_eq!(series.by_ref().take(3).count().await, 3);
    publish();
    assert_eq!((items(), ended()), (Some(3), Some(0.0)));
    publish();
    assert_eq!(items(), Some(3), "nothing new, nothing added");
    assert_eq!(series.count().await, 2);
    publish();
    assert_eq!(
        (items(), ended()),
        (Some(5), Some(1.0)),
        "the last counters count"
    );
    publish();
    assert_eq!(items(), Some(5));

    assert_eq!(stream::iter(0..2).metered("m-series").count().await, 2);
    publish();
    assert_eq!(items(), Some(7), "another stream of this name");
    let described = recorded.described.lock().unwrap();
    assert_eq!(
        described
            .iter()
            .filter(|name| *name == "pushpull_operator_items_total")
            .count(),
        1
    );
}

// guarantee: M2
#[tokio::test(start_paused = true)]
async fn everything_there_is_to_see_is_published() {
    let _alone = ALONE.lock().await;
    let recorded = Recorded::default();
    let builder = queue::builder()
        .capacity(2)
        .overflow(Overflow::DropOldest)
        .name("m-queue");
    #[cfg(feature = "histogram")]
    let builder = builder.time_in_queue();
    let (tx, rx) = builder.build();
    for n in 0..3 {
        tx.push(n).await.unwrap();
    }
    advance(Duration::from_millis(250)).await;
    assert_eq!(rx.pull().await, Some(1));
    let mut batches = stream::iter(0..5).batch_with(BatchPolicy::items(2).name("m-batch"));
    assert_eq!(batches.next().await.unwrap().len(), 2);
    let publisher = broadcast::builder().capacity(2).name("m-cast").build();
    let _subscriber = publisher.subscribe();
    publisher.publish('a').await.unwrap();
    let snapshot = registry().snapshot();
    metrics::with_local_recorder(&recorded, || Exporter::new().publish(&snapshot));

    let counters = [
        ("pushpull_queue_pushed_total{queue=m-queue}", 3),
        ("pushpull_queue_pulled_total{queue=m-queue}", 1),
        ("pushpull_queue_refused_total{queue=m-queue}", 0),
        ("pushpull_queue_cancelled_total{queue=m-queue}", 0),
        (
            "pushpull_queue_dropped_total{queue=m-queue,reason=newest}",
            0,
        ),
        (
            "pushpull_queue_dropped_total{queue=m-queue,reason=oldest}",
            1,
        ),
        (
            "pushpull_queue_dropped_total{queue=m-queue,reason=abandoned}",
            0,
        ),
        ("pushpull_queue_waits_total{queue=m-queue,side=producer}", 0),
        ("pushpull_queue_waits_total{queue=m-queue,side=consumer}", 0),
        ("pushpull_batch_closed_total{batch=m-batch,reason=size}", 1),
        ("pushpull_batch_closed_total{batch=m-batch,reason=flush}", 0),
        ("pushpull_batch_items_total{batch=m-batch}", 2),
        ("pushpull_broadcast_published_total{broadcast=m-cast}", 1),
        ("pushpull_broadcast_sent_total{broadcast=m-cast}", 1),
        ("pushpull_broadcast_delivered_total{broadcast=m-cast}", 0),
        ("pushpull_broadcast_missed_total{broadcast=m-cast}", 0),
        (
            "pushpull_broadcast_waits_total{broadcast=m-cast,side=publisher}",
            0,
        ),
    ];
    for (name, value) in counters {
        assert_eq!(recorded.counter(name), Some(value), "{name}");
    }
    let gauges = [
        ("pushpull_queue_len{queue=m-queue}", 1.0),
        ("pushpull_queue_peak_len{queue=m-queue}", 2.0),
        ("pushpull_queue_capacity{queue=m-queue}", 2.0),
        ("pushpull_queue_weight{queue=m-queue}", 0.0),
        ("pushpull_queue_reserved{queue=m-queue}", 0.0),
        ("pushpull_queue_handles{queue=m-queue,side=producer}", 1.0),
        ("pushpull_queue_handles{queue=m-queue,side=consumer}", 1.0),
        ("pushpull_queue_waiting{queue=m-queue,side=producer}", 0.0),
        ("pushpull_queue_waiting{queue=m-queue,side=consumer}", 0.0),
        ("pushpull_batch_longest{batch=m-batch}", 2.0),
        ("pushpull_broadcast_len{broadcast=m-cast}", 1.0),
        ("pushpull_broadcast_unread{broadcast=m-cast}", 1.0),
        ("pushpull_broadcast_subscribers{broadcast=m-cast}", 1.0),
        (
            "pushpull_broadcast_waiting{broadcast=m-cast,side=subscriber}",
            0.0,
        ),
    ];
    for (name, value) in gauges {
        assert_eq!(recorded.gauge(name), Some(value), "{name}");
    }
    let time = recorded.gauge("pushpull_queue_time_seconds{queue=m-queue,quantile=0.99}");
    // The first item was timed, and it was dropped; so there is no time yet, but a place for it.
    assert_eq!(time, cfg!(feature = "histogram").then_some(0.0));
    let described = recorded.described.lock().unwrap();
    for (name, _) in counters
        .iter()
        .map(|(name, _)| (name, ()))
        .chain(gauges.iter().map(|(name, _)| (name, ())))
    {
        let name = name.split('{').next().unwrap_or_default();
        assert!(
            described.iter().any(|described| described == name),
            "{name} is not described"
        );
    }
}

#[derive(Default)]
struct Events(Mutex<Vec<BTreeMap<String, String>>>);

struct Collect(BTreeMap<String, String>);

impl Visit for Collect {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }
}

struct Subscriber(Arc<Events>);

impl tracing::Subscriber for Subscriber {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target().starts_with("pushpull")
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut fields = Collect(BTreeMap::new());
        event.record(&mut fields);
        let Collect(mut fields) = fields;
        fields.insert("target".to_owned(), event.metadata().target().to_owned());
        fields.insert("level".to_owned(), event.metadata().level().to_string());
        self.0.0.lock().unwrap().push(fields);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

// guarantee: M2
#[tokio::test(start_paused = true)]
async fn each_entry_is_one_event() {
    let _alone = ALONE.lock().await;
    let mut traced = stream::iter(0..4).metered("t-traced");
    assert_eq!(traced.next().await, Some(0));
    advance(Duration::from_millis(1500)).await;
    let (tx, _rx) = queue::builder().name("t-queue").build();
    tx.push(1).await.unwrap();
    let mut batches = stream::iter(0..5).batch_with(BatchPolicy::items(2).name("t-batch"));
    assert_eq!(batches.next().await.unwrap().len(), 2);
    let publisher = broadcast::builder().capacity(2).name("t-cast").build();
    assert_eq!(publisher.publish('a').await.unwrap(), 0);
    let snapshot = registry().snapshot();
    let events = Arc::new(Events::default());
    tracing::subscriber::with_default(Subscriber(Arc::clone(&events)), || snapshot.trace());

    let events = events.0.lock().unwrap();
    let named: Vec<_> = events
        .iter()
        .filter(|e| e.get("operator").is_some_and(|n| n == "t-traced"))
        .collect();
    assert_eq!(named.len(), 1);
    let shown = |field| named[0].get(field).map(String::as_str);
    assert_eq!(shown("message"), Some("operator"));
    assert_eq!(
        (shown("target"), shown("level")),
        (Some("pushpull::meter"), Some("INFO"))
    );
    assert_eq!((shown("items"), shown("ended")), (Some("1"), Some("false")));
    assert_eq!(shown("age_seconds"), Some("1.5"));

    let of = |kind, name| {
        events
            .iter()
            .find(|e| e.get(kind).is_some_and(|n| n == name))
            .unwrap()
    };
    let queue = of("queue", "t-queue");
    assert_eq!(
        (&*queue["message"], &*queue["len"], &*queue["capacity"]),
        ("queue", "1", "1024")
    );
    let cast = of("broadcast", "t-cast");
    assert_eq!(
        (&*cast["message"], &*cast["published"], &*cast["sent"]),
        ("broadcast", "1", "0")
    );
    let batch = of("batch", "t-batch");
    assert_eq!(
        (&*batch["message"], &*batch["size"], &*batch["age"]),
        ("batch", "1", "0")
    );
}

// guarantee: M2
#[tokio::test]
async fn a_queue_tells_once_that_it_closed_and_what_it_dropped() {
    let _alone = ALONE.lock().await;
    let events = Arc::new(Events::default());
    tracing::subscriber::with_default(Subscriber(Arc::clone(&events)), || {
        let builder = queue::builder().capacity(2).overflow(Overflow::DropOldest);
        let (tx, rx) = builder.name("e-queue").build();
        for n in 0..3 {
            tx.try_push(n).unwrap();
        }
        assert_eq!(rx.try_pull(), Ok(1));
        rx.close();
        rx.close();
        drop(rx);
        drop(tx);
        let (tx, rx) = queue::bounded::<u8>(1);
        drop((tx, rx));
    });
    let events = events.0.lock().unwrap();
    let seen: Vec<_> = events
        .iter()
        .map(|event| {
            assert_eq!(
                (&*event["target"], &*event["level"]),
                ("pushpull::queue", "DEBUG")
            );
            let shown = |field| event.get(field).map(String::as_str);
            (
                event["message"].as_str(),
                shown("queue"),
                shown("items"),
                shown("reason"),
                shown("len"),
            )
        })
        .collect();
    let queue = Some("\"e-queue\"");
    let expected = [
        ("dropped", queue, Some("1"), Some("\"oldest\""), None),
        ("closed", queue, None, None, Some("1")),
        ("dropped", queue, Some("1"), Some("\"abandoned\""), None),
        ("closed", None, None, None, Some("0")),
    ];
    assert_eq!(seen, expected);
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_serializes_with_durations_in_seconds() {
    let _alone = ALONE.lock().await;
    let earlier = registry().snapshot();
    let mut metered = stream::iter(0..4).metered("s-json");
    let (tx, _rx) = queue::builder().capacity(2).name("s-queue").build();
    tx.push(1).await.unwrap();
    let mut batches = stream::iter(0..5).batch_with(BatchPolicy::items(2).name("s-batch"));
    assert_eq!(batches.next().await.unwrap().len(), 2);
    assert_eq!(metered.by_ref().take(3).count().await, 3);
    advance(Duration::from_millis(1500)).await;
    let snapshot = registry().snapshot();

    let json = serde_json::to_value(&snapshot).unwrap();
    let entry = json["operators"]
        .as_array()
        .unwrap()
        .iter()
        .find(|entry| entry["name"] == "s-json");
    let expected = serde_json::json!({
        "name": "s-json", "gone": false, "items": 3, "waits": 0, "waiting": false, "errors": 0,
        "ended": false, "age_seconds": 1.5,
    });
    assert_eq!(entry, Some(&expected));
    let of = |list: &str, name: &str| {
        json[list]
            .as_array()
            .unwrap()
            .iter()
            .find(|entry| entry["name"] == name)
            .unwrap()
            .clone()
    };
    assert_eq!(of("queues", "s-queue")["pushed"], 1);
    assert_eq!(
        of("queues", "s-queue")["time_in_queue"],
        serde_json::Value::Null
    );
    let batch = serde_json::json!({
        "name": "s-batch", "gone": false, "batches": 1, "items": 2, "shortest": 2, "longest": 2,
        "by_reason": {
            "size": 1, "weight": 0, "age": 0, "idle": 0, "predicate": 0, "end": 0, "error": 0, "flush": 0,
        },
    });
    assert_eq!(of("batches", "s-batch"), batch);
    let mut keys: Vec<_> = json.as_object().unwrap().keys().cloned().collect();
    keys.sort();
    assert_eq!(
        keys,
        [
            "batches",
            "broadcasts",
            "engines",
            "forgotten",
            "operators",
            "queues"
        ]
    );

    let rates = serde_json::to_value(snapshot.since(&earlier)).unwrap();
    assert_eq!(rates["elapsed_seconds"], 1.5);
    let entry = rates["operators"]
        .as_array()
        .unwrap()
        .iter()
        .find(|rate| rate["name"] == "s-json");
    assert_eq!(entry.unwrap()["items"], 2.0);
}
