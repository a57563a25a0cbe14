//! Three steps to the end: close the intake, drain with a limit, abort. On the paused clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::{Sink, StreamExt, stream};
use pushpull::prelude::*;
use pushpull::pump::{Driver, DriverError, Ended};
use pushpull::push;
use pushpull::queue::{self, DropReason};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

const SECOND: Duration = Duration::from_secs(1);

fn tasks() -> usize {
    tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks()
}

async fn settle() {
    for _ in 0..32 {
        tokio::task::yield_now().await;
    }
}

/// A sink that takes a second an item, and its count.
fn slow() -> (impl Sink<u64, Error = ()> + Send + 'static, Arc<AtomicU64>) {
    let done = Arc::new(AtomicU64::new(0));
    let count = done.clone();
    let sink = push::each(move |_| {
        let count = count.clone();
        async move {
            sleep(SECOND).await;
            count.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }
    });
    (sink, done)
}

#[tokio::test(start_paused = true)]
async fn step_one_closes_the_intake_and_the_rest_is_finished() {
    // guarantee: P2
    let stop = CancellationToken::new();
    let (sink, done) = slow();
    let (tx, driver) = sink.spawn(queue::builder().capacity(4));
    let intake = stream::iter(0..)
        .pump_into(tx)
        .until(stop.clone().cancelled_owned());
    let intake = tokio::spawn(intake);
    sleep(SECOND * 5 / 2).await;
    stop.cancel();
    let pumped = intake.await.unwrap().unwrap();
    let driven = driver.await.unwrap();
    assert_eq!((pumped.ended, driven.ended), (Ended::Until, Ended::Source));
    assert_eq!(pumped.items, driven.items);
    assert_eq!(done.load(Ordering::Relaxed), driven.items);
    assert_eq!(tasks(), 0);
}

#[tokio::test(start_paused = true)]
async fn step_two_has_a_limit_and_gives_back_the_rest() {
    // guarantee: P2
    let stop = CancellationToken::new();
    let (tx, rx) = queue::bounded(8);
    let intake = stream::iter(0..)
        .pump_into(tx)
        .until(stop.clone().cancelled_owned());
    let intake = tokio::spawn(intake);
    let workers = rx.clone().workers(2, |_: u64| sleep(SECOND));
    sleep(SECOND / 2).await;
    stop.cancel();
    let started = Instant::now();
    let drained = rx.drain(SECOND).await;
    assert_eq!((started.elapsed(), drained.timed_out), (SECOND, true));
    // The intake's last item waited for room that closing took away: it comes back in its error.
    let refused = intake.await.unwrap();
    let (went_in, came_back) = match refused {
        Ok(pumped) => (pumped.items, 0),
        Err(error) => (error.items, u64::from(error.into_item().is_some())),
    };
    assert!(came_back <= 1);
    let report = workers.join().await; // what they have in hand they finish
    assert_eq!(report.cancelled, 0);
    assert_eq!(went_in, report.handled + drained.left.len() as u64);
    assert_eq!(tasks(), 0);
}

#[tokio::test(start_paused = true)]
async fn step_three_waits_for_nobody() {
    // guarantee: P2, Q3
    let (sink, done) = slow();
    let lost = Arc::new(AtomicU64::new(0));
    let count = lost.clone();
    let on_drop = move |_, why| {
        assert_eq!(why, DropReason::Abandoned);
        count.fetch_add(1, Ordering::Relaxed);
    };
    let (tx, mut driver) = sink.spawn(queue::builder().capacity(8).on_drop(on_drop));
    for n in 0..8 {
        tx.push(n).await.unwrap();
    }
    tx.close();
    assert!(timeout(SECOND * 5 / 2, &mut driver).await.is_err());
    let started = Instant::now();
    driver.abort();
    assert_eq!((&mut driver).await, Err(DriverError::Aborted));
    assert_eq!((started.elapsed(), tasks()), (Duration::ZERO, 0));
    let (done, lost) = (done.load(Ordering::Relaxed), lost.load(Ordering::Relaxed));
    let stats = tx.stats();
    assert_eq!(
        (done, lost, stats.pulled),
        (2, 5, 3),
        "one was in the sink's hand"
    );
    assert_eq!(stats.pushed, stats.pulled + stats.dropped);
}

/// A service as one would write it: intake, workers, and an outlet that batches.
struct Service {
    stop: CancellationToken,
    intake: tokio::task::JoinHandle<u64>,
    jobs: queue::Consumer<u64>,
    workers: queue::Workers,
    outlet: Driver<std::convert::Infallible>,
}

impl Service {
    fn start(delivered: Arc<AtomicU64>) -> Self {
        let stop = CancellationToken::new();
        let batches = push::each(move |batch: Vec<u64>| {
            delivered.fetch_add(batch.len() as u64, Ordering::Relaxed);
            std::future::ready(Ok(()))
        });
        let (results, outlet) = batches
            .sink_batch(10, SECOND)
            .spawn(queue::builder().capacity(16));
        let (tx, jobs) = queue::bounded(16);
        let source = stream::iter(0..).then(|n| async move {
            sleep(SECOND / 100).await;
            n
        });
        let token = stop.clone().cancelled_owned();
        let intake = tokio::spawn(async move {
            match source.pump_into(tx).until(token).await {
                Ok(pumped) => pumped.items,
                Err(error) => error.items,
            }
        });
        let workers = jobs.clone().workers(4, move |n| {
            let results = results.clone();
            async move {
                sleep(SECOND / 20).await;
                results
                    .push(n)
                    .await
                    .expect("the outlet outlives the workers");
            }
        });
        Self {
            stop,
            intake,
            jobs,
            workers,
            outlet,
        }
    }

    async fn stop(self, within: Duration) -> (u64, u64, u64) {
        self.stop.cancel();
        let drained = self.jobs.drain(within).await;
        let came_in = self.intake.await.expect("the intake does not panic");
        let report = self.workers.join().await;
        self.outlet.await.expect("the outlet cannot fail");
        (came_in, report.handled, drained.left.len() as u64)
    }
}

#[tokio::test(start_paused = true)]
async fn a_whole_service_stops_without_losing_sight_of_an_item() {
    // guarantee: P2
    for (runs, within) in [(1, 60), (10, 60), (10, 0)] {
        let delivered = Arc::new(AtomicU64::new(0));
        let service = Service::start(delivered.clone());
        sleep(runs * SECOND).await;
        let stopping = service.stop(within * SECOND);
        let (came_in, handled, left) = timeout(90 * SECOND, stopping).await.expect("it ends");
        assert!(came_in > 0);
        assert_eq!(came_in, handled + left);
        assert_eq!(delivered.load(Ordering::Relaxed), handled);
        assert_eq!(tasks(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn dropping_every_handle_ends_every_task() {
    // guarantee: P2
    let service = Service::start(Arc::default());
    sleep(SECOND).await;
    assert_eq!(tasks(), 1 + 4 + 1);
    service.intake.abort();
    drop(service);
    settle().await;
    assert_eq!(tasks(), 0);
}
