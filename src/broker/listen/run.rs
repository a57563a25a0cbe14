//! The task that polls.

use std::fmt;
use std::future::{pending, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use crate::broker::{Consumer, Delivery, Error};
use crate::coop;

use super::config::Listen;
use super::hands::Hands;
use super::patience::Patience;
use super::report::Counts;

/// Signs of life come no faster, and polls that bring nothing neither, whatever is asked for.
const SHORTEST: Duration = Duration::from_millis(1);

/// The word to stop, and the time by which all must be done.
pub(super) struct Stop {
    pub(super) by: Option<Instant>,
}

/// What a listener is at.
enum Phase {
    Polling,
    /// Nothing more is taken. What was taken is finished, until the time is up.
    Ending {
        by: Option<Instant>,
    },
}

enum Step {
    Finished,
    Extend,
    Stop(Stop),
    TimeUp,
    Polled(Instant, Result<Vec<Delivery>, Error>),
}

pub(super) async fn run<C, F, Fut, E>(
    consumer: C,
    listen: Listen,
    mut hands: Hands<F>,
    stop: oneshot::Receiver<Stop>,
    counts: Counts,
) where
    C: Consumer + Send + Sync + 'static,
    F: Fn(Delivery) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), E>> + Send + 'static,
    E: fmt::Debug + 'static,
{
    let beat = listen.heartbeat.max(SHORTEST);
    let mut stop = Some(stop);
    let mut phase = Phase::Polling;
    let mut patience = Patience::default();
    // When the next poll may be, and when the next sign of life is due; `None` is never.
    let mut next_poll = Instant::now();
    let mut next_beat = next_poll.checked_add(beat);
    let mut extend = pin!(until(next_extend(listen)));
    loop {
        let (room, by) = match phase {
            Phase::Polling => (hands.free(), None),
            Phase::Ending { .. } if hands.is_empty() => break,
            Phase::Ending { by } => (0, by),
        };
        let (at, wait) = match room {
            0 => (next_beat, Duration::ZERO),
            _ => (Some(next_poll), listen.poll_wait),
        };
        let mut poll = pin!(async {
            until(at).await;
            (Instant::now(), consumer.poll(room, wait).await)
        });
        let mut time_up = pin!(until(by));
        // A poll under way goes on while deliveries are finished: there is only more room than it knows of.
        let step = loop {
            let step = poll_fn(|cx| {
                ready!(coop::has_or_yield(cx));
                if let Some(word) = poll_stop(&mut stop, cx) {
                    return Poll::Ready(Step::Stop(word));
                }
                if time_up.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(Step::TimeUp);
                }
                if hands.poll_finished(cx).is_ready() {
                    return Poll::Ready(Step::Finished);
                }
                if extend.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(Step::Extend);
                }
                let (asked, polled) = ready!(poll.as_mut().poll(cx));
                let units = polled.as_ref().map_or(1, |taken| taken.len().max(1));
                (0..units).for_each(|_| coop::take(cx));
                Poll::Ready(Step::Polled(asked, polled))
            })
            .await;
            match step {
                Step::Extend => {
                    let oldest = Instant::now().checked_sub(listen.extend_for);
                    hands.extend(oldest).await;
                    extend.set(until(next_extend(listen)));
                }
                Step::Finished if room > 0 => {}
                step => break step,
            }
        };
        let (asked, polled) = match step {
            Step::Finished | Step::Extend => continue,
            Step::TimeUp => break,
            Step::Stop(Stop { by }) => {
                phase = Phase::Ending { by };
                continue;
            }
            Step::Polled(asked, polled) => (asked, polled),
        };
        let now = Instant::now();
        next_beat = now.checked_add(beat);
        match polled {
            // An engine that has nothing and does not wait would keep this task turning.
            Ok(taken) if room > 0 && taken.is_empty() && now - asked < wait.max(SHORTEST) => {
                next_poll = now + patience.next();
            }
            Ok(taken) => {
                patience.reset();
                taken.into_iter().for_each(|delivery| hands.take(delivery));
            }
            Err(error) if passes(&error) => {
                counts.error(error);
                next_poll = now + patience.next();
            }
            Err(error) => {
                counts.ended(error);
                if let Phase::Polling = phase {
                    phase = Phase::Ending { by: None };
                }
                next_beat = None;
            }
        }
    }
    hands.let_go().await;
    if let Err(error) = consumer.close().await {
        counts.ended(error);
    }
}

/// When what is in hand is to be extended next.
fn next_extend(listen: Listen) -> Option<Instant> {
    let wanted = !listen.extend_for.is_zero();
    let next = Instant::now().checked_add(listen.heartbeat.max(SHORTEST));
    next.filter(|_| wanted)
}

/// Waits until then, or for ever.
async fn until(at: Option<Instant>) {
    match at {
        Some(at) if at <= Instant::now() => {}
        Some(at) => sleep_until(at).await,
        None => pending().await,
    }
}

/// The word to stop, once.
fn poll_stop(stop: &mut Option<oneshot::Receiver<Stop>>, cx: &mut Context<'_>) -> Option<Stop> {
    let Poll::Ready(heard) = Pin::new(stop.as_mut()?).poll(cx) else {
        return None;
    };
    *stop = None;
    heard.ok()
}

/// Whether another try may go better.
fn passes(error: &Error) -> bool {
    !matches!(
        error,
        Error::Closed { .. }
            | Error::InvalidConfig { .. }
            | Error::InvalidGroup { .. }
            | Error::InvalidTopic { .. }
            | Error::Unsupported { .. }
            | Error::Locked { .. }
            | Error::Damaged { .. }
    )
}
