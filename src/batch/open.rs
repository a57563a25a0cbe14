//! The open batch: what belongs in it and when it closes. It knows neither polling nor clocks: `now` is an argument.

use std::collections::VecDeque;
use std::{fmt, mem};

use tokio::time::Instant;

use super::stats::Tally;
use super::{BatchPolicy, BatchStats, FlushReason};

/// A new buffer is made as large as the batch before, but for no more than this many bytes.
const FORESIGHT: usize = 256 * 1024;

/// A run that must be judged is no longer than this, or than the batch before, so that it hoards no whole queue.
const RUN: usize = 1024;

/// The batch that is being filled, and what was taken from the input beyond it.
pub(super) struct Open<T> {
    policy: BatchPolicy<T>,
    items: Vec<T>,
    weight: usize,
    closed: Option<FlushReason>,
    clock: Clock,
    /// Taken, but not judged yet. An item stays here while user code looks at it, so that a panic there loses nothing.
    rest: VecDeque<T>,
    /// The weight of the first of `rest`, where it has been asked for.
    next_weight: Option<usize>,
    /// When `rest` came, where that was not in this very poll.
    rest_since: Option<Instant>,
    /// How many items the batch before had.
    before: usize,
    tally: Tally,
}

/// The times of one batch. Made anew with each, so that no time of one batch can count for another.
#[derive(Default)]
struct Clock {
    /// Arrival of the first item.
    since: Option<Instant>,
    /// Arrival of the last item.
    last: Option<Instant>,
    /// Whether items have come whose arrival is still to be noted.
    fresh: bool,
    /// Why the time of the batch is over, and when that was noticed.
    lapsed: Option<(FlushReason, Instant)>,
}

/// A run while it is taken. What has come of it belongs to the batch, also where taking it panics.
struct Run<'a, T> {
    open: &'a mut Open<T>,
    /// Those that are still to be judged.
    items: Vec<T>,
    /// How many there were in the batch before.
    held: usize,
}

/// A batch that has been closed.
pub(super) struct Closed<T> {
    pub(super) items: Vec<T>,
    pub(super) reason: FlushReason,
    /// Arrival of the first item; none for a batch that never waited.
    pub(super) since: Option<Instant>,
}

impl<T> Open<T> {
    pub(super) fn new(policy: BatchPolicy<T>) -> Self {
        let tally = Tally::new(policy.named());
        Self {
            policy,
            items: Vec::new(),
            weight: 0,
            closed: None,
            clock: Clock::default(),
            rest: VecDeque::new(),
            next_weight: None,
            rest_since: None,
            before: 0,
            tally,
        }
    }

    /// How many items are held.
    pub(super) fn len(&self) -> usize {
        self.items.len() + self.rest.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty() && self.rest.is_empty()
    }

    /// Why the batch must leave now, whatever the clock says.
    pub(super) fn closed(&self) -> Option<FlushReason> {
        self.closed
    }

    /// Whether items are looked at, one by one, to know where the batch ends.
    pub(super) fn judges(&self) -> bool {
        self.policy.judges()
    }

    /// Takes one item. The answer is whether the batch is closed.
    #[inline]
    pub(super) fn push(&mut self, item: T) -> bool {
        if self.policy.judges() {
            if self.rest.is_empty() {
                self.rest_since = None;
            }
            self.rest.push_back(item);
            self.sift();
        } else {
            self.clock.fresh = true;
            self.keep(item);
            self.close_if_full();
        }
        self.closed.is_some()
    }

    /// Lets `take` append as many items as it is told at most, and answers whatever it answers. Only for a batch that
    /// has been sifted and is not closed.
    #[inline]
    pub(super) fn push_run<R>(&mut self, take: impl FnOnce(&mut Vec<T>, usize) -> R) -> R {
        let room = self.policy.max() - self.items.len();
        if self.policy.judges() {
            let most = room.min(RUN.max(self.before));
            let mut run = Run {
                items: mem::take(&mut self.rest).into(),
                held: self.items.len(),
                open: self,
            };
            let answer = take(&mut run.items, most);
            drop(run);
            self.sift();
            answer
        } else {
            self.foresee();
            let run = Run {
                items: Vec::new(),
                held: self.items.len(),
                open: self,
            };
            take(&mut run.open.items, room)
        }
    }

    /// Moves what is taken but not judged into the batch, until that closes.
    #[inline]
    pub(super) fn sift(&mut self) {
        if !self.rest.is_empty() {
            self.sift_rest();
        }
    }

    fn sift_rest(&mut self) {
        while self.closed.is_none() {
            let Some(item) = self.rest.front() else {
                return;
            };
            let weight = self.next_weight.unwrap_or_else(|| self.policy.weigh(item));
            self.next_weight = Some(weight);
            if !self.items.is_empty() && self.would_exceed(weight) {
                self.closed = Some(FlushReason::Weight);
                return;
            }
            let last = self.policy.ends_with(item);
            let Some(item) = self.rest.pop_front() else {
                return;
            };
            self.next_weight = None;
            self.weight = self.weight.saturating_add(weight);
            match self.rest_since {
                None => self.clock.fresh = true,
                Some(at) => self.clock.arrived(at),
            }
            self.keep(item);
            self.close_if_full();
            if self.closed.is_none()
                && self
                    .policy
                    .max_weight()
                    .is_some_and(|max| self.weight >= max)
            {
                self.closed = Some(FlushReason::Weight);
            }
            if last {
                self.closed.get_or_insert(FlushReason::Predicate);
            }
        }
    }

    /// Whether there are arrivals whose time is still to be noted, by [`settle`](Self::settle).
    pub(super) fn unsettled(&self) -> bool {
        self.clock.fresh && (self.clock.since.is_none() || self.policy.idle.is_some())
    }

    /// Whether the clock can close a batch of this policy.
    pub(super) fn timed(&self) -> bool {
        self.policy.timed()
    }

    /// Notes that what has come since the last time came `now`, and whether the time of the batch is over.
    pub(super) fn settle(&mut self, now: Instant) {
        if self.items.is_empty() {
            return;
        }
        if self.clock.fresh {
            self.clock.since.get_or_insert(now);
        }
        // A gap that was over before the last arrivals stays over.
        if self.clock.lapsed.is_none() {
            self.clock.lapsed = match self.due_with_reason() {
                Some((at, reason)) if at <= now => Some((reason, now)),
                _ => None,
            };
        }
        if mem::take(&mut self.clock.fresh) {
            self.clock.last = Some(now);
        }
    }

    /// Notes that what is left of the last run came `now`, unless that is known.
    #[inline]
    pub(super) fn settle_rest(&mut self, now: impl FnOnce() -> Instant) {
        if !self.rest.is_empty() && self.rest_since.is_none() {
            self.rest_since = Some(now());
        }
    }

    /// Why the time of the batch is over, if it was when it last settled.
    pub(super) fn lapsed(&self) -> Option<FlushReason> {
        self.clock.lapsed.map(|(reason, _)| reason)
    }

    /// Why the batch must leave although there is more input ready: it has been over age for as long as its whole age.
    /// Without this, input that never pauses and a `max` beyond reach would keep a batch for ever.
    pub(super) fn overdue(&self, now: Instant) -> Option<FlushReason> {
        let (reason, noticed) = self.clock.lapsed?;
        let grace = self.policy.within?;
        (now.saturating_duration_since(noticed) > grace).then_some(reason)
    }

    /// When the clock will close the batch, if it will.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due_with_reason().map(|(at, _)| at)
    }

    fn due_with_reason(&self) -> Option<(Instant, FlushReason)> {
        let since = self.clock.since?;
        let age = self.policy.within.and_then(|age| since.checked_add(age));
        let last = self.clock.last.unwrap_or(since);
        let idle = self.policy.idle.and_then(|gap| last.checked_add(gap));
        match (age, idle) {
            (Some(age), Some(idle)) if idle < age => Some((idle, FlushReason::Idle)),
            (Some(age), _) => Some((age, FlushReason::Age)),
            (None, idle) => idle.map(|idle| (idle, FlushReason::Idle)),
        }
    }

    /// Closes the batch and opens the next.
    #[inline]
    pub(super) fn close(&mut self, reason: FlushReason) -> Closed<T> {
        self.tally.count(reason, self.items.len());
        let (items, since) = self.reset();
        Closed {
            items,
            reason,
            since,
        }
    }

    /// Empties the batch, which has items from `since` on.
    #[inline]
    fn reset(&mut self) -> (Vec<T>, Option<Instant>) {
        let items = mem::take(&mut self.items);
        self.before = items.len();
        self.weight = 0;
        self.closed = None;
        // A batch that never waited has no times to forget.
        self.clock.fresh = false;
        let since = self.clock.since;
        if since.is_some() {
            self.clock = Clock::default();
        }
        (items, since)
    }

    pub(super) fn stats(&self) -> BatchStats {
        self.tally.stats()
    }

    /// All that is held, in order, leaving nothing.
    pub(super) fn take_all(&mut self) -> Vec<T> {
        let (mut items, _) = self.reset();
        items.extend(mem::take(&mut self.rest));
        self.next_weight = None;
        items
    }

    /// The bounds of a stream that makes batches of what is held and of input with the bounds `input`.
    pub(super) fn size_hint(&self, input: (usize, Option<usize>)) -> (usize, Option<usize>) {
        let least = self
            .len()
            .saturating_add(input.0)
            .div_ceil(self.policy.max());
        let held = usize::from(!self.items.is_empty()).saturating_add(self.rest.len());
        (least, input.1.and_then(|most| most.checked_add(held)))
    }

    fn would_exceed(&self, weight: usize) -> bool {
        self.policy
            .max_weight()
            .is_some_and(|max| self.weight.checked_add(weight).is_none_or(|sum| sum > max))
    }

    #[inline]
    fn keep(&mut self, item: T) {
        self.foresee();
        self.items.push(item);
    }

    /// Makes room in a new buffer for as many items as the batch before had.
    #[inline]
    fn foresee(&mut self) {
        if self.items.capacity() == 0 {
            let most = FORESIGHT / size_of::<T>().max(1);
            self.items = Vec::with_capacity(self.before.min(most));
        }
    }

    #[inline]
    fn close_if_full(&mut self) {
        if self.items.len() >= self.policy.max() {
            self.closed = Some(FlushReason::Size);
        }
    }
}

impl<T> fmt::Debug for Open<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Open")
            .field("policy", &self.policy)
            .field("held", &self.len())
            .finish()
    }
}

impl<T> Drop for Run<'_, T> {
    fn drop(&mut self) {
        let open = &mut *self.open;
        if open.policy.judges() {
            open.rest = mem::take(&mut self.items).into();
            open.rest_since = None;
        } else {
            open.clock.fresh |= open.items.len() > self.held;
            open.close_if_full();
        }
    }
}

impl Clock {
    fn arrived(&mut self, at: Instant) {
        self.since.get_or_insert(at);
        self.last = Some(self.last.map_or(at, |last| last.max(at)));
    }
}
