//! Wakers taken under a lock, woken after it.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::task::Waker;

/// Wakers collected inside a critical section. [`WakeList::wake_all`] belongs outside of it.
///
/// One waker always has room; more have it where [`WakeList::reserve`] was called outside of the lock, so that nothing
/// is allocated inside.
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

    pub(crate) fn has_room(&self) -> bool {
        self.first.is_none() || self.rest.len() < self.rest.capacity()
    }

    pub(crate) fn reserve(&mut self, wakers: usize) {
        self.rest.reserve(wakers);
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
        if self.rest.is_empty() && !std::thread::panicking() {
            first.wake();
        } else {
            all(std::iter::once(first).chain(self.rest), Waker::wake);
        }
    }
}

/// Does `act` to every item even if it panics for some, and lets the first panic go on when all is done. During an
/// unwinding panics are swallowed: a second one would abort the process.
pub(crate) fn all<T>(items: impl IntoIterator<Item = T>, mut act: impl FnMut(T)) {
    let unwinding = std::thread::panicking();
    let mut first = None;
    for item in items {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| act(item))) {
            first.get_or_insert(payload);
        }
    }
    if let Some(payload) = first {
        if !unwinding {
            resume_unwind(payload);
        }
    }
}

/// Takes every step even if one panics, as [`all`] does.
pub(crate) fn in_turn<const N: usize>(steps: [&mut dyn FnMut(); N]) {
    all(steps, |step| step());
}
