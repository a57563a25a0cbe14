//! The forms in which a value lies in the log, and in which a subscriber takes it out of there.
//!
//! A value with a destructor travels in an `Arc` of its own, so that it can be dropped the moment the last one has read
//! it. Values without are stored as they are. The first of several subscribers to read some of those moves them into a
//! run that all share, so that reading one costs no count; who reads them alone gets them moved.

use std::collections::VecDeque;
use std::mem;
// Runs are written before they are shared and never after: nothing here for a model to interleave.
use std::sync::Arc;

use crate::wake;

/// The most values in one run.
const LONGEST: usize = 64;

/// Fewer values than this are not worth to be handed out loosely.
const FEW: usize = 8;

/// How many such runs one subscriber takes at once.
const RUNS: usize = 4;

/// A value in the log, or on its way there.
#[derive(Debug)]
pub(super) enum Value<T> {
    /// Has no destructor, and nobody has read it.
    Plain(T),
    /// Lies in a run, at this offset. The run is kept here.
    Run(Arc<Run<T>>, u32),
    /// Lies in a run, at this offset. The run is kept by the first slot of it that is still in the log.
    Rest(u32),
}

/// Values that subscribers share.
#[derive(Debug)]
pub(super) enum Run<T> {
    One(T),
    Many(Vec<T>),
}

/// A part of a run that one subscriber has yet to hand out.
#[derive(Debug)]
pub(super) struct Piece<T> {
    run: Arc<Run<T>>,
    next: u32,
    end: u32,
}

/// What a subscriber has between the log and its caller. Values move into it under the lock, so that its room is made
/// before.
#[derive(Debug)]
pub(super) struct Hand<T> {
    /// The run that is being handed out. While there is none, there are no `pieces` either, but for what is in `own`.
    now: Option<Piece<T>>,
    /// Values that nobody else reads. They come after `now` and before `pieces`.
    own: VecDeque<T>,
    pieces: VecDeque<Piece<T>>,
    /// Empty runs to move values into.
    spares: Vec<Arc<Run<T>>>,
    leads: Leads,
}

/// Whether one was the first to read something, and so may be again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leads {
    Not,
    /// There was one value only.
    Closely,
    Far,
}

/// What a [`Hand`] lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    /// So much room for pieces.
    Pieces(usize),
    /// Room for values of its own.
    Own,
    /// So many empty runs.
    Spares(usize),
}

impl<T> Value<T> {
    pub(super) fn new(value: T) -> Self {
        if mem::needs_drop::<T>() {
            Self::Run(Arc::new(Run::One(value)), 0)
        } else {
            Self::Plain(value)
        }
    }

    /// The value of one that was never published.
    pub(super) fn into_inner(self) -> Option<T> {
        match self {
            Self::Plain(value) => Some(value),
            Self::Run(run, _) => match Arc::into_inner(run)? {
                Run::One(value) => Some(value),
                Run::Many(_) => None,
            },
            Self::Rest(_) => None,
        }
    }

    /// The value itself, where nobody else has a share in it.
    pub(super) fn into_plain(self) -> Option<T> {
        match self {
            Self::Plain(value) => Some(value),
            Self::Run(..) | Self::Rest(_) => None,
        }
    }

    /// The run that is kept here. Values without destructors are gone with this.
    pub(super) fn into_run(self) -> Option<Arc<Run<T>>> {
        match self {
            Self::Run(run, _) => Some(run),
            Self::Plain(_) | Self::Rest(_) => None,
        }
    }

    pub(super) const fn is_plain(&self) -> bool {
        matches!(self, Self::Plain(_))
    }
}

impl<T> Run<T> {
    /// How many values the longest run holds: fewer where they are large.
    pub(super) const fn longest() -> usize {
        match (LONGEST * 64).checked_div(size_of::<T>()) {
            Some(0) => 1,
            Some(fit) if fit < LONGEST => fit,
            _ => LONGEST,
        }
    }

    /// How many values a subscriber takes at once that will hand them out one by one.
    pub(super) const fn ahead() -> usize {
        if mem::needs_drop::<T>() {
            Self::longest()
        } else {
            Self::longest() * RUNS
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Many(values) => values.len(),
        }
    }

    fn get(&self, at: u32) -> Option<&T> {
        match self {
            Self::Many(values) => values.get(at as usize),
            Self::One(value) => (at == 0).then_some(value),
        }
    }
}

impl<T> Piece<T> {
    const fn len(&self) -> usize {
        (self.end - self.next) as usize
    }
}

impl<T> Hand<T> {
    pub(super) const fn new() -> Self {
        Self {
            now: None,
            own: VecDeque::new(),
            pieces: VecDeque::new(),
            spares: Vec::new(),
            leads: Leads::Not,
        }
    }

    pub(super) fn len(&self) -> usize {
        let pieces = self.now.iter().chain(&self.pieces);
        self.own.len() + pieces.map(Piece::len).sum::<usize>()
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.now.is_none() && self.own.is_empty()
    }

    /// How many values can be handed out by [`next`](Self::next), where they are many.
    #[inline]
    pub(super) fn in_a_row(&self) -> usize {
        let (left, behind) = match &self.now {
            Some(piece) => (piece.len() - 1, self.pieces.len()),
            None => (self.own.len().saturating_sub(1), 0),
        };
        if left + behind < FEW { 0 } else { left }
    }

    /// Drops all, also where a destructor panics.
    pub(super) fn empty(&mut self) {
        debug_assert!(
            self.own.is_empty() || !mem::needs_drop::<T>(),
            "nothing to destroy"
        );
        self.own.clear();
        let pieces = mem::take(&mut self.pieces);
        wake::all(self.now.take().into_iter().chain(pieces), drop);
    }

    /// Room for that many pieces.
    pub(super) fn room(&self) -> usize {
        self.pieces.capacity() - self.pieces.len() + usize::from(self.now.is_none())
    }

    /// Room for that many values of its own.
    pub(super) fn own_room(&self) -> usize {
        self.own.capacity() - self.own.len()
    }

    pub(super) fn spares(&self) -> usize {
        self.spares.len()
    }

    /// Makes ready for another look at the log, what is always needed for it.
    pub(super) fn prepare(&mut self) {
        if self.pieces.capacity() == 0 {
            self.supply(Want::Pieces(if mem::needs_drop::<T>() {
                Run::<T>::longest()
            } else {
                RUNS
            }));
        }
        if self.leads != Leads::Not && self.spares.is_empty() {
            self.supply(Want::Spares(1));
        }
    }

    /// Allocates what was wanted.
    pub(super) fn supply(&mut self, want: Want) {
        match want {
            Want::Pieces(room) => self.pieces.reserve(room),
            Want::Own => self.own.reserve(Run::<T>::longest() * RUNS),
            Want::Spares(spares) => {
                let room = match self.leads {
                    Leads::Closely if spares == 1 => 0,
                    _ => Run::<T>::longest(),
                };
                let spare = || Arc::new(Run::Many(Vec::with_capacity(room)));
                self.spares.resize_with(spares, spare);
            }
        }
    }

    /// Takes values that nobody else will read.
    pub(super) fn put_own(&mut self, values: impl Iterator<Item = T>) {
        self.own.extend(values);
    }

    /// Takes a part of a run.
    pub(super) fn put_piece(&mut self, run: Arc<Run<T>>, from: usize, count: usize) {
        let piece = Piece {
            run,
            next: from as u32,
            end: (from + count) as u32,
        };
        if self.now.is_none() {
            self.now = Some(piece);
        } else {
            self.pieces.push_back(piece);
        }
    }

    /// Moves values into an empty run, takes a share in the first `count` of them, and answers how many these are.
    pub(super) fn share<'a>(
        &mut self,
        slots: impl Iterator<Item = &'a mut Value<T>>,
        count: usize,
    ) -> usize
    where
        T: 'a,
    {
        let Some(mut run) = self.spares.pop() else {
            return 0;
        };
        let Some(room) = Arc::get_mut(&mut run) else {
            return 0;
        };
        let mut slots = slots;
        let mut first = None;
        match room {
            Run::Many(values) if values.capacity() > 0 => {
                for slot in slots.by_ref().take(Run::<T>::longest()) {
                    if let Value::Plain(value) =
                        mem::replace(slot, Value::Rest(values.len() as u32))
                    {
                        values.push(value);
                    }
                    first = first.or(Some(slot));
                }
            }
            room => {
                first = slots.next();
                let value = first
                    .as_mut()
                    .map(|slot| mem::replace(*slot, Value::Rest(0)));
                if let Some(value) = value.and_then(Value::into_plain) {
                    *room = Run::One(value);
                }
            }
        }
        self.leads = match slots.next() {
            None if run.len() == 1 => Leads::Closely,
            _ => Leads::Far,
        };
        let count = run.len().min(count);
        if let Some(first) = first {
            *first = Value::Run(Arc::clone(&run), 0);
        }
        self.put_piece(run, 0, count);
        count
    }
}

/// A value handed out, and the run it was in, if this is done with: to be dropped when all is counted.
pub(super) type Taken<T> = (T, Option<Arc<Run<T>>>);

impl<T: Clone> Hand<T> {
    /// Hands out the first value: moved, if nobody else holds it. Where its clone panics it stays.
    #[inline]
    pub(super) fn take(&mut self) -> Option<Taken<T>> {
        let Some(piece) = &mut self.now else {
            return Some((self.take_own()?, None));
        };
        if Arc::strong_count(&piece.run) == 1 {
            return self.take_last();
        }
        let value = piece.run.get(piece.next)?.clone();
        piece.next += 1;
        if piece.next < piece.end {
            return Some((value, None));
        }
        Some((value, self.turn_over()))
    }

    /// The next of [`in_a_row`](Self::in_a_row) values. None where [`take`](Self::take) has more to do.
    #[inline]
    pub(super) fn next(&mut self) -> Option<T> {
        let Some(piece) = &mut self.now else {
            return self.own.pop_front();
        };
        if Arc::strong_count(&piece.run) == 1 {
            return None;
        }
        let value = piece.run.get(piece.next)?.clone();
        piece.next += 1;
        Some(value)
    }

    #[inline]
    fn take_own(&mut self) -> Option<T> {
        let value = self.own.pop_front();
        if self.own.is_empty() {
            self.now = self.pieces.pop_front();
        }
        value
    }

    /// The first value of a run that nobody else holds any more.
    #[cold]
    fn take_last(&mut self) -> Option<Taken<T>> {
        let piece = self.now.as_mut()?;
        if let Some(Run::Many(values)) = Arc::get_mut(&mut piece.run) {
            values.truncate(piece.end as usize);
            values.drain(..piece.next as usize);
            let behind = mem::replace(&mut self.own, VecDeque::from(mem::take(values)));
            self.own.extend(behind);
            self.now = None;
            return Some((self.take_own()?, None));
        }
        let run = self.turn_over()?;
        match Arc::try_unwrap(run) {
            Ok(Run::One(value)) => Some((value, None)),
            Ok(Run::Many(_)) | Err(_) => None,
        }
    }

    /// The run has been handed out, and the next comes in its place.
    fn turn_over(&mut self) -> Option<Arc<Run<T>>> {
        let next = match self.own.is_empty() {
            true => self.pieces.pop_front(),
            false => None,
        };
        mem::replace(&mut self.now, next).map(|piece| piece.run)
    }
}
