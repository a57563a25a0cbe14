//! Threads that push, pull and cancel at once: nothing is lost, doubled or out of order, and nobody sleeps for ever.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::{SinkExt, StreamExt, poll};
use pushpull::queue::{self, Consumer, Overflow, Producer, WeakProducer};
use tokio::sync::Barrier;

/// Which producer, and its how-manieth item.
type Item = (u8, u32);

const ITEMS: u32 = 3_000;

/// Decides nothing; it tells a hang from a slow machine.
const HANG: Duration = Duration::from_secs(60);

/// Polls once and drops the future.
async fn once<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// Pushes all its items, each another way, giving up twice for every push that is waited for.
async fn produce(mut tx: Producer<Item>, producer: u8) {
    let mut next = 0;
    while next < ITEMS {
        let mut slot = Some((producer, next));
        match next % 5 {
            0 => tx.push((producer, next)).await.expect("open"),
            1 => {
                while slot.is_some() && once(tx.push_from(&mut slot)).await.is_none() {
                    tokio::task::yield_now().await;
                    let _cancelled = once(tx.push_from(&mut slot)).await;
                    if slot.is_some() {
                        tx.push_from(&mut slot).await.expect("open");
                    }
                }
            }
            2 => {
                let run = next..ITEMS.min(next + 7);
                let mut items: VecDeque<Item> = run.map(|n| (producer, n)).collect();
                let all = items.len() as u32;
                while !items.is_empty() {
                    if once(tx.push_many(&mut items)).await.is_none() && !items.is_empty() {
                        tx.push_many(&mut items).await.expect("open");
                    }
                }
                next += all - 1;
            }
            3 => {
                let _cancelled = once(tx.reserve()).await;
                let permit = tx.reserve().await.expect("open");
                // A permit holds no weight.
                if let Err(refused) = permit.push((producer, next)) {
                    tx.push(refused.into_item()).await.expect("open");
                }
            }
            _ => {
                let _pending = once(poll_fn(|cx| tx.poll_ready_unpin(cx))).await;
                tx.send((producer, next)).await.expect("open");
            }
        }
        next += 1;
    }
}

/// Pulls until the end, each item another way, and hands back what it got.
async fn consume(mut rx: Consumer<Item>) -> Vec<Item> {
    let mut got = Vec::new();
    for turn in 0_u32.. {
        let before = got.len();
        match turn % 5 {
            0 => match rx.pull().await {
                Some(item) => got.push(item),
                None => break,
            },
            1 => {
                got.extend(once(rx.pull()).await.flatten());
                tokio::task::yield_now().await;
            }
            2 => {
                if rx.pull_many(&mut got, 3).await == 0 {
                    break;
                }
            }
            3 => {
                let _cancelled = once(rx.pull_many(&mut got, 2)).await;
                match once(rx.pull_batch(4, Duration::from_secs(3600))).await {
                    Some(Some(batch)) => got.extend(batch),
                    Some(None) => break,
                    None => {}
                }
            }
            _ => match rx.next().await {
                Some(item) => got.push(item),
                None => break,
            },
        }
        assert!(rising(&got[before..]));
    }
    assert_eq!(rx.pull().await, None);
    got
}

/// Whether each producer's items come in the order in which they were pushed.
fn rising(items: &[Item]) -> bool {
    let mut last = [None; 256];
    items.iter().all(|(producer, n)| {
        let before = last[usize::from(*producer)].replace(*n);
        before < Some(*n)
    })
}

/// Checks every snapshot while the queue is open.
async fn watched(watch: WeakProducer<Item>, bound: Option<usize>) {
    while !watch.is_closed() {
        let stats = watch.stats();
        let accounted = stats.pulled + stats.dropped + stats.len as u64;
        assert_eq!(stats.pushed, accounted, "{stats:?}");
        let promised = stats.len + stats.reserved;
        assert!(bound.is_none_or(|bound| promised <= bound), "{stats:?}");
        tokio::task::yield_now().await;
    }
}

async fn stress(
    (tx, rx): (Producer<Item>, Consumer<Item>),
    bound: Option<usize>,
    producers: u8,
    consumers: u8,
) -> Vec<Item> {
    let watch = tx.downgrade();
    let watching = tokio::spawn(watched(tx.downgrade(), bound));
    let pulls: Vec<_> = (0..consumers)
        .map(|_| tokio::spawn(consume(rx.clone())))
        .collect();
    drop(rx);
    let pushes: Vec<_> = (0..producers)
        .map(|producer| tokio::spawn(produce(tx.clone(), producer)))
        .collect();
    drop(tx);
    let all = async {
        for push in pushes {
            push.await.expect("a producer");
        }
        let mut all = Vec::new();
        for pull in pulls {
            let got = pull.await.expect("a consumer");
            assert!(rising(&got), "out of order");
            all.extend(got);
        }
        all
    };
    let all = tokio::time::timeout(HANG, all).await;
    let stats = watch.stats();
    let mut all = all.unwrap_or_else(|_| panic!("somebody sleeps for ever: {stats:?}"));
    watching.await.expect("every snapshot is whole");
    all.sort_unstable();
    assert_eq!(stats.pushed, stats.pulled + stats.dropped);
    assert_eq!(stats.pulled, all.len() as u64);
    assert_eq!((stats.waiting_producers, stats.waiting_consumers), (0, 0));
    assert_eq!((stats.reserved, stats.len, stats.cancelled), (0, 0, 0));
    all
}

fn everything(producers: u8) -> Vec<Item> {
    let of = |producer| (0..ITEMS).map(move |n| (producer, n));
    (0..producers).flat_map(of).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_of_one_under_cancelling_threads() {
    // guarantee: Q1, Q2, Q3, Q4, Q7
    assert!(stress(queue::bounded(1), Some(1), 3, 3).await == everything(3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wider_queue_under_cancelling_threads() {
    // guarantee: Q1, Q2, Q3, Q4, Q7
    assert!(stress(queue::bounded(5), Some(5), 4, 2).await == everything(4));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_weighted_queue_under_cancelling_threads() {
    // guarantee: Q1, Q2, Q3, Q4, Q7, Q10
    let ends = queue::builder()
        .capacity(4)
        .max_weight(5, |item: &Item| 1 + item.1 as usize % 3)
        .build();
    assert!(stress(ends, Some(4), 3, 2).await == everything(3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_evicted_under_threads_is_handed_over_once() {
    // guarantee: Q3
    let dropped = Arc::new(Mutex::new(Vec::new()));
    let (tx, rx) = queue::builder()
        .capacity(3)
        .overflow(Overflow::DropOldest)
        .on_drop({
            let dropped = dropped.clone();
            move |item, _| {
                let mut dropped = dropped.lock().unwrap_or_else(PoisonError::into_inner);
                dropped.push(item);
            }
        })
        .build();
    let watch = tx.downgrade();
    let tasks: Vec<_> = (0..3)
        .map(|producer| {
            let tx = tx.clone();
            tokio::spawn(async move {
                for n in 0..ITEMS {
                    // Refused where every slot is promised.
                    while tx.push((producer, n)).await.is_err() {
                        tokio::task::yield_now().await;
                    }
                    if n % 7 == 0 {
                        drop(tx.reserve().await.expect("open"));
                    }
                }
            })
        })
        .collect();
    drop(tx);
    let mut all = consume(rx).await;
    for task in tasks {
        task.await.expect("a producer");
    }
    let mut dropped = dropped.lock().unwrap_or_else(PoisonError::into_inner);
    assert_eq!(watch.stats().dropped, dropped.len() as u64);
    all.append(&mut dropped);
    all.sort_unstable();
    assert!(all == everything(3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resizing_under_threads_loses_nothing() {
    // guarantee: Q3, Q7, Q9
    let (tx, rx) = queue::bounded(2);
    let control = tx.downgrade();
    let resizes = tokio::spawn(async move {
        for n in 0_usize.. {
            let Some(tx) = control.upgrade() else { return };
            tx.resize(1 + n % 6);
            drop(tx);
            tokio::task::yield_now().await;
        }
    });
    assert!(stress((tx, rx), None, 3, 3).await == everything(3));
    resizes.await.expect("the control");
}

const ROUNDS: u32 = 5_000;

/// Polls once, lets the others begin, and drops the future while they are at it.
async fn give_up<F: Future>(future: F, others: &Barrier) {
    let mut future = Box::pin(future);
    assert!(poll!(future.as_mut()).is_pending());
    others.wait().await;
    drop(future);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_item_reaches_the_one_pull_that_is_not_cancelled() {
    // guarantee: Q4, Q7
    let (tx, rx) = queue::bounded(1);
    let barrier = Arc::new(Barrier::new(3));
    let cancels = tokio::spawn({
        let (rx, barrier) = (rx.clone(), barrier.clone());
        async move {
            for _ in 0..ROUNDS {
                give_up(rx.pull(), &barrier).await;
                barrier.wait().await;
            }
        }
    });
    let pushes = tokio::spawn({
        let barrier = barrier.clone();
        async move {
            for round in 0..ROUNDS {
                barrier.wait().await;
                tx.try_push(round).expect("room");
                barrier.wait().await;
            }
        }
    });
    let pulls = async {
        for round in 0..ROUNDS {
            barrier.wait().await;
            assert_eq!(rx.pull().await, Some(round));
            barrier.wait().await;
        }
    };
    let ended = tokio::time::timeout(HANG, pulls).await;
    assert!(ended.is_ok(), "the wake was lost: {:?}", rx.stats());
    cancels.await.expect("the cancelled");
    pushes.await.expect("the producer");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_slot_reaches_the_one_push_that_is_not_cancelled() {
    // guarantee: Q4, Q7
    let (tx, rx) = queue::bounded(1);
    tx.try_push(0).expect("room");
    let barrier = Arc::new(Barrier::new(3));
    let cancels = tokio::spawn({
        let (tx, barrier) = (tx.clone(), barrier.clone());
        async move {
            for _ in 0..ROUNDS {
                give_up(tx.reserve(), &barrier).await;
                barrier.wait().await;
            }
        }
    });
    let pulls = tokio::spawn({
        let barrier = barrier.clone();
        async move {
            for round in 0..ROUNDS {
                barrier.wait().await;
                assert_eq!(rx.try_pull(), Ok(round));
                barrier.wait().await;
            }
        }
    });
    let pushes = async {
        for round in 0..ROUNDS {
            barrier.wait().await;
            tx.push(round + 1).await.expect("open");
            barrier.wait().await;
        }
    };
    let ended = tokio::time::timeout(HANG, pushes).await;
    assert!(ended.is_ok(), "the wake was lost: {:?}", tx.stats());
    cancels.await.expect("the cancelled");
    pulls.await.expect("the consumer");
}

#[test]
fn a_million_calls_polled_and_dropped_leave_nothing() {
    // guarantee: Q4, T10
    let (tx, rx) = queue::bounded::<u32>(1);
    let mut cx = Context::from_waker(Waker::noop());
    let cancelled = AtomicU64::new(0);
    let mut cancel = |future: &mut dyn FnMut(&mut Context<'_>) -> bool| {
        assert!(future(&mut cx));
        cancelled.fetch_add(1, Ordering::Relaxed);
    };
    for _ in 0..250_000 {
        cancel(&mut |cx| pin!(rx.pull()).poll(cx).is_pending());
        cancel(&mut |cx| pin!(rx.closed()).poll(cx).is_pending());
    }
    assert_eq!(tx.try_push(1), Ok(()));
    for _ in 0..250_000 {
        cancel(&mut |cx| pin!(tx.push(2)).poll(cx).is_pending());
        cancel(&mut |cx| pin!(tx.reserve()).poll(cx).is_pending());
    }
    assert_eq!(cancelled.into_inner(), 1_000_000);
    let stats = tx.stats();
    assert_eq!((stats.waiting_producers, stats.waiting_consumers), (0, 0));
    assert_eq!(
        (stats.cancelled, stats.reserved, stats.len),
        (250_000, 0, 1)
    );
}
