//! One membership, from joining to its end.

mod acts;

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use crate::broker::remote::Standing;
use crate::broker::{Error, Event};
use crate::nats::lease::{Leases, Part, Terms, Write, Wrote};

use super::super::bucket::{Bucket, Seen};
use super::super::engine::{Engine, Seat};
use super::super::feed::Ask;
use super::{Owned, Parts, State, give_up};

/// How a membership ended.
pub(super) enum Over {
    Left,
    Expired,
}

/// What was under way and is done.
enum Done {
    Wrote(Write, Wrote, Option<Error>),
    Read(Option<Seen>),
    Swept,
    GivenUp(Part, Option<u64>, Result<(), Error>),
}

type Doing = Pin<Box<dyn Future<Output = Done> + Send>>;

/// What woke the task.
enum Told {
    Seen(Seen),
    Done(Done),
    Asked(Ask),
    /// Something may have changed, or time has passed.
    Look,
}

pub(super) struct Life {
    engine: Arc<Engine>,
    seat: Arc<Seat>,
    leases: Leases,
    bucket: Bucket,
    parts: Parts,
    watch: JoinHandle<()>,
    seen: mpsc::UnboundedReceiver<Seen>,
    renew: Arc<Notify>,
    doing: FuturesUnordered<Doing>,
    asks: mpsc::UnboundedReceiver<Ask>,
    asking: mpsc::UnboundedSender<Ask>,
    notes: VecDeque<(Part, oneshot::Sender<()>)>,
    wanted: watch::Receiver<(u64, std::collections::BTreeMap<crate::broker::Topic, u32>)>,
    wish: u64,
    within: Duration,
    terms: Terms,
    /// A write that came through, and has to be seen by then.
    echo: Option<(u64, Instant)>,
    /// A failure was reported, and nothing has succeeded since.
    told: bool,
    leaving: bool,
    /// What the seat knows.
    trusted: Option<Instant>,
    over: Option<Over>,
}

impl Life {
    pub(super) async fn begin(
        engine: &Arc<Engine>,
        seat: &Arc<Seat>,
        terms: Terms,
        former: &mut VecDeque<String>,
    ) -> Result<Self, Error> {
        let connection = &engine.connection;
        let least = Duration::from_millis(250);
        let within = (terms.term / 4)
            .max(least)
            .min(connection.options.request_timeout);
        let bucket = Bucket::open(connection, &engine.group, within).await?;
        let (told, seen) = mpsc::unbounded_channel();
        let renew = Arc::new(Notify::new());
        let watch = tokio::spawn(bucket.clone().watch(told, Arc::clone(&renew)));
        let (asking, asks) = mpsc::unbounded_channel();
        let mut wanted = engine.wanted.subscribe();
        let (wish, topics) = wanted.borrow_and_update().clone();
        // Unlike any other.
        let inbox = connection.client.new_inbox();
        let name = inbox.rsplit('.').next().unwrap_or(&inbox);
        let leases = Leases::new(name.into(), terms, topics, former.iter().cloned());
        former.push_back(name.into());
        if former.len() > FORMER {
            former.pop_front();
        }
        Ok(Self {
            engine: Arc::clone(engine),
            seat: Arc::clone(seat),
            leases,
            bucket,
            parts: Parts::new(),
            watch,
            seen,
            renew,
            doing: FuturesUnordered::new(),
            asks,
            asking,
            notes: VecDeque::new(),
            wanted,
            wish,
            within,
            terms,
            echo: None,
            told: false,
            leaving: false,
            trusted: None,
            over: None,
        })
    }

    /// Lives on until it is over, and everything that has to be told has been.
    pub(super) async fn run(mut self) -> Over {
        loop {
            self.look();
            let actions = self.leases.step(Instant::now());
            let acted = !actions.is_empty();
            for action in actions {
                self.act(action);
            }
            self.answer_notes();
            self.tell_if_settled();
            let trusted = self.leases.trusted_until();
            if self.trusted != trusted && self.over.is_none() {
                self.trusted = trusted;
                self.seat.trust(trusted);
            }
            if self.doing.is_empty() {
                if let Some(over) = self.over.take() {
                    return over;
                }
            }
            if acted {
                continue;
            }
            let told = self.next().await;
            self.heard(told);
            // A step looks at all partitions: what has come in goes into one.
            for _ in 1..AT_ONCE {
                let Some(told) = poll_fn(|cx| self.poll_told(cx)).now_or_never() else {
                    break;
                };
                self.heard(told);
            }
        }
    }

    fn heard(&mut self, told: Told) {
        match told {
            Told::Look => {}
            Told::Seen(seen) => self.saw(seen),
            Told::Done(done) => self.done(done),
            Told::Asked(ask) => self.asked(ask),
        }
    }

    fn saw(&mut self, seen: Seen) {
        if self
            .echo
            .is_some_and(|(revision, _)| revision <= seen.revision)
        {
            self.echo = None;
        }
        let now = Instant::now();
        self.leases.saw(&seen.key, seen.revision, seen.value, now);
    }

    fn done(&mut self, done: Done) {
        let now = Instant::now();
        match done {
            Done::Wrote(write, outcome, error) => {
                if let Wrote::As(revision) = outcome {
                    self.told = false;
                    let late = now + self.terms.term / 6;
                    self.echo = self.echo.or(Some((revision, late)));
                }
                if let Some(error) = error {
                    self.failed(error);
                }
                self.leases.wrote(&write, outcome, now);
            }
            Done::Read(Some(seen)) => {
                self.leases.saw(&seen.key, seen.revision, seen.value, now);
            }
            Done::Read(None) | Done::Swept => {}
            Done::GivenUp(part, unread, outcome) => {
                if let Err(error) = outcome {
                    self.engine.fail(error.clone());
                    self.failed(error);
                }
                self.parts.remove(&part);
                if let Some(unread) = unread {
                    let mut note = self.leases.note_of(&part).cloned().unwrap_or_default();
                    note.unread.push((unread, None));
                    let many = note.unread.len().saturating_sub(UNREAD);
                    note.unread.drain(..many);
                    self.leases.note(&part, note);
                }
                self.leases.drained(&part);
            }
        }
    }

    fn failed(&mut self, error: Error) {
        if !std::mem::replace(&mut self.told, true) && !self.engine.connection.is_closed() {
            self.seat.report(Event::Failed(error));
        }
    }

    fn asked(&mut self, ask: Ask) {
        match ask {
            Ask::Close(part) => self.close(&part),
            Ask::Note {
                part,
                note,
                written,
            } => {
                self.leases.note(&part, note);
                self.notes.push_back((part, written));
            }
            Ask::Grant {
                part,
                stand,
                granted,
            } => {
                let now = Instant::now();
                let trusted = self.leases.trusted_until().is_some_and(|it| now < it);
                let owned = self.parts.get_mut(&part);
                let owned = owned.filter(|owned| owned.state == State::Opening && trusted);
                let Some(owned) = owned else { return };
                let epoch = self.seat.grant(owned.place, stand.start, stand.committed);
                let Some(epoch) = epoch else {
                    // Should the consumer want it after all, it is opened again.
                    return self.close(&part);
                };
                owned.state = State::Granted;
                self.engine.moves(owned.place, epoch);
                // A feed that has ended meanwhile is followed by the partition's loss.
                let _gone = granted.send(epoch);
            }
        }
    }

    /// Notes that were written, or no longer can be.
    fn answer_notes(&mut self) {
        for (part, written) in std::mem::take(&mut self.notes) {
            match self.leases.noted(&part) {
                Some(false) => self.notes.push_back((part, written)),
                // A feed that does not wait for it any more has ended.
                Some(true) => drop(written.send(())),
                None => drop(written),
            }
        }
    }

    fn tell_if_settled(&mut self) {
        let opening = |owned: &Owned| owned.state == State::Opening;
        if self.leases.is_settled() && !self.parts.values().any(opening) {
            let wish = self.wish;
            self.engine
                .settled
                .send_if_modified(|settled| std::mem::replace(settled, wish) != wish);
        }
    }

    /// What the seat says, and what has become of partitions that are to go.
    fn look(&mut self) {
        if self.wanted.has_changed().unwrap_or(false) {
            let (wish, topics) = self.wanted.borrow_and_update().clone();
            self.wish = wish;
            self.leases.read(topics);
        }
        if self.engine.connection.is_closed() {
            self.seat.shut();
        }
        let nothing = self.wanted.borrow().1.is_empty();
        if !self.leaving && (nothing || self.seat.standing() != Standing::Present) {
            self.leaving = true;
            self.close_all();
            self.leases.leave();
        }
        let gone = self.seat.granted();
        let gone = gone.into_iter().filter(|(_, owned)| !owned);
        for (place, _) in gone.collect::<Vec<_>>() {
            let part = Part {
                topic: self.seat.topic(place),
                partition: place.partition,
            };
            self.close(&part);
        }
        let now = Instant::now();
        let idle: Vec<Part> = self
            .parts
            .iter()
            .filter(|(_, owned)| match owned.state {
                State::Retired(until) => until <= now || self.seat.in_hand(owned.place) == 0,
                _ => false,
            })
            .map(|(part, _)| part.clone())
            .collect();
        for part in idle {
            self.close(&part);
        }
        let retired = |owned: &Owned| matches!(owned.state, State::Retired(_));
        if !self.parts.values().any(retired) {
            self.engine.attentive.store(false, Ordering::Release);
        }
        if let Some((_, late)) = self.echo {
            if late <= now {
                self.echo = None;
                self.renew.notify_one();
            }
        }
    }

    fn close_all(&mut self) {
        let all: Vec<Part> = self.parts.keys().cloned().collect();
        for part in all {
            self.close(&part);
        }
    }

    /// Begins to give up a partition.
    fn close(&mut self, part: &Part) {
        let Some(owned) = self.parts.get_mut(part) else {
            return;
        };
        if owned.state == State::Closing {
            return;
        }
        owned.state = State::Closing;
        self.leases.closing(part);
        let (engine, seat) = (Arc::clone(&self.engine), Arc::clone(&self.seat));
        let (place, feed, part) = (owned.place, owned.feed.take(), part.clone());
        let within = self.within;
        self.doing.push(Box::pin(async move {
            let (unread, outcome) = give_up(engine, seat, place, feed, within).await;
            Done::GivenUp(part, unread, outcome)
        }));
    }

    async fn next(&mut self) -> Told {
        let engine = Arc::clone(&self.engine);
        let mut woken = pin!(engine.wake.member.notified());
        let mut closed = pin!(engine.connection.closed());
        let mut wanted = self.wanted.clone();
        let mut changed = pin!(wanted.changed());
        let retired = self.parts.values().filter_map(|owned| match owned.state {
            State::Retired(until) => Some(until),
            _ => None,
        });
        let echo = self.echo.map(|(_, late)| late);
        let due = self.leases.next_due();
        let due = due.into_iter().chain(retired).chain(echo).min();
        // A moment that has passed is no reason to run in circles.
        let least = Instant::now() + Duration::from_millis(1);
        let due = due.unwrap_or(least + Duration::from_secs(1)).max(least);
        let mut timer = pin!(sleep_until(due));
        let mut is_closed = engine.connection.is_closed();
        poll_fn(|cx| {
            if let Poll::Ready(told) = self.poll_told(cx) {
                return Poll::Ready(told);
            }
            let woken = woken.as_mut().poll(cx).is_ready();
            let changed = changed.as_mut().poll(cx).is_ready();
            if !is_closed {
                is_closed = closed.as_mut().poll(cx).is_ready();
                if is_closed {
                    return Poll::Ready(Told::Look);
                }
            }
            if woken || changed {
                return Poll::Ready(Told::Look);
            }
            timer.as_mut().poll(cx).map(|()| Told::Look)
        })
        .await
    }

    fn poll_told(&mut self, cx: &mut Context<'_>) -> Poll<Told> {
        if let Poll::Ready(Some(done)) = self.doing.poll_next_unpin(cx) {
            return Poll::Ready(Told::Done(done));
        }
        if let Poll::Ready(Some(ask)) = self.asks.poll_recv(cx) {
            return Poll::Ready(Told::Asked(ask));
        }
        if let Poll::Ready(Some(seen)) = self.seen.poll_recv(cx) {
            return Poll::Ready(Told::Seen(seen));
        }
        Poll::Pending
    }
}

/// So many stretches that nobody got are remembered.
const UNREAD: usize = 8;
/// So much of what came in is heard before it is acted on.
const AT_ONCE: usize = 256;
/// So many names that it had are remembered.
const FORMER: usize = 8;
impl Drop for Life {
    fn drop(&mut self) {
        self.watch.abort();
        for (_part, owned) in std::mem::take(&mut self.parts) {
            self.lose(owned);
        }
    }
}
