//! [`PushExt`]: what can be done to any [`Sink`] on the way to where it is pushed, and sinks to start from.

mod each;
mod fan_out;
#[cfg(feature = "retry")]
mod retry;
mod send_timeout;

use std::time::Duration;

use futures_sink::Sink;

use crate::batch::{Batch, BatchPolicy, Detailed, SinkBatch};
use crate::meter::SinkMetered;
use crate::pump::Driver;
use crate::queue::{self, Producer};
#[cfg(feature = "rate")]
use crate::rate::{RateLimiter, SinkRateLimited};

pub use each::{Each, each};
#[cfg(feature = "retry")]
pub use each::{EachRetry, GaveUp};
pub use fan_out::{FanOut, FanOutError, LegFailure, fan_out};
#[cfg(feature = "retry")]
pub use retry::{Retry, retry};
pub use send_timeout::{SendTimeout, SendTimeoutError};

/// Operators for every [`Sink`] of `T`.
///
/// A sink of several item types (a codec's `Framed` is one) leaves open which is meant, and the compiler asks for type
/// annotations: say it with `PushExt::<String>::sink_metered(sink, "lines")`, or fix the type before by futures' `with`.
pub trait PushExt<T>: Sink<T> {
    // -- batch --

    /// A sink of items that hands this sink batches of at most `max` of them, none of which waits longer than `within`
    /// for its batch to close.
    ///
    /// A batch is a `Vec`, never empty. It closes when it is full or when its first item has been here for `within`;
    /// closing the sink closes it too, and [`flush_now`](crate::batch::SinkBatch::flush_now) does on request. There is
    /// no task behind it: its clock runs in `poll_ready` and `poll_flush`, so somebody has to poll.
    /// [`spawn`](Self::spawn) is for where nobody does.
    ///
    /// `flush` and `send` are done when the batch has left and the inner sink has flushed it, and that is when size or
    /// age closes the batch: a pump that flushes whenever its input is idle does not cut batches short. While they wait
    /// they keep the inner sink at work. So use `feed` to fill a batch from one task, `send` to wait for its way out. A
    /// [pump](crate::PullExt::pump_into) at the end of its input waits for the age of the last batch too, unless it was
    /// told to close the sink.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use futures::{SinkExt, StreamExt};
    /// use pushpull::prelude::*;
    /// use tokio::time::Instant;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), futures::channel::mpsc::SendError> {
    /// let (sink, mut batches) = futures::channel::mpsc::channel(8);
    /// let mut sink = sink.sink_batch(2, Duration::from_secs(1));
    ///
    /// let start = Instant::now();
    /// sink.feed(1).await?;
    /// sink.send(2).await?; // fills the batch
    /// assert_eq!(start.elapsed(), Duration::ZERO);
    /// sink.send(3).await?; // waits for the age of the batch
    /// assert_eq!(start.elapsed(), Duration::from_secs(1));
    ///
    /// assert_eq!(batches.next().await, Some(vec![1, 2]));
    /// assert_eq!(batches.next().await, Some(vec![3]));
    /// drop(batches);
    /// sink.feed(4).await?; // held here; the sink underneath has not been asked
    /// assert!(sink.flush_now().await.is_err());
    /// assert_eq!(sink.into_remainder(), [4]); // the error has lost nothing
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Back-pressure
    ///
    /// Holds at most one batch. When that is full, `poll_ready` waits until the inner sink takes it. With
    /// `Duration::MAX` a `flush` that meets a part of a batch waits for ever; `flush_now` does not.
    ///
    /// # Cancel safety
    ///
    /// Dropping a `flush`, `close` or `flush_now` loses nothing. Dropping the operator drops what it holds;
    /// [`SinkBatch::into_parts`](crate::batch::SinkBatch::into_parts) gives it back.
    ///
    /// # Errors
    ///
    /// Those of the inner sink. They lose nothing that is held here; a batch that the inner sink's `start_send` has
    /// taken and refused is in its error, if it put it there.
    ///
    /// # Panics
    ///
    /// If `max` is 0. If `start_send` is called on a full batch without `poll_ready`. When a batch has to wait in
    /// `poll_flush` outside of a tokio runtime, or in one without its time driver.
    #[track_caller]
    fn sink_batch<U>(self, max: usize, within: Duration) -> SinkBatch<Self, U>
    where
        Self: Sink<Vec<U>> + Sized,
    {
        SinkBatch::new(self, BatchPolicy::plain(max, within))
    }

    /// [`sink_batch`](Self::sink_batch) after a [`BatchPolicy`]; the inner sink takes each batch as a
    /// [`Batch`], with the reason why it closed and the age of its oldest item.
    ///
    /// ```
    /// use futures::{SinkExt, StreamExt};
    /// use pushpull::batch::{BatchPolicy, FlushReason};
    /// use pushpull::prelude::*;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), futures::channel::mpsc::SendError> {
    /// let (sink, mut batches) = futures::channel::mpsc::channel(8);
    /// let mut sink = sink.sink_batch_with(BatchPolicy::items(10).weight(5, |s: &&str| s.len()));
    /// for word in ["one", "two", "overlong"] {
    ///     sink.feed(word).await?;
    /// }
    /// sink.close().await?;
    ///
    /// // "two" was too heavy for the first batch, "overlong" is for any.
    /// let closed: Vec<_> = batches.by_ref().map(|batch| (batch.items, batch.reason)).collect().await;
    /// assert_eq!(closed[0], (vec!["one"], FlushReason::Weight));
    /// assert_eq!(closed[1], (vec!["two"], FlushReason::Weight));
    /// assert_eq!(closed[2], (vec!["overlong"], FlushReason::Weight));
    /// assert!(sink.feed("late").await.is_ok() && sink.flush_now().await.is_err()); // closed
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Back-pressure, cancel safety, errors and panics
    ///
    /// As [`sink_batch`](Self::sink_batch); besides, an item that was too heavy for a batch is held for the next.
    fn sink_batch_with<U>(self, policy: BatchPolicy<U>) -> SinkBatch<Self, U, Detailed>
    where
        Self: Sink<Batch<U>> + Sized,
    {
        SinkBatch::new(self, policy)
    }

    // -- rate --

    /// Takes each item only when the limiter has a unit for it.
    ///
    /// `limiter` is a [`RateLimit`](crate::rate::RateLimit), or a [`RateLimiter`] by value or
    /// by reference, which several sinks and streams can share and whose limit can be changed while they run.
    ///
    /// `poll_ready` waits for room first and for the unit second. Between `poll_ready` and `start_send` the sink has
    /// the unit on lease, which the others miss until then: the bucket and what is leased never exceed the burst. A
    /// sink that has to wait stands in the limiter's line, in the order of coming. Where it is not polled when its turn
    /// comes, the others go past it after 100 milliseconds; it is the first again when it is polled.
    ///
    /// Sinks that one task makes ready together, such as the legs of a [`fan_out`], have their units on lease at the
    /// same time: where they share a limiter, give it a burst of at least as many units as there are sinks, else they
    /// wait for each other for ever.
    ///
    /// # Back-pressure
    ///
    /// The sink's own, then the limit. No item is held.
    ///
    /// # Errors
    ///
    /// The sink's own.
    ///
    /// # Panics
    ///
    /// In `start_send` without `poll_ready`, and where it has to wait outside of a tokio runtime, or in one without its
    /// time driver.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use futures::{SinkExt, channel::mpsc};
    /// use pushpull::{prelude::*, rate::RateLimit};
    /// use tokio::time::Instant;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// let start = Instant::now();
    /// let (tx, rx) = mpsc::channel(8);
    /// let mut limited = tx.sink_rate_limit(RateLimit::per_second(10));
    /// limited.send(1).await.unwrap();
    /// limited.send(2).await.unwrap();
    /// assert_eq!(start.elapsed(), Duration::from_millis(100));
    /// drop(rx);
    /// assert!(limited.send(3).await.is_err(), "at once: a closed sink waits for no unit");
    /// assert_eq!(start.elapsed(), Duration::from_millis(100));
    /// # }
    /// ```
    #[cfg(feature = "rate")]
    fn sink_rate_limit(self, limiter: impl Into<RateLimiter>) -> SinkRateLimited<Self>
    where
        Self: Sized,
    {
        SinkRateLimited::new(self, limiter.into())
    }

    // -- meter --

    /// Counts the items that are pushed, how often there was no room, and the errors, under a name in the
    /// [registry](crate::meter::registry). Everything is passed on as it is.
    ///
    /// An item counts when `start_send` took it, a wait when `poll_ready` had to wait, an error when any of the four
    /// phases failed. Names, the entry's life and the cost are as for [`metered`](crate::PullExt::metered).
    ///
    /// # Back-pressure
    ///
    /// The sink's own.
    ///
    /// # Errors
    ///
    /// The sink's own.
    ///
    /// ```
    /// use futures::{SinkExt, channel::mpsc};
    /// use pushpull::{meter, prelude::*};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let (tx, mut rx) = mpsc::channel(8);
    /// let mut saved = tx.sink_metered("saved");
    /// saved.send(1).await.unwrap();
    /// saved.send(2).await.unwrap();
    /// assert_eq!((rx.recv().await, rx.recv().await), (Ok(1), Ok(2)));
    /// drop(rx);
    /// assert!(saved.send(3).await.is_err());
    ///
    /// let snapshot = meter::registry().snapshot();
    /// let saved = snapshot.operator("saved").unwrap();
    /// assert_eq!((saved.items, saved.errors), (2, 1));
    /// # }
    /// ```
    fn sink_metered(self, name: impl Into<String>) -> SinkMetered<Self>
    where
        Self: Sized,
    {
        SinkMetered::new(self, &name.into())
    }

    // -- pump: send_timeout, spawn --

    /// Sends `item` and flushes, or gives the item back when that takes longer than `within`.
    ///
    /// The clock starts at the first poll and covers both the wait for room and the flush. A sink that is ready wins
    /// over a clock that has run out, so [`Duration::ZERO`] tries once; a duration beyond the clock's reach waits
    /// for ever. Over a sink whose flush waits on purpose, such as a batching one, time is up in the flush:
    /// [`SendTimeoutError::Unflushed`] says that the item is on its way.
    ///
    /// # Cancel safety
    /// Dropped while it waits for room, it drops the item, which was not sent.
    ///
    /// # Errors
    /// [`SendTimeoutError`], with the item wherever the sink has not taken it.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
    /// use std::time::Duration;
    ///
    /// use pushpull::{prelude::*, push::SendTimeoutError, queue};
    ///
    /// let (mut tx, rx) = queue::bounded(1);
    /// tx.send_timeout("first", Duration::from_secs(1)).await.unwrap();
    ///
    /// let error = tx.send_timeout("second", Duration::from_secs(1)).await.unwrap_err();
    /// assert_eq!(error, SendTimeoutError::Timeout("second"));
    ///
    /// assert_eq!(rx.pull().await, Some("first"));
    /// drop(rx);
    /// let error = tx.send_timeout("third", Duration::from_secs(1)).await.unwrap_err();
    /// assert!(!error.is_timeout());
    /// assert_eq!(error.into_item(), Some("third"));
    /// # }
    /// ```
    fn send_timeout(&mut self, item: T, within: Duration) -> SendTimeout<'_, Self, T>
    where
        Self: Unpin,
    {
        SendTimeout::new(self, item, within)
    }

    /// Moves the sink into a task of its own, behind a queue: anything can push, and the sink is polled all the time, so
    /// that clocks in it run (a [batch](Self::sink_batch) closes by age though nobody pushes).
    ///
    /// An item leaves the queue when the sink has room for it; the sink is flushed whenever the queue is empty, and
    /// closed when the queue is closed and drained. Then the [`Driver`] resolves. When the sink fails, the queue is
    /// closed: producers get their items back, what is queued goes to `on_drop`, and the `Driver` resolves to the error.
    ///
    /// The task ends with its handle: dropping the `Driver` ends it where it stands.
    ///
    /// # Back-pressure
    /// That of the queue.
    ///
    /// # Panics
    /// Outside of a tokio runtime. A panic of the sink goes on where the `Driver` is awaited.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
    /// use std::time::Duration;
    /// use futures::{StreamExt, channel::mpsc};
    /// use pushpull::{prelude::*, pump::DriverError, queue};
    ///
    /// let (batches, mut out) = mpsc::unbounded();
    /// let sink = batches.sink_batch(100, Duration::from_secs(1));
    /// let (tx, driver) = sink.spawn(queue::builder().capacity(16));
    ///
    /// tx.push(1).await.unwrap();
    /// tx.push(2).await.unwrap();
    /// assert_eq!(out.next().await, Some(vec![1, 2])); // a second later
    /// tx.push(3).await.unwrap();
    /// drop(tx);
    /// assert_eq!(driver.await.unwrap().items, 3);
    /// assert_eq!(out.next().await, Some(vec![3]));
    ///
    /// let (nowhere, out) = mpsc::unbounded();
    /// drop(out);
    /// let (tx, driver) = nowhere.spawn(queue::builder());
    /// tx.push(1).await.unwrap();
    /// assert!(matches!(driver.await, Err(DriverError::Sink { items: 0, .. })));
    /// assert!(tx.push(2).await.unwrap_err().is_closed());
    /// # }
    /// ```
    #[track_caller]
    fn spawn(self, queue: queue::Builder<T>) -> (Producer<T>, Driver<Self::Error>)
    where
        Self: Sized + Send + 'static,
        Self::Error: Send + 'static,
        T: Send + 'static,
    {
        Driver::spawn(self, queue)
    }
}

impl<T, S: Sink<T> + ?Sized> PushExt<T> for S {}
