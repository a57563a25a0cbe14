//! Pumps, and sends with a limit.
//!
//! guarantee: T5

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::{SinkExt, StreamExt, stream};
use futures_test::task::{new_count_waker, noop_waker};
use pushpull::prelude::*;
use pushpull::{push, queue};

const DAY: Duration = Duration::from_secs(86_400);

fn poll<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    std::pin::Pin::new(future).poll(&mut Context::from_waker(waker))
}

#[tokio::test(start_paused = true)]
async fn a_pump_given_up_at_any_poll_has_every_item_in_one_place() {
    // guarantee: P1
    for polls in 0..12 {
        let (from_tx, from) = queue::bounded(8);
        let (to, to_rx) = queue::bounded(2);
        for value in 0..6 {
            assert_eq!(from_tx.try_push(value), Ok(()));
        }
        let mut arrived = Vec::new();
        let mut pump = from.clone().pump_into(to);
        for round in 0..polls {
            if round > 0 {
                arrived.extend(to_rx.try_pull());
            }
            assert!(poll(&mut pump, &noop_waker()).is_pending());
            tokio::task::yield_now().await;
        }
        let (taken, held) = (pump.items(), pump.into_remainder());
        arrived.extend(std::iter::from_fn(|| to_rx.try_pull().ok()));
        assert_eq!(arrived.len() as u64, taken, "{polls} polls");
        arrived.extend(held);
        arrived.extend(std::iter::from_fn(|| from.try_pull().ok()));
        assert!(arrived.into_iter().eq(0..6), "{polls} polls");
        assert_eq!(from_tx.stats().waiting_consumers, 0, "{polls} polls");
    }
}

#[tokio::test(start_paused = true)]
async fn a_pump_dropped_while_its_source_is_quiet_passes_its_wake_on() {
    // guarantee: P1, Q4
    let (tx, rx) = queue::bounded(8);
    let mut pump = rx.clone().pump_into(futures::sink::drain());
    let (first_waker, first_woken) = new_count_waker();
    let (second_waker, second_woken) = new_count_waker();
    assert!(poll(&mut pump, &first_waker).is_pending());
    let mut pull = Box::pin(rx.pull());
    assert!(poll(&mut pull, &second_waker).is_pending());
    assert_eq!(tx.try_push(1), Ok(()));
    assert_eq!((first_woken.get(), second_woken.get()), (1, 0));
    drop(pump);
    assert_eq!(second_woken.get(), 1, "the wake was lost");
    assert_eq!(poll(&mut pull, &second_waker), Poll::Ready(Some(1)));
}

#[tokio::test(start_paused = true)]
async fn send_timeout_dropped_at_any_poll_leaves_nobody_waiting() {
    for polls in 0..4 {
        let (mut tx, rx) = queue::bounded(1);
        assert_eq!(tx.try_push(1), Ok(()));
        {
            let mut send = pin!(tx.send_timeout(2, DAY));
            for round in 0..polls {
                if round == 2 {
                    assert_eq!(rx.try_pull(), Ok(1));
                }
                let polled = send.as_mut().poll(&mut Context::from_waker(&noop_waker()));
                if polled.is_ready() {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        drop(tx);
        let rest: Vec<u32> = rx.clone().collect().await;
        assert_eq!(
            rest,
            if polls > 2 { vec![2] } else { vec![1] },
            "{polls} polls"
        );
        // The place in the line is the handle's, as `poll_ready` has it, and goes with it.
        let stats = rx.stats();
        let left = (stats.waiting_producers, stats.reserved, stats.cancelled);
        assert_eq!(left, (0, 0, 0), "{polls} polls");
    }
}

#[tokio::test(start_paused = true)]
async fn sends_cancelled_in_select_leave_their_functions_running() {
    let (done_tx, done) = futures::channel::mpsc::unbounded();
    let mut sink = push::each(move |value: u32| {
        let done = done_tx.clone();
        async move {
            tokio::time::sleep(Duration::from_millis(7)).await;
            done.unbounded_send(value)
        }
    })
    .concurrency(2);
    for value in 0..100 {
        sink.feed(value).await.expect("taken");
        tokio::select! {
            biased;
            () = tokio::time::sleep(Duration::from_millis(2)) => {}
            flushed = sink.flush() => flushed.expect("flushed"),
        }
    }
    sink.close().await.expect("closed");
    drop(sink);
    let mut values: Vec<_> = done.collect().await;
    values.sort_unstable();
    assert!(values.into_iter().eq(0..100));
}

#[tokio::test(start_paused = true)]
async fn a_timeout_around_a_whole_chain_loses_what_it_held_and_nothing_else() {
    // guarantee: P1, B3
    let (tx, rx) = queue::bounded(100);
    for value in 0..10 {
        assert_eq!(tx.try_push(value), Ok(()));
    }
    let (out, collected) = futures::channel::mpsc::unbounded();
    let slow = stream::iter(0..).then(|_| tokio::time::sleep(Duration::from_secs(1)));
    let paced = rx.clone().zip(slow).map(|(value, ())| value);
    let pump = paced.batch(2, DAY).pump_into(out);
    assert!(
        tokio::time::timeout(Duration::from_millis(4_500), pump)
            .await
            .is_err()
    );
    let batches: Vec<Vec<u32>> = collected.collect().await;
    assert_eq!(batches, [vec![0, 1], vec![2, 3]]);
    // `zip` had taken one more; the rest is where it was.
    assert_eq!(rx.len(), 5);
}

#[tokio::test(start_paused = true)]
async fn flush_now_dropped_at_any_poll_loses_nothing() {
    // guarantee: B8
    for polls in 0..5 {
        let (out, collected) = queue::bounded(1);
        assert_eq!(out.try_push(vec![0]), Ok(()));
        let mut batched = out.sink_batch(10, DAY);
        for value in 1..=3 {
            batched.feed(value).await.expect("taken");
        }
        {
            let mut flush = pin!(batched.flush_now());
            for round in 0..polls {
                if round == 2 {
                    assert_eq!(collected.try_pull(), Ok(vec![0]));
                }
                let polled = flush.as_mut().poll(&mut Context::from_waker(&noop_waker()));
                if polled.is_ready() {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        let (out, held) = batched.into_parts();
        drop(out);
        let mut all: Vec<u32> = collected.collect::<Vec<_>>().await.concat();
        all.retain(|value| *value > 0);
        all.extend(held);
        assert_eq!(all, [1, 2, 3], "{polls} polls");
    }
}

#[tokio::test(start_paused = true)]
async fn a_driver_dropped_at_any_moment_leaves_every_item_accounted_for() {
    // guarantee: P2, Q3
    for turns in 0..12 {
        let delivered = Arc::new(Mutex::new(Vec::new()));
        let lost = Arc::new(Mutex::new(Vec::new()));
        let sink = push::each({
            let delivered = delivered.clone();
            move |value: u32| {
                let delivered = delivered.clone();
                async move {
                    tokio::task::yield_now().await;
                    delivered.lock().expect("whole").push(value);
                    Ok::<_, ()>(())
                }
            }
        });
        let (tx, driver) = sink.spawn(queue::builder().capacity(8).on_drop({
            let lost = lost.clone();
            move |value, _| lost.lock().expect("whole").push(value)
        }));
        for value in 0..6 {
            assert_eq!(tx.try_push(value), Ok(()));
        }
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
        drop(driver);
        tx.closed().await;
        for _ in 0..4 {
            tokio::task::yield_now().await;
        }
        assert!(tx.try_push(9).is_err_and(|error| error.is_closed()));
        let stats = tx.stats();
        assert_eq!(
            stats.pushed,
            stats.pulled + stats.dropped + stats.len as u64
        );
        let delivered = delivered.lock().expect("whole").clone();
        let lost = lost.lock().expect("whole").clone();
        // What the function had in its hands is neither; that is one item at the most.
        let gone = stats.pulled - delivered.len() as u64;
        assert!(gone <= 1, "{turns} turns: {delivered:?} {lost:?}");
        assert_eq!(
            delivered.len() as u64 + gone + lost.len() as u64,
            6,
            "{turns} turns"
        );
        assert!(delivered.iter().copied().eq(0..delivered.len() as u32));
    }
}

#[tokio::test(start_paused = true)]
async fn workers_dropped_at_any_moment_leave_every_item_accounted_for() {
    // guarantee: P2, Q3
    for turns in 0..12 {
        for join in [false, true] {
            let (tx, rx) = queue::bounded(8);
            let watch = rx.clone();
            let handled = Arc::new(Mutex::new(0));
            let workers = rx.workers(2, {
                let handled = handled.clone();
                move |_: u32| {
                    let handled = handled.clone();
                    async move {
                        tokio::task::yield_now().await;
                        *handled.lock().expect("whole") += 1;
                    }
                }
            });
            for value in 0..6 {
                assert_eq!(tx.try_push(value), Ok(()));
            }
            if join {
                let mut join = Box::pin(workers.join());
                for _ in 0..turns {
                    assert!(poll(&mut join, &noop_waker()).is_pending());
                    tokio::task::yield_now().await;
                }
            } else {
                for _ in 0..turns {
                    tokio::task::yield_now().await;
                }
                drop(workers);
            }
            for _ in 0..4 {
                tokio::task::yield_now().await;
            }
            let stats = watch.stats();
            let handled = *handled.lock().expect("whole");
            assert_eq!(
                (stats.consumers, stats.waiting_consumers),
                (1, 0),
                "{turns} turns"
            );
            assert_eq!(stats.pushed, stats.pulled + stats.len as u64);
            assert!(
                (handled..=handled + 2).contains(&stats.pulled),
                "{turns} turns: {handled}"
            );
        }
    }
}
