//! Subscribers that nobody waits for.
//!
//! The publisher yields after every 64 values, as one does that is not alone. Who has fallen back by more than the
//! capacity by then has lost values, is told how many, and counts them.

use std::time::Duration;

use async_broadcast::RecvError;
use pushpull::broadcast::{self, Lossy, Publisher};
use tokio::sync::broadcast::{self as tokio_broadcast, error::RecvError as TokioError};
use tokio::task::yield_now;

use super::{Seen, Setup};
use crate::harness::{Contender, Role};
use crate::race::{Mode, run};

const YIELD_EVERY: u64 = 64;

pub(super) fn lossy(setup: Setup) -> Vec<Contender> {
    vec![
        Contender::ours(move |deliveries| ours(setup, deliveries)),
        Contender::new("pushpull (runs)", Role::Ours, move |deliveries| {
            ours_in_runs(setup, deliveries)
        }),
        Contender::glue("tokio broadcast", move |deliveries| {
            over_tokio(setup, deliveries)
        }),
        Contender::peer("async-broadcast", move |deliveries| {
            over_async_broadcast(setup, deliveries)
        }),
    ]
}

async fn publish(values: u64, mut send: impl FnMut(u64) -> bool) {
    for number in 0..values {
        assert!(send(number), "refused");
        if number % YIELD_EVERY == YIELD_EVERY - 1 {
            yield_now().await;
        }
    }
}

async fn publish_ours(publisher: Publisher<u64>, values: u64) {
    publish(values, |number| publisher.try_publish(number).is_ok()).await;
}

async fn publish_tokio(sender: tokio_broadcast::Sender<u64>, values: u64) {
    publish(values, |number| sender.send(number).is_ok()).await;
}

async fn publish_async_broadcast(sender: async_broadcast::Sender<u64>, values: u64) {
    publish(values, |number| sender.try_broadcast(number).is_ok()).await;
}

fn ours(setup: Setup, deliveries: u64) -> Duration {
    let values = setup.values(deliveries);
    let publisher = broadcast::channel(setup.capacity);
    let subscribers = (0..setup.subscribers).map(|_| {
        let mut subscriber = publisher.subscribe_lossy(Lossy::DropOldest);
        async move {
            let mut seen = Seen::new();
            while let Some(value) = subscriber.pull().await {
                match value {
                    Ok(value) => seen.see(value),
                    Err(lagged) => seen.miss(lagged.missed),
                }
            }
            seen.end(values)
        }
    });
    let subscribers = subscribers.collect();
    setup.deliver(deliveries, publish_ours(publisher, values), subscribers)
}

fn ours_in_runs(setup: Setup, deliveries: u64) -> Duration {
    let values = setup.values(deliveries);
    let publisher = broadcast::channel(setup.capacity);
    let subscribers = (0..setup.subscribers).map(|_| {
        let mut subscriber = publisher.subscribe_lossy(Lossy::DropOldest);
        async move {
            let mut seen = Seen::new();
            let mut run = Vec::with_capacity(256);
            loop {
                match subscriber.pull_many(&mut run, 256).await {
                    Ok(0) => break,
                    Ok(_) => run.drain(..).for_each(|value| seen.see(value)),
                    Err(lagged) => seen.miss(lagged.missed),
                }
            }
            seen.end(values)
        }
    });
    let subscribers = subscribers.collect();
    setup.deliver(deliveries, publish_ours(publisher, values), subscribers)
}

async fn read_tokio(mut receiver: tokio_broadcast::Receiver<u64>, values: u64) -> u64 {
    let mut seen = Seen::new();
    loop {
        match receiver.recv().await {
            Ok(value) => seen.see(value),
            Err(TokioError::Lagged(missed)) => seen.miss(missed),
            Err(TokioError::Closed) => return seen.end(values),
        }
    }
}

fn over_tokio(setup: Setup, deliveries: u64) -> Duration {
    let values = setup.values(deliveries);
    let (sender, receiver) = tokio_broadcast::channel(setup.capacity);
    drop(receiver);
    let subscribers = (0..setup.subscribers)
        .map(|_| read_tokio(sender.subscribe(), values))
        .collect();
    setup.deliver(deliveries, publish_tokio(sender, values), subscribers)
}

async fn read_async_broadcast(mut receiver: async_broadcast::Receiver<u64>, values: u64) -> u64 {
    let mut seen = Seen::new();
    loop {
        match receiver.recv_direct().await {
            Ok(value) => seen.see(value),
            Err(RecvError::Overflowed(missed)) => seen.miss(missed),
            Err(RecvError::Closed) => return seen.end(values),
        }
    }
}

fn over_async_broadcast(setup: Setup, deliveries: u64) -> Duration {
    let values = setup.values(deliveries);
    let (mut sender, receiver) = async_broadcast::broadcast(setup.capacity);
    sender.set_overflow(true);
    let subscribers = (0..setup.subscribers)
        .map(|_| read_async_broadcast(receiver.new_receiver(), values))
        .collect();
    drop(receiver);
    setup.deliver(
        deliveries,
        publish_async_broadcast(sender, values),
        subscribers,
    )
}

/// One subscriber that reads everything, beside others that are never polled. postage has none that may be left behind.
pub(super) fn growth(idle: usize) -> Vec<Contender> {
    // The dropping of idle ones costs tokio a walk over the whole ring each, outside of the clock.
    const CAPACITY: usize = 128;
    vec![
        Contender::ours(move |values| {
            let publisher = broadcast::channel(CAPACITY);
            let mut active = publisher.subscribe();
            let idle: Vec<_> = (0..idle)
                .map(|_| publisher.subscribe_lossy(Lossy::DropOldest))
                .collect();
            let reading = async move {
                let mut seen = Seen::new();
                while let Some(value) = active.pull().await {
                    seen.see(value);
                }
                seen.end_with_all(values)
            };
            let (took, _) = run(
                Mode::Ct,
                vec![publish_ours(publisher, values)],
                vec![reading],
            );
            drop(idle);
            took
        }),
        Contender::glue("tokio broadcast", move |values| {
            let (sender, receiver) = tokio_broadcast::channel(CAPACITY);
            let idle: Vec<_> = (0..idle).map(|_| sender.subscribe()).collect();
            let reading = read_tokio(receiver, values);
            let (took, read) = run(Mode::Ct, vec![publish_tokio(sender, values)], vec![reading]);
            assert_eq!(read, [values], "some were missed");
            drop(idle);
            took
        }),
        Contender::peer("async-broadcast", move |values| {
            let (mut sender, receiver) = async_broadcast::broadcast(CAPACITY);
            sender.set_overflow(true);
            let idle: Vec<_> = (0..idle).map(|_| receiver.new_receiver()).collect();
            let reading = read_async_broadcast(receiver, values);
            let publisher = publish_async_broadcast(sender, values);
            let (took, read) = run(Mode::Ct, vec![publisher], vec![reading]);
            assert_eq!(read, [values], "some were missed");
            drop(idle);
            took
        }),
    ]
}
