//! One queue, with pushes and pulls of many items in one call, where a channel has them.

use std::collections::VecDeque;

use crate::harness::{Case, Contender};
use crate::queue::Way;
use crate::race::{Item, MODES, Tally, race, share};

const PUSHED: u64 = 64;
const PULLED: usize = 256;

pub(crate) fn cases(cases: &mut Vec<Case>) {
    for mode in MODES {
        let way = Way {
            mode,
            capacity: 1024,
            producers: 1,
            consumers: 1,
        };
        cases.push(Case::new(
            "pull 256/1024/1P1C",
            mode.name(),
            bulk_pull::<u64>(way),
        ));
    }
    for mode in MODES {
        let way = Way {
            mode,
            capacity: 1024,
            producers: 1,
            consumers: 1,
        };
        cases.push(Case::new(
            "push 64, pull 256/1024/1P1C",
            mode.name(),
            bulk_both::<u64>(way),
        ));
    }
}

/// The runs in which a producer sends its share.
pub(crate) fn runs(
    items: u64,
    producers: usize,
    index: usize,
) -> impl Iterator<Item = std::ops::Range<u64>> {
    let share = share(items, producers, index);
    let end = share.end;
    share
        .step_by(PUSHED as usize)
        .map(move |from| from..end.min(from + PUSHED))
}

/// Pushes one by one; `$pull` puts up to 256 items into `$out`, none at the end.
macro_rules! pull_many {
    ($way:expr, $items:expr, $txs:expr, |$tx:pat_param, $item:ident| $push:expr, |$out:ident| $pull:expr) => {{
        let (way, items): (Way, u64) = ($way, $items);
        let pushing = $txs.into_iter().enumerate().map(|(index, $tx)| {
            let share = share(items, way.producers, index);
            async move {
                for number in share {
                    let $item = T::of(number);
                    $push;
                }
            }
        });
        let pulling = pull_all!(|$out| $pull);
        race(way.mode, items, pushing.collect(), vec![pulling])
    }};
}

/// Pushes the items of each `$run` at once; pulls as above.
macro_rules! push_many {
    ($way:expr, $items:expr, $txs:expr, |$tx:pat_param, $run:ident| $push:expr, |$out:ident| $pull:expr) => {{
        let (way, items): (Way, u64) = ($way, $items);
        let pushing = $txs.into_iter().enumerate().map(|(index, $tx)| async move {
            for $run in runs(items, way.producers, index) {
                $push;
            }
        });
        let pulling = pull_all!(|$out| $pull);
        race(way.mode, items, pushing.collect(), vec![pulling])
    }};
}

macro_rules! pull_all {
    (|$out:ident| $pull:expr) => {
        async move {
            let mut tally = Tally::default();
            let mut $out: Vec<T> = Vec::with_capacity(PULLED);
            loop {
                $pull;
                if $out.is_empty() {
                    return tally;
                }
                tally.add_all(&$out);
                $out.clear();
            }
        }
    };
}

fn bulk_pull<T: Item>(way: Way) -> Vec<Contender> {
    let capacity = way.capacity;
    vec![
        Contender::ours(move |items| {
            let (tx, rx) = pushpull::queue::bounded::<T>(capacity);
            pull_many!(
                way,
                items,
                [tx],
                |tx, item| tx.push(item).await.expect("open"),
                |out| { rx.pull_many(&mut out, PULLED).await }
            )
        }),
        Contender::glue("tokio mpsc", move |items| {
            let (tx, mut rx) = tokio::sync::mpsc::channel::<T>(capacity);
            pull_many!(
                way,
                items,
                [tx],
                |tx, item| tx.send(item).await.expect("open"),
                |out| { rx.recv_many(&mut out, PULLED).await }
            )
        }),
        Contender::peer("batch-channel", move |items| {
            let (tx, rx) = batch_channel::bounded::<T>(capacity);
            pull_many!(
                way,
                items,
                [tx],
                |tx, item| tx.send(item).await.expect("open"),
                |out| { rx.recv_vec(PULLED, &mut out).await }
            )
        }),
        Contender::peer("rapidfire", move |items| {
            let (tx, mut rx) = rapidfire::mpsc::bounded::<T>(capacity);
            pull_many!(
                way,
                items,
                [tx],
                |tx, item| tx.send(item).await.expect("open"),
                |out| { rx.recv_many(&mut out, PULLED).await.unwrap_or_default() }
            )
        }),
        Contender::peer("fibre", move |items| {
            let (tx, mut rx) = fibre::spsc::bounded_async::<T>(capacity);
            pull_many!(
                way,
                items,
                [tx],
                |mut tx, item| tx.send(item).await.expect("open"),
                |out| {
                    rx.recv_batch_mut(&mut out, PULLED)
                        .await
                        .unwrap_or_default()
                }
            )
        }),
        Contender::peer("kanal", move |items| {
            let (tx, rx) = kanal::bounded_async::<T>(capacity);
            pull_many!(
                way,
                items,
                [tx],
                |tx, item| tx.send(item).await.expect("open"),
                |out| {
                    // Waits for one, then takes all there is.
                    if let Ok(item) = rx.recv().await {
                        out.push(item);
                        rx.drain_into(&mut out).expect("this end is open");
                    }
                }
            )
        }),
        Contender::peer("flume", move |items| {
            let (tx, rx) = flume::bounded::<T>(capacity);
            pull_many!(
                way,
                items,
                [tx],
                |tx, item| tx.send_async(item).await.expect("open"),
                |out| {
                    // Waits for one, then takes all there is.
                    if let Ok(item) = rx.recv_async().await {
                        out.push(item);
                        out.extend(rx.drain());
                    }
                }
            )
        }),
        Contender::peer("crossfire", move |items| {
            let (tx, rx) = crossfire::spsc::bounded_async::<T>(capacity);
            pull_many!(
                way,
                items,
                [tx],
                |tx, item| tx.send(item).await.expect("open"),
                |out| {
                    // It has no call for many: waits for one, then tries for more.
                    if let Ok(item) = rx.recv().await {
                        out.push(item);
                        while out.len() < PULLED {
                            let Ok(item) = rx.try_recv() else { break };
                            out.push(item);
                        }
                    }
                }
            )
        }),
    ]
}

/// Only those that can push many in one call.
fn bulk_both<T: Item>(way: Way) -> Vec<Contender> {
    let capacity = way.capacity;
    vec![
        Contender::ours(move |items| {
            let (tx, rx) = pushpull::queue::bounded::<T>(capacity);
            let many = VecDeque::with_capacity(PUSHED as usize);
            push_many!(
                way,
                items,
                [(tx, many)],
                |(tx, mut many), run| {
                    many.extend(run.map(T::of));
                    tx.push_many(&mut many).await.expect("open")
                },
                |out| rx.pull_many(&mut out, PULLED).await
            )
        }),
        Contender::glue("tokio mpsc", move |items| {
            let (tx, mut rx) = tokio::sync::mpsc::channel::<T>(capacity);
            push_many!(
                way,
                items,
                [tx],
                |tx, run| {
                    let permits = tx
                        .reserve_many((run.end - run.start) as usize)
                        .await
                        .expect("open");
                    permits
                        .zip(run)
                        .for_each(|(permit, number)| permit.send(T::of(number)))
                },
                |out| rx.recv_many(&mut out, PULLED).await
            )
        }),
        Contender::peer("batch-channel", move |items| {
            let (tx, rx) = batch_channel::bounded::<T>(capacity);
            push_many!(
                way,
                items,
                [tx],
                |tx, run| tx.send_iter(run.map(T::of)).await.expect("open"),
                |out| rx.recv_vec(PULLED, &mut out).await
            )
        }),
        Contender::peer("fibre", move |items| {
            let (tx, mut rx) = fibre::spsc::bounded_async::<T>(capacity);
            let many = Vec::with_capacity(PUSHED as usize);
            push_many!(
                way,
                items,
                [(tx, many)],
                |(mut tx, mut many), run| {
                    many.extend(run.map(T::of));
                    tx.send_batch_mut(&mut many).await.expect("open")
                },
                |out| rx
                    .recv_batch_mut(&mut out, PULLED)
                    .await
                    .unwrap_or_default()
            )
        }),
    ]
}
