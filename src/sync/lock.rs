//! A lock for critical sections of some nanoseconds, released by a plain store.
//!
//! Taking it costs one read-modify-write, giving it back none: half of what a lock with a list of sleepers costs, which
//! has to look for them on the way out. What it asks for in return is that nothing long happens inside: no allocation, no
//! foreign code, no system call.
//!
//! Who finds it held stays away for a good while before it looks again. Two cores that ask every few nanoseconds drag
//! the line to and fro for each operation; if the loser stays away, the holder does dozens of operations at the speed of
//! its own cache, and then the other does. One that is kept waiting beyond that is most likely waiting for a thread
//! that does not run: it lends it its core, and at last sleeps, so that no priorities can keep the holder from going on.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::Ordering;

use super::{AtomicBool, UnsafeCell};

/// The flag comes first, so that it shares a line with the front of a value, however long that is.
#[repr(C)]
pub(crate) struct Lock<T> {
    held: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: the value is reached by one thread at a time, which may be any: hence `T: Send`, and nothing more.
unsafe impl<T: Send> Send for Lock<T> {}
// SAFETY: as above; a shared reference to the lock gives a reference to the value to its one holder only.
unsafe impl<T: Send> Sync for Lock<T> {}

/// The right to the value. Dropped, it gives the lock back.
#[must_use = "the lock is given back at once"]
pub(crate) struct Guard<'a, T> {
    lock: &'a Lock<T>,
    /// A guard may be shared between threads only where `&mut T` may.
    _borrow: PhantomData<&'a mut T>,
}

impl<T> Lock<T> {
    #[cfg(not(pushpull_loom))]
    pub(crate) const fn new(value: T) -> Self {
        Self {
            held: AtomicBool::new(false),
            value: UnsafeCell::new(value),
        }
    }

    #[cfg(pushpull_loom)]
    pub(crate) fn new(value: T) -> Self {
        Self {
            held: AtomicBool::new(false),
            value: UnsafeCell::new(value),
        }
    }

    #[inline]
    pub(crate) fn lock(&self) -> Guard<'_, T> {
        match self.try_lock() {
            Some(guard) => guard,
            None => self.contend(),
        }
    }

    #[inline]
    fn try_lock(&self) -> Option<Guard<'_, T>> {
        // Acquire: what the holder before wrote, up to its release, is seen.
        #[cfg(not(pushpull_loom))]
        let held = self.held.swap(true, Ordering::Acquire);
        // loom does not order a plain store behind a swap that came before it and brought nothing.
        #[cfg(pushpull_loom)]
        let held = self
            .held
            .compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed)
            .is_err();
        if held {
            return None;
        }
        Some(Guard {
            lock: self,
            _borrow: PhantomData,
        })
    }

    /// The value, where nobody else can hold the lock.
    pub(crate) fn get_mut(&mut self) -> &mut T {
        #[cfg(not(pushpull_loom))]
        let value = self.value.get_mut();
        #[cfg(pushpull_loom)]
        // SAFETY: `&mut self` is the only reference there is.
        let value = self.value.with_mut(|value| unsafe { &mut *value });
        value
    }

    #[cold]
    #[inline(never)]
    fn contend(&self) -> Guard<'_, T> {
        let mut backoff = backoff::Backoff::new();
        loop {
            backoff.wait();
            // A look first leaves the line with the holder.
            if !self.held.load(Ordering::Relaxed) {
                if let Some(guard) = self.try_lock() {
                    return guard;
                }
            }
        }
    }
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        #[cfg(not(pushpull_loom))]
        let value = self.lock.value.get();
        #[cfg(pushpull_loom)]
        let value = self.lock.value.with(|value| value);
        // SAFETY: this guard holds the lock, so no other reference to the value lives but those borrowed from it.
        unsafe { &*value }
    }
}

impl<T> DerefMut for Guard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        #[cfg(not(pushpull_loom))]
        let value = self.lock.value.get();
        #[cfg(pushpull_loom)]
        let value = self.lock.value.with_mut(|value| value);
        // SAFETY: this guard holds the lock and is borrowed exclusively, so this is the only reference to the value.
        unsafe { &mut *value }
    }
}

impl<T> Drop for Guard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // Release: whoever takes the lock next sees what was written. Only the holder stores here, so no
        // read-modify-write is needed.
        self.lock.held.store(false, Ordering::Release);
    }
}

impl<T> fmt::Debug for Lock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lock").finish_non_exhaustive()
    }
}

#[cfg(not(pushpull_loom))]
mod backoff {
    use std::thread;
    use std::time::Duration;

    use crate::sync::spin::spin_for;

    const FIRST: Duration = Duration::from_nanos(400);
    const LONGEST: Duration = Duration::from_micros(12);
    const YIELDS: u32 = 8;
    const SLEEP: Duration = Duration::from_micros(50);

    pub(super) struct Backoff {
        wait: Duration,
        yields: u32,
    }

    impl Backoff {
        pub(super) const fn new() -> Self {
            Self {
                wait: FIRST,
                yields: 0,
            }
        }

        pub(super) fn wait(&mut self) {
            if self.wait < LONGEST {
                spin_for(self.wait);
                self.wait *= 2;
            } else if self.yields < YIELDS {
                self.yields += 1;
                thread::yield_now();
            } else {
                thread::sleep(SLEEP);
            }
        }
    }
}

#[cfg(pushpull_loom)]
mod backoff {
    pub(super) struct Backoff;

    impl Backoff {
        pub(super) const fn new() -> Self {
            Self
        }

        pub(super) fn wait(&mut self) {
            loom::thread::yield_now();
        }
    }
}

#[cfg(all(test, not(pushpull_loom)))]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use super::Lock;

    const ROUNDS: usize = if cfg!(miri) { 50 } else { 20_000 };

    #[test]
    fn one_at_a_time() {
        let lock = Arc::new(Lock::new((0_usize, 0_usize)));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let lock = lock.clone();
                thread::spawn(move || {
                    for _ in 0..ROUNDS {
                        let mut pair = lock.lock();
                        pair.0 += 1;
                        assert_eq!(pair.0, pair.1 + 1, "somebody was in between");
                        pair.1 += 1;
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().expect("nobody was in between");
        }
        assert_eq!(*lock.lock(), (4 * ROUNDS, 4 * ROUNDS));
    }

    #[test]
    fn given_back_in_a_panic() {
        let lock = Lock::new(1);
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _held = lock.lock();
            panic!("with the lock in hand");
        }));
        assert!(panicked.is_err());
        assert_eq!(*lock.lock(), 1);
    }

    /// The holder sleeps: those who wait go through all steps of the back-off, to the sleep at its end.
    #[test]
    fn outlasts_a_holder_that_does_not_run() {
        let lock = Arc::new(Lock::new(0));
        let held = lock.lock();
        let waiter = {
            let lock = lock.clone();
            thread::spawn(move || *lock.lock() += 1)
        };
        for _ in 0..if cfg!(miri) { 10 } else { 2_000 } {
            thread::yield_now();
        }
        drop(held);
        waiter.join().expect("it had its turn");
        assert_eq!(*lock.lock(), 1);
    }
}

#[cfg(all(test, pushpull_loom))]
mod model {
    use loom::sync::Arc;
    use loom::thread;

    use super::Lock;

    /// Three threads try twice each. loom notes each access to the value, and finds two at once, or one that is not
    /// ordered behind the one before. (Waiting is left out: a model would have to see an end of it.)
    #[test]
    fn one_at_a_time() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            let lock = Arc::new(Lock::new(0));
            let threads: Vec<_> = (0..2)
                .map(|_| {
                    let lock = lock.clone();
                    thread::spawn(move || twice(&lock))
                })
                .collect();
            let own = twice(&lock);
            let others: i32 = threads
                .into_iter()
                .map(|thread| thread.join().expect("one at a time"))
                .sum();
            assert_eq!(*lock.lock(), own + others);
        });
    }

    /// How often the lock was free.
    fn twice(lock: &Lock<i32>) -> i32 {
        let mut taken = 0;
        for _ in 0..2 {
            if let Some(mut value) = lock.try_lock() {
                *value += 1;
                taken += 1;
            }
        }
        taken
    }
}
