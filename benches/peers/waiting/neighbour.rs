//! What a task feels that shares its runtime with a queue: it does nothing but yield, and takes the time between its turns.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::yield_now;
use tokio::time::sleep;

use super::{CAPACITY, runtime};
use crate::harness::{Case, Contender};
use crate::race::Mode;

const WINDOW: Duration = Duration::from_millis(50);

pub(super) fn cases(cases: &mut Vec<Case>) {
    let figures: [(&str, Figure); 2] = [
        ("mean", |turns| {
            turns.iter().sum::<Duration>() / turns.len() as u32
        }),
        ("p99", |turns| {
            turns.sort_unstable();
            turns[turns.len() * 99 / 100]
        }),
    ];
    let flows = [("fast", None), ("1 ms", Some(Duration::from_millis(1)))];
    for (flow, every) in flows {
        for (name, figure) in figures {
            for mode in [Mode::Ct, Mode::Mt2] {
                let title = format!("neighbour of a {flow} queue, between its turns, {name}");
                let case = Case::new(title, mode.name(), neighbour(mode, every, figure));
                cases.push(case.items(1));
            }
        }
    }
}

/// Out of the times between turns.
type Figure = fn(&mut [Duration]) -> Duration;

/// The queue carries an item `every` so often, or as many as it can.
fn neighbour(mode: Mode, every: Option<Duration>, figure: Figure) -> Vec<Contender> {
    vec![
        Contender::ours(move |_| {
            let (tx, rx) = pushpull::queue::bounded(CAPACITY);
            let stop = Stop::default();
            let stopped = stop.clone();
            let producer = async move {
                let mut pushed = 0_u64;
                while !stopped.is_set() {
                    tx.push(pushed).await.expect("open");
                    pushed += 1;
                    pause(every).await;
                }
                pushed
            };
            let consumer = async move {
                let mut pulled = 0_u64;
                while let Some(item) = rx.pull().await {
                    assert_eq!(item, pulled);
                    pulled += 1;
                }
                pulled
            };
            measure(mode, figure, &stop, producer, consumer)
        }),
        Contender::glue("tokio mpsc", move |_| {
            let (tx, mut rx) = mpsc::channel(CAPACITY);
            let stop = Stop::default();
            let stopped = stop.clone();
            let producer = async move {
                let mut pushed = 0_u64;
                while !stopped.is_set() {
                    tx.send(pushed).await.expect("open");
                    pushed += 1;
                    pause(every).await;
                }
                pushed
            };
            let consumer = async move {
                let mut pulled = 0_u64;
                while let Some(item) = rx.recv().await {
                    assert_eq!(item, pulled);
                    pulled += 1;
                }
                pulled
            };
            measure(mode, figure, &stop, producer, consumer)
        }),
        Contender::info("no queue", move |_| {
            measure(mode, figure, &Stop::default(), async { 0 }, async { 0 })
        }),
    ]
}

async fn pause(every: Option<Duration>) {
    if let Some(every) = every {
        sleep(every).await;
    }
}

#[derive(Clone, Default)]
struct Stop(Arc<AtomicBool>);

impl Stop {
    fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

fn measure<P, C>(mode: Mode, figure: Figure, stop: &Stop, producer: P, consumer: C) -> Duration
where
    P: Future<Output = u64> + Send + 'static,
    C: Future<Output = u64> + Send + 'static,
{
    runtime(mode).block_on(async {
        let consumer = tokio::spawn(consumer);
        let producer = tokio::spawn(producer);
        let turns = tokio::spawn(async {
            let mut turns = Vec::with_capacity(1 << 20);
            let from = Instant::now();
            let mut last = from;
            while last - from < WINDOW {
                yield_now().await;
                let now = Instant::now();
                turns.push(now - last);
                last = now;
            }
            turns
        });
        let mut turns = turns.await.expect("no panic");
        stop.0.store(true, Ordering::Relaxed);
        let pushed = producer.await.expect("no panic");
        assert_eq!(
            pushed,
            consumer.await.expect("no panic"),
            "not what was sent"
        );
        figure(&mut turns)
    })
}
