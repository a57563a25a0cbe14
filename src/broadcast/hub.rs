//! A stream published to whoever subscribes.

use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;

use futures_core::Stream;
use tokio::runtime::Handle;

use super::after::Shared;
use super::log::Kind;
use super::lossy::{Lossy, LossySubscriber};
use super::publisher::{Closed, Publisher};
use super::reader::Reader;
use super::state::State;
use super::stats::BroadcastStats;
use super::subscriber::Subscriber;
use crate::sync::{Arc, Mutex, lock};

type Input<T> = Pin<Box<dyn Stream<Item = T> + Send>>;
type Start<T> = Arc<Mutex<Option<(Input<T>, Publisher<T>)>>>;

/// A stream that is published to subscribers. Made by [`PullExt::broadcast`](crate::PullExt::broadcast), whose
/// documentation tells when the stream is pulled and by whom.
///
/// Clones are handles to the same hub.
#[must_use = "a hub pulls its input once somebody subscribes"]
pub struct Hub<T> {
    shared: Arc<Shared<T>>,
    /// The input and its publisher, until the first subscription.
    start: Start<T>,
}

impl<T> Hub<T> {
    #[track_caller]
    pub(crate) fn new(input: impl Stream<Item = T> + Send + 'static, capacity: usize) -> Self {
        assert!(capacity > 0, "a broadcast needs a capacity of at least 1");
        let shared = Arc::new(Shared::new(State::new(capacity, 0, true), None));
        let publisher = Publisher::new(Arc::clone(&shared));
        Self {
            shared,
            start: Arc::new(Mutex::new(Some((Box::pin(input), publisher)))),
        }
    }

    /// Subscribers that the next value goes to.
    pub fn subscriber_count(&self) -> usize {
        self.shared.peek(|state| state.log.readers())
    }

    /// Whether the input has ended.
    pub fn is_closed(&self) -> bool {
        self.shared.peek(|state| state.is_closed())
    }

    /// The most values that a lossless subscriber may leave unread.
    pub fn capacity(&self) -> usize {
        self.shared.capacity()
    }

    /// One consistent reading of all counters.
    pub fn stats(&self) -> BroadcastStats {
        self.shared.peek(|state| state.stats())
    }
}

impl<T: Send + Sync + 'static> Hub<T> {
    /// Subscribes losslessly: the input is pulled no faster than this subscriber reads.
    ///
    /// # Panics
    ///
    /// If it is the first subscription and made outside of a tokio runtime.
    #[track_caller]
    pub fn subscribe(&self) -> Subscriber<T> {
        Subscriber::new(self.reader(Kind::Lossless))
    }

    /// Subscribes without ever holding the input back. What happens when the subscriber does not keep up is what
    /// [`Lossy`] says.
    ///
    /// # Panics
    ///
    /// If it is the first subscription and made outside of a tokio runtime.
    #[track_caller]
    pub fn subscribe_lossy(&self, policy: Lossy) -> LossySubscriber<T> {
        LossySubscriber::new(self.reader(policy.kind()))
    }

    #[track_caller]
    fn reader(&self, kind: Kind) -> Reader<T> {
        let waits = lock(&self.start).is_some();
        let runtime = waits.then(Handle::current);
        let reader = Reader::new(&self.shared, kind);
        if let Some(runtime) = runtime {
            let start = lock(&self.start).take();
            if let Some((input, publisher)) = start {
                runtime.spawn(drive(input, publisher));
            }
        }
        reader
    }
}

impl<T> Clone for Hub<T> {
    fn clone(&self) -> Self {
        self.shared.with(|state, _| state.add_hub());
        Self {
            shared: Arc::clone(&self.shared),
            start: Arc::clone(&self.start),
        }
    }
}

impl<T> Drop for Hub<T> {
    fn drop(&mut self) {
        self.shared.with(|state, after| state.remove_hub(after));
    }
}

impl<T> fmt::Debug for Hub<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

/// The hub's task: publishes the input until it ends, or until nobody is left who could subscribe.
async fn drive<T>(mut input: Input<T>, publisher: Publisher<T>) {
    let mut closed = pin!(Closed {
        shared: publisher.shared(),
        ticket: None
    });
    loop {
        let next = poll_fn(|cx| match closed.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(None),
            Poll::Pending => input.as_mut().poll_next(cx),
        });
        let Some(item) = next.await else { return };
        if publisher.publish(item).await.is_err() {
            return;
        }
    }
}
