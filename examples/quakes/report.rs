//! The summary: what became of every row, and whether the sums agree.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

/// Counts of events, unless said otherwise.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Summary {
    /// Rows that were read and came to their turn: all of them, unless Ctrl-C came first.
    pub rows: u64,
    /// Rows that are no event.
    pub rejected: u64,
    /// Pushes that the queue refused.
    pub refused: u64,
    pub pushed: u64,
    pub pulled: u64,
    pub dropped: u64,
    /// Handed on in batches.
    pub delivered: u64,
    /// Pulled, but not handed on before the time was up that Ctrl-C allows.
    pub left: u64,
    /// Events whose turn had not come when Ctrl-C came.
    pub not_offered: u64,
    pub interrupted: bool,
    pub batches: u64,
    pub batches_by_reason: BTreeMap<String, u64>,
    pub alerts: u64,
    pub strongest: Option<String>,
    /// Of those delivered, as the next.
    pub by_network: BTreeMap<String, u64>,
    pub without_magnitude: u64,
    pub slow_subscriber_received: u64,
    pub slow_subscriber_missed: u64,
    pub peak_queue: u64,
    pub seconds: f64,
    pub events_per_second: f64,
}

impl Summary {
    /// Every equation that does not hold, spelt out.
    pub(crate) fn violations(&self) -> Vec<String> {
        let equations = [
            (
                "rows",
                self.rows,
                "rejected + pushed + refused",
                &[self.rejected, self.pushed, self.refused][..],
            ),
            (
                "pushed",
                self.pushed,
                "pulled + dropped",
                &[self.pulled, self.dropped],
            ),
            (
                "pulled",
                self.pulled,
                "delivered + left",
                &[self.delivered, self.left],
            ),
            (
                "delivered",
                self.delivered,
                "slow_subscriber_received + slow_subscriber_missed",
                &[self.slow_subscriber_received, self.slow_subscriber_missed],
            ),
            (
                "delivered",
                self.delivered,
                "the sum of by_network",
                &[self.by_network.values().sum()],
            ),
            (
                "batches",
                self.batches,
                "the sum of batches_by_reason",
                &[self.batches_by_reason.values().sum()],
            ),
        ];
        equations
            .into_iter()
            .filter(|(_, whole, _, parts)| *whole != parts.iter().sum::<u64>())
            .map(|(name, whole, sum, parts)| {
                let parts: Vec<_> = parts.iter().map(u64::to_string).collect();
                format!("{name} = {whole}, but {sum} = {}", parts.join(" + "))
            })
            .collect()
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.interrupted {
            writeln!(
                f,
                "interrupted: {} events were still to come",
                self.not_offered
            )?;
        }
        writeln!(f, "rows         {:>8}   {} bad", self.rows, self.rejected)?;
        writeln!(
            f,
            "pushed       {:>8}   {} refused",
            self.pushed, self.refused
        )?;
        writeln!(
            f,
            "pulled       {:>8}   {} dropped",
            self.pulled, self.dropped
        )?;
        writeln!(f, "delivered    {:>8}   {} left", self.delivered, self.left)?;
        writeln!(
            f,
            "batches      {:>8}   {}",
            self.batches,
            Counts(&self.batches_by_reason)
        )?;
        writeln!(
            f,
            "alerts       {:>8}   {}",
            self.alerts,
            self.strongest.as_deref().unwrap_or("-")
        )?;
        writeln!(f, "no magnitude {:>8}", self.without_magnitude)?;
        writeln!(
            f,
            "networks     {:>8}   {}",
            self.by_network.len(),
            Counts(&self.by_network)
        )?;
        writeln!(
            f,
            "slow reader  {:>8}   {} missed",
            self.slow_subscriber_received, self.slow_subscriber_missed
        )?;
        writeln!(f, "peak queue   {:>8}", self.peak_queue)?;
        write!(
            f,
            "events/s     {:>8.0}   in {:.3} s",
            self.events_per_second, self.seconds
        )
    }
}

/// The largest count first.
struct Counts<'a>(&'a BTreeMap<String, u64>);

impl fmt::Display for Counts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut counts: Vec<_> = self.0.iter().collect();
        counts.sort_by_key(|&(name, count)| (std::cmp::Reverse(*count), name));
        for (n, (name, count)) in counts.into_iter().enumerate() {
            let separator = if n == 0 { "" } else { ", " };
            write!(f, "{separator}{name} {count}")?;
        }
        Ok(())
    }
}
