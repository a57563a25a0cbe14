//! [`PullExt`]: what can be done to any [`Stream`] on its way from where it is pulled.

mod item_timeout;

#[cfg(feature = "rate")]
use std::hash::Hash;
use std::time::Duration;

use futures_core::{Stream, TryStream};
use futures_sink::Sink;

use crate::batch::{BatchPolicy, Batched, Detailed, TryBatched};
use crate::broadcast::Hub;
use crate::meter::Metered;
use crate::pump::{Buffered, Pump};
use crate::queue;
#[cfg(feature = "rate")]
use crate::rate::{
    KeyedRateLimiter, PerItem, Policed, RateLimited, RateLimitedBy, RateLimiter, Weighted,
};

pub use item_timeout::{Elapsed, ItemTimeout};

/// Operators for every [`Stream`].
pub trait PullExt: Stream {
    // -- batch --

    /// Batches of at most `max` items, none of which waits longer than `within` for its batch to close.
    ///
    /// A batch is a `Vec<T>`, never empty. It closes when it is full, when its first item has waited for `within`, or
    /// with the input. What is ready is always taken first: `Duration::ZERO` waits for nothing, `Duration::MAX` waits
    /// until the batch is full. For bounds of weight, idle gaps and closing items, and for the reason why a batch
    /// closed, see [`batch_with`](Self::batch_with).
    ///
    /// A [`queue::Consumer`] has a method of the same name that takes whole runs under one lock;
    /// `consumer.batch(..)` is that one. Behind a type parameter or `Box<dyn Stream>` items are taken one by one.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use futures::StreamExt;
    /// use pushpull::prelude::*;
    /// use tokio::time::Instant;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// let input = futures::stream::iter(1..=5).chain(futures::stream::pending());
    /// let mut batches = input.batch(3, Duration::from_secs(1));
    ///
    /// let start = Instant::now();
    /// assert_eq!(batches.next().await, Some(vec![1, 2, 3])); // full
    /// assert_eq!(start.elapsed(), Duration::ZERO);
    /// assert_eq!(batches.next().await, Some(vec![4, 5])); // over age
    /// assert_eq!(start.elapsed(), Duration::from_secs(1));
    ///
    /// let never = tokio::time::timeout(Duration::from_secs(60), batches.next());
    /// assert!(never.await.is_err()); // no items, no batch
    /// # }
    /// ```
    ///
    /// # Back-pressure
    ///
    /// Holds at most one batch, and pulls only while it is polled. Nothing fires while nobody polls; a late poll takes
    /// what is ready, up to `max`, and emits at once. Input that never pauses is taken until the batch is full, or has
    /// been over age for another `within`.
    ///
    /// # Cancel safety
    ///
    /// Dropping a `next()` loses nothing: the items stay in the operator, whose clock runs on. Dropping the operator
    /// drops them; [`Batched::into_parts`](crate::batch::Batched::into_parts) gives them back.
    ///
    /// # Panics
    ///
    /// If `max` is 0. When a batch has to wait outside of a tokio runtime, or in one without its time driver.
    #[track_caller]
    fn batch(self, max: usize, within: Duration) -> Batched<Self>
    where
        Self: Sized,
    {
        Batched::new(self, BatchPolicy::plain(max, within))
    }

    /// Batches after a [`BatchPolicy`], each with the reason why it closed and the age of its oldest item.
    ///
    /// ```
    /// use futures::StreamExt;
    /// use pushpull::batch::{BatchPolicy, FlushReason};
    /// use pushpull::prelude::*;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let policy = BatchPolicy::items(4).until(|n| n % 10 == 0);
    /// let mut batches = futures::stream::iter([1, 2, 10, 3, 4, 5, 6, 7]).batch_with(policy);
    ///
    /// let mut seen = vec![];
    /// while let Some(batch) = batches.next().await {
    ///     seen.push((batch.items, batch.reason));
    /// }
    /// assert_eq!(
    ///     seen,
    ///     [
    ///         (vec![1, 2, 10], FlushReason::Predicate),
    ///         (vec![3, 4, 5, 6], FlushReason::Size),
    ///         (vec![7], FlushReason::End), // closed by none of its bounds
    ///     ]
    /// );
    /// # }
    /// ```
    ///
    /// # Back-pressure
    ///
    /// As [`batch`](Self::batch); besides, an item that was too heavy for a batch is held for the next. On a
    /// [`queue::Consumer`] a policy with weight or predicate takes a run of items, as many as a
    /// batch may have, but no more than 1024 (or the length of the batch before, where that was greater), and holds what
    /// the batch did not need.
    ///
    /// # Cancel safety
    ///
    /// As [`batch`](Self::batch).
    ///
    /// # Panics
    ///
    /// When a batch has to wait outside of a tokio runtime, or in one without its time driver. A panic in a closure of
    /// the policy goes through to who polls; the items stay in the operator.
    fn batch_with(self, policy: BatchPolicy<Self::Item>) -> Batched<Self, Detailed>
    where
        Self: Sized,
    {
        Batched::new(self, policy)
    }

    /// Batches of the `Ok` items of a fallible stream; an error comes by itself, after a batch of what came before it.
    ///
    /// Nothing is lost, and an error does not end the stream unless it ends its input. Otherwise as
    /// [`batch`](Self::batch).
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use futures::StreamExt;
    /// use pushpull::prelude::*;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let input = futures::stream::iter([Ok(1), Ok(2), Err("broken row"), Ok(3)]);
    /// let mut batches = input.try_batch(10, Duration::from_secs(1));
    ///
    /// assert_eq!(batches.next().await, Some(Ok(vec![1, 2])));
    /// assert_eq!(batches.next().await, Some(Err("broken row")));
    /// assert_eq!(batches.next().await, Some(Ok(vec![3])));
    /// assert_eq!(batches.next().await, None);
    /// # }
    /// ```
    ///
    /// # Back-pressure
    ///
    /// As [`batch`](Self::batch).
    ///
    /// # Cancel safety
    ///
    /// As [`batch`](Self::batch). An error that waits behind its batch is held like the items;
    /// [`TryBatched::into_parts`](crate::batch::TryBatched::into_parts) gives back both.
    ///
    /// # Errors
    ///
    /// Yields those of the input, in their place.
    ///
    /// # Panics
    ///
    /// As [`batch`](Self::batch).
    #[track_caller]
    fn try_batch(self, max: usize, within: Duration) -> TryBatched<Self>
    where
        Self: TryStream + Sized,
    {
        TryBatched::new(self, BatchPolicy::plain(max, within))
    }

    /// [`try_batch`](Self::try_batch) after a [`BatchPolicy`], with the reason why each batch closed and the age of its
    /// oldest item.
    ///
    /// ```
    /// use futures::StreamExt;
    /// use pushpull::batch::{BatchPolicy, FlushReason};
    /// use pushpull::prelude::*;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let input = futures::stream::iter([Ok(1), Ok(2), Err("broken row")]);
    /// let mut batches = input.try_batch_with(BatchPolicy::items(10));
    ///
    /// let first = batches.next().await.expect("there is input").expect("two good rows");
    /// assert_eq!((first.items, first.reason), (vec![1, 2], FlushReason::Error));
    /// assert_eq!(batches.next().await, Some(Err("broken row")));
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// As [`try_batch`](Self::try_batch).
    ///
    /// # Errors
    ///
    /// Yields those of the input, in their place.
    ///
    /// # Panics
    ///
    /// As [`batch_with`](Self::batch_with).
    fn try_batch_with(self, policy: BatchPolicy<Self::Ok>) -> TryBatched<Self, Detailed>
    where
        Self: TryStream + Sized,
    {
        TryBatched::new(self, policy)
    }

    // -- rate --

    /// Holds each item back until the limiter has a unit for it. Items, order and end stay as they are.
    ///
    /// `limiter` is a [`RateLimit`](crate::rate::RateLimit), or a [`RateLimiter`] by value or
    /// by reference, which several streams and sinks can share and whose limit can be changed while they run. The
    /// bucket starts full: the burst passes at once. An item that waits when the input ends is still delivered.
    ///
    /// An adaptor which has to wait stands in the limiter's line, in the order of coming. Where it is not polled when
    /// its turn comes, the others go past it after 100 milliseconds; it is the first again when it is polled.
    ///
    /// # Back-pressure
    ///
    /// While an item waits, the input is not polled.
    ///
    /// # Cancel safety
    ///
    /// The item that waits stays in the adaptor; `into_inner` gives it back.
    ///
    /// # Panics
    ///
    /// Where it has to wait outside of a tokio runtime, or in one without its time driver.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use futures::StreamExt;
    /// use pushpull::{prelude::*, rate::RateLimit};
    /// use tokio::time::Instant;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// let start = Instant::now();
    /// let limit = RateLimit::per_second(10).burst(2);
    /// let passed = futures::stream::iter(1..=4).rate_limit(limit);
    /// let at: Vec<_> = passed.map(|n| (n, start.elapsed().as_millis())).collect().await;
    /// assert_eq!(at, [(1, 0), (2, 0), (3, 100), (4, 200)]);
    ///
    /// let mut waiting = futures::stream::iter(1..=4).rate_limit(limit.burst(1));
    /// assert_eq!(waiting.next().await, Some(1));
    /// let second = tokio::time::timeout(Duration::from_millis(50), waiting.next()).await;
    /// assert!(second.is_err(), "too early");
    /// assert_eq!(waiting.into_inner().1, Some(2));
    /// # }
    /// ```
    #[cfg(feature = "rate")]
    fn rate_limit(self, limiter: impl Into<RateLimiter>) -> RateLimited<Self>
    where
        Self: Sized,
    {
        RateLimited::new(self, limiter.into(), PerItem)
    }

    /// [`rate_limit`](Self::rate_limit) for items that cost different amounts: bytes, say.
    ///
    /// An item that costs more than the burst waits for as long as its whole cost takes; it is neither refused nor
    /// overtaken. One that costs 0 passes at once. `cost` is called once for each item; where it panics, the item is
    /// kept and `cost` is called again at the next poll.
    ///
    /// # Back-pressure
    ///
    /// While an item waits, the input is not polled.
    ///
    /// # Cancel safety
    ///
    /// The item that waits stays in the adaptor; `into_inner` gives it back. What it had been paid returns to the
    /// bucket when the adaptor is dropped.
    ///
    /// # Panics
    ///
    /// Where it has to wait outside of a tokio runtime, or in one without its time driver.
    ///
    /// ```
    /// use futures::StreamExt;
    /// use pushpull::{prelude::*, rate::RateLimit};
    /// use tokio::time::Instant;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// let start = Instant::now();
    /// let bytes = RateLimit::per_second(10).burst(4);
    /// let passed = futures::stream::iter(["four", "", "twelve bytes", "x"])
    ///     .rate_limit_weighted(bytes, |text| text.len() as u32);
    /// let at: Vec<_> = passed.map(|text| (text, start.elapsed().as_millis())).collect().await;
    /// assert_eq!(at, [("four", 0), ("", 0), ("twelve bytes", 1_200), ("x", 1_300)]);
    /// # }
    /// ```
    #[cfg(feature = "rate")]
    fn rate_limit_weighted<F>(
        self,
        limiter: impl Into<RateLimiter>,
        cost: F,
    ) -> RateLimited<Self, Weighted<F>>
    where
        Self: Sized,
        F: FnMut(&Self::Item) -> u32,
    {
        RateLimited::new(self, limiter.into(), Weighted(cost))
    }

    /// [`rate_limit`](Self::rate_limit) for each key by itself: a bucket per user, address or topic.
    ///
    /// Order stays as it is: an item that waits for its key holds back the others behind it, whatever their keys.
    /// `key` is called once for each item; where it panics, the item is kept and `key` is called again at the next
    /// poll.
    ///
    /// # Back-pressure
    ///
    /// While an item waits, the input is not polled.
    ///
    /// # Cancel safety
    ///
    /// The item that waits stays in the adaptor; `into_inner` gives it back.
    ///
    /// # Panics
    ///
    /// Where it has to wait outside of a tokio runtime, or in one without its time driver.
    ///
    /// ```
    /// use futures::StreamExt;
    /// use pushpull::{prelude::*, rate::RateLimit};
    /// use tokio::time::Instant;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// let start = Instant::now();
    /// let calls = futures::stream::iter([("ann", 1), ("bob", 2), ("ann", 3), ("eve", 4)]);
    /// let passed = calls.rate_limit_by(RateLimit::per_second(1), |(user, _)| *user);
    /// let at: Vec<_> = passed.map(|(_, n)| (n, start.elapsed().as_secs())).collect().await;
    /// assert_eq!(at, [(1, 0), (2, 0), (3, 1), (4, 1)], "eve waits behind ann");
    /// # }
    /// ```
    #[cfg(feature = "rate")]
    fn rate_limit_by<K, F>(
        self,
        limiter: impl Into<KeyedRateLimiter<K>>,
        key: F,
    ) -> RateLimitedBy<Self, K, F>
    where
        Self: Sized,
        K: Clone + Eq + Hash,
        F: FnMut(&Self::Item) -> K,
    {
        RateLimitedBy::new(self, limiter.into(), key)
    }

    /// Marks the items that are over the limit instead of holding them back: `Ok(item)` where the limiter has a unit,
    /// otherwise `Err(Limited)` with the item and the time after which it would pass. Never waits.
    ///
    /// # Back-pressure
    ///
    /// None of its own: each poll is passed on once.
    ///
    /// # Cancel safety
    ///
    /// It holds no item.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use futures::StreamExt;
    /// use pushpull::{prelude::*, rate::RateLimit};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// let mut policed = futures::stream::iter(1..=3).police(RateLimit::per_second(4).burst(2));
    /// assert_eq!(policed.next().await, Some(Ok(1)));
    /// assert_eq!(policed.next().await, Some(Ok(2)));
    /// let limited = policed.next().await.unwrap().unwrap_err();
    /// assert_eq!((limited.item, limited.retry_after), (3, Duration::from_millis(250)));
    /// # }
    /// ```
    #[cfg(feature = "rate")]
    fn police(self, limiter: impl Into<RateLimiter>) -> Policed<Self>
    where
        Self: Sized,
    {
        Policed::new(self, limiter.into())
    }

    // -- queue: buffer --

    /// Lets the stream run ahead of its consumer by up to `capacity` items, in a task of its own.
    ///
    /// The task is spawned at once and ends with the stream, or when what this returns is dropped. Order and items stay
    /// as they are. A stream that panics does so where its consumer polls: after the items that came before, the panic
    /// goes on there, and then the stream has ended.
    ///
    /// # Back-pressure
    /// The task pulls one item more than fits and waits with it.
    ///
    /// # Cancel safety
    /// Dropping a `next` loses nothing. Dropping the stream drops what is buffered.
    ///
    /// # Panics
    /// If `capacity` is 0, and outside of a tokio runtime.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
    /// use std::time::Duration;
    /// use futures::{StreamExt, stream};
    /// use pushpull::prelude::*;
    /// use tokio::time::{Instant, sleep};
    ///
    /// let second = Duration::from_secs(1);
    /// let slow = stream::iter(1..=3).then(move |n| async move { sleep(second).await; n });
    /// let mut ahead = slow.buffer(8);
    /// let started = Instant::now();
    /// let mut seen = Vec::new();
    /// while let Some(n) = ahead.next().await {
    ///     sleep(second).await; // the next item is on its way meanwhile
    ///     seen.push(n);
    /// }
    /// assert_eq!(seen, [1, 2, 3]);
    /// assert_eq!(started.elapsed(), 4 * second);
    /// # }
    /// ```
    #[track_caller]
    fn buffer(self, capacity: usize) -> Buffered<Self::Item>
    where
        Self: Sized + Send + 'static,
        Self::Item: Send + 'static,
    {
        self.buffer_with(queue::builder().capacity(capacity))
    }

    /// As [`buffer`](Self::buffer), over a queue of your making: bounded by weight, named, or dropping.
    ///
    /// Under [`Overflow::Reject`](queue::Overflow::Reject) an item that finds no room is refused, and so is one that is
    /// too heavy under any policy: it is counted `refused`, handed to `on_drop`, and the stream goes on.
    /// [`Buffered::stats`] shows the counters.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use futures::{StreamExt, stream};
    /// use pushpull::{prelude::*, queue::{self, Overflow}};
    ///
    /// let newest = queue::builder().capacity(2).overflow(Overflow::DropOldest);
    /// let ticks = stream::iter(1..=5).buffer_with(newest);
    /// tokio::task::yield_now().await; // the task runs ahead
    /// assert_eq!(ticks.stats().dropped_oldest, 3);
    /// assert_eq!(ticks.collect::<Vec<_>>().await, [4, 5]);
    /// # }
    /// ```
    #[track_caller]
    fn buffer_with(self, queue: queue::Builder<Self::Item>) -> Buffered<Self::Item>
    where
        Self: Sized + Send + 'static,
        Self::Item: Send + 'static,
    {
        Buffered::spawn(self, queue)
    }

    // -- broadcast --

    /// Publishes the items to every subscriber of the hub, through a log of at most `capacity` items.
    ///
    /// The first subscription spawns a task on tokio that pulls the stream, and sees every item. The task pulls while
    /// somebody is subscribed, at most one item ahead of what the log takes, and rests while nobody is, so that nothing
    /// is published to nobody. When the stream ends the hub closes: subscribers read what is in the log, then end. The
    /// task ends with the stream, or when the hub, its clones and all subscribers are gone, and drops the stream then.
    ///
    /// If the stream panics its task ends, and subscribers see the end as if the stream had ended there. Items must be
    /// `Clone`, `Send` and `Sync` for anybody to subscribe.
    ///
    /// # Back-pressure
    ///
    /// The stream is pulled no faster than the slowest lossless subscriber reads. Lossy ones are told what they missed.
    ///
    /// # Panics
    ///
    /// If `capacity` is 0. The first subscription panics outside of a tokio runtime.
    ///
    /// ```
    /// use futures::{StreamExt, stream};
    /// use pushpull::broadcast::{Lagged, Lossy};
    /// use pushpull::prelude::*;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let hub = stream::iter(1..=4).broadcast(2);
    /// let all = hub.subscribe();
    /// let big = hub.subscribe().filter(|n| std::future::ready(*n > 2));
    /// let slow = hub.subscribe_lossy(Lossy::DropOldest);
    ///
    /// let (all, big): (Vec<_>, Vec<_>) = tokio::join!(all.collect(), big.collect());
    /// assert_eq!((all, big), (vec![1, 2, 3, 4], vec![3, 4]));
    ///
    /// let slow: Vec<_> = slow.collect().await;
    /// assert_eq!(slow, [Err(Lagged { missed: 2 }), Ok(3), Ok(4)]);
    /// # }
    /// ```
    #[track_caller]
    fn broadcast(self, capacity: usize) -> Hub<Self::Item>
    where
        Self: Sized + Send + 'static,
    {
        Hub::new(self, capacity)
    }

    // -- meter --

    /// Counts the items that pass, and how often the stream was waited for, under a name in the
    /// [registry](crate::meter::registry). Items, order, end and `size_hint` stay as they are.
    ///
    /// Of two equal names the later one gets an index: `parsed`, `parsed#2`. The entry leaves with the stream; its last
    /// counters stay for the next snapshot. An item costs one store: no lock and no clock.
    ///
    /// # Back-pressure
    ///
    /// None of its own: each poll is passed on once.
    ///
    /// # Cancel safety
    ///
    /// It holds no item; dropping it loses nothing that the stream had not handed out.
    ///
    /// ```
    /// use futures::StreamExt;
    /// use pushpull::{meter, prelude::*};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let parsed = futures::stream::iter(["1", "x", "3"]).map(str::parse::<u8>).metered("parsed");
    /// let seen: Vec<_> = parsed.collect().await;
    /// assert_eq!(seen[0], Ok(1));
    /// assert!(seen[1].is_err(), "an error of a stream is an item like any other");
    ///
    /// let snapshot = meter::registry().snapshot();
    /// let parsed = snapshot.operator("parsed").expect("gone, and so in one more snapshot");
    /// assert_eq!((parsed.items, parsed.errors, parsed.ended), (3, 0, true));
    /// assert!(meter::registry().snapshot().operator("parsed").is_none());
    /// # }
    /// ```
    fn metered(self, name: impl Into<String>) -> Metered<Self>
    where
        Self: Sized,
    {
        Metered::new(self, &name.into())
    }

    // -- pump --

    /// Says so whenever the stream has had no item for `silence`: `Ok(item)` or `Err(Elapsed)`, in the order they
    /// came about.
    ///
    /// The clock of a silence starts at the poll that finds no item, so a consumer that is slow to ask is not held
    /// against the stream. The stream goes on after a silence, and each further one is reported too. An item that is
    /// there when time is up wins. With [`Duration::ZERO`] each poll that finds nothing answers `Err`; a duration
    /// beyond the clock's reach never ends.
    ///
    /// # Cancel safety
    /// No item is ever held. A `next` that is dropped does not restart the clock.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
    /// use std::time::Duration;
    /// use futures::StreamExt;
    /// use pushpull::prelude::*;
    ///
    /// let bursts = async_stream::stream! {
    ///     yield 1;
    ///     tokio::time::sleep(Duration::from_secs(25)).await;
    ///     yield 2;
    /// };
    /// let seen: Vec<_> = bursts.item_timeout(Duration::from_secs(10)).map(Result::ok).collect().await;
    /// assert_eq!(seen, [Some(1), None, None, Some(2)]);
    /// # }
    /// ```
    fn item_timeout(self, silence: Duration) -> ItemTimeout<Self>
    where
        Self: Sized,
    {
        ItemTimeout::new(self, silence)
    }

    /// Moves every item into `sink`, and flushes it whenever the stream has nothing to give.
    ///
    /// The pump is a future: await it, spawn it, or keep it. It ends when the stream ends, when the sink fails, or
    /// when [`until`](Pump::until) resolves, and says which and how many items went through. Stream and sink are
    /// dropped then, so that both sides learn of it. The sink is closed only where
    /// [`close_sink(true)`](Pump::close_sink) asks for it. To keep either of them, lend it: `(&mut items)`,
    /// `pump_into(&mut sink)`.
    ///
    /// One item is pulled at a time and held until the sink has room for it: an idle pump occupies no room, so many
    /// of them can share a small queue. One unit of tokio's cooperative budget is spent an item, so a pump between
    /// two sides that are always ready lets its neighbours run.
    ///
    /// # Back-pressure
    /// While the sink has no room nothing is pulled.
    ///
    /// # Cancel safety
    /// A pump that is dropped drops what it owns: the stream, the sink, and at most one item, which waited for room;
    /// [`Pump::into_remainder`] saves it. With `until` that item still goes out. What operators *in* the stream hold
    /// (an open batch, an item that waits for its rate, a buffer) goes with the stream, however the pump ends. So close
    /// the input and let the pump come to its end, or end the stream before those operators
    /// (`rx.take_until(token).batch(..)`), or lend the pump the stream and ask it for its remainder afterwards:
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
    /// use std::time::Duration;
    /// use pushpull::{prelude::*, push, queue};
    ///
    /// let (tx, rx) = queue::bounded(10);
    /// for n in 0..5 {
    ///     tx.push(n).await.unwrap();
    /// }
    /// let mut batches = rx.batch(3, Duration::from_secs(60));
    /// let store = push::each(|_batch: Vec<i32>| async { Ok::<(), String>(()) });
    /// let soon = tokio::time::sleep(Duration::from_secs(1));
    /// let pumped = (&mut batches).pump_into(store).until(soon).await.unwrap();
    /// assert_eq!((pumped.items, batches.into_remainder()), (1, vec![3, 4]));
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`PumpError`](crate::pump::PumpError): the sink's error, the item where the sink had not taken it, and the count
    /// so far. A [queue] that is closed ends the pump at once, also while the stream is idle. Other sinks
    /// may have no way to say so before the next item; where somebody else knows, tell the pump with
    /// [`until`](Pump::until). For `?` into an error type that is no [`Error`](std::error::Error) itself, or where items
    /// may not travel in an error, take the sink's error alone: `.map_err(PumpError::into_error)?`.
    ///
    /// A stream of results goes into a sink of values with futures' adaptors: `sink.sink_err_into().with(ready)`.
    ///
    /// At the end the sink is flushed. A [batching sink](crate::PushExt::sink_batch) that holds part of a batch then waits
    /// for its age; with [`close_sink(true)`](Pump::close_sink) it leaves at once.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use futures::{StreamExt, channel::mpsc, stream};
    /// use pushpull::{prelude::*, pump::Ended};
    ///
    /// let (tx, rx) = mpsc::channel(8);
    /// let pumped = stream::iter(1..=3).pump_into(tx).await.unwrap();
    /// assert_eq!((pumped.items, pumped.ended), (3, Ended::Source));
    /// assert_eq!(rx.collect::<Vec<_>>().await, [1, 2, 3]);
    ///
    /// let (tx, rx) = mpsc::channel(8);
    /// drop(rx);
    /// let error = stream::iter(1..=3).pump_into(tx).await.unwrap_err();
    /// assert_eq!((error.items, error.into_item()), (0, Some(1)));
    /// # }
    /// ```
    fn pump_into<Si>(self, sink: Si) -> Pump<Self, Si>
    where
        Self: Sized,
        Si: Sink<Self::Item>,
    {
        Pump::new(self, sink)
    }
}

impl<S: Stream + ?Sized> PullExt for S {}
