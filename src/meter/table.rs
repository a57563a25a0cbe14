//! Snapshots and rates as tables for people.

use std::fmt;
use std::time::Duration;

use crate::batch::BatchStats;

use super::{BatchEntry, BroadcastEntry, EngineEntry, OperatorEntry, QueueEntry, Rates, Snapshot};

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = Tables { f, any: false };
        out.table(
            "queue len capacity peak weight pushed pulled dropped refused cancelled push-waits pull-waits",
            self.queues.iter().map(queue),
        )?;
        out.table(
            "drops newest oldest abandoned",
            self.queues
                .iter()
                .filter(|entry| entry.dropped > 0)
                .map(|entry| {
                    let drops = [entry.dropped_newest, entry.dropped_oldest, entry.abandoned];
                    row(&entry.name, false, drops)
                }),
        )?;
        out.table(
            "time-in-queue samples min/ms p50/ms p90/ms p99/ms max/ms",
            self.queues.iter().filter_map(|entry| {
                let times = entry.time_in_queue?;
                let mut row = row(&entry.name, false, [times.count]);
                row.extend(
                    [times.min, times.p50, times.p90, times.p99, times.max].map(milliseconds),
                );
                Some(row)
            }),
        )?;
        let mut header = "batch batches items items/batch shortest longest".to_owned();
        for (reason, _) in BatchStats::default().reasons() {
            header.push(' ');
            header.push_str(reason.as_str());
        }
        out.table(&header, self.batches.iter().map(batch))?;
        out.table(
            "broadcast len capacity peak subscribers published delivered missed abandoned unread disconnected pub-waits sub-waits",
            self.broadcasts.iter().map(broadcast),
        )?;
        out.table(
            "operator items items/s waits errors age/s state",
            self.operators.iter().map(operator),
        )?;
        out.table(
            "engine pushed delivered waiting connections errors retries round-trip/ms lag",
            self.engines.iter().map(engine),
        )?;
        if self.forgotten > 0 {
            writeln!(out.f, "{} gone unread", self.forgotten)?;
            out.any = true;
        }
        if out.any {
            Ok(())
        } else {
            writeln!(out.f, "nothing has a name")
        }
    }
}

impl fmt::Display for Rates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = Tables { f, any: false };
        writeln!(out.f, "over {:.3} s", self.elapsed.as_secs_f64())?;
        out.table(
            "queue pushed/s pulled/s dropped/s refused/s",
            self.queues.iter().map(|rates| {
                let rates_of = [rates.pushed, rates.pulled, rates.dropped, rates.refused];
                row(&rates.name, false, rates_of.map(rate))
            }),
        )?;
        out.table(
            "batch batches/s items/s",
            self.batches
                .iter()
                .map(|rates| row(&rates.name, false, [rates.batches, rates.items].map(rate))),
        )?;
        out.table(
            "broadcast published/s delivered/s missed/s",
            self.broadcasts.iter().map(|rates| {
                let rates_of = [rates.published, rates.delivered, rates.missed];
                row(&rates.name, false, rates_of.map(rate))
            }),
        )?;
        out.table(
            "operator items/s waits/s",
            self.operators
                .iter()
                .map(|rates| row(&rates.name, false, [rates.items, rates.waits].map(rate))),
        )
    }
}

fn queue(entry: &QueueEntry) -> Vec<String> {
    let mut row = row(&entry.name, entry.gone, [entry.len]);
    row.push(bound(entry.capacity));
    row.extend([entry.peak_len, entry.weight].map(|n| n.to_string()));
    let counters = [
        entry.pushed,
        entry.pulled,
        entry.dropped,
        entry.refused,
        entry.cancelled,
        entry.producer_waits,
        entry.consumer_waits,
    ];
    row.extend(counters.map(|n| n.to_string()));
    row
}

fn batch(entry: &BatchEntry) -> Vec<String> {
    let mut row = row(&entry.name, entry.gone, [entry.batches, entry.items]);
    row.push(rate(entry.mean_len()));
    row.extend([entry.shortest, entry.longest].map(|n| n.to_string()));
    row.extend(entry.reasons().map(|(_, batches)| batches.to_string()));
    row
}

fn broadcast(entry: &BroadcastEntry) -> Vec<String> {
    let mut row = row(&entry.name, entry.gone, [entry.len]);
    row.push(bound(entry.capacity));
    row.extend([entry.peak_len, entry.subscribers].map(|n| n.to_string()));
    let counters = [
        entry.published,
        entry.delivered,
        entry.missed,
        entry.abandoned,
        entry.unread,
        entry.disconnected,
        entry.publisher_waits,
        entry.subscriber_waits,
    ];
    row.extend(counters.map(|n| n.to_string()));
    row
}

fn operator(entry: &OperatorEntry) -> Vec<String> {
    let mut row = row(&entry.name, entry.gone, [entry.items]);
    row.push(rate(entry.per_second()));
    row.extend([entry.waits, entry.errors].map(|n| n.to_string()));
    row.push(format!("{:.3}", entry.age.as_secs_f64()));
    let state = match (entry.ended, entry.waiting) {
        (true, _) => "ended",
        (false, true) => "waiting",
        (false, false) => "ready",
    };
    row.push(state.to_owned());
    row
}

fn engine(entry: &EngineEntry) -> Vec<String> {
    let counters = [
        entry.pushed,
        entry.delivered,
        entry.waiting,
        entry.connections,
        entry.errors,
        entry.retries,
    ];
    let mut row = row(&entry.name, entry.gone, counters);
    let unknown = || "?".to_owned();
    row.push(entry.round_trip.map_or_else(unknown, milliseconds));
    row.push(entry.lag.map_or_else(unknown, |lag| lag.to_string()));
    row
}

/// A name and what stands beside it. What a user wrote in a name must not break the table.
fn row<const N: usize>(name: &str, gone: bool, cells: [impl ToString; N]) -> Vec<String> {
    let mut shown: String = name
        .chars()
        .map(|c| {
            if c.is_control() {
                char::REPLACEMENT_CHARACTER
            } else {
                c
            }
        })
        .collect();
    if gone {
        shown.push_str(" (gone)");
    }
    let mut row = vec![shown];
    row.extend(cells.iter().map(ToString::to_string));
    row
}

fn bound(capacity: usize) -> String {
    if capacity == usize::MAX {
        "none".to_owned()
    } else {
        capacity.to_string()
    }
}

fn rate(per_second: f64) -> String {
    format!("{per_second:.1}")
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.3}", duration.as_secs_f64() * 1e3)
}

struct Tables<'a, 'b> {
    f: &'a mut fmt::Formatter<'b>,
    any: bool,
}

impl Tables<'_, '_> {
    /// One table: names to the left, figures to the right, an empty line between two; nothing where there is no row.
    fn table(&mut self, header: &str, rows: impl Iterator<Item = Vec<String>>) -> fmt::Result {
        let header: Vec<String> = header.split(' ').map(str::to_owned).collect();
        let columns = header.len();
        let mut table = vec![header];
        table.extend(rows);
        if table.len() == 1 {
            return Ok(());
        }
        if self.any {
            writeln!(self.f)?;
        }
        self.any = true;
        let widths: Vec<usize> = (0..columns)
            .map(|at| {
                table
                    .iter()
                    .map(|row| row[at].chars().count())
                    .max()
                    .unwrap_or(0)
            })
            .collect();
        for row in &table {
            write!(self.f, "{:<1$}", row[0], widths[0])?;
            for (cell, width) in row.iter().zip(&widths).skip(1) {
                write!(self.f, "  {cell:>width$}")?;
            }
            writeln!(self.f)?;
        }
        Ok(())
    }
}
