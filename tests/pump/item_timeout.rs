//! `item_timeout`.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::channel::mpsc;
use futures::stream::FusedStream;
use futures::{SinkExt, Stream, StreamExt, poll, stream};
use pushpull::prelude::*;
use tokio::time::{Instant, sleep, timeout};

use crate::pump_kit::probe;
use crate::{SECOND, ends_once};

#[tokio::test(start_paused = true)]
async fn starts_at_the_poll_that_finds_nothing() {
    let (tx, rx) = mpsc::unbounded();
    let mut rx = rx.item_timeout(10 * SECOND);
    sleep(60 * SECOND).await; // nobody asked, nothing elapsed
    let asked = Instant::now();
    let elapsed = rx.next().await.unwrap().unwrap_err();
    assert_eq!(
        (asked.elapsed(), elapsed.silence()),
        (10 * SECOND, 10 * SECOND)
    );
    assert_eq!(elapsed.to_string(), "no item for 10s");

    // It goes on, and each silence is counted anew.
    assert!(rx.next().await.unwrap().is_err());
    assert_eq!(asked.elapsed(), 20 * SECOND);
    tx.unbounded_send(1).unwrap();
    assert_eq!(rx.next().await, Some(Ok(1)));
    assert!(rx.next().await.unwrap().is_err());
    assert_eq!(asked.elapsed(), 30 * SECOND);

    drop(tx);
    assert_eq!(rx.next().await, None);
    assert_eq!(rx.next().await, None);
    assert!(rx.is_terminated());
}

#[tokio::test(start_paused = true)]
async fn survives_a_dropped_next_and_prefers_the_item() {
    // guarantee: T5
    let (tx, rx) = mpsc::unbounded();
    let mut rx = rx.item_timeout(10 * SECOND);
    let asked = Instant::now();
    for _ in 0..3 {
        assert!(timeout(3 * SECOND, rx.next()).await.is_err());
    }
    assert!(rx.next().await.unwrap().is_err());
    assert_eq!(
        asked.elapsed(),
        10 * SECOND,
        "a dropped `next` does not restart the clock"
    );

    assert!(poll!(rx.next()).is_pending());
    sleep(20 * SECOND).await;
    tx.unbounded_send(1).unwrap();
    assert_eq!(rx.next().await, Some(Ok(1)), "it is there, though late");
    assert!(poll!(rx.next()).is_pending(), "and the old clock is void");
}

#[tokio::test(start_paused = true)]
async fn takes_extreme_durations() {
    // guarantee: T8
    let mut none = stream::pending::<u8>().item_timeout(Duration::MAX);
    assert!(
        timeout(Duration::from_secs(86_400 * 365), none.next())
            .await
            .is_err()
    );
    let (tx, rx) = mpsc::unbounded();
    let mut zero = rx.item_timeout(Duration::ZERO);
    assert!(zero.next().await.unwrap().is_err());
    tx.unbounded_send(1).unwrap();
    assert_eq!(zero.next().await, Some(Ok(1)));
}

#[tokio::test(start_paused = true)]
async fn is_true_about_its_size_and_fused() {
    // guarantee: T6
    let mut items = ends_once([1, 2]).item_timeout(SECOND);
    assert_eq!(items.size_hint(), (0, None));
    assert_eq!(items.by_ref().collect::<Vec<_>>().await, [Ok(1), Ok(2)]);
    assert_eq!(items.next().await, None);
    assert_eq!(items.size_hint(), (0, Some(0)));
    assert_eq!(
        stream::iter([1, 2]).item_timeout(SECOND).size_hint(),
        (2, None)
    );
}

#[tokio::test(start_paused = true)]
async fn forwards_the_sink_half() {
    // guarantee: T6
    let (sink, told) = probe();
    let mut sink = sink.item_timeout_sink();
    sink.send(1).await.unwrap();
    sink.close().await.unwrap();
    assert_eq!((told.sent(), told.closes()), (vec![1], 1));
}

/// A probe that is a stream, too.
trait BothHalves: Sized {
    fn item_timeout_sink(self) -> pushpull::pull::ItemTimeout<Both<Self>>;
}

pin_project_lite::pin_project! {
    struct Both<S> { #[pin] sink: S }
}

impl<S> BothHalves for S {
    fn item_timeout_sink(self) -> pushpull::pull::ItemTimeout<Both<S>> {
        Both { sink: self }.item_timeout(SECOND)
    }
}

impl<S> Stream for Both<S> {
    type Item = ();

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<()>> {
        Poll::Pending
    }
}

impl<T, S: futures::Sink<T>> futures::Sink<T> for Both<S> {
    type Error = S::Error;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.project().sink.poll_ready(cx)
    }

    fn start_send(self: Pin<&mut Self>, item: T) -> Result<(), S::Error> {
        self.project().sink.start_send(item)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.project().sink.poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.project().sink.poll_close(cx)
    }
}
