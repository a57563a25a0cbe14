//! Named batches in a snapshot: sizes and closing reasons.

use std::time::Duration;

use futures::{SinkExt, StreamExt, stream};
use pushpull::batch::{BatchPolicy, BatchStats, FlushReason};
use pushpull::meter::registry;
use pushpull::prelude::*;
use pushpull::queue;
use tokio::time::advance;

/// Snapshots take last counters away, so one test at a time.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

fn read(name: &str) -> BatchStats {
    let snapshot = registry().snapshot();
    let stats = snapshot.batch(name).unwrap().stats;
    assert_eq!(
        stats.batches,
        stats.reasons().map(|(_, batches)| batches).sum::<u64>()
    );
    stats
}

// guarantee: M2
#[tokio::test(start_paused = true)]
async fn sizes_and_reasons_of_a_queue_in_batches() {
    let _alone = ALONE.lock().await;
    let (tx, rx) = queue::bounded(100);
    let policy = BatchPolicy::items(4)
        .within(Duration::from_secs(1))
        .name("b-queue");
    let mut batches = rx.batch_with(policy);
    assert_eq!(read("b-queue"), BatchStats::default());
    for n in 0..10 {
        tx.push(n).await.unwrap();
    }
    for len in [4, 4, 2] {
        assert_eq!(batches.next().await.unwrap().len(), len);
    }
    let seen = read("b-queue");
    assert_eq!(
        (seen.batches, seen.items, seen.shortest, seen.longest),
        (3, 10, 2, 4)
    );
    assert_eq!(
        (
            seen.closed_by(FlushReason::Size),
            seen.closed_by(FlushReason::Age)
        ),
        (2, 1)
    );
    assert_eq!(seen, batches.stats());

    tx.push(10).await.unwrap();
    drop(tx);
    assert_eq!(batches.next().await.unwrap().reason, FlushReason::End);
    assert_eq!(batches.next().await.map(|batch| batch.len()), None);
    drop(batches);
    let snapshot = registry().snapshot();
    let last = snapshot.batch("b-queue").unwrap();
    assert!(last.gone);
    assert_eq!((last.batches, last.closed_by(FlushReason::End)), (4, 1));
    assert!(registry().snapshot().batch("b-queue").is_none());
}

#[tokio::test]
async fn operators_of_one_policy_have_an_entry_each() {
    let _alone = ALONE.lock().await;
    let policy = BatchPolicy::items(2).name("b-shared");
    let mut first = stream::iter(0..2).batch_with(policy.clone());
    let second = stream::iter(0..2).batch_with(policy);
    assert_eq!(first.next().await.unwrap().len(), 2);
    assert_eq!(
        (read("b-shared").batches, read("b-shared#2").batches),
        (1, 0)
    );
    drop(second);
}

#[tokio::test]
async fn the_sink_side_counts_too_and_a_remainder_is_no_batch() {
    let _alone = ALONE.lock().await;
    let policy = BatchPolicy::items(3).name("b-sink");
    let mut sink = futures::sink::drain().sink_batch_with(policy);
    for n in 0..4 {
        sink.feed(n).await.unwrap();
    }
    sink.flush_now().await.unwrap();
    sink.feed(5).await.unwrap();
    let seen = read("b-sink");
    assert_eq!((seen.batches, seen.items, seen.longest), (2, 4, 3));
    assert_eq!(
        (
            seen.closed_by(FlushReason::Size),
            seen.closed_by(FlushReason::Flush)
        ),
        (1, 1)
    );
    assert_eq!(seen, sink.stats());
    assert_eq!(sink.into_remainder(), [5]);
    assert_eq!(read("b-sink"), seen);
}

#[tokio::test]
async fn an_error_is_a_reason() {
    let rows = stream::iter([Ok(1), Err("bad"), Ok(2)]);
    let mut batches = rows.try_batch(10, Duration::from_secs(1));
    assert_eq!(batches.next().await, Some(Ok(vec![1])));
    assert_eq!(batches.next().await, Some(Err("bad")));
    assert_eq!(batches.next().await, Some(Ok(vec![2])));
    let seen = batches.stats();
    assert_eq!(
        (
            seen.closed_by(FlushReason::Error),
            seen.closed_by(FlushReason::End)
        ),
        (1, 1)
    );
    assert_eq!(seen.mean_len(), 1.0);
}

#[tokio::test(start_paused = true)]
async fn batches_read_as_a_table_and_as_rates() {
    let _alone = ALONE.lock().await;
    let mut batches = stream::iter(0..5).batch_with(BatchPolicy::items(2).name("b-table"));
    assert_eq!(batches.next().await.unwrap().len(), 2);
    let earlier = registry().snapshot();
    assert_eq!(batches.next().await.unwrap().len(), 2);
    assert_eq!(batches.next().await.unwrap().len(), 1);
    advance(Duration::from_secs(2)).await;
    let snapshot = registry().snapshot();
    let rates = snapshot.since(&earlier);
    let rate = rates
        .batches
        .iter()
        .find(|rate| rate.name == "b-table")
        .unwrap();
    assert_eq!((rate.batches, rate.items), (1.0, 1.5));

    let table = snapshot.to_string();
    let words = |start: &str| -> Vec<&str> {
        let line = table.lines().find(|line| line.starts_with(start));
        line.unwrap_or_else(|| panic!("{table}"))
            .split_whitespace()
            .collect()
    };
    let header = "batch batches items items/batch shortest longest \
                  size weight age idle predicate end error flush";
    assert_eq!(words("batch "), header.split(' ').collect::<Vec<_>>());
    let row = "b-table 3 5 1.7 1 2 2 0 0 0 0 1 0 0";
    assert_eq!(words("b-table"), row.split(' ').collect::<Vec<_>>());
}
