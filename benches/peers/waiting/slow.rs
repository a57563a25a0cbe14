//! Queues that carry an item every millisecond or less often: each pull waits.

use std::future::Future;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::time::interval;

use super::{CAPACITY, runtime};
use crate::cpu::CpuTime;
use crate::harness::{Case, Contender};
use crate::race::{Mode, current_thread};

pub(super) fn cases(cases: &mut Vec<Case>) {
    let figures: [(&str, Figure); 3] = [
        ("CPU per item", |used, _| used),
        ("from push to pull, median", |_, late| each(late, 50)),
        ("from push to pull, p99", |_, late| each(late, 99)),
    ];
    // Of 40 items there is no p99 to speak of.
    for (every, items, figures) in [(1, 150, &figures[..]), (5, 40, &figures[..2])] {
        for &(name, figure) in figures {
            for mode in [Mode::Mt2, Mode::Xt] {
                let title = format!("slow queue {every} ms, {name}");
                let every = Duration::from_millis(every);
                let case = Case::new(title, mode.name(), slow(mode, every, figure));
                cases.push(case.items(items));
            }
        }
    }
}

/// Out of the CPU time of all items and the time that each of them took from push to pull.
type Figure = fn(Duration, &mut [Duration]) -> Duration;

/// A percentile, as the time of all items if each had taken that long.
fn each(late: &mut [Duration], percent: usize) -> Duration {
    late.sort_unstable();
    let at = (late.len() * percent / 100).min(late.len() - 1);
    late[at] * late.len() as u32
}

fn slow(mode: Mode, every: Duration, figure: Figure) -> Vec<Contender> {
    vec![
        Contender::ours(move |items| {
            let (tx, rx) = pushpull::queue::bounded(CAPACITY);
            let producer = async move {
                let mut ticks = interval(every);
                for _ in 0..items {
                    ticks.tick().await;
                    tx.push(Instant::now()).await.expect("open");
                }
            };
            let consumer = async move {
                let mut late = Vec::with_capacity(items as usize);
                while let Some(pushed) = rx.pull().await {
                    late.push(pushed.elapsed());
                }
                late
            };
            measure(mode, items, figure, producer, consumer)
        }),
        Contender::glue("tokio mpsc", move |items| {
            let (tx, mut rx) = mpsc::channel(CAPACITY);
            let producer = async move {
                let mut ticks = interval(every);
                for _ in 0..items {
                    ticks.tick().await;
                    tx.send(Instant::now()).await.expect("open");
                }
            };
            let consumer = async move {
                let mut late = Vec::with_capacity(items as usize);
                while let Some(pushed) = rx.recv().await {
                    late.push(pushed.elapsed());
                }
                late
            };
            measure(mode, items, figure, producer, consumer)
        }),
    ]
}

fn measure<P, C>(mode: Mode, items: u64, figure: Figure, producer: P, consumer: C) -> Duration
where
    P: Future<Output = ()> + Send + 'static,
    C: Future<Output = Vec<Duration>> + Send + 'static,
{
    let (used, mut late) = match mode {
        Mode::Ct | Mode::Mt2 => runtime(mode).block_on(async {
            let used = CpuTime::now();
            let consumer = tokio::spawn(consumer);
            tokio::spawn(producer).await.expect("no panic");
            let late = consumer.await.expect("no panic");
            (used.elapsed(), late)
        }),
        Mode::Xt => {
            // Both threads are there, with their runtimes, at both readings of the CPU time.
            let (start, end) = (Barrier::new(2), Barrier::new(2));
            thread::scope(|scope| {
                scope.spawn(|| {
                    let runtime = current_thread();
                    start.wait();
                    runtime.block_on(producer);
                    end.wait();
                });
                let runtime = current_thread();
                let used = CpuTime::now();
                start.wait();
                let late = runtime.block_on(consumer);
                let used = used.elapsed();
                end.wait();
                (used, late)
            })
        }
    };
    assert_eq!(late.len() as u64, items, "not what was sent");
    figure(used, &mut late)
}
