//! How many instructions the main paths take, counted by valgrind: `ci/instructions` holds them against `figures.txt`.
//!
//! Each case takes [`ITEMS`] items through one path, on one thread and a clock that stands still, so that a count is the
//! same each time.

#![expect(unused_qualifications, reason = "in what gungraun's macros make")]

mod broadcast;
mod flow;
mod queue;

use std::hint::black_box;

use gungraun::{
    Callgrind, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main,
};
use tokio::runtime::{Builder, Runtime};

use flow::PLENTY;
use pushpull::rate::RateLimiter;
use queue::{Item, ends};

/// So many go through each case; `ci/instructions` divides by it.
const ITEMS: u64 = 10_000;

/// What a case starts from, made before the counting and dropped after it.
struct Stage<P> {
    runtime: Runtime,
    parts: P,
}

impl<P> Stage<P> {
    fn new(parts: P) -> Self {
        let runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build();
        Self {
            runtime: runtime.expect("a runtime"),
            parts,
        }
    }
}

/// What has arrived.
#[derive(Default)]
struct Tally(u64);

impl Tally {
    fn add<T>(&mut self, item: T) {
        black_box(item);
        self.0 += 1;
    }

    fn add_all<T>(&mut self, items: &[T]) {
        self.0 += black_box(items).len() as u64;
    }

    fn is_complete(&self) {
        assert_eq!(self.0, ITEMS, "not what was sent");
    }
}

// gungraun counts from the call of one of these to its return, and turns with each function whose name has its wrapper
// in it: a closure or a task written here would switch the counting off. So the paths are elsewhere.

// At capacity 1 nothing is ever ready: each item is waited for, and so is each slot.
#[library_benchmark]
#[bench::word(ends::<[u64; 1]>(1024))]
#[bench::cache_line(ends::<[u64; 8]>(1024))]
#[bench::hand_over(ends::<[u64; 1]>(1))]
fn one_by_one<T: Item>(stage: queue::Ends<T>) -> Runtime {
    queue::one_by_one(stage)
}

#[library_benchmark]
#[bench::word(ends(1024))]
fn sink_and_stream(stage: queue::Ends<u64>) -> Runtime {
    queue::sink_and_stream(stage)
}

#[library_benchmark]
#[bench::word(ends(1024))]
fn in_bulk(stage: queue::Ends<u64>) -> Runtime {
    queue::in_bulk(stage)
}

#[library_benchmark]
#[bench::of_100(ends(1024))]
fn queue_to_batch(stage: queue::Ends<u64>) -> Runtime {
    flow::queue_to_batch(stage)
}

#[library_benchmark]
#[bench::of_100(Stage::new(()))]
fn iter_to_batch(stage: Stage<()>) -> Runtime {
    flow::iter_to_batch(stage)
}

#[library_benchmark]
#[bench::on_a_stream(Stage::new(RateLimiter::new(PLENTY)))]
fn rate_limit(stage: Stage<RateLimiter>) -> Runtime {
    flow::rate_limited_stream(stage)
}

#[library_benchmark]
#[bench::one(Stage::new(RateLimiter::new(PLENTY)))]
fn try_acquire(stage: Stage<RateLimiter>) -> Runtime {
    flow::try_acquire(stage)
}

#[library_benchmark]
#[bench::queue_batch_rate_pump(ends(1024))]
fn chain(stage: queue::Ends<u64>) -> Runtime {
    flow::chain(stage)
}

#[library_benchmark]
#[bench::to_1(broadcast::to(1))]
#[bench::to_8(broadcast::to(8))]
fn deliver(stage: broadcast::Ends) -> Runtime {
    broadcast::deliver(stage)
}

library_benchmark_group!(
    name = paths,
    benchmarks = [
        one_by_one,
        sink_and_stream,
        in_bulk,
        queue_to_batch,
        iter_to_batch,
        rate_limit,
        try_acquire,
        chain,
        deliver
    ]
);

main!(
    config = LibraryBenchmarkConfig::default().tool(Callgrind::with_args(["--cache-sim=no"])),
    library_benchmark_groups = paths
);
