//! The queue.
//!
//! guarantee: T5

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::future::LocalBoxFuture;
use futures::{FutureExt, SinkExt, StreamExt};
use futures_test::task::{new_count_waker, noop_waker};
use pushpull::queue::{self, Consumer, DropReason, Producer};

const DAY: Duration = Duration::from_secs(86_400);

/// What became of every item.
#[derive(Debug, Default)]
struct Ledger {
    made: Vec<u32>,
    pulled: Vec<u32>,
    destroyed: Vec<u32>,
    on_drop: Vec<(u32, DropReason)>,
}

type Shared = Arc<Mutex<Ledger>>;

fn open(ledger: &Shared) -> std::sync::MutexGuard<'_, Ledger> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Item {
    value: u32,
    ledger: Shared,
}

impl Drop for Item {
    fn drop(&mut self) {
        open(&self.ledger).destroyed.push(self.value);
    }
}

/// A queue with its ledger. Calls under test share it: a handle of their own that goes with them would wake somebody by
/// going, and hide a wake that they lost.
struct Bench {
    tx: Producer<Item>,
    rx: Consumer<Item>,
    ledger: Shared,
}

impl Bench {
    fn new(capacity: usize) -> Rc<Self> {
        let ledger = Shared::default();
        let (tx, rx) = queue::builder()
            .capacity(capacity)
            .on_drop({
                let ledger = ledger.clone();
                move |item: Item, reason| open(&ledger).on_drop.push((item.value, reason))
            })
            .build();
        Rc::new(Self { tx, rx, ledger })
    }

    fn full(capacity: usize) -> Rc<Self> {
        let bench = Self::new(capacity);
        for value in 0..capacity {
            bench.put(900 + value as u32);
        }
        bench
    }

    fn item(&self, value: u32) -> Item {
        open(&self.ledger).made.push(value);
        Item {
            value,
            ledger: self.ledger.clone(),
        }
    }

    fn put(&self, value: u32) {
        assert!(self.tx.try_push(self.item(value)).is_ok());
    }

    fn got(&self, item: Item) {
        open(&self.ledger).pulled.push(item.value);
    }

    fn take(&self) -> bool {
        match self.rx.try_pull() {
            Ok(item) => {
                self.got(item);
                true
            }
            Err(_) => false,
        }
    }

    /// Everything has been dropped but the bench: nobody waits, every item is in one place, once.
    #[track_caller]
    fn settle(self: Rc<Self>, what: &str) {
        let stats = self.tx.stats();
        assert_eq!(
            (stats.waiting_producers, stats.waiting_consumers),
            (0, 0),
            "{what}: waiters left"
        );
        assert_eq!(stats.reserved, 0, "{what}: reservations left");
        assert_eq!(
            stats.pushed,
            stats.pulled + stats.dropped + stats.len as u64,
            "{what}"
        );
        while self.take() {}
        let stats = self.tx.stats();
        let cancelled = {
            let ledger = open(&self.ledger);
            assert_eq!(ledger.pulled.len() as u64, stats.pulled, "{what}: pulled");
            ledger
                .on_drop
                .iter()
                .filter(|(_, reason)| *reason == DropReason::Cancelled)
                .count()
        };
        assert_eq!(cancelled as u64, stats.cancelled, "{what}: cancelled");
        let ledger = self.ledger.clone();
        drop(self);
        let mut ledger = open(&ledger);
        ledger.made.sort_unstable();
        ledger.destroyed.sort_unstable();
        assert_eq!(
            ledger.made, ledger.destroyed,
            "{what}: each item is destroyed once"
        );
        let mut pulled = ledger.pulled.clone();
        pulled.sort_unstable();
        pulled.dedup();
        assert_eq!(
            pulled.len(),
            ledger.pulled.len(),
            "{what}: an item came twice"
        );
    }
}

type Call = fn(Rc<Bench>) -> LocalBoxFuture<'static, ()>;

/// Every way to push that waits. Each pushes one item, `push_many` and the sink's `send_all` three.
const PUSHES: &[(&str, Call)] = &[
    ("push", |bench| {
        async move { drop(bench.tx.push(bench.item(1)).await) }.boxed_local()
    }),
    ("push_from", |bench| {
        async move {
            let mut slot = Some(bench.item(1));
            let _ = bench.tx.push_from(&mut slot).await;
        }
        .boxed_local()
    }),
    ("push_timeout", |bench| {
        async move { drop(bench.tx.push_timeout(bench.item(1), DAY).await) }.boxed_local()
    }),
    #[cfg(feature = "retry")]
    ("push_retry", |bench| {
        async move {
            let pauses = backon::ConstantBuilder::default()
                .with_delay(DAY)
                .with_max_times(3);
            drop(bench.tx.push_retry(bench.item(1), pauses).await);
        }
        .boxed_local()
    }),
    ("push_many", |bench| {
        async move {
            let mut items = VecDeque::from([bench.item(1), bench.item(2), bench.item(3)]);
            let _ = bench.tx.push_many(&mut items).await;
        }
        .boxed_local()
    }),
    ("reserve", |bench| {
        async move {
            if let Ok(permit) = bench.tx.reserve().await {
                // Held over a poll, so that it can be dropped unused.
                tokio::task::yield_now().await;
                drop(permit.push(bench.item(1)));
            }
        }
        .boxed_local()
    }),
    ("Sink::send", |bench| {
        async move {
            let item = bench.item(1);
            let mut sink = bench.tx.clone();
            let _ = sink.send(item).await;
        }
        .boxed_local()
    }),
    ("Sink::send_all", |bench| {
        async move {
            let items = [bench.item(1), bench.item(2), bench.item(3)];
            let mut sink = bench.tx.clone();
            let _ = sink
                .send_all(&mut futures::stream::iter(items).map(Ok))
                .await;
        }
        .boxed_local()
    }),
];

/// Every way to pull that waits.
const PULLS: &[(&str, Call)] = &[
    ("pull", |bench| {
        async move {
            if let Some(item) = bench.rx.pull().await {
                bench.got(item);
            }
        }
        .boxed_local()
    }),
    ("pull_timeout", |bench| {
        async move {
            if let Ok(item) = bench.rx.pull_timeout(DAY).await {
                bench.got(item);
            }
        }
        .boxed_local()
    }),
    ("pull_many", |bench| {
        async move {
            let mut items = Vec::new();
            bench.rx.pull_many(&mut items, 3).await;
            items.into_iter().for_each(|item| bench.got(item));
        }
        .boxed_local()
    }),
    ("pull_batch", |bench| {
        async move {
            let items = bench.rx.pull_batch(3, DAY).await;
            items.into_iter().flatten().for_each(|item| bench.got(item));
        }
        .boxed_local()
    }),
    ("Stream::next", |bench| {
        async move {
            let mut stream = bench.rx.clone();
            if let Some(item) = stream.next().await {
                bench.got(item);
            }
        }
        .boxed_local()
    }),
    ("poll_pull_many", |bench| {
        async move {
            let mut stream = bench.rx.clone();
            let mut items = Vec::new();
            std::future::poll_fn(|cx| stream.poll_pull_many(cx, &mut items, 3)).await;
            items.into_iter().for_each(|item| bench.got(item));
        }
        .boxed_local()
    }),
];

/// Waits that take nothing.
const WATCHES: &[(&str, Call)] = &[
    ("Producer::closed", |bench| {
        async move { bench.tx.closed().await }.boxed_local()
    }),
    ("Producer::drained", |bench| {
        async move { bench.tx.drained().await }.boxed_local()
    }),
    ("Consumer::closed", |bench| {
        async move { bench.rx.closed().await }.boxed_local()
    }),
    ("Consumer::drained", |bench| {
        async move { bench.rx.drained().await }.boxed_local()
    }),
];

fn poll_once(future: &mut LocalBoxFuture<'static, ()>, waker: &Waker) -> Poll<()> {
    Pin::new(future).poll(&mut Context::from_waker(waker))
}

/// Polls up to `polls` times, with `between` called before each but the first, and drops the call.
async fn poll_and_drop(call: Call, bench: &Rc<Bench>, polls: usize, between: impl Fn(&Bench)) {
    let mut future = call(bench.clone());
    for poll in 0..polls {
        if poll > 0 {
            between(bench);
        }
        if poll_once(&mut future, &noop_waker()).is_ready() {
            return;
        }
        // Renews the budget.
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_dropped_after_any_number_of_polls_takes_nothing_along() {
    // guarantee: Q3, Q4
    let calls = || PUSHES.iter().chain(PULLS).chain(WATCHES);
    for (name, call) in calls() {
        for polls in 0..8 {
            let bench = Bench::full(2);
            poll_and_drop(*call, &bench, polls, |_| {}).await;
            bench.settle(&format!("{name}, {polls} polls, full"));

            let bench = Bench::new(2);
            poll_and_drop(*call, &bench, polls, |_| {}).await;
            bench.settle(&format!("{name}, {polls} polls, empty"));

            let bench = Bench::full(2);
            poll_and_drop(*call, &bench, polls, |bench| {
                bench.take();
            })
            .await;
            bench.settle(&format!("{name}, {polls} polls, one taken before each"));

            let bench = Bench::new(2);
            poll_and_drop(*call, &bench, polls, |bench| {
                if bench.tx.len() < bench.tx.capacity() {
                    let value = 100 + bench.tx.stats().pushed as u32;
                    drop(bench.tx.try_push(bench.item(value)));
                }
            })
            .await;
            bench.settle(&format!("{name}, {polls} polls, one put before each"));

            let bench = Bench::full(2);
            poll_and_drop(*call, &bench, polls, |bench| bench.tx.close()).await;
            bench.settle(&format!("{name}, {polls} polls, closed between"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_push_woken_and_dropped_passes_its_wake_on() {
    // guarantee: Q4, Q7
    for (name, call) in PUSHES {
        if *name == "push_retry" {
            // It sleeps by the clock, and no room wakes it.
            continue;
        }
        let bench = Bench::full(1);
        let (first_waker, first_woken) = new_count_waker();
        let (second_waker, second_woken) = new_count_waker();
        let mut first = call(bench.clone());
        let mut second = {
            let bench = bench.clone();
            async move { assert!(bench.tx.push(bench.item(7)).await.is_ok()) }.boxed_local()
        };
        assert!(poll_once(&mut first, &first_waker).is_pending(), "{name}");
        assert!(poll_once(&mut second, &second_waker).is_pending(), "{name}");
        assert!(bench.take());
        assert_eq!((first_woken.get(), second_woken.get()), (1, 0), "{name}");
        drop(first);
        assert_eq!(second_woken.get(), 1, "{name}: the wake was lost");
        assert!(poll_once(&mut second, &second_waker).is_ready(), "{name}");
        drop(second);
        bench.settle(name);
    }
}

#[tokio::test(start_paused = true)]
async fn a_pull_woken_and_dropped_passes_its_wake_on() {
    // guarantee: Q4, Q7
    for (name, call) in PULLS {
        if *name == "pull_batch" {
            // It is woken when its run is there, not by one item; the next test has it.
            continue;
        }
        let bench = Bench::new(4);
        let (first_waker, first_woken) = new_count_waker();
        let (second_waker, second_woken) = new_count_waker();
        let mut first = call(bench.clone());
        let mut second = {
            let bench = bench.clone();
            async move { bench.got(bench.rx.pull().await.expect("an item")) }.boxed_local()
        };
        assert!(poll_once(&mut first, &first_waker).is_pending(), "{name}");
        assert!(poll_once(&mut second, &second_waker).is_pending(), "{name}");
        bench.put(5);
        assert_eq!((first_woken.get(), second_woken.get()), (1, 0), "{name}");
        drop(first);
        assert_eq!(second_woken.get(), 1, "{name}: the wake was lost");
        assert!(poll_once(&mut second, &second_waker).is_ready(), "{name}");
        drop(second);
        bench.settle(name);
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_dropped_before_or_after_its_run_is_there_leaves_it_to_the_next() {
    // guarantee: Q4
    for count in 1..=3 {
        let bench = Bench::new(4);
        let (waker, woken) = new_count_waker();
        let mut batch = {
            let bench = bench.clone();
            async move { drop(bench.rx.pull_batch(3, DAY).await) }.boxed_local()
        };
        let mut single = {
            let bench = bench.clone();
            async move { bench.got(bench.rx.pull().await.expect("an item")) }.boxed_local()
        };
        assert!(poll_once(&mut batch, &noop_waker()).is_pending());
        assert!(poll_once(&mut single, &waker).is_pending());
        for value in 0..count {
            bench.put(value);
        }
        drop(batch);
        assert_eq!(woken.get(), 1, "{count} items and a sleeper side by side");
        assert!(poll_once(&mut single, &waker).is_ready());
        drop(single);
        assert_eq!(bench.rx.len(), count as usize - 1);
        bench.settle("pull_batch");
    }
}

#[tokio::test(start_paused = true)]
async fn pulls_cancelled_in_select_lose_nothing() {
    // guarantee: Q4
    for (name, call) in PULLS {
        let bench = Bench::new(2);
        let producer = tokio::task::LocalSet::new();
        let feeding = bench.clone();
        producer.spawn_local(async move {
            for value in 0..200 {
                assert!(feeding.tx.push(feeding.item(value)).await.is_ok());
                for _ in 0..value % 4 {
                    tokio::task::yield_now().await;
                }
            }
        });
        producer
            .run_until(async {
                let mut round = 0;
                while open(&bench.ledger).pulled.len() < 200 {
                    round += 1;
                    assert!(round < 100_000, "{name}: items are missing");
                    let impatient = async {
                        for _ in 0..round % 3 {
                            tokio::task::yield_now().await;
                        }
                    };
                    tokio::select! {
                        biased;
                        () = impatient => {}
                        () = call(bench.clone()) => {}
                    }
                    // A batch waits for its run, so the last of them would never come in time.
                    if *name == "pull_batch" && round > 5_000 {
                        bench.take();
                    }
                }
            })
            .await;
        assert_eq!(
            open(&bench.ledger).pulled,
            (0..200).collect::<Vec<_>>(),
            "{name}"
        );
        drop(producer);
        bench.settle(name);
    }
}

#[tokio::test(start_paused = true)]
async fn pulls_cancelled_by_a_timeout_lose_nothing() {
    // guarantee: Q4
    for (name, call) in PULLS {
        let bench = Bench::new(4);
        let mut fed = 0;
        for _ in 0..2_000 {
            if fed < 200 && bench.tx.len() < 4 {
                bench.put(fed);
                fed += 1;
            }
            let _ = tokio::time::timeout(Duration::from_millis(3), call(bench.clone())).await;
        }
        while bench.take() {}
        assert_eq!(
            open(&bench.ledger).pulled,
            (0..200).collect::<Vec<_>>(),
            "{name}"
        );
        bench.settle(name);
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_push_is_told_and_never_queued() {
    // guarantee: Q4
    let bench = Bench::full(1);
    for polls in [0, 1, 2] {
        let mut push = Box::pin(bench.tx.push(bench.item(polls)));
        for _ in 0..polls {
            assert!(
                push.as_mut()
                    .poll(&mut Context::from_waker(&noop_waker()))
                    .is_pending()
            );
        }
    }
    let told = open(&bench.ledger).on_drop.clone();
    // The call that was never polled had not begun to wait; its item is told all the same, or silently the caller's.
    assert!(
        told.ends_with(&[(1, DropReason::Cancelled), (2, DropReason::Cancelled)]),
        "{told:?}"
    );
    assert_eq!(bench.tx.stats().pushed, 1);
    bench.settle("push");
}

#[tokio::test(start_paused = true)]
async fn what_can_be_kept_stays_with_the_caller() {
    // guarantee: Q4
    let bench = Bench::full(1);
    let mut slot = Some(bench.item(1));
    {
        let mut push = Box::pin(bench.tx.push_from(&mut slot));
        assert!(
            push.as_mut()
                .poll(&mut Context::from_waker(&noop_waker()))
                .is_pending()
        );
    }
    assert_eq!(slot.as_ref().map(|item| item.value), Some(1));

    let mut many = VecDeque::from([bench.item(2), bench.item(3), bench.item(4)]);
    {
        let mut push = Box::pin(bench.tx.push_many(&mut many));
        assert!(
            push.as_mut()
                .poll(&mut Context::from_waker(&noop_waker()))
                .is_pending()
        );
        assert!(bench.take());
        assert!(
            push.as_mut()
                .poll(&mut Context::from_waker(&noop_waker()))
                .is_pending()
        );
    }
    assert_eq!(
        many.iter().map(|item| item.value).collect::<Vec<_>>(),
        [3, 4]
    );
    assert_eq!(open(&bench.ledger).on_drop, []);
    drop((slot, many));
    bench.settle("push_from, push_many");
}

#[tokio::test(start_paused = true)]
async fn drain_dropped_half_way_has_closed_and_taken_nothing() {
    // guarantee: P2
    for polls in 0..4 {
        let bench = Bench::full(4);
        let other = bench.rx.clone();
        {
            let mut drain = Box::pin(bench.rx.drain(DAY));
            for _ in 0..polls {
                assert!(
                    drain
                        .as_mut()
                        .poll(&mut Context::from_waker(&noop_waker()))
                        .is_pending()
                );
                tokio::task::yield_now().await;
            }
        }
        let mut values = Vec::new();
        while let Ok(item) = other.try_pull() {
            values.push(item.value);
            bench.got(item);
        }
        assert_eq!(values, [900, 901, 902, 903]);
        drop(other);
        bench.settle("drain");
    }
}

#[tokio::test(start_paused = true)]
async fn waiter_lists_are_as_long_as_the_living_waiters() {
    // guarantee: Q4, T10
    let full = Bench::full(1);
    let empty = Bench::new(1);
    for round in 0..20_000 {
        let (_, call) = PUSHES[round % PUSHES.len()];
        poll_and_drop(call, &full, 1, |_| {}).await;
        let (_, call) = PULLS[round % PULLS.len()];
        poll_and_drop(call, &empty, 1, |_| {}).await;
        let (_, call) = WATCHES[round % WATCHES.len()];
        poll_and_drop(call, &full, 1, |_| {}).await;
        assert_eq!(full.tx.stats().waiting_producers, 0);
        assert_eq!(empty.tx.stats().waiting_consumers, 0);
    }
    full.settle("full");
    empty.settle("empty");
}
