//! The real queue beside the oracle, and the check after every step.

use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Wake, Waker};
use std::time::Duration;

use futures::Stream;
use futures::stream::FusedStream;
use pushpull::queue::{
    self, Consumer, DropReason, Overflow, Permit, Producer, PushError, QueueStats, WeakProducer,
};
use tokio::runtime::Runtime;

use crate::calls::Call;
use crate::ends::{SinkEnd, StreamEnd};
use crate::oracle::{Offer, Oracle, Refusal, Ticket};
use crate::{Op, Setup};

/// What became of every item, told by the items themselves and by `on_drop`.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    destroyed: Mutex<Vec<bool>>,
    /// Made and not destroyed yet.
    alive: AtomicUsize,
    /// The first that was destroyed twice.
    twice: OnceLock<u32>,
    on_drop: Mutex<Vec<(u32, DropReason)>>,
}

#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) id: u32,
    weight: usize,
    ledger: Arc<Ledger>,
}

impl Drop for Item {
    fn drop(&mut self) {
        let destroyed = &mut open(&self.ledger.destroyed)[self.id as usize];
        if std::mem::replace(destroyed, true) {
            self.ledger.twice.get_or_init(|| self.id);
        }
        self.ledger.alive.fetch_sub(1, Ordering::Relaxed);
    }
}

fn open<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug, Default)]
struct Strokes(AtomicUsize);

impl Wake for Strokes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A waker that counts.
#[derive(Debug)]
struct Bell {
    strokes: Arc<Strokes>,
    /// Strokes before the last poll, which consumed them.
    heard: usize,
    /// Strokes before this step.
    before: usize,
}

impl Bell {
    fn strokes(&self) -> usize {
        self.strokes.0.load(Ordering::Relaxed)
    }
}

pub(crate) struct World<'rt> {
    pub(crate) rt: &'rt Runtime,
    pub(crate) oracle: Oracle,
    pub(crate) ledger: Arc<Ledger>,
    bells: Vec<Bell>,
    handles: u64,
    pub(crate) txs: Vec<(u64, Rc<Producer<Item>>)>,
    pub(crate) rxs: Vec<(u64, Rc<Consumer<Item>>)>,
    pub(crate) sinks: Vec<SinkEnd>,
    pub(crate) streams: Vec<StreamEnd>,
    pub(crate) calls: Vec<Call>,
    pub(crate) permits: Vec<Permit<Item>>,
    watch: WeakProducer<Item>,
}

impl<'rt> World<'rt> {
    pub(crate) fn new(rt: &'rt Runtime, policy: Overflow, setup: Setup) -> Self {
        let ledger = Arc::new(Ledger::default());
        let mut builder = queue::builder()
            .capacity(setup.capacity)
            .overflow(policy)
            .on_drop({
                let ledger = ledger.clone();
                move |item: Item, reason| open(&ledger.on_drop).push((item.id, reason))
            });
        if let Some(max) = setup.max_weight {
            builder = builder.max_weight(max, |item: &Item| item.weight);
        }
        let (tx, rx) = builder.build();
        let watch = tx.downgrade();
        Self {
            rt,
            oracle: Oracle::new(policy, setup.capacity, setup.max_weight),
            ledger,
            bells: Vec::new(),
            handles: 2,
            txs: vec![(0, Rc::new(tx))],
            rxs: vec![(1, Rc::new(rx))],
            sinks: Vec::new(),
            streams: Vec::new(),
            calls: Vec::new(),
            permits: Vec::new(),
            watch,
        }
    }

    pub(crate) fn item(&mut self, weight: usize) -> Item {
        let weight = if self.oracle.weighted { weight } else { 0 };
        let mut destroyed = open(&self.ledger.destroyed);
        destroyed.push(false);
        self.ledger.alive.fetch_add(1, Ordering::Relaxed);
        Item {
            id: destroyed.len() as u32 - 1,
            weight,
            ledger: self.ledger.clone(),
        }
    }

    pub(crate) fn weight(&self, item: &Item) -> usize {
        if self.oracle.weighted { item.weight } else { 0 }
    }

    pub(crate) fn ticket(&mut self) -> Ticket {
        self.bells.push(Bell {
            strokes: Arc::default(),
            heard: 0,
            before: 0,
        });
        self.bells.len() as Ticket - 1
    }

    /// The waker for a poll, which consumes the wakes so far; another one than before if `fresh`.
    pub(crate) fn waker(&mut self, ticket: Ticket, fresh: bool) -> Waker {
        let bell = &mut self.bells[ticket as usize];
        if fresh {
            bell.strokes = Arc::default();
            bell.before = 0;
        }
        bell.heard = bell.strokes();
        bell.strokes.clone().into()
    }

    /// The last poll was not about what the waker was called for.
    pub(crate) fn unhear(&mut self, ticket: Ticket) {
        self.bells[ticket as usize].heard = 0;
    }

    pub(crate) fn rung(&self, ticket: Ticket) -> bool {
        let bell = &self.bells[ticket as usize];
        bell.strokes() > bell.heard
    }

    pub(crate) fn stats(&self) -> QueueStats {
        self.watch.stats()
    }

    pub(crate) fn tx(&self, at: u8) -> Option<(u64, Rc<Producer<Item>>)> {
        pick(&self.txs, at).map(|at| self.txs[at].clone())
    }

    pub(crate) fn rx(&self, at: u8) -> Option<(u64, Rc<Consumer<Item>>)> {
        pick(&self.rxs, at).map(|at| self.rxs[at].clone())
    }

    fn handle(&mut self) -> u64 {
        self.handles += 1;
        self.handles - 1
    }

    /// Whoever is woken from now on is woken in this step.
    fn mark(&mut self) {
        for bell in &mut self.bells {
            bell.before = bell.strokes();
        }
    }

    /// Makes one step, with both the queue and the oracle, and compares.
    pub(crate) fn step(&mut self, op: &Op) {
        self.mark();
        match *op {
            Op::TryPush(at, weight) => self.try_push(at, weight),
            Op::TryPushMany(at, ref weights) => self.try_push_many(at, weights),
            Op::Force(at, weight) => self.force(at, weight),
            Op::TryReserve(at) => self.try_reserve(at),
            Op::PermitPush(at, weight) => self.permit_push(at, weight),
            Op::PermitDrop(at) => {
                if let Some(at) = pick(&self.permits, at) {
                    drop(self.permits.swap_remove(at));
                    self.oracle.release();
                }
            }
            Op::TryPull(at) => self.try_pull(at),
            Op::TryPullMany(at, limit) => self.try_pull_many(at, limit),
            Op::Start(ref start) => self.start(start),
            Op::Poll(at, fresh) => {
                if let Some(at) = pick(&self.calls, at) {
                    self.poll_call(at, fresh);
                }
            }
            Op::Cancel(at) => {
                if let Some(at) = pick(&self.calls, at) {
                    self.cancel(at);
                }
            }
            Op::Sink(at, act) => self.act_sink(at, act),
            Op::Stream(at, act) => self.act_stream(at, act),
            Op::PollWoken => self.poll_woken(),
            Op::Advance(ms) => {
                let ms = Duration::from_millis(u64::from(ms));
                self.rt.block_on(async {
                    tokio::time::advance(ms).await;
                    tokio::task::yield_now().await;
                });
            }
            Op::Resize(capacity) => {
                if let Some((_, rx)) = self.rx(0) {
                    rx.resize(capacity);
                    self.oracle.capacity = capacity;
                    self.oracle.shrink();
                }
            }
            Op::MaxWeight(max) => {
                if let (Some((_, tx)), true) = (self.tx(0), self.oracle.weighted) {
                    tx.set_max_weight(max);
                    self.oracle.max_weight = max;
                    self.oracle.shrink();
                }
            }
            Op::Close => {
                if let Some((_, tx)) = self.tx(0) {
                    tx.close();
                    self.oracle.closed = true;
                }
            }
            Op::Abort => {
                if let Some((_, rx)) = self.rx(0) {
                    let left: Vec<u32> = rx.abort().iter().map(|item| item.id).collect();
                    self.oracle.revoke();
                    let all = self.oracle.items.len();
                    assert_eq!(left, self.oracle.take(all));
                }
            }
            Op::CloneTx(at) => {
                if let Some((_, tx)) = self.tx(at).filter(|_| self.txs.len() < 3) {
                    let handle = self.handle();
                    self.txs.push((handle, Rc::new(Producer::clone(&tx))));
                    self.oracle.producers += 1;
                }
            }
            Op::CloneRx(at) => {
                if let Some((_, rx)) = self.rx(at).filter(|_| self.rxs.len() < 3) {
                    let handle = self.handle();
                    self.rxs.push((handle, Rc::new(Consumer::clone(&rx))));
                    self.oracle.consumers += 1;
                }
            }
            Op::DropTx(at) => {
                if let Some(at) = pick(&self.txs, at) {
                    let handle = self.txs[at].0;
                    self.cancel_all(handle);
                    self.txs.remove(at);
                    self.oracle.remove_producer();
                }
            }
            Op::DropRx(at) => {
                if let Some(at) = pick(&self.rxs, at) {
                    let handle = self.rxs[at].0;
                    self.cancel_all(handle);
                    self.rxs.remove(at);
                    self.oracle.remove_consumer();
                }
            }
            Op::NewSink(at) => {
                if let Some((_, tx)) = self.tx(at).filter(|_| self.sinks.len() < 3) {
                    let sink = SinkEnd::new(Producer::clone(&tx), self.ticket());
                    self.sinks.push(sink);
                    self.oracle.producers += 1;
                }
            }
            Op::NewStream(at) => {
                if let Some((_, rx)) = self.rx(at).filter(|_| self.streams.len() < 2) {
                    let ticket = self.ticket();
                    self.streams.push(StreamEnd {
                        rx: Consumer::clone(&rx),
                        ticket,
                    });
                    self.oracle.consumers += 1;
                }
            }
            Op::Barge(rounds) => {
                for _ in 0..rounds {
                    self.step(&Op::TryPull(0));
                    self.step(&Op::TryPush(0, 1));
                }
            }
        }
        self.check();
    }

    pub(crate) fn keep(&mut self, permit: Permit<Item>) {
        self.permits.push(permit);
    }

    /// Polls whoever has been woken until nobody is: afterwards nobody may wait for what is there.
    fn poll_woken(&mut self) {
        for _ in 0..1000 {
            self.mark();
            if let Some(at) = self.calls.iter().position(|call| self.rung(call.ticket)) {
                self.poll_call(at, false);
            } else if let Some(at) = self.sinks.iter().position(|s| self.rung(s.ticket)) {
                self.poll_sink(at);
            } else if let Some(at) = self.streams.iter().position(|s| self.rung(s.ticket)) {
                self.poll_stream(at, None);
            } else {
                return;
            }
            self.check();
        }
        panic!("waiters wake each other for ever");
    }

    fn check(&self) {
        self.oracle.check_stats(&self.stats());
        self.oracle.check_wakes(
            |ticket| self.rung(ticket),
            |ticket| {
                let bell = &self.bells[ticket as usize];
                let late = |call: &Call| call.ticket == ticket && call.is_late();
                self.rung(ticket) && bell.strokes() > bell.before && !self.calls.iter().any(late)
            },
        );
        for call in &self.calls {
            assert!(
                !call.must_wake(&self.oracle) || self.rung(call.ticket),
                "{call:?} has not been told"
            );
        }
        for sink in &self.sinks {
            assert!(
                !sink.must_wake(&self.oracle) || self.rung(sink.ticket),
                "{sink:?} has not been told"
            );
        }
        assert_eq!(*open(&self.ledger.on_drop), self.oracle.dropped, "on_drop");
        // guarantee: Q3. Each item is in one place, or was destroyed once.
        let held = self.calls.iter().map(Call::holds).sum::<usize>()
            + self.sinks.iter().map(SinkEnd::holds).sum::<usize>();
        let alive = self.ledger.alive.load(Ordering::Relaxed);
        assert_eq!(alive, held + self.oracle.items.len(), "items alive");
        assert_eq!(self.ledger.twice.get(), None, "destroyed twice");
        // guarantee: Q11
        for stream in &self.streams {
            assert_eq!(stream.rx.is_terminated(), self.oracle.finished());
            let (lower, upper) = stream.rx.size_hint();
            let (len, reserved) = (self.oracle.items.len(), self.oracle.reserved);
            assert!(lower <= len && upper.is_none_or(|upper| upper >= len));
            assert!(!self.oracle.closed || upper == Some(len + reserved));
        }
    }

    /// Ends the run: all woken are polled, everything is dropped, and every item was destroyed once.
    pub(crate) fn finish(mut self) {
        self.poll_woken();
        while !self.calls.is_empty() {
            self.mark();
            self.cancel(0);
            self.check();
        }
        self.mark();
        self.permits.clear();
        self.oracle.reserved = self.sinks.iter().filter(|s| s.holds_slot()).count();
        if self.oracle.revoked {
            self.oracle.reserved = 0;
        }
        self.check();
        while !self.sinks.is_empty() {
            self.mark();
            self.drop_sink(0);
            self.check();
        }
        while !self.streams.is_empty() {
            self.mark();
            self.drop_stream(0);
            self.check();
        }
        let stats = self.stats();
        let left = (
            stats.waiting_producers,
            stats.waiting_consumers,
            stats.reserved,
        );
        assert_eq!(left, (0, 0, 0));
        while !self.rxs.is_empty() {
            self.step(&Op::DropRx(0));
        }
        while !self.txs.is_empty() {
            self.step(&Op::DropTx(0));
        }
        let destroyed = open(&self.ledger.destroyed);
        assert!(destroyed.iter().all(|destroyed| *destroyed));
        assert_eq!(self.ledger.twice.get(), None);
    }
}

pub(crate) fn pick<T>(from: &[T], at: u8) -> Option<usize> {
    (!from.is_empty()).then(|| usize::from(at) % from.len())
}

pub(crate) fn refusal_of<T>(error: &PushError<T>) -> Refusal {
    match error {
        PushError::Full(_) => Refusal::Full,
        PushError::Closed(_) => Refusal::Closed,
        PushError::TooHeavy(_) => Refusal::TooHeavy,
        PushError::Timeout(_) => Refusal::Timeout,
        other => unreachable!("{other:?}"),
    }
}

/// The item comes back and is destroyed here.
pub(crate) fn refusal(error: PushError<Item>) -> Refusal {
    let refusal = refusal_of(&error);
    drop(error.into_item());
    refusal
}

pub(crate) fn answer(offer: Offer) -> Result<(), Refusal> {
    match offer {
        Offer::In => Ok(()),
        Offer::Refused(refusal) => Err(refusal),
        Offer::Wait => unreachable!("it does not wait"),
    }
}
