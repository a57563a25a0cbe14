//! What was stored: each record once, as it was pushed, in the order in which pushes were acknowledged.

use std::collections::{BTreeMap, HashMap};

use crate::history::{Content, Op, Outcome, Place};

use super::calls::{Call, Calls};
use super::{Anomalies, Kind};

/// The records of the history, as far as anybody has seen them.
pub(super) struct Log {
    /// Acknowledged pushes: the value, and where it lies if that was said or seen.
    pub(super) acknowledged: Vec<(u64, Option<(Place, u64)>)>,
    /// By partition and offset.
    pub(super) records: HashMap<Place, BTreeMap<u64, Content>>,
}

impl Log {
    pub(super) fn of(calls: &Calls, anomalies: &mut Anomalies) -> Self {
        let pushes = pushes(calls, anomalies);
        let mut found = Found::default();
        for call in pushes.values() {
            let (Op::Push { topic, record }, Outcome::Stored { partition, offset }) =
                (&call.op, &call.outcome)
            else {
                continue;
            };
            found.put((*topic, *partition), *offset, *record, anomalies);
        }
        for call in &calls.all {
            let Outcome::Took(taken) = &call.outcome else {
                continue;
            };
            for it in taken {
                let (place, offset, record) = (it.at.place, it.at.offset, it.record);
                pushed(&pushes, place, offset, record, call, anomalies);
                found.put(place, offset, record, anomalies);
            }
        }
        order(pushes.values().copied(), anomalies);
        let acknowledged = pushes
            .iter()
            .filter(|(_, call)| call.is_done())
            .map(|(value, _)| (*value, found.places.get(value).copied()))
            .collect();
        Self {
            acknowledged,
            records: found.records,
        }
    }
}

fn pushes<'a>(calls: &'a Calls, anomalies: &mut Anomalies) -> BTreeMap<u64, &'a Call> {
    let mut pushes = BTreeMap::new();
    for call in &calls.all {
        if let Op::Push { record, .. } = call.op {
            let before = pushes.insert(record.value, call);
            if before.is_some() {
                anomalies.add(
                    Kind::Unexpected,
                    format!("value {} pushed twice: the history is wrong", record.value),
                );
            }
        }
    }
    pushes
}

/// Whether what was delivered is what was pushed.
fn pushed(
    pushes: &BTreeMap<u64, &Call>,
    place: Place,
    offset: u64,
    record: Content,
    poll: &Call,
    anomalies: &mut Anomalies,
) {
    let value = record.value;
    let Some(push) = pushes.get(&value) else {
        let what = format!("value {value} at {place:?}@{offset} was never pushed");
        return anomalies.add(Kind::Unexpected, what);
    };
    let Op::Push {
        topic,
        record: sent,
    } = push.op
    else {
        return;
    };
    if push.is_refused() {
        let what = format!(
            "value {value} at {place:?}@{offset}: its push was refused, {:?}",
            push.outcome
        );
        anomalies.add(Kind::Unexpected, what);
    }
    if push.from > poll.to {
        let what = format!("value {value} was delivered before it was pushed");
        anomalies.add(Kind::Unexpected, what);
    }
    if sent != record || topic != place.0 {
        let what =
            format!("{sent:?} of topic {topic} was delivered as {record:?} at {place:?}@{offset}");
        anomalies.add(Kind::Changed, what);
    }
}

#[derive(Default)]
struct Found {
    records: HashMap<Place, BTreeMap<u64, Content>>,
    places: HashMap<u64, (Place, u64)>,
    keys: HashMap<(u32, u32), u32>,
}

impl Found {
    fn put(&mut self, place: Place, offset: u64, record: Content, anomalies: &mut Anomalies) {
        let value = record.value;
        let known = self
            .records
            .entry(place)
            .or_default()
            .entry(offset)
            .or_insert(record);
        if known.value != value {
            let what = format!(
                "{place:?}@{offset} is value {} and value {value}",
                known.value
            );
            anomalies.add(Kind::Changed, what);
        }
        let known = *self.places.entry(value).or_insert((place, offset));
        if known != (place, offset) {
            let what = format!(
                "value {value} lies at {known:?} and at {:?}",
                (place, offset)
            );
            anomalies.add(Kind::StoredTwice, what);
        }
        let (topic, partition) = place;
        if let Some(key) = record.key {
            let home = *self.keys.entry((topic, key)).or_insert(partition);
            if home != partition {
                let what =
                    format!("key {key} of topic {topic} lies in partitions {home} and {partition}");
                anomalies.add(Kind::Changed, what);
            }
        }
    }
}

/// A push that began when another had been acknowledged lies behind that one.
fn order<'a>(pushes: impl Iterator<Item = &'a Call>, anomalies: &mut Anomalies) {
    let mut stored: HashMap<Place, Vec<(&Call, u64)>> = HashMap::new();
    for call in pushes {
        if let (Op::Push { topic, .. }, Outcome::Stored { partition, offset }) =
            (&call.op, &call.outcome)
        {
            stored
                .entry((*topic, *partition))
                .or_default()
                .push((call, *offset));
        }
    }
    for (place, mut stored) in stored {
        stored.sort_unstable_by_key(|(call, _)| call.to);
        // The highest offset that had been acknowledged at each end of a push.
        let mut highest: Vec<(usize, u64)> = Vec::with_capacity(stored.len());
        for &(call, offset) in &stored {
            let before = highest.partition_point(|&(to, _)| to < call.from);
            if let Some(&(_, most)) = before.checked_sub(1).and_then(|last| highest.get(last)) {
                if offset <= most {
                    let what =
                        format!("a push got {place:?}@{offset} after @{most} was acknowledged");
                    anomalies.add(Kind::Reordered, what);
                }
            }
            let most = highest.last().map_or(offset, |&(_, most)| most.max(offset));
            highest.push((call.to, most));
        }
    }
}
