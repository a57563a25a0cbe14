//! Batches in front of a sink.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::stream::{Stream, StreamExt};
use futures::{Sink, SinkExt};
use pushpull::batch::{BatchPolicy, FlushReason};
use pushpull::prelude::*;
use tokio::time::{Instant, advance, timeout};
use tokio_test::assert_pending;
use tokio_test::task::spawn;

use super::{HOUR, SECOND, ms, seen, timed};

/// A sink of batches whose every answer can be set.
struct Inner<B> {
    taken: Vec<B>,
    /// What `poll_flush` has seen off.
    flushed: usize,
    flushes: usize,
    closes: usize,
    ready: Poll<Result<(), &'static str>>,
    flush: Poll<Result<(), &'static str>>,
    start: Result<(), &'static str>,
}

impl<B> Inner<B> {
    fn new() -> Self {
        let ok = Poll::Ready(Ok(()));
        let (taken, start) = (vec![], Ok(()));
        Self {
            taken,
            flushed: 0,
            flushes: 0,
            closes: 0,
            ready: ok,
            flush: ok,
            start,
        }
    }
}

impl<B: Unpin> Sink<B> for Inner<B> {
    type Error = &'static str;

    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
        self.ready
    }

    fn start_send(mut self: Pin<&mut Self>, batch: B) -> Result<(), &'static str> {
        assert_eq!(
            self.ready,
            Poll::Ready(Ok(())),
            "sent to without being ready"
        );
        self.start?;
        self.taken.push(batch);
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
        self.flushes += 1;
        if self.flush == Poll::Ready(Ok(())) {
            self.flushed = self.taken.len();
        }
        self.flush
    }

    fn poll_close(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
        self.closes += 1;
        self.flush
    }
}

/// Polls a sink by hand.
trait Hand<T>: Sink<T, Error = &'static str> + Unpin + Sized {
    fn poll<R>(&mut self, f: impl FnOnce(Pin<&mut Self>, &mut Context<'_>) -> R) -> R {
        spawn(()).enter(|cx, _| f(Pin::new(self), cx))
    }
    fn push(&mut self, item: T) -> Poll<Result<(), &'static str>> {
        match self.poll(|sink, cx| sink.poll_ready(cx)) {
            Poll::Ready(Ok(())) => Poll::Ready(Pin::new(self).start_send(item)),
            other => other,
        }
    }
    fn flush_once(&mut self) -> Poll<Result<(), &'static str>> {
        self.poll(|sink, cx| sink.poll_flush(cx))
    }
    fn close_once(&mut self) -> Poll<Result<(), &'static str>> {
        self.poll(|sink, cx| sink.poll_close(cx))
    }
}

impl<T, S: Sink<T, Error = &'static str> + Unpin> Hand<T> for S {}

const DONE: Poll<Result<(), &'static str>> = Poll::Ready(Ok(()));

fn inner() -> Inner<Vec<u64>> {
    Inner::new()
}

#[tokio::test(start_paused = true)]
async fn an_idle_pump_cuts_no_batch_short() {
    // guarantee: B8. `forward` flushes whenever its input has nothing ready.
    let start = Instant::now();
    let mut taken = vec![];
    let sink = futures::sink::unfold((), |(), batch: Vec<u64>| {
        taken.push((start.elapsed(), batch));
        async { Ok::<_, Infallible>(()) }
    });
    let sink = pin!(sink);
    timed((0..25).map(|n| (n * 100, n)))
        .map(Ok)
        .forward(sink.sink_batch(8, SECOND))
        .await
        .unwrap();
    let expected: Vec<(Duration, Vec<u64>)> = vec![
        (ms(700), (0..8).collect()),
        (ms(1_500), (8..16).collect()),
        (ms(2_300), (16..24).collect()),
        (ms(2_400), vec![24]), // closed with the input
    ];
    assert_eq!(taken, expected);
}

#[tokio::test(start_paused = true)]
async fn flushing_waits_for_size_or_age_and_for_the_inner_sink() {
    // guarantee: B8
    let mut sink = inner().sink_batch(2, SECOND);
    assert_eq!(sink.push(1), DONE);
    advance(ms(400)).await;
    let mut task = spawn(sink);
    assert_pending!(task.enter(|cx, sink| sink.poll_flush(cx)));
    advance(ms(599)).await;
    assert!(!task.is_woken());
    advance(ms(1)).await;
    assert!(task.is_woken()); // the clock had run since the item came
    task.get_mut().flush = Poll::Pending;
    assert_pending!(task.enter(|cx, sink| sink.poll_flush(cx)));
    assert_eq!(task.get_ref().taken, [[1]]);
    task.get_mut().flush = DONE;
    assert_eq!(task.enter(|cx, sink| sink.poll_flush(cx)), DONE);
    assert_eq!(task.get_ref().flushed, 1);

    let mut sink = task.into_inner();
    assert_eq!(
        (sink.push(2), sink.push(3), sink.flush_once()),
        (DONE, DONE, DONE)
    );
    assert_eq!(sink.get_ref().taken, [vec![1], vec![2, 3]]);
    assert_eq!(sink.get_ref().flushed, 2);
}

#[tokio::test(start_paused = true)]
async fn a_late_flush_need_not_wait_for_its_timer() {
    // guarantee: B4 B8. The clock has moved, and no timer has been told yet.
    let mut sink = inner().sink_batch(2, SECOND);
    assert_eq!((sink.push(1), sink.flush_once()), (DONE, Poll::Pending));
    let mut jump = spawn(advance(SECOND));
    assert_pending!(jump.poll());
    assert_eq!(sink.flush_once(), DONE);
}

#[tokio::test(start_paused = true)]
async fn a_flush_with_nothing_held_asks_for_no_room() {
    // guarantee: B8
    let mut sink = inner().sink_batch(2, SECOND);
    sink.get_mut().ready = Poll::Pending;
    assert_eq!(sink.flush_once(), DONE);
    assert_eq!(sink.get_ref().flushes, 1);
    assert_eq!(sink.poll(|sink, cx| sink.poll_flush_now(cx)), DONE);
    assert_eq!(sink.close_once(), DONE);
}

#[tokio::test(start_paused = true)]
async fn being_ready_drives_the_clock() {
    // guarantee: B8 B4
    let mut sink = Inner::new().sink_batch_with(BatchPolicy::items(9).within(SECOND));
    assert_eq!((sink.push(1), sink.push(2)), (DONE, DONE));
    advance(ms(2_500)).await;
    assert_eq!(sink.get_ref().taken, []);
    assert_eq!(sink.push(3), DONE);
    let taken = sink.get_mut().taken.pop().map(seen);
    assert_eq!(taken, Some((vec![1, 2], FlushReason::Age, ms(2_500))));
    assert_eq!(sink.held(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_busy_inner_sink_leaves_room_in_a_batch_that_is_over_age() {
    // guarantee: B8
    let mut sink = inner().sink_batch(3, SECOND);
    sink.get_mut().ready = Poll::Pending;
    assert_eq!(sink.push(1), DONE);
    advance(SECOND).await;
    assert_eq!((sink.push(2), sink.push(3)), (DONE, DONE));
    assert_eq!(
        (sink.push(4), sink.flush_once(), sink.close_once()),
        (Poll::Pending, Poll::Pending, Poll::Pending)
    );
    sink.get_mut().ready = DONE;
    assert_eq!(sink.push(4), DONE);
    assert_eq!(
        (sink.get_ref().taken.clone(), sink.held()),
        (vec![vec![1, 2, 3]], 1)
    );
}

#[tokio::test(start_paused = true)]
async fn a_timer_of_an_earlier_batch_sends_no_later_one() {
    // guarantee: B2 B8
    let mut sink = inner().sink_batch(2, SECOND);
    assert_eq!((sink.push(1), sink.flush_once()), (DONE, Poll::Pending));
    advance(ms(900)).await;
    assert_eq!((sink.push(2), sink.push(3)), (DONE, DONE));
    advance(ms(999)).await;
    assert_eq!((sink.flush_once(), sink.held()), (Poll::Pending, 1));
    advance(ms(1)).await;
    assert_eq!((sink.flush_once(), sink.held()), (DONE, 0));
}

#[tokio::test(start_paused = true)]
async fn the_inner_sink_is_kept_at_work_while_a_batch_waits() {
    // guarantee: B8. A sink that only gets on when polled would starve otherwise.
    let mut sink = inner().sink_batch(2, SECOND);
    sink.get_mut().flush = Poll::Pending;
    assert_eq!((sink.push(1), sink.flush_once()), (DONE, Poll::Pending));
    assert_eq!(sink.get_ref().flushes, 0); // it has nothing to work on
    assert_eq!((sink.push(2), sink.push(3)), (DONE, DONE));
    assert_eq!(sink.get_ref().flushes, 1);
    assert_eq!(
        (sink.flush_once(), sink.get_ref().flushes),
        (Poll::Pending, 2)
    );
    sink.get_mut().flush = DONE;
    assert_eq!(
        (sink.flush_once(), sink.get_ref().flushes),
        (Poll::Pending, 3)
    );
    assert_eq!(
        (sink.flush_once(), sink.get_ref().flushes),
        (Poll::Pending, 3)
    ); // done with it
    sink.get_mut().flush = Poll::Ready(Err("broken"));
    assert_eq!(
        (sink.push(4), sink.push(5)),
        (DONE, Poll::Ready(Err("broken")))
    );
    assert_eq!(
        (sink.flush_once(), sink.into_remainder()),
        (Poll::Ready(Err("broken")), vec![])
    );
}

#[tokio::test(start_paused = true)]
async fn flushing_now_waits_for_the_inner_sink_only() {
    // guarantee: B8
    let mut sink = Inner::new().sink_batch_with(BatchPolicy::items(9).within(SECOND));
    assert_eq!((sink.push(1), sink.push(2)), (DONE, DONE));
    advance(ms(10)).await;
    sink.flush_now().await.unwrap();
    assert_eq!(sink.get_ref().flushed, 1);
    let taken = sink.get_mut().taken.pop().map(seen);
    assert_eq!(taken, Some((vec![1, 2], FlushReason::Flush, ms(10))));
    sink.flush_now().await.unwrap();
    assert_eq!(sink.get_ref().taken, []); // no empty batch

    // Given up, it has lost nothing.
    sink.get_mut().ready = Poll::Pending;
    assert_eq!(sink.push(3), DONE);
    assert!(timeout(ms(1), sink.flush_now()).await.is_err());
    assert_eq!((sink.held(), sink.push(4)), (2 - 1, DONE));
    sink.get_mut().ready = DONE;
    sink.flush_now().await.unwrap();
    assert_eq!(sink.get_ref().taken[0].items, [3, 4]);
}

#[tokio::test(start_paused = true)]
async fn closing_sends_the_rest_and_closes_once() {
    // guarantee: B3 B8
    let mut sink = Inner::new().sink_batch_with(BatchPolicy::items(9).within(SECOND));
    assert_eq!(sink.push(1), DONE);
    sink.get_mut().flush = Poll::Pending;
    assert_eq!(sink.close_once(), Poll::Pending);
    let taken = sink.get_mut().taken.pop().map(seen);
    assert_eq!(taken, Some((vec![1], FlushReason::End, Duration::ZERO)));
    sink.get_mut().flush = DONE;
    assert_eq!((sink.close_once(), sink.close_once()), (DONE, DONE));
    assert_eq!(sink.get_ref().closes, 2); // Pending, then done
}

#[tokio::test(start_paused = true)]
async fn errors_of_the_inner_sink_lose_nothing_held() {
    // guarantee: B8
    let mut sink = inner().sink_batch(2, SECOND);
    assert_eq!((sink.push(1), sink.push(2)), (DONE, DONE));
    sink.get_mut().ready = Poll::Ready(Err("broken"));
    for _ in 0..2 {
        let broken = Poll::Ready(Err("broken"));
        assert_eq!(
            (sink.push(3), sink.flush_once(), sink.close_once()),
            (broken, broken, broken)
        );
        assert_eq!(sink.flush_now().await, Err("broken"));
        assert_eq!(sink.held(), 2);
    }
    sink.get_mut().ready = DONE;
    assert_eq!(sink.push(3), DONE); // mended, it goes on
    assert_eq!(sink.get_ref().taken, [[1, 2]]);
    let (sink, held) = sink.into_parts();
    assert_eq!((sink.taken.len(), held), (1, vec![3]));

    // What the inner sink takes and refuses is its own; later items are not.
    let mut sink = sink.sink_batch(1, SECOND);
    sink.get_mut().start = Err("refused");
    assert_eq!(
        (sink.push(4), sink.flush_once()),
        (DONE, Poll::Ready(Err("refused")))
    );
    sink.get_mut().start = Ok(());
    assert_eq!((sink.push(5), sink.flush_once()), (DONE, DONE));
    assert_eq!(sink.into_inner().taken, [vec![1, 2], vec![5]]);
}

#[tokio::test(start_paused = true)]
async fn an_item_too_heavy_goes_into_the_next_batch() {
    // guarantee: B1 B2 B8
    let policy = BatchPolicy::items(9)
        .weight(10, |n: &u64| *n as usize)
        .within(SECOND);
    let mut sink = Inner::new().sink_batch_with(policy);
    assert_eq!(sink.push(7), DONE);
    advance(ms(500)).await;
    assert_eq!(sink.push(5), DONE);
    advance(ms(500)).await;
    assert_eq!((sink.flush_once(), sink.held()), (Poll::Pending, 1));
    let taken = sink.get_mut().taken.pop().map(seen);
    assert_eq!(taken, Some((vec![7], FlushReason::Weight, SECOND)));
    advance(ms(500)).await;
    assert_eq!((sink.flush_once(), sink.held()), (DONE, 0));
    assert_eq!(
        (sink.push(6), sink.push(6), sink.push(40), sink.close_once()),
        (DONE, DONE, DONE, DONE)
    );
    let taken: Vec<_> = sink
        .into_inner()
        .taken
        .into_iter()
        .map(|batch| batch.items)
        .collect();
    assert_eq!(taken, [[5], [6], [6], [40]]);
}

#[tokio::test(start_paused = true)]
async fn with_neither_age_nor_size_a_flush_waits() {
    // guarantee: B8 B5
    let mut sink = inner().sink_batch(usize::MAX, Duration::MAX);
    assert!(timeout(HOUR, SinkExt::send(&mut sink, 1)).await.is_err());
    assert_eq!((sink.push(2), sink.close_once()), (DONE, DONE));
    assert_eq!(sink.get_ref().taken, [[1, 2]]);
    assert!(sink.get_ref().taken[0].capacity() < 10);
    let mut sink = inner().sink_batch(9, Duration::ZERO);
    assert_eq!((sink.push(1), sink.flush_once()), (DONE, DONE));
}

#[test]
#[should_panic(expected = "without `poll_ready`")]
fn sending_to_a_full_batch_panics() {
    let mut sink = inner().sink_batch(1, SECOND);
    Pin::new(&mut sink).start_send(1).unwrap();
    let _ = Pin::new(&mut sink).start_send(2);
}

// -- the other half --

#[tokio::test(start_paused = true)]
async fn what_is_stream_and_sink_stays_both() {
    /// Yields what is sent to it.
    struct Echo<T>(VecDeque<T>, bool);
    fn echo<T>() -> Echo<T> {
        Echo(VecDeque::new(), false)
    }
    impl<T: Unpin> Stream for Echo<T> {
        type Item = T;
        fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<T>> {
            match self.0.pop_front() {
                None if !self.1 => Poll::Pending,
                item => Poll::Ready(item),
            }
        }
        fn size_hint(&self) -> (usize, Option<usize>) {
            (self.0.len(), None)
        }
    }
    impl<T: Unpin> Sink<T> for Echo<T> {
        type Error = &'static str;
        fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
            DONE
        }
        fn start_send(mut self: Pin<&mut Self>, item: T) -> Result<(), &'static str> {
            self.0.push_back(item);
            Ok(())
        }
        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
            DONE
        }
        fn poll_close(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Result<(), &'static str>> {
            self.1 = true;
            DONE
        }
    }

    let mut both = echo().batch(2, SECOND);
    assert_eq!(
        (both.push(1), both.push(2), both.push(3)),
        (DONE, DONE, DONE)
    );
    assert_eq!(both.next().await, Some(vec![1, 2]));
    assert_eq!((both.flush_once(), both.close_once()), (DONE, DONE));
    assert_eq!(
        (both.next().await, both.next().await),
        (Some(vec![3]), None)
    );

    let mut both = echo().try_batch(2, SECOND);
    assert_eq!((both.push(Ok(1)), both.push(Err("x"))), (DONE, DONE));
    assert_eq!((both.flush_once(), both.close_once()), (DONE, DONE));
    assert_eq!(
        (both.next().await, both.next().await),
        (Some(Ok(vec![1])), Some(Err("x")))
    );

    let mut both = echo().sink_batch(2, SECOND);
    assert_eq!(
        (both.push(1), both.push(2), both.flush_once()),
        (DONE, DONE, DONE)
    );
    assert_eq!(both.size_hint(), (1, None));
    assert_eq!(both.next().await, Some(vec![1, 2]));
}
