//! Requests for records, and what comes of them.
//!
//! A few requests are kept with the server, for as many records together as the seat takes. They expire soon, so that records
//! do not go for long to a member that is no more; until then they are answered as records come in.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use async_nats::{Message, StatusCode, Subject, Subscriber};
use futures_core::Stream;
use tokio::sync::futures::Notified;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use crate::broker::Error;
use crate::broker::remote::{Arrival, Room};
use crate::nats::format;
use crate::nats::topic::TopicState;
use crate::nats::trouble::engine_error;

use super::super::durable::Durable;
use super::super::engine::{Engine, Order};
use super::super::reply::Told;

/// So many records are handed on at once, at the most.
const AT_ONCE: usize = 512;
/// So many are asked for with one request, at the most.
const MOST: usize = 2048;
/// How much later than it should the end of a request may come.
const LATE: Duration = Duration::from_secs(1);
/// After a request that the server refused.
const PAUSE: Duration = Duration::from_millis(100);

/// What there is to be done.
pub(super) enum Next {
    /// Records came in, there is room for more, or time has passed.
    Look,
    Order(Order),
    /// The client, or whoever gives orders, is gone.
    Ended,
}

pub(super) struct Pull {
    /// Where requests go.
    target: String,
    inbox: String,
    subscriber: Option<Subscriber>,
    /// Requests that the server has: their numbers, and how many records are still to come.
    requests: VecDeque<(u64, usize)>,
    last_request: u64,
    expires: Duration,
    /// By then the server must have said something.
    silent_at: Instant,
    /// Nothing is asked for before.
    rest_until: Instant,
    renew_at: Instant,
    /// The connection may have been lost, or the durable.
    stale: bool,
    reconnects: watch::Receiver<u64>,
    /// The last delivery and its place, if it was the message's first.
    last: Option<(u64, u64)>,
    lost: Vec<(u64, u64)>,
    /// Bytes of a record, as they were of late.
    size: usize,
    /// There was little room.
    short: bool,
}

impl Pull {
    pub(super) fn new(engine: &Engine, durable: &Durable, expires: Duration) -> Self {
        let now = Instant::now();
        let mut reconnects = engine.connection.reconnects();
        reconnects.mark_unchanged();
        Self {
            target: format!(
                "$JS.API.CONSUMER.MSG.NEXT.{}.{}",
                durable.stream, durable.name
            ),
            inbox: engine.connection.client.new_inbox(),
            subscriber: None,
            requests: VecDeque::new(),
            last_request: 0,
            expires,
            silent_at: now,
            rest_until: now,
            renew_at: now + durable.ack_wait / 3,
            stale: false,
            reconnects,
            last: None,
            lost: Vec::new(),
            size: 64,
            short: false,
        }
    }

    /// How many records are to come.
    fn outstanding(&self) -> usize {
        self.requests.iter().map(|(_, left)| left).sum()
    }

    pub(super) fn is_stale(&self) -> bool {
        self.stale
    }

    pub(super) fn is_fresh(&mut self) {
        self.stale = false;
    }

    /// What retention removed before it was delivered: from where, and how many.
    pub(super) fn lost(&mut self) -> Vec<(u64, u64)> {
        std::mem::take(&mut self.lost)
    }

    pub(super) fn is_time_to_renew(&self) -> bool {
        Instant::now() >= self.renew_at
    }

    pub(super) fn renewed(&mut self, ack_wait: Duration) {
        self.renew_at = Instant::now() + ack_wait / 3;
    }

    /// Asks for no more. What comes nevertheless goes nowhere.
    pub(super) async fn close(&mut self) {
        self.requests.clear();
        if let Some(mut subscriber) = self.subscriber.take() {
            // A client that is gone receives nothing either.
            let _gone = subscriber.unsubscribe().await;
        }
    }

    /// Asks for as much as there is room for, where that is worth a request.
    pub(super) async fn ask(&mut self, engine: &Engine, room: Room) -> Result<(), Error> {
        const ACTION: &str = "asking for records";
        let client = &engine.connection.client;
        if self.subscriber.is_none() {
            let all = format!("{}.*", self.inbox);
            let subscribed = client.subscribe(all).await;
            self.subscriber = Some(subscribed.map_err(|error| engine_error(ACTION, error))?);
        }
        let now = Instant::now();
        let outstanding = self.outstanding();
        let by_bytes = (room.bytes / self.size.max(1)).max(usize::from(room.bytes > 0));
        let room = room.records.min(by_bytes);
        let more = room.saturating_sub(outstanding).min(MOST);
        self.short = outstanding < room.max(2) / 2 || room == 0;
        if now < self.rest_until || more == 0 || (outstanding > 0 && more < outstanding) {
            return Ok(());
        }
        self.last_request += 1;
        let reply = format!("{}.{}", self.inbox, self.last_request);
        let nanoseconds = self.expires.as_nanos();
        let payload = format!(r#"{{"batch":{more},"expires":{nanoseconds}}}"#);
        let asked = client.publish_with_reply(self.target.clone(), reply, payload.into());
        asked.await.map_err(|error| engine_error(ACTION, error))?;
        self.requests.push_back((self.last_request, more));
        self.silent_at = Instant::now() + self.expires + LATE;
        Ok(())
    }

    /// Waits until there is something to do. Records go into the batch.
    pub(super) async fn next(
        &mut self,
        topic: &TopicState,
        orders: &mut mpsc::UnboundedReceiver<Order>,
        woken: Notified<'_>,
        batch: &mut Vec<Arrival<Subject>>,
    ) -> Next {
        let mut woken = pin!(woken);
        let mut reconnects = self.reconnects.clone();
        let mut back = pin!(reconnects.changed());
        let mut until = self.renew_at;
        if !self.requests.is_empty() {
            until = until.min(self.silent_at);
        }
        let now = Instant::now();
        if now < self.rest_until {
            until = until.min(self.rest_until);
        }
        let mut timer = pin!(sleep_until(until));
        let next = poll_fn(|cx| {
            if let Poll::Ready(order) = orders.poll_recv(cx) {
                return Poll::Ready(order.map_or(Next::Ended, Next::Order));
            }
            if back.as_mut().poll(cx).is_ready() {
                self.stale = true;
                return Poll::Ready(Next::Look);
            }
            match self.poll_batch(cx, topic, batch) {
                Poll::Ready(true) => return Poll::Ready(Next::Look),
                Poll::Ready(false) => return Poll::Ready(Next::Ended),
                Poll::Pending => {}
            }
            if self.short && woken.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Next::Look);
            }
            timer.as_mut().poll(cx).map(|()| Next::Look)
        })
        .await;
        if self.stale {
            self.reconnects.mark_unchanged();
        }
        let silent = !self.requests.is_empty() && Instant::now() >= self.silent_at;
        self.stale |= silent;
        next
    }

    /// Takes what has come in, without waiting.
    pub(super) fn drain(&mut self, topic: &TopicState, batch: &mut Vec<Arrival<Subject>>) {
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        while let Poll::Ready(true) = self.poll_batch(&mut cx, topic, batch) {}
    }

    /// `false`: the client is gone.
    fn poll_batch(
        &mut self,
        cx: &mut std::task::Context<'_>,
        topic: &TopicState,
        batch: &mut Vec<Arrival<Subject>>,
    ) -> Poll<bool> {
        let mut any = false;
        let from = batch.len();
        while batch.len() < from + AT_ONCE {
            let Some(subscriber) = &mut self.subscriber else {
                break;
            };
            match Pin::new(subscriber).poll_next(cx) {
                Poll::Ready(Some(message)) => {
                    any = true;
                    self.take(topic, message, batch);
                }
                Poll::Ready(None) if any => break,
                Poll::Ready(None) => return Poll::Ready(false),
                Poll::Pending => break,
            }
        }
        if any {
            return Poll::Ready(true);
        }
        Poll::Pending
    }

    fn take(&mut self, topic: &TopicState, message: Message, batch: &mut Vec<Arrival<Subject>>) {
        self.silent_at = Instant::now() + self.expires + LATE;
        let told = message.reply.as_deref().and_then(Told::read);
        let (Some(told), None) = (told, message.status) else {
            return self.ended(&message);
        };
        if let Some((_, left)) = self.requests.front_mut() {
            *left = left.saturating_sub(1);
            if *left == 0 {
                self.requests.pop_front();
            }
        }
        let first = told.delivered <= 1;
        let before = self
            .last
            .filter(|(last, _)| first && last + 1 == told.consumer);
        let follows = before.is_some();
        // Where there are other partitions, what is missing may be theirs.
        if let (Some((_, before)), 1) = (before, topic.subjects.len()) {
            if told.stream > before + 1 {
                self.lost.push((before + 1, told.stream - before - 1));
            }
        }
        self.last = first.then_some((told.consumer, told.stream));
        let Message {
            reply,
            payload,
            headers,
            ..
        } = message;
        let Some(ticket) = reply else { return };
        let record = format::decode(topic.name.clone(), headers.as_ref(), payload);
        self.size = (self.size * 7 + record.size()) / 8;
        batch.push(Arrival {
            offset: told.stream,
            record,
            time: told.time(),
            attempts_before: u32::try_from(told.delivered.saturating_sub(1)).unwrap_or(u32::MAX),
            follows,
            ticket,
        });
    }

    /// A request has come to its end.
    fn ended(&mut self, message: &Message) {
        let number = message.subject.rsplit('.').next();
        let number: Option<u64> = number.and_then(|number| number.parse().ok());
        let status = message.status.unwrap_or(StatusCode::OK);
        if status == StatusCode::IDLE_HEARTBEAT {
            return;
        }
        self.requests.retain(|(known, _)| Some(*known) != number);
        if !matches!(status, StatusCode::TIMEOUT | StatusCode::NOT_FOUND) {
            // The durable is gone, the server goes down, a cluster looks for a leader.
            self.stale = true;
            self.rest_until = Instant::now() + PAUSE;
        }
    }
}
