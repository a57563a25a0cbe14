//! How operations become rows.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use redb::{ReadableTable, Table, WriteTransaction};

use super::fault::Fault;
use super::mail;
use super::queue::{Job, Positions, Shared};
use super::rows::{Bounds, MAIL, RUNS, Row, STATE, State, Tally, encode_topic};
use super::run::{Encoder, Head, Run};
use super::{Op, Place};
use crate::broker::Error;
use crate::broker::embedded::entry::Entry;

/// What goes into one transaction.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) jobs: Vec<(u64, Job)>,
    pub(super) positions: Positions,
    /// By job: why it makes no sense, where it does not. The others are not touched by that.
    pub(super) rejected: Vec<Option<Error>>,
}

/// What the writer knows of the rows without reading them.
pub(super) struct Ledger {
    tally: Tally,
    partitions: HashMap<Place, Partition>,
    /// Names and numbers of partitions.
    topics: HashMap<u32, (String, u32)>,
    /// The place in line of the last position that was stored for a group.
    positions: HashMap<(Arc<str>, Place), u64>,
}

#[derive(Clone, Copy, Default)]
pub(super) struct Partition {
    bounds: Bounds,
    /// The oldest run, where it is known.
    oldest: Option<Head>,
}

impl Partition {
    pub(super) const fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            oldest: None,
        }
    }
}

/// What a transaction does to one partition.
#[derive(Default)]
struct Change<'a> {
    appends: Vec<(u64, &'a [Entry])>,
    next: u64,
    keep_from: u64,
}

type Runs<'t> = Table<'t, (u32, u32, u64), &'static [u8]>;

impl Ledger {
    pub(super) fn new(
        tally: Tally,
        partitions: HashMap<Place, Partition>,
        topics: HashMap<u32, (String, u32)>,
    ) -> Self {
        Self {
            tally,
            partitions,
            topics,
            positions: HashMap::new(),
        }
    }

    /// Writes the batch into the transaction. After an error the ledger is ahead of the store, and must not be used again.
    pub(super) fn apply(
        &mut self,
        transaction: &WriteTransaction,
        batch: &mut Batch,
        shared: &Shared,
    ) -> Result<(), Fault> {
        batch.rejected = vec![None; batch.jobs.len()];
        let mut runs = transaction.open_table(RUNS)?;
        let mut letters = transaction.open_table(MAIL)?;
        let mut state = State {
            table: transaction.open_table(STATE)?,
            tally: &mut self.tally,
        };
        let mut changes = BTreeMap::<Place, Change<'_>>::new();
        let mut positions = std::mem::take(&mut batch.positions);

        for ((line, job), rejected) in batch.jobs.iter().zip(&mut batch.rejected) {
            let Job::Op(op) = job else { continue };
            let answer = match op {
                Op::CreateTopic {
                    topic,
                    name,
                    config,
                    ..
                } => {
                    let known = self.topics.get(topic).map(|(_, partitions)| *partitions);
                    if let Some(partitions) = known.filter(|known| *known != config.partitions) {
                        Err(Error::TopicExists {
                            topic: name.into(),
                            partitions,
                        })
                    } else if known.is_some() {
                        state.put(Row::Topic(*topic), encode_topic(name, config))?;
                        Ok(())
                    } else {
                        state.put(Row::Topic(*topic), encode_topic(name, config))?;
                        for partition in 0..config.partitions {
                            let place = (*topic, partition);
                            state.put(Row::Partition(place), Bounds::default().encode())?;
                            self.partitions.insert(place, Partition::default());
                        }
                        self.topics
                            .insert(*topic, (name.clone(), config.partitions));
                        Ok(())
                    }
                }
                Op::Append {
                    place,
                    base,
                    entries,
                    keep_from,
                    ..
                } => change(&mut changes, &self.partitions, *place, shared).and_then(|change| {
                    let end = base.checked_add(entries.len() as u64);
                    let Some(end) = end.filter(|_| *base >= change.next) else {
                        return Err(Error::Damaged {
                            path: shared.path.clone(),
                            place: format!(
                                "{}: offset {base} was handed out twice, {} is the next one",
                                shared.name(*place),
                                change.next
                            ),
                        });
                    };
                    if !entries.is_empty() {
                        change.appends.push((*base, entries));
                        change.next = end;
                    }
                    change.keep_from = change.keep_from.max(*keep_from);
                    Ok(())
                }),
                Op::Trim {
                    place, keep_from, ..
                } => change(&mut changes, &self.partitions, *place, shared)
                    .map(|change| change.keep_from = change.keep_from.max(*keep_from)),
                Op::Commit {
                    group,
                    place,
                    offset,
                    ..
                } => {
                    let position = positions.entry((group.clone(), *place)).or_default();
                    *position = (*position).max((*line, *offset));
                    Ok(())
                }
                Op::CreateBox { box_id, name, .. } => {
                    state.put(Row::MailBox(*box_id), name.as_bytes().to_vec())?;
                    Ok(())
                }
                Op::Mail {
                    box_id,
                    key,
                    seq,
                    value,
                    time,
                    keep_from,
                    ..
                } => {
                    let message = mail::Message {
                        seq: *seq,
                        time: *time,
                        value,
                    };
                    let place = (*box_id, &**key);
                    mail::put(&mut state, &mut letters, place, Some(message), *keep_from)?
                        .map_err(|wrong| mail::error(&shared.path, place, &wrong))
                }
                Op::TrimMail {
                    box_id,
                    key,
                    keep_from,
                    ..
                } => {
                    let place = (*box_id, &**key);
                    mail::put(&mut state, &mut letters, place, None, *keep_from)?
                        .map_err(|wrong| mail::error(&shared.path, place, &wrong))
                }
            };
            *rejected = answer.err();
        }

        for ((group, place), (line, offset)) in positions {
            let last = self.positions.entry((group.clone(), place)).or_default();
            if line > *last {
                *last = line;
                let body = offset.to_le_bytes().to_vec();
                state.put(Row::Group(&group, place), body)?;
            }
        }
        for (place, change) in changes {
            let partition = self.partitions.entry(place).or_default();
            let before = partition.bounds;
            partition
                .change(&mut runs, place, &change)
                .map_err(|fault| match fault {
                    Fault::Damaged(what) => {
                        Fault::damaged(format!("{}, {what}", shared.name(place)))
                    }
                    fault => fault,
                })?;
            if partition.bounds != before {
                state.put(Row::Partition(place), partition.bounds.encode())?;
            }
        }
        state.finish()
    }
}

fn change<'a, 'b>(
    changes: &'a mut BTreeMap<Place, Change<'b>>,
    partitions: &HashMap<Place, Partition>,
    place: Place,
    shared: &Shared,
) -> Result<&'a mut Change<'b>, Error> {
    let Some(partition) = partitions.get(&place) else {
        return Err(Error::UnknownTopic {
            topic: shared.name(place).into(),
            record: None,
        });
    };
    Ok(changes.entry(place).or_insert_with(|| Change {
        next: partition.bounds.next,
        ..Change::default()
    }))
}

impl Partition {
    fn change(
        &mut self,
        runs: &mut Runs<'_>,
        place: Place,
        change: &Change<'_>,
    ) -> Result<(), Fault> {
        let first = change.keep_from.min(change.next);
        self.bounds.first = self.bounds.first.max(first);
        // Where the log ends, as far as it has been dealt with.
        let mut end = self.bounds.next;
        let mut encoder: Option<Encoder> = None;
        for (base, entries) in &change.appends {
            // What is not retained anyway is not written first.
            let dropped = self.bounds.first.saturating_sub(*base);
            let dropped = usize::try_from(dropped)
                .unwrap_or(usize::MAX)
                .min(entries.len());
            if let Some(last) = entries.last() {
                self.bounds.time = last.time;
            }
            if dropped > 0 {
                end = base + dropped as u64;
            }
            for (offset, entry) in (base + dropped as u64..).zip(&entries[dropped..]) {
                let fits = encoder
                    .as_mut()
                    .is_some_and(|encoder| encoder.end() == offset && encoder.push(entry));
                if !fits {
                    if let Some(full) = encoder.take() {
                        end = full.end();
                        self.write(runs, place, full)?;
                    }
                    let mut fresh = Encoder::new(offset, end);
                    fresh.push(entry);
                    encoder = Some(fresh);
                }
            }
        }
        if let Some(last) = encoder {
            self.write(runs, place, last)?;
        }
        self.bounds.next = change.next;
        self.trim(runs, place)
    }

    fn write(&mut self, runs: &mut Runs<'_>, place: Place, run: Encoder) -> Result<(), Fault> {
        let (row, head) = run.finish(place);
        runs.insert((place.0, place.1, head.base), row.as_slice())?;
        if self.bounds.records == 0 {
            self.bounds.lowest = head.base;
            self.oldest = Some(head);
        }
        self.bounds.records += u64::from(head.count);
        self.bounds.bytes += head.size;
        Ok(())
    }

    /// Removes the runs that lie wholly below the oldest offset retained.
    fn trim(&mut self, runs: &mut Runs<'_>, place: Place) -> Result<(), Fault> {
        let bounds = &mut self.bounds;
        while bounds.records > 0 && bounds.lowest < bounds.first {
            let oldest = match self.oldest {
                Some(oldest) => oldest,
                None => *self.oldest.insert(oldest_run(runs, place, bounds.lowest)?),
            };
            bounds.lowest = oldest.base;
            if oldest.end() > bounds.first {
                break;
            }
            runs.remove((place.0, place.1, oldest.base))?;
            bounds.records = bounds.records.saturating_sub(oldest.count.into());
            bounds.bytes = bounds.bytes.saturating_sub(oldest.size);
            bounds.lowest = oldest.end();
            self.oldest = None;
        }
        if bounds.records == 0 {
            bounds.lowest = bounds.next;
        }
        Ok(())
    }
}

fn oldest_run(runs: &Runs<'_>, place: Place, lowest: u64) -> Result<Head, Fault> {
    let mut range = runs.range((place.0, place.1, lowest)..=(place.0, place.1, u64::MAX))?;
    let Some(row) = range.next() else {
        return Err(Fault::damaged(format!(
            "from offset {lowest}: records are missing"
        )));
    };
    let (key, row) = row?;
    let base = key.value().2;
    match Run::open(place, base, row.value()) {
        Ok(run) => Ok(run.head),
        Err(wrong) => Err(Fault::damaged(format!("from offset {base}: {wrong}"))),
    }
}
