//! The lock around a broadcast, and what has to be done after it is released.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::task::Waker;

use super::log::Trash;
use super::state::{Lack, State};
use super::waiting::{Seat, Sleepers, wake_seats};
use crate::meter::{Reading, Registration, Source};
use crate::sync::{Mutex, lock};
use crate::wake::WakeList;

/// How many publishers are served, and how many values dropped, before the lock is released in between.
const ROUND: usize = 32;

#[derive(Debug)]
pub(super) struct Shared<T> {
    state: Mutex<State<T>>,
    capacity: usize,
    registration: Option<Registration>,
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
    /// There is more to serve, once this has been allocated.
    pub(super) lack: Option<Lack>,
}

impl<T> Shared<T> {
    pub(super) fn new(state: State<T>, registration: Option<Registration>) -> Self {
        let capacity = state.log.capacity();
        Self {
            state: Mutex::new(state),
            capacity,
            registration,
        }
    }

    pub(super) const fn capacity(&self) -> usize {
        self.capacity
    }

    /// Reads under the lock.
    pub(super) fn peek<R>(&self, look: impl FnOnce(&State<T>) -> R) -> R {
        look(&lock(&self.state))
    }

    /// Acts under the lock, and does after it what came of that.
    pub(super) fn with<R>(&self, act: impl FnOnce(&mut State<T>, &mut After<T>) -> R) -> R {
        let mut after = After::new(0);
        let done = act(&mut lock(&self.state), &mut after);
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
        let old = lock(&self.state).adopt(room);
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

    pub(super) fn drop_value(&mut self, value: Option<Arc<T>>) {
        if let Some(value) = value {
            self.trash.put(value);
        }
    }

    fn is_idle(&self) -> bool {
        !self.woken
            && self.sleepers.is_empty()
            && self.watchers.is_empty()
            && self.idle.is_none()
            && self.trash.is_empty()
            && !self.again
            && self.lack.is_none()
    }

    /// Does everything, also where user code panics; the first panic goes on when all is done.
    fn finish(mut self, shared: &Shared<T>) {
        let mut panic = None;
        loop {
            let Self {
                wakes,
                mut sleepers,
                mut watchers,
                idle,
                trash,
                again,
                lack,
                ..
            } = self;
            guard(&mut panic, || wakes.wake_all());
            if !sleepers.is_empty() {
                guard(&mut panic, || wake_seats(&mut sleepers));
                let old = lock(&shared.state).sleepers.reuse(sleepers);
                drop(old);
            }
            guard(&mut panic, || wake_seats(&mut watchers));
            guard(&mut panic, || drop(idle));
            guard(&mut panic, || trash.empty());
            if let Some(lack) = lack {
                shared.supply(lack);
            } else if !again {
                break;
            }
            self = Self::new(ROUND);
            let mut state = lock(&shared.state);
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
