//! What a history came to, in numbers.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use super::checker::{Anomaly, by_kind};
use super::history::{Entry, Op, Outcome, What};
use super::world::number;

pub(crate) struct Summary {
    title: String,
    operations: BTreeMap<&'static str, usize>,
    acknowledged: usize,
    deliveries: usize,
    again: usize,
    fenced: usize,
    unknown: BTreeMap<&'static str, usize>,
    events: BTreeMap<&'static str, usize>,
    anomalies: Vec<Anomaly>,
    entries: usize,
}

impl Summary {
    pub(crate) fn of(title: String, history: &[Entry], anomalies: Vec<Anomaly>) -> Self {
        let mut summary = Self {
            title,
            operations: BTreeMap::new(),
            acknowledged: 0,
            deliveries: 0,
            again: 0,
            fenced: 0,
            unknown: BTreeMap::new(),
            events: BTreeMap::new(),
            anomalies,
            entries: history.len(),
        };
        let mut groups = BTreeMap::new();
        let mut open = BTreeMap::new();
        let mut seen = HashSet::new();
        for entry in history {
            match entry {
                Entry::Invoke {
                    call, process, op, ..
                } => {
                    *summary.operations.entry(op.name()).or_default() += 1;
                    open.insert(*call, (*process, *op));
                    if let Op::Join { group, .. } = op {
                        groups.insert(*process, *group);
                    }
                }
                Entry::Return { call, outcome, .. } => {
                    let (process, op) = open.remove(call).expect("what returns was invoked");
                    match outcome {
                        Outcome::Unknown(_) => *summary.unknown.entry(op.name()).or_default() += 1,
                        Outcome::Fenced => summary.fenced += 1,
                        Outcome::Took(taken) => {
                            let group = groups.get(&process).copied();
                            for it in taken {
                                let first = seen.insert((group, it.at.place, it.at.offset));
                                summary.deliveries += 1;
                                summary.again += usize::from(!first);
                            }
                        }
                        _ => {}
                    }
                    if matches!(op, Op::Push { .. }) && outcome.is_done() {
                        summary.acknowledged += 1;
                    }
                }
                Entry::Event { what, .. } => {
                    let name = match what {
                        What::Restarted => "restarts",
                        What::Killed => "kills",
                        What::Cut => "cuts",
                        What::Healed | What::Lost { .. } | What::Drained { .. } => continue,
                    };
                    *summary.events.entry(name).or_default() += 1;
                }
            }
        }
        for (_, op) in open.values() {
            *summary.unknown.entry(op.name()).or_default() += 1;
        }
        summary
    }

    pub(crate) fn is_clean(&self) -> bool {
        self.anomalies.is_empty()
    }

    pub(crate) fn count(&self, operation: &str) -> usize {
        self.operations.get(operation).copied().unwrap_or(0)
    }

    pub(crate) fn happened(&self, event: &str) -> usize {
        self.events.get(event).copied().unwrap_or(0)
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let looks = self.count("committed");
        let all =
            self.operations.values().sum::<usize>() - looks + self.events.values().sum::<usize>();
        writeln!(
            f,
            "{}: {all} operations, {} entries",
            self.title, self.entries
        )?;
        writeln!(f, "  operations: {}", list(&self.operations))?;
        writeln!(f, "  happened: {}", list(&self.events))?;
        writeln!(f, "  outcome unknown: {}", list(&self.unknown))?;
        writeln!(
            f,
            "  pushes acknowledged: {}, deliveries: {}, of them again: {}, answers fenced: {}",
            self.acknowledged, self.deliveries, self.again, self.fenced
        )?;
        let kinds = by_kind(&self.anomalies);
        let kinds: Vec<_> = kinds
            .iter()
            .map(|(kind, count)| format!("{kind:?} {count}"))
            .collect();
        write!(
            f,
            "  anomalies: {} {}",
            self.anomalies.len(),
            kinds.join(", ")
        )?;
        for anomaly in self
            .anomalies
            .iter()
            .take(number("PUSHPULL_SHOWN").unwrap_or(20) as usize)
        {
            write!(f, "\n    {anomaly}")?;
        }
        Ok(())
    }
}

fn list(counts: &BTreeMap<&'static str, usize>) -> String {
    if counts.is_empty() {
        return "none".into();
    }
    let each: Vec<_> = counts
        .iter()
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    each.join(", ")
}
