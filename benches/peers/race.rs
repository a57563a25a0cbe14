//! Producers against consumers, as tasks: on one thread, on two workers, or a thread for each side.

use std::future::Future;
use std::hint::black_box;
use std::ops::Range;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tokio::sync::Barrier;
use tokio::task::JoinHandle;

/// Where the tasks run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// All on one `current_thread` runtime.
    Ct,
    /// All on one `multi_thread` runtime with two workers.
    Mt2,
    /// Producers on one thread's `current_thread` runtime, consumers on another's.
    Xt,
}

pub(crate) const MODES: [Mode; 3] = [Mode::Ct, Mode::Mt2, Mode::Xt];

impl Mode {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ct => "CT",
            Self::Mt2 => "MT2",
            Self::Xt => "XT",
        }
    }
}

/// What is carried: a number that can be counted up at the other end.
pub(crate) trait Item:
    Send + Sync + Unpin + Clone + Default + std::fmt::Debug + 'static
{
    const NAME: &'static str;
    fn of(number: u64) -> Self;
    fn number(&self) -> u64;
}

impl Item for u64 {
    const NAME: &'static str = "u64";

    fn of(number: u64) -> Self {
        number
    }

    fn number(&self) -> u64 {
        *self
    }
}

/// As long as a cache line.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wide([u64; 8]);

impl Item for Wide {
    const NAME: &'static str = "64 bytes";

    fn of(number: u64) -> Self {
        Self([number; 8])
    }

    fn number(&self) -> u64 {
        self.0[0] & self.0[7]
    }
}

/// What a consumer has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) count: u64,
    pub(crate) sum: u64,
}

impl Tally {
    /// Of the numbers below `items`.
    pub(crate) fn below(items: u64) -> Self {
        Self {
            count: items,
            sum: items * items.saturating_sub(1) / 2,
        }
    }

    #[inline]
    pub(crate) fn add<T: Item>(&mut self, item: T) {
        self.count += 1;
        self.sum = self.sum.wrapping_add(black_box(item).number());
    }

    #[inline]
    pub(crate) fn add_all<T: Item>(&mut self, items: &[T]) {
        self.count += items.len() as u64;
        self.sum = black_box(items)
            .iter()
            .fold(self.sum, |sum, item| sum.wrapping_add(item.number()));
    }
}

/// As many handles as there are users of one.
pub(crate) fn copies<H: Clone>(handle: H, count: usize) -> Vec<H> {
    vec![handle; count]
}

/// The numbers that producer `index` of `producers` sends, so that together they send all below `items`.
pub(crate) fn share(items: u64, producers: usize, index: usize) -> Range<u64> {
    let (producers, index) = (producers as u64, index as u64);
    items * index / producers..items * (index + 1) / producers
}

/// [`run`] where the consumers share: together they must see each number below `items` once.
pub(crate) fn race<P, C>(mode: Mode, items: u64, producers: Vec<P>, consumers: Vec<C>) -> Duration
where
    P: Future<Output = ()> + Send + 'static,
    C: Future<Output = Tally> + Send + 'static,
{
    let (took, tallies) = run(mode, producers, consumers);
    let mut seen = Tally::default();
    for tally in tallies {
        seen.count += tally.count;
        seen.sum = seen.sum.wrapping_add(tally.sum);
    }
    assert_eq!(seen, Tally::below(items), "not what was sent");
    took
}

/// Runs all to their end and says how long it took from the first start to the last end, and what the consumers answer.
///
/// Runtimes and tasks stand ready before the clock starts.
pub(crate) fn run<P, C>(
    mode: Mode,
    producers: Vec<P>,
    consumers: Vec<C>,
) -> (Duration, Vec<C::Output>)
where
    P: Future<Output = ()> + Send + 'static,
    C: Future<Output: Send> + Send + 'static,
{
    let start = Arc::new(Barrier::new(producers.len() + consumers.len()));
    let (producers, consumers) = match mode {
        Mode::Ct => both(&current_thread(), producers, consumers, &start),
        Mode::Mt2 => both(&two_workers(), producers, consumers, &start),
        Mode::Xt => thread::scope(|scope| {
            let pushing = scope.spawn(|| one_side(&current_thread(), producers, &start));
            let consumers = one_side(&current_thread(), consumers, &start);
            (pushing.join().expect("a producer panicked"), consumers)
        }),
    };
    let laps = producers
        .iter()
        .map(|(lap, ())| lap)
        .chain(consumers.iter().map(|(lap, _)| lap));
    let from = laps
        .clone()
        .map(|lap| lap.from)
        .min()
        .expect("at least one task");
    let to = laps.map(|lap| lap.to).max().expect("at least one task");
    let answers = consumers.into_iter().map(|(_, answer)| answer);
    (to - from, answers.collect())
}

/// The time of one task.
#[derive(Debug)]
pub(crate) struct Lap {
    from: Instant,
    to: Instant,
}

pub(crate) fn current_thread() -> Runtime {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

pub(crate) fn two_workers() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
}

async fn lap<F: Future>(future: F, start: Arc<Barrier>) -> (Lap, F::Output) {
    start.wait().await;
    let from = Instant::now();
    let output = future.await;
    (
        Lap {
            from,
            to: Instant::now(),
        },
        output,
    )
}

type Laps<T> = Vec<(Lap, T)>;

fn both<P, C>(
    runtime: &Runtime,
    producers: Vec<P>,
    consumers: Vec<C>,
    start: &Arc<Barrier>,
) -> (Laps<()>, Laps<C::Output>)
where
    P: Future<Output = ()> + Send + 'static,
    C: Future<Output: Send> + Send + 'static,
{
    runtime.block_on(async {
        let consumers = spawn_all(consumers, start);
        let producers = spawn_all(producers, start);
        (join_all(producers).await, join_all(consumers).await)
    })
}

fn one_side<F>(runtime: &Runtime, tasks: Vec<F>, start: &Arc<Barrier>) -> Laps<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    runtime.block_on(async { join_all(spawn_all(tasks, start)).await })
}

fn spawn_all<F>(tasks: Vec<F>, start: &Arc<Barrier>) -> Vec<JoinHandle<(Lap, F::Output)>>
where
    F: Future<Output: Send> + Send + 'static,
{
    tasks
        .into_iter()
        .map(|task| tokio::spawn(lap(task, start.clone())))
        .collect()
}

async fn join_all<T>(handles: Vec<JoinHandle<T>>) -> Vec<T> {
    let mut all = Vec::with_capacity(handles.len());
    for handle in handles {
        all.push(handle.await.expect("a task panicked"));
    }
    all
}
