//! A consumer as a stream of deliveries, over its polls.

use std::pin::Pin;
use std::sync::PoisonError;
use std::task::{Context, Poll, ready};

use crate::coop;
use crate::sync::Mutex;

use super::{Delivery, Error};

/// A poll under way.
pub(crate) type Polling = Pin<Box<dyn Future<Output = Result<Vec<Delivery>, Error>> + Send>>;

/// The poll behind a consumer's stream, while there is one.
#[derive(Default)]
pub(crate) struct Deliveries {
    /// Only ever reached through `&mut`: the lock makes the handle `Sync`.
    polling: Mutex<Option<Polling>>,
}

impl Deliveries {
    /// The next delivery: one that is at hand, or else what `poll` comes to, which is to ask for one: what is taken is on its
    /// ack_wait's clock. Ends when the consumer is closed.
    pub(crate) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        take_one: impl FnOnce() -> Option<Delivery>,
        poll: impl Fn() -> Polling,
    ) -> Poll<Option<Result<Delivery, Error>>> {
        let polling = self
            .polling
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        if polling.is_none() {
            // Most often there is something: no future is needed to find it.
            ready!(coop::share(cx));
            if let Some(delivery) = take_one() {
                return Poll::Ready(Some(Ok(delivery)));
            }
        }
        loop {
            let polled = ready!(polling.get_or_insert_with(&poll).as_mut().poll(cx));
            *polling = None;
            match polled {
                Ok(deliveries) => {
                    if let Some(delivery) = deliveries.into_iter().next() {
                        return Poll::Ready(Some(Ok(delivery)));
                    }
                }
                Err(Error::Closed { .. }) => return Poll::Ready(None),
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
    }

    /// Lets go of the poll under way.
    pub(crate) fn clear(&mut self) {
        let polling = self.polling.get_mut();
        let polling = polling.unwrap_or_else(PoisonError::into_inner).take();
        drop(polling);
    }
}
