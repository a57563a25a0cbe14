//! The chain: one task replays, one delivers, three subscribers listen, and Ctrl-C ends it in three steps.

use std::collections::BTreeMap;
use std::future::pending;
use std::io;
use std::panic::resume_unwind;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::future::Either;
use futures::{StreamExt, poll};
use indicatif::{ProgressBar, ProgressStyle};
use pushpull::batch::{Batch, BatchPolicy};
use pushpull::broadcast::{self, Lossy, LossySubscriber, Publisher, Subscriber};
use pushpull::prelude::*;
use pushpull::queue::{self, Consumer, Producer};
use pushpull::rate::RateLimit;
use tokio::signal::ctrl_c;
use tokio::task::{JoinError, JoinHandle as Task};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::args::Args;
use crate::feed::{Event, Feed};
use crate::json_lines::JsonLines;
use crate::report::Summary;

/// A batch is delivered when it has so many events, or when its first has waited so long.
const BATCH: (usize, Duration) = (100, Duration::from_secs(1));

/// How many delivered events a subscriber may be behind.
const LOG: usize = 256;

/// The slow subscriber rests after so many events, for so long.
const SLOW: (u64, Duration) = (16, Duration::from_millis(20));

/// Replays the feed and says what became of it.
pub(crate) async fn run(feed: Feed, out: Option<JsonLines>, args: &Args) -> io::Result<Summary> {
    let (producer, consumer) = queue::builder()
        .name("quakes")
        .capacity(args.capacity.get())
        .overflow(args.overflow.into())
        .build();
    let publisher = broadcast::builder().name("delivered").capacity(LOG).build();
    let limit = args.rate.map(|rate| RateLimit::per_second(rate.get()));
    let stop = CancellationToken::new();
    let progress = progress(feed.events.len() as u64);

    let alerts = tokio::spawn(alerts(publisher.subscribe(), args.alert));
    let census = tokio::spawn(census(publisher.subscribe()));
    let lossy = publisher.subscribe_lossy(Lossy::DropOldest);
    let slow = tokio::spawn(dawdle(lossy, publisher.clone()));

    let mut interrupted = pin!(interrupt());
    let _ = poll!(&mut interrupted); // until here Ctrl-C has killed, from now on it is ours

    let begin = Instant::now();
    let intake = consumer.clone();
    let mut delivery = tokio::spawn(deliver(
        consumer,
        limit,
        out,
        publisher,
        progress.clone(),
        stop.clone(),
    ));
    // After the delivery, so that it does not start against nobody.
    let replay = tokio::spawn(replay(feed.events, producer, args.speed));

    let (delivered, aborted) = tokio::select! {
        delivered = &mut delivery => (delivered, None),
        () = &mut interrupted => {
            let (delivered, left) = shut_down(&intake, delivery, stop, args.grace).await;
            (delivered, Some(left))
        }
    };
    progress.finish_and_clear();
    let seconds = begin.elapsed().as_secs_f64();
    let delivered = joined(delivered)?;
    let replayed = joined(replay.await);
    let alerts = joined(alerts.await);
    let census = joined(census.await);
    let (slow_subscriber_received, slow_subscriber_missed) = joined(slow.await);

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
        alerts: alerts.count,
        strongest: alerts.strongest.map(|event| event.to_string()),
        by_network: census.by_network,
        without_magnitude: census.without_magnitude,
        slow_subscriber_received,
        slow_subscriber_missed,
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
    let begin = Instant::now();
    let first = events.first().map(|event| event.at).unwrap_or_default();
    let mut replayed = Replayed {
        not_offered: events.len() as u64,
        ..Replayed::default()
    };
    for event in events {
        if let Some(speed) = speed {
            let after = event.at.duration_since(first).as_secs_f64().max(0.0) / speed;
            let after = Duration::try_from_secs_f64(after).unwrap_or(Duration::MAX);
            tokio::select! {
                () = queue.closed() => break,
                () = sleep(after.saturating_sub(begin.elapsed())) => {}
            }
        }
        replayed.not_offered -= 1;
        replayed.offered += 1;
        if let Err(refused) = queue.push(event).await {
            replayed.refused += 1;
            if refused.is_closed() {
                break;
            }
        }
    }
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
    batches: u64,
    batches_by_reason: BTreeMap<String, u64>,
}

/// Hands on what is queued in batches, no faster than `limit`, until the queue has ended or `stop` comes.
async fn deliver(
    queue: Consumer<Event>,
    limit: Option<RateLimit>,
    mut out: Option<JsonLines>,
    publisher: Publisher<Arc<Event>>,
    progress: ProgressBar,
    stop: CancellationToken,
) -> io::Result<Delivered> {
    let batches = queue.batch_with(BatchPolicy::items(BATCH.0).within(BATCH.1));
    let mut batches = match limit {
        None => Either::Left(batches),
        Some(limit) => Either::Right(
            batches.rate_limit_weighted(limit, |batch: &Batch<Event>| batch.len() as u32),
        ),
    };

    let mut delivered = Delivered::default();
    while let Some(Some(batch)) = stop.run_until_cancelled(batches.next()).await {
        delivered.events += batch.len() as u64;
        delivered.batches += 1;
        progress.inc(batch.len() as u64);
        *delivered
            .batches_by_reason
            .entry(batch.reason.to_string())
            .or_default() += 1;
        if let Some(out) = &mut out {
            out.append(&batch.items).await?;
        }
        for event in batch.items {
            publisher
                .publish(Arc::new(event))
                .await
                .map_err(io::Error::other)?;
        }
    }
    publisher.close();

    let (batches, waiting) = match batches {
        Either::Left(batches) => (batches, None),
        Either::Right(limited) => limited.into_inner(),
    };
    let open = batches.into_remainder();
    delivered.left = (open.len() + waiting.map_or(0, |batch| batch.len())) as u64;
    Ok(delivered)
}

#[derive(Default)]
struct Alerts {
    count: u64,
    strongest: Option<Arc<Event>>,
}

async fn alerts(mut feed: Subscriber<Arc<Event>>, least: f64) -> Alerts {
    let mut alerts = Alerts::default();
    while let Some(event) = feed.next().await {
        if event.mag.is_some_and(|mag| mag >= least) {
            alerts.count += 1;
            if alerts
                .strongest
                .as_ref()
                .is_none_or(|strongest| event.mag > strongest.mag)
            {
                alerts.strongest = Some(event);
            }
        }
    }
    alerts
}

#[derive(Default)]
struct Census {
    by_network: BTreeMap<String, u64>,
    without_magnitude: u64,
}

async fn census(mut feed: Subscriber<Arc<Event>>) -> Census {
    let mut census = Census::default();
    while let Some(event) = feed.next().await {
        *census.by_network.entry(event.net.clone()).or_default() += 1;
        census.without_magnitude += u64::from(event.mag.is_none());
    }
    census
}

/// Reads more slowly than events are delivered, and learns how many it has missed. When nothing more comes, it hurries.
async fn dawdle(
    mut feed: LossySubscriber<Arc<Event>>,
    publisher: Publisher<Arc<Event>>,
) -> (u64, u64) {
    let (mut received, mut missed) = (0, 0);
    while let Some(event) = feed.next().await {
        match event {
            Ok(_) => received += 1,
            Err(lagged) => {
                missed += lagged.missed;
                continue;
            }
        }
        if received % SLOW.0 == 0 {
            let _ = timeout(SLOW.1, publisher.closed()).await;
        }
    }
    (received, missed)
}
