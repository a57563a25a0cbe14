//! `push::each`.

use std::cell::{Cell, RefCell};
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::time::Duration;

use futures::{FutureExt, SinkExt, poll, stream};
use pushpull::prelude::*;
use pushpull::push;
use tokio::time::{Instant, sleep};

use crate::SECOND;

/// Counts who runs now and at most.
#[derive(Default)]
struct Load {
    now: Cell<usize>,
    most: Cell<usize>,
    done: RefCell<Vec<u64>>,
}

impl Load {
    async fn work(self: Rc<Self>, n: u64, secs: u64) -> Result<(), u64> {
        self.now.set(self.now.get() + 1);
        self.most.set(self.most.get().max(self.now.get()));
        sleep(Duration::from_secs(secs)).await;
        self.now.set(self.now.get() - 1);
        self.done.borrow_mut().push(n);
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn one_at_a_time_and_in_order_unless_told_otherwise() {
    let load = Rc::new(Load::default());
    let started = Instant::now();
    let sink = push::each(|n: u64| load.clone().work(n, 5 - n));
    let pumped = stream::iter(1..=4).pump_into(sink).await.unwrap();
    assert_eq!(pumped.items, 4);
    assert_eq!((*load.done.borrow()).as_slice(), [1, 2, 3, 4]);
    assert_eq!((load.most.get(), started.elapsed()), (1, 10 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn as_many_at_a_time_as_allowed_and_never_more() {
    for n in [2, 3, usize::MAX] {
        let load = Rc::new(Load::default());
        let sink = push::each(|n: u64| load.clone().work(n, 5 - n)).concurrency(n);
        stream::iter(1..=4).pump_into(sink).await.unwrap();
        assert_eq!(load.most.get(), n.min(4));
        assert_eq!(load.done.borrow().len(), 4, "flush waits for all");
        if n > 4 {
            assert_eq!((*load.done.borrow()).as_slice(), [4, 3, 2, 1]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn flush_and_close_wait_for_all_in_flight() {
    let load = Rc::new(Load::default());
    let mut sink = push::each(|n: u64| load.clone().work(n, n)).concurrency(8);
    sink.feed(2).await.unwrap();
    sink.feed(5).await.unwrap();
    assert_eq!(sink.in_flight(), 2);
    let started = Instant::now();
    sink.flush().await.unwrap();
    assert_eq!((started.elapsed(), sink.in_flight()), (5 * SECOND, 0));
    sink.feed(1).await.unwrap();
    sink.close().await.unwrap();
    assert_eq!((*load.done.borrow()).as_slice(), [2, 5, 1]);
    sink.close().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_error_is_told_once_and_the_others_go_on() {
    let done = RefCell::new(Vec::new());
    let mut sink = push::each(|n: u32| {
        let done = &done;
        async move {
            sleep(n * SECOND).await;
            if n % 2 == 1 {
                return Err(n);
            }
            done.borrow_mut().push(n);
            Ok(())
        }
    })
    .concurrency(4);
    for n in 1..=4 {
        sink.feed(n).await.unwrap();
    }
    assert_eq!(sink.flush().await, Err(1));
    assert_eq!(sink.in_flight(), 3);
    assert_eq!(sink.flush().await, Err(3), "each error once");
    assert_eq!(sink.flush().await, Ok(()));
    assert_eq!((*done.borrow()).as_slice(), [2, 4]);
    sink.send(6).await.unwrap();
    assert_eq!(done.borrow().len(), 3, "still usable");
}

#[tokio::test(start_paused = true)]
async fn an_error_comes_out_of_the_wait_for_room_also_where_there_is_some() {
    for concurrency in [1, 2] {
        let mut sink = push::each(|n: u32| async move { Err::<(), _>(n) }).concurrency(concurrency);
        sink.feed(1).await.unwrap();
        assert_eq!(sink.feed(2).await, Err(1));
        assert_eq!(sink.in_flight(), 0, "the second was never taken");
    }
}

#[tokio::test(start_paused = true)]
async fn dropping_the_sink_cancels_what_is_in_flight() {
    let load = Rc::new(Load::default());
    let mut sink = push::each(|n: u64| load.clone().work(n, 1)).concurrency(2);
    sink.feed(1).await.unwrap();
    sink.feed(2).await.unwrap();
    assert!(poll!(sink.flush()).is_pending());
    assert_eq!(load.now.get(), 2);
    drop(sink);
    sleep(10 * SECOND).await;
    assert!(load.done.borrow().is_empty());
    assert_eq!(Rc::strong_count(&load), 1, "and lets go of what they held");
}

#[tokio::test(start_paused = true)]
async fn a_panic_goes_through_and_the_others_are_not_touched() {
    // guarantee: T7
    let done = RefCell::new(Vec::new());
    let mut sink = push::each(|n: u32| {
        let done = &done;
        assert!(n != 7, "no sevens");
        async move {
            sleep(n * SECOND).await;
            assert!(n != 1, "no ones");
            done.borrow_mut().push(n);
            Ok::<_, ()>(())
        }
    })
    .concurrency(4);
    sink.feed(1).await.unwrap();
    sink.feed(2).await.unwrap();
    assert!(AssertUnwindSafe(sink.flush()).catch_unwind().await.is_err());
    assert!(AssertUnwindSafe(sink.feed(7)).catch_unwind().await.is_err());
    sink.flush().await.unwrap();
    assert_eq!(
        ((*done.borrow()).as_slice(), sink.in_flight()),
        ([2].as_slice(), 0)
    );
}

#[test]
#[should_panic(expected = "`concurrency` must be at least 1")]
fn no_concurrency_panics() {
    let _sink = push::each(|_: u8| async { Ok::<_, ()>(()) }).concurrency(0);
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "`start_send` without room")]
async fn sending_without_room_panics() {
    let mut sink = push::each(|_: u8| std::future::pending::<Result<(), ()>>());
    sink.start_send_unpin(1).unwrap();
    sink.start_send_unpin(2).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_pump_into_a_function_that_never_waits_lets_its_neighbours_run() {
    // guarantee: Q8
    let count = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = count.clone();
    let sink = push::each(move |_: u32| {
        counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        async { Ok::<_, ()>(()) }
    });
    let pump = tokio::spawn(stream::repeat(1).pump_into(sink));
    tokio::task::yield_now().await;
    let first = count.load(std::sync::atomic::Ordering::Relaxed);
    assert!((1..=128).contains(&first), "{first} in one turn");
    pump.abort();
}
