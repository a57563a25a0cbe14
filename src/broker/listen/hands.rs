//! Deliveries that were taken and are not finished: who is handled, who waits behind whom.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::task::{Id, JoinSet};
use tokio::time::Instant;

use crate::broker::{Acker, Delivery, Position, Topic, Verdict};

use super::caught::{caught, forget};
use super::config::{Listen, Order};
use super::report::{Counts, Turn};

/// What is handled one after the other.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Lane {
    topic: Topic,
    partition: u32,
    key: Option<Bytes>,
}

struct Taken {
    delivery: Delivery,
    since: Instant,
    turn: Turn,
}

/// A delivery that a handler has.
struct Running {
    lane: Option<Lane>,
    position: Position,
    since: Instant,
}

/// All that a listener has in its hands.
pub(super) struct Hands<F> {
    listen: Listen,
    nack_delay: Option<Duration>,
    handler: Arc<F>,
    acker: Acker,
    counts: Counts,
    tasks: JoinSet<()>,
    running: HashMap<Id, Running>,
    /// Lanes of which a delivery is running or ready, and those that wait behind it.
    lanes: HashMap<Lane, VecDeque<Taken>>,
    /// Deliveries that only wait for a free hand.
    ready: VecDeque<(Option<Lane>, Taken)>,
    taken: usize,
}

impl<F, Fut, E> Hands<F>
where
    F: Fn(Delivery) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), E>> + Send + 'static,
    E: std::fmt::Debug + 'static,
{
    pub(super) fn new(
        listen: Listen,
        nack_delay: Option<Duration>,
        handler: F,
        acker: Acker,
        counts: Counts,
    ) -> Self {
        Self {
            listen,
            nack_delay,
            handler: Arc::new(handler),
            acker,
            counts,
            tasks: JoinSet::new(),
            running: HashMap::new(),
            lanes: HashMap::new(),
            ready: VecDeque::new(),
            taken: 0,
        }
    }

    /// How many more deliveries may be taken.
    pub(super) fn free(&self) -> usize {
        let room = self.listen.concurrency.saturating_add(self.listen.ahead);
        room.saturating_sub(self.taken)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.taken == 0
    }

    pub(super) fn take(&mut self, delivery: Delivery) {
        self.taken += 1;
        let lane = self.lane(&delivery);
        let turn = self.counts.take();
        let taken = Taken {
            delivery,
            since: Instant::now(),
            turn,
        };
        if let Some(lane) = &lane {
            if let Some(waiting) = self.lanes.get_mut(lane) {
                waiting.push_back(taken);
                return;
            }
            self.lanes.insert(lane.clone(), VecDeque::new());
        }
        self.ready.push_back((lane, taken));
        self.start();
    }

    fn lane(&self, delivery: &Delivery) -> Option<Lane> {
        let key = match self.listen.order {
            Order::Partition => None,
            Order::Key => delivery.record.key.clone(),
            Order::None => return None,
        };
        Some(Lane {
            topic: delivery.position.topic.clone(),
            partition: delivery.position.partition,
            key,
        })
    }

    /// Gives what is ready to the hands that are free.
    fn start(&mut self) {
        while self.running.len() < self.listen.concurrency {
            let Some((lane, taken)) = self.ready.pop_front() else {
                return;
            };
            let Taken {
                delivery,
                since,
                turn,
            } = taken;
            let running = Running {
                lane,
                position: delivery.position.clone(),
                since,
            };
            let work = handle(
                self.handler.clone(),
                delivery,
                turn,
                self.nack_delay,
                self.acker.clone(),
                self.counts.clone(),
            );
            let id = self.tasks.spawn(work).id();
            self.running.insert(id, running);
        }
    }

    /// Tells the engine of everything in hand that was taken after `oldest` that it is still in work.
    pub(super) async fn extend(&self, oldest: Option<Instant>) {
        let waiting = self.lanes.values().flatten();
        let waiting = waiting.chain(self.ready.iter().map(|(_lane, taken)| taken));
        let waiting = waiting.map(|taken| (&taken.delivery.position, taken.since));
        let running = self.running.values().map(|it| (&it.position, it.since));
        let extended = running
            .chain(waiting)
            .filter(|(_, since)| oldest.is_none_or(|oldest| *since > oldest))
            .map(|(position, _)| self.acker.settle(position, Verdict::Extend));
        for extended in join_all(extended).await {
            match extended {
                Err(error) if !error.is_fenced() => self.counts.error(error),
                // That it is no longer in these hands shows when it is answered.
                _ => {}
            }
        }
    }

    /// Waits until a delivery is finished, and goes on with the one behind it. Pending where nothing is in hand.
    pub(super) fn poll_finished(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(id) = ready!(self.poll_ended(cx)) else {
            return Poll::Pending;
        };
        if let Some(running) = self.running.remove(&id) {
            self.taken -= 1;
            if let Some(lane) = running.lane {
                match self.lanes.get_mut(&lane).and_then(VecDeque::pop_front) {
                    Some(next) => self.ready.push_back((Some(lane), next)),
                    None => drop(self.lanes.remove(&lane)),
                }
            }
        }
        self.start();
        Poll::Ready(())
    }

    /// The task that ended.
    fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<Option<Id>> {
        let ended = ready!(self.tasks.poll_join_next_with_id(cx));
        Poll::Ready(ended.map(|ended| match ended {
            Ok((id, ())) => id,
            Err(error) => {
                let id = error.id();
                // What a handler left behind may panic as it goes.
                if let Ok(panic) = error.try_into_panic() {
                    forget(panic);
                }
                id
            }
        }))
    }

    /// Stops every handler, and lets go of what is not finished. It is not nacked: nothing failed, and what was on its last
    /// attempt must not go to the dead letters for it. The others get it when the consumer is closed.
    pub(super) async fn let_go(&mut self) {
        self.tasks.abort_all();
        while poll_fn(|cx| self.poll_ended(cx)).await.is_some() {}
        self.running.clear();
        self.ready.clear();
        self.lanes.clear();
        self.taken = 0;
    }
}

/// Handles one delivery and says what became of it.
async fn handle<F, Fut, E>(
    handler: Arc<F>,
    delivery: Delivery,
    turn: Turn,
    nack_delay: Option<Duration>,
    acker: Acker,
    counts: Counts,
) where
    F: Fn(Delivery) -> Fut,
    Fut: Future<Output = Result<(), E>>,
    E: std::fmt::Debug + 'static,
{
    let position = delivery.position.clone();
    // In an async block the call itself is covered as well, and so is what the error does while it is formatted and dropped.
    let outcome = caught(async {
        let result = handler(delivery).await;
        result.map_err(|error| format!("{error:?}"))
    })
    .await;
    let reason = match outcome {
        Ok(Ok(())) => {
            turn.over(|report| &mut report.handled);
            None
        }
        Ok(Err(error)) => {
            turn.over(|report| &mut report.failed);
            Some(error)
        }
        Err(message) => {
            turn.over(|report| &mut report.panicked);
            Some(format!("the handler panicked: {message}"))
        }
    };
    let verdict = match reason {
        None => Verdict::Ack,
        reason => Verdict::Nack {
            delay: nack_delay,
            reason,
        },
    };
    counts.settled(acker.settle(&position, verdict).await);
}
