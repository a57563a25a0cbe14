//! `PushExt::spawn`.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};

use futures::{FutureExt, SinkExt};
use pushpull::prelude::*;
use pushpull::pump::{DriverError, Ended};
use pushpull::push;
use pushpull::queue::{self, DropReason};
use tokio::time::{sleep, timeout};

use crate::pump_kit::{Answer, Broken, probe};
use crate::{SECOND, settle, tasks};

#[tokio::test(start_paused = true)]
async fn delivers_in_order_then_closes_once_and_ends() {
    let (sink, told) = probe();
    told.log().close = [Answer::Pending].into();
    let (tx, driver) = sink.spawn(queue::builder().capacity(2));
    for n in 1..=5 {
        tx.push(n).await.unwrap();
    }
    drop(tx);
    let pumped = driver.await.unwrap();
    assert_eq!((pumped.items, pumped.ended), (5, Ended::Source));
    assert_eq!(
        (told.sent(), told.flushed(), told.closes()),
        (vec![1, 2, 3, 4, 5], 5, 1)
    );
    assert_eq!((told.alive(), tasks()), (false, 0));
}

#[tokio::test(start_paused = true)]
async fn flushes_when_the_queue_is_empty_and_drives_a_clock() {
    // guarantee: P1, B8
    let (sink, told) = probe();
    let (tx, driver) = sink.spawn(queue::builder());
    tx.push(1).await.unwrap();
    settle().await;
    assert_eq!(told.flushed(), 1);
    drop((tx, driver));

    let (sink, told) = probe();
    let (tx, _driver) = sink.sink_batch(100, SECOND).spawn(queue::builder());
    tx.push(1).await.unwrap();
    sleep(SECOND / 2).await;
    assert!(told.sent().is_empty());
    sleep(SECOND).await; // nobody but the driver polls
    assert_eq!(told.sent(), [vec![1]]);
}

#[tokio::test(start_paused = true)]
async fn items_stay_in_the_queue_until_the_sink_has_room() {
    // guarantee: Q1
    let (sink, told) = probe();
    told.shut(true);
    let (tx, _driver) = sink.spawn(queue::builder().capacity(2));
    tx.try_push(1).unwrap();
    tx.try_push(2).unwrap();
    settle().await;
    assert!(
        tx.try_push(3).unwrap_err().is_full(),
        "none is in the driver's hand"
    );
    told.shut(false);
    tx.push(4).await.unwrap();
    settle().await;
    assert_eq!(told.sent(), [1, 2, 4]);
}

#[tokio::test(start_paused = true)]
async fn an_idle_driver_occupies_no_room_of_the_sink_underneath() {
    let (inner, rx) = queue::bounded(1);
    let (a, _a) = inner.clone().spawn(queue::builder::<u32>());
    let (b, _b) = inner.spawn(queue::builder());
    settle().await;
    assert_eq!(rx.stats().reserved, 0);
    for n in 0..4 {
        a.push(n).await.unwrap();
        b.push(n).await.unwrap();
    }
    for _ in 0..8 {
        timeout(SECOND, rx.pull()).await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_failing_sink_closes_the_queue_and_every_item_is_accounted_for() {
    // guarantee: P1, P2, Q3
    for phase in 0..3 {
        let dropped = Arc::new(Mutex::new(Vec::new()));
        let seen = dropped.clone();
        let on_drop = move |n: u32, why: DropReason| seen.lock().unwrap().push((n, why));
        let (sink, told) = probe();
        let (tx, mut driver) = sink.spawn(queue::builder().capacity(4).on_drop(on_drop));
        tx.push(1).await.unwrap();
        settle().await;
        told.shut(true);
        for n in 2..=4 {
            tx.push(n).await.unwrap();
        }
        {
            let mut log = told.log();
            match phase {
                0 => log.ready = [Answer::Fail].into(),
                1 => log.send = [Answer::Fail].into(),
                _ => log.flush = [Answer::Fail].into(),
            }
        }
        told.shut(false);
        let error = (&mut driver).await.unwrap_err();
        let items = [1, 1, 4][phase];
        assert_eq!(
            error,
            DriverError::Sink {
                error: Broken,
                items
            }
        );
        assert_eq!(error.clone().into_error(), Some(Broken));
        assert_eq!(
            std::error::Error::source(&error).unwrap().to_string(),
            "broken"
        );
        assert_eq!(tx.push(5).await.unwrap_err().into_item(), 5);
        assert_eq!(told.closes(), 0, "a failed sink is not closed");
        // In phase 1 the sink failed over an item that it had taken.
        let expected: &[u32] = [&[2, 3, 4][..], &[3, 4], &[]][phase];
        let left: Vec<_> = dropped.lock().unwrap().iter().map(|(n, _)| *n).collect();
        assert_eq!(left, expected);
        let stats = tx.stats();
        assert_eq!(stats.pushed, stats.pulled + stats.dropped);
        assert_eq!((told.alive(), tasks()), (false, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn its_task_ends_with_it_and_by_abort() {
    // guarantee: P2
    for abort in [true, false] {
        let (sink, told) = probe();
        told.shut(true);
        let (tx, driver) = sink.spawn(queue::builder());
        tx.push(1).await.unwrap();
        settle().await;
        assert_eq!(tasks(), 1);
        if abort {
            driver.abort();
            let error = driver.await.unwrap_err();
            assert_eq!(
                (&error, error.to_string().as_str()),
                (&DriverError::Aborted, "the driver of a sink was aborted")
            );
            assert_eq!(error.into_error(), None);
        } else {
            drop(driver);
            settle().await;
        }
        assert_eq!((tasks(), told.alive(), tx.is_closed()), (0, false, true));
        assert_eq!(
            tx.stats().abandoned,
            1,
            "what it did not take is in the queue's books"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_sink_goes_on_where_the_driver_is_awaited() {
    // guarantee: T7
    let sink = push::each(|n: u32| async move {
        assert!(n != 2, "no twos");
        Ok::<_, ()>(())
    });
    let (mut tx, driver) = sink.spawn(queue::builder());
    tx.send(1).await.unwrap();
    tx.send(2).await.unwrap();
    let panic = AssertUnwindSafe(driver).catch_unwind().await.unwrap_err();
    assert!(
        panic
            .downcast_ref::<&str>()
            .is_some_and(|text| *text == "no twos")
    );
    assert!(tx.is_closed());
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_is_always_ready_lets_its_neighbours_run() {
    // guarantee: Q8
    let (sink, told) = probe();
    let (tx, _driver) = sink.spawn(queue::builder().capacity(10_000));
    for n in 0..10_000 {
        tx.try_push(n).unwrap();
    }
    tokio::task::yield_now().await;
    assert!((1..=128).contains(&told.sent().len()));
    assert_eq!(told.flushes(), 0, "a spent budget is no pause");
}

#[tokio::test(start_paused = true)]
async fn awaited_in_turns_it_loses_nothing() {
    // guarantee: T5
    let (sink, told) = probe();
    let (tx, mut driver) = sink.spawn(queue::builder());
    for n in 0..5 {
        tx.push(n).await.unwrap();
        assert!(timeout(SECOND, &mut driver).await.is_err());
    }
    assert!(!driver.is_finished());
    tx.close();
    assert_eq!(driver.await.unwrap().items, 5);
    assert_eq!(told.flushed(), 5);
}
