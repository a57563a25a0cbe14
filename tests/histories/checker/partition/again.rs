//! What may be delivered again, and what must be.

use super::{Ack, Anomalies, Delivery, Kind, Partition, Record, What};

impl Partition<'_> {
    pub(super) fn delivered_again(&self, delivery: &Delivery, anomalies: &mut Anomalies) {
        let offset = delivery.at.offset;
        let Some(record) = self.records.get(&offset) else {
            return;
        };
        let Some(last) = &record.last else { return };
        let sure = record
            .acks
            .iter()
            .filter(|ack| ack.sure && ack.to < delivery.from);
        if let Some(ack) = sure.max_by_key(|ack| ack.from) {
            if !self.forgotten(offset, ack, delivery) {
                let what = format!(
                    "{}@{offset} (value {}) came to process {} at entry {}, acknowledged by process {} at entry {}",
                    self.name(),
                    delivery.record.value,
                    delivery.process,
                    delivery.to,
                    ack.process,
                    ack.to
                );
                anomalies.add(Kind::Doubled, what);
            }
        } else if !self.called_for(record, last, delivery) {
            let what = format!(
                "{}@{offset} came to process {} at entry {}, {} us after process {} got it at entry {}",
                self.name(),
                delivery.process,
                delivery.to,
                delivery.ended - last.began,
                last.process,
                last.to
            );
            anomalies.add(Kind::Premature, what);
        }
        self.counted(last, delivery, anomalies);
    }

    /// Whether an acknowledgement that counted may have been forgotten since.
    fn forgotten(&self, offset: u64, ack: &Ack, delivery: &Delivery) -> bool {
        let moved = (ack.process, ack.generation) != (delivery.process, delivery.at.generation);
        let behind_a_gap = offset >= ack.low;
        // A seek goes back to before it, or forgets what is behind a gap.
        let sought = self.reading.seeks.iter().any(|(to, seek)| {
            let between = seek.to > ack.from && seek.from < delivery.to;
            between && (*to <= offset || behind_a_gap)
        });
        // What is acknowledged after a seek goes with its owner as long as nothing was committed.
        let uncommitted = || {
            let mut seeks = self.reading.seeks.iter();
            moved
                && behind_a_gap
                && seeks.any(|(_, seek)| seek.process == ack.process && seek.from < ack.from)
        };
        let left = self.floor.left_between(ack.from, delivery.to);
        let cost = left.is_some_and(|left| offset >= left);
        let gap = moved && !self.rules.gaps_survive_moves && behind_a_gap;
        let stored = || self.floor.kept_at(delivery.from) > offset;
        let unsent = moved && !self.rules.acks_survive_moves && !stored();
        sought || uncommitted() || cost || gap || unsent
    }

    /// Whether something calls for another delivery of what nobody acknowledged.
    fn called_for(&self, record: &Record, last: &Delivery, delivery: &Delivery) -> bool {
        let (from, to) = (last.from.min(delivery.from), delivery.to);
        let terms = self.group.terms;
        let patience = terms.ack_wait.min(terms.session);
        let waited = delivery.ended.max(last.ended) - last.began.min(delivery.began);
        let failed = record.nacks.iter().any(|nack| from < *nack && *nack < to);
        let (since, until) = (
            last.began.min(delivery.began),
            delivery.ended.max(last.ended),
        );
        let troubled = |(began, ended): &(u64, u64)| {
            since <= ended.saturating_add(self.rules.aftermath) && *began <= until
        };
        waited >= patience
            || failed
            || self.group.left(last.process, from, to)
            || self.group.left(delivery.process, from, to)
            || self.sought(from, to)
            || self.troubles.iter().any(troubled)
    }

    /// Each delivery counts one more attempt, for as long as the broker is up.
    fn counted(&self, last: &Delivery, delivery: &Delivery, anomalies: &mut Anomalies) {
        let between = |at: usize| last.from < at && at < delivery.to;
        let event = |(at, what): &(usize, What)| {
            matches!(what, What::Restarted | What::Killed) && between(*at)
        };
        if !self.rules.attempts
            || last.to > delivery.from
            || self.sought(0, delivery.to)
            || self.events.iter().any(event)
        {
            return;
        }
        if delivery.attempt != last.attempt + 1 {
            let what = format!(
                "{}@{} at entry {} is attempt {}, after attempt {} at entry {}",
                self.name(),
                delivery.at.offset,
                delivery.to,
                delivery.attempt,
                last.attempt,
                last.to
            );
            anomalies.add(Kind::Miscounted, what);
        }
    }

    /// What was delivered last and not acknowledged since must come again while anybody reads.
    pub(super) fn nothing_is_forgotten(&self, anomalies: &mut Anomalies) {
        for (&offset, record) in &self.records {
            let Some(last) = &record.last else { continue };
            let answered = record.acks.iter().any(|ack| ack.to > last.from);
            // Acknowledged before, and read once more after a seek that nobody committed.
            let settled = || {
                record
                    .acks
                    .iter()
                    .any(|ack| self.sought(ack.from, usize::MAX))
            };
            let skipped = || self.reading.seeks.iter().any(|(to, _)| *to > offset);
            if answered || settled() || skipped() {
                continue;
            }
            let fenced = record.fenced.iter().any(|from| *from > last.to);
            let kind = if fenced {
                Kind::FencedCounted
            } else {
                Kind::NeverRedelivered
            };
            let what = format!(
                "{}@{offset} (value {}), delivery {} of it, to process {} at entry {}",
                self.name(),
                last.record.value,
                record.deliveries,
                last.process,
                last.to
            );
            anomalies.add(kind, what);
        }
    }
}
