//! [`listen`]: push mode, a handler over long polling.

mod caught;
mod config;
mod hands;
mod patience;
mod report;
mod run;
#[cfg(test)]
mod tests;

use std::fmt;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::sync::{Mutex, lock};

use super::{Consumer, Delivery};

pub use config::{Listen, Order};
pub use report::ListenerReport;

use hands::Hands;
use report::Counts;
use run::{Stop, run};

/// Hands every delivery of a consumer to `handler`, at most `concurrency` at once, and settles it by the answer.
///
/// `concurrency` is a number, or [`Listen`] where there is more to say. One task polls; each delivery is handled in a task of
/// its own. `Ok` acknowledges the delivery. `Err`, or a panic, says that it failed: it is delivered again, or goes to the
/// dead-letter topic with the error (as `{:?}` writes it) as the reason, as the consumer's settings have it. What the engine
/// does not [redeliver](crate::broker::Capabilities::redelivers) is counted as an error then.
///
/// Deliveries of one partition are handled one after the other, in their order, unless [`Listen::order`] says otherwise; the
/// next one begins when the one before it is settled. A delivery behind one that failed goes on. Where it must not, make the
/// consumer [`ordered`](crate::broker::ConsumerConfig::ordered), and the broker holds it back. What was sent twice is handled
/// twice: at least once is what an acknowledgement gives.
///
/// Errors of polls are counted and tried again after a while, at least every second. The listener ends by itself at one that
/// will not pass: the consumer is closed, damaged, or was never good.
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// use std::time::Duration;
/// use pushpull::broker::{Broker, Consumer, ConsumerConfig, Delivery, Producer, Record, TopicConfig, listen};
///
/// let broker = Broker::in_memory();
/// broker.create_topic("letters", TopicConfig::partitions(4)).await.unwrap();
/// let consumer = broker.consumer(ConsumerConfig::group("post").max_attempts(3).dead_letter("unreadable"));
/// consumer.subscribe(["letters"]).await.unwrap();
///
/// let listener = listen(consumer, 8, |letter: Delivery| async move {
///     if letter.record.value.is_empty() { Err("an empty letter") } else { Ok(()) }
/// });
/// for text in ["dear Ann", "", "dear Bob"] {
///     broker.producer().push(Record::new("letters", text)).await.unwrap();
/// }
/// tokio::time::sleep(Duration::from_secs(1)).await;
/// let report = listener.stop(Duration::from_secs(5)).await;
/// assert_eq!((report.handled, report.failed), (2, 3));
///
/// let undertaker = broker.consumer(ConsumerConfig::group("undertaker"));
/// undertaker.subscribe(["unreadable"]).await.unwrap();
/// let dead = undertaker.poll(10, Duration::ZERO).await.unwrap();
/// assert_eq!(dead[0].record.header_value("dead-letter-reason").unwrap(), "\"an empty letter\"");
/// # }
/// ```
///
/// # Back-pressure
/// The listener asks the consumer for no more than it has room for: never more than `concurrency` deliveries, and
/// [`Listen::ahead`], are taken and not settled. While it has no room it gives the sign of life that keeps the consumer in its
/// group, so a handler may take longer than the session timeout (but then not longer than
/// [`ack_wait`](crate::broker::ConsumerConfig::ack_wait), or its delivery is delivered again; [`Listen::extend_for`] says so to
/// the engine while it is at work).
///
/// # Panics
/// If `concurrency` is 0, and outside of a tokio runtime.
#[track_caller]
pub fn listen<C, F, Fut, E>(consumer: C, concurrency: impl Into<Listen>, handler: F) -> Listener
where
    C: Consumer + Send + Sync + 'static,
    F: Fn(Delivery) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), E>> + Send + 'static,
    E: fmt::Debug + 'static,
{
    let listen = concurrency.into();
    let counts = Counts::default();
    let can_delay = consumer.capabilities().nack_delay;
    let nack_delay = listen.nack_delay.filter(|_| can_delay);
    let hands = Hands::new(
        listen,
        nack_delay,
        handler,
        consumer.acker(),
        counts.clone(),
    );
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(run(consumer, listen, hands, stopped, counts.clone()));
    let stop = Mutex::new(Some(stop));
    Listener { task, stop, counts }
}

/// The handle of the tasks that [`listen`] spawned: a future of their report.
///
/// Dropping it aborts them at their next `.await`, and the consumer with them, which leaves its group.
#[must_use = "dropping the handle aborts the listener"]
pub struct Listener {
    task: JoinHandle<()>,
    stop: Mutex<Option<oneshot::Sender<Stop>>>,
    counts: Counts,
}

impl Listener {
    /// Takes no more deliveries, lets those that were taken be handled for as long as `within`, and then closes the consumer.
    ///
    /// What is not finished by then is stopped at its next `.await`. It does not count as failed: the other members of the
    /// group get it when the consumer is closed, which takes as long as the engine takes.
    ///
    /// # Cancel safety
    /// Dropping this future drops the handle, and so aborts the listener.
    pub async fn stop(self, within: Duration) -> ListenerReport {
        self.send_stop(Instant::now().checked_add(within));
        self.await
    }

    /// As [`stop`](Self::stop) with no time, but does not wait for the end: await the handle for that.
    pub fn abort(&self) {
        self.send_stop(Some(Instant::now()));
    }

    fn send_stop(&self, by: Option<Instant>) {
        let stop = lock(&self.stop).take();
        if let Some(stop) = stop {
            // Where nobody hears it, the listener has ended.
            let _ended = stop.send(Stop { by });
        }
    }

    /// What has been done so far.
    pub fn report(&self) -> ListenerReport {
        self.counts.report()
    }

    /// Whether the listener has ended.
    pub fn is_finished(&self) -> bool {
        self.task.is_finished()
    }
}

impl Future for Listener {
    type Output = ListenerReport;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<ListenerReport> {
        let ended = ready!(Pin::new(&mut self.task).poll(cx));
        // Handlers do not get here with their panics: this one came out of the consumer.
        if let Some(panic) = ended.err().and_then(|error| error.try_into_panic().ok()) {
            resume_unwind(panic);
        }
        Poll::Ready(self.report())
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener")
            .field("finished", &self.is_finished())
            .field("report", &self.report())
            .finish()
    }
}
