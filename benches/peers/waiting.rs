//! What waiting costs: CPU time of queues that are idle or slow, the time until a consumer wakes up, and what neighbours feel.

mod neighbour;
mod slow;

use std::future::Future;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::cpu::CpuTime;
use crate::harness::{Case, Contender};
use crate::race::{Mode, current_thread, two_workers};

const CAPACITY: usize = 1024;
const QUEUES: u64 = 100;

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for mode in [Mode::Ct, Mode::Mt2] {
        let case = Case::new(
            "100 idle queues, CPU per queue in 0.5 s",
            mode.name(),
            idle(mode),
        );
        cases.push(case.items(QUEUES));
    }
    slow::cases(&mut cases);
    neighbour::cases(&mut cases);
    cases
}

/// For cases that have one runtime.
fn runtime(mode: Mode) -> Runtime {
    match mode {
        Mode::Ct => current_thread(),
        Mode::Mt2 => two_workers(),
        Mode::Xt => unreachable!("has two runtimes"),
    }
}

/// A consumer waits at each queue, and nothing comes.
fn idle(mode: Mode) -> Vec<Contender> {
    vec![
        Contender::ours(move |queues| {
            doing_nothing(mode, queues, || {
                let (tx, rx) = pushpull::queue::bounded::<u64>(CAPACITY);
                (tx, async move { rx.pull().await })
            })
        }),
        Contender::glue("tokio mpsc", move |queues| {
            doing_nothing(mode, queues, || {
                let (tx, mut rx) = mpsc::channel::<u64>(CAPACITY);
                (tx, async move { rx.recv().await })
            })
        }),
        // What the runtime uses, and the measuring.
        Contender::info("no queue", move |_| {
            doing_nothing(mode, 0, || ((), async { None }))
        }),
    ]
}

fn doing_nothing<P, C>(mode: Mode, queues: u64, queue: impl Fn() -> (P, C)) -> Duration
where
    C: Future<Output = Option<u64>> + Send + 'static,
{
    runtime(mode).block_on(async {
        let (producers, consumers): (Vec<_>, Vec<_>) = (0..queues).map(|_| queue()).unzip();
        let consumers: Vec<_> = consumers.into_iter().map(tokio::spawn).collect();
        sleep(Duration::from_millis(20)).await;
        let used = CpuTime::now();
        sleep(Duration::from_millis(500)).await;
        let used = used.elapsed();
        drop(producers);
        for consumer in consumers {
            assert_eq!(consumer.await.expect("no panic"), None);
        }
        used
    })
}
