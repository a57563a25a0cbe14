//! The chain: one task replays, one delivers, three subscribers listen, and Ctrl-C ends it in three steps.

use std::collections::BTreeMap;
use std::future::pending;
use std::io;
use std::panic::resume_unwind;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use pushpull::queue::{self, Consumer, Producer};
use tokio::signal::ctrl_c;
use tokio::task::{JoinError, JoinHandle as Task};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::args::Args;
use crate::feed::{Event, Feed};
use crate::json_lines::JsonLines;
use crate::report::Summary;

/// A batch is delivered when it has so many events, or when its first has waited so long.
const BATCH: (usize, Duration) = (100, Duration::from_secs(1));

/// Replays the feed and says what became of it.
pub(crate) async fn run(feed: Feed, out: Option<JsonLines>, args: &Args) -> io::Result<Summary> {
    let (producer, consumer) = queue::builder()
        .name("quakes")
        .capacity(args.capacity.get())
        .overflow(args.overflow.into())
        .build();
    let stop = CancellationToken::new();

    let begin = Instant::now();
    let intake = consumer.clone();
    let replay = tokio::spawn(replay(feed.events, producer, args.speed));
    let mut delivery = tokio::spawn(deliver(consumer, args.alert, out, stop.clone()));

    let (delivered, aborted) = tokio::select! {
        delivered = &mut delivery => (delivered, None),
        () = interrupt() => {
            let (delivered, left) = shut_down(&intake, delivery, stop, args.grace).await;
            (delivered, Some(left))
        }
    };
    let seconds = begin.elapsed().as_secs_f64();
    let delivered = joined(delivered)?;
    let replayed = joined(replay.await);

    let stats = intake.stats();
    Ok(Summary {
        rows: feed.rejected + replayed.offered,
        rejected: feed.rejected,
        refused: replayed.refused,
        pushed: stats.pushed,
        pulled: stats.pulled,
        dropped: stats.dropped,
        delivered: delivered.events,
        left: delivered.left + aborted.unwrap_or(0),
        not_offered: replayed.not_offered,
        interrupted: aborted.is_some(),
        batches: delivered.batches,
        batches_by_reason: delivered.batches_by_reason,
        alerts: delivered.alerts,
        strongest: None,
        by_network: delivered.by_network,
        without_magnitude: delivered.without_magnitude,
        slow_subscriber_received: delivered.events,
        slow_subscriber_missed: 0,
        peak_queue: stats.peak_len as u64,
        seconds,
        events_per_second: delivered.events as f64 / seconds,
    })
}

/// Ends the run in three steps: nothing more comes in; what is queued goes out, while the grace lasts and nobody
/// presses Ctrl-C again; the delivery stops where it is. Returns how many events the last step found in the queue.
async fn shut_down(
    intake: &Consumer<Event>,
    mut delivery: Task<io::Result<Delivered>>,
    stop: CancellationToken,
    grace: Duration,
) -> (Result<io::Result<Delivered>, JoinError>, u64) {
    intake.close();
    tokio::select! {
        delivered = &mut delivery => return (delivered, 0),
        () = sleep(grace) => {}
        () = interrupt() => {}
    }
    let left = intake.abort().len() as u64;
    stop.cancel();
    (delivery.await, left)
}

/// The next Ctrl-C; never, where the system has no such thing.
async fn interrupt() {
    if ctrl_c().await.is_err() {
        pending().await
    }
}

/// What a task returned, or its panic.
fn joined<T>(result: Result<T, JoinError>) -> T {
    result.unwrap_or_else(|error| resume_unwind(error.into_panic()))
}

#[derive(Default)]
struct Replayed {
    offered: u64,
    refused: u64,
    not_offered: u64,
}

/// Pushes the events in the order and, with `speed`, at the pace in which they happened, until the queue closes.
async fn replay(events: Vec<Event>, queue: Producer<Event>, speed: Option<f64>) -> Replayed {
    let progress = progress(events.len() as u64);
    let begin = Instant::now();
    let first = events.first().map(|event| event.at).unwrap_or_default();
    let mut replayed = Replayed {
        not_offered: events.len() as u64,
        ..Replayed::default()
    };
    for event in events {
        if let Some(speed) = speed {
            let after = event.at.duration_since(first).as_secs_f64() / speed;
            let after = Duration::try_from_secs_f64(after).unwrap_or(Duration::MAX);
            tokio::select! {
                () = queue.closed() => break,
                () = sleep(after.saturating_sub(begin.elapsed())) => {}
            }
        }
        replayed.not_offered -= 1;
        replayed.offered += 1;
        progress.inc(1);
        if let Err(refused) = queue.push(event).await {
            replayed.refused += 1;
            if refused.is_closed() {
                break;
            }
        }
    }
    progress.finish_and_clear();
    replayed
}

/// Shows itself only on a terminal.
fn progress(events: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} events, {eta} to go")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(events).with_style(style)
}

#[derive(Default)]
struct Delivered {
    events: u64,
    /// Pulled, but not handed on when the delivery was stopped.
    left: u64,
    alerts: u64,
    by_network: BTreeMap<String, u64>,
    without_magnitude: u64,
    batches: u64,
    batches_by_reason: BTreeMap<String, u64>,
}

/// Hands on what is queued in batches, until the queue has ended or `stop` comes.
async fn deliver(
    queue: Consumer<Event>,
    alert: f64,
    mut out: Option<JsonLines>,
    stop: CancellationToken,
) -> io::Result<Delivered> {
    let mut delivered = Delivered::default();
    loop {
        let batch = tokio::select! {
            batch = queue.pull_batch(BATCH.0, BATCH.1) => batch,
            () = stop.cancelled() => break,
        };
        let Some(batch) = batch else { break };
        if batch.is_empty() {
            continue;
        }
        delivered.events += batch.len() as u64;
        delivered.batches += 1;
        let reason = if batch.len() == BATCH.0 {
            "size"
        } else {
            "age"
        };
        *delivered
            .batches_by_reason
            .entry(reason.into())
            .or_default() += 1;
        if let Some(out) = &mut out {
            out.append(&batch).await?;
        }
        for event in batch {
            delivered.alerts += u64::from(event.mag.is_some_and(|mag| mag >= alert));
            delivered.without_magnitude += u64::from(event.mag.is_none());
            *delivered.by_network.entry(event.net).or_default() += 1;
        }
    }
    Ok(delivered)
}
