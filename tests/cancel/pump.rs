//! Pumps, and sends with a limit.
//!
//! guarantee: T5

use std::future::Future;
use std::pin::pin;
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
