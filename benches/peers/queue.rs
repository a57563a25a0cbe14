//! One queue between producers and consumers: one by one, and in bulk.

use futures::{SinkExt, StreamExt};

use crate::bulk;
use crate::harness::{Case, Contender};
use crate::race::{Item, MODES, Mode, Tally, Wide, copies, race, share};

/// Who takes part, and where.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    pub(crate) mode: Mode,
    pub(crate) capacity: usize,
    pub(crate) producers: usize,
    pub(crate) consumers: usize,
}

impl Way {
    /// As in `4P1C`.
    pub(crate) fn parties(self) -> String {
        format!("{}P{}C", self.producers, self.consumers)
    }
}

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    one_by_one_cases::<u64>(&mut cases);
    one_by_one_cases::<Wide>(&mut cases);
    bulk::cases(&mut cases);
    cases
}

fn one_by_one_cases<T: Item>(cases: &mut Vec<Case>) {
    for capacity in [100, 1024] {
        for (producers, consumers) in [(1, 1), (4, 1), (4, 4)] {
            for mode in MODES {
                let way = Way {
                    mode,
                    capacity,
                    producers,
                    consumers,
                };
                let name = format!("{}/{capacity}/{}", T::NAME, way.parties());
                cases.push(Case::new(name, mode.name(), one_by_one::<T>(way)));
            }
        }
    }
}

/// Sends with each of `$txs` its share, one by one, and receives with each of `$rxs` until the end.
///
/// The loops are written out for each contender: no trait and no boxed future stands in between.
macro_rules! round {
    ($way:expr, $items:expr, $txs:expr, |$tx:pat_param, $item:ident| $push:expr, $rxs:expr, |$rx:pat_param| $pull:expr) => {{
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
        let pulling = $rxs.into_iter().map(|$rx| async move {
            let mut tally = Tally::default();
            while let Some(item) = $pull {
                tally.add(item);
            }
            tally
        });
        race(way.mode, items, pushing.collect(), pulling.collect())
    }};
}

/// Everybody who can; what has one consumer is left out where there are four.
pub(crate) fn one_by_one<T: Item>(way: Way) -> Vec<Contender> {
    let Way {
        capacity,
        producers,
        consumers,
        ..
    } = way;
    let mut contenders = vec![
        Contender::ours(move |items| {
            let (tx, rx) = pushpull::queue::bounded::<T>(capacity);
            let (txs, rxs) = (copies(tx, producers), copies(rx, consumers));
            round!(
                way,
                items,
                txs,
                |tx, item| tx.push(item).await.expect("open"),
                rxs,
                |rx| rx.pull().await
            )
        }),
        Contender::info("pushpull (Sink, Stream)", move |items| {
            let (tx, rx) = pushpull::queue::bounded::<T>(capacity);
            let (txs, rxs) = (copies(tx, producers), copies(rx, consumers));
            round!(
                way,
                items,
                txs,
                |mut tx, item| tx.feed(item).await.expect("open"),
                rxs,
                |mut rx| rx.next().await
            )
        }),
        Contender::peer("flume", move |items| {
            let (tx, rx) = flume::bounded::<T>(capacity);
            let (txs, rxs) = (copies(tx, producers), copies(rx, consumers));
            round!(
                way,
                items,
                txs,
                |tx, item| tx.send_async(item).await.expect("open"),
                rxs,
                |rx| { rx.recv_async().await.ok() }
            )
        }),
        Contender::peer("async-channel", move |items| {
            let (tx, rx) = async_channel::bounded::<T>(capacity);
            let (txs, rxs) = (copies(tx, producers), copies(rx, consumers));
            round!(
                way,
                items,
                txs,
                |tx, item| tx.send(item).await.expect("open"),
                rxs,
                |rx| rx.recv().await.ok()
            )
        }),
        Contender::peer("kanal", move |items| {
            let (tx, rx) = kanal::bounded_async::<T>(capacity);
            let (txs, rxs) = (copies(tx, producers), copies(rx, consumers));
            round!(
                way,
                items,
                txs,
                |tx, item| tx.send(item).await.expect("open"),
                rxs,
                |rx| rx.recv().await.ok()
            )
        }),
        Contender::peer("batch-channel", move |items| {
            let (tx, rx) = batch_channel::bounded::<T>(capacity);
            let (txs, rxs) = (copies(tx, producers), copies(rx, consumers));
            round!(
                way,
                items,
                txs,
                |tx, item| tx.send(item).await.expect("open"),
                rxs,
                |rx| rx.recv().await
            )
        }),
    ];
    contenders.extend(match (producers, consumers) {
        (1, 1) => one_to_one::<T>(way),
        (_, 1) => many_to_one::<T>(way),
        _ => many_to_many::<T>(way),
    });
    if consumers == 1 {
        contenders.extend(to_one::<T>(way));
    }
    contenders
}

/// crossfire, rapidfire and fibre have a kind of channel for each number of ends.
fn one_to_one<T: Item>(way: Way) -> Vec<Contender> {
    let capacity = way.capacity;
    vec![
        Contender::peer("crossfire", move |items| {
            let (tx, rx) = crossfire::spsc::bounded_async::<T>(capacity);
            round!(
                way,
                items,
                [tx],
                |tx, item| tx.send(item).await.expect("open"),
                [rx],
                |rx| rx.recv().await.ok()
            )
        }),
        Contender::peer("rapidfire", move |items| {
            let (tx, rx) = rapidfire::mpsc::bounded::<T>(capacity);
            round!(
                way,
                items,
                [tx],
                |tx, item| tx.send(item).await.expect("open"),
                [rx],
                |mut rx| { rx.recv().await.ok() }
            )
        }),
        Contender::peer("fibre", move |items| {
            let (tx, rx) = fibre::spsc::bounded_async::<T>(capacity);
            round!(
                way,
                items,
                [tx],
                |mut tx, item| tx.send(item).await.expect("open"),
                [rx],
                |mut rx| { rx.recv().await.ok() }
            )
        }),
    ]
}

fn many_to_one<T: Item>(way: Way) -> Vec<Contender> {
    let Way {
        capacity,
        producers,
        ..
    } = way;
    vec![
        Contender::peer("crossfire", move |items| {
            let (tx, rx) = crossfire::mpsc::bounded_async::<T>(capacity);
            let txs = copies(tx, producers);
            round!(
                way,
                items,
                txs,
                |tx, item| tx.send(item).await.expect("open"),
                [rx],
                |rx| rx.recv().await.ok()
            )
        }),
        Contender::peer("rapidfire", move |items| {
            let (tx, rx) = rapidfire::mpsc::bounded::<T>(capacity);
            let txs = copies(tx, producers);
            round!(
                way,
                items,
                txs,
                |tx, item| tx.send(item).await.expect("open"),
                [rx],
                |mut rx| { rx.recv().await.ok() }
            )
        }),
        Contender::peer("fibre", move |items| {
            let (tx, rx) = fibre::mpsc::bounded_async::<T>(capacity);
            let txs = copies(tx, producers);
            round!(
                way,
                items,
                txs,
                |tx, item| tx.send(item).await.expect("open"),
                [rx],
                |rx| rx.recv().await.ok()
            )
        }),
    ]
}

fn many_to_many<T: Item>(way: Way) -> Vec<Contender> {
    let Way {
        capacity,
        producers,
        consumers,
        ..
    } = way;
    vec![
        Contender::peer("crossfire", move |items| {
            let (tx, rx) = crossfire::mpmc::bounded_async::<T>(capacity);
            let (txs, rxs) = (copies(tx, producers), copies(rx, consumers));
            round!(
                way,
                items,
                txs,
                |tx, item| tx.send(item).await.expect("open"),
                rxs,
                |rx| rx.recv().await.ok()
            )
        }),
        Contender::peer("rapidfire", move |items| {
            let (tx, rx) = rapidfire::bounded::<T>(capacity);
            let (txs, rxs) = (copies(tx, producers), copies(rx, consumers));
            round!(
                way,
                items,
                txs,
                |tx, item| tx.send(item).await.expect("open"),
                rxs,
                |rx| rx.recv().await.ok()
            )
        }),
        Contender::peer("fibre", move |items| {
            let (tx, rx) = fibre::mpmc::bounded_async::<T>(capacity);
            let (txs, rxs) = (copies(tx, producers), copies(rx, consumers));
            round!(
                way,
                items,
                txs,
                |tx, item| tx.send(item).await.expect("open"),
                rxs,
                |rx| rx.recv().await.ok()
            )
        }),
    ]
}

/// These have one consumer.
fn to_one<T: Item>(way: Way) -> Vec<Contender> {
    let Way {
        capacity,
        producers,
        ..
    } = way;
    vec![
        Contender::glue("tokio mpsc", move |items| {
            let (tx, rx) = tokio::sync::mpsc::channel::<T>(capacity);
            let txs = copies(tx, producers);
            round!(
                way,
                items,
                txs,
                |tx, item| tx.send(item).await.expect("open"),
                [rx],
                |mut rx| rx.recv().await
            )
        }),
        Contender::peer("futures mpsc", move |items| {
            // Each sender adds a slot to the buffer.
            let (tx, rx) = futures::channel::mpsc::channel::<T>(capacity - producers);
            let txs = copies(tx, producers);
            round!(
                way,
                items,
                txs,
                |mut tx, item| tx.feed(item).await.expect("open"),
                [rx],
                |mut rx| rx.next().await
            )
        }),
        Contender::peer("thingbuf", move |items| {
            let (tx, rx) = thingbuf::mpsc::channel::<T>(capacity);
            let txs = copies(tx, producers);
            round!(
                way,
                items,
                txs,
                |tx, item| tx.send(item).await.expect("open"),
                [rx],
                |rx| rx.recv().await
            )
        }),
    ]
}
