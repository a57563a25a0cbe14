//! Looking again before going to sleep.
//!
//! To put a thread to sleep and to wake it costs some ten microseconds, in which the other side could move a thousand
//! items. So a call that finds nothing to do looks again for a while, where it can be expected to pay:
//!
//! * Where the other side was last seen on another thread: then the call looks for some microseconds without a lock, lets
//!   other tasks of its thread go first, looks again, and so on, for some 15 microseconds together. Success earns
//!   *credits*, and failure costs some; without any, one call in 64 tries. So a queue that is slow, or idle, sleeps.
//! * Where a consumer finds nothing, one producer has been woken and others still sleep: then it lets others go first,
//!   once. If the one that was woken does not come, the consumer's going to sleep wakes the others.
//!
//! A call that looks again has its place among those who wait, as one that has been woken: order, cancellation and the
//! promise that nobody sleeps beside an item hold without a further thought.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU8, AtomicUsize};
use std::time::{Duration, Instant};

use crate::sync::spin::spin_for;

use super::shared::Shared;
use super::state::{Side, State};
use super::waiters::Key;

/// Between two looks: time enough for the other side to do dozens of operations undisturbed.
const PAUSE: Duration = Duration::from_nanos(700);

/// So many are worth to go on at once: a handful would have both sides fight for the same lines of memory.
const BURST: u64 = 32;

/// For how long to look, each time; in between other tasks may run.
const PATIENCE: [Duration; 4] = [
    Duration::from_micros(3),
    Duration::from_micros(3),
    Duration::from_micros(4),
    Duration::from_micros(6),
];

/// How often a call looks again before it sleeps.
const ROUNDS: u8 = PATIENCE.len() as u8;

/// Whether to look again, by one side's experience. Only a guess hangs on it, so nothing is ordered by it.
#[derive(Debug)]
pub(super) struct Looks {
    /// What success has earned.
    credits: AtomicU8,
    /// Waits since the last try without credits.
    since: AtomicU8,
    /// The thread on which this side ran when it last had to know of the other.
    thread: AtomicUsize,
}

const FIRST: u8 = 4;
const MOST: u8 = 16;
const PROBE: u8 = 64;

impl Looks {
    pub(super) const fn new() -> Self {
        Self {
            credits: AtomicU8::new(FIRST),
            since: AtomicU8::new(0),
            thread: AtomicUsize::new(0),
        }
    }

    fn runs_on(&self, thread: usize) {
        if self.thread.load(Relaxed) != thread {
            self.thread.store(thread, Relaxed);
        }
    }

    /// Whether this side was last seen on another thread than this.
    fn is_elsewhere(&self, thread: usize) -> bool {
        let own = self.thread.load(Relaxed);
        own != 0 && own != thread
    }

    /// Whether a call that finds nothing to do should look again.
    fn may(&self) -> bool {
        if self.credits.load(Relaxed) > 0 {
            return true;
        }
        let since = (self.since.load(Relaxed) + 1) % PROBE;
        self.since.store(since, Relaxed);
        since == 0
    }

    fn paid(&self) {
        let credits = self.credits.load(Relaxed);
        if credits < MOST {
            self.credits.store(credits + 1, Relaxed);
        }
    }

    fn failed(&self) {
        let credits = self.credits.load(Relaxed);
        self.credits.store(credits.saturating_sub(2), Relaxed);
    }
}

/// This thread, among those that live.
pub(super) fn thread() -> usize {
    thread_local! {
        static HERE: u8 = const { 0 };
    }
    HERE.with(|here| std::ptr::from_ref(here).addr())
}

/// What a call does that finds nothing to do.
#[derive(Clone, Copy, Debug)]
pub(super) enum Again {
    /// Look whether the other end moves on from where it was.
    Look { was: u64, nth: u8 },
    /// Let other tasks go first, and look then.
    AfterOthers,
    /// Sleep.
    No,
}

impl<T> Shared<T> {
    /// The experience of a side and of the other.
    const fn looks(&self, side: Side) -> Option<(&Looks, &Looks)> {
        match side {
            Side::Pushing => Some((&self.pushers_look, &self.pullers_look)),
            Side::Pulling => Some((&self.pullers_look, &self.pushers_look)),
            Side::Watching => None,
        }
    }

    /// Looks again without a lock before the rules are asked at all; `done` tries once more.
    #[cold]
    #[inline(never)]
    pub(super) fn look_first(&self, side: Side, done: impl FnOnce() -> bool) -> bool {
        let Some((own, other)) = self.looks(side) else {
            return false;
        };
        if cfg!(pushpull_loom) || !other.is_elsewhere(thread()) || own.credits.load(Relaxed) == 0 {
            return false;
        }
        self.wait_for_move(side, self.position_beyond(side), 0);
        let done = done();
        if done {
            own.paid();
        }
        done
    }

    /// Notes that a call has come to its end, and whether it had `looked` for it.
    pub(super) fn found(&self, side: Side, here: usize, looked: bool) {
        if let Some((own, _)) = self.looks(side) {
            own.runs_on(here);
            if looked {
                own.paid();
            }
        }
    }

    /// Whether a call looks again that has nothing to do, and has or has not `looked` before in this very poll.
    pub(super) fn looks_again(
        &self,
        state: &State<T>,
        side: Side,
        key: Option<Key>,
        here: usize,
        looked: bool,
    ) -> Again {
        let Some((own, other)) = self.looks(side) else {
            return Again::No;
        };
        own.runs_on(here);
        let (waiters, others, was) = match side {
            Side::Pulling => (&state.pulling, &state.pushing, state.ring.tail()),
            _ => (&state.pushing, &state.pulling, state.ring.head()),
        };
        let nth = match key {
            // Behind one that sleeps there is nothing to be looked for.
            None if waiters.sleeping() > 0 => return Again::No,
            None => 0,
            Some(key) => match waiters.looks(key) {
                0 => return Again::No,
                nth => nth,
            },
        };
        let comes = nth == 0
            && others.has_woken()
            && others.sleeping() > 0
            && matches!(side, Side::Pulling);
        if !other.is_elsewhere(here) || cfg!(pushpull_loom) {
            return if comes { Again::AfterOthers } else { Again::No };
        }
        if nth == 0 {
            // The first look was without a lock.
            return if comes || own.may() {
                Again::AfterOthers
            } else {
                Again::No
            };
        }
        if !looked {
            Again::Look { was, nth }
        } else if nth < ROUNDS {
            Again::AfterOthers
        } else {
            own.failed();
            Again::No
        }
    }

    /// Where the end is that has to move first.
    fn position_beyond(&self, side: Side) -> u64 {
        match side {
            Side::Pulling => self.lanes.tail(),
            _ => self.lanes.head(),
        }
    }

    /// Looks for the other end to move on from where it was, for the `nth` time. It may have done so then, or it is time
    /// to let others go first.
    pub(super) fn wait_for_move(&self, side: Side, was: u64, nth: u8) {
        let patience = PATIENCE[usize::from(nth).min(PATIENCE.len() - 1)];
        let start = Instant::now();
        loop {
            spin_for(PAUSE);
            let moved = self.position_beyond(side) - was;
            if moved >= BURST || self.has_closed() || start.elapsed() >= patience {
                return;
            }
        }
    }
}
