//! The handles that publish.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_sink::Sink;

use super::after::Shared;
use super::log::Kind;
use super::lossy::{Lossy, LossySubscriber};
use super::publishing::{Published, Reserved, Turn};
use super::reader::Reader;
use super::stats::BroadcastStats;
use super::subscriber::Subscriber;
use super::value::Value;
use super::waiting::{Outcome, Place, Ticket};
use crate::coop;
use crate::queue::PushError;
use crate::sync::Arc;

/// Publishes values to all subscribers of one broadcast. Made by [`channel`](super::channel) or
/// [`Builder::build`](super::Builder::build).
///
/// Clones publish into the same log. When the last of them is dropped or closed as a [`Sink`], the broadcast closes.
///
/// # As a `Sink`
///
/// `poll_ready` waits for room and reserves it, so that the `start_send` after it always succeeds, even if the
/// broadcast is closed in between. The reservation is this handle's alone and goes back when the handle is dropped or
/// closed. `poll_flush` has nothing to do: a value sent is in the log. `poll_close` closes this handle, not the
/// broadcast, unless it is the last one; [`close`](Self::close) closes the broadcast. `start_send` without `poll_ready`
/// panics.
pub struct Publisher<T> {
    shared: Arc<Shared<T>>,
    /// Until this handle was closed as a sink.
    open: bool,
    slot: Slot,
}

/// What a handle has of a slot to send into.
#[derive(Debug)]
enum Slot {
    None,
    Waits(Place),
    Reserved,
}

impl<T> Publisher<T> {
    /// The first handle of a broadcast.
    pub(super) const fn new(shared: Arc<Shared<T>>) -> Self {
        Self {
            shared,
            open: true,
            slot: Slot::None,
        }
    }

    /// Publishes a value to everybody who is subscribed, and answers how many they are.
    ///
    /// Without subscribers it succeeds at once with `Ok(0)`; the value is counted, and kept if the broadcast replays.
    ///
    /// # Back-pressure
    ///
    /// Waits while as many values as the capacity allows have not been read by some lossless subscriber. Publishers
    /// that wait are served in order. Lossy subscribers never make it wait.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, the value was published to all subscribers or to none. Its place in the line goes to
    /// the next.
    ///
    /// # Errors
    ///
    /// [`PushError::Closed`] with the value, once the broadcast or this handle is closed.
    ///
    /// ```
    /// use pushpull::broadcast;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let publisher = broadcast::channel(8);
    /// assert_eq!(publisher.publish("nobody listens").await, Ok(0));
    ///
    /// let (mut a, mut b) = (publisher.subscribe(), publisher.subscribe());
    /// assert_eq!(publisher.publish("hello").await, Ok(2));
    /// assert_eq!(a.pull().await, Some("hello"));
    /// assert_eq!(b.pull().await, Some("hello"));
    ///
    /// publisher.close();
    /// let refused = publisher.publish("too late").await.unwrap_err();
    /// assert_eq!(refused.into_item(), "too late");
    /// # }
    /// ```
    pub async fn publish(&self, value: T) -> Result<usize, PushError<T>> {
        Publish {
            publisher: self,
            stage: Stage::Fresh(value),
        }
        .await
    }

    /// Publishes a value if there is room for it now.
    ///
    /// # Errors
    ///
    /// [`PushError::Full`] with the value, where [`publish`](Self::publish) would wait; [`PushError::Closed`] once the
    /// broadcast or this handle is closed.
    ///
    /// ```
    /// use pushpull::broadcast;
    /// use pushpull::queue::PushError;
    ///
    /// let publisher = broadcast::channel(1);
    /// let mut subscriber = publisher.subscribe();
    /// assert_eq!(publisher.try_publish(1), Ok(1));
    /// assert_eq!(publisher.try_publish(2), Err(PushError::Full(2)));
    /// assert_eq!(subscriber.try_pull(), Ok(1));
    /// assert_eq!(publisher.try_publish(2), Ok(1));
    /// ```
    pub fn try_publish(&self, value: T) -> Result<usize, PushError<T>> {
        if !self.open {
            return Err(PushError::Closed(value));
        }
        let value = match self.shared.publish_quickly(Value::new(value)) {
            Ok(count) => return Ok(count),
            Err(value) => value,
        };
        let mut value = Some(value);
        match self
            .shared
            .try_with(|state, after| state.publish(&mut value, after))
        {
            Published::To(count) => Ok(count),
            Published::Closed => Err(PushError::Closed(unshare(value))),
            Published::Full | Published::Waits(_) => Err(PushError::Full(unshare(value))),
        }
    }

    /// Subscribes losslessly: publishers wait for this subscriber.
    ///
    /// It sees everything that is published from now on, in order, and before that the last values that the broadcast
    /// [replays](super::Builder::replay). Values replayed and not yet read count towards the capacity like any other.
    pub fn subscribe(&self) -> Subscriber<T> {
        Subscriber::new(Reader::new(&self.shared, Kind::Lossless))
    }

    /// Subscribes without ever making publishers wait. What happens when the subscriber does not keep up is what
    /// [`Lossy`] says.
    ///
    /// ```
    /// use futures::StreamExt;
    /// use pushpull::broadcast::{self, Lagged, Lossy};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let publisher = broadcast::channel(2);
    /// let slow = publisher.subscribe_lossy(Lossy::DropOldest);
    /// for n in 1..=5 {
    ///     publisher.publish(n).await.unwrap();
    /// }
    /// drop(publisher);
    ///
    /// let seen: Vec<_> = slow.map(|item| item.map_err(|Lagged { missed }| missed)).collect().await;
    /// assert_eq!(seen, [Err(3), Ok(4), Ok(5)]);
    /// # }
    /// ```
    pub fn subscribe_lossy(&self, policy: Lossy) -> LossySubscriber<T> {
        LossySubscriber::new(Reader::new(&self.shared, policy.kind()))
    }

    /// Closes the broadcast: publishing is refused from now on, and publishers that wait get their values back.
    /// Subscribers read what is in the log, then end. Slots that sinks have reserved are still honoured; subscribers end
    /// when the last of them was used or given back.
    pub fn close(&self) {
        self.shared.with(|state, after| state.close(after));
    }

    /// Whether publishing through this handle is refused.
    pub fn is_closed(&self) -> bool {
        !self.open || self.shared.peek(|state| state.is_closed())
    }

    /// Waits until the broadcast is closed.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when it is dropped.
    pub async fn closed(&self) {
        Closed {
            shared: &self.shared,
            ticket: None,
        }
        .await;
    }

    /// Subscribers that the next value goes to: all but those that were disconnected.
    pub fn subscriber_count(&self) -> usize {
        self.shared.peek(|state| state.log.readers())
    }

    /// The most values that a lossless subscriber may leave unread.
    pub fn capacity(&self) -> usize {
        self.shared.capacity()
    }

    /// One consistent reading of all counters.
    pub fn stats(&self) -> BroadcastStats {
        self.shared.peek(|state| state.stats())
    }

    pub(super) const fn shared(&self) -> &Arc<Shared<T>> {
        &self.shared
    }

    fn poll_reserve(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), PushError<()>>> {
        let Self { shared, slot, .. } = self;
        let mut waker = None;
        loop {
            let reserved = shared.try_with(|state, after| {
                let reserved = match *slot {
                    Slot::Reserved => Reserved::Yes,
                    Slot::None => state.reserve_or_wait(&mut waker, after)?,
                    Slot::Waits(place) => match state.turn(place, cx.waker(), &mut waker, after) {
                        Turn::Served(Outcome::Closed(_)) => Reserved::Closed,
                        Turn::Served(_) => Reserved::Yes,
                        Turn::Waits => Reserved::Waits(place),
                        Turn::NeedsWaker => Reserved::Full,
                    },
                };
                // Under the lock, so that whatever panics after it finds the truth here.
                match reserved {
                    Reserved::Yes => *slot = Slot::Reserved,
                    Reserved::Waits(place) => *slot = Slot::Waits(place),
                    Reserved::Closed => *slot = Slot::None,
                    Reserved::Full => {}
                }
                Ok(reserved)
            });
            match reserved {
                Reserved::Yes => return Poll::Ready(Ok(())),
                Reserved::Closed => return Poll::Ready(Err(PushError::Closed(()))),
                Reserved::Waits(_) => return Poll::Pending,
                Reserved::Full => waker = Some(cx.waker().clone()),
            }
        }
    }

    fn close_handle(&mut self) {
        if !std::mem::replace(&mut self.open, false) {
            return;
        }
        let slot = std::mem::replace(&mut self.slot, Slot::None);
        self.shared.with(|state, after| {
            match slot {
                Slot::None => {}
                Slot::Waits(place) => state.leave_line(place, after),
                Slot::Reserved => state.unreserve(after),
            }
            state.remove_publisher(after);
        });
    }
}

impl<T> Sink<T> for Publisher<T> {
    type Error = PushError<()>;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        if !self.open {
            return Poll::Ready(Err(PushError::Closed(())));
        }
        if matches!(self.slot, Slot::Reserved) {
            return Poll::Ready(Ok(()));
        }
        ready!(coop::share(cx));
        self.poll_reserve(cx)
    }

    #[track_caller]
    fn start_send(mut self: Pin<&mut Self>, value: T) -> Result<(), Self::Error> {
        assert!(
            matches!(self.slot, Slot::Reserved),
            "`start_send` needs a `poll_ready` that answered `Ready(Ok(()))` before it"
        );
        let mut value = Some(Value::new(value));
        let Self { shared, slot, .. } = &mut *self;
        shared.try_with(|state, after| {
            state.redeem(&mut value, after)?;
            *slot = Slot::None;
            Ok(())
        });
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.close_handle();
        Poll::Ready(Ok(()))
    }
}

impl<T> Clone for Publisher<T> {
    /// Another handle to the same broadcast, without this one's reservation. A clone of a closed handle is closed.
    fn clone(&self) -> Self {
        if self.open {
            self.shared.with(|state, _| state.add_publisher());
        }
        Self {
            shared: Arc::clone(&self.shared),
            open: self.open,
            slot: Slot::None,
        }
    }
}

impl<T> Drop for Publisher<T> {
    fn drop(&mut self) {
        self.close_handle();
    }
}

impl<T> fmt::Debug for Publisher<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher")
            .field("open", &self.open)
            .field("stats", &self.stats())
            .finish()
    }
}

struct Publish<'a, T> {
    publisher: &'a Publisher<T>,
    stage: Stage<T>,
}

enum Stage<T> {
    Fresh(T),
    Waits(Place),
    Done,
}

// The value is moved out whole and never pinned.
impl<T> Unpin for Publish<'_, T> {}

impl<T> Publish<'_, T> {
    #[inline]
    fn poll_publish(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, PushError<T>>> {
        if let Stage::Waits(_) = self.stage {
            return self.poll_outcome(cx);
        }
        let Stage::Fresh(value) = std::mem::replace(&mut self.stage, Stage::Done) else {
            panic!("`publish` was polled after it had completed");
        };
        if !self.publisher.open {
            return Poll::Ready(Err(PushError::Closed(value)));
        }
        match self.publisher.shared.publish_quickly(Value::new(value)) {
            Ok(count) => Poll::Ready(Ok(count)),
            Err(value) => self.poll_slowly(value, cx),
        }
    }

    fn poll_slowly(
        &mut self,
        value: Value<T>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<usize, PushError<T>>> {
        let shared = &self.publisher.shared;
        let mut value = Some(value);
        let mut waker = None;
        loop {
            let stage = &mut self.stage;
            let published = shared.try_with(|state, after| {
                let published = if waker.is_none() {
                    state.publish(&mut value, after)?
                } else {
                    state.publish_or_wait(&mut value, &mut waker, after)?
                };
                if let Published::Waits(place) = published {
                    *stage = Stage::Waits(place);
                }
                Ok(published)
            });
            match published {
                Published::To(count) => return Poll::Ready(Ok(count)),
                Published::Closed => return Poll::Ready(Err(PushError::Closed(unshare(value)))),
                Published::Waits(_) => return Poll::Pending,
                Published::Full => waker = Some(cx.waker().clone()),
            }
        }
    }

    fn poll_outcome(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, PushError<T>>> {
        let Self { publisher, stage } = self;
        let Stage::Waits(place) = *stage else {
            return Poll::Pending;
        };
        let mut waker = None;
        loop {
            let turn = publisher.shared.with(|state, after| {
                let turn = state.turn(place, cx.waker(), &mut waker, after);
                if let Turn::Served(_) = turn {
                    *stage = Stage::Done;
                }
                turn
            });
            match turn {
                Turn::Served(Outcome::Published(count)) => return Poll::Ready(Ok(count)),
                Turn::Served(Outcome::Closed(value)) => {
                    return Poll::Ready(Err(PushError::Closed(unshare(value))));
                }
                Turn::Served(Outcome::Reserved) | Turn::Waits => return Poll::Pending,
                Turn::NeedsWaker => waker = Some(cx.waker().clone()),
            }
        }
    }
}

impl<T> Future for Publish<'_, T> {
    type Output = Result<usize, PushError<T>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        ready!(coop::share(cx));
        self.poll_publish(cx)
    }
}

impl<T> Drop for Publish<'_, T> {
    fn drop(&mut self) {
        if let Stage::Waits(place) = self.stage {
            self.publisher
                .shared
                .with(|state, after| state.leave_line(place, after));
        }
    }
}

/// Waits for the end of a broadcast.
pub(super) struct Closed<'a, T> {
    pub(super) shared: &'a Shared<T>,
    pub(super) ticket: Option<Ticket>,
}

impl<T> Future for Closed<'_, T> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { shared, ticket } = &mut *self;
        let mut waker = None;
        loop {
            let brought = waker.is_some();
            let closed = shared.try_with(|state, after| state.watch(ticket, &mut waker, after));
            if closed {
                return Poll::Ready(());
            }
            if brought {
                return Poll::Pending;
            }
            waker = Some(cx.waker().clone());
        }
    }
}

impl<T> Drop for Closed<'_, T> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.shared
                .with(|state, after| state.unwatch(ticket, after));
        }
    }
}

/// A value that was not published has one owner.
fn unshare<T>(value: Option<Value<T>>) -> T {
    value
        .and_then(Value::into_inner)
        .expect("a value that was not published has one owner")
}
