//! The rules of a batch, as plainly as they can be said. Times are milliseconds.

use std::collections::VecDeque;

use pushpull::batch::FlushReason;

use super::{Item, Rules};

#[derive(Debug)]
pub(crate) struct Reference {
    rules: Rules,
    pub(crate) open: Vec<Item>,
    /// Arrivals of the first and the last item.
    times: Option<(u64, u64)>,
    /// What is taken from the input but not in the batch, and when it came.
    pub(crate) staged: VecDeque<(Item, u64)>,
    /// Why the time of the batch was over when somebody looked.
    pub(crate) lapsed: Option<FlushReason>,
}

/// Ids of the items, reason, age.
pub(crate) type Emitted = (Vec<u32>, FlushReason, u64);

impl Reference {
    pub(crate) fn new(rules: Rules) -> Self {
        Self {
            rules,
            open: vec![],
            times: None,
            staged: VecDeque::new(),
            lapsed: None,
        }
    }

    /// Moves one staged item into the batch. The answer is why the batch closes, if it does.
    pub(crate) fn take_staged(&mut self) -> Option<FlushReason> {
        let (item, at) = *self.staged.front()?;
        let weight: usize = self.open.iter().map(|item| item.weight).sum();
        let limit = self.rules.weight.unwrap_or(usize::MAX);
        if !self.open.is_empty() && weight + item.weight > limit {
            return Some(FlushReason::Weight);
        }
        self.staged.pop_front();
        self.open.push(item);
        self.times = Some((self.times.map_or(at, |(first, _)| first), at));
        if self.open.len() == self.rules.max {
            Some(FlushReason::Size)
        } else if weight + item.weight >= limit {
            Some(FlushReason::Weight)
        } else if self.rules.until && item.last {
            Some(FlushReason::Predicate)
        } else {
            None
        }
    }

    /// When the clock closes the batch, and why.
    pub(crate) fn due(&self) -> Option<(u64, FlushReason)> {
        let (first, last) = self.times?;
        let after =
            |from: u64, wait: Option<u64>| wait.filter(|w| *w != u64::MAX).map(|w| from + w);
        let age = after(first, self.rules.within).map(|at| (at, FlushReason::Age));
        let idle = after(last, self.rules.idle).map(|at| (at, FlushReason::Idle));
        // The earlier one; age where they tie.
        [age, idle].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// Looks at the clock. What is over stays over.
    pub(crate) fn look(&mut self, now: u64) {
        if self.lapsed.is_none() {
            self.lapsed = self
                .due()
                .filter(|(at, _)| *at <= now)
                .map(|(_, reason)| reason);
        }
    }

    pub(crate) fn emit(&mut self, reason: FlushReason, now: u64) -> Emitted {
        let age = self.times.take().map_or(0, |(first, _)| now - first);
        self.lapsed = None;
        (
            self.open.drain(..).map(|item| item.id).collect(),
            reason,
            age,
        )
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty() && self.staged.is_empty()
    }

    pub(crate) fn held(&self) -> Vec<u32> {
        let staged = self.staged.iter().map(|(item, _)| item.id);
        self.open.iter().map(|item| item.id).chain(staged).collect()
    }
}
