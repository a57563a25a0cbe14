//! How values leave the log: moved to the only one that reads them, in runs that many share, or not at all.

use std::mem;
use std::sync::Arc;

use super::{Kind, Log, Read};
use crate::broadcast::value::{Hand, Run, Value, Want};
use crate::sync::planted;

impl<T> Log<T> {
    /// Moves a cursor over up to `limit` values, which go into `hand`, empty till now. The last one to read a value takes
    /// it along.
    ///
    /// # Errors
    ///
    /// What `hand` must have first.
    pub(in crate::broadcast) fn read(
        &mut self,
        kind: Kind,
        cursor: &mut u64,
        limit: usize,
        hand: &mut Hand<T>,
    ) -> Result<Read, Want> {
        if *cursor < self.head {
            return Ok(self.report(kind, cursor));
        }
        let unread = self.there(*cursor);
        let limit = unread.min(limit).min(Run::<T>::ahead());
        if limit == 0 {
            return Ok(Read::Empty);
        }
        let first = (*cursor - self.head) as usize;
        self.at(*cursor)[kind as usize] -= 1;
        let own = if first == 0 { self.unwanted(limit) } else { 0 };
        let taken = if own > 0 {
            self.take_own(own, hand)
        } else {
            self.take(first, limit, hand)
        };
        let count = match taken {
            Ok(count) => count,
            Err(want) => {
                self.at(*cursor)[kind as usize] += 1;
                return Err(want);
            }
        };
        *cursor += count as u64;
        self.at(*cursor)[kind as usize] += 1;
        if first == 0 && own == 0 && !planted("bc_run_keeps") {
            while self.is_untidy() {
                // `hand` has a share in what it has just taken: nothing is destroyed here.
                drop(self.pop());
            }
        }
        self.counted.unread -= count as u64;
        self.counted.delivered += count as u64;
        Ok(Read::Run)
    }

    /// How many of the first values, up to `limit`, may leave the log as they are.
    fn unwanted(&self, limit: usize) -> usize {
        let limit = limit.min(self.slots.len().saturating_sub(self.replay));
        let slots = self.slots.iter().take(limit);
        slots
            .take_while(|slot| slot.at == [0; 3] && slot.value.is_plain())
            .count()
    }

    fn take_own(&mut self, count: usize, hand: &mut Hand<T>) -> Result<usize, Want> {
        if hand.own_room() < count {
            return Err(Want::Own);
        }
        if planted("bc_run_keeps") {
            return self.take(0, count, hand);
        }
        hand.put_own(
            self.slots
                .drain(..count)
                .filter_map(|slot| slot.value.into_plain()),
        );
        self.head += count as u64;
        Ok(count)
    }

    /// Takes a share in values, as many as `hand` is prepared for but at least one.
    pub(super) fn take(
        &mut self,
        first: usize,
        count: usize,
        hand: &mut Hand<T>,
    ) -> Result<usize, Want> {
        let mut taken = 0;
        while taken < count {
            let (at, left) = (first + taken, count - taken);
            let want = if hand.room() == 0 {
                Want::Pieces(left)
            } else if let Some((run, from)) = self.run_at(at) {
                let part = left.min(run.len() - from);
                hand.put_piece(run, from, part);
                taken += part;
                continue;
            } else if hand.spares() == 0 {
                Want::Spares(1)
            } else {
                // Also those behind that are not taken now: somebody will share them.
                let values = self.slots.range_mut(at..).map(|slot| &mut slot.value);
                taken += hand.share(values.take_while(|value| value.is_plain()), left);
                continue;
            };
            return if taken > 0 { Ok(taken) } else { Err(want) };
        }
        Ok(taken)
    }

    /// Whether `hand` is prepared for all of these values.
    pub(super) fn may_take(&self, first: usize, count: usize, hand: &Hand<T>) -> Result<(), Want> {
        if hand.room() < count {
            return Err(Want::Pieces(count));
        }
        let (mut spares, mut plain) = (0, 0);
        for slot in self.slots.range(first..first + count) {
            plain = if slot.value.is_plain() { plain + 1 } else { 0 };
            spares += usize::from(plain > 0 && (plain - 1) % Run::<T>::longest() == 0);
        }
        if hand.spares() < spares {
            return Err(Want::Spares(spares));
        }
        Ok(())
    }

    /// The run in which the value at this place lies, and where in it.
    fn run_at(&self, at: usize) -> Option<(Arc<Run<T>>, usize)> {
        match &self.slots[at].value {
            Value::Plain(_) => None,
            Value::Run(run, from) => Some((Arc::clone(run), *from as usize)),
            Value::Rest(from) => {
                let from = *from as usize;
                match &self.slots[at.saturating_sub(from)].value {
                    Value::Run(run, _) => Some((Arc::clone(run), from)),
                    Value::Plain(_) | Value::Rest(_) => None,
                }
            }
        }
    }

    /// Tells a lagging subscriber what it missed, and lets it go on at the oldest value kept.
    fn report(&mut self, kind: Kind, cursor: &mut u64) -> Read {
        if kind == Kind::Disconnect {
            self.cut -= 1;
            Read::Cut(self.unread(mem::replace(cursor, self.tail())))
        } else {
            let next = if planted("bc_lag_skips") {
                self.tail()
            } else {
                self.head
            };
            Read::Lagged(self.head - mem::replace(cursor, next))
        }
    }
}
