//! Every way to register, wake, cancel, close, drop, resize and move in bulk, under every schedule that loom finds.
//!
//! Each model has a planted bug of its own (`ci/plants.d/queue`) that it must catch. A model pushes no more than is
//! waited for: a later push would wake a sleeper that an earlier one forgot.
#![cfg(pushpull_loom)]

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;

use futures_core::Stream;
use futures_sink::Sink;
use loom::future::block_on;
use loom::thread;
use pushpull::queue::{self, Overflow};

/// Runs `model` under every schedule of up to `preemptions` preemptions.
fn check(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(preemptions);
    builder.check(model);
}

/// Polls once and hands the future back to be dropped, or its result.
fn once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    block_on(poll_fn(|cx| Poll::Ready(Pin::new(&mut *future).poll(cx))))
}

#[test]
fn a_push_and_a_pull_find_each_other() {
    check(3, || {
        let (tx, rx) = queue::bounded(1);
        let producer = thread::spawn(move || {
            block_on(async {
                tx.push(1).await.unwrap();
                tx.push(2).await.unwrap();
            });
        });
        assert_eq!(block_on(rx.pull()), Some(1));
        assert_eq!(block_on(rx.pull()), Some(2));
        producer.join().unwrap();
    });
}

#[test]
fn a_cancelled_pull_passes_its_wake_on() {
    check(3, || {
        let (tx, rx) = queue::bounded(2);
        let (cancelled, other) = (rx.clone(), rx.clone());
        let waiting = thread::spawn(move || block_on(other.pull()));
        let cancelling = thread::spawn(move || {
            let polled = once(&mut pin!(cancelled.pull()));
            (polled, cancelled)
        });
        tx.try_push(1).unwrap();
        // One item, one pull that stays: if the cancelled one did not take it, the other must get it. The handle lives
        // on, as its drop would wake whoever was forgotten.
        let (polled, _cancelled) = cancelling.join().unwrap();
        match polled {
            Poll::Ready(item) => {
                assert_eq!(item, Some(1));
                tx.close();
                assert_eq!(waiting.join().unwrap(), None);
            }
            Poll::Pending => assert_eq!(waiting.join().unwrap(), Some(1)),
        }
        drop(rx);
    });
}

#[test]
fn a_cancelled_push_passes_its_wake_on() {
    check(3, || {
        let (tx, rx) = queue::bounded(1);
        tx.try_push(0).unwrap();
        let (cancelled, other) = (tx.clone(), tx.clone());
        let waiting = thread::spawn(move || block_on(other.push(2)));
        let cancelling = thread::spawn(move || {
            let mut slot = Some(1);
            let queued = once(&mut pin!(cancelled.push_from(&mut slot))).is_ready();
            (queued, cancelled)
        });
        assert_eq!(rx.try_pull(), Ok(0));
        let (queued, _cancelled) = cancelling.join().unwrap();
        if queued {
            rx.close();
            let _ = waiting.join().unwrap();
        } else {
            waiting.join().unwrap().unwrap();
            assert_eq!(rx.try_pull(), Ok(2));
        }
        drop(tx);
    });
}

#[test]
fn close_wakes_a_waiting_consumer() {
    check(3, || {
        let (tx, rx) = queue::bounded::<u8>(1);
        let other = rx.clone();
        let waiting = thread::spawn(move || block_on(other.pull()));
        tx.close();
        assert_eq!(waiting.join().unwrap(), None);
        drop(rx);
    });
}

#[test]
fn close_gives_a_waiting_push_its_item_back() {
    check(3, || {
        let (tx, rx) = queue::bounded(1);
        tx.try_push(1).unwrap();
        let other = tx.clone();
        let waiting = thread::spawn(move || block_on(other.push(2)));
        rx.close();
        assert_eq!(waiting.join().unwrap().unwrap_err().into_item(), 2);
        assert_eq!(rx.try_pull(), Ok(1));
        drop(tx);
    });
}

#[test]
fn the_last_producer_ends_the_pulls() {
    check(3, || {
        let (tx, rx) = queue::bounded(1);
        let other = tx.clone();
        let first = thread::spawn(move || drop(tx));
        let second = thread::spawn(move || other.try_push(1).unwrap());
        assert_eq!(block_on(rx.pull()), Some(1));
        assert_eq!(block_on(rx.pull()), None);
        first.join().unwrap();
        second.join().unwrap();
    });
}

#[test]
fn the_last_consumer_ends_the_pushes() {
    check(3, || {
        let (tx, rx) = queue::bounded(1);
        tx.try_push(1).unwrap();
        let other = rx.clone();
        let first = thread::spawn(move || drop(rx));
        let second = thread::spawn(move || drop(other));
        assert!(block_on(tx.push(2)).unwrap_err().is_closed());
        first.join().unwrap();
        second.join().unwrap();
        let stats = tx.stats();
        assert_eq!((stats.pushed, stats.abandoned, stats.len), (1, 1, 0));
    });
}

#[test]
fn a_slot_reserved_before_close_is_waited_for() {
    check(3, || {
        let (tx, rx) = queue::bounded(1);
        let permit = tx.try_reserve().unwrap();
        tx.close();
        let pushing = thread::spawn(move || permit.push(1).unwrap());
        assert_eq!(block_on(rx.pull()), Some(1));
        assert_eq!(block_on(rx.pull()), None);
        pushing.join().unwrap();
    });
}

#[test]
fn a_permit_that_is_dropped_lets_the_next_push_in() {
    check(3, || {
        let (tx, rx) = queue::bounded(1);
        let permit = tx.try_reserve().unwrap();
        let waiting = thread::spawn(move || block_on(tx.push(1)));
        drop(permit);
        waiting.join().unwrap().unwrap();
        assert_eq!(rx.try_pull(), Ok(1));
    });
}

#[test]
fn growing_lets_waiting_pushes_in() {
    check(2, || {
        let (tx, rx) = queue::bounded(1);
        tx.try_push(0).unwrap();
        let (a, b) = (tx.clone(), tx.clone());
        let first = thread::spawn(move || block_on(a.push(1)));
        let second = thread::spawn(move || block_on(b.push(2)));
        rx.resize(3);
        first.join().unwrap().unwrap();
        second.join().unwrap().unwrap();
        assert_eq!((rx.len(), tx.stats().waiting_producers), (3, 0));
    });
}

#[test]
fn a_bulk_pull_frees_as_many_pushes_as_it_makes_room_for() {
    check(2, || {
        let (tx, rx) = queue::bounded(2);
        tx.try_push_many(&mut VecDeque::from([0, 0])).unwrap();
        let (a, b) = (tx.clone(), tx.clone());
        let first = thread::spawn(move || block_on(a.push(1)));
        let second = thread::spawn(move || block_on(b.push(2)));
        assert_eq!(rx.try_pull_many(&mut Vec::new(), 2), Ok(2));
        first.join().unwrap().unwrap();
        second.join().unwrap().unwrap();
        drop(tx);
    });
}

#[test]
fn a_bulk_push_wakes_as_many_pulls_as_it_brings() {
    check(2, || {
        let (tx, rx) = queue::bounded(2);
        let (a, b) = (rx.clone(), rx.clone());
        let first = thread::spawn(move || block_on(a.pull()));
        let second = thread::spawn(move || block_on(b.pull()));
        assert_eq!(tx.try_push_many(&mut VecDeque::from([1, 2])), Ok(2));
        let sum = first.join().unwrap().unwrap() + second.join().unwrap().unwrap();
        assert_eq!((sum, rx.stats().waiting_consumers), (3, 0));
    });
}

#[test]
fn a_stream_that_moved_to_another_task_is_woken_there() {
    check(3, || {
        let (tx, mut rx) = queue::bounded(1);
        // A first task polls and is gone; its waker must not be the one that is used.
        let first = block_on(poll_fn(|cx| Poll::Ready(Pin::new(&mut rx).poll_next(cx))));
        assert!(first.is_pending());
        let second = thread::spawn(move || block_on(poll_fn(|cx| Pin::new(&mut rx).poll_next(cx))));
        tx.try_push(1).unwrap();
        assert_eq!(second.join().unwrap(), Some(1));
    });
}

#[test]
fn evictions_are_counted_under_contention() {
    check(2, || {
        let (tx, rx) = queue::builder()
            .capacity(1)
            .overflow(Overflow::DropOldest)
            .build();
        let other = tx.clone();
        let first = thread::spawn(move || other.try_push(1).unwrap());
        tx.try_push(2).unwrap();
        let pulled = rx.try_pull().is_ok();
        first.join().unwrap();
        let stats = rx.stats();
        assert_eq!(
            stats.pushed,
            stats.pulled + stats.dropped + stats.len as u64
        );
        assert_eq!((stats.pushed, stats.pulled), (2, u64::from(pulled)));
    });
}

#[test]
fn whoever_waited_first_is_served_first() {
    check(3, || {
        let (tx, rx) = queue::bounded(1);
        tx.try_push(0).unwrap();
        let other = tx.clone();
        let mut first = pin!(tx.push(1));
        let mut second = pin!(other.push(2));
        assert!(once(&mut first).is_pending());
        assert!(once(&mut second).is_pending());
        let pulling = thread::spawn(move || {
            assert_eq!(rx.try_pull(), Ok(0));
            rx
        });
        assert!(once(&mut second).is_pending(), "it is the first one's turn");
        block_on(first).unwrap();
        let rx = pulling.join().unwrap();
        assert_eq!(rx.try_pull(), Ok(1));
        block_on(second).unwrap();
    });
}

#[test]
fn whoever_waits_for_the_drained_queue_is_told() {
    check(3, || {
        let (tx, rx) = queue::bounded(1);
        tx.try_push(1).unwrap();
        tx.close();
        let waiting = thread::spawn(move || block_on(tx.drained()));
        assert_eq!(rx.try_pull(), Ok(1));
        waiting.join().unwrap();
    });
}

#[test]
fn a_cancelled_push_is_counted_or_queued_never_both() {
    check(3, || {
        let (tx, rx) = queue::bounded(1);
        tx.try_push(0).unwrap();
        let other = tx.clone();
        let pulling = thread::spawn(move || {
            let _ = rx.try_pull();
            rx
        });
        let queued = once(&mut pin!(other.push(1))).is_ready();
        let rx = pulling.join().unwrap();
        let stats = rx.stats();
        assert_eq!(
            (stats.pushed, stats.cancelled),
            if queued { (2, 0) } else { (1, 1) }
        );
        assert_eq!((stats.pulled, stats.len), (1, usize::from(queued)));
        drop(tx);
    });
}

#[test]
fn a_sink_that_waits_is_woken_and_one_dropped_passes_its_wake_on() {
    check(3, || {
        let (tx, rx) = queue::bounded(1);
        tx.try_push(0).unwrap();
        let (mut dropped, mut stays) = (tx.clone(), tx.clone());
        let dropping = thread::spawn(move || {
            let ready = block_on(poll_fn(|cx| {
                Poll::Ready(Pin::new(&mut dropped).poll_ready(cx))
            }));
            drop(dropped);
            ready.is_ready()
        });
        let staying = thread::spawn(move || {
            block_on(poll_fn(|cx| Pin::new(&mut stays).poll_ready(cx))).unwrap();
            Pin::new(&mut stays).start_send(1).unwrap();
        });
        assert_eq!(rx.try_pull(), Ok(0));
        dropping.join().unwrap();
        staying.join().unwrap();
        assert_eq!(rx.try_pull(), Ok(1));
        assert_eq!(tx.stats().reserved, 0);
    });
}

#[test]
fn a_sink_with_nothing_to_send_learns_of_the_close() {
    check(3, || {
        let (mut tx, rx) = queue::bounded(1);
        let idle = thread::spawn(move || {
            let ready = block_on(poll_fn(|cx| Pin::new(&mut tx).poll_ready(cx)));
            if ready.is_ok() && Pin::new(&mut tx).start_send(1).is_ok() {
                // As an idle pump does: it flushes at each poll, and sleeps when that is done.
                block_on(poll_fn(|cx| match Pin::new(&mut tx).poll_flush(cx) {
                    Poll::Ready(Err(error)) => Poll::Ready(error.is_closed()),
                    _ => Poll::Pending,
                }))
            } else {
                true
            }
        });
        rx.close();
        assert!(idle.join().unwrap());
    });
}

/// A queue whose slots are there, so that its two ends can go on by themselves.
fn warm<T>(capacity: usize, item: T) -> (queue::Producer<T>, queue::Consumer<T>) {
    let (tx, rx) = queue::bounded(capacity);
    assert!(tx.try_push(item).is_ok());
    assert!(rx.try_pull().is_ok());
    (tx, rx)
}

#[test]
fn what_is_pulled_was_written_before_it_was_published() {
    check(3, || {
        let (tx, rx) = warm(2, Box::new(0));
        let consumer = thread::spawn(move || {
            let first = rx.try_pull().ok();
            (first, rx)
        });
        tx.try_push(Box::new(1)).unwrap();
        let (first, rx) = consumer.join().unwrap();
        let pulled = first.or_else(|| rx.try_pull().ok());
        assert_eq!(pulled.as_deref(), Some(&1));
        drop(tx);
    });
}

#[test]
fn a_push_that_needs_no_rules_wakes_whoever_sleeps() {
    check(3, || {
        let (tx, rx) = warm(1, 0);
        let consumer = thread::spawn(move || block_on(rx.pull()));
        tx.try_push(1).unwrap();
        assert_eq!(consumer.join().unwrap(), Some(1));
        drop(tx);
    });
}

#[test]
fn a_pull_that_needs_no_rules_wakes_whoever_sleeps() {
    check(3, || {
        let (tx, rx) = warm(1, 0);
        tx.try_push(1).unwrap();
        let other = tx.clone();
        let producer = thread::spawn(move || block_on(other.push(2)));
        assert_eq!(rx.try_pull(), Ok(1));
        producer.join().unwrap().unwrap();
        assert_eq!(rx.try_pull(), Ok(2));
        drop(tx);
    });
}
