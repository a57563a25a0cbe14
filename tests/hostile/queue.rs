//! The queue.
//!
//! guarantee: T7

use std::collections::VecDeque;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures_test::task::{new_count_waker, noop_waker};
use pushpull::queue::{self, Consumer, DropReason, Overflow, Producer, PushError};

const DAY: Duration = Duration::from_secs(86_400);

/// An item that says when it is destroyed, and may panic then.
struct Item {
    value: u32,
    explosive: bool,
    destroyed: Arc<Mutex<Vec<u32>>>,
}

impl Drop for Item {
    fn drop(&mut self) {
        self.destroyed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(self.value);
        assert!(
            !self.explosive || std::thread::panicking(),
            "item {} explodes",
            self.value
        );
    }
}

#[derive(Clone, Default)]
struct Maker(Arc<Mutex<Vec<u32>>>);

impl Maker {
    fn item(&self, value: u32) -> Item {
        Item {
            value,
            explosive: false,
            destroyed: self.0.clone(),
        }
    }

    fn explosive(&self, value: u32) -> Item {
        Item {
            value,
            explosive: true,
            destroyed: self.0.clone(),
        }
    }

    fn destroyed(&self) -> Vec<u32> {
        let mut values = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        values.sort_unstable();
        values
    }
}

/// Polls a future once with this waker.
fn poll<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    std::pin::Pin::new(future).poll(&mut Context::from_waker(waker))
}

fn panics<R>(run: impl FnOnce() -> R) -> bool {
    catch_unwind(AssertUnwindSafe(run)).is_err()
}

/// A waker that runs something when it is woken, and something when its last clone goes.
struct Hook<W: Fn() + Send + Sync, D: Fn() + Send + Sync> {
    woken: W,
    dropped: D,
}

impl<W: Fn() + Send + Sync + 'static, D: Fn() + Send + Sync + 'static> Wake for Hook<W, D> {
    fn wake(self: Arc<Self>) {
        (self.woken)();
    }
}

impl<W: Fn() + Send + Sync, D: Fn() + Send + Sync> Drop for Hook<W, D> {
    fn drop(&mut self) {
        (self.dropped)();
    }
}

fn on_wake(woken: impl Fn() + Send + Sync + 'static) -> Waker {
    Waker::from(Arc::new(Hook {
        woken,
        dropped: || {},
    }))
}

fn on_waker_drop(dropped: impl Fn() + Send + Sync + 'static) -> Waker {
    Waker::from(Arc::new(Hook {
        woken: || {},
        dropped,
    }))
}

/// The queue still does all it did, for new callers and for those that waited.
fn still_works<T>(tx: &Producer<T>, rx: &Consumer<T>, make: impl Fn() -> T) {
    while let Ok(item) = rx.try_pull() {
        let _ = catch_unwind(AssertUnwindSafe(|| drop(item)));
    }
    for _ in 0..3 {
        assert!(tx.try_push(make()).is_ok());
        assert!(rx.try_pull().is_ok());
    }
    let (waker, woken) = new_count_waker();
    let mut pull = Box::pin(rx.pull());
    assert!(poll(&mut pull, &waker).is_pending());
    assert!(tx.try_push(make()).is_ok());
    assert_eq!(woken.get(), 1);
    assert!(poll(&mut pull, &waker).is_ready());
    let stats = tx.stats();
    assert_eq!(
        stats.pushed,
        stats.pulled + stats.dropped + stats.len as u64
    );
}

#[test]
fn a_destructor_that_panics_in_an_eviction() {
    // guarantee: Q6
    for overflow in [Overflow::DropOldest, Overflow::DropNewest] {
        let maker = Maker::default();
        let (tx, rx) = queue::builder().capacity(2).overflow(overflow).build();
        for value in 0..2 {
            assert!(tx.try_push(maker.explosive(value)).is_ok());
        }
        assert!(panics(|| tx.try_push(maker.explosive(2))));
        assert_eq!(maker.destroyed().len(), 1, "{overflow:?}");
        assert_eq!((rx.len(), tx.stats().dropped), (2, 1));
        still_works(&tx, &rx, || maker.item(9));
    }
}

#[test]
fn destructors_that_panic_when_the_last_consumer_goes() {
    // guarantee: Q3, Q6
    let maker = Maker::default();
    let (tx, rx) = queue::bounded(8);
    for value in 0..4 {
        let item = if value == 1 {
            maker.explosive(value)
        } else {
            maker.item(value)
        };
        assert!(tx.try_push(item).is_ok());
    }
    assert!(panics(|| drop(rx)));
    assert_eq!(
        maker.destroyed(),
        [0, 1, 2, 3],
        "each is destroyed, also behind the one that panics"
    );
    assert!(tx.is_closed());
    assert!(matches!(
        tx.try_push(maker.item(9)),
        Err(PushError::Closed(_))
    ));
    let stats = tx.stats();
    assert_eq!((stats.pushed, stats.dropped, stats.len), (4, 4, 0));
}

#[test]
fn an_on_drop_that_panics() {
    // guarantee: Q3, Q6
    let maker = Maker::default();
    let told = Arc::new(AtomicUsize::new(0));
    let (tx, rx) = queue::builder()
        .capacity(2)
        .overflow(Overflow::DropOldest)
        .on_drop({
            let told = told.clone();
            move |_: Item, _| {
                told.fetch_add(1, Ordering::Relaxed);
                panic!("on_drop panics");
            }
        })
        .build();
    for value in 0..2 {
        assert!(tx.try_push(maker.item(value)).is_ok());
    }
    for value in 2..4 {
        assert!(panics(|| tx.try_push(maker.item(value))));
    }
    assert_eq!(
        (told.load(Ordering::Relaxed), rx.len(), tx.stats().dropped),
        (2, 2, 2)
    );
    // Two more are left for the last consumer; both are told of though the first panics.
    assert!(panics(|| drop(rx)));
    assert_eq!(told.load(Ordering::Relaxed), 4);
    assert_eq!(maker.destroyed(), [0, 1, 2, 3]);
}

#[test]
fn an_on_drop_that_panics_over_a_cancelled_push() {
    // guarantee: Q4, Q6
    let maker = Maker::default();
    let (tx, rx) = queue::builder()
        .capacity(1)
        .on_drop(|_: Item, reason| {
            assert_ne!(reason, DropReason::Cancelled, "on_drop panics");
        })
        .build();
    assert!(tx.try_push(maker.item(0)).is_ok());
    let mut push = Box::pin(tx.push(maker.item(1)));
    assert!(poll(&mut push, &noop_waker()).is_pending());
    assert!(panics(|| drop(push)));
    assert_eq!((tx.stats().waiting_producers, tx.stats().cancelled), (0, 1));
    assert_eq!(maker.destroyed(), [1]);
    still_works(&tx, &rx, || maker.item(9));
}

#[test]
fn a_weight_that_panics() {
    // guarantee: Q6
    let (tx, rx) = queue::builder()
        .max_weight(10, |value: &usize| {
            assert_ne!(*value, 7, "weight panics");
            *value
        })
        .build();
    assert!(tx.try_push(3).is_ok());
    assert!(panics(|| tx.try_push(7)));
    let mut run = VecDeque::from([1, 7, 2]);
    assert!(panics(|| tx.try_push_many(&mut run)));
    assert!(
        run.contains(&2) && run.contains(&7),
        "what was not pushed is left: {run:?}"
    );
    assert!(panics(|| futures::executor::block_on(tx.push(7))));
    assert_eq!(tx.stats().waiting_producers, 0);
    still_works(&tx, &rx, || 2);
}

#[test]
fn a_waker_that_panics_does_not_keep_the_others_asleep() {
    // guarantee: Q6, Q7
    let (tx, rx) = queue::bounded::<u32>(4);
    let (waker, woken) = new_count_waker();
    let mut first = Box::pin(rx.pull());
    let mut second = Box::pin(rx.pull());
    assert!(poll(&mut first, &on_wake(|| panic!("waker panics"))).is_pending());
    assert!(poll(&mut second, &waker).is_pending());
    // One run for both: the first waker panics, the second is woken all the same.
    assert!(panics(|| tx.try_push_many(&mut VecDeque::from([1, 2]))));
    assert_eq!(woken.get(), 1);
    assert_eq!(poll(&mut second, &waker), Poll::Ready(Some(1)));
    drop(first);
    assert_eq!(rx.try_pull(), Ok(2));
    still_works(&tx, &rx, || 9);
}

#[test]
fn wakers_that_panic_when_the_queue_closes() {
    // guarantee: Q5, Q6
    let (tx, rx) = queue::bounded::<u32>(1);
    let (waker, woken) = new_count_waker();
    let mut pulls: Vec<_> = (0..3).map(|_| Box::pin(rx.pull())).collect();
    assert!(poll(&mut pulls[0], &on_wake(|| panic!("waker panics"))).is_pending());
    assert!(poll(&mut pulls[1], &waker).is_pending());
    assert!(poll(&mut pulls[2], &waker).is_pending());
    assert!(panics(|| tx.close()));
    assert_eq!(woken.get(), 2);
    for pull in &mut pulls {
        assert_eq!(poll(pull, &noop_waker()), Poll::Ready(None));
    }
    assert!(tx.is_closed());
}

#[test]
fn a_waker_that_re_enters_the_queue_inline() {
    // guarantee: Q6, Q7
    let (tx, rx) = queue::bounded::<u32>(2);
    let calls = Arc::new(AtomicUsize::new(0));
    let re_enter = {
        let (tx, rx, calls) = (tx.clone(), rx.clone(), calls.clone());
        move || {
            calls.fetch_add(1, Ordering::Relaxed);
            let _ = (
                tx.stats(),
                tx.len(),
                rx.is_empty(),
                tx.try_push(100),
                rx.try_pull(),
            );
            tx.resize(3);
        }
    };
    let mut pull = Box::pin(rx.pull());
    assert!(poll(&mut pull, &on_wake(re_enter.clone())).is_pending());
    assert!(tx.try_push(1).is_ok());
    assert_eq!(calls.load(Ordering::Relaxed), 1);
    drop(pull);
    while rx.try_pull().is_ok() {}

    while tx.try_push(0).is_ok() {}
    let mut push = Box::pin(tx.push(7));
    assert!(poll(&mut push, &on_wake(re_enter)).is_pending());
    assert_eq!(rx.try_pull(), Ok(0));
    assert_eq!(calls.load(Ordering::Relaxed), 2);
    drop(push);
    still_works(&tx, &rx, || 9);
}

#[test]
fn a_waker_whose_drop_re_enters_the_queue() {
    // guarantee: Q6
    let (tx, rx) = queue::bounded::<u32>(1);
    let drops = Arc::new(AtomicUsize::new(0));
    let waker = || {
        let (tx, rx, drops) = (tx.clone(), rx.clone(), drops.clone());
        on_waker_drop(move || {
            drops.fetch_add(1, Ordering::Relaxed);
            let _ = (tx.stats(), rx.len());
        })
    };
    // Replaced by another at the second poll, dropped with the future, and let go by a wake.
    let mut pull = Box::pin(rx.pull());
    assert!(poll(&mut pull, &waker()).is_pending());
    assert!(poll(&mut pull, &waker()).is_pending());
    assert_eq!(drops.load(Ordering::Relaxed), 1, "the replaced one is gone");
    drop(pull);
    assert_eq!(drops.load(Ordering::Relaxed), 2);
    let mut pull = Box::pin(rx.pull());
    assert!(poll(&mut pull, &waker()).is_pending());
    assert!(tx.try_push(1).is_ok());
    assert_eq!(poll(&mut pull, &noop_waker()), Poll::Ready(Some(1)));
    drop(pull);
    assert_eq!(drops.load(Ordering::Relaxed), 3);

    assert!(tx.try_push(1).is_ok());
    let mut push = Box::pin(tx.push(2));
    assert!(poll(&mut push, &waker()).is_pending());
    assert!(poll(&mut push, &waker()).is_pending());
    drop(push);
    assert_eq!(drops.load(Ordering::Relaxed), 5);
    still_works(&tx, &rx, || 9);
}

#[test]
fn a_destructor_that_re_enters_the_queue() {
    // guarantee: Q6
    struct Reentrant {
        tx: Option<Producer<Self>>,
        rx: Option<Consumer<Self>>,
    }
    impl Drop for Reentrant {
        fn drop(&mut self) {
            if let (Some(tx), Some(rx)) = (self.tx.take(), self.rx.take()) {
                let _ = (tx.stats(), rx.len());
                drop(tx.try_push(Self { tx: None, rx: None }));
                drop(rx.try_pull());
            }
        }
    }
    let (tx, rx) = queue::builder()
        .capacity(1)
        .overflow(Overflow::DropOldest)
        .build();
    let make = || Reentrant {
        tx: Some(tx.clone()),
        rx: Some(rx.clone()),
    };
    for _ in 0..4 {
        assert!(tx.try_push(make()).is_ok());
    }
    still_works(&tx, &rx, || Reentrant { tx: None, rx: None });
}

#[test]
fn a_waker_that_cannot_be_cloned() {
    // guarantee: Q6
    use std::task::{RawWaker, RawWakerVTable};
    // Panics in `clone`; the other functions do nothing.
    const TABLE: RawWakerVTable =
        RawWakerVTable::new(|_| panic!("clone panics"), |_| {}, |_| {}, |_| {});
    #[expect(unsafe_code, reason = "no safe waker has a clone that panics")]
    // SAFETY: the functions do not use the pointer.
    let waker = unsafe { Waker::from_raw(RawWaker::new(std::ptr::null(), &TABLE)) };

    let (tx, rx) = queue::bounded::<u32>(1);
    let mut pull = Box::pin(rx.pull());
    assert!(panics(|| poll(&mut pull, &waker)));
    drop(pull);
    assert_eq!(tx.stats().waiting_consumers, 0);
    assert!(tx.try_push(1).is_ok());
    let mut push = Box::pin(tx.push(2));
    assert!(panics(|| poll(&mut push, &waker)));
    drop(push);
    assert_eq!(tx.stats().waiting_producers, 0);
    still_works(&tx, &rx, || 9);
}

#[tokio::test(start_paused = true)]
async fn futures_that_are_forgotten_hold_up_nobody_else() {
    // guarantee: Q7
    let (tx, rx) = queue::bounded::<u32>(8);

    // Never polled: they hold nothing at all.
    std::mem::forget(tx.push(1));
    std::mem::forget(tx.reserve());
    std::mem::forget(rx.pull());
    std::mem::forget(rx.pull_batch(3, DAY));
    std::mem::forget(rx.drain(DAY));
    still_works(&tx, &rx, || 9);

    // A pull that waits and is forgotten swallows a wake, never an item.
    let mut forgotten = Box::pin(rx.pull());
    assert!(poll(&mut forgotten, &noop_waker()).is_pending());
    std::mem::forget(forgotten);
    let (waker, woken) = new_count_waker();
    let mut pull = Box::pin(rx.pull());
    assert!(poll(&mut pull, &waker).is_pending());
    for value in 0..2 {
        assert!(tx.try_push(value).is_ok());
    }
    assert_eq!(woken.get(), 1, "the next item wakes the next");
    assert_eq!(poll(&mut pull, &waker), Poll::Ready(Some(0)));
    drop(pull);
    assert_eq!(rx.try_pull(), Ok(1));

    // A permit, and a push that waits for room, hold one slot each.
    std::mem::forget(tx.reserve().await);
    while tx.try_push(5).is_ok() {}
    assert_eq!(rx.len(), 7);
    let mut forgotten = Box::pin(tx.push(6));
    assert!(poll(&mut forgotten, &noop_waker()).is_pending());
    std::mem::forget(forgotten);
    for _ in 0..7 {
        assert_eq!(rx.pull().await, Some(5));
    }
    for round in 0..200 {
        let pushed = tokio::time::timeout(DAY, tx.push(round)).await;
        assert!(
            pushed.is_ok(),
            "round {round}: held up by what was forgotten"
        );
        assert_eq!(rx.pull().await, Some(round));
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_panics_does_not_stop_the_other_workers() {
    let (tx, rx) = queue::bounded::<u32>(8);
    let done = Arc::new(AtomicUsize::new(0));
    let workers = rx.workers(2, {
        let done = done.clone();
        move |value| {
            let done = done.clone();
            async move {
                assert_ne!(value, 3, "handler panics");
                done.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    for value in 0..10 {
        assert!(tx.push(value).await.is_ok());
    }
    drop(tx);
    let _ = tokio::time::timeout(DAY, workers)
        .await
        .expect("the workers end");
    assert_eq!(done.load(Ordering::Relaxed), 9);
}
