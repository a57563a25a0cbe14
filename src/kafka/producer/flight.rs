//! Records on their way, and what became of them.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use crate::broker::Error;
use crate::sync::{Mutex, lock};

/// Records on their way that are waited for together.
#[derive(Default)]
pub(super) struct Flight {
    on_the_way: AtomicUsize,
    /// Whoever waits is to be woken when no more than this many are left.
    until: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waker: Option<Waker>,
    failed: VecDeque<Error>,
    /// Where the last one lies.
    place: Option<(u32, u64)>,
}

/// What goes with a record and comes back with its report.
pub(super) struct Lane {
    pub(super) flight: Whose,
    /// The record names its partition.
    pub(super) fixed: bool,
    /// Somebody wants to know where it lies.
    pub(super) places: bool,
}

/// A flight that has more lanes, or only this one: a record that is waited for alone is one allocation less then.
pub(super) enum Whose {
    Shared(Arc<Flight>),
    Own(Flight),
}

impl Deref for Whose {
    type Target = Flight;

    fn deref(&self) -> &Flight {
        match self {
            Self::Shared(flight) => flight,
            Self::Own(flight) => flight,
        }
    }
}

/// A flight's lanes: for records that do not name their partition, and for those that do.
pub(super) struct Lanes {
    pub(super) flight: Arc<Flight>,
    free: Arc<Lane>,
    fixed: Arc<Lane>,
}

impl Lanes {
    pub(super) fn new() -> Self {
        let flight = Arc::new(Flight::default());
        let lane = |fixed| {
            Arc::new(Lane {
                flight: Whose::Shared(Arc::clone(&flight)),
                fixed,
                places: false,
            })
        };
        Self {
            free: lane(false),
            fixed: lane(true),
            flight,
        }
    }

    pub(super) const fn of(&self, fixed: bool) -> &Arc<Lane> {
        if fixed { &self.fixed } else { &self.free }
    }
}

impl Flight {
    pub(super) fn took_off(&self) {
        self.on_the_way.fetch_add(1, Ordering::SeqCst);
    }

    /// It did not take off after all.
    pub(super) fn stayed(&self) {
        self.on_the_way.fetch_sub(1, Ordering::SeqCst);
    }

    pub(super) fn landed(&self, place: Option<(u32, u64)>) {
        if place.is_some() {
            lock(&self.state).place = place;
        }
        self.one_less(false);
    }

    pub(super) fn crashed(&self, error: Error) {
        lock(&self.state).failed.push_back(error);
        self.one_less(true);
    }

    fn one_less(&self, failed: bool) {
        let left = self.on_the_way.fetch_sub(1, Ordering::SeqCst) - 1;
        if failed || left <= self.until.load(Ordering::SeqCst) {
            let waker = lock(&self.state).waker.take();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    pub(super) fn count(&self) -> usize {
        self.on_the_way.load(Ordering::SeqCst)
    }

    pub(super) fn place(&self) -> Option<(u32, u64)> {
        lock(&self.state).place
    }

    /// The oldest failure that nobody was told of.
    pub(super) fn failure(&self) -> Option<Error> {
        lock(&self.state).failed.pop_front()
    }

    pub(super) fn has_failed(&self) -> bool {
        !lock(&self.state).failed.is_empty()
    }

    /// Waits until no more than `but` are on their way.
    pub(super) fn poll_until(&self, cx: &mut Context<'_>, but: usize) -> Poll<()> {
        if self.count() <= but {
            return Poll::Ready(());
        }
        let fresh = cx.waker().clone();
        let old = lock(&self.state).waker.replace(fresh);
        drop(old);
        self.until.store(but, Ordering::SeqCst);
        if self.count() <= but {
            return Poll::Ready(());
        }
        Poll::Pending
    }

    pub(super) async fn until(&self, but: usize) {
        poll_fn(|cx| self.poll_until(cx, but)).await;
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll};

    use futures_test::task::new_count_waker;

    use super::Flight;
    use crate::broker::Error;

    #[test]
    fn a_waiter_is_woken_once_at_its_mark_and_by_failures() {
        let flight = Flight::default();
        let (waker, woken) = new_count_waker();
        let mut cx = Context::from_waker(&waker);
        for _ in 0..4 {
            flight.took_off();
        }
        assert_eq!(flight.poll_until(&mut cx, 1), Poll::Pending);
        flight.landed(None);
        flight.landed(None);
        assert_eq!(woken.get(), 0);
        flight.landed(Some((3, 7)));
        assert_eq!(woken.get(), 1);
        assert_eq!(flight.poll_until(&mut cx, 1), Poll::Ready(()));
        assert_eq!(flight.poll_until(&mut cx, 0), Poll::Pending);
        flight.crashed(Error::Closed { record: None });
        assert_eq!((woken.get(), flight.count()), (2, 0));
        assert!(flight.failure().is_some() && flight.failure().is_none());
        assert_eq!(flight.place(), Some((3, 7)));
    }
}
