//! A scripted stream and sink that records what is done to it.

use std::collections::VecDeque;
use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures::{Sink, Stream};

/// What a probe panics with where it was asked to.
pub const PLANNED_PANIC: &str = "planned panic";

/// An item that knows whether it was dropped, and is deliberately not `Debug`.
pub struct Token {
    pub value: u32,
    tally: Arc<Mutex<Vec<u32>>>,
}

impl Drop for Token {
    fn drop(&mut self) {
        self.tally
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(self.value);
    }
}

impl Clone for Token {
    /// For operators that need `T: Clone`. Clones do not count among the dropped.
    fn clone(&self) -> Self {
        Self {
            value: self.value,
            tally: Arc::default(),
        }
    }
}

/// What operators may carry: one item, or a run of them.
pub trait Carry: Send + 'static {
    fn values(&self) -> Vec<u32>;
}

impl Carry for Token {
    fn values(&self) -> Vec<u32> {
        vec![self.value]
    }
}

impl Carry for Vec<Token> {
    fn values(&self) -> Vec<u32> {
        assert!(!self.is_empty(), "an empty batch");
        self.iter().map(|token| token.value).collect()
    }
}

impl Carry for pushpull::Batch<Token> {
    fn values(&self) -> Vec<u32> {
        self.items.values()
    }
}

/// What the stream half does at its next poll.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    Item(u32),
    /// Pending, having woken the task already.
    Yield,
    /// Pending until `Control::release`.
    Stall,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hint {
    #[default]
    Exact,
    Unknown,
    /// The largest hints that can be given.
    Huge,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Ready,
    Start,
    Flush,
    Close,
}

/// The error of the sink half: the phase that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Boom(pub Phase);

impl fmt::Display for Boom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "boom in {:?}", self.0)
    }
}

impl std::error::Error for Boom {}

#[derive(Debug, Default)]
pub struct Record {
    pub polls: usize,
    pub polls_after_end: usize,
    /// The values of the tokens handed out.
    pub given: Vec<u32>,
    /// How often the probe itself was dropped.
    pub dropped: usize,
    pub released: bool,
    /// Spends tokio's cooperative budget for each item, as leaf operations do.
    pub polite: bool,
    pub panic_at_poll: Option<usize>,
    stalled: Option<Waker>,
    ended: bool,

    /// The phase that is Pending until it is unblocked.
    pub blocked: Option<Phase>,
    /// The phase that fails once.
    pub failing: Option<Phase>,
    pub readies: usize,
    pub received: Vec<u32>,
    /// How many of the received a completed flush or close has covered.
    pub flushed: usize,
    pub flushes: usize,
    pub closes: usize,
    /// Breaches of the sink's contract.
    pub breaches: Vec<&'static str>,
    reserved: bool,
    waiting: Vec<Waker>,
}

/// The test's hand on a probe that an operator has swallowed.
#[derive(Clone)]
pub struct Control {
    record: Arc<Mutex<Record>>,
    tally: Arc<Mutex<Vec<u32>>>,
}

impl Control {
    pub fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the stream half go on from its `Stall`.
    pub fn release(&self) {
        let waker = {
            let mut record = self.record();
            record.released = true;
            record.stalled.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub fn block(&self, phase: Phase) {
        self.record().blocked = Some(phase);
    }

    pub fn unblock(&self) {
        let wakers = {
            let mut record = self.record();
            record.blocked = None;
            std::mem::take(&mut record.waiting)
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    pub fn fail(&self, phase: Phase) {
        self.record().failing = Some(phase);
    }

    /// What an async function does in the place of an inner sink: waits while `poll_ready` is blocked, then takes.
    pub async fn take(self, token: Token) -> Result<(), Boom> {
        std::future::poll_fn(|cx| {
            let mut record = self.record();
            if record.blocked == Some(Phase::Ready) {
                record.waiting.push(cx.waker().clone());
                return Poll::Pending;
            }
            record.received.push(token.value);
            Poll::Ready(())
        })
        .await;
        drop(token);
        Ok(())
    }

    pub fn token(&self, value: u32) -> Token {
        Token {
            value,
            tally: self.tally.clone(),
        }
    }

    /// The values of the dropped tokens, sorted.
    pub fn dropped_tokens(&self) -> Vec<u32> {
        let mut dropped = self
            .tally
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        dropped.sort_unstable();
        dropped
    }
}

/// The scripted stream and sink. Items of the stream are tokens; the sink takes `I`.
pub struct Probe<I = Token> {
    script: VecDeque<Step>,
    hint: Hint,
    control: Control,
    item: PhantomData<fn(I)>,
}

impl<I> fmt::Debug for Probe<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Probe").finish_non_exhaustive()
    }
}

impl<I> Probe<I> {
    pub fn new(script: impl IntoIterator<Item = Step>) -> (Self, Control) {
        Self::hinting(script, Hint::default())
    }

    pub fn hinting(script: impl IntoIterator<Item = Step>, hint: Hint) -> (Self, Control) {
        let control = Control {
            record: Arc::default(),
            tally: Arc::default(),
        };
        let probe = Self {
            script: script.into_iter().collect(),
            hint,
            control: control.clone(),
            item: PhantomData,
        };
        (probe, control)
    }

    fn left(&self) -> usize {
        self.script
            .iter()
            .filter(|step| matches!(step, Step::Item(_)))
            .count()
    }

    /// Common to the phases of the sink half: counts, blocks, fails.
    fn phase(&self, phase: Phase, cx: Option<&Context<'_>>) -> Poll<Result<(), Boom>> {
        let mut record = self.control.record();
        if record.closes > 0 {
            record.breaches.push("used after it was closed");
        }
        if record.failing == Some(phase) {
            record.failing = None;
            return Poll::Ready(Err(Boom(phase)));
        }
        if let (true, Some(cx)) = (record.blocked == Some(phase), cx) {
            record.waiting.push(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }
}

impl<I> Drop for Probe<I> {
    fn drop(&mut self) {
        self.control.record().dropped += 1;
    }
}

impl<I> Unpin for Probe<I> {}

impl<I> Stream for Probe<I> {
    type Item = Token;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Token>> {
        let this = self.get_mut();
        let polite = this.control.record().polite;
        if polite {
            std::task::ready!(tokio::task::coop::poll_proceed(cx)).made_progress();
        }
        let mut record = this.control.record();
        record.polls += 1;
        if record.panic_at_poll == Some(record.polls) {
            drop(record);
            std::panic::panic_any(PLANNED_PANIC);
        }
        assert!(
            record.polls < 1_000_000,
            "the inner stream is polled without end"
        );
        if record.ended {
            record.polls_after_end += 1;
            return Poll::Ready(None);
        }
        match this.script.front().copied() {
            Some(Step::Item(value)) => {
                this.script.pop_front();
                record.given.push(value);
                drop(record);
                Poll::Ready(Some(this.control.token(value)))
            }
            Some(Step::Yield) => {
                this.script.pop_front();
                drop(record);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Some(Step::Stall) if record.released => {
                this.script.pop_front();
                drop(record);
                Pin::new(this).poll_next(cx)
            }
            Some(Step::Stall) => {
                record.stalled = Some(cx.waker().clone());
                Poll::Pending
            }
            None => {
                record.ended = true;
                Poll::Ready(None)
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match self.hint {
            Hint::Exact => (self.left(), Some(self.left())),
            Hint::Unknown => (0, None),
            Hint::Huge => (usize::MAX, Some(usize::MAX)),
        }
    }
}

impl<I: Carry> Sink<I> for Probe<I> {
    type Error = Boom;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Boom>> {
        self.control.record().readies += 1;
        let polled = self.phase(Phase::Ready, Some(cx));
        if let Poll::Ready(Ok(())) = polled {
            self.control.record().reserved = true;
        }
        polled
    }

    fn start_send(self: Pin<&mut Self>, item: I) -> Result<(), Boom> {
        let started = self.phase(Phase::Start, None);
        let mut record = self.control.record();
        if !std::mem::take(&mut record.reserved) {
            record.breaches.push("start_send without poll_ready");
        }
        if let Poll::Ready(Err(boom)) = started {
            return Err(boom);
        }
        record.received.extend(item.values());
        drop(record);
        drop(item);
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Boom>> {
        let polled = self.phase(Phase::Flush, Some(cx));
        if let Poll::Ready(Ok(())) = polled {
            let mut record = self.control.record();
            record.flushes += 1;
            record.flushed = record.received.len();
        }
        polled
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Boom>> {
        let polled = self.phase(Phase::Close, Some(cx));
        if let Poll::Ready(Ok(())) = polled {
            let mut record = self.control.record();
            record.closes += 1;
            record.flushed = record.received.len();
        }
        polled
    }
}
