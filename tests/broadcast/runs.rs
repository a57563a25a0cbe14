//! What subscribers take in runs and hand out one by one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use futures::{FutureExt, Stream, StreamExt};
use futures_test::task::new_count_waker;
use pushpull::broadcast::{self, Lagged, Lossy};
use pushpull::queue::PushError;

use super::*;

// guarantee: C3
#[tokio::test(start_paused = true)]
async fn a_value_is_read_when_it_is_handed_out_and_not_before() {
    let publisher = broadcast::channel(100);
    let (mut one, mut two) = (publisher.subscribe(), publisher.subscribe());
    for n in 0..50 {
        assert_eq!(publisher.try_publish(n), Ok(2));
    }
    for n in 0..20 {
        assert_eq!(one.next().await, Some(n));
        assert_eq!(two.pull().await, Some(n));
        let stats = publisher.stats();
        assert_eq!((stats.delivered, stats.unread), (2 * n + 2, 98 - 2 * n));
        assert_eq!((stats.len as u64, one.len() as u64), (49 - n, 49 - n));
        assert_eq!(one.size_hint(), (one.len(), None));
    }
    // As many as were handed out fit, and not one more.
    for n in 50..120 {
        assert_eq!(publisher.try_publish(n), Ok(2));
    }
    assert_eq!(publisher.try_publish(0), Err(PushError::Full(0)));
    assert_eq!(publisher.stats().peak_len, 100);
    assert_eq!((one.next().await, one.next().await), (Some(20), Some(21)));
    assert_eq!(publisher.try_publish(0), Err(PushError::Full(0)));
    assert_eq!(two.next().await, Some(20));
    assert_eq!(publisher.try_publish(120), Ok(2));
    assert_eq!(publisher.try_publish(0), Err(PushError::Full(0)));
    assert!(rest(&mut one).into_iter().eq(22..=120));
    assert!(rest(&mut two).into_iter().eq(21..=120));
}

// guarantee: C2, Q7
#[test]
fn who_waits_for_the_midst_of_a_run_is_served_there() {
    let publisher = broadcast::channel(40);
    let mut subscriber = publisher.subscribe();
    let mut other = publisher.subscribe();
    for n in 0..40 {
        assert_eq!(publisher.try_publish(n), Ok(2));
    }
    let (waker, woken) = new_count_waker();
    for n in 0..30 {
        let mut publish = Box::pin(publisher.publish(40 + n));
        assert!(poll_with(&mut publish, &waker).is_pending());
        assert_eq!(subscriber.next().now_or_never(), Some(Some(n)));
        assert_eq!(woken.get(), n, "the other one has not read");
        assert_eq!(other.next().now_or_never(), Some(Some(n)));
        assert_eq!(woken.get(), n + 1);
        assert_eq!(poll(&mut publish), Poll::Ready(Ok(2)));
    }
}

// guarantee: C2
#[test]
fn a_run_half_read_is_abandoned_with_its_subscriber() {
    for plain in [true, false] {
        let publisher = broadcast::channel(64);
        let mut staying = publisher.subscribe();
        let mut leaving = publisher.subscribe();
        for n in 0..64 {
            let name = if plain { String::new() } else { format!("{n}") };
            assert_eq!(publisher.try_publish((n, name)), Ok(2));
        }
        for n in 0..10 {
            assert_eq!(leaving.next().now_or_never().unwrap().unwrap().0, n);
        }
        drop(leaving);
        let stats = publisher.stats();
        assert_eq!(
            (stats.delivered, stats.abandoned, stats.unread),
            (10, 54, 64)
        );
        assert!(
            rest(&mut staying)
                .into_iter()
                .map(|value| value.0)
                .eq(0..64)
        );
        let stats = publisher.stats();
        assert_eq!(
            (stats.delivered, stats.abandoned, stats.unread),
            (74, 54, 0)
        );
        assert_eq!((stats.sent, stats.len), (128, 0));
    }
}

static CLONED: AtomicUsize = AtomicUsize::new(0);

/// Has no destructor, and counts its clones.
#[derive(Debug, PartialEq, Eq)]
struct Bare(usize);

impl Clone for Bare {
    fn clone(&self) -> Self {
        CLONED.fetch_add(1, Relaxed);
        Self(self.0)
    }
}

// guarantee: C5
#[test]
fn values_without_destructor_are_cloned_as_seldom() {
    let publisher = broadcast::channel(200);
    let mut one = publisher.subscribe();
    for n in 0..200 {
        assert_eq!(publisher.try_publish(Bare(n)), Ok(1));
    }
    assert!(rest(&mut one).into_iter().eq((0..200).map(Bare)));
    assert_eq!(CLONED.swap(0, Relaxed), 0, "a sole one gets them moved");

    let mut two = publisher.subscribe();
    for n in 0..200 {
        assert_eq!(publisher.try_publish(Bare(n)), Ok(2));
    }
    assert!(rest(&mut one).into_iter().eq((0..200).map(Bare)));
    assert_eq!(CLONED.load(Relaxed), 200);
    assert!(rest(&mut two).into_iter().eq((0..200).map(Bare)));
    assert_eq!(CLONED.swap(0, Relaxed), 200, "the last one gets them moved");

    // One that becomes the sole one in the midst of a run.
    for n in 0..60 {
        assert_eq!(publisher.try_publish(Bare(n)), Ok(2));
    }
    assert_eq!(one.next().now_or_never(), Some(Some(Bare(0))));
    assert_eq!(two.next().now_or_never(), Some(Some(Bare(0))));
    drop(two);
    let cloned = CLONED.load(Relaxed);
    assert!(rest(&mut one).into_iter().eq((1..60).map(Bare)));
    assert_eq!(CLONED.load(Relaxed), cloned);
}

// guarantee: C3
#[tokio::test(start_paused = true)]
async fn a_value_is_dropped_when_the_last_one_has_read_it() {
    let publisher = broadcast::channel(100);
    let (mut one, mut two) = (publisher.subscribe(), publisher.subscribe());
    let values: Vec<_> = (0..100).map(Arc::new).collect();
    for value in &values {
        assert_eq!(publisher.try_publish(Arc::clone(value)), Ok(2));
    }
    for (n, value) in values.iter().enumerate() {
        assert_eq!(one.next().await.map(|value| *value), Some(n));
        assert_eq!(Arc::strong_count(value), 2);
        assert_eq!(two.pull().await.map(|value| *value), Some(n));
        assert_eq!(Arc::strong_count(value), 1, "{n} is kept");
    }
}

/// A small generator: the order of reads is arbitrary, and the same in each run.
struct Dice(u64);

impl Dice {
    fn up_to(&mut self, most: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most + 1
    }
}

// guarantee: C1, C2, C3
#[test]
fn runs_of_any_length_are_read_in_any_manner() {
    for replay in [0, 7, 150] {
        any_manner(replay, |n| n, |n| *n);
        any_manner(replay, Box::new, |n| **n);
        // So large that runs are short.
        any_manner(replay, |n| [n; 100], |n| n[99]);
        any_manner(replay, |n| [n; 1000], |n| n[999]);
    }
}

fn any_manner<T: Clone>(replay: usize, make: impl Fn(u64) -> T, number: impl Fn(&T) -> u64) {
    let mut dice = Dice(replay as u64);
    let publisher = broadcast::builder().capacity(300).replay(replay).build();
    let mut subscribers: Vec<_> = (0..5).map(|_| (publisher.subscribe(), 0)).collect();
    let mut lossy = publisher.subscribe_lossy(Lossy::DropOldest);
    let (mut published, mut seen_by_lossy) = (0_u64, 0_u64);
    for round in 0..600 {
        for _ in 0..dice.up_to(40) {
            let room = subscribers.iter().all(|(_, next)| published - next < 300);
            let publishing = publisher.try_publish(make(published));
            assert_eq!(publishing.is_ok(), room, "{published}");
            published += u64::from(room);
        }
        let count = subscribers.len() as u64;
        let (subscriber, next) = &mut subscribers[dice.up_to(count) as usize - 1];
        match dice.up_to(3) {
            1 => {
                for _ in 0..dice.up_to(200) {
                    let Some(value) = subscriber.next().now_or_never() else {
                        break;
                    };
                    assert_eq!(value.map(|value| number(&value)), Some(*next));
                    *next += 1;
                }
            }
            2 => {
                let limit = dice.up_to(250);
                let there = (published - *next).min(limit);
                let mut run = Vec::new();
                let pulled = subscriber
                    .pull_many(&mut run, limit as usize)
                    .now_or_never();
                assert_eq!(pulled.unwrap_or(0) as u64, there);
                assert!(run.iter().map(&number).eq(*next..*next + there));
                *next += there;
            }
            _ => {
                if let Ok(value) = subscriber.try_pull() {
                    assert_eq!(number(&value), *next);
                    *next += 1;
                }
            }
        }
        assert_eq!(subscriber.len() as u64, published - *next);
        for _ in 0..dice.up_to(60) {
            match lossy.next().now_or_never() {
                Some(Some(Ok(value))) => {
                    assert_eq!(number(&value), seen_by_lossy);
                    seen_by_lossy += 1;
                }
                Some(Some(Err(Lagged { missed }))) => seen_by_lossy += missed,
                _ => break,
            }
        }
        if round % 50 == 49 {
            let gone = dice.up_to(count) as usize - 1;
            drop(subscribers.swap_remove(gone));
            let first = published - published.min(replay as u64);
            subscribers.push((publisher.subscribe(), first));
        }
        let unread: u64 = subscribers.iter().map(|(_, next)| published - next).sum();
        let stats = publisher.stats();
        assert_eq!(stats.unread - lossy.len() as u64, unread);
        assert_eq!(
            stats.sent,
            stats.delivered + stats.missed + stats.abandoned + stats.unread
        );
        assert!(stats.len <= 300 && stats.peak_len <= 300);
    }
}
