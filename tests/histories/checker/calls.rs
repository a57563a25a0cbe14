//! Beginnings and ends of calls, paired.

use std::collections::HashMap;

use crate::history::{Entry, Op, Outcome, What};

/// Later than everything.
pub(super) const NEVER: usize = usize::MAX;

#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) process: u64,
    pub(super) op: Op,
    /// Where in the history it begins and ends.
    pub(super) from: usize,
    pub(super) to: usize,
    /// When, in microseconds.
    pub(super) began: u64,
    pub(super) ended: u64,
    pub(super) outcome: Outcome,
}

impl Call {
    pub(super) fn is_done(&self) -> bool {
        self.outcome.is_done()
    }

    pub(super) fn is_refused(&self) -> bool {
        self.outcome.is_refused()
    }
}

pub(super) struct Calls {
    /// In the order of their beginnings.
    pub(super) all: Vec<Call>,
    /// What no process did, and where in the history.
    pub(super) events: Vec<(usize, What)>,
    /// From when on and until when something was restarted, dead or cut off, in microseconds.
    pub(super) troubles: Vec<(u64, u64)>,
}

impl Calls {
    pub(super) fn of(history: &[Entry]) -> Self {
        let mut calls = Self {
            all: Vec::new(),
            events: Vec::new(),
            troubles: Vec::new(),
        };
        let mut open = HashMap::new();
        for (index, entry) in history.iter().enumerate() {
            match entry {
                Entry::Invoke {
                    call,
                    process,
                    at,
                    op,
                } => {
                    open.insert(*call, calls.all.len());
                    calls.all.push(Call {
                        process: *process,
                        op: *op,
                        from: index,
                        to: NEVER,
                        began: *at,
                        ended: u64::MAX,
                        outcome: Outcome::Unknown("it never returned".into()),
                    });
                }
                Entry::Return { call, at, outcome } => {
                    let known = open.remove(call).expect("what returns was invoked");
                    let call = &mut calls.all[known];
                    call.outcome = outcome.clone();
                    // What may have happened may happen later.
                    if !matches!(outcome, Outcome::Unknown(_)) {
                        call.to = index;
                        call.ended = *at;
                    }
                }
                Entry::Event { at, what } => {
                    match what {
                        What::Restarted | What::Killed | What::Cut => {
                            calls.troubles.push((*at, *at))
                        }
                        What::Healed => calls.healed(*at),
                        What::Lost { .. } | What::Drained { .. } => {}
                    }
                    calls.events.push((index, what.clone()));
                }
            }
        }
        calls
    }

    /// The last trouble lasted until now.
    fn healed(&mut self, at: u64) {
        if let Some(last) = self.troubles.last_mut() {
            last.1 = at;
        }
    }
}
