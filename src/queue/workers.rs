//! Tasks that compete for the items of a queue.

use std::any::Any;
use std::fmt;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use tokio::task::JoinHandle;

use crate::coop;
use crate::sync::{Arc, Mutex, lock};

use super::Consumer;

impl<T: Send + 'static> Consumer<T> {
    /// Spawns `n` tasks that pull from this queue and hand each item to `handler`, one at a time each.
    ///
    /// They end with the queue, once it is closed and drained, or with their handle: dropping [`Workers`] aborts them.
    /// [`Workers::join`] waits for the end and reports. A `handler` that panics loses its item and nothing else: the
    /// panic is counted and its worker takes the next item. Items are taken in order; with more than one worker they
    /// may finish out of order.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
    /// use std::sync::atomic::{AtomicU64, Ordering};
    /// use std::sync::Arc;
    /// use pushpull::queue;
    ///
    /// let (tx, rx) = queue::bounded(10);
    /// let sum = Arc::new(AtomicU64::new(0));
    /// let total = sum.clone();
    /// let workers = rx.workers(3, move |n: u64| {
    ///     let sum = sum.clone();
    ///     async move {
    ///         assert_ne!(n, 4, "four is bad luck");
    ///         sum.fetch_add(n, Ordering::Relaxed);
    ///     }
    /// });
    /// for n in 1..=10 {
    ///     tx.push(n).await.unwrap();
    /// }
    /// drop(tx); // no more work: the workers finish what is queued, then end
    /// let report = workers.join().await;
    /// assert_eq!((report.handled, report.panicked, report.cancelled), (9, 1, 0));
    /// assert_eq!(total.load(Ordering::Relaxed), 55 - 4);
    /// # }
    /// ```
    ///
    /// # Back-pressure
    /// Each worker holds the one item that it works on; the rest waits in the queue.
    ///
    /// # Panics
    /// If `n` is 0, and outside of a tokio runtime.
    #[track_caller]
    pub fn workers<F, Fut>(self, n: usize, handler: F) -> Workers
    where
        F: Fn(T) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        assert!(n > 0, "without workers nothing would be pulled");
        let handler = Arc::new(handler);
        let counts = Arc::new(Mutex::new(WorkersReport::default()));
        let tasks = (0..n)
            .map(|_| tokio::spawn(work(self.clone(), handler.clone(), counts.clone())))
            .collect();
        Workers { tasks, counts }
    }
}

async fn work<T, F, Fut>(queue: Consumer<T>, handler: Arc<F>, counts: Arc<Mutex<WorkersReport>>)
where
    F: Fn(T) -> Fut,
    Fut: Future<Output = ()>,
{
    loop {
        let mut pull = pin!(queue.pull());
        let pulled = coop::paid(|cx| pull.as_mut().poll(cx));
        let Some(item) = pulled.await else { return };
        let mut turn = Turn {
            counts: &counts,
            outcome: |counts| &mut counts.cancelled,
        };
        // In an async block the call itself is covered as well.
        let mut work = pin!(async { handler(item).await });
        let panic = poll_fn(
            |cx| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx))) {
                Ok(poll) => poll.map(|()| None),
                Err(panic) => Poll::Ready(Some(panic)),
            },
        );
        turn.outcome = match panic.await {
            None => |counts| &mut counts.handled,
            Some(panic) => {
                forget(panic);
                |counts| &mut counts.panicked
            }
        };
    }
}

/// Counts an item when its turn is over, also where the worker is aborted in the middle.
struct Turn<'a> {
    counts: &'a Mutex<WorkersReport>,
    outcome: fn(&mut WorkersReport) -> &mut u64,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *(self.outcome)(&mut lock(self.counts)) += 1;
    }
}

/// Drops what was thrown, which may throw in turn.
fn forget(panic: Box<dyn Any + Send>) {
    if let Err(next) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        std::mem::forget(next);
    }
}

/// The handle of the tasks that [`Consumer::workers`] spawned: a future of their report.
///
/// Dropping it aborts them at their next `.await`: the items in their hands are dropped, the rest stays in the queue
/// (and is dropped with it, where they were its last consumers).
#[must_use = "dropping the handle aborts the workers"]
pub struct Workers {
    tasks: Vec<JoinHandle<()>>,
    counts: Arc<Mutex<WorkersReport>>,
}

impl Workers {
    /// Waits until all workers have ended: when the queue is closed and drained, or after [`abort`](Self::abort).
    ///
    /// # Cancel safety
    /// Dropping this future drops the handle, and so aborts the workers. To wait with a limit and then go on waiting, or
    /// abort and read the report, await the handle itself by reference: `timeout(limit, &mut workers)`.
    pub async fn join(self) -> WorkersReport {
        self.await
    }

    /// Stops every worker at its next `.await`. The handle resolves once they are gone; items in their hands are dropped
    /// and counted as [`cancelled`](WorkersReport::cancelled).
    pub fn abort(&self) {
        for task in &self.tasks {
            task.abort();
        }
    }

    /// What has been done so far.
    pub fn report(&self) -> WorkersReport {
        *lock(&self.counts)
    }

    /// Whether every worker has ended.
    pub fn is_finished(&self) -> bool {
        self.tasks.iter().all(JoinHandle::is_finished)
    }
}

impl Future for Workers {
    type Output = WorkersReport;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<WorkersReport> {
        while let Some(task) = self.tasks.last_mut() {
            let ended = ready!(Pin::new(task).poll(cx));
            self.tasks.pop();
            // Handlers do not get here with their panics: this one came out of the queue, from its `on_drop` say.
            if let Some(panic) = ended.err().and_then(|error| error.try_into_panic().ok()) {
                resume_unwind(panic);
            }
        }
        Poll::Ready(self.report())
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.abort();
    }
}

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workers")
            .field(
                "running",
                &self.tasks.iter().filter(|task| !task.is_finished()).count(),
            )
            .field("report", &self.report())
            .finish()
    }
}

/// What workers did: every item that they pulled is counted once.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct WorkersReport {
    /// Items whose handler came to its end.
    pub handled: u64,
    /// Items whose handler panicked.
    pub panicked: u64,
    /// Items whose handler was stopped in the middle by [`Workers::abort`] or a dropped handle.
    pub cancelled: u64,
}
