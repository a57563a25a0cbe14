//! The task of one consumer: its membership in the group, and what follows from it.

mod life;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::broker::remote::{Place, Standing};
use crate::broker::{Error, Event};
use crate::nats::connection::Guest;
use crate::nats::lease::{Part, Terms};
use crate::nats::trouble::engine_error;

use super::engine::{Engine, Seat};
use life::{Life, Over};

/// After something failed.
const AGAIN: Duration = Duration::from_millis(200);

/// Starts the tasks of a consumer. They end when it has left.
pub(super) fn spawn(seat: Arc<Seat>) {
    let engine = Arc::clone(seat.engine());
    let guest = engine.connection.enter();
    engine.connection.feed(seat.feed());
    let answers = tokio::spawn(answer(Arc::clone(&seat)));
    let task = Task {
        terms: Terms::new(engine.session_timeout),
        engine,
        seat,
        answers,
        _guest: guest,
    };
    tokio::spawn(task.run());
}

/// Sends answers as they come.
async fn answer(seat: Arc<Seat>) {
    let engine = Arc::clone(seat.engine());
    let mut told = false;
    loop {
        engine.wake.acks.notified().await;
        let sent = engine.send_answers(&seat).await;
        match sent {
            Ok(()) => told = false,
            Err(_) if engine.connection.is_closed() => return,
            Err(error) if !std::mem::replace(&mut told, true) => seat.report(Event::Failed(error)),
            Err(_) => {}
        }
    }
}

struct Task {
    engine: Arc<Engine>,
    seat: Arc<Seat>,
    terms: Terms,
    answers: JoinHandle<()>,
    /// The connection does not close before this task has said good-bye.
    _guest: Guest,
}

impl Drop for Task {
    fn drop(&mut self) {
        self.answers.abort();
        self.engine.ended();
    }
}

impl Task {
    async fn run(self) {
        let mut told = false;
        let mut former = VecDeque::new();
        while self.is_wanted().await {
            match Life::begin(&self.engine, &self.seat, self.terms, &mut former).await {
                Ok(life) => {
                    told = false;
                    if let Over::Expired = life.run().await {
                        self.seat.report(Event::Expired);
                    }
                }
                Err(error) => {
                    if !std::mem::replace(&mut told, true) && !self.engine.connection.is_closed() {
                        self.seat.report(Event::Failed(error));
                    }
                    let rest = std::pin::pin!(tokio::time::sleep(AGAIN));
                    let closed = std::pin::pin!(self.engine.connection.closed());
                    futures_util::future::select(rest, closed).await;
                }
            }
        }
    }

    /// Waits until there is something to read and somebody to read it. `false`: there never will be.
    async fn is_wanted(&self) -> bool {
        let mut wanted = self.engine.wanted.subscribe();
        self.engine.attentive.store(true, Ordering::Release);
        loop {
            if self.engine.connection.is_closed() {
                self.seat.shut();
            }
            match self.seat.standing() {
                Standing::Left => return false,
                Standing::Silent => {}
                Standing::Present => {
                    let (wish, topics) = wanted.borrow_and_update().clone();
                    if !topics.is_empty() {
                        return true;
                    }
                    self.engine.settled.send_replace(wish);
                }
            }
            let told = std::pin::pin!(self.engine.wake.member.notified());
            let changed = std::pin::pin!(wanted.changed());
            let closed = std::pin::pin!(self.engine.connection.closed());
            let told = futures_util::future::select(told, changed);
            futures_util::future::select(told, closed).await;
        }
    }
}

/// Gives up a partition: what was answered is sent, and the server has it when this is done. The answer is the first offset that
/// the consumer never got, if it got any of what came after.
///
/// What was not answered is called back by whoever owns the partition next, when the server has forgotten what was asked for
/// here: before, it would put it into disorder.
async fn give_up(
    engine: Arc<Engine>,
    seat: Arc<Seat>,
    place: Place,
    feed: Option<JoinHandle<()>>,
    within: Duration,
) -> (Option<u64>, Result<(), Error>) {
    const ACTION: &str = "giving up a partition";
    if let Some(feed) = feed {
        feed.abort();
        // Aborted is what it is to be.
        let _aborted = feed.await;
    }
    engine.unfeed(place);
    let sent = timeout(within, engine.send_answers(&seat)).await;
    let unread = seat.next(place);
    let remains = seat.revoke(place);
    let given = async {
        let client = &engine.connection.client;
        let mut last = None;
        for (_offset, ticket) in remains.done {
            let sent = client.publish(ticket.clone(), Bytes::new()).await;
            sent.map_err(|error| engine_error(ACTION, error))?;
            last = Some(ticket);
        }
        drop(remains.left);
        if let Some(ticket) = last {
            let asked = client.request(ticket, Bytes::new()).await;
            asked.map_err(|error| engine_error(ACTION, error))?;
        }
        Ok(())
    };
    let given = timeout(within, given).await;
    let sent = sent.map_err(|late| engine_error(ACTION, late));
    let given = given.map_err(|late| engine_error(ACTION, late));
    let outcome = sent.and_then(|sent| sent).and_then(|()| given?);
    (unread, outcome)
}

/// What is known of the partitions that the leases give to this member.
type Parts = BTreeMap<Part, Owned>;

/// A partition of this member's.
struct Owned {
    place: Place,
    feed: Option<JoinHandle<()>>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// The feed gets ready.
    Opening,
    Granted,
    /// It is to go when nothing of it is in hand, or at this time.
    Retired(tokio::time::Instant),
    /// It is being given up.
    Closing,
}
