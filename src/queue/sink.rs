//! The producer as a `Sink`.

use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker, ready};

use futures_sink::Sink;

use crate::coop;
use crate::sync::planted;
use crate::wake::in_turn;

use super::shared::Shared;
use super::state::{Refusal, Side, State, Step};
use super::waiters::{Key, Need};
use super::{DropReason, Overflow, Producer, PushError};

/// What a producer carries from its first use as a sink on.
pub(super) struct SinkSide<T> {
    /// The sink was closed, and this handle with it.
    pub(super) closed: bool,
    /// Only ever reached through `&mut`: the mutex is there to let a producer of `Send` items be `Sync`.
    phase: Mutex<Phase<T>>,
    /// Something was sent since the last flush.
    unflushed: bool,
    watch: Option<CloseWatch>,
}

/// A place among those who want to know that the queue is closed, and the task that is told.
struct CloseWatch {
    key: Option<Key>,
    waker: Waker,
}

enum Phase<T> {
    Idle,
    Waiting(Option<Key>),
    /// `poll_ready` has answered under a policy that holds nothing.
    Ready,
    /// `poll_ready` has answered and a slot is held.
    Reserved,
    /// `start_send` has taken an item whose weight does not fit yet. It holds a slot.
    Parked {
        slot: Option<T>,
        weight: usize,
        key: Option<Key>,
        /// What came of it, under the lock: known also where a waker panicked after that.
        end: Option<Result<(), Refusal>>,
    },
}

impl<T> SinkSide<T> {
    pub(super) const fn new(closed: bool) -> Self {
        Self {
            closed,
            phase: Mutex::new(Phase::Idle),
            unflushed: false,
            watch: None,
        }
    }

    fn phase(&mut self) -> &mut Phase<T> {
        self.phase
            .get_mut()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn poll_ready(
        &mut self,
        shared: &Shared<T>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), PushError<()>>> {
        if self.closed {
            shared.count_refusal();
            return Poll::Ready(Err(PushError::Closed(())));
        }
        ready!(self.poll_unpark(shared, cx))?;
        let waits = match shared.overflow {
            Overflow::DropNewest | Overflow::DropOldest => {
                if shared.has_closed() {
                    shared.count_refusal();
                    return Poll::Ready(Err(PushError::Closed(())));
                }
                *self.phase() = Phase::Ready;
                return Poll::Ready(Ok(()));
            }
            Overflow::Wait => true,
            Overflow::Reject => false,
        };
        let phase = self.phase();
        if let Phase::Reserved = phase {
            return Poll::Ready(Ok(()));
        }
        if !matches!(phase, Phase::Waiting(_)) {
            *phase = Phase::Waiting(None);
        }
        let Phase::Waiting(key) = phase else {
            return Poll::Pending;
        };
        if key.is_none() && shared.reserve_now() {
            *phase = Phase::Reserved;
            return Poll::Ready(Ok(()));
        }
        let reserved = ready!(shared.poll(cx, Side::Pushing, key, |state, key| {
            state.reserve(key, waits)
        }));
        *phase = if reserved.is_ok() {
            Phase::Reserved
        } else {
            Phase::Idle
        };
        Poll::Ready(reserved.map_err(|refusal| refusal.about(())))
    }

    fn start_send(&mut self, shared: &Shared<T>, item: T) -> Result<(), PushError<()>> {
        assert!(
            matches!(self.phase(), Phase::Ready | Phase::Reserved),
            "`start_send` on a queue's producer without a `poll_ready` that answered Ok before it"
        );
        self.unflushed = true;
        let weight = shared.weigh(&item);
        let mut slot = Some(item);
        if let Phase::Ready = std::mem::replace(self.phase(), Phase::Idle) {
            if shared.lanes.push(&mut slot).is_ok() {
                return Ok(());
            }
            let sent = shared.with_victims(&mut slot, |state, slot, victims| {
                let overflow = if state.is_choked(weight) {
                    Overflow::DropNewest
                } else {
                    shared.overflow
                };
                state.push(slot, weight, None, overflow, victims)
            });
            return sent.map_err(|error| shared.refuse_sent(error));
        }
        if shared.lanes.redeem(&mut slot) {
            return Ok(());
        }
        let sent =
            shared.attempt(
                |state| match state.redeem_in_turn(&mut slot, weight, None, false) {
                    Step::Wait(_) => {
                        state.park();
                        Step::Done(Ok(()))
                    }
                    step => step,
                },
            );
        match (sent, slot) {
            (Ok(Err(refusal)), Some(item)) => Err(shared.refuse_sent(refusal.about(item))),
            (_, None) => Ok(()),
            (_, parked) => {
                *self.phase() = Phase::Parked {
                    slot: parked,
                    weight,
                    key: None,
                    end: None,
                };
                Ok(())
            }
        }
    }

    /// Waits for what is parked to enter.
    fn poll_unpark(
        &mut self,
        shared: &Shared<T>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), PushError<()>>> {
        let Phase::Parked {
            slot,
            weight,
            key,
            end,
        } = self.phase()
        else {
            return Poll::Ready(Ok(()));
        };
        if end.is_none() {
            let weight = *weight;
            let polled = shared.poll(cx, Side::Pushing, key, |state, key| {
                let step = state.redeem_in_turn(slot, weight, key, true);
                if let Step::Done(result) = &step {
                    *end = Some(*result);
                }
                step
            });
            ready!(polled.map(drop));
        }
        Poll::Ready(self.finish_parked(shared))
    }

    /// Empties the handle of what was parked and has come to its end.
    fn finish_parked(&mut self, shared: &Shared<T>) -> Result<(), PushError<()>> {
        match std::mem::replace(self.phase(), Phase::Idle) {
            Phase::Parked {
                slot: Some(item),
                end: Some(Err(refusal)),
                ..
            } => Err(shared.refuse_sent(refusal.about(item))),
            _ => Ok(()),
        }
    }

    /// What was sent is in the queue, whatever came after. With nothing to flush it answers whether more can come, and
    /// has the task told when that changes.
    fn poll_flush(
        &mut self,
        shared: &Shared<T>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), PushError<()>>> {
        ready!(self.poll_unpark(shared, cx))?;
        if self.closed {
            return Poll::Ready(Ok(()));
        }
        let flushed = std::mem::take(&mut self.unflushed);
        let told = self
            .watch
            .as_ref()
            .is_some_and(|watch| watch.waker.will_wake(cx.waker()));
        let watched = told && !shared.has_closed();
        if flushed && (watched || planted("flush_unwatched")) {
            return Poll::Ready(Ok(()));
        }
        let waker = cx.waker().clone();
        let watch = self.watch.get_or_insert_with(|| CloseWatch {
            key: None,
            waker: waker.clone(),
        });
        let closed = shared.poll(cx, Side::Watching, &mut watch.key, |state, _| {
            if state.is_closed() {
                Step::Done(())
            } else {
                Step::Wait(Need::Closed)
            }
        });
        watch.waker = waker;
        match closed {
            Poll::Ready(()) if flushed => {
                // The next flush is to say so.
                cx.waker().wake_by_ref();
                Poll::Ready(Ok(()))
            }
            Poll::Ready(()) => Poll::Ready(Err(PushError::Closed(()))),
            Poll::Pending => Poll::Ready(Ok(())),
        }
    }

    /// Gives back what the sink holds.
    pub(super) fn let_go(&mut self, shared: &Shared<T>) {
        let mut watch = self.watch.take();
        in_turn([&mut || self.let_phase_go(shared), &mut || {
            if let Some(watch) = &mut watch {
                shared.leave(Side::Watching, &mut watch.key);
            }
        }]);
    }

    fn let_phase_go(&mut self, shared: &Shared<T>) {
        if let Phase::Parked { end: Some(_), .. } = self.phase() {
            let _told = self.finish_parked(shared);
            return;
        }
        match std::mem::replace(self.phase(), Phase::Idle) {
            Phase::Idle | Phase::Ready => {}
            Phase::Waiting(mut key) => shared.leave(Side::Pushing, &mut key),
            Phase::Reserved if planted("sink_keeps_slot") => {}
            Phase::Reserved => shared.change(State::release),
            Phase::Parked { slot, mut key, .. } => {
                let mut parked = shared.leaving(DropReason::Cancelled);
                parked.items = Some(slot);
                shared.leave_and(Side::Pushing, &mut key, |state| {
                    if state.is_revoked() {
                        state.count.refused += 1;
                        parked.reason = DropReason::Closed;
                    } else {
                        state.unpark();
                        state.count.cancelled += 1;
                    }
                });
            }
        }
    }
}

impl<T> Shared<T> {
    /// A sink's error cannot carry the item, so `on_drop` gets it.
    fn refuse_sent(&self, error: PushError<T>) -> PushError<()> {
        let reason = if error.is_closed() {
            DropReason::Closed
        } else {
            DropReason::Newest
        };
        error.map(|item| self.discard([item], reason))
    }
}

impl<T> Producer<T> {
    /// The queue, and what this handle carries as a sink: from its first use as one on.
    fn as_sink(&mut self) -> (&Shared<T>, &mut SinkSide<T>) {
        let sink = self
            .sink
            .get_or_insert_with(|| Box::new(SinkSide::new(false)));
        (&self.shared, sink)
    }
}

/// The queue as a sink, by the contract of [`Sink`].
///
/// * `poll_ready`: under `Wait` it waits for a slot and reserves it, in turn with all other producers; under `Reject`
///   it reserves one or answers `Full`, after which the sink is still good; under the drop policies it is always ready
///   and holds nothing.
/// * `start_send`: uses the slot. It panics without a `poll_ready` before it. An error carries no item: the item goes
///   to `on_drop` and is counted `refused`.
/// * `poll_flush`: the items are in the queue, not consumed. With nothing sent since the last one, it answers `Closed`
///   where the queue is closed, and wakes the task when that happens: so a pump whose input is idle learns of it.
/// * `poll_close`: closes this handle, as if it were dropped, and may be repeated. The queue is closed with the last of
///   its producers; [`Producer::close`] closes it for all.
///
/// A reserved slot goes back when the handle is dropped. On a queue with a weight bound a slot holds no weight: an item
/// that does not fit is parked in the handle (`parked` in the stats), and `poll_ready`, `poll_flush` and `poll_close`
/// wait until it has entered.
///
/// ```
/// use futures::SinkExt;
/// use pushpull::queue;
///
/// # tokio_test::block_on(async {
/// let (mut tx, rx) = queue::bounded(2);
/// tx.send("a").await.unwrap();
/// tx.feed("b").await.unwrap();
/// SinkExt::close(&mut tx).await.unwrap();
/// assert!(tx.send("c").await.unwrap_err().is_closed());
/// assert_eq!(rx.pull().await, Some("a"));
/// assert_eq!(rx.pull().await, Some("b"));
/// assert_eq!(rx.pull().await, None);
/// # });
/// ```
impl<T> Sink<T> for Producer<T> {
    type Error = PushError<()>;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        let (shared, sink) = self.get_mut().as_sink();
        // Asking again is free: else a budget could not go round all sinks of a fan-out that has more of them.
        if let Phase::Reserved = sink.phase() {
            return Poll::Ready(Ok(()));
        }
        ready!(coop::share(cx));
        sink.poll_ready(shared, cx)
    }

    fn start_send(self: Pin<&mut Self>, item: T) -> Result<(), Self::Error> {
        let (shared, sink) = self.get_mut().as_sink();
        sink.start_send(shared, item)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        let (shared, sink) = self.get_mut().as_sink();
        sink.poll_flush(shared, cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        let (shared, sink) = self.get_mut().as_sink();
        if sink.closed {
            return Poll::Ready(Ok(()));
        }
        let flushed = ready!(sink.poll_unpark(shared, cx));
        sink.let_go(shared);
        sink.closed = true;
        shared.change(State::remove_producer);
        Poll::Ready(flushed)
    }
}
