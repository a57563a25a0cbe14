//! The lock around a broadcast, and what has to be done after it is released.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc as Shareable;
use std::task::Waker;
#[cfg(not(pushpull_loom))]
use std::time::Duration;

use super::marks::Edge;
use super::state::{Lack, State};
use super::trash::Trash;
use super::value::{Run, Value};
use super::waiting::{Seat, Sleepers, wake_seats};
use crate::meter::{Reading, Registration, Source};
use crate::sync::{Arc, Lock};
use crate::wake::WakeList;

/// How many publishers are served, and how many values dropped, before the lock is released in between.
const ROUND: usize = 32;

pub(super) struct Shared<T> {
    state: Lock<State<T>>,
    edge: Arc<Edge>,
    capacity: usize,
    registration: Option<Registration>,
}

/// How often, and how far apart, marks are looked at that may be in a store buffer yet: a few microseconds in all.
const LOOKS: u32 = 10;
#[cfg(not(pushpull_loom))]
const PAUSE: Duration = Duration::from_nanos(400);

#[cfg(not(pushpull_loom))]
fn pause() {
    crate::sync::spin::spin_for(PAUSE);
}

#[cfg(pushpull_loom)]
fn pause() {
    loom::thread::yield_now();
}

/// Wakers to wake, values and wakers to drop, and what did not fit in here.
#[derive(Debug)]
pub(super) struct After<T> {
    wakes: WakeList,
    woken: bool,
    sleepers: Vec<Seat>,
    watchers: Vec<Seat>,
    /// A waker that is not needed any more.
    pub(super) idle: Option<Waker>,
    pub(super) trash: Trash<T>,
    /// There is more to serve or to drop.
    pub(super) again: bool,
    /// Whom those in line wait for may have come past without seeing them.
    pub(super) loose: bool,
    /// There is more to serve, once this has been allocated.
    pub(super) lack: Option<Lack>,
}

impl<T> Shared<T> {
    pub(super) fn new(state: State<T>, registration: Option<Registration>) -> Self {
        let capacity = state.log.capacity();
        Self {
            edge: Arc::clone(state.log.marks.edge()),
            state: Lock::new(state),
            capacity,
            registration,
        }
    }

    pub(super) const fn capacity(&self) -> usize {
        self.capacity
    }

    pub(super) const fn edge(&self) -> &Arc<Edge> {
        &self.edge
    }

    /// Publishes where that takes nothing but putting the value into the log; else the value comes back.
    #[inline]
    pub(super) fn publish_quickly(&self, value: Value<T>) -> Result<usize, Value<T>> {
        let published = self.state.lock().publish_quickly(value);
        let (count, sleepers, gone) = published?;
        if sleepers.is_empty() {
            drop(gone);
        } else {
            self.wake(sleepers, gone);
        }
        Ok(count)
    }

    #[cold]
    #[inline(never)]
    fn wake(&self, sleepers: Vec<Seat>, gone: Option<Shareable<Run<T>>>) {
        let mut after = After::new(0);
        after.sleepers = sleepers;
        after.trash.put(gone);
        after.finish(self);
    }

    /// Acts under the lock, where nothing can come of it.
    #[inline]
    pub(super) fn quickly<R>(&self, act: impl FnOnce(&mut State<T>) -> R) -> R {
        act(&mut self.state.lock())
    }

    /// Reads under the lock.
    pub(super) fn peek<R>(&self, look: impl FnOnce(&State<T>) -> R) -> R {
        look(&self.state.lock())
    }

    /// Acts under the lock, and does after it what came of that.
    pub(super) fn with<R>(&self, act: impl FnOnce(&mut State<T>, &mut After<T>) -> R) -> R {
        let mut after = After::new(0);
        let done = act(&mut self.state.lock(), &mut after);
        if !after.is_idle() {
            after.finish(self);
        }
        done
    }

    /// The same, as often as something has to be allocated first.
    pub(super) fn try_with<R>(
        &self,
        mut act: impl FnMut(&mut State<T>, &mut After<T>) -> Result<R, Lack>,
    ) -> R {
        loop {
            match self.with(&mut act) {
                Ok(done) => return done,
                Err(lack) => self.supply(lack),
            }
        }
    }

    /// Allocates what was lacking, outside of the lock.
    pub(super) fn supply(&self, lack: Lack) {
        let room = lack.supply();
        let old = self.state.lock().adopt(room);
        drop(old);
    }
}

impl<T: Send + Sync> Source for Shared<T> {
    fn read(&self) -> Reading {
        Reading::Broadcast(self.peek(State::stats))
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        if let Some(registration) = &self.registration {
            registration.finish(Reading::Broadcast(self.peek(State::stats)));
        }
    }
}

impl<T> After<T> {
    fn new(room: usize) -> Self {
        let mut wakes = WakeList::new();
        if room > 0 {
            wakes.reserve(room);
        }
        Self {
            wakes,
            woken: false,
            sleepers: Vec::new(),
            watchers: Vec::new(),
            idle: None,
            trash: Trash::with_room(room),
            again: false,
            loose: false,
            lack: None,
        }
    }

    /// Whether one more publisher can be woken in this round.
    pub(super) fn has_room(&self) -> bool {
        self.wakes.has_room()
    }

    pub(super) fn wake(&mut self, waker: Waker) {
        self.woken = true;
        self.wakes.push(waker);
    }

    pub(super) fn wake_sleepers(&mut self, sleepers: &mut Sleepers) {
        if sleepers.len() > 0 {
            // A second round can only begin after this one's seats were taken away, under the same lock.
            self.sleepers = sleepers.take();
        }
    }

    pub(super) fn wake_watchers(&mut self, watchers: &mut Sleepers) {
        if watchers.len() > 0 {
            self.watchers = watchers.take();
        }
    }

    pub(super) fn drop_value(&mut self, value: Option<Value<T>>) {
        self.trash.put(value.and_then(Value::into_run));
    }

    fn is_idle(&self) -> bool {
        !self.woken
            && self.sleepers.is_empty()
            && self.watchers.is_empty()
            && self.idle.is_none()
            && self.trash.is_empty()
            && !self.again
            && !self.loose
            && self.lack.is_none()
    }

    /// Does everything, also where user code panics; the first panic goes on when all is done.
    fn finish(mut self, shared: &Shared<T>) {
        let mut panic = None;
        let mut looks = 0;
        loop {
            let Self {
                wakes,
                mut sleepers,
                mut watchers,
                idle,
                trash,
                again,
                loose,
                lack,
                ..
            } = self;
            guard(&mut panic, || wakes.wake_all());
            if !sleepers.is_empty() {
                guard(&mut panic, || wake_seats(&mut sleepers));
                let old = shared.state.lock().sleepers.reuse(sleepers);
                drop(old);
            }
            guard(&mut panic, || wake_seats(&mut watchers));
            guard(&mut panic, || drop(idle));
            guard(&mut panic, || trash.empty());
            if let Some(lack) = lack {
                shared.supply(lack);
            } else if loose && looks < LOOKS {
                looks += 1;
                pause();
            } else if !again {
                break;
            }
            self = Self::new(ROUND);
            let mut state = shared.state.lock();
            state.log.trim(&mut self.trash);
            self.again = state.log.is_untidy();
            state.serve(&mut self);
        }
        if let Some(panic) = panic {
            if !std::thread::panicking() {
                resume_unwind(panic);
            }
        }
    }
}

fn guard(panic: &mut Option<Box<dyn Any + Send>>, act: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(act)) {
        panic.get_or_insert(payload);
    }
}
