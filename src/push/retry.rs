//! [`Retry`]: a `Sink` that is made anew when it fails, and sent again what may not have arrived.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use backon::BackoffBuilder;
use futures_sink::Sink;
use tokio::time::{Sleep, sleep};

/// Items kept for sending again, unless [`Retry::window`] says otherwise.
const WINDOW: usize = 1024;

/// Makes a sink that connects with `make`, and after an error connects again and goes on where the last flush ended.
///
/// `make` is called when the first item wants to go, and again after each failure, whether it was the connection's or
/// `make`'s own, once the wait that `backoff` names next is over. A flush that succeeds ends a row of failures: the
/// next one starts a new backoff. `backoff` is one of the `backon` crate's builders, or any cloneable iterator of
/// `Duration`s. Waits run on tokio's clock. Needs the feature `retry`.
///
/// # At least once
/// A copy of each item is kept until a flush (or a close) of the sink that took it has succeeded, and is sent again,
/// in order, to the next one. So an item may arrive twice, but is never passed over. What "flushed" is worth is up to
/// the sink: for a socket it means handed to the operating system, so an acknowledged protocol wants a sink whose
/// flush waits for the acknowledgement.
///
/// # Back-pressure
/// That of the sink underneath; there is no room while it is being made. At most [`window`](Retry::window) items
/// are kept, by default 1024; then the sink is flushed before more are taken.
///
/// # Errors
/// The last error, when `backoff` names no more waits. Nothing is lost by it: the items are still held, the next
/// poll starts over with a new backoff, and [`Retry::into_remainder`] gives them back.
///
/// # Cancel safety
/// A wait that is dropped loses nothing: what was taken stays held.
///
/// # Panics
/// `start_send` without room panics, and so does sending after `poll_close` was Ready.
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// use std::time::Duration;
/// use futures::{SinkExt, channel::mpsc};
/// use pushpull::push;
///
/// let (first, first_rx) = mpsc::channel::<u32>(8);
/// let (second, mut second_rx) = mpsc::channel(8);
/// let mut connections = vec![second, first];
/// let wait = [Duration::from_secs(1)].into_iter();
///
/// let mut sink = push::retry(
///     || std::future::ready(Ok(connections.pop().expect("two connections are enough"))),
///     wait,
/// );
/// sink.feed(1).await.unwrap();
/// drop(first_rx);                 // it goes before anything was flushed
/// sink.send(2).await.unwrap();
/// assert_eq!(second_rx.try_recv().unwrap(), 1);
/// assert_eq!(second_rx.try_recv().unwrap(), 2);
///
/// drop(second_rx);
/// let mut nowhere = push::retry(
///     || std::future::ready(Err::<mpsc::Sender<u32>, _>(lost())),
///     [Duration::from_secs(1); 3].into_iter(),
/// );
/// # fn lost() -> mpsc::SendError { let (mut tx, _) = mpsc::channel(0); tx.try_send(0).unwrap_err().into_send_error() }
/// assert!(nowhere.send(3).await.is_err());
/// # }
/// ```
pub fn retry<T, M, Fut, S, B>(make: M, backoff: B) -> Retry<T, M, Fut, S, B>
where
    T: Clone,
    M: FnMut() -> Fut,
    Fut: Future<Output = Result<S, S::Error>>,
    S: Sink<T>,
    B: BackoffBuilder + Clone,
{
    Retry {
        make,
        backoff,
        waits: None,
        link: Link::Down,
        unflushed: VecDeque::new(),
        sent: 0,
        window: WINDOW,
        made: 0,
    }
}

/// Sink of [`retry`].
#[must_use = "sinks do nothing unless polled"]
pub struct Retry<T, M, Fut, S, B>
where
    S: Sink<T>,
    B: BackoffBuilder,
{
    make: M,
    backoff: B,
    /// There during a row of failures.
    waits: Option<B::Backoff>,
    link: Link<Fut, S, S::Error>,
    /// What has been taken and is not known to have arrived. The first `sent` of it went to the present sink.
    unflushed: VecDeque<T>,
    sent: usize,
    window: usize,
    made: u64,
}

enum Link<Fut, S, E> {
    Down,
    Waiting(Pin<Box<Sleep>>),
    Making(Pin<Box<Fut>>),
    Up(Pin<Box<S>>),
    /// Failed inside `start_send`, which cannot wait: the next poll sees to it.
    Failed(E),
    Closed,
}

impl<T, M, Fut, S, B> Retry<T, M, Fut, S, B>
where
    S: Sink<T>,
    B: BackoffBuilder,
{
    /// Keeps at most `n` items for sending again.
    ///
    /// # Panics
    /// Where `n` is 0.
    #[track_caller]
    pub fn window(mut self, n: usize) -> Self {
        assert!(n > 0, "`window` must be at least 1");
        self.window = n;
        self
    }

    /// How many items are held until they are known to have arrived.
    pub fn unflushed(&self) -> usize {
        self.unflushed.len()
    }

    /// How often a sink has been made.
    pub fn made(&self) -> u64 {
        self.made
    }

    /// Gives back the items that are not known to have arrived, oldest first. Some of them may have.
    pub fn into_remainder(self) -> VecDeque<T> {
        self.unflushed
    }
}

// What has to stay in place is boxed: making a sink is rare.
impl<T, M, Fut, S, B> Unpin for Retry<T, M, Fut, S, B>
where
    S: Sink<T>,
    B: BackoffBuilder,
{
}

impl<T, M, Fut, S, B> Retry<T, M, Fut, S, B>
where
    T: Clone,
    M: FnMut() -> Fut,
    Fut: Future<Output = Result<S, S::Error>>,
    S: Sink<T>,
    B: BackoffBuilder + Clone,
{
    /// Ready with a sink that has been handed all that is held; Err when the backoff has given up.
    fn poll_up(&mut self, cx: &mut Context<'_>) -> Poll<Result<&mut Pin<Box<S>>, S::Error>> {
        loop {
            match &mut self.link {
                Link::Closed => panic!("`Retry` used after it was closed"),
                Link::Down => self.link = Link::Making(Box::pin((self.make)())),
                Link::Waiting(sleep) => {
                    ready!(sleep.as_mut().poll(cx));
                    self.link = Link::Down;
                }
                Link::Making(_) | Link::Failed(_) => ready!(self.poll_made(cx))?,
                Link::Up(sink) => match ready!(resend(sink, &self.unflushed, &mut self.sent, cx)) {
                    Ok(()) => break,
                    Err(error) => self.fail(error)?,
                },
            }
        }
        match &mut self.link {
            Link::Up(sink) => Poll::Ready(Ok(sink)),
            _ => unreachable!("the loop ends with the link up"),
        }
    }

    /// Takes the link out while it works on it: a `make` that panics is called again, not polled again.
    fn poll_made(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        match std::mem::replace(&mut self.link, Link::Down) {
            Link::Making(mut future) => match future.as_mut().poll(cx) {
                Poll::Ready(Ok(sink)) => {
                    self.made += 1;
                    self.sent = 0;
                    self.link = Link::Up(Box::pin(sink));
                }
                Poll::Ready(Err(error)) => self.fail(error)?,
                Poll::Pending => {
                    self.link = Link::Making(future);
                    return Poll::Pending;
                }
            },
            Link::Failed(error) => self.fail(error)?,
            other => self.link = other,
        }
        Poll::Ready(Ok(()))
    }

    /// Drops the link and waits, or gives up where there are no more waits.
    fn fail(&mut self, error: S::Error) -> Result<(), S::Error> {
        self.link = Link::Down;
        self.sent = 0;
        let backoff = &self.backoff;
        let waits = self.waits.get_or_insert_with(|| backoff.clone().build());
        let Some(wait) = waits.next() else {
            self.waits = None;
            return Err(error);
        };
        #[cfg(feature = "tracing")]
        tracing::debug!(
            ?wait,
            unflushed = self.unflushed.len(),
            "a sink failed; making another"
        );
        self.link = Link::Waiting(Box::pin(sleep(wait)));
        Ok(())
    }

    fn arrived(&mut self) {
        self.waits = None;
        self.sent = 0;
        self.unflushed.clear();
    }

    fn poll_flushed(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        // Nothing to deliver is no reason to connect, but a sink that is there may have words of its own to send.
        while !self.unflushed.is_empty() || matches!(self.link, Link::Up(_)) {
            let sink = ready!(self.poll_up(cx))?;
            match ready!(sink.as_mut().poll_flush(cx)) {
                Ok(()) => {
                    self.arrived();
                    break;
                }
                Err(error) => self.fail(error)?,
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<T, M, Fut, S, B> Sink<T> for Retry<T, M, Fut, S, B>
where
    T: Clone,
    M: FnMut() -> Fut,
    Fut: Future<Output = Result<S, S::Error>>,
    S: Sink<T>,
    B: BackoffBuilder + Clone,
{
    type Error = S::Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        let this = &mut *self;
        loop {
            if this.unflushed.len() >= this.window {
                ready!(this.poll_flushed(cx))?;
            }
            let sink = ready!(this.poll_up(cx))?;
            match ready!(sink.as_mut().poll_ready(cx)) {
                Ok(()) => return Poll::Ready(Ok(())),
                Err(error) => this.fail(error)?,
            }
        }
    }

    fn start_send(mut self: Pin<&mut Self>, item: T) -> Result<(), S::Error> {
        let this = &mut *self;
        let Link::Up(sink) = &mut this.link else {
            panic!(
                "`start_send` without room: `poll_ready` must have answered Ready before each item"
            );
        };
        this.unflushed.push_back(item.clone());
        match sink.as_mut().start_send(item) {
            Ok(()) => this.sent += 1,
            Err(error) => this.link = Link::Failed(error),
        }
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.poll_flushed(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        let this = &mut *self;
        while !this.unflushed.is_empty() || matches!(this.link, Link::Up(_)) {
            let sink = ready!(this.poll_up(cx))?;
            match ready!(sink.as_mut().poll_close(cx)) {
                Ok(()) => {
                    this.arrived();
                    break;
                }
                Err(error) if this.unflushed.is_empty() => {
                    this.link = Link::Closed;
                    return Poll::Ready(Err(error));
                }
                Err(error) => this.fail(error)?,
            }
        }
        this.link = Link::Closed;
        Poll::Ready(Ok(()))
    }
}

impl<T, M, Fut, S, B> fmt::Debug for Retry<T, M, Fut, S, B>
where
    S: Sink<T>,
    B: BackoffBuilder,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let link = match self.link {
            Link::Down => "down",
            Link::Waiting(_) => "waiting",
            Link::Making(_) => "making",
            Link::Up(_) => "up",
            Link::Failed(_) => "failed",
            Link::Closed => "closed",
        };
        f.debug_struct("Retry")
            .field("link", &link)
            .field("unflushed", &self.unflushed.len())
            .field("made", &self.made)
            .finish_non_exhaustive()
    }
}

/// Sends what the present sink has not been handed yet.
fn resend<T: Clone, S: Sink<T>>(
    sink: &mut Pin<Box<S>>,
    unflushed: &VecDeque<T>,
    sent: &mut usize,
    cx: &mut Context<'_>,
) -> Poll<Result<(), S::Error>> {
    while let Some(item) = unflushed.get(*sent) {
        ready!(sink.as_mut().poll_ready(cx))?;
        sink.as_mut().start_send(item.clone())?;
        // Last, so that a panic on the way means a second copy and not a missing one.
        *sent += 1;
    }
    Poll::Ready(Ok(()))
}
