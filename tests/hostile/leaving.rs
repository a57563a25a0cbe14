//! User code that panics while somebody leaves the queue: the leaving is finished all the same.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use futures::{Sink, Stream};
use futures_test::task::{new_count_waker, noop_waker};
use pushpull::queue::{self, Consumer, DropReason, Producer, PushError};

struct Bomb;

impl Wake for Bomb {
    fn wake(self: Arc<Self>) {
        panic!("wake panics");
    }
}

fn bomb() -> Waker {
    Arc::new(Bomb).into()
}

fn panics<R>(run: impl FnOnce() -> R) -> bool {
    catch_unwind(AssertUnwindSafe(|| drop(run()))).is_err()
}

fn poll<F: Future>(future: Pin<&mut F>, waker: &Waker) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(waker))
}

fn next<T>(rx: &mut Consumer<T>, waker: &Waker) -> Poll<Option<T>> {
    Pin::new(rx).poll_next(&mut Context::from_waker(waker))
}

fn ready<T>(tx: &mut Producer<T>) -> bool {
    let mut cx = Context::from_waker(Waker::noop());
    matches!(Pin::new(tx).poll_ready(&mut cx), Poll::Ready(Ok(())))
}

type Log = Arc<Mutex<Vec<(u32, DropReason)>>>;

fn taken(log: &Log) -> Vec<(u32, DropReason)> {
    std::mem::take(&mut log.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Two slots, a weight bound of 10, and a log of what was dropped.
fn logged() -> (Producer<u32>, Consumer<u32>, Log) {
    let log = Log::default();
    let (tx, rx) = queue::builder()
        .capacity(2)
        .max_weight(10, |item| *item as usize)
        .on_drop({
            let log = log.clone();
            move |item, reason| {
                let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
                log.push((item, reason));
            }
        })
        .build();
    (tx, rx, log)
}

#[test]
fn a_stream_that_passes_its_wake_on_to_a_panicking_waker_is_gone_all_the_same() {
    // guarantee: Q5, Q6
    let (tx, rx) = queue::bounded(1);
    let (mut first, mut second) = (rx.clone(), rx);
    assert!(next(&mut first, &noop_waker()).is_pending());
    assert!(next(&mut second, &bomb()).is_pending());
    assert_eq!(tx.try_push(1), Ok(()));
    assert!(panics(|| drop(first)));
    assert_eq!(tx.stats().consumers, 1);
    drop(second);
    assert!(tx.is_closed());
}

#[test]
fn what_is_queued_reaches_on_drop_also_where_the_refused_cannot_be_woken() {
    // guarantee: Q3, Q5, Q6
    let (tx, rx, log) = logged();
    assert_eq!((tx.try_push(1), tx.try_push(2)), (Ok(()), Ok(())));
    let mut push = pin!(tx.push(3));
    assert!(poll(push.as_mut(), &bomb()).is_pending());
    assert!(panics(|| drop(rx)));
    let abandoned = [(1, DropReason::Abandoned), (2, DropReason::Abandoned)];
    assert_eq!(taken(&log), abandoned);
    assert!(poll(push, &noop_waker()).is_ready());
}

#[test]
fn a_push_that_passes_its_wake_on_to_a_panicking_waker_is_cancelled_all_the_same() {
    // guarantee: Q4, Q6
    let (tx, rx, log) = logged();
    assert_eq!((tx.try_push(1), tx.try_push(2)), (Ok(()), Ok(())));
    let mut first = Box::pin(tx.push(3));
    let mut second = Box::pin(tx.push(4));
    assert!(poll(first.as_mut(), &noop_waker()).is_pending());
    assert!(poll(second.as_mut(), &bomb()).is_pending());
    assert_eq!(rx.try_pull(), Ok(1));
    assert!(panics(|| drop(first)));
    assert_eq!(tx.stats().cancelled, 1);
    assert_eq!(taken(&log), [(3, DropReason::Cancelled)]);
    assert!(poll(second.as_mut(), &noop_waker()).is_ready());
}

#[test]
fn a_producer_whose_parked_item_meets_a_panicking_on_drop_is_gone_all_the_same() {
    // guarantee: Q5, Q6
    let (mut tx, rx) = queue::builder()
        .max_weight(10, |item: &u32| *item as usize)
        .on_drop(|_, _| panic!("on_drop panics"))
        .build();
    assert_eq!(tx.try_push(8), Ok(()));
    assert!(ready(&mut tx));
    assert!(Pin::new(&mut tx).start_send(5).is_ok());
    assert_eq!(rx.stats().parked, 1);
    assert!(panics(|| drop(tx)));
    assert_eq!(rx.stats().producers, 0);
    let mut rx = rx;
    assert_eq!(next(&mut rx, &noop_waker()), Poll::Ready(Some(8)));
    assert_eq!(next(&mut rx, &noop_waker()), Poll::Ready(None));
}

#[test]
fn a_parked_item_enters_once_where_its_entering_cannot_wake() {
    // guarantee: Q3, Q6, Q10
    let (mut tx, rx, log) = logged();
    assert_eq!(tx.try_push(8), Ok(()));
    assert!(ready(&mut tx));
    assert!(Pin::new(&mut tx).start_send(5).is_ok());
    assert_eq!(rx.try_pull(), Ok(8));
    let mut pull = Box::pin(rx.pull());
    assert!(poll(pull.as_mut(), &bomb()).is_pending());
    let flush =
        |tx: &mut Producer<u32>| Pin::new(tx).poll_flush(&mut Context::from_waker(Waker::noop()));
    assert!(panics(|| flush(&mut tx)));
    assert_eq!(flush(&mut tx), Poll::Ready(Ok(())));
    assert_eq!(
        (rx.stats().parked, rx.stats().reserved, rx.len()),
        (0, 0, 1)
    );
    drop(tx);
    assert_eq!(poll(pull.as_mut(), &noop_waker()), Poll::Ready(Some(5)));
    assert_eq!(
        poll(Box::pin(rx.pull()).as_mut(), &noop_waker()),
        Poll::Ready(None)
    );
    assert_eq!(taken(&log), []);
}

#[test]
fn a_parked_item_that_became_too_heavy_goes_once_where_its_going_cannot_wake() {
    // guarantee: Q3, Q6, Q10
    let (mut tx, rx, log) = logged();
    assert_eq!(tx.try_push(8), Ok(()));
    assert!(ready(&mut tx));
    assert!(Pin::new(&mut tx).start_send(5).is_ok());
    let flush =
        |tx: &mut Producer<u32>| Pin::new(tx).poll_flush(&mut Context::from_waker(Waker::noop()));
    assert!(flush(&mut tx).is_pending());
    rx.set_max_weight(4);
    assert_eq!(rx.try_pull(), Ok(8));
    // The next in line needs the slot, and has a waker that panics.
    rx.resize(1);
    let other = tx.clone();
    let mut push = Box::pin(other.push(2));
    assert!(poll(push.as_mut(), &bomb()).is_pending());
    assert!(panics(|| flush(&mut tx)));
    assert_eq!((rx.stats().parked, rx.stats().reserved), (0, 0));
    assert_eq!(flush(&mut tx), Poll::Ready(Err(PushError::TooHeavy(()))));
    assert_eq!(taken(&log), [(5, DropReason::Newest)]);
    assert_eq!(flush(&mut tx), Poll::Ready(Ok(())));
    drop(tx);
    assert!(poll(push.as_mut(), &noop_waker()).is_ready());
}

#[test]
fn push_many_keeps_its_items_where_the_waker_cannot_be_cloned() {
    // guarantee: Q4, Q6
    use std::task::{RawWaker, RawWakerVTable};
    const TABLE: RawWakerVTable =
        RawWakerVTable::new(|_| panic!("clone panics"), |_| {}, |_| {}, |_| {});
    #[expect(unsafe_code, reason = "no safe waker has a clone that panics")]
    // SAFETY: the functions do not use the pointer.
    let waker = unsafe { Waker::from_raw(RawWaker::new(std::ptr::null(), &TABLE)) };

    let (tx, rx, log) = logged();
    assert_eq!((tx.try_push(1), tx.try_push(2)), (Ok(()), Ok(())));
    let mut items = VecDeque::from([3, 4]);
    let mut push = Box::pin(tx.push_many(&mut items));
    assert!(panics(|| poll(push.as_mut(), &waker)));
    drop(push);
    assert_eq!(items, [3, 4]);
    assert_eq!((rx.stats().pushed, taken(&log)), (2, vec![]));
}

#[test]
fn a_destructor_of_a_waker_that_panics_keeps_no_stream_from_going() {
    // guarantee: Q5, Q6
    struct Explosive(AtomicBool);
    impl Wake for Explosive {
        fn wake(self: Arc<Self>) {}
    }
    impl Drop for Explosive {
        fn drop(&mut self) {
            assert!(self.0.load(Ordering::Relaxed), "drop panics");
        }
    }
    let (tx, mut rx) = queue::bounded::<u32>(1);
    let waker = Waker::from(Arc::new(Explosive(AtomicBool::new(false))));
    assert!(next(&mut rx, &waker).is_pending());
    std::mem::forget(waker.clone());
    let (counting, count) = new_count_waker();
    let mut closed = pin!(tx.closed());
    assert!(poll(closed.as_mut(), &counting).is_pending());
    drop(rx);
    assert_eq!(count.get(), 1);

    let (tx, mut rx) = queue::bounded::<u32>(1);
    let waker = Waker::from(Arc::new(Explosive(AtomicBool::new(false))));
    assert!(next(&mut rx, &waker).is_pending());
    // The queue's own is the last one.
    drop(waker);
    assert!(panics(|| drop(rx)));
    assert!(tx.is_closed());
}
