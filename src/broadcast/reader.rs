//! What subscribers of all kinds have in common.

use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use super::after::Shared;
use super::log::Kind;
use super::state::Lack;
use super::subscribing::{Cursor, Seen};
use super::value::Run;
use crate::coop;
use crate::sync::{Arc, planted};

/// How many values handed out one by one cost one unit of the cooperative budget.
const TOLL: u8 = 16;

/// A subscriber of any kind: a cursor, and the values between the log and the caller.
pub(super) struct Reader<T> {
    shared: Arc<Shared<T>>,
    cursor: Cursor<T>,
    /// How many values may be handed out before the budget is charged again.
    paid: u8,
    /// How many of them are ready in the hand.
    in_a_row: u8,
    /// Its end has been seen.
    pub(super) done: bool,
}

// Values are moved and never pinned.
impl<T> Unpin for Reader<T> {}

impl<T> Reader<T> {
    pub(super) fn new(shared: &Arc<Shared<T>>, kind: Kind) -> Self {
        let mut cursor = Cursor::new(kind, shared.edge());
        while let Err(lack) = shared.with(|state, after| state.subscribe(&mut cursor, after)) {
            supply(shared, &mut cursor, lack);
        }
        Self {
            shared: Arc::clone(shared),
            cursor,
            paid: 0,
            in_a_row: 0,
            done: false,
        }
    }

    pub(super) fn resubscribe(&self) -> Self {
        Self::new(&self.shared, self.cursor.kind)
    }

    pub(super) const fn shared(&self) -> &Arc<Shared<T>> {
        &self.shared
    }

    /// How many values can be read now.
    pub(super) fn unread(&self) -> usize {
        self.shared.peek(|state| state.unread(&self.cursor))
    }

    pub(super) fn hint(&self) -> (usize, Option<usize>) {
        self.shared.peek(|state| state.hint(&self.cursor))
    }

    /// Whatever comes next. Where values come next, a run of them is in the hand then.
    #[inline]
    pub(super) fn see(&mut self, waker: &mut Option<Waker>) -> Seen {
        self.see_for(self.ahead(), waker)
    }

    /// How many values one that hands them out one by one takes at once. What a lossy one has not handed out may yet be
    /// evicted, and so stays in the log.
    #[inline]
    const fn ahead(&self) -> usize {
        match self.cursor.kind {
            Kind::Lossless => Run::<T>::ahead(),
            Kind::DropOldest | Kind::Disconnect => 1,
        }
    }

    /// The same, for one that will hand out up to `limit` values.
    #[inline]
    pub(super) fn see_for(&mut self, limit: usize, waker: &mut Option<Waker>) -> Seen {
        if !self.cursor.hand.is_empty() {
            return Seen::Run;
        }
        self.look_into_log(limit, waker)
    }

    fn look_into_log(&mut self, limit: usize, waker: &mut Option<Waker>) -> Seen {
        let Self {
            shared,
            cursor,
            done,
            ..
        } = self;
        if *done {
            return Seen::Ended;
        }
        cursor.hand.prepare();
        while waker.is_none() {
            match shared.quickly(|state| state.look_quickly(cursor, limit)) {
                Ok(true) => return Seen::Run,
                Ok(false) => break,
                Err(lack) => supply(shared, cursor, lack),
            }
        }
        loop {
            match shared.with(|state, after| state.look(cursor, limit, waker, after)) {
                Ok(seen) => {
                    *done = seen == Seen::Ended;
                    return seen;
                }
                Err(lack) => supply(shared, cursor, lack),
            }
        }
    }

    /// More values without a gap, if there are any now.
    fn see_on(&mut self, limit: usize) -> bool {
        let Self { shared, cursor, .. } = self;
        cursor.hand.prepare();
        loop {
            match shared.quickly(|state| state.look_on(cursor, limit)) {
                Ok(seen) => return seen,
                Err(lack) => supply(shared, cursor, lack),
            }
        }
    }

    /// Whether a value in the hand may be handed out without a look at the budget, which it is charged to then.
    #[inline]
    pub(super) fn has_paid(&mut self) -> bool {
        let paid = self.paid > 0 && !self.cursor.hand.is_empty();
        self.paid -= u8::from(paid);
        paid
    }

    /// Waits until there is something other than [`Seen::Empty`] to see.
    #[inline]
    pub(super) fn poll_see(&mut self, cx: &mut Context<'_>) -> Poll<Seen> {
        if self.has_paid() {
            return Poll::Ready(Seen::Run);
        }
        self.poll_look(cx, self.ahead())
    }

    /// The same for one that will hand out up to `limit` values.
    pub(super) fn poll_see_for(&mut self, cx: &mut Context<'_>, limit: usize) -> Poll<Seen> {
        self.paid = 0;
        self.poll_look(cx, limit)
    }

    fn poll_look(&mut self, cx: &mut Context<'_>, limit: usize) -> Poll<Seen> {
        if self.paid > 0 {
            self.paid -= 1;
            return self.poll_free(cx, limit);
        }
        let seen = ready!(coop::spend(cx, |cx| self.poll_free(cx, limit)));
        self.paid = TOLL - 1;
        Poll::Ready(seen)
    }

    fn poll_free(&mut self, cx: &mut Context<'_>, limit: usize) -> Poll<Seen> {
        let mut waker = None;
        loop {
            let brought = waker.is_some();
            match self.see_for(limit, &mut waker) {
                Seen::Empty if brought || self.sleeps_with(cx) => return Poll::Pending,
                Seen::Empty => waker = Some(cx.waker().clone()),
                seen => return Poll::Ready(seen),
            }
        }
    }

    /// [`poll_see`](Self::poll_see) as a future, which leaves no seat taken when it is dropped.
    pub(super) const fn look(&mut self) -> Look<'_, T> {
        Look {
            reader: self,
            limit: None,
        }
    }

    /// The same for one that will hand out up to `limit` values.
    pub(super) const fn look_for(&mut self, limit: usize) -> Look<'_, T> {
        Look {
            reader: self,
            limit: Some(limit),
        }
    }

    fn sleeps_with(&self, cx: &Context<'_>) -> bool {
        self.cursor.may_sleep()
            && self
                .shared
                .peek(|state| state.sleeps_with(&self.cursor, cx.waker()))
    }

    /// Tells whoever waits for it that so many values have been handed out.
    #[inline]
    fn handed_out(&mut self, count: usize) {
        if self.cursor.handed_out(count, self.in_a_row > 0) {
            self.let_on();
        }
    }

    #[cold]
    #[inline(never)]
    fn let_on(&self) {
        if planted("bc_handed_silent") {
            return;
        }
        self.shared.with(|state, after| state.serve(after));
    }
}

impl<T: Clone> Reader<T> {
    /// Hands out the first value in the hand.
    #[inline]
    pub(super) fn next(&mut self) -> Option<T> {
        let (value, _done) = self.cursor.hand.take()?;
        let in_a_row = self.cursor.in_a_row().min(usize::from(self.paid));
        self.in_a_row = in_a_row as u8;
        self.handed_out(1);
        Some(value)
    }

    /// The same at little cost, where the value before it was of the same run and is paid for.
    #[inline]
    pub(super) fn next_quickly(&mut self) -> Option<T> {
        if self.in_a_row == 0 {
            return None;
        }
        let value = self.cursor.hand.next()?;
        self.in_a_row -= 1;
        self.paid -= 1;
        if self.cursor.handed_loosely() {
            self.let_on();
        }
        Some(value)
    }

    /// Hands out up to `limit` values: those in the hand, and those that go on from there.
    pub(super) fn hand_out(&mut self, into: &mut Vec<T>, limit: usize) -> usize {
        // What was taken along at the beginning is a run of its own.
        let limit = match self.cursor.aside {
            0 => limit,
            aside => aside.min(limit),
        };
        self.in_a_row = 0;
        // Nobody is told before it is done, so that nothing published for it comes in between.
        let mut handing = Handing {
            reader: self,
            count: 0,
        };
        while handing.count < limit {
            if handing.reader.cursor.hand.is_empty()
                && !handing.reader.see_on(limit - handing.count)
            {
                break;
            }
            let hand = &mut handing.reader.cursor.hand;
            let run = hand.len().min(limit - handing.count);
            into.reserve(run);
            for _ in 0..run {
                let Some((value, _done)) = hand.take() else {
                    break;
                };
                into.push(value);
                handing.count += 1;
            }
        }
        handing.count
    }
}

/// Counts what is handed out, also where a clone panics half-way.
struct Handing<'a, T> {
    reader: &'a mut Reader<T>,
    count: usize,
}

impl<T> Drop for Handing<'_, T> {
    fn drop(&mut self) {
        self.reader.handed_out(self.count);
    }
}

impl<T> Drop for Reader<T> {
    fn drop(&mut self) {
        self.shared
            .with(|state, after| state.unsubscribe(&mut self.cursor, after));
        self.cursor.hand.empty();
    }
}

pub(super) struct Look<'a, T> {
    reader: &'a mut Reader<T>,
    /// For pulls of several values.
    limit: Option<usize>,
}

impl<T> Future for Look<'_, T> {
    type Output = Seen;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Seen> {
        match self.limit {
            Some(limit) => self.reader.poll_see_for(cx, limit),
            None => self.reader.poll_see(cx),
        }
    }
}

impl<T> Drop for Look<'_, T> {
    fn drop(&mut self) {
        let Reader { shared, cursor, .. } = &mut *self.reader;
        if cursor.may_sleep() {
            shared.with(|state, after| state.rise(cursor, after));
        }
    }
}

/// Allocates, outside of the lock, what was lacking.
#[cold]
fn supply<T>(shared: &Shared<T>, cursor: &mut Cursor<T>, lack: Lack) {
    match lack {
        Lack::Hand(want) => cursor.hand.supply(want),
        lack => shared.supply(lack),
    }
}

#[track_caller]
pub(super) const fn check_limit(limit: usize) {
    assert!(limit > 0, "a limit of 0 would read nothing for ever");
}
