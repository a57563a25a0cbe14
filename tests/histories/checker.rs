//! Finds in a history what no broker may do. Pure: a history and the engine's rules in, anomalies out.
//!
//! A call took place at one moment between its beginning and its end; one whose outcome is unknown took place then, or later,
//! or never. An anomaly is what no choice of these moments explains. Where a choice does, the checker is silent.
//!
//! `calls` pairs beginnings with ends, `log` looks at what was stored, `group` at what each group was given, partition by
//! partition.

mod calls;
mod group;
mod log;
mod partition;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use super::history::Entry;
use calls::Calls;
use log::Log;

/// What an engine promises beyond what every engine does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// Attempts are counted through for as long as the broker is up, also when a partition changes hands.
    pub(crate) attempts: bool,
    /// What was acknowledged behind a gap of the committed offset is remembered when a partition changes hands.
    pub(crate) gaps_survive_moves: bool,
    /// An acknowledgement that no commit followed outlives its assignment.
    pub(crate) acks_survive_moves: bool,
    /// All members see the same committed offset.
    pub(crate) committed_is_shared: bool,
    /// What was committed outlives a kill.
    pub(crate) commits_survive_kills: bool,
    /// For so many microseconds after a trouble what was in work may come late, behind what was not.
    pub(crate) late_after_troubles: u64,
    /// For so many microseconds after a trouble members may lose what they have sooner than they know.
    pub(crate) aftermath: u64,
}

impl Rules {
    /// A broker inside the process.
    pub(crate) const EMBEDDED: Self = Self {
        attempts: true,
        gaps_survive_moves: true,
        acks_survive_moves: true,
        committed_is_shared: true,
        commits_survive_kills: true,
        late_after_troubles: 0,
        aftermath: 0,
    };
}

/// Ways for a broker to be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Acknowledged to its producer, and never delivered to a group that read to the end.
    Lost,
    /// A group that was read until nothing came has something left.
    Stuck,
    /// Delivered to a group again after the group had acknowledged it, and nothing allows that.
    Doubled,
    /// Delivered to a group again before anything called for it.
    Premature,
    /// One push, two places.
    StoredTwice,
    /// Delivered, and never pushed, or the push was refused.
    Unexpected,
    /// Not what was pushed there, or not what others found there.
    Changed,
    /// Offsets against the order of acknowledgement; first deliveries, or an ordered key, against that of offsets.
    Reordered,
    /// `attempt` is not one more than before.
    Miscounted,
    /// Delivered, not acknowledged, and never delivered again.
    NeverRedelivered,
    /// The same, after an acknowledgement that was refused as fenced: it counted all the same.
    FencedCounted,
    /// Refused as fenced under an assignment that was valid later.
    FencedWrongly,
    /// The committed offset went back, and nobody sought or crashed.
    CommittedBack,
    /// The committed offset passed a record that nobody acknowledged.
    CommittedAhead,
    /// Two members' answers counted in one partition at the same time.
    TwoOwners,
}

#[derive(Clone, Debug)]
pub(crate) struct Anomaly {
    pub(crate) kind: Kind,
    pub(crate) what: String,
}

impl fmt::Display for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.what)
    }
}

#[derive(Default)]
struct Anomalies(Vec<Anomaly>);

impl Anomalies {
    fn add(&mut self, kind: Kind, what: String) {
        self.0.push(Anomaly { kind, what });
    }
}

/// Everything that is wrong with a history.
pub(crate) fn check(history: &[Entry], rules: Rules) -> Vec<Anomaly> {
    let mut anomalies = Anomalies::default();
    let calls = Calls::of(history);
    let log = Log::of(&calls, &mut anomalies);
    for group in group::groups(&calls) {
        group.check(&calls, &log, rules, &mut anomalies);
    }
    anomalies.0
}

/// How many of each kind.
pub(crate) fn by_kind(anomalies: &[Anomaly]) -> BTreeMap<Kind, usize> {
    let mut counts = BTreeMap::new();
    for anomaly in anomalies {
        *counts.entry(anomaly.kind).or_default() += 1;
    }
    counts
}
