//! The router as a `Sink`.

use std::hash::Hash;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use futures_sink::Sink;

use super::mailbox::BoxFuture;
use super::pushing::AtOnce;
use super::{RouteError, Router};
use crate::coop;

type Sent<K, T> = Result<(), RouteError<(K, T)>>;

/// What a handle carries as a sink. The mutex is never locked: it lets the handle be `Sync`.
pub(super) struct SinkSide<K, T>(Mutex<Phase<K, T>>);

enum Phase<K, T> {
    Idle,
    /// `poll_ready` has answered.
    Ready,
    /// A message that has to wait.
    Sending(BoxFuture<'static, Sent<K, T>>),
}

impl<K, T> SinkSide<K, T> {
    pub(super) const fn new() -> Self {
        Self(Mutex::new(Phase::Idle))
    }

    fn phase(&mut self) -> &mut Phase<K, T> {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the message that was sent last.
    fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<Sent<K, T>> {
        let phase = self.phase();
        match std::mem::replace(phase, Phase::Idle) {
            Phase::Sending(mut sending) => match sending.as_mut().poll(cx) {
                Poll::Ready(sent) => Poll::Ready(sent),
                Poll::Pending => {
                    *phase = Phase::Sending(sending);
                    Poll::Pending
                }
            },
            other => {
                *phase = other;
                Poll::Ready(Ok(()))
            }
        }
    }
}

/// The router as a sink of messages with their keys, by the contract of [`Sink`].
///
/// * `poll_ready`: waits until the message that this handle was sent last has been routed. Its error comes here, or from
///   the flush, with key and message.
/// * `start_send`: routes the message at once where nothing has to be waited for. It panics without a `poll_ready` before it.
/// * `poll_flush` and `poll_close`: the last message has been routed. Neither closes the router.
///
/// Each handle holds one message at the most; what it holds goes with it when it is dropped, as a cancelled push does.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use futures::{SinkExt, stream};
/// use pushpull::Router;
///
/// let mut router = Router::builder().build();
/// let mut ann = router.connect("ann");
/// let messages = [("ann", 1), ("bob", 2), ("ann", 3)];
/// router.send_all(&mut stream::iter(messages.map(Ok))).await.unwrap();
/// assert_eq!(ann.pull().await, Some((1, 1)));
/// assert_eq!(ann.pull().await, Some((2, 3)));
///
/// router.clone().close();
/// let error = router.send(("ann", 4)).await.unwrap_err();
/// assert_eq!(error.into_item(), ("ann", 4));
/// # }
/// ```
impl<K, T> Sink<(K, T)> for Router<K, T>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    T: Clone + Send + Sync + 'static,
{
    type Error = RouteError<(K, T)>;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        let side = &mut self.get_mut().sink;
        // Asking again is free.
        if let Phase::Ready = side.phase() {
            return Poll::Ready(Ok(()));
        }
        ready!(coop::share(cx));
        ready!(side.poll_sent(cx))?;
        *side.phase() = Phase::Ready;
        Poll::Ready(Ok(()))
    }

    fn start_send(self: Pin<&mut Self>, (key, item): (K, T)) -> Result<(), Self::Error> {
        let this = self.get_mut();
        let phase = this.sink.phase();
        assert!(
            matches!(phase, Phase::Ready),
            "`start_send` on a router without a `poll_ready` that answered Ok before it"
        );
        *phase = Phase::Idle;
        let core = &this.handle.0;
        let mut slot = Some(item);
        match (core.push_at_once(&key, &mut slot), slot) {
            (AtOnce::Later(_), Some(item)) => {
                let core = Arc::clone(core);
                *phase = Phase::Sending(Box::pin(async move {
                    match core.push(&key, item).await {
                        Ok(_) => Ok(()),
                        Err(error) => Err(error.map(|item| (key, item))),
                    }
                }));
                Ok(())
            }
            (AtOnce::Closed, Some(item)) => Err(RouteError::Closed((key, item))),
            _ => Ok(()),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.get_mut().sink.poll_sent(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.get_mut().sink.poll_sent(cx)
    }
}
