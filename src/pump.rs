//! [`Pump`]: moves items from a `Stream` into a `Sink`, flushes when there is nothing to move, and says how it ended.
//!
//! A pump is a future: await it in place, or spawn it. It is made by
//! [`PullExt::pump_into`](crate::PullExt::pump_into), whose documentation holds the rules. Two more put a queue and a
//! task behind one end: [`PullExt::buffer`](crate::PullExt::buffer) lets a stream run ahead, and
//! [`PushExt::spawn`](crate::PushExt::spawn) keeps a sink polled. Whatever is spawned ends with its handle: drop
//! [`Buffered`], [`Driver`] or [`Workers`](crate::queue::Workers), and the task ends.
//!
//! # Shutdown in three steps
//!
//! 1. *Close the intake*: [`until`](Pump::until) ends the pumps, or `close` refuses further pushes. What is queued is
//!    still worked on.
//! 2. *Drain*: [`Consumer::drain`](crate::queue::Consumer::drain) waits for the consumers, with a limit, and then takes
//!    what is left.
//! 3. *Abort*: [`Consumer::abort`](crate::queue::Consumer::abort) takes what is left at once; `abort` of a handle, or
//!    dropping it, stops the tasks.
//!
//! What operators between queue and sink hold, an open batch say, ends with the stream that holds it: where it matters,
//! let the pump come to its end after step one, or lend it the stream and ask for the remainder
//! (see [`pump_into`](crate::PullExt::pump_into)). What a queue holds is never unaccounted for:
//!
//! ```
//! # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
//! use std::time::Duration;
//! use futures::stream;
//! use pushpull::{prelude::*, pump::Ended, queue};
//! use tokio_util::sync::CancellationToken;
//!
//! let stop = CancellationToken::new();
//! let (tx, rx) = queue::bounded(8);
//! let intake = stream::iter(0u64..).pump_into(tx).until(stop.clone().cancelled_owned());
//! let intake = tokio::spawn(intake);
//! let mut workers = rx.clone().workers(2, |_order| tokio::time::sleep(Duration::from_secs(1)));
//!
//! tokio::time::sleep(Duration::from_millis(2500)).await;
//! stop.cancel(); // one: nothing more comes in
//! let pumped = intake.await.unwrap().unwrap(); // the item in its hand has found room
//! assert_eq!(pumped.ended, Ended::Until);
//!
//! let drained = rx.drain(Duration::from_millis(1500)).await; // two: finish what you can
//! assert!(drained.timed_out);
//!
//! workers.abort(); // three: nobody waits any longer
//! let report = (&mut workers).await;
//! assert_eq!((report.handled, report.cancelled, drained.left.len()), (8, 2, 5));
//! assert_eq!(pumped.items, 8 + 2 + 5);
//! # }
//! ```

mod buffer;
mod driver;
mod report;

use std::fmt;
use std::future::Pending;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use futures_core::future::FusedFuture;
use futures_sink::Sink;
use pin_project_lite::pin_project;

use crate::coop;

pub use buffer::Buffered;
pub use driver::{Driver, DriverError};
pub use report::{Ended, PumpError, Pumped};

pin_project! {
    /// Moves every item of a stream into a sink; made by [`PullExt::pump_into`](crate::PullExt::pump_into).
    ///
    /// Resolves to [`Pumped`] when the stream ends or [`until`](Pump::until) comes, and to [`PumpError`] when the
    /// sink fails. Stream, sink and `until` are dropped at that moment, also where the pump itself lives on.
    ///
    /// # Panics
    /// Where it is polled again after it ended.
    #[must_use = "a pump does nothing unless it is awaited or spawned"]
    pub struct Pump<St, Si, U = Pending<()>>
    where
        St: Stream,
    {
        #[pin]
        source: Option<St>,
        #[pin]
        sink: Option<Si>,
        #[pin]
        until: Option<U>,
        held: Option<St::Item>,
        items: u64,
        unflushed: bool,
        close_sink: bool,
        phase: Phase,
    }
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Pumping,
    /// The intake is closed. What is held still goes out, then the sink is flushed or closed.
    Ending(Ended),
    Over,
}

impl<St: Stream, Si> Pump<St, Si> {
    pub(crate) fn new(source: St, sink: Si) -> Self {
        Self {
            source: Some(source),
            sink: Some(sink),
            until: None,
            held: None,
            items: 0,
            unflushed: false,
            close_sink: false,
            phase: Phase::Pumping,
        }
    }
}

impl<St: Stream, Si, U> Pump<St, Si, U> {
    /// Whether the sink is closed, instead of only flushed, when the stream ends or `until` comes. Off by default,
    /// so that several pumps can share a sink's far side. A sink that failed is never closed.
    pub fn close_sink(mut self, close: bool) -> Self {
        self.close_sink = close;
        self
    }

    /// Ends the pump when `until` resolves: nothing more is pulled, an item already pulled still goes out, the sink
    /// is flushed (or closed), and the pump reports [`Ended::Until`]. Replaces an earlier `until`.
    ///
    /// `until` is looked at before each pull. As the last item and the flush may have to wait for the sink, wrap the
    /// pump in `tokio::time::timeout` where the end has to be bounded too.
    ///
    /// A cancellation token is the usual `until`:
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
    /// use futures::{SinkExt, StreamExt, sink, stream};
    /// use pushpull::{prelude::*, pump::Ended};
    /// use tokio_util::sync::CancellationToken;
    ///
    /// let token = CancellationToken::new();
    /// let endless = stream::iter([1, 2, 3]).chain(stream::pending());
    /// let pump = endless.pump_into(sink::drain()).until(token.clone().cancelled_owned());
    /// let task = tokio::spawn(pump);
    ///
    /// tokio::task::yield_now().await;
    /// token.cancel();
    /// let pumped = task.await.unwrap().unwrap();
    /// assert_eq!((pumped.items, pumped.ended), (3, Ended::Until));
    /// # }
    /// ```
    pub fn until<F: Future>(self, until: F) -> Pump<St, Si, F> {
        Pump {
            source: self.source,
            sink: self.sink,
            until: Some(until),
            held: self.held,
            items: self.items,
            unflushed: self.unflushed,
            close_sink: self.close_sink,
            phase: self.phase,
        }
    }

    /// How many items the sink has taken so far.
    pub fn items(&self) -> u64 {
        self.items
    }

    /// Gives back the item that was pulled and still waits for the sink, if there is one: for a pump that is given
    /// up half-way.
    pub fn into_remainder(self) -> Option<St::Item> {
        self.held
    }
}

impl<St, Si, U> Pump<St, Si, U>
where
    St: Stream,
    Si: Sink<St::Item>,
    U: Future,
{
    fn poll_run(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Ended, Si::Error>> {
        let mut this = self.project();
        let (Some(mut source), Some(mut sink)) = (this.source.as_pin_mut(), this.sink.as_pin_mut())
        else {
            panic!("`Pump` polled after it ended");
        };
        loop {
            if this.held.is_some() {
                ready!(sink.as_mut().poll_ready(cx))?;
                if let Some(item) = this.held.take() {
                    sink.as_mut().start_send(item)?;
                    *this.items += 1;
                    *this.unflushed = true;
                }
            }
            if let (Phase::Pumping, Some(until)) = (*this.phase, this.until.as_mut().as_pin_mut()) {
                if until.poll(cx).is_ready() {
                    *this.phase = Phase::Ending(Ended::Until);
                }
            }
            if let Phase::Ending(ended) = *this.phase {
                if *this.close_sink {
                    ready!(sink.as_mut().poll_close(cx))?;
                } else if *this.unflushed {
                    ready!(sink.as_mut().poll_flush(cx))?;
                }
                return Poll::Ready(Ok(ended));
            }
            // One look at the budget an item. The unit is given back by a source that is idle; one that is pending because
            // there is no budget may well be ready, which is no reason to flush.
            let mut idle = false;
            let polled = coop::spend(cx, |cx| match source.as_mut().poll_next(cx) {
                Poll::Pending if coop::has_budget() => {
                    idle = true;
                    Poll::Pending
                }
                polled => Poll::Ready(polled),
            });
            match polled {
                Poll::Ready(Poll::Ready(Some(item))) => *this.held = Some(item),
                Poll::Ready(Poll::Ready(None)) => *this.phase = Phase::Ending(Ended::Source),
                Poll::Ready(Poll::Pending) => ready!(coop::has_or_yield(cx)),
                Poll::Pending if !idle => return Poll::Pending,
                Poll::Pending => {
                    // Also where all is flushed: it is how a sink can say that its far side has gone.
                    ready!(sink.as_mut().poll_flush(cx))?;
                    *this.unflushed = false;
                    return Poll::Pending;
                }
            }
        }
    }
}

impl<St, Si, U> Future for Pump<St, Si, U>
where
    St: Stream,
    Si: Sink<St::Item>,
    U: Future,
{
    type Output = Result<Pumped, PumpError<St::Item, Si::Error>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = ready!(self.as_mut().poll_run(cx));
        let mut this = self.project();
        *this.phase = Phase::Over;
        let item = this.held.take();
        // Both sides learn of the end now, not when somebody drops the pump.
        this.source.set(None);
        this.sink.set(None);
        this.until.set(None);
        let items = *this.items;
        Poll::Ready(match outcome {
            Ok(ended) => Ok(Pumped { items, ended }),
            Err(error) => Err(PumpError { error, item, items }),
        })
    }
}

impl<St, Si, U> FusedFuture for Pump<St, Si, U>
where
    St: Stream,
    Si: Sink<St::Item>,
    U: Future,
{
    fn is_terminated(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }
}

impl<St: Stream, Si, U> fmt::Debug for Pump<St, Si, U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pump")
            .field("items", &self.items)
            .field("holds", &self.held.is_some())
            .field("close_sink", &self.close_sink)
            .field("phase", &self.phase)
            .finish_non_exhaustive()
    }
}
