//! What a seat keeps of one partition: what arrived and is not done with.
//!
//! The group counts records densely, by arrival: an *index*. Here are the engine's offsets to them.

use std::collections::{BTreeMap, VecDeque};
use std::time::SystemTime;

use crate::broker::Record;

use super::Arrival;
use super::seen::Seen;

pub(super) struct Window<T> {
    /// Of the arrivals, and the generation of the deliveries.
    pub(super) epoch: u64,
    /// The index of the first record here: the first unacknowledged one.
    pub(super) first: u64,
    pub(super) records: VecDeque<Held<T>>,
    /// Arrivals whose offset is below one that came before, with their index.
    strays: BTreeMap<u64, u64>,
    seen: Seen,
    /// The first offset behind everything that is done with and no longer here.
    low: u64,
    /// As the group has it, in the engine's offsets.
    pub(super) committed: Option<u64>,
    /// The committed offset moved since the engine took its answers.
    pub(super) moved: bool,
    /// Committed under this epoch: it only grows.
    grown: Option<u64>,
    /// The first index that is not on the way to the consumer yet.
    ahead_from: u64,
    /// Of the records from there on.
    pub(super) ahead_bytes: usize,
    /// The engine found little room, and is told when there is more.
    pub(super) short: bool,
}

pub(super) struct Held<T> {
    pub(super) offset: u64,
    /// The highest offset up to and including this one.
    high: u64,
    pub(super) record: Record,
    pub(super) time: SystemTime,
    /// `None` once it was answered.
    pub(super) ticket: Option<T>,
}

/// What an arrival is.
pub(super) enum Known<T> {
    /// New. It is in the window now.
    Not,
    /// It is in the window, or was done with before: nothing changed but the ticket. The record, to be dropped.
    Renewed(Record),
    /// It is done with: the engine has to hear so once more.
    Done(u64, T, Record),
}

impl<T> Window<T> {
    /// Reading begins at this offset, where the group's index is `first`.
    pub(super) fn new(epoch: u64, first: u64, begin: u64, committed: Option<u64>) -> Self {
        Self {
            epoch,
            first,
            records: VecDeque::new(),
            strays: BTreeMap::new(),
            seen: Seen::new(begin),
            low: begin,
            committed,
            moved: false,
            grown: None,
            ahead_from: first,
            ahead_bytes: 0,
            short: false,
        }
    }

    /// The index of the next arrival.
    pub(super) fn end(&self) -> u64 {
        self.first + self.records.len() as u64
    }

    pub(super) fn ahead(&self) -> usize {
        usize::try_from(self.end() - self.ahead_from).unwrap_or(usize::MAX)
    }

    pub(super) fn get(&self, index: u64) -> Option<&Held<T>> {
        let index = usize::try_from(index.checked_sub(self.first)?).ok()?;
        self.records.get(index)
    }

    pub(super) fn get_mut(&mut self, index: u64) -> Option<&mut Held<T>> {
        let index = usize::try_from(index.checked_sub(self.first)?).ok()?;
        self.records.get_mut(index)
    }

    /// Takes an arrival.
    pub(super) fn push(&mut self, arrival: Arrival<T>) -> Known<T> {
        let Arrival {
            offset,
            record,
            time,
            follows,
            ticket,
            attempts_before: _,
        } = arrival;
        let high = match self.records.back() {
            Some(last) => last.high,
            // One below where reading began; where that is 0, there is nothing below.
            None => self.low.wrapping_sub(1),
        };
        let beyond = self.records.is_empty() && self.low == 0 || offset > high;
        if beyond {
            self.seen.extend(offset, follows);
        } else {
            if let Some(index) = self.find(offset) {
                return match self.get_mut(index).map(|held| &mut held.ticket) {
                    Some(Some(old)) => {
                        *old = ticket;
                        Known::Renewed(record)
                    }
                    _ => Known::Done(offset, ticket, record),
                };
            }
            if self.seen.insert(offset) {
                return Known::Done(offset, ticket, record);
            }
            self.strays.insert(offset, self.end());
        }
        self.ahead_bytes += record.size();
        self.records.push_back(Held {
            offset,
            high: if beyond { offset } else { high },
            record,
            time,
            ticket: Some(ticket),
        });
        Known::Not
    }

    /// The index of an offset that is here.
    pub(super) fn find(&self, offset: u64) -> Option<u64> {
        let front = self.records.front()?;
        // Most often there are neither gaps nor strays.
        let near = offset
            .checked_sub(front.offset)
            .and_then(|far| usize::try_from(far).ok());
        if let Some(near) = near {
            if self.records.get(near).is_some_and(|it| it.offset == offset) {
                return Some(self.first + near as u64);
            }
        }
        let index = self.records.partition_point(|held| held.high < offset);
        match self.records.get(index) {
            Some(held) if held.offset == offset => Some(self.first + index as u64),
            _ => self.strays.get(&offset).copied(),
        }
    }

    /// What is here at this offset and before it: the index behind what came in order, and the strays that came later.
    pub(super) fn until(&self, offset: u64) -> (u64, Vec<u64>) {
        let mut in_order = self.records.partition_point(|held| held.high < offset);
        let exact = self.records.get(in_order);
        if exact.is_some_and(|held| held.offset == offset) {
            in_order += 1;
        } else {
            let stray = |held: &Held<T>| held.offset != held.high;
            while in_order > 0 && stray(&self.records[in_order - 1]) {
                in_order -= 1;
            }
        }
        let end = self.first + in_order as u64;
        let strays = self.strays.range(..=offset).map(|(_, &index)| index);
        (end, strays.filter(|&index| index >= end).collect())
    }

    /// The offset that an index stands for: behind the record before it.
    pub(super) fn offset_at(&self, index: u64) -> u64 {
        let before = index.checked_sub(1).and_then(|before| self.get(before));
        before.map_or(self.low, |held| held.high + 1)
    }

    /// The first offset that is not done with.
    pub(super) fn low(&self) -> u64 {
        let stray = self.strays.first_key_value();
        stray.map_or(self.low, |(&offset, _)| offset.min(self.low))
    }

    /// Whether an offset that is not here lies before what is.
    pub(super) fn has_passed(&self, offset: u64) -> bool {
        offset < self.low
    }

    /// Everything before this index is committed. What is no longer needed goes to `out`. Whether the committed offset moved.
    pub(super) fn commit(&mut self, index: u64, out: &mut impl Extend<Held<T>>) -> bool {
        let gone = usize::try_from(index.saturating_sub(self.first)).unwrap_or(usize::MAX);
        let gone = gone.min(self.records.len());
        if let Some(last) = gone.checked_sub(1).and_then(|it| self.records.get(it)) {
            self.low = last.high + 1;
            self.first += gone as u64;
            if !self.strays.is_empty() {
                let first = self.first;
                self.strays.retain(|_, index| *index >= first);
            }
            match gone {
                1 => out.extend(self.records.pop_front()),
                _ => out.extend(self.records.drain(..gone)),
            }
        }
        // A stray that came after what is beyond it was committed does not take that back.
        let committed = self.low().max(self.grown.unwrap_or(0));
        self.grown = Some(committed);
        if self.committed == Some(committed) {
            return false;
        }
        self.committed = Some(committed);
        true
    }

    /// Everything before this index has been looked at by the group.
    pub(super) fn look(&mut self, index: u64) {
        let (from, to) = (self.ahead_from.max(self.first), index.max(self.ahead_from));
        self.ahead_from = to;
        if to == self.end() {
            self.ahead_bytes = 0;
            return;
        }
        for index in from..to {
            let size = self.get(index).map_or(0, |held| held.record.size());
            self.ahead_bytes = self.ahead_bytes.saturating_sub(size);
        }
    }
}
