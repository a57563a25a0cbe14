//! Named queues in a snapshot: depth, high-water mark, rates, drops by reason, waits, time in queue.

use std::time::Duration;

use futures_test::task::noop_context;
use pushpull::meter::registry;
use pushpull::queue::{self, Overflow};
use tokio::time::advance;

/// Snapshots take last counters away, so one test at a time.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

// guarantee: M1, M2
#[tokio::test]
async fn a_named_queue_shows_depth_peak_and_drops_by_reason() {
    let _alone = ALONE.lock().await;
    let (tx, rx) = queue::builder()
        .capacity(3)
        .overflow(Overflow::DropOldest)
        .name("q-drops")
        .build();
    for n in 0..5 {
        tx.push(n).await.unwrap();
    }
    assert_eq!(rx.pull().await, Some(2));
    assert_eq!(rx.pull().await, Some(3));

    let snapshot = registry().snapshot();
    let entry = snapshot.queue("q-drops").unwrap();
    assert_eq!(entry.stats, tx.stats());
    assert!(!entry.gone && entry.time_in_queue.is_none());
    assert_eq!(
        (entry.pushed, entry.pulled, entry.dropped, entry.len),
        (5, 2, 2, 1)
    );
    assert_eq!(
        (entry.dropped_oldest, entry.peak_len, entry.capacity),
        (2, 3, 3)
    );

    drop(rx);
    let snapshot = registry().snapshot();
    let entry = snapshot.queue("q-drops").unwrap();
    assert!(!entry.gone, "its producer is still there");
    assert_eq!((entry.dropped, entry.abandoned, entry.consumers), (3, 1, 0));
    drop(tx);
    let snapshot = registry().snapshot();
    let entry = snapshot.queue("q-drops").unwrap();
    assert!(entry.gone);
    assert_eq!(
        entry.pushed,
        entry.pulled + entry.dropped + entry.len as u64
    );
    assert!(registry().snapshot().queue("q-drops").is_none());
}

// guarantee: M2
#[tokio::test]
async fn waits_of_both_sides_are_counted() {
    let _alone = ALONE.lock().await;
    let (tx, rx) = queue::builder().capacity(1).name("q-waits").build();
    let mut cx = noop_context();
    let entry = || registry().snapshot().queue("q-waits").unwrap().stats;

    let mut pull = Box::pin(rx.pull());
    assert!(pull.as_mut().poll(&mut cx).is_pending());
    assert_eq!((entry().consumer_waits, entry().waiting_consumers), (1, 1));
    drop(pull);
    assert_eq!((entry().consumer_waits, entry().waiting_consumers), (1, 0));

    tx.push(1).await.unwrap();
    let mut push = Box::pin(tx.push(2));
    assert!(push.as_mut().poll(&mut cx).is_pending());
    assert_eq!((entry().producer_waits, entry().waiting_producers), (1, 1));
    assert_eq!(rx.pull().await, Some(1));
    push.await.unwrap();
    assert_eq!((entry().producer_waits, entry().waiting_producers), (1, 0));
}

// guarantee: M1
#[test]
fn every_reading_of_a_busy_queue_adds_up() {
    let _alone = ALONE.blocking_lock();
    let (tx, rx) = queue::builder()
        .capacity(7)
        .overflow(Overflow::DropOldest)
        .name("q-busy")
        .build();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let tx = tx;
            for n in 0..50_000 {
                tx.try_push(n).unwrap();
            }
        });
        scope.spawn(|| while rx.blocking_pull().is_some() {});
        scope.spawn(|| {
            loop {
                let stats = registry().snapshot().queue("q-busy").unwrap().stats;
                assert_eq!(
                    stats.pushed,
                    stats.pulled + stats.dropped + stats.len as u64
                );
                if stats.pushed == 50_000 {
                    break;
                }
            }
        });
    });
}

#[tokio::test(start_paused = true)]
async fn rates_of_a_queue_follow_the_queue_and_not_its_name() {
    let _alone = ALONE.lock().await;
    let build = || {
        queue::builder()
            .capacity(2)
            .overflow(Overflow::DropNewest)
            .name("q-rates")
            .build()
    };
    let (tx, rx) = build();
    for n in 0..100 {
        tx.push(n).await.unwrap();
    }
    drop((tx, rx));
    let earlier = registry().snapshot();
    let (tx, rx) = build();
    for n in 0..6 {
        tx.push(n).await.unwrap();
    }
    assert_eq!(rx.try_pull(), Ok(0));
    drop(rx);
    assert!(tx.try_push(9).unwrap_err().is_closed());
    advance(Duration::from_millis(500)).await;
    let rates = registry().snapshot().since(&earlier);
    let queue = rates
        .queues
        .iter()
        .find(|rates| rates.name == "q-rates")
        .unwrap();
    assert_eq!(
        (queue.pushed, queue.pulled, queue.dropped, queue.refused),
        (12.0, 2.0, 10.0, 2.0)
    );
}

#[tokio::test]
async fn queues_read_as_tables() {
    let _alone = ALONE.lock().await;
    let (tx, _rx) = queue::builder()
        .max_weight(9, |n| *n)
        .overflow(Overflow::DropNewest)
        .name("q-table")
        .build();
    for n in [4, 5, 6] {
        tx.push(n).await.unwrap();
    }
    let table = registry().snapshot().to_string();
    let words = |start: &str| -> Vec<Vec<String>> {
        let lines = table.lines().filter(|line| line.starts_with(start));
        lines
            .map(|line| line.split_whitespace().map(str::to_owned).collect())
            .collect()
    };
    assert_eq!(
        words("queue ")[0][..6],
        ["queue", "len", "capacity", "peak", "weight", "pushed"]
    );
    let rows = words("q-table");
    assert_eq!(
        rows[0],
        [
            "q-table", "2", "none", "2", "9", "3", "0", "1", "0", "0", "0", "0"
        ]
    );
    assert_eq!(
        words("drops")[0],
        ["drops", "newest", "oldest", "abandoned"]
    );
    assert_eq!(rows[1], ["q-table", "1", "0", "0"]);
}

#[cfg(feature = "histogram")]
mod time_in_queue {
    use std::collections::VecDeque;

    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    // guarantee: M2
    #[tokio::test(start_paused = true)]
    async fn pulled_items_are_timed_and_dropped_ones_are_not() {
        let _alone = ALONE.lock().await;
        let (tx, rx) = queue::builder()
            .capacity(1)
            .overflow(Overflow::DropOldest)
            .time_in_queue()
            .name("q-time")
            .build();
        let times = || {
            registry()
                .snapshot()
                .queue("q-time")
                .unwrap()
                .time_in_queue
                .unwrap()
        };
        assert_eq!(times().count, 0);
        tx.push(0).await.unwrap();
        advance(ms(40)).await;
        assert_eq!(rx.pull().await, Some(0));
        assert_eq!(
            (times().count, times().min, times().p50, times().max),
            (1, ms(40), ms(40), ms(40))
        );

        // Each of these is dropped after a second by the next one, but for those that are pulled after ten.
        for n in 1..2000 {
            tx.push(n).await.unwrap();
            if n % 2 == 0 {
                advance(ms(10)).await;
                assert_eq!(rx.pull().await, Some(n));
            } else {
                advance(ms(1000)).await;
            }
        }
        let seen = times();
        assert_eq!((seen.min, seen.max), (ms(10), ms(40)));
        assert!((5..100).contains(&seen.count), "{seen}");
        assert_eq!(rx.time_in_queue(), Some(seen));

        let table = registry().snapshot().to_string();
        let row = table
            .lines()
            .rfind(|line| line.starts_with("q-time"))
            .unwrap();
        assert!(row.contains("10.000") && row.ends_with("40.000"), "{table}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_dropped_on_arrival_is_not_timed_and_hides_nothing() {
        let (tx, rx) = queue::builder()
            .capacity(1)
            .overflow(Overflow::DropNewest)
            .time_in_queue()
            .build();
        for _ in 0..500 {
            for n in 0..3 {
                tx.push(n).await.unwrap();
            }
            advance(ms(20)).await;
            assert_eq!(rx.pull().await, Some(0));
        }
        let seen = tx.time_in_queue().unwrap();
        assert_eq!((seen.min, seen.max), (ms(20), ms(20)));
        assert!((3..30).contains(&seen.count), "{seen}");
    }

    #[tokio::test(start_paused = true)]
    async fn runs_are_timed_too() {
        let (tx, rx) = queue::builder().time_in_queue().build();
        let mut out = Vec::new();
        for _ in 0..50 {
            let mut run: VecDeque<_> = (0..500).collect();
            tx.push_many(&mut run).await.unwrap();
            advance(ms(20)).await;
            assert_eq!(rx.pull_many(&mut out, 500).await, 500);
        }
        let seen = tx.time_in_queue().unwrap();
        assert_eq!((seen.count, seen.min, seen.max), (50, ms(20), ms(20)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_pulled_has_no_time() {
        let (tx, rx) = queue::builder().time_in_queue().build();
        tx.push('a').await.unwrap();
        advance(ms(20)).await;
        drop(rx);
        assert_eq!(tx.time_in_queue().unwrap().count, 0);
    }
}
