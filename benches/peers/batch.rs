//! A queue, then batches of 100 or of what came within a second; and the same over a stream that is always ready.

use std::collections::VecDeque;
use std::future::Ready;
use std::pin::pin;
use std::time::Duration;

use futures::{SinkExt, StreamExt, stream};
use futures_batch::ChunksTimeoutStreamExt as FuturesBatch;
use pushpull::PullExt;
use tokio_stream::StreamExt as TokioStream;
use tokio_stream::wrappers::ReceiverStream;

use crate::bulk::runs;
use crate::harness::{Case, Contender};
use crate::queue::Way;
use crate::race::{Item, Mode, Tally, copies, race, share};

const MAX: usize = 100;
const WITHIN: Duration = Duration::from_secs(1);
/// Where the queue is of the kind, and the wait of tokio-stream.
const WAYS: [(Mode, usize); 3] = [(Mode::Ct, 1), (Mode::Mt2, 4), (Mode::Xt, 1)];

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (mode, producers) in WAYS {
        let way = Way {
            mode,
            capacity: 1024,
            producers,
            consumers: 1,
        };
        let case = Case::new(
            format!("push/{}", way.parties()),
            mode.name(),
            pushed::<u64>(way),
        );
        cases.push(case.column(
            "queue, ordinary pushes",
            format!("{producers}P {}", mode.name()),
        ));
    }
    for (mode, producers) in WAYS {
        let way = Way {
            mode,
            capacity: 1024,
            producers,
            consumers: 1,
        };
        let case = Case::new(
            format!("push 64/{}", way.parties()),
            mode.name(),
            pushed_in_bulk::<u64>(way),
        );
        cases.push(case.column("queue, 64 a push", format!("{producers}P {}", mode.name())));
    }
    cases.push(Case::new(
        "stream::iter",
        Mode::Ct.name(),
        always_ready::<u64>(),
    ));
    cases
}

/// Counts what comes in batches.
macro_rules! count {
    ($batches:expr) => {
        async move {
            let mut batches = pin!($batches);
            let mut tally = Tally::default();
            while let Some(batch) = StreamExt::next(&mut batches).await {
                tally.add_all(&batch);
            }
            tally
        }
    };
}

macro_rules! pushed {
    ($way:expr, $items:expr, $tx:expr, |$one:pat_param, $item:ident| $push:expr, $batches:expr) => {{
        let (way, items): (Way, u64) = ($way, $items);
        let pushing = copies($tx, way.producers)
            .into_iter()
            .enumerate()
            .map(|(index, $one)| {
                let share = share(items, way.producers, index);
                async move {
                    for number in share {
                        let $item = T::of(number);
                        $push;
                    }
                }
            });
        race(way.mode, items, pushing.collect(), vec![count!($batches)])
    }};
}

macro_rules! pushed_in_bulk {
    ($way:expr, $items:expr, $tx:expr, |$one:pat_param, $run:ident| $push:expr, $batches:expr) => {{
        let (way, items): (Way, u64) = ($way, $items);
        let pushing =
            copies($tx, way.producers)
                .into_iter()
                .enumerate()
                .map(|(index, $one)| async move {
                    for $run in runs(items, way.producers, index) {
                        $push;
                    }
                });
        race(way.mode, items, pushing.collect(), vec![count!($batches)])
    }};
}

fn pushed<T: Item>(way: Way) -> Vec<Contender> {
    let Way {
        capacity,
        producers,
        ..
    } = way;
    vec![
        Contender::ours(move |items| {
            let (tx, rx) = pushpull::queue::bounded::<T>(capacity);
            pushed!(
                way,
                items,
                tx,
                |tx, item| tx.push(item).await.expect("open"),
                rx.batch(MAX, WITHIN)
            )
        }),
        Contender::glue("tokio mpsc + chunks_timeout", move |items| {
            let (tx, rx) = tokio::sync::mpsc::channel::<T>(capacity);
            pushed!(
                way,
                items,
                tx,
                |tx, item| tx.send(item).await.expect("open"),
                { TokioStream::chunks_timeout(ReceiverStream::new(rx), MAX, WITHIN) }
            )
        }),
        Contender::peer("futures mpsc + chunks_timeout", move |items| {
            // Each sender adds a slot to the buffer.
            let (tx, rx) = futures::channel::mpsc::channel::<T>(capacity - producers);
            pushed!(
                way,
                items,
                tx,
                |mut tx, item| tx.feed(item).await.expect("open"),
                { TokioStream::chunks_timeout(rx, MAX, WITHIN) }
            )
        }),
        Contender::peer("flume + chunks_timeout", move |items| {
            let (tx, rx) = flume::bounded::<T>(capacity);
            pushed!(
                way,
                items,
                tx,
                |tx, item| tx.send_async(item).await.expect("open"),
                { TokioStream::chunks_timeout(rx.into_stream(), MAX, WITHIN) }
            )
        }),
        Contender::peer("async-channel + chunks_timeout", move |items| {
            let (tx, rx) = async_channel::bounded::<T>(capacity);
            pushed!(
                way,
                items,
                tx,
                |tx, item| tx.send(item).await.expect("open"),
                { TokioStream::chunks_timeout(rx, MAX, WITHIN) }
            )
        }),
        Contender::peer("kanal + chunks_timeout", move |items| {
            let (tx, rx) = kanal::bounded_async::<T>(capacity);
            pushed!(
                way,
                items,
                tx,
                |tx, item| tx.send(item).await.expect("open"),
                { TokioStream::chunks_timeout(rx.stream(), MAX, WITHIN) }
            )
        }),
        Contender::peer("crossfire + chunks_timeout", move |items| {
            if producers == 1 {
                let (tx, rx) = crossfire::spsc::bounded_async::<T>(capacity);
                let pushing = async move {
                    for number in share(items, 1, 0) {
                        tx.send(T::of(number)).await.expect("open");
                    }
                };
                let batches = TokioStream::chunks_timeout(rx.into_stream(), MAX, WITHIN);
                race(way.mode, items, vec![pushing], vec![count!(batches)])
            } else {
                let (tx, rx) = crossfire::mpsc::bounded_async::<T>(capacity);
                pushed!(
                    way,
                    items,
                    tx,
                    |tx, item| tx.send(item).await.expect("open"),
                    { TokioStream::chunks_timeout(rx.into_stream(), MAX, WITHIN) }
                )
            }
        }),
        Contender::peer("crossfire + futures-batch", move |items| {
            let (tx, rx) = crossfire::mpsc::bounded_async::<T>(capacity);
            pushed!(
                way,
                items,
                tx,
                |tx, item| tx.send(item).await.expect("open"),
                { FuturesBatch::chunks_timeout(rx.into_stream(), MAX, WITHIN) }
            )
        }),
        Contender::peer("rapidfire + chunks_timeout", move |items| {
            // It has no stream.
            let (tx, rx) = rapidfire::mpsc::bounded::<T>(capacity);
            pushed!(
                way,
                items,
                tx,
                |tx, item| tx.send(item).await.expect("open"),
                {
                    let all =
                        stream::unfold(
                            rx,
                            |mut rx| async move { Some((rx.recv().await.ok()?, rx)) },
                        );
                    TokioStream::chunks_timeout(all, MAX, WITHIN)
                }
            )
        }),
        Contender::peer("thingbuf + chunks_timeout", move |items| {
            // It has no stream, but what makes one.
            let (tx, rx) = thingbuf::mpsc::channel::<T>(capacity);
            pushed!(
                way,
                items,
                tx,
                |tx, item| tx.send(item).await.expect("open"),
                {
                    TokioStream::chunks_timeout(stream::poll_fn(|cx| rx.poll_recv(cx)), MAX, WITHIN)
                }
            )
        }),
        Contender::peer("batch-channel + chunks_timeout", move |items| {
            let (tx, rx) = batch_channel::bounded::<T>(capacity);
            pushed!(
                way,
                items,
                tx,
                |tx, item| tx.send(item).await.expect("open"),
                { TokioStream::chunks_timeout(rx.stream(), MAX, WITHIN) }
            )
        }),
        Contender::peer("fibre + chunks_timeout", move |items| {
            if producers == 1 {
                let (mut tx, rx) = fibre::spsc::bounded_async::<T>(capacity);
                let pushing = async move {
                    for number in share(items, 1, 0) {
                        tx.send(T::of(number)).await.expect("open");
                    }
                };
                let batches = TokioStream::chunks_timeout(rx, MAX, WITHIN);
                race(way.mode, items, vec![pushing], vec![count!(batches)])
            } else {
                let (tx, rx) = fibre::mpsc::bounded_async::<T>(capacity);
                pushed!(
                    way,
                    items,
                    tx,
                    |tx, item| tx.send(item).await.expect("open"),
                    { TokioStream::chunks_timeout(rx, MAX, WITHIN) }
                )
            }
        }),
    ]
}

/// Those that can push many in one call, and crossfire, which cannot.
fn pushed_in_bulk<T: Item>(way: Way) -> Vec<Contender> {
    let capacity = way.capacity;
    let mut contenders = vec![
        Contender::ours(move |items| {
            let (tx, rx) = pushpull::queue::bounded::<T>(capacity);
            let tx = (tx, VecDeque::new());
            pushed_in_bulk!(
                way,
                items,
                tx,
                |(tx, mut many), run| {
                    many.extend(run.map(T::of));
                    tx.push_many(&mut many).await.expect("open")
                },
                rx.batch(MAX, WITHIN)
            )
        }),
        Contender::glue("tokio mpsc + chunks_timeout", move |items| {
            let (tx, rx) = tokio::sync::mpsc::channel::<T>(capacity);
            pushed_in_bulk!(
                way,
                items,
                tx,
                |tx, run| {
                    let permits = tx
                        .reserve_many((run.end - run.start) as usize)
                        .await
                        .expect("open");
                    permits
                        .zip(run)
                        .for_each(|(permit, number)| permit.send(T::of(number)))
                },
                TokioStream::chunks_timeout(ReceiverStream::new(rx), MAX, WITHIN)
            )
        }),
        Contender::peer("batch-channel + chunks_timeout", move |items| {
            let (tx, rx) = batch_channel::bounded::<T>(capacity);
            pushed_in_bulk!(
                way,
                items,
                tx,
                |tx, run| tx.send_iter(run.map(T::of)).await.expect("open"),
                TokioStream::chunks_timeout(rx.stream(), MAX, WITHIN)
            )
        }),
        Contender::peer("fibre + chunks_timeout", move |items| {
            let (tx, rx) = fibre::mpsc::bounded_async::<T>(capacity);
            let tx = (tx, Vec::new());
            pushed_in_bulk!(
                way,
                items,
                tx,
                |(tx, mut many), run| {
                    many.extend(run.map(T::of));
                    tx.send_batch_mut(&mut many).await.expect("open")
                },
                TokioStream::chunks_timeout(rx, MAX, WITHIN)
            )
        }),
    ];
    contenders.extend(
        pushed::<T>(way)
            .into_iter()
            .filter(|one| one.name == "crossfire + chunks_timeout"),
    );
    contenders
}

/// No queue at all: what the operator itself costs.
fn always_ready<T: Item>() -> Vec<Contender> {
    macro_rules! ready {
        (|$items:ident| $batches:expr) => {
            move |$items| {
                race(
                    Mode::Ct,
                    $items,
                    Vec::<Ready<()>>::new(),
                    vec![count!($batches)],
                )
            }
        };
    }
    let all = |items| stream::iter((0..items).map(T::of));
    vec![
        Contender::ours(ready!(|items| PullExt::batch(all(items), MAX, WITHIN))),
        Contender::glue(
            "tokio-stream chunks_timeout",
            ready!(|items| TokioStream::chunks_timeout(all(items), MAX, WITHIN)),
        ),
        Contender::peer("futures chunks", ready!(|items| all(items).chunks(MAX))),
        Contender::peer(
            "futures ready_chunks",
            ready!(|items| all(items).ready_chunks(MAX)),
        ),
        Contender::peer(
            "futures-batch",
            ready!(|items| FuturesBatch::chunks_timeout(all(items), MAX, WITHIN)),
        ),
    ]
}
