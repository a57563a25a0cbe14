//! The broadcast against a model with one list of unread values for each subscriber.
//!
//! guarantee: T3, T4
//!
//! After every operation: what came back is what the model says, nobody who could go on sleeps without an unconsumed
//! wake, nobody was woken for nothing, and the counters are exact.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, Wake, Waker};

use futures::{Sink, Stream};
use proptest::prelude::*;
use pushpull::broadcast::{self, Lagged, Lossy, LossySubscriber, Publisher, Subscriber};
use pushpull::queue::{PullError, PushError};

#[derive(Clone, Copy, Debug)]
enum Op {
    Publish,
    TryPublish,
    /// Polls one that waits to publish, with another waker if asked to.
    PollPublish(usize, bool),
    CancelPublish(usize),
    Subscribe,
    SubscribeLossy(bool),
    Resubscribe(usize),
    Next(usize, bool),
    TryPull(usize),
    PullMany(usize, usize),
    /// A `pull` polled once and dropped.
    CancelPull(usize),
    DropSubscriber(usize),
    CloneSink,
    Ready(usize, bool),
    Send(usize),
    CloseSink(usize),
    DropSink(usize),
    Close,
}

fn op() -> impl Strategy<Value = Op> {
    let which = 0..64_usize;
    prop_oneof![
        8 => Just(Op::Publish),
        4 => Just(Op::TryPublish),
        4 => (which.clone(), any::<bool>()).prop_map(|(n, new)| Op::PollPublish(n, new)),
        2 => which.clone().prop_map(Op::CancelPublish),
        2 => Just(Op::Subscribe),
        2 => any::<bool>().prop_map(Op::SubscribeLossy),
        1 => which.clone().prop_map(Op::Resubscribe),
        10 => (which.clone(), any::<bool>()).prop_map(|(n, new)| Op::Next(n, new)),
        3 => which.clone().prop_map(Op::TryPull),
        4 => (which.clone(), 1..5_usize).prop_map(|(n, limit)| Op::PullMany(n, limit)),
        2 => which.clone().prop_map(Op::CancelPull),
        2 => which.clone().prop_map(Op::DropSubscriber),
        1 => Just(Op::CloneSink),
        3 => (which.clone(), any::<bool>()).prop_map(|(n, new)| Op::Ready(n, new)),
        3 => which.clone().prop_map(Op::Send),
        1 => which.clone().prop_map(Op::CloseSink),
        1 => which.prop_map(Op::DropSink),
        1 => prop_oneof![7 => Just(Op::Publish), 1 => Just(Op::Close)],
    ]
}

/// What happened to the values as such.
#[derive(Default)]
struct Ledger {
    cloned: AtomicUsize,
    living: AtomicUsize,
}

struct Value {
    n: u64,
    ledger: Arc<Ledger>,
}

impl Clone for Value {
    fn clone(&self) -> Self {
        self.ledger.cloned.fetch_add(1, Relaxed);
        self.ledger.living.fetch_add(1, Relaxed);
        Self {
            n: self.n,
            ledger: Arc::clone(&self.ledger),
        }
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        self.ledger.living.fetch_sub(1, Relaxed);
    }
}

/// What is published: with a destructor, and without.
trait Payload: Clone + 'static {
    fn new(n: u64, ledger: &Arc<Ledger>) -> Self;
    fn n(&self) -> u64;
}

impl Payload for Value {
    fn new(n: u64, ledger: &Arc<Ledger>) -> Self {
        ledger.living.fetch_add(1, Relaxed);
        Self {
            n,
            ledger: Arc::clone(ledger),
        }
    }

    fn n(&self) -> u64 {
        self.n
    }
}

impl Payload for u64 {
    fn new(n: u64, _: &Arc<Ledger>) -> Self {
        n
    }

    fn n(&self) -> u64 {
        *self
    }
}

/// A waker that counts, and whether somebody sleeps on it.
#[derive(Default)]
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Relaxed);
    }
}

#[derive(Default)]
struct Sleep {
    bell: Arc<Bell>,
    asleep: bool,
}

impl Sleep {
    /// The waker to poll with: another one if asked for, which must not matter.
    fn waker(&mut self, new: bool) -> Waker {
        if new || self.bell.0.load(Relaxed) > 0 {
            self.bell = Arc::default();
        }
        Waker::from(Arc::clone(&self.bell))
    }

    fn check(&self, can_go_on: bool, who: &str) {
        if self.asleep {
            let woken = self.bell.0.load(Relaxed);
            assert_eq!(
                woken,
                usize::from(can_go_on),
                "wakes of {who}, who can go on: {can_go_on}"
            );
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Lossless,
    Oldest,
    Disconnect,
}

enum Real<V> {
    Lossless(Subscriber<V>),
    Lossy(LossySubscriber<V>),
}

struct Sub<V> {
    real: Real<V>,
    kind: Kind,
    /// Positions it has not read.
    unread: VecDeque<usize>,
    /// How many of them it took along when it subscribed, because reserved slots left no room for them.
    aside: usize,
    missed: u64,
    cut: bool,
    told: bool,
    sleep: Sleep,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Value(u64),
    Lagged(u64),
    Empty,
    End,
}

struct Waiting<V> {
    future: Pin<Box<dyn Future<Output = Result<usize, PushError<V>>>>>,
    id: usize,
    sleep: Sleep,
    served: Option<Result<usize, u64>>,
}

struct Handle<V> {
    real: Publisher<V>,
    id: usize,
    slot: Slot,
    open: bool,
    sleep: Sleep,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slot {
    None,
    Waits,
    /// Promised; the sink has not been polled since.
    Served,
    Refused,
    Reserved,
}

struct World<V> {
    publisher: Arc<Publisher<V>>,
    ledger: Arc<Ledger>,
    capacity: usize,
    replay: usize,
    /// All that was published, by position.
    values: Vec<u64>,
    next: u64,
    /// Where the log begins: nothing before can be read any more.
    start: usize,
    subs: Vec<Sub<V>>,
    waiting: Vec<Waiting<V>>,
    sinks: Vec<Handle<V>>,
    /// Ids of those who wait, with the value if they left one.
    line: VecDeque<(usize, Option<u64>)>,
    ids: usize,
    reserved: usize,
    closed: bool,
    sent: u64,
    delivered: u64,
    missed: u64,
    abandoned: u64,
    disconnected: u64,
}

impl<V: Payload> World<V> {
    fn new(capacity: usize, replay: usize) -> Self {
        Self {
            publisher: Arc::new(
                broadcast::builder()
                    .capacity(capacity)
                    .replay(replay)
                    .build(),
            ),
            ledger: Arc::default(),
            capacity,
            replay,
            values: Vec::new(),
            next: 0,
            start: 0,
            subs: Vec::new(),
            waiting: Vec::new(),
            sinks: Vec::new(),
            line: VecDeque::new(),
            ids: 0,
            reserved: 0,
            closed: false,
            sent: 0,
            delivered: 0,
            missed: 0,
            abandoned: 0,
            disconnected: 0,
        }
    }

    fn value(&mut self) -> V {
        self.next += 1;
        V::new(self.next, &self.ledger)
    }

    fn id(&mut self) -> usize {
        self.ids += 1;
        self.ids
    }

    // -- the model --

    fn lossless(&self) -> usize {
        self.subs
            .iter()
            .filter(|sub| sub.kind == Kind::Lossless)
            .count()
    }

    fn has_room(&self) -> bool {
        let claimed = self.subs.iter().filter(|sub| sub.kind == Kind::Lossless);
        let claimed = claimed
            .map(|sub| sub.unread.len() - sub.aside)
            .max()
            .unwrap_or(0);
        claimed + self.reserved < self.capacity
    }

    fn may_publish(&self) -> bool {
        self.lossless() == 0 || self.has_room()
    }

    fn subscribers(&self) -> usize {
        self.subs.iter().filter(|sub| !sub.cut).count()
    }

    fn ended(&self) -> bool {
        self.closed && self.reserved == 0
    }

    /// The oldest value that is kept.
    fn kept_from(&self) -> usize {
        let unread = self.subs.iter().filter(|sub| !sub.cut);
        let unread = unread
            .filter_map(|sub| sub.unread.get(sub.aside).copied())
            .min();
        let replayed = self.values.len().saturating_sub(self.replay);
        unread
            .unwrap_or(self.values.len())
            .min(replayed)
            .max(self.start)
    }

    fn published(&mut self, value: u64) -> usize {
        if self.values.len() - self.kept_from() == self.capacity {
            let oldest = self.kept_from();
            self.start = oldest + 1;
            for sub in &mut self.subs {
                if sub.cut || sub.unread.get(sub.aside) != Some(&oldest) {
                    continue;
                }
                match sub.kind {
                    Kind::Lossless => panic!("a lossless subscriber would lose a value"),
                    Kind::Oldest => {
                        sub.unread.pop_front();
                        sub.missed += 1;
                        self.missed += 1;
                    }
                    Kind::Disconnect => {
                        sub.cut = true;
                        self.disconnected += 1;
                        sub.missed = sub.unread.len() as u64;
                        self.missed += sub.missed;
                        sub.unread.clear();
                    }
                }
            }
        }
        let position = self.values.len();
        self.values.push(value);
        let mut count = 0;
        for sub in &mut self.subs {
            if !sub.cut {
                sub.unread.push_back(position);
                count += 1;
                self.sent += 1;
            } else if !sub.told {
                sub.missed += 1;
                self.missed += 1;
                self.sent += 1;
            }
        }
        self.start = self.kept_from();
        count
    }

    fn serve(&mut self) {
        let mut at = 0;
        while let Some(&(id, value)) = self.line.get(at) {
            let served = match value {
                _ if self.closed => true,
                Some(_) => self.may_publish(),
                None => self.has_room(),
            };
            if !served {
                if self.lossless() > 0 {
                    break;
                }
                at += 1;
                continue;
            }
            self.line.remove(at);
            match value {
                Some(value) => {
                    let result = if self.closed {
                        Err(value)
                    } else {
                        Ok(self.published(value))
                    };
                    let waiting = self.waiting.iter_mut().find(|waiting| waiting.id == id);
                    waiting.expect("waits").served = Some(result);
                }
                None => {
                    let sink = self
                        .sinks
                        .iter_mut()
                        .find(|sink| sink.id == id)
                        .expect("waits");
                    sink.slot = if self.closed {
                        Slot::Refused
                    } else {
                        Slot::Served
                    };
                    self.reserved += usize::from(!self.closed);
                }
            }
        }
    }

    fn look(&mut self, at: usize) -> Seen {
        let ended = self.ended();
        let sub = &mut self.subs[at];
        if sub.told {
            return Seen::End;
        }
        if sub.missed > 0 {
            sub.told = sub.cut;
            return Seen::Lagged(std::mem::take(&mut sub.missed));
        }
        match sub.unread.pop_front() {
            Some(position) => {
                if sub.aside > 0 {
                    sub.aside -= 1;
                } else {
                    self.delivered += 1;
                }
                Seen::Value(self.values[position])
            }
            None if ended => Seen::End,
            None => Seen::Empty,
        }
    }

    // -- operations --

    fn apply(&mut self, op: Op) {
        match op {
            Op::Publish => self.publish(),
            Op::TryPublish => self.try_publish(),
            Op::PollPublish(n, new) => self.poll_publish(n, new),
            Op::CancelPublish(n) => self.cancel_publish(n),
            Op::Subscribe => {
                let real = Real::Lossless(self.publisher.subscribe());
                self.subscribed(real, Kind::Lossless);
            }
            Op::SubscribeLossy(oldest) => {
                let (policy, kind) = if oldest {
                    (Lossy::DropOldest, Kind::Oldest)
                } else {
                    (Lossy::Disconnect, Kind::Disconnect)
                };
                let real = Real::Lossy(self.publisher.subscribe_lossy(policy));
                self.subscribed(real, kind);
            }
            Op::Resubscribe(n) => {
                let Some(at) = pick(n, self.subs.len()) else {
                    return;
                };
                let sub = &self.subs[at];
                let real = match &sub.real {
                    Real::Lossless(real) => Real::Lossless(real.resubscribe()),
                    Real::Lossy(real) => Real::Lossy(real.resubscribe()),
                };
                self.subscribed(real, sub.kind);
            }
            Op::Next(n, new) => self.next(n, new),
            Op::TryPull(n) => self.try_pull(n),
            Op::PullMany(n, limit) => self.pull_many(n, limit),
            Op::CancelPull(n) => self.cancel_pull(n),
            Op::DropSubscriber(n) => self.drop_subscriber(n),
            Op::CloneSink => {
                if self.sinks.len() < 3 {
                    let id = self.id();
                    self.sinks.push(Handle {
                        real: Publisher::clone(&self.publisher),
                        id,
                        slot: Slot::None,
                        open: true,
                        sleep: Sleep::default(),
                    });
                }
            }
            Op::Ready(n, new) => self.ready(n, new),
            Op::Send(n) => self.send(n),
            Op::CloseSink(n) => {
                let Some(at) = pick(n, self.sinks.len()) else {
                    return;
                };
                let sink = &mut self.sinks[at];
                let closed =
                    Pin::new(&mut sink.real).poll_close(&mut Context::from_waker(Waker::noop()));
                assert_eq!(closed, Poll::Ready(Ok(())));
                self.leave(at);
                self.sinks[at].open = false;
            }
            Op::DropSink(n) => {
                let Some(at) = pick(n, self.sinks.len()) else {
                    return;
                };
                self.leave(at);
                self.sinks.remove(at);
            }
            Op::Close => {
                self.publisher.close();
                self.closed = true;
            }
        }
        self.serve();
    }

    fn publish(&mut self) {
        let (value, id) = (self.value(), self.id());
        let n = value.n();
        let publisher = Arc::clone(&self.publisher);
        let mut waiting = Waiting {
            future: Box::pin(async move { publisher.publish(value).await }),
            id,
            sleep: Sleep::default(),
            served: None,
        };
        let waker = waiting.sleep.waker(false);
        let polled = waiting
            .future
            .as_mut()
            .poll(&mut Context::from_waker(&waker));
        if self.closed {
            assert!(matches!(polled, Poll::Ready(Err(PushError::Closed(back))) if back.n() == n));
        } else if self.may_publish() {
            let count = self.published(n);
            assert!(matches!(polled, Poll::Ready(Ok(to)) if to == count));
        } else {
            assert!(polled.is_pending());
            waiting.sleep.asleep = true;
            self.line.push_back((id, Some(n)));
            self.waiting.push(waiting);
        }
    }

    fn try_publish(&mut self) {
        let value = self.value();
        let n = value.n();
        let tried = self.publisher.try_publish(value);
        if self.closed {
            assert!(matches!(tried, Err(PushError::Closed(back)) if back.n() == n));
        } else if self.may_publish() {
            let count = self.published(n);
            assert!(matches!(tried, Ok(to) if to == count));
        } else {
            assert!(matches!(tried, Err(PushError::Full(back)) if back.n() == n));
        }
    }

    fn poll_publish(&mut self, n: usize, new: bool) {
        let Some(at) = pick(n, self.waiting.len()) else {
            return;
        };
        let waiting = &mut self.waiting[at];
        let waker = waiting.sleep.waker(new);
        let polled = waiting
            .future
            .as_mut()
            .poll(&mut Context::from_waker(&waker));
        match (waiting.served, polled) {
            (None, Poll::Pending) => return,
            (Some(Ok(count)), Poll::Ready(Ok(to))) => assert_eq!(to, count),
            (Some(Err(n)), Poll::Ready(Err(PushError::Closed(back)))) => assert_eq!(back.n(), n),
            (served, polled) => {
                panic!("{served:?}, but {:?}", polled.map_err(|e| e.map(|v| v.n())))
            }
        }
        self.waiting.remove(at);
    }

    fn cancel_publish(&mut self, n: usize) {
        let Some(at) = pick(n, self.waiting.len()) else {
            return;
        };
        let waiting = self.waiting.remove(at);
        self.line.retain(|(id, _)| *id != waiting.id);
    }

    fn subscribed(&mut self, real: Real<V>, kind: Kind) {
        let first = self.values.len().saturating_sub(self.replay);
        let unread: VecDeque<_> = (first..self.values.len()).collect();
        let room = self.capacity.saturating_sub(self.reserved);
        let aside = if kind == Kind::Lossless {
            unread.len().saturating_sub(room)
        } else {
            0
        };
        self.sent += unread.len() as u64;
        self.delivered += aside as u64;
        let (missed, cut, told) = (0, false, false);
        self.subs.push(Sub {
            real,
            kind,
            unread,
            aside,
            missed,
            cut,
            told,
            sleep: Sleep::default(),
        });
    }

    fn next(&mut self, n: usize, new: bool) {
        let Some(at) = pick(n, self.subs.len()) else {
            return;
        };
        let sub = &mut self.subs[at];
        let waker = sub.sleep.waker(new);
        let seen = sub.poll_next(&mut Context::from_waker(&waker));
        sub.sleep.asleep = seen == Seen::Empty;
        assert_eq!(seen, self.look(at));
    }

    fn try_pull(&mut self, n: usize) {
        let Some(at) = pick(n, self.subs.len()) else {
            return;
        };
        let sub = &mut self.subs[at];
        let pulled = match &mut sub.real {
            Real::Lossless(real) => real.try_pull().map(Ok),
            Real::Lossy(real) => real.try_pull(),
        };
        let seen = match pulled {
            Ok(Ok(value)) => Seen::Value(value.n()),
            Ok(Err(Lagged { missed })) => Seen::Lagged(missed),
            Err(PullError::Empty) => Seen::Empty,
            Err(_) => Seen::End,
        };
        if seen != Seen::Empty {
            sub.sleep.asleep = false;
        }
        assert_eq!(seen, self.look(at));
    }

    fn pull_many(&mut self, n: usize, limit: usize) {
        let Some(at) = pick(n, self.subs.len()) else {
            return;
        };
        let sub = &mut self.subs[at];
        let waker = sub.sleep.waker(false);
        let mut cx = Context::from_waker(&waker);
        let mut into = Vec::new();
        let polled = match &mut sub.real {
            Real::Lossless(real) => real.poll_pull_many(&mut cx, &mut into, limit).map(Ok),
            Real::Lossy(real) => real.poll_pull_many(&mut cx, &mut into, limit),
        };
        sub.sleep.asleep = polled.is_pending();
        match polled {
            Poll::Pending => assert_eq!(self.look(at), Seen::Empty),
            Poll::Ready(Err(Lagged { missed })) => assert_eq!(self.look(at), Seen::Lagged(missed)),
            Poll::Ready(Ok(0)) => assert_eq!(self.look(at), Seen::End),
            Poll::Ready(Ok(run)) => {
                assert_eq!(run, into.len());
                let sub = &self.subs[at];
                // What was taken along is a run of its own.
                let there = if sub.aside > 0 {
                    sub.aside
                } else {
                    sub.unread.len()
                };
                assert_eq!(run, there.min(limit));
                for value in into {
                    assert_eq!(self.look(at), Seen::Value(value.n()));
                }
            }
        }
    }

    fn cancel_pull(&mut self, n: usize) {
        let Some(at) = pick(n, self.subs.len()) else {
            return;
        };
        let sub = &mut self.subs[at];
        let waker = sub.sleep.waker(true);
        let mut cx = Context::from_waker(&waker);
        let seen = match &mut sub.real {
            Real::Lossless(real) => seen(pin_poll(real.pull(), &mut cx).map(|item| item.map(Ok))),
            Real::Lossy(real) => seen(pin_poll(real.pull(), &mut cx)),
        };
        sub.sleep.asleep = false;
        assert_eq!(seen, self.look(at));
    }

    fn drop_subscriber(&mut self, n: usize) {
        let Some(at) = pick(n, self.subs.len()) else {
            return;
        };
        let sub = self.subs.remove(at);
        self.abandoned += (sub.unread.len() - sub.aside) as u64;
        drop(sub);
        self.start = self.kept_from();
    }

    fn ready(&mut self, n: usize, new: bool) {
        let Some(at) = pick(n, self.sinks.len()) else {
            return;
        };
        let room = self.has_room();
        let sink = &mut self.sinks[at];
        let waker = sink.sleep.waker(new);
        let polled = Pin::new(&mut sink.real).poll_ready(&mut Context::from_waker(&waker));
        sink.sleep.asleep = polled.is_pending();
        let refused = Poll::Ready(Err(PushError::Closed(())));
        match sink.slot {
            _ if !sink.open => assert_eq!(polled, refused),
            Slot::Reserved => assert_eq!(polled, Poll::Ready(Ok(()))),
            Slot::Served => {
                assert_eq!(polled, Poll::Ready(Ok(())));
                sink.slot = Slot::Reserved;
            }
            Slot::Refused => {
                assert_eq!(polled, refused);
                sink.slot = Slot::None;
            }
            Slot::Waits => assert_eq!(polled, Poll::Pending),
            Slot::None if self.closed => assert_eq!(polled, refused),
            Slot::None if room => {
                assert_eq!(polled, Poll::Ready(Ok(())));
                sink.slot = Slot::Reserved;
                self.reserved += 1;
            }
            Slot::None => {
                assert_eq!(polled, Poll::Pending);
                sink.slot = Slot::Waits;
                self.line.push_back((sink.id, None));
            }
        }
    }

    fn send(&mut self, n: usize) {
        let Some(at) = pick(n, self.sinks.len()) else {
            return;
        };
        if self.sinks[at].slot != Slot::Reserved {
            return;
        }
        let value = self.value();
        let n = value.n();
        let sink = &mut self.sinks[at];
        sink.slot = Slot::None;
        assert_eq!(
            Pin::new(&mut sink.real).start_send(value),
            Ok(()),
            "what is reserved is there"
        );
        self.reserved -= 1;
        self.published(n);
    }

    /// A sink gives up what it has.
    fn leave(&mut self, at: usize) {
        let sink = &mut self.sinks[at];
        sink.sleep.asleep = false;
        let (id, slot) = (sink.id, std::mem::replace(&mut sink.slot, Slot::None));
        match slot {
            Slot::Served | Slot::Reserved => self.reserved -= 1,
            Slot::Waits => self.line.retain(|(other, _)| *other != id),
            Slot::None | Slot::Refused => {}
        }
    }

    // -- after every operation --

    fn check(&self) {
        let ended = self.ended();
        for sub in &self.subs {
            let can_go_on = !sub.unread.is_empty() || sub.missed > 0 || sub.told || ended;
            sub.sleep.check(can_go_on, "a subscriber");
            self.check_hint(sub);
        }
        for waiting in &self.waiting {
            waiting.sleep.check(waiting.served.is_some(), "a publisher");
        }
        for sink in &self.sinks {
            sink.sleep.check(sink.slot != Slot::Waits, "a sink");
        }
        let unread: usize = self
            .subs
            .iter()
            .map(|sub| sub.unread.len() - sub.aside)
            .sum();
        let stats = self.publisher.stats();
        assert_eq!(stats.published, self.values.len() as u64);
        assert_eq!(stats.len, self.values.len() - self.kept_from());
        assert!(stats.len <= stats.peak_len && stats.peak_len <= self.capacity);
        assert_eq!(stats.sent, self.sent);
        assert_eq!(stats.delivered, self.delivered);
        assert_eq!(stats.missed, self.missed);
        assert_eq!(stats.abandoned, self.abandoned);
        assert_eq!(stats.unread, unread as u64);
        assert_eq!(
            stats.sent,
            stats.delivered + stats.missed + stats.abandoned + stats.unread
        );
        assert_eq!(stats.disconnected, self.disconnected);
        assert_eq!(stats.subscribers, self.subscribers());
        assert_eq!(self.publisher.subscriber_count(), self.subscribers());
        assert_eq!(stats.reserved, self.reserved);
        assert_eq!(stats.waiting_publishers, self.line.len());
        let asleep = self
            .subs
            .iter()
            .filter(|sub| sub.sleep.asleep && sub.sleep.bell.0.load(Relaxed) == 0);
        assert_eq!(stats.waiting_subscribers, asleep.count());
        assert_eq!(
            stats.publishers,
            1 + self.sinks.iter().filter(|sink| sink.open).count()
        );
        assert!(self.ledger.cloned.load(Relaxed) as u64 <= self.delivered);
    }

    fn check_hint(&self, sub: &Sub<V>) {
        let items = sub.unread.len() + usize::from(sub.missed > 0);
        let (least, most) = match &sub.real {
            Real::Lossless(real) => real.size_hint(),
            Real::Lossy(real) => real.size_hint(),
        };
        if self.ended() || sub.told {
            assert_eq!((least, most), (items, Some(items)));
        } else {
            assert!(least <= items && most.is_none_or(|most| most >= items));
            assert!(sub.kind != Kind::Lossless || least == items);
        }
    }

    /// Everything is closed and read to the end, then dropped.
    fn finish(mut self) {
        self.apply(Op::Close);
        while !self.sinks.is_empty() {
            self.apply(Op::DropSink(0));
            self.check();
        }
        while !self.waiting.is_empty() {
            self.poll_publish(0, false);
        }
        for at in 0..self.subs.len() {
            loop {
                let seen = self.subs[at].poll_next(&mut Context::from_waker(Waker::noop()));
                self.subs[at].sleep.asleep = false;
                assert_eq!(seen, self.look(at));
                if seen == Seen::End {
                    break;
                }
            }
            let again = self.subs[at].poll_next(&mut Context::from_waker(Waker::noop()));
            assert_eq!(again, Seen::End);
        }
        self.start = self.kept_from();
        self.check();
        let ledger = Arc::clone(&self.ledger);
        drop(self);
        assert_eq!(
            ledger.living.load(Relaxed),
            0,
            "every value is dropped once"
        );
    }
}

impl<V: Payload> Sub<V> {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Seen {
        match &mut self.real {
            Real::Lossless(real) => seen(Pin::new(real).poll_next(cx).map(|item| item.map(Ok))),
            Real::Lossy(real) => seen(Pin::new(real).poll_next(cx)),
        }
    }
}

fn seen<V: Payload>(polled: Poll<Option<Result<V, Lagged>>>) -> Seen {
    match polled {
        Poll::Pending => Seen::Empty,
        Poll::Ready(None) => Seen::End,
        Poll::Ready(Some(Ok(value))) => Seen::Value(value.n()),
        Poll::Ready(Some(Err(Lagged { missed }))) => Seen::Lagged(missed),
    }
}

fn pin_poll<F: Future>(future: F, cx: &mut Context<'_>) -> Poll<F::Output> {
    std::pin::pin!(future).poll(cx)
}

fn pick(n: usize, of: usize) -> Option<usize> {
    (of > 0).then(|| n % of)
}

fn run<V: Payload>(capacity: usize, replay: usize, ops: &[Op]) {
    let mut world = World::<V>::new(capacity, replay.min(capacity));
    for op in ops {
        world.apply(*op);
        world.check();
    }
    world.finish();
}

fn cases() -> u32 {
    std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(1024)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    // guarantee: C1, C2, C3, C4, C5, Q4, Q7
    #[test]
    fn behaves_like_one_list_for_each_subscriber(
        capacity in 1..5_usize,
        replay in 0..5_usize,
        ops in proptest::collection::vec(op(), 1..120),
    ) {
        run::<Value>(capacity, replay, &ops);
        run::<u64>(capacity, replay, &ops);
    }
}
