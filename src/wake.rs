//! Wakers taken under a lock, woken after it.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::task::Waker;

/// Wakers collected inside a critical section. [`WakeList::wake_all`] belongs outside of it.
#[derive(Debug, Default)]
#[must_use = "somebody sleeps on these"]
pub(crate) struct WakeList {
    first: Option<Waker>,
    rest: Vec<Waker>,
}

impl WakeList {
    pub(crate) const fn new() -> Self {
        Self {
            first: None,
            rest: Vec::new(),
        }
    }

    pub(crate) fn push(&mut self, waker: Waker) {
        if self.first.is_none() {
            self.first = Some(waker);
        } else {
            self.rest.push(waker);
        }
    }

    /// Wakes all, also where one of them panics; the first panic goes on when the last has been woken.
    #[inline]
    pub(crate) fn wake_all(self) {
        let Some(first) = self.first else { return };
        if self.rest.is_empty() {
            first.wake();
            return;
        }
        let mut panic = None;
        for waker in std::iter::once(first).chain(self.rest) {
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| waker.wake())) {
                panic.get_or_insert(payload);
            }
        }
        if let Some(payload) = panic {
            resume_unwind(payload);
        }
    }
}
