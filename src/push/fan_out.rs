//! [`FanOut`]: every item to every one of several sinks.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_sink::Sink;

/// Makes one sink of many: every item goes to each of `sinks`, cloned for all but the last.
///
/// A leg that fails is taken out, dropped and named, by its place in `sinks`, in [`FanOut::failures`]; the others go
/// on. Sinks of different types fit as `Pin<Box<dyn Sink<T, Error = E>>>`. To read the failures after a pump, lend
/// it the sink: `items.pump_into(&mut all)`.
///
/// # Back-pressure
/// The slowest leg holds back the others: there is room when every leg has room. Give a leg that must not do so a
/// queue that drops (see [`Overflow`](crate::queue::Overflow)), or publish to a [`broadcast`](crate::broadcast).
///
/// # Errors
/// [`FanOutError`] when no leg is left, and from then on.
///
/// # Panics
/// A panic of `T`'s `clone` goes through to the caller; legs before the one it happened at have the item.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use futures::{SinkExt, StreamExt, channel::mpsc, stream};
/// use pushpull::{prelude::*, push};
///
/// let (left, left_rx) = mpsc::channel(8);
/// let (right, right_rx) = mpsc::channel(8);
/// drop(left_rx); // nobody listens on the left
///
/// let mut both = push::fan_out([left, right]);
/// stream::iter([1, 2]).pump_into(&mut both).await.unwrap();
///
/// let failed: Vec<_> = both.take_failures().into_iter().map(|failure| failure.leg).collect();
/// assert_eq!(failed, [0]);
/// drop(both);
/// assert_eq!(right_rx.collect::<Vec<_>>().await, [1, 2]);
/// # }
/// ```
pub fn fan_out<T, I>(sinks: I) -> FanOut<I::Item, <I::Item as Sink<T>>::Error>
where
    I: IntoIterator<Item: Sink<T>>,
{
    let legs = sinks.into_iter().enumerate();
    FanOut {
        legs: legs
            .map(|(leg, sink)| Leg {
                leg,
                sink: Box::pin(sink),
                closed: false,
            })
            .collect(),
        failures: Vec::new(),
    }
}

/// Sink of [`fan_out`].
#[must_use = "sinks do nothing unless polled"]
pub struct FanOut<S, E> {
    legs: Vec<Leg<S>>,
    failures: Vec<LegFailure<E>>,
}

struct Leg<S> {
    leg: usize,
    sink: Pin<Box<S>>,
    closed: bool,
}

impl<S, E> FanOut<S, E> {
    /// How many legs are left.
    pub fn len(&self) -> usize {
        self.legs.len()
    }

    /// Whether no leg is left.
    pub fn is_empty(&self) -> bool {
        self.legs.is_empty()
    }

    /// The legs that failed, in the order they did, as far as they have not been taken.
    pub fn failures(&self) -> &[LegFailure<E>] {
        &self.failures
    }

    /// Takes what [`failures`](Self::failures) shows.
    pub fn take_failures(&mut self) -> Vec<LegFailure<E>> {
        std::mem::take(&mut self.failures)
    }

    /// Gives back the legs that are left, each with its place.
    pub fn into_inner(self) -> Vec<(usize, S)>
    where
        S: Unpin,
    {
        self.legs
            .into_iter()
            .map(|leg| (leg.leg, *Pin::into_inner(leg.sink)))
            .collect()
    }

    /// Runs `step` on every leg before it combines what they said, and takes out those that failed.
    fn every(
        &mut self,
        mut step: impl FnMut(&mut Leg<S>) -> Poll<Result<(), E>>,
    ) -> Poll<Result<(), FanOutError<E>>> {
        let mut pending = false;
        let mut at = 0;
        while let Some(leg) = self.legs.get_mut(at) {
            match step(leg) {
                Poll::Ready(Ok(())) => at += 1,
                Poll::Ready(Err(error)) => self.fail(at, error),
                Poll::Pending => {
                    pending = true;
                    at += 1;
                }
            }
        }
        if self.legs.is_empty() {
            return Poll::Ready(Err(self.all_failed()));
        }
        if pending {
            Poll::Pending
        } else {
            Poll::Ready(Ok(()))
        }
    }

    fn fail(&mut self, at: usize, error: E) {
        let leg = self.legs.remove(at);
        #[cfg(feature = "tracing")]
        tracing::warn!(
            leg = leg.leg,
            left = self.legs.len(),
            "a leg of a fan-out failed"
        );
        self.failures.push(LegFailure {
            leg: leg.leg,
            error,
        });
    }

    fn all_failed(&mut self) -> FanOutError<E> {
        FanOutError {
            failures: self.take_failures(),
        }
    }
}

// Each sink is pinned in an allocation of its own.
impl<S, E> Unpin for FanOut<S, E> {}

impl<T: Clone, S: Sink<T>> Sink<T> for FanOut<S, S::Error> {
    type Error = FanOutError<S::Error>;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.every(|leg| leg.sink.as_mut().poll_ready(cx))
    }

    fn start_send(mut self: Pin<&mut Self>, item: T) -> Result<(), Self::Error> {
        let mut at = 0;
        while at + 1 < self.legs.len() {
            match self.legs[at].sink.as_mut().start_send(item.clone()) {
                Ok(()) => at += 1,
                Err(error) => self.fail(at, error),
            }
        }
        if let Some(last) = self.legs.get_mut(at) {
            if let Err(error) = last.sink.as_mut().start_send(item) {
                self.fail(at, error);
            }
        }
        if self.legs.is_empty() {
            Err(self.all_failed())
        } else {
            Ok(())
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.every(|leg| match leg.closed {
            true => Poll::Ready(Ok(())),
            false => leg.sink.as_mut().poll_flush(cx),
        })
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.every(|leg| {
            if leg.closed {
                return Poll::Ready(Ok(()));
            }
            let closed = leg.sink.as_mut().poll_close(cx);
            leg.closed = matches!(closed, Poll::Ready(Ok(())));
            closed
        })
    }
}

impl<S, E> fmt::Debug for FanOut<S, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failed: Vec<_> = self.failures.iter().map(|failure| failure.leg).collect();
        f.debug_struct("FanOut")
            .field("legs", &self.legs.len())
            .field("failed", &failed)
            .finish_non_exhaustive()
    }
}

/// A leg of a [`FanOut`] that failed and was taken out.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegFailure<E> {
    /// Its place among the sinks given to [`fan_out`], from 0.
    pub leg: usize,
    /// What it said.
    pub error: E,
}

impl<E> fmt::Display for LegFailure<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "leg {} of a fan-out failed", self.leg)
    }
}

impl<E: Error + 'static> Error for LegFailure<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.error)
    }
}

/// No leg of a [`FanOut`] is left.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FanOutError<E> {
    /// The failures that had not been taken yet, in the order they came. The last one was the last leg's.
    pub failures: Vec<LegFailure<E>>,
}

impl<E> fmt::Display for FanOutError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("every leg of a fan-out has failed")
    }
}

impl<E: Error + 'static> Error for FanOutError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.failures
            .last()
            .map(|failure| failure as &(dyn Error + 'static))
    }
}
