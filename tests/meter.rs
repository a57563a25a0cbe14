//! Meters: the registry of names, the counters of metered streams and sinks, and what a snapshot shows.

use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::stream::{self, FusedStream};
use futures::{Sink, SinkExt, Stream, StreamExt};
use futures_test::task::noop_context;
use pushpull::meter::{OperatorStats, registry};
use pushpull::prelude::*;
use tokio::sync::mpsc;
use tokio::time::{advance, sleep};

/// The registry is the process's, and a snapshot takes last counters away: tests that look for some hold this.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

fn pulled(mut rx: mpsc::UnboundedReceiver<u32>) -> impl Stream<Item = u32> + Unpin {
    stream::poll_fn(move |cx| rx.poll_recv(cx))
}

// guarantee: M2
#[tokio::test(start_paused = true)]
async fn items_waits_and_end_are_counted() {
    let _alone = ALONE.lock().await;
    let (tx, rx) = mpsc::unbounded_channel();
    let mut metered = pulled(rx).metered("counted");
    let mut cx = noop_context();
    let read = || {
        registry()
            .snapshot()
            .operator("counted")
            .map(|entry| entry.stats)
    };
    assert_eq!(read(), Some(OperatorStats::default()));

    assert!(metered.poll_next_unpin(&mut cx).is_pending());
    assert!(metered.poll_next_unpin(&mut cx).is_pending());
    let seen = metered.stats();
    assert_eq!(
        (seen.items, seen.waits, seen.waiting),
        (0, 1, true),
        "two polls are one wait"
    );

    tx.send(1).unwrap();
    tx.send(2).unwrap();
    assert_eq!(metered.next().await, Some(1));
    assert_eq!(metered.next().await, Some(2));
    let seen = metered.stats();
    assert_eq!(
        (seen.items, seen.waits, seen.waiting, seen.ended),
        (2, 1, false, false)
    );

    advance(Duration::from_secs(4)).await;
    drop(tx);
    assert_eq!(metered.next().await, None);
    advance(Duration::from_secs(60)).await;
    let seen = metered.stats();
    assert_eq!(
        (seen.items, seen.ended, seen.age),
        (2, true, Duration::from_secs(4))
    );
    assert_eq!(seen.per_second(), 0.5);
    assert_eq!(read(), Some(seen));
}

#[tokio::test]
async fn a_metered_stream_is_what_it_was() {
    let mut metered = stream::iter(0..3).metered("as it was");
    assert_eq!(metered.size_hint(), (3, Some(3)));
    assert_eq!(metered.next().await, Some(0));
    assert_eq!(metered.size_hint(), (2, Some(2)));
    assert_eq!(metered.by_ref().collect::<Vec<_>>().await, [1, 2]);
    assert!(metered.is_terminated());
    assert_eq!(metered.size_hint(), (0, Some(0)));
}

#[tokio::test]
async fn the_inner_stream_is_not_polled_after_its_end() {
    let mut polls = 0;
    let inner = stream::poll_fn(|_| {
        polls += 1;
        assert_eq!(polls, 1, "polled after its end");
        Poll::Ready(None::<u8>)
    });
    let mut metered = inner.metered("ended once");
    assert_eq!(metered.next().await, None);
    assert_eq!(metered.next().await, None);
}

// guarantee: M2
#[tokio::test]
async fn no_budget_is_no_wait() {
    let task = tokio::spawn(async {
        let always = stream::repeat(()).then(|()| tokio::task::coop::consume_budget());
        let mut metered = pin!(always.metered("budget"));
        for _ in 0..1000 {
            metered.next().await;
        }
        metered.stats()
    });
    let seen = task.await.unwrap();
    assert_eq!((seen.items, seen.waits), (1000, 0));
}

/// A sink with room for one item, emptied by hand, that can be told to fail; and a stream of what it holds, as a
/// duplex transport is both.
#[derive(Debug, Default)]
struct One {
    held: Option<u32>,
    fail: bool,
}

impl One {
    fn judge(&self) -> Result<(), &'static str> {
        if self.fail { Err("broken") } else { Ok(()) }
    }
}

impl Sink<u32> for One {
    type Error = &'static str;

    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        if self.held.is_some() && !self.fail {
            Poll::Pending
        } else {
            Poll::Ready(self.judge())
        }
    }

    fn start_send(mut self: Pin<&mut Self>, item: u32) -> Result<(), Self::Error> {
        self.judge()?;
        self.held = Some(item);
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(self.judge())
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(self.judge())
    }
}

impl Stream for One {
    type Item = u32;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<u32>> {
        Poll::Ready(self.held.take())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::from(self.held.is_some()), None)
    }
}

// guarantee: M2
#[tokio::test]
async fn a_sink_counts_items_waits_errors_and_its_close() {
    let mut sink = One::default().sink_metered("one");
    let mut cx = noop_context();
    sink.send(1).await.unwrap();
    assert!(sink.poll_ready_unpin(&mut cx).is_pending());
    assert!(sink.poll_ready_unpin(&mut cx).is_pending());
    assert!(sink.stats().waiting);
    sink.get_mut().held = None;
    sink.send(2).await.unwrap();
    let seen = sink.stats();
    assert_eq!(
        (seen.items, seen.waits, seen.waiting, seen.errors),
        (2, 1, false, 0)
    );

    sink.get_mut().fail = true;
    assert!(sink.poll_ready_unpin(&mut cx).is_ready());
    assert_eq!(sink.start_send_unpin(3), Err("broken"));
    assert!(sink.flush().await.is_err());
    assert!(sink.close().await.is_err());
    let seen = sink.stats();
    assert_eq!((seen.items, seen.errors, seen.ended), (2, 4, false));

    sink.get_mut().fail = false;
    sink.close().await.unwrap();
    assert!(sink.stats().ended);
    assert_eq!(
        sink.into_inner().held,
        Some(2),
        "nothing is held in between"
    );
}

#[tokio::test]
async fn the_other_half_is_forwarded_and_not_counted() {
    let mut stream = One::default().metered("stream half");
    stream.send(1).await.unwrap();
    assert_eq!(stream.stats().items, 0);
    assert_eq!(stream.next().await, Some(1));
    stream.close().await.unwrap();
    assert_eq!((stream.stats().items, stream.stats().ended), (1, false));

    let mut sink = One::default().sink_metered("sink half");
    sink.send(1).await.unwrap();
    assert_eq!(sink.size_hint(), (1, None));
    assert_eq!(sink.next().await, Some(1));
    assert_eq!((sink.next().await, sink.stats().ended), (None, false));
    assert_eq!(sink.stats().items, 1);
}

#[tokio::test]
async fn last_counters_are_read_once() {
    let _alone = ALONE.lock().await;
    let metered = stream::iter(0..7).metered("gone");
    assert!(!registry().snapshot().operator("gone").unwrap().gone);
    assert_eq!(metered.count().await, 7);
    let snapshot = registry().snapshot();
    let entry = snapshot.operator("gone").unwrap();
    assert!(entry.gone && entry.ended);
    assert_eq!(entry.items, 7);
    assert!(registry().snapshot().operator("gone").is_none());
}

#[test]
fn equal_names_get_an_index_which_is_free_again_after_the_last_reading() {
    let _alone = ALONE.blocking_lock();
    let twin = || stream::empty::<()>().metered("twin");
    let (first, second) = (twin(), twin());
    assert_eq!((first.name(), second.name()), ("twin", "twin#2"));
    drop(first);
    let third = twin();
    assert_eq!(
        third.name(),
        "twin#3",
        "the last counters of `twin` are still to be read"
    );

    let mut operators = registry().snapshot().operators;
    operators.retain(|entry| entry.name.starts_with("twin"));
    let seen: Vec<_> = operators
        .iter()
        .map(|entry| (&*entry.name, entry.gone))
        .collect();
    assert_eq!(seen, [("twin", true), ("twin#2", false), ("twin#3", false)]);
    assert_eq!(twin().name(), "twin");
}

#[test]
fn a_program_that_never_looks_does_not_grow() {
    let _alone = ALONE.blocking_lock();
    let before = registry().snapshot().forgotten;
    for _ in 0..5000 {
        drop(stream::empty::<()>().metered("churn"));
    }
    let mut snapshot = registry().snapshot();
    assert!(snapshot.forgotten - before >= 5000 - 1024);
    assert!(snapshot.operators.iter().filter(|entry| entry.gone).count() <= 1024);
    snapshot
        .operators
        .retain(|entry| entry.name.starts_with("churn"));
    assert!(snapshot.operators.len() > 900, "the latest are kept");
    assert_eq!(stream::empty::<()>().metered("churn").name(), "churn");
}

// guarantee: M1
#[test]
fn every_reading_is_consistent_while_another_thread_counts() {
    const ITEMS: u64 = 200_000;
    let _alone = ALONE.blocking_lock();
    let done = AtomicBool::new(false);
    let mut polls = 0_u64;
    let inner = stream::poll_fn(move |_| {
        polls += 1;
        match polls {
            _ if polls > 2 * ITEMS => Poll::Ready(None),
            _ if polls % 2 == 1 => Poll::Pending,
            _ => Poll::Ready(Some(())),
        }
    });
    let mut metered = inner.metered("consistent");
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut last = OperatorStats::default();
            let mut readings = 0_u64;
            while !done.load(Ordering::Acquire) || readings == 0 {
                let now = registry().snapshot().operator("consistent").unwrap().stats;
                assert!(now.items >= last.items && now.waits >= last.waits);
                assert!(now.waits <= now.items + now.errors + 1, "{now:?}");
                assert!(!now.ended || now.items == ITEMS, "{now:?}");
                last = now;
                readings += 1;
            }
        });
        let mut cx = noop_context();
        while metered.poll_next_unpin(&mut cx) != Poll::Ready(None) {}
        done.store(true, Ordering::Release);
        reader.join().unwrap();
    });
    let seen = metered.stats();
    assert_eq!((seen.items, seen.waits, seen.ended), (ITEMS, ITEMS, true));
}

#[tokio::test(start_paused = true)]
async fn rates_are_those_between_two_snapshots() {
    let _alone = ALONE.lock().await;
    let ticks = stream::iter(0..).then(async |n: u64| {
        sleep(Duration::from_millis(100)).await;
        n
    });
    let mut ticks = Box::pin(ticks.metered("ticks"));
    for _ in 0..10 {
        ticks.next().await;
    }
    let earlier = registry().snapshot();
    for _ in 0..50 {
        ticks.next().await;
    }
    assert_eq!(stream::iter(0..10).metered("fresh").count().await, 10);
    let later = registry().snapshot();

    let rates = later.since(&earlier);
    assert_eq!(rates.elapsed, later.taken_at() - earlier.taken_at());
    assert_eq!(rates.elapsed, Duration::from_secs(5));
    let of = |name| {
        rates
            .operators
            .iter()
            .find(|rates| rates.name == name)
            .unwrap()
    };
    assert_eq!((of("ticks").items, of("ticks").waits), (10.0, 10.0));
    assert_eq!(
        of("fresh").items,
        2.0,
        "what was not there before counts from zero"
    );
    let table = rates.to_string();
    assert!(table.starts_with("over 5.000 s\n"), "{table}");

    let backwards = earlier.since(&later);
    assert_eq!(backwards.elapsed, Duration::ZERO);
    assert!(backwards.operators.iter().all(|rates| rates.items == 0.0));
}

#[tokio::test(start_paused = true)]
async fn a_name_given_anew_counts_from_zero() {
    let _alone = ALONE.lock().await;
    assert_eq!(stream::iter(0..5).metered("anew").count().await, 5);
    let earlier = registry().snapshot();
    advance(Duration::from_secs(1)).await;
    assert_eq!(stream::iter(0..7).metered("anew").count().await, 7);
    let rates = registry().snapshot().since(&earlier);
    let anew = rates
        .operators
        .iter()
        .find(|rates| rates.name == "anew")
        .unwrap();
    assert_eq!(anew.items, 7.0);
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_reads_as_a_table() {
    let _alone = ALONE.lock().await;
    let mut long = stream::iter(0..10).metered("t-operator with a long name");
    let mut short = stream::pending::<()>().metered("t-short\n");
    while long.next().await.is_some() {}
    assert!(short.poll_next_unpin(&mut noop_context()).is_pending());
    advance(Duration::from_millis(2500)).await;
    drop(long);

    let table = registry().snapshot().to_string();
    let lines: Vec<_> = table
        .lines()
        .filter(|line| line.starts_with("operator ") || line.starts_with("t-"))
        .collect();
    let words: Vec<Vec<_>> = lines
        .iter()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(
        words[0],
        [
            "operator", "items", "items/s", "waits", "errors", "age/s", "state"
        ]
    );
    assert_eq!(
        words[1][..7],
        ["t-operator", "with", "a", "long", "name", "(gone)", "10"]
    );
    assert_eq!(
        words[2],
        ["t-short\u{FFFD}", "0", "0.0", "1", "0", "2.500", "waiting"]
    );
    let width = lines[0].chars().count();
    assert!(
        lines.iter().all(|line| line.chars().count() == width),
        "{table}"
    );
}
