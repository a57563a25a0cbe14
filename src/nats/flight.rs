//! Records on their way to the server, in the order in which they were pushed.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use async_nats::jetstream::context::{PublishAckFuture, PublishError};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::publish::PublishAck;
use futures_util::FutureExt;
use tokio::time::{Instant, sleep, timeout_at};

use crate::broker::{Error, Position, Record, Topic};

use super::connection::Connection;
use super::format;
use super::line::Line;
use super::topic::TopicState;
use super::trouble::{Advised, Refusal};

/// Before a server is asked again that could not say yes or no, and before another attempt to reach one.
const PAUSE: Duration = Duration::from_millis(50);

const ACTION: &str = "publishing a record";

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Records that are not acknowledged yet, oldest first.
///
/// The first of them, `sent` in number, went over the line, in this order. When the line is lost, or the server does not say
/// yes or no, all that is not acknowledged is sent again, in the same order and before anything new. A server that has some of
/// it already knows it by its ids.
#[derive(Default)]
pub(crate) struct Flight {
    entries: VecDeque<Entry>,
    sent: usize,
    /// Whether nothing is sent behind a record that is known to be refused.
    halts: bool,
    line: Option<Arc<Line>>,
    /// The last line that was lost.
    lost: u64,
    /// What is to be done before more can be sent.
    step: Option<Boxed<Done>>,
    /// The topic of the last record, and how much had changed by then.
    last: Option<(u64, Arc<TopicState>)>,
    /// Whether something could not be sent at once.
    waited: bool,
    /// Why what was sent has to be sent again.
    trouble: Option<Error>,
}

/// What a step came to.
enum Done {
    Line(Result<Arc<Line>, Error>),
    Topic(Result<Arc<TopicState>, Error>),
    Sent(Result<PublishAckFuture, PublishError>),
    Rested,
    /// The time of the oldest record is over.
    Late,
}

struct Entry {
    record: Record,
    /// Where it goes, when that is known.
    route: Option<Route>,
    /// The number of the id that was made for it.
    number: u64,
    taken: Instant,
    /// When to give up.
    end: Instant,
    /// When the server may have forgotten its id.
    forgotten: Option<Instant>,
    ack: Ack,
}

#[derive(Clone)]
struct Route {
    topic: Arc<TopicState>,
    partition: u32,
}

enum Ack {
    Unsent,
    OnTheWay(<PublishAckFuture as IntoFuture>::IntoFuture),
    /// Its place in the stream.
    Known(u64),
    Refused(Box<Error>),
}

impl Flight {
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// A flight with room for so many records, that sends nothing behind one that is known to be refused.
    pub(crate) fn halting(room: usize) -> Self {
        Self {
            entries: VecDeque::with_capacity(room),
            halts: true,
            ..Self::default()
        }
    }

    /// Takes a record along. It is sent when the flight is polled. Says whether it will be, as far as that is known.
    pub(crate) fn take(&mut self, connection: &Connection, record: Record, now: Instant) -> bool {
        let topic = self.topic(connection, &record.topic);
        let known = || {
            connection.check()?;
            topic.map(|topic| Route::of(topic, &record)).transpose()
        };
        let (route, ack) = match known() {
            Ok(route) => (route, Ack::Unsent),
            Err(error) => (None, Ack::Refused(Box::new(error))),
        };
        let sent = matches!(ack, Ack::Unsent);
        self.entries.push_back(Entry {
            record,
            route,
            number: connection.next_number(),
            taken: now,
            end: now + connection.options.request_timeout,
            forgotten: None,
            ack,
        });
        sent
    }

    /// The topic, which most often is that of the record before.
    fn topic(&mut self, connection: &Connection, name: &Topic) -> Option<Arc<TopicState>> {
        let changes = connection.changes();
        match &self.last {
            Some((seen, topic)) if *seen == changes && topic.name == *name => {
                Some(Arc::clone(topic))
            }
            _ => {
                let topic = connection.known(name)?;
                self.last = Some((changes, Arc::clone(&topic)));
                Some(topic)
            }
        }
    }

    /// Leaves out the records that were never sent, oldest first.
    pub(crate) fn unsent(&mut self) -> impl DoubleEndedIterator<Item = Record> {
        let from = self
            .entries
            .partition_point(|entry| entry.forgotten.is_some());
        let unsent = self.entries.split_off(from);
        if self.sent >= from {
            (self.sent, self.step) = (from, None);
        }
        unsent.into_iter().map(|entry| entry.record)
    }

    /// Sends what can be sent. Ready when everything is on its way.
    pub(crate) fn poll_send(
        &mut self,
        connection: &Arc<Connection>,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        loop {
            if let Some(step) = &mut self.step {
                let done = ready!(step.as_mut().poll(cx));
                self.step = None;
                self.after(done);
                continue;
            }
            let Some(entry) = self.entries.get_mut(self.sent) else {
                self.waited = false;
                return Poll::Ready(());
            };
            match entry.ack {
                Ack::Unsent => {}
                Ack::Refused(_) if self.halts => return Poll::Ready(()),
                _ => {
                    self.sent += 1;
                    continue;
                }
            }
            if let Err(error) = connection.check() {
                self.refuse(error);
                continue;
            }
            let late = |now| entry.end <= now || entry.forgotten.is_some_and(|at| at <= now);
            // Only what did not go at once can be late.
            if self.waited && late(Instant::now()) {
                let late = self.trouble.clone();
                self.refuse(late.unwrap_or_else(|| Advised::late(ACTION)));
                continue;
            }
            let Some(route) = &entry.route else {
                self.look_up(connection);
                continue;
            };
            let Some(line) = &self.line else {
                self.find_line(connection);
                continue;
            };
            let Some(subject) = route.topic.subjects.get(route.partition as usize) else {
                entry.route = None;
                continue;
            };
            let message = entry.message(connection.maker());
            // Dropped before it is done, it has sent nothing: then it is made again, to be waited for.
            let sending = line.context.send_publish(subject.clone(), message);
            if let Some(sent) = sending.now_or_never() {
                self.after(Done::Sent(sent));
                continue;
            }
            let (line, subject) = (Arc::clone(line), subject.clone());
            let (message, end) = (entry.message(connection.maker()), entry.end);
            self.begin(end, async move {
                Done::Sent(line.context.send_publish(subject, message).await)
            });
        }
    }

    /// What became of the oldest record. Ready with `None` where there is none.
    pub(crate) fn poll_oldest(
        &mut self,
        connection: &Arc<Connection>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Position, Error>>> {
        loop {
            let sending = self.poll_send(connection, cx);
            let Some(oldest) = self.entries.front_mut() else {
                return Poll::Ready(None);
            };
            if let Ack::OnTheWay(ack) = &mut oldest.ack {
                let acked = ready!(ack.as_mut().poll(cx));
                self.answered(0, acked);
                continue;
            }
            if matches!(oldest.ack, Ack::Unsent) {
                ready!(sending);
                continue;
            }
            let Some(oldest) = self.entries.pop_front() else {
                return Poll::Ready(None);
            };
            self.sent = self.sent.saturating_sub(1);
            return Poll::Ready(Some(oldest.outcome()));
        }
    }

    /// Takes note of an answer, and of what has to be done again because of it.
    fn answered(&mut self, at: usize, acked: Result<PublishAck, PublishError>) {
        let Some(entry) = self.entries.get_mut(at) else {
            return;
        };
        let error = match acked {
            Ok(ack) => {
                entry.ack = Ack::Known(ack.sequence);
                self.trouble = None;
                return;
            }
            Err(error) => error,
        };
        let Some(route) = &entry.route else {
            return;
        };
        let line = self.line.as_ref();
        let max_payload = line.map_or(usize::MAX, |line| line.context.client().max_payload());
        match Refusal::of(
            &error,
            &route.topic,
            route.partition,
            &entry.record,
            max_payload,
        ) {
            Refusal::Stays(error) => {
                entry.ack = Ack::Refused(Box::new(error));
                return;
            }
            Refusal::Lost => self.lost = self.line.take().map_or(self.lost, |line| line.number),
            Refusal::Passes => {}
            Refusal::NoStream => entry.route = None,
        }
        self.trouble = Some(Advised::unanswered(ACTION, error));
        entry.ack = Ack::Unsent;
        self.again();
        if self.line.is_some() {
            self.rest();
        }
    }

    /// Everything that is not acknowledged goes again, from the oldest on.
    fn again(&mut self) {
        let mut cx = Context::from_waker(Waker::noop());
        for entry in self.entries.iter_mut().take(self.sent) {
            if let Ack::OnTheWay(ack) = &mut entry.ack {
                entry.ack = match ack.as_mut().poll(&mut cx) {
                    Poll::Ready(Ok(ack)) => Ack::Known(ack.sequence),
                    _ => Ack::Unsent,
                };
            }
        }
        (self.sent, self.waited, self.step) = (0, true, None);
    }

    fn after(&mut self, done: Done) {
        let Some(entry) = self.entries.get_mut(self.sent) else {
            return;
        };
        match done {
            Done::Line(Ok(line)) => self.line = Some(line),
            Done::Line(Err(error)) => {
                self.trouble = Some(error);
                self.rest();
            }
            Done::Topic(Ok(topic)) => match Route::of(topic, &entry.record) {
                Ok(route) => entry.route = Some(route),
                Err(error) => self.refuse(error),
            },
            Done::Topic(Err(error)) => self.refuse(error),
            Done::Sent(Ok(ack)) => {
                if let (None, Some(route)) = (entry.forgotten, &entry.route) {
                    // With a margin for the way there.
                    let now = match self.waited {
                        true => Instant::now(),
                        false => entry.taken,
                    };
                    entry.forgotten = Some(now + route.topic.remembers / 4 * 3);
                }
                entry.ack = Ack::OnTheWay(ack.into_future());
                self.sent += 1;
            }
            Done::Sent(Err(error)) => {
                let at = self.sent;
                self.answered(at, Err(error));
            }
            Done::Rested | Done::Late => {}
        }
    }

    /// The record that is next to be sent will not be.
    fn refuse(&mut self, error: Error) {
        if let Some(entry) = self.entries.get_mut(self.sent) {
            entry.ack = Ack::Refused(Box::new(error));
        }
    }

    fn begin(&mut self, end: Instant, step: impl Future<Output = Done> + Send + 'static) {
        self.waited = true;
        self.step = Some(Box::pin(async move {
            timeout_at(end, step).await.unwrap_or(Done::Late)
        }));
    }

    fn rest(&mut self) {
        self.step = Some(Box::pin(async {
            sleep(PAUSE).await;
            Done::Rested
        }));
    }

    fn find_line(&mut self, connection: &Arc<Connection>) {
        let lost = self.lost;
        self.line = connection.lines.after(lost);
        let Some(entry) = self.entries.get(self.sent) else {
            return;
        };
        if self.line.is_none() {
            let connection = Arc::clone(connection);
            self.begin(entry.end, async move {
                Done::Line(connection.lines.renew(lost).await)
            });
        }
    }

    fn look_up(&mut self, connection: &Arc<Connection>) {
        let Some(entry) = self.entries.get_mut(self.sent) else {
            return;
        };
        let (end, name) = (entry.end, entry.record.topic.clone());
        let connection = Arc::clone(connection);
        // One that was known and has no stream to answer is asked for again.
        let anew = self.trouble.is_some();
        self.begin(end, async move {
            Done::Topic(if anew {
                connection.look_up(&name).await
            } else {
                connection.topic(&name).await
            })
        });
    }
}

impl Entry {
    fn message(&self, maker: &str) -> PublishMessage {
        let headers = format::encode(&self.record, || format::made_id(maker, self.number));
        PublishMessage::build()
            .payload(self.record.value.clone())
            .headers(headers)
    }

    fn outcome(self) -> Result<Position, Error> {
        match (self.ack, self.route) {
            (Ack::Known(sequence), Some(Route { topic, partition })) => {
                Ok(Position::new(topic.name.clone(), partition, sequence))
            }
            (Ack::Refused(error), _) => Err(error.with_record(self.record)),
            _ => Err(Advised::late(ACTION).with_record(self.record)),
        }
    }
}

impl Route {
    fn of(topic: Arc<TopicState>, record: &Record) -> Result<Self, Error> {
        let partition = topic.choose(record)?;
        topic.fits(record)?;
        Ok(Self { topic, partition })
    }
}
