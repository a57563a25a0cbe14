//! A message on its way through the mailbox.

use std::hash::Hash;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use tokio::runtime;

use super::RouteError;
use super::core::Handle;
use super::delivery::Delivered;
use super::mailbox::{Appended, BoxFuture};
use super::turn::Turn;

/// Stores a message and then gives it to the connections, in one turn.
///
/// Once the mailbox has begun, the message may be stored at any moment, and then the connections have to get it too. So
/// where this is dropped before its end, a task takes over; the turn goes with it.
pub(super) struct Storing<K, T>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    T: Clone + Send + Sync + 'static,
{
    job: Option<Job<K, T>>,
    /// The mailbox has begun, and a task on this runtime could go on.
    heir: Option<runtime::Handle>,
}

struct Job<K, T> {
    turn: Turn<K, T>,
    append: BoxFuture<'static, Appended<T>>,
    copies: Vec<T>,
}

impl<K, T> Job<K, T>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    T: Clone + Send + Sync + 'static,
{
    /// The mailbox has answered.
    fn answered(
        turn: Turn<K, T>,
        appended: Appended<T>,
        copies: Vec<T>,
    ) -> Result<Delivered<T>, RouteError<T>> {
        match appended {
            (item, Ok(number)) => turn
                .give_out(Some(number), item, copies)
                .map_err(RouteError::Closed),
            (item, Err(error)) => {
                turn.core.totals.failed.fetch_add(1, Ordering::Relaxed);
                Err(RouteError::Mailbox(item, error))
            }
        }
    }
}

impl<K, T> Storing<K, T>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    T: Clone + Send + Sync + 'static,
{
    pub(super) const fn new(
        turn: Turn<K, T>,
        append: BoxFuture<'static, Appended<T>>,
        copies: Vec<T>,
    ) -> Self {
        Self {
            job: Some(Job {
                turn,
                append,
                copies,
            }),
            heir: None,
        }
    }
}

impl<K, T> Unpin for Storing<K, T>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    T: Clone + Send + Sync + 'static,
{
}

impl<K, T> Future for Storing<K, T>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    T: Clone + Send + Sync + 'static,
{
    type Output = Result<Delivered<T>, RouteError<T>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // Taken out, so that nothing goes on with it after a panic of the mailbox.
        let Some(mut job) = self.job.take() else {
            unreachable!("it is polled by an async function, which stops at the end");
        };
        match job.append.as_mut().poll(cx) {
            Poll::Ready(appended) => Poll::Ready(Job::answered(job.turn, appended, job.copies)),
            Poll::Pending => {
                self.job = Some(job);
                if self.heir.is_none() {
                    self.heir = runtime::Handle::try_current().ok();
                }
                Poll::Pending
            }
        }
    }
}

impl<K, T> Drop for Storing<K, T>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    T: Clone + Send + Sync + 'static,
{
    fn drop(&mut self) {
        let (Some(job), Some(heir)) = (self.job.take(), self.heir.take()) else {
            return;
        };
        // It keeps the router open until the connections have the message.
        let router = Handle::new(&job.turn.core);
        heir.spawn(async move {
            let key = job.turn.key.clone();
            let appended = job.append.await;
            if let Ok(delivered) = Job::answered(job.turn, appended, job.copies) {
                router.0.finish(&key.as_sought(), &delivered);
            }
        });
    }
}
