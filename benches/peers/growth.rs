//! What an item costs while more and more of them are queued, and with more and more producers.

use std::time::{Duration, Instant};

use crate::harness::{Case, Contender};
use crate::queue::{Way, one_by_one};
use crate::race::{Mode, Tally, current_thread};

/// Room for the longest queue.
const CAPACITY: usize = 16_384;
const BESIDE: [&str; 5] = ["pushpull", "tokio mpsc", "kanal", "crossfire", "rapidfire"];

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for queued in [1, 10, 100, 1_000, 10_000] {
        let case = Case::new(
            format!("queued/{queued}"),
            Mode::Ct.name(),
            standing(queued),
        );
        cases.push(case.column("items queued all the time, CT", queued.to_string()));
    }
    for mode in [Mode::Ct, Mode::Mt2] {
        for producers in [1, 4, 16, 64] {
            let way = Way {
                mode,
                capacity: 1024,
                producers,
                consumers: 1,
            };
            let mut contenders = one_by_one::<u64>(way);
            contenders.retain(|one| BESIDE.contains(&one.name));
            let case = Case::new(format!("producers/{producers}"), mode.name(), contenders);
            cases.push(case.column(format!("producers, {}", mode.name()), producers.to_string()));
        }
    }
    cases
}

/// One task puts an item in and takes one out, while `queued` others stand in between.
macro_rules! standing {
    ($queued:expr, $items:expr, |$item:ident| $push:expr, $pull:expr) => {{
        let (queued, items): (u64, u64) = ($queued, $items);
        let task = async move {
            for $item in 0..queued {
                $push;
            }
            let mut tally = Tally::default();
            let from = Instant::now();
            for $item in queued..queued + items {
                $push;
                tally.add::<u64>($pull);
            }
            let took = from.elapsed();
            for _ in 0..queued {
                tally.add::<u64>($pull);
            }
            assert_eq!(tally, Tally::below(queued + items), "not what was sent");
            took
        };
        let took: Duration =
            current_thread().block_on(async { tokio::spawn(task).await.expect("a task panicked") });
        took
    }};
}

fn standing(queued: u64) -> Vec<Contender> {
    vec![
        Contender::ours(move |items| {
            let (tx, rx) = pushpull::queue::bounded(CAPACITY);
            standing!(
                queued,
                items,
                |item| tx.push(item).await.expect("open"),
                rx.pull().await.expect("open")
            )
        }),
        Contender::glue("tokio mpsc", move |items| {
            let (tx, mut rx) = tokio::sync::mpsc::channel(CAPACITY);
            standing!(
                queued,
                items,
                |item| tx.send(item).await.expect("open"),
                rx.recv().await.expect("open")
            )
        }),
        Contender::peer("kanal", move |items| {
            let (tx, rx) = kanal::bounded_async(CAPACITY);
            standing!(
                queued,
                items,
                |item| tx.send(item).await.expect("open"),
                rx.recv().await.expect("open")
            )
        }),
        Contender::peer("crossfire", move |items| {
            let (tx, rx) = crossfire::spsc::bounded_async(CAPACITY);
            standing!(
                queued,
                items,
                |item| tx.send(item).await.expect("open"),
                rx.recv().await.expect("open")
            )
        }),
        Contender::peer("rapidfire", move |items| {
            let (tx, mut rx) = rapidfire::mpsc::bounded(CAPACITY);
            standing!(
                queued,
                items,
                |item| tx.send(item).await.expect("open"),
                rx.recv().await.expect("open")
            )
        }),
    ]
}
