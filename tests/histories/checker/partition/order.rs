//! In which order records may come.

use std::collections::{BTreeSet, HashMap};

use super::{Anomalies, Delivery, Kind, Partition};

#[derive(Default)]
pub(super) struct Order {
    /// Where order holds per key: offsets whose acknowledgement has not begun. What has no key has one in common.
    waiting: Option<HashMap<Option<u32>, BTreeSet<u64>>>,
    keys: HashMap<u64, Option<u32>>,
    /// By process, generation and key: the last delivery.
    last: HashMap<(u64, u64, Option<u32>), Delivery>,
    /// By process and generation: the last first attempt.
    first_attempts: HashMap<(u64, u64), u64>,
}

impl Order {
    pub(super) fn new(keys: Option<impl Iterator<Item = (Option<u32>, u64)>>) -> Self {
        let mut order = Self::default();
        let Some(keys) = keys else { return order };
        let waiting = order.waiting.get_or_insert_default();
        for (key, offset) in keys {
            waiting.entry(key).or_default().insert(offset);
            order.keys.insert(offset, key);
        }
        order
    }

    /// An acknowledgement has begun.
    pub(super) fn answered(&mut self, offset: u64) {
        let Some(waiting) = &mut self.waiting else {
            return;
        };
        if let Some(of_key) = self.keys.get(&offset).and_then(|key| waiting.get_mut(key)) {
            of_key.remove(&offset);
        }
    }
}

impl Partition<'_> {
    pub(super) fn in_order(&mut self, delivery: &Delivery, anomalies: &mut Anomalies) {
        let offset = delivery.at.offset;
        if self.order.waiting.is_some() {
            return self.in_order_of_keys(delivery, anomalies);
        }
        // A first attempt by the engine's count, or by ours.
        let known = self
            .records
            .get(&offset)
            .is_some_and(|it| it.deliveries > 0);
        if delivery.attempt != 1 || (known && !self.rules.attempts) {
            return;
        }
        let assignment = (delivery.process, delivery.at.generation);
        let before = self.order.first_attempts.insert(assignment, offset);
        let late = self.is_late(delivery.ended);
        if let Some(before) = before.filter(|before| *before >= offset && !late) {
            let what = format!(
                "{}@{offset} came to process {} for the first time after @{before}, at entry {}",
                self.name(),
                delivery.process,
                delivery.to
            );
            anomalies.add(Kind::Reordered, what);
        }
    }

    fn in_order_of_keys(&mut self, delivery: &Delivery, anomalies: &mut Anomalies) {
        let (offset, key) = (delivery.at.offset, delivery.record.key);
        let late = self.is_late(delivery.ended);
        let waiting = self
            .order
            .waiting
            .as_ref()
            .and_then(|waiting| waiting.get(&key));
        let passed = waiting
            .and_then(|waiting| waiting.range(..offset).next())
            .copied();
        let skipped = |passed: u64| {
            let mut seeks = self.reading.seeks.iter();
            seeks.any(|(to, call)| *to > passed && call.from < delivery.to)
        };
        if let Some(passed) = passed.filter(|passed| !late && !skipped(*passed)) {
            let what = format!(
                "{}@{offset} came to process {} at entry {} before @{passed} of the same key {key:?} was answered",
                self.name(),
                delivery.process,
                delivery.to
            );
            anomalies.add(Kind::Reordered, what);
        }
        let line = (delivery.process, delivery.at.generation, key);
        let Some(before) = self.order.last.insert(line, *delivery) else {
            return;
        };
        if before.at.offset == offset || late {
            return;
        }
        let acks = self
            .records
            .get(&before.at.offset)
            .map(|record| &record.acks);
        if !acks.is_some_and(|acks| acks.iter().any(|ack| ack.to > before.from)) {
            let what = format!(
                "{}@{offset} came to process {} at entry {}, and @{} of the same key {key:?} was still out",
                self.name(),
                delivery.process,
                delivery.to,
                before.at.offset
            );
            anomalies.add(Kind::Reordered, what);
        }
    }
}
