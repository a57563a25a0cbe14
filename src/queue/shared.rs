//! The state of a queue behind its locks, with everything that has to happen outside of it: user code, allocation, waking.

use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

use tokio::time::Instant;

use crate::meter::{Percentiles, Reading, Registration, Source, TimeInQueue};
use crate::sync::{AtomicBool, planted};
use crate::wake::WakeList;

use super::look::{self, Again, Looks};
use super::ring::{Both, Lanes, Ring};
use super::state::{Pushed, Refusal, Side, State, Step};
use super::victims::{OnDrop, Outlet, Victims};
use super::waiters::{Key, Need, Node};
use super::{DropReason, Overflow, PushError};

/// Shared by the queues of one builder and its clones.
pub(super) type Weigh<T> = std::sync::Arc<dyn Fn(&T) -> usize + Send + Sync>;

/// What all handles of a queue share.
pub(super) struct Shared<T> {
    pub(super) lanes: Lanes<T, State<T>>,
    pub(super) overflow: Overflow,
    weigh: Option<Weigh<T>>,
    on_drop: Option<OnDrop<T>>,
    registration: Option<Registration>,
    times: Option<TimeInQueue>,
    pub(super) pushers_look: Looks,
    pub(super) pullers_look: Looks,
    /// Set before those are woken who wait for the end, for a look without the lock.
    closed: AtomicBool,
}

/// Storage prepared outside of the lock, and old storage on its way out.
struct Prepared<T> {
    ring: Option<Ring<T>>,
    nodes: Option<Vec<Node>>,
    waker: Option<Waker>,
}

impl<T> Prepared<T> {
    const NOTHING: Self = Self {
        ring: None,
        nodes: None,
        waker: None,
    };

    /// Brings the storage in; what comes back is empty and goes when the lock is released.
    fn bring_in(&mut self, state: &mut State<T>, side: Side) {
        if let Some(ring) = self.ring.take() {
            self.ring = Some(state.ring.adopt(ring));
        }
        if let Some(nodes) = self.nodes.take() {
            self.nodes = Some(state.side(side).adopt(nodes));
        }
    }

    fn discard(&mut self) {
        self.ring = None;
        self.nodes = None;
    }
}

impl<T> Shared<T> {
    pub(super) fn new(
        state: State<T>,
        overflow: Overflow,
        weigh: Option<Weigh<T>>,
        on_drop: Option<OnDrop<T>>,
        registration: Option<Registration>,
        times: Option<TimeInQueue>,
    ) -> Self {
        Self {
            lanes: Lanes::new(state),
            overflow,
            weigh,
            on_drop,
            registration,
            times,
            pushers_look: Looks::new(),
            pullers_look: Looks::new(),
            closed: AtomicBool::new(false),
        }
    }

    fn lock(&self) -> Both<'_, T, State<T>> {
        self.lanes.both()
    }

    /// Whether the queue has been closed; if not, whoever waits for that is yet to be woken.
    pub(super) fn has_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// What an item weighs; user code, so never called under the lock.
    pub(super) fn weigh(&self, item: &T) -> usize {
        self.weigh.as_ref().map_or(0, |weigh| weigh(item))
    }

    pub(super) const fn is_weighted(&self) -> bool {
        self.weigh.is_some()
    }

    /// Reads. Nothing can change by it, so nobody is woken.
    pub(super) fn read<R>(&self, f: impl FnOnce(&State<T>) -> R) -> R {
        f(&self.lock())
    }

    /// Counts a call that is refused without a look at the state.
    pub(super) fn count_refusal(&self) {
        self.change(|state| state.count.refused += 1);
    }

    /// Makes a change that always goes through, and wakes whom it lets go on.
    pub(super) fn change<R>(&self, f: impl FnOnce(&mut State<T>) -> R) -> R {
        let mut state = self.lock();
        let result = f(&mut state);
        self.release(state);
        result
    }

    /// Makes a step that does not wait.
    pub(super) fn attempt<R>(
        &self,
        mut step: impl FnMut(&mut State<T>) -> Step<R>,
    ) -> Result<R, Need> {
        let mut prepared = Prepared::NOTHING;
        loop {
            let mut state = self.lock();
            prepared.bring_in(&mut state, Side::Pushing);
            let result = match step(&mut state) {
                Step::Done(result) | Step::Stop(result) => Ok(result),
                Step::Wait(need) => {
                    state.starving = need == Need::Item;
                    Err(need)
                }
                Step::Grow(slots) => {
                    let slots = state.ring.grown(slots, state.capacity);
                    let weighted = state.ring.is_weighted();
                    drop(state);
                    prepared.ring = Some(Ring::with_room(weighted, slots));
                    continue;
                }
            };
            self.release(state);
            return result;
        }
    }

    /// Makes a step that may wait: on `side`, at the place `key`, which is given up when the step is done.
    pub(super) fn poll<R>(
        &self,
        cx: &mut Context<'_>,
        side: Side,
        key: &mut Option<Key>,
        mut step: impl FnMut(&mut State<T>, Option<Key>) -> Step<R>,
    ) -> Poll<R> {
        let here = look::thread();
        let mut prepared = Prepared::NOTHING;
        // A guess that spares a round; a model would have to follow both ways.
        if !cfg!(pushpull_loom) && self.seems_stuck(side) {
            prepared.waker = Some(cx.waker().clone());
        }
        let mut unmet = None;
        let mut looked = false;
        loop {
            let mut state = self.lock();
            prepared.bring_in(&mut state, side);
            let stepped = match unmet {
                Some(need) if planted("sleep_unchecked") => Step::Wait(need),
                _ => step(&mut state, *key),
            };
            match stepped {
                Step::Done(result) => {
                    self.found(side, here, looked);
                    let waker = key.take().and_then(|key| state.leave(side, key));
                    self.release(state);
                    drop(waker);
                    return Poll::Ready(result);
                }
                Step::Stop(result) => {
                    self.release(state);
                    return Poll::Ready(result);
                }
                Step::Grow(slots) => {
                    let slots = state.ring.grown(slots, state.capacity);
                    let weighted = state.ring.is_weighted();
                    drop(state);
                    prepared.discard();
                    prepared.ring = Some(Ring::with_room(weighted, slots));
                }
                Step::Wait(need) => {
                    unmet = Some(need);
                    let asleep =
                        key.is_some_and(|key| state.side(side).sleeps_with(key, cx.waker()));
                    if asleep {
                        self.release(state);
                        return Poll::Pending;
                    }
                    let again = self.looks_again(&state, side, *key, here, looked);
                    if let Again::Look { was, nth } = again {
                        drop(state);
                        prepared.discard();
                        looked = true;
                        self.wait_for_move(side, was, nth);
                        continue;
                    }
                    let nodes = state.side(side);
                    if key.is_none() && !nodes.has_room() {
                        let slots = nodes.grown();
                        drop(state);
                        prepared.discard();
                        prepared.nodes = Some(Vec::with_capacity(slots));
                        continue;
                    }
                    if let Again::AfterOthers = again {
                        match *key {
                            Some(key) => nodes.look_again(key),
                            None => {
                                *key = Some(nodes.insert_awake(need));
                                state.waits(side);
                            }
                        }
                        self.release(state);
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                    let Some(waker) = prepared.waker.take() else {
                        drop(state);
                        prepared.discard();
                        prepared.waker = Some(cx.waker().clone());
                        continue;
                    };
                    let old = match *key {
                        Some(key) => nodes.sleep(key, need, waker),
                        None => {
                            *key = Some(nodes.insert(need, waker));
                            state.waits(side);
                            None
                        }
                    };
                    if planted("sleep_unchecked") {
                        drop(state);
                    } else {
                        self.release(state);
                    }
                    drop(old);
                    return Poll::Pending;
                }
            }
        }
    }

    /// Whether a call will most likely have to wait, so that it had better bring its waker.
    fn seems_stuck(&self, side: Side) -> bool {
        match side {
            Side::Pushing => self.lanes.seems_full(),
            Side::Pulling => self.lanes.glance() == 0,
            Side::Watching => true,
        }
    }

    /// Gives up a place in the middle of waiting. A wake that came and was not used goes to the next.
    pub(super) fn leave(&self, side: Side, key: &mut Option<Key>) {
        if key.is_some() {
            self.leave_and(side, key, |_| {});
        }
    }

    /// Gives up a place, if there is one, together with a change.
    pub(super) fn leave_and(
        &self,
        side: Side,
        key: &mut Option<Key>,
        change: impl FnOnce(&mut State<T>),
    ) {
        let mut state = self.lock();
        let waker = key.take().and_then(|key| state.leave(side, key));
        change(&mut state);
        let silent = match side {
            Side::Pushing => planted("cancelled_push_keeps_wake"),
            Side::Pulling => planted("cancelled_pull_keeps_wake"),
            Side::Watching => false,
        };
        if silent {
            drop(state);
        } else {
            self.release(state);
        }
        drop(waker);
    }

    /// Ends a critical section: the lock is released, then everybody is woken who can go on.
    fn release(&self, mut state: Both<'_, T, State<T>>) {
        let mut wakes = WakeList::new();
        let mut beyond = state.settle(&mut wakes);
        if state.is_closed() {
            self.closed.store(true, Ordering::Release);
        }
        let sample = state.sample(Instant::now);
        #[cfg(feature = "tracing")]
        let closed = state.closes();
        drop(state);
        if let (Some(times), Some(sample)) = (&self.times, sample) {
            times.record(sample);
        }
        while beyond > 0 {
            wakes.reserve(beyond);
            beyond = self.lock().settle(&mut wakes);
        }
        wakes.wake_all();
        #[cfg(feature = "tracing")]
        if let Some(stats) = closed {
            super::events::closed(self.name(), &stats);
        }
    }

    /// Hands items that nobody will pull to `on_drop`, or drops them.
    pub(super) fn discard(&self, items: impl IntoIterator<Item = T>, reason: DropReason) {
        self.outlet().discard(items, reason);
    }

    fn outlet(&self) -> Outlet<'_, T> {
        Outlet {
            on_drop: self.on_drop.as_ref(),
            #[cfg(feature = "tracing")]
            name: self.name(),
        }
    }

    #[cfg(feature = "tracing")]
    fn name(&self) -> Option<&str> {
        self.registration.as_ref().map(Registration::name)
    }

    /// Items on their way out; set them under the lock.
    pub(super) const fn leaving<I: IntoIterator<Item = T>>(
        &self,
        reason: DropReason,
    ) -> Leaving<'_, T, I> {
        Leaving {
            shared: self,
            items: None,
            reason,
        }
    }

    pub(super) fn victims(&self) -> Victims<'_, T> {
        Victims::new(self.outlet())
    }

    /// A push that does not wait.
    #[inline]
    pub(super) fn push_now(&self, item: T) -> Result<(), PushError<T>> {
        let mut slot = Some(item);
        if self.lanes.push(&mut slot).is_ok() {
            return Ok(());
        }
        self.push_now_by_the_rules(slot)
    }

    #[cold]
    #[inline(never)]
    fn push_now_by_the_rules(&self, mut slot: Option<T>) -> Result<(), PushError<T>> {
        let weight = slot.as_ref().map_or(0, |item| self.weigh(item));
        let overflow = self.overflow.at_once();
        self.with_victims(&mut slot, |state, slot, victims| {
            state.push(slot, weight, None, overflow, victims)
        })
    }

    /// Repeats a step until there was room for its victims, and hands them over.
    pub(super) fn with_victims(
        &self,
        slot: &mut Option<T>,
        mut step: impl FnMut(&mut State<T>, &mut Option<T>, &mut Victims<'_, T>) -> Step<Pushed>,
    ) -> Result<(), PushError<T>> {
        let mut victims = self.victims();
        loop {
            match self.attempt(|state| step(state, slot, &mut victims)) {
                Ok(Pushed::Crowded(items)) => victims.reserve(items),
                Ok(Pushed::Queued) => return Ok(()),
                Ok(Pushed::Refused(refusal)) => return refused(slot, refusal),
                Err(_) => return refused(slot, Refusal::Full),
            }
        }
    }

    /// Evicts what a changed bound leaves no room for (under the one policy that evicts), and gives memory back.
    pub(super) fn rebound(&self, change: impl FnOnce(&mut State<T>)) {
        let change = |state: &mut State<T>| {
            change(state);
            state.rebound();
        };
        if planted("resize_silent") {
            change(&mut self.lock());
        } else {
            self.change(change);
        }
        if self.overflow == Overflow::DropOldest {
            let mut victims = self.victims();
            while let Err(items) = self.change(|state| state.shrink(&mut victims)) {
                victims.reserve(items);
            }
        }
        let plan = |state: &State<T>| {
            let slots = state.capacity.max(state.ring.len());
            (state.ring.exceeds(slots) && size_of::<T>() > 0).then_some(slots)
        };
        if let Some(slots) = self.read(plan) {
            let mut room = Some(Ring::with_room(self.is_weighted(), slots));
            let old = self.change(|state| match plan(state) {
                Some(_) => room.take().map(|room| state.ring.adopt(room)),
                None => room.take(),
            });
            drop(old);
        }
    }
}

/// Items that are discarded when this goes, also where a waker panics in between.
pub(super) struct Leaving<'a, T, I: IntoIterator<Item = T>> {
    shared: &'a Shared<T>,
    pub(super) items: Option<I>,
    pub(super) reason: DropReason,
}

impl<T, I: IntoIterator<Item = T>> Drop for Leaving<'_, T, I> {
    fn drop(&mut self) {
        if let Some(items) = self.items.take() {
            self.shared.discard(items, self.reason);
        }
    }
}

impl<T: Send> Source for Shared<T> {
    fn read(&self) -> Reading {
        self.reading()
    }
}

impl<T> Shared<T> {
    pub(super) fn time_in_queue(&self) -> Option<Percentiles> {
        self.times.as_ref().map(TimeInQueue::percentiles)
    }

    fn reading(&self) -> Reading {
        Reading::Queue {
            stats: Self::read(self, State::stats),
            time_in_queue: self.time_in_queue(),
        }
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        if let Some(registration) = &self.registration {
            registration.finish(self.reading());
        }
    }
}

/// The error for an item that is still in its slot.
pub(super) fn refused<T>(slot: &mut Option<T>, refusal: Refusal) -> Result<(), PushError<T>> {
    match slot.take() {
        Some(item) => Err(refusal.about(item)),
        None => Ok(()),
    }
}

impl Refusal {
    pub(super) fn about<T>(self, item: T) -> PushError<T> {
        match self {
            Self::Full => PushError::Full(item),
            Self::Closed => PushError::Closed(item),
            Self::TooHeavy => PushError::TooHeavy(item),
        }
    }
}
