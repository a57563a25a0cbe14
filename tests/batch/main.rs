//! Batches on paused time: what closes them, what their clock does, what is held and given back.

mod bounds;
mod clock;
mod held;
mod queue;
mod sink;

use std::pin::pin;
use std::time::Duration;

use futures::stream::{self, Stream, StreamExt};
use pushpull::batch::{Batch, FlushReason};
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn seen<T>(batch: Batch<T>) -> (Vec<T>, FlushReason, Duration) {
    (batch.items, batch.reason, batch.age)
}

/// Yields the items at their times (milliseconds from now), then ends.
fn timed<T>(items: impl IntoIterator<Item = (u64, T)>) -> impl Stream<Item = T> {
    let start = Instant::now();
    stream::iter(items).then(move |(at, item)| async move {
        tokio::time::sleep_until(start + ms(at)).await;
        item
    })
}

/// Batches with the time (milliseconds from now) at which each came.
async fn when<S: Stream>(batches: S) -> Vec<(u64, S::Item)> {
    let start = Instant::now();
    let mut batches = pin!(batches);
    let mut all = vec![];
    while let Some(batch) = batches.next().await {
        all.push((start.elapsed().as_millis() as u64, batch));
    }
    all
}
