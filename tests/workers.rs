//! `Consumer::workers`, on the paused clock.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pushpull::queue::{self, DropReason};
use tokio::time::{Instant, sleep, timeout};

const SECOND: Duration = Duration::from_secs(1);

fn tasks() -> usize {
    tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks()
}

async fn settle() {
    for _ in 0..32 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn n_workers_share_the_work_and_end_with_the_queue() {
    let (tx, rx) = queue::bounded(100);
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let peak = most.clone();
    let workers = rx.workers(3, move |_: u32| {
        let (now, most) = (now.clone(), most.clone());
        async move {
            most.fetch_max(now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            sleep(SECOND).await;
            now.fetch_sub(1, Ordering::Relaxed);
        }
    });
    assert_eq!(tx.stats().consumers, 3);
    for n in 0..10 {
        tx.push(n).await.unwrap();
    }
    drop(tx);
    let started = Instant::now();
    let report = workers.join().await;
    assert_eq!(
        (report.handled, report.panicked, report.cancelled),
        (10, 0, 0)
    );
    assert_eq!(
        (started.elapsed(), peak.load(Ordering::Relaxed), tasks()),
        (4 * SECOND, 3, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn one_worker_keeps_the_order() {
    let (tx, rx) = queue::bounded(100);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    let workers = rx.workers(1, move |n: u32| {
        let log = log.clone();
        async move {
            sleep(SECOND / (n + 1)).await;
            log.lock().unwrap().push(n);
        }
    });
    for n in 0..10 {
        tx.push(n).await.unwrap();
    }
    tx.close();
    workers.join().await;
    assert_eq!(*seen.lock().unwrap(), (0..10).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_panic_costs_its_item_and_nothing_else() {
    // guarantee: T7
    struct Spiteful;
    impl Drop for Spiteful {
        fn drop(&mut self) {
            panic!("the payload panics too");
        }
    }
    let (tx, rx) = queue::bounded(100);
    let workers = rx.workers(2, |n: u32| {
        assert!(n != 1, "in the call");
        async move {
            tokio::task::yield_now().await;
            assert!(n != 2, "in the future");
            if n == 3 {
                std::panic::panic_any(Spiteful);
            }
        }
    });
    for n in 0..10 {
        tx.push(n).await.unwrap();
    }
    drop(tx);
    let report = workers.join().await;
    assert_eq!(
        (report.handled, report.panicked, report.cancelled),
        (7, 3, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn they_end_with_their_handle_and_every_item_is_accounted_for() {
    // guarantee: P2, Q3
    let dropped = Arc::new(Mutex::new(Vec::new()));
    let seen = dropped.clone();
    let (tx, rx) = queue::builder()
        .capacity(100)
        .on_drop(move |n: u32, why| seen.lock().unwrap().push((n, why)))
        .build();
    let workers = rx.workers(2, |_| sleep(SECOND));
    for n in 0..10 {
        tx.push(n).await.unwrap();
    }
    sleep(SECOND * 3 / 2).await;
    drop(workers);
    settle().await;
    assert_eq!(tasks(), 0);
    let stats = tx.stats();
    assert_eq!((stats.pulled, stats.abandoned, stats.consumers), (4, 6, 0));
    let left: Vec<_> = (4..10).map(|n| (n, DropReason::Abandoned)).collect();
    assert_eq!(*dropped.lock().unwrap(), left);
}

#[tokio::test(start_paused = true)]
async fn abort_stops_them_and_the_report_counts_what_was_cut_short() {
    let (tx, rx) = queue::bounded(100);
    let mut workers = rx.clone().workers(3, |_: u32| sleep(SECOND));
    for n in 0..10 {
        tx.push(n).await.unwrap();
    }
    assert!(timeout(SECOND * 3 / 2, &mut workers).await.is_err());
    assert!(!workers.is_finished());
    workers.abort();
    let report = (&mut workers).await;
    assert_eq!(
        (report.handled, report.panicked, report.cancelled),
        (3, 0, 3)
    );
    assert_eq!(
        (tx.len(), tx.is_closed()),
        (4, false),
        "another consumer still has them"
    );
    assert!(workers.is_finished());
    assert_eq!(tasks(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_join_is_a_dropped_handle() {
    // guarantee: T5
    let (tx, rx) = queue::bounded::<u32>(100);
    let workers = rx.workers(3, |_| sleep(SECOND));
    tx.push(1).await.unwrap();
    assert!(timeout(SECOND / 2, workers.join()).await.is_err());
    settle().await;
    assert_eq!((tasks(), tx.is_closed()), (0, true));
}

#[tokio::test(start_paused = true)]
async fn workers_that_never_wait_let_their_neighbours_run() {
    // guarantee: Q8
    let (tx, rx) = queue::bounded(1000);
    for n in 0..1000 {
        tx.try_push(n).unwrap();
    }
    let workers = rx.workers(1, |_: u32| async {});
    tokio::task::yield_now().await;
    assert!((1..=128).contains(&workers.report().handled));
}

#[test]
#[should_panic(expected = "without workers nothing would be pulled")]
fn no_workers_panic() {
    let (_tx, rx) = queue::bounded::<u8>(1);
    drop(rx.workers(0, |_| async {}));
}
