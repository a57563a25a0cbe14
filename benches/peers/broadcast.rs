//! Broadcast to 1, 8 and 64 subscribers who see everything, or who may miss some, and to one beside many idle ones.

mod lossy;

use std::future::Future;
use std::hint::black_box;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use async_broadcast::RecvError;
use postage::{sink::Sink as _, stream::Stream as _};
use pushpull::broadcast::{self, Publisher};
use tokio::sync::Notify;
use tokio::sync::broadcast::{self as tokio_broadcast, error::RecvError as TokioError};
use tokio::task::yield_now;

use crate::harness::{Case, Contender, Role};
use crate::race::{Item, MODES, Mode, Wide, run};
use lossy::{growth, lossy};

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for capacity in [1024, 100] {
        lossless_cases::<u64>(capacity, &mut cases);
        lossless_cases::<Wide>(capacity, &mut cases);
    }
    for subscribers in [1, 8, 64] {
        let case = format!("lossy/u64/1024/1 to {subscribers}");
        for mode in MODES {
            let setup = Setup {
                mode,
                capacity: 1024,
                subscribers,
            };
            cases.push(Case::new(case.clone(), mode.name(), lossy(setup)).column(
                "u64, capacity 1024, lossy, per value that arrived",
                format!("{} 1 to {subscribers}", mode.name()),
            ));
        }
    }
    for idle in [1, 10, 100, 1_000, 10_000] {
        cases.push(
            Case::new(format!("growth/{idle} idle"), "CT", growth(idle)).column(
                "growth, CT: per publish, to one subscriber beside idle ones",
                format!("{idle} idle"),
            ),
        );
    }
    cases
}

fn lossless_cases<T: Item>(capacity: usize, cases: &mut Vec<Case>) {
    for mode in MODES {
        for subscribers in [1, 8, 64] {
            let setup = Setup {
                mode,
                capacity,
                subscribers,
            };
            let case = format!("{}/{capacity}/1 to {subscribers}", T::NAME);
            cases.push(Case::new(case, mode.name(), lossless::<T>(setup)).column(
                format!("{}, capacity {capacity}, per delivery", T::NAME),
                format!("{} 1 to {subscribers}", mode.name()),
            ));
        }
    }
}

#[derive(Clone, Copy)]
struct Setup {
    mode: Mode,
    capacity: usize,
    subscribers: usize,
}

impl Setup {
    /// How many values make so many deliveries.
    fn values(self, deliveries: u64) -> u64 {
        deliveries.div_ceil(self.subscribers as u64)
    }

    /// Runs all, and says how long so many deliveries take. Subscribers answer how many values have reached them.
    fn deliver<P, C>(self, deliveries: u64, publisher: P, subscribers: Vec<C>) -> Duration
    where
        P: Future<Output = ()> + Send + 'static,
        C: Future<Output = u64> + Send + 'static,
    {
        let (took, read) = run(self.mode, vec![publisher], subscribers);
        took.mul_f64(deliveries as f64 / read.iter().sum::<u64>() as f64)
    }
}

/// Holds what a subscriber reads against what was published.
struct Seen<T> {
    next: u64,
    read: u64,
    of: PhantomData<T>,
}

impl<T: Item> Seen<T> {
    fn new() -> Self {
        Self {
            next: 0,
            read: 0,
            of: PhantomData,
        }
    }

    #[inline]
    fn see(&mut self, value: T) {
        assert_eq!(black_box(value).number(), self.next, "not the next one");
        self.next += 1;
        self.read += 1;
    }

    fn miss(&mut self, missed: u64) {
        self.next += missed;
    }

    /// How many were read. Together with those reported as missed they are all.
    fn end(self, values: u64) -> u64 {
        assert_eq!(self.next, values, "some are missing at the end");
        self.read
    }

    fn end_with_all(self, values: u64) -> u64 {
        assert_eq!(self.read, values, "some were missed");
        self.end(values)
    }
}

/// The publisher waits for the slowest.
fn lossless<T: Item>(setup: Setup) -> Vec<Contender> {
    vec![
        Contender::ours(move |deliveries| ours::<T>(setup, deliveries)),
        Contender::new("pushpull (runs)", Role::Ours, move |deliveries| {
            ours_in_runs::<T>(setup, deliveries)
        }),
        Contender::glue("tokio broadcast", move |deliveries| {
            over_tokio::<T>(setup, deliveries)
        }),
        Contender::peer("async-broadcast", move |deliveries| {
            over_async_broadcast::<T>(setup, deliveries)
        }),
        Contender::peer("postage", move |deliveries| {
            over_postage::<T>(setup, deliveries)
        }),
    ]
}

async fn publish<T: Item>(publisher: Publisher<T>, values: u64) {
    for number in 0..values {
        publisher.publish(T::of(number)).await.expect("open");
    }
}

fn ours<T: Item>(setup: Setup, deliveries: u64) -> Duration {
    let values = setup.values(deliveries);
    let publisher = broadcast::channel(setup.capacity);
    let subscribers = (0..setup.subscribers).map(|_| {
        let mut subscriber = publisher.subscribe();
        async move {
            let mut seen = Seen::<T>::new();
            while let Some(value) = subscriber.pull().await {
                seen.see(value);
            }
            seen.end_with_all(values)
        }
    });
    let subscribers = subscribers.collect();
    setup.deliver(deliveries, publish(publisher, values), subscribers)
}

/// Subscribers read what is there, up to 256 values at once.
fn ours_in_runs<T: Item>(setup: Setup, deliveries: u64) -> Duration {
    let values = setup.values(deliveries);
    let publisher = broadcast::channel(setup.capacity);
    let subscribers = (0..setup.subscribers).map(|_| {
        let mut subscriber = publisher.subscribe();
        async move {
            let mut seen = Seen::<T>::new();
            let mut run = Vec::with_capacity(256);
            while subscriber.pull_many(&mut run, 256).await > 0 {
                run.drain(..).for_each(|value| seen.see(value));
            }
            seen.end_with_all(values)
        }
    });
    let subscribers = subscribers.collect();
    setup.deliver(deliveries, publish(publisher, values), subscribers)
}

/// tokio's overwrites what was not read. So that nobody lags, the publisher asks how full it is, and sends as many as there
/// is room for before it asks again: one look a run is the cheapest way to be lossless with it. While there is no room it
/// yields for a while, which is the fastest way on, and then sleeps until a subscriber says that it has read a part.
/// Between threads yielding alone would fight with the subscribers for the cores. 100 is 128 in it, and used as 100.
fn over_tokio<T: Item>(setup: Setup, deliveries: u64) -> Duration {
    const YIELDS: usize = 32;
    let values = setup.values(deliveries);
    let (sender, receiver) = tokio_broadcast::channel(setup.capacity);
    drop(receiver);
    let read = Arc::new(Notify::new());
    // At most a quarter of the capacity, and a power of two, so that counting costs nothing.
    let part = 1 << (setup.capacity / 4).ilog2();
    let subscribers = (0..setup.subscribers).map(|_| {
        let mut receiver = sender.subscribe();
        let notify = read.clone();
        async move {
            let mut seen = Seen::<T>::new();
            loop {
                match receiver.recv().await {
                    Ok(value) => seen.see(value),
                    Err(TokioError::Closed) => break,
                    Err(TokioError::Lagged(missed)) => seen.miss(missed),
                }
                if seen.read % part == 0 {
                    notify.notify_one();
                }
            }
            seen.end_with_all(values)
        }
    });
    let subscribers = subscribers.collect();
    let publisher = async move {
        let (mut number, mut yields) = (0, 0);
        while number < values {
            let room = setup.capacity.saturating_sub(sender.len()) as u64;
            if room == 0 && yields < YIELDS {
                yields += 1;
                yield_now().await;
                continue;
            }
            yields = 0;
            if room == 0 {
                read.notified().await;
                continue;
            }
            let until = values.min(number + room);
            for number in number..until {
                assert!(sender.send(T::of(number)).is_ok(), "closed");
            }
            number = until;
        }
    };
    setup.deliver(deliveries, publisher, subscribers)
}

fn over_async_broadcast<T: Item>(setup: Setup, deliveries: u64) -> Duration {
    let values = setup.values(deliveries);
    let (sender, receiver) = async_broadcast::broadcast(setup.capacity);
    let subscribers = (0..setup.subscribers).map(|_| {
        let mut receiver = receiver.new_receiver();
        async move {
            let mut seen = Seen::<T>::new();
            loop {
                match receiver.recv_direct().await {
                    Ok(value) => seen.see(value),
                    Err(RecvError::Closed) => break,
                    Err(RecvError::Overflowed(missed)) => seen.miss(missed),
                }
            }
            seen.end_with_all(values)
        }
    });
    let subscribers = subscribers.collect();
    drop(receiver);
    let publisher = async move {
        for number in 0..values {
            let sent = sender.broadcast_direct(T::of(number)).await;
            assert!(sent.is_ok(), "closed");
        }
    };
    setup.deliver(deliveries, publisher, subscribers)
}

fn over_postage<T: Item>(setup: Setup, deliveries: u64) -> Duration {
    let values = setup.values(deliveries);
    let (mut sender, receiver) = postage::broadcast::channel(setup.capacity);
    let subscribers = (0..setup.subscribers).map(|_| {
        let mut receiver = sender.subscribe();
        async move {
            let mut seen = Seen::<T>::new();
            while let Some(value) = receiver.recv().await {
                seen.see(value);
            }
            seen.end_with_all(values)
        }
    });
    let subscribers = subscribers.collect();
    drop(receiver);
    let publisher = async move {
        for number in 0..values {
            assert!(sender.send(T::of(number)).await.is_ok(), "closed");
        }
    };
    setup.deliver(deliveries, publisher, subscribers)
}
