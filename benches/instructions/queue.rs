//! A queue: one by one, as a sink and a stream, in bulk, and from hand to hand.

use std::collections::VecDeque;

use futures::{SinkExt, StreamExt};
use pushpull::queue::{self, Consumer, Producer};
use tokio::runtime::Runtime;
use tokio::spawn;

use crate::{ITEMS, Stage, Tally};

pub(crate) type Ends<T> = Stage<(Producer<T>, Consumer<T>)>;

pub(crate) fn ends<T>(capacity: usize) -> Ends<T> {
    Stage::new(queue::bounded(capacity))
}

pub(crate) trait Item: Send + 'static {
    fn of(number: u64) -> Self;
}

impl<const WORDS: usize> Item for [u64; WORDS] {
    fn of(number: u64) -> Self {
        [number; WORDS]
    }
}

pub(crate) fn one_by_one<T: Item>(stage: Ends<T>) -> Runtime {
    let (tx, rx) = stage.parts;
    stage.runtime.block_on(async {
        spawn(async move {
            for number in 0..ITEMS {
                tx.push(T::of(number)).await.expect("open");
            }
        });
        let pulling = spawn(async move {
            let mut tally = Tally::default();
            while let Some(item) = rx.pull().await {
                tally.add(item);
            }
            tally.is_complete();
        });
        pulling.await.expect("complete");
    });
    stage.runtime
}

pub(crate) fn sink_and_stream(stage: Ends<u64>) -> Runtime {
    let (mut tx, mut rx) = stage.parts;
    stage.runtime.block_on(async {
        spawn(async move {
            for number in 0..ITEMS {
                tx.feed(number).await.expect("open");
            }
        });
        let pulling = spawn(async move {
            let mut tally = Tally::default();
            while let Some(item) = rx.next().await {
                tally.add(item);
            }
            tally.is_complete();
        });
        pulling.await.expect("complete");
    });
    stage.runtime
}

/// Pushes 50 at a time and pulls up to 256.
pub(crate) fn in_bulk(stage: Ends<u64>) -> Runtime {
    const RUN: u64 = 50;
    let (tx, rx) = stage.parts;
    stage.runtime.block_on(async {
        spawn(async move {
            let mut run = VecDeque::with_capacity(RUN as usize);
            for start in (0..ITEMS).step_by(RUN as usize) {
                run.extend(start..start + RUN);
                tx.push_many(&mut run).await.expect("open");
            }
        });
        let pulling = spawn(async move {
            let mut tally = Tally::default();
            let mut run = Vec::with_capacity(256);
            while rx.pull_many(&mut run, 256).await > 0 {
                tally.add_all(&run);
                run.clear();
            }
            tally.is_complete();
        });
        pulling.await.expect("complete");
    });
    stage.runtime
}
