//! Opening a store: the file, its lock, its version, and what it remembers.

use std::collections::{BTreeMap, HashMap};
use std::fs::{File, OpenOptions, create_dir_all};
use std::io::{Error as IoError, ErrorKind};
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use redb::backends::FileBackend;
use redb::{
    BackendError, Builder, Database, ReadTransaction, ReadableDatabase, ReadableTable,
    StorageBackend,
};

use super::backend::Backend;
use super::commit::{Ledger, Partition};
use super::fault::{Fault, guarded};
use super::mail;
use super::queue::Shared;
use super::rows::{
    Bounds, FORMAT, MAIL, MailBounds, RUNS, Row, STATE, State, Tally, body, decode_topic, name,
};
use super::run::Run;
use super::writer::Writer;
use super::{Place, Recovered, RecoveredGroup, RecoveredPartition, RecoveredTopic};
use crate::broker::{Error, SyncPolicy, Topic};

const FILE: &str = "broker.redb";
/// A store is made under this name and renamed when it is whole: a file of the real name is never half made, and one
/// that looks so has been damaged.
const UNFINISHED: &str = "broker.redb.new";
/// Memory for pages. What consumers read last is kept by the broker itself.
const CACHE: usize = 64 * 1024 * 1024;

/// The largest file of which every page is checked when it is opened; that takes a few tenths of a second. Of a larger one
/// that was closed in good order, rows are checked when they are read. After a crash the engine checks any file.
///
/// The engine itself takes a page at its word, and stops the process over some that it cannot have written.
pub(super) const CHECKED: u64 = 1024 * 1024 * 1024;

pub(super) fn directory(dir: &Path, policy: SyncPolicy) -> Result<(Writer, Recovered), Error> {
    let path = dir.join(FILE);
    if !dir.is_dir() {
        make_directory(dir).map_err(|fault| fault.told(dir, "making the directory"))?;
    }
    loop {
        let opened = OpenOptions::new().read(true).write(true).open(&path);
        let backend = match opened {
            Ok(file) => guarded(|| Ok(FileBackend::new(file)?)),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let unfinished = dir.join(UNFINISHED);
                match unfinished_file(&unfinished, &path) {
                    Ok(Some(file)) => {
                        return fresh(file, &unfinished, &path, policy)
                            .map_err(|fault| fault.told(&path, "making the store"));
                    }
                    // Somebody else has just made it.
                    Ok(None) => continue,
                    Err(fault) => return Err(fault.told(&unfinished, "making the store")),
                }
            }
            Err(error) => Err(error.into()),
        };
        return backend
            .and_then(|backend| existing(Arc::new(backend), path.clone(), policy, CHECKED))
            .map_err(|fault| fault.told(&path, "opening"));
    }
}

fn make_directory(dir: &Path) -> Result<(), Fault> {
    create_dir_all(dir)?;
    dir.parent().map_or(Ok(()), sync_directory)
}

/// An empty file that nobody else has, or nothing if the store has been made meanwhile.
fn unfinished_file(unfinished: &Path, path: &Path) -> Result<Option<FileBackend>, Fault> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(unfinished)?;
    let file = FileBackend::new(file)?;
    match file.try_lock_range(Bound::Unbounded, Bound::Unbounded) {
        Ok(true) | Err(BackendError::Unsupported) => {}
        Ok(false) => return Err(Fault::Locked),
        Err(error) => return Err(Fault::Storage(Arc::new(IoError::other(error.to_string())))),
    }
    // Locked too late, it may be the finished store under its old name.
    if path.try_exists()? {
        return Ok(None);
    }
    file.set_len(0)?;
    Ok(Some(file))
}

fn fresh(
    file: FileBackend,
    unfinished: &Path,
    path: &Path,
    policy: SyncPolicy,
) -> Result<(Writer, Recovered), Fault> {
    let backend = Backend::new(Arc::new(file), false);
    let database = make(backend.clone())?;
    std::fs::rename(unfinished, path)?;
    if let Some(dir) = path.parent() {
        sync_directory(dir)?;
    }
    backend.idle(policy == SyncPolicy::Os);
    load(database, backend, path.into(), policy)
}

#[cfg(unix)]
fn sync_directory(dir: &Path) -> Result<(), Fault> {
    let dir = if dir.as_os_str().is_empty() {
        Path::new(".")
    } else {
        dir
    };
    Ok(File::open(dir)?.sync_all()?)
}

#[cfg(not(unix))]
fn sync_directory(_: &Path) -> Result<(), Fault> {
    Ok(())
}

/// An empty store over storage that has nothing in it.
pub(super) fn make(backend: Backend) -> Result<Database, Fault> {
    guarded(|| {
        let database = builder().create_with_backend(backend)?;
        let transaction = database.begin_write()?;
        transaction.open_table(RUNS)?;
        transaction.open_table(MAIL)?;
        State {
            table: transaction.open_table(STATE)?,
            tally: &mut Tally::default(),
        }
        .finish()?;
        transaction.commit()?;
        Ok(database)
    })
}

/// A store over storage that has one in it, of which every page is checked if there are no more bytes than `checked`.
pub(super) fn existing(
    storage: Arc<dyn StorageBackend>,
    path: PathBuf,
    policy: SyncPolicy,
    checked: u64,
) -> Result<(Writer, Recovered), Fault> {
    let len = storage.len()?;
    if len == 0 {
        return Err(Fault::damaged("the file is empty"));
    }
    let backend = Backend::new(storage, policy == SyncPolicy::Os);
    let done = Arc::new(AtomicBool::new(len > checked));
    let mut database = guarded(|| {
        let repaired = done.clone();
        let mut builder = builder();
        // After a crash the engine checks everything by itself.
        builder.set_repair_callback(move |_| repaired.store(true, Ordering::Relaxed));
        Ok(builder.create_with_backend(backend.clone())?)
    })?;
    if !done.load(Ordering::Relaxed) {
        // What can be mended is what the engine can work out anew: which pages are free.
        let check = guarded(|| Ok(database.check_integrity()?));
        if let Err(Fault::Damaged(found)) = check {
            // The engine does not say where it is. Rows may.
            guarded(|| whole(&database))?;
            return Err(Fault::damaged(format!("not in a row: {found}")));
        }
        check?;
    }
    load(database, backend, path, policy)
}

/// Reads everything there is.
fn whole(database: &Database) -> Result<(), Fault> {
    let transaction = database.begin_read()?;
    let memory = Memory::read(&transaction)?;
    for row in transaction.open_table(RUNS)?.iter()? {
        let (key, row) = row?;
        let (topic, partition, base) = key.value();
        if let Err(wrong) = Run::open((topic, partition), base, row.value()) {
            let known = memory.topics.get(&topic);
            let topic =
                known.map_or_else(|| format!("#{topic}"), |found| format!("`{}`", found.name));
            return Err(Fault::damaged(format!(
                "partition {partition} of topic {topic}, from offset {base}: {wrong}"
            )));
        }
    }
    for row in transaction.open_table(MAIL)?.iter()? {
        let (key, row) = row?;
        let (box_id, key, seq) = key.value();
        mail::decode((box_id, key), seq, row.value())?;
    }
    Ok(())
}

fn builder() -> Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE);
    builder
}

/// What the table `state` says.
#[derive(Default)]
struct Memory {
    tally: Tally,
    topics: BTreeMap<u32, RecoveredTopic>,
    partitions: BTreeMap<Place, Bounds>,
    groups: Vec<RecoveredGroup>,
    boxes: HashMap<String, u32>,
}

fn load(
    database: Database,
    backend: Backend,
    path: PathBuf,
    policy: SyncPolicy,
) -> Result<(Writer, Recovered), Fault> {
    let (memory, recovered, ledger) = guarded(|| {
        let transaction = database.begin_read()?;
        let mut memory = Memory::read(&transaction)?;
        let partitions = memory.partitions.iter();
        let topics = memory.topics.values();
        let ledger = Ledger::new(
            memory.tally,
            partitions
                .map(|(place, bounds)| (*place, Partition::new(*bounds)))
                .collect(),
            topics
                .map(|topic| {
                    let known = (topic.name.clone(), topic.config.partitions);
                    (topic.topic, known)
                })
                .collect(),
        );
        let recovered = memory.recovered(&transaction)?;
        Ok((memory, recovered, ledger))
    })?;
    let topics = recovered
        .topics
        .iter()
        .map(|topic| (topic.topic, Topic::from(&topic.name)))
        .collect();
    let shared = Shared::new(path, database, topics, memory.boxes);
    let writer = Writer::new(Arc::new(shared), backend, policy, ledger);
    Ok((writer, recovered))
}

impl Memory {
    fn read(transaction: &ReadTransaction) -> Result<Self, Fault> {
        let table = transaction.open_table(STATE)?;
        let named = |key: Row<'_>| {
            let key = key.bytes();
            let row = table.get(key.as_slice())?;
            let row = row.ok_or_else(|| Fault::damaged(format!("{} is missing", name(&key))))?;
            Ok::<_, Fault>(body(&key, row.value())?.to_vec())
        };
        let format = named(Row::Format)?;
        if format != FORMAT.to_le_bytes() {
            let found = format
                .first_chunk()
                .map_or(0, |bytes| u32::from_le_bytes(*bytes));
            return Err(IoError::new(
                ErrorKind::InvalidData,
                format!("the store has format version {found}, this release knows {FORMAT}"),
            )
            .into());
        }
        let tally = Tally::decode(&named(Row::Tally)?);
        let tally = tally.ok_or_else(|| Fault::damaged("the tally is cut short"))?;

        let mut memory = Self::default();
        for row in table.iter()? {
            let (key, row) = row?;
            memory.row(key.value(), row.value())?;
        }
        if memory.tally != tally {
            return Err(Fault::damaged(
                "topics, positions or mailboxes: rows are missing or out of date",
            ));
        }
        Ok(memory)
    }

    fn row(&mut self, key: &[u8], row: &[u8]) -> Result<(), Fault> {
        let short = || Fault::damaged(format!("the row of {} is cut short", name(key)));
        let parsed = Row::parse(key)
            .ok_or_else(|| Fault::damaged(format!("a row belongs to {}", name(key))))?;
        let body = body(key, row)?;
        match parsed {
            Row::Format | Row::Tally => return Ok(()),
            Row::Topic(topic) => {
                let (name, config) = decode_topic(body).ok_or_else(short)?;
                let found = RecoveredTopic {
                    topic,
                    name,
                    config,
                    partitions: Vec::new(),
                };
                self.topics.insert(topic, found);
            }
            Row::Partition(place) => {
                let bounds = Bounds::decode(body).ok_or_else(short)?;
                self.partitions.insert(place, bounds);
            }
            Row::Group(group, place) => {
                let committed = body.first_chunk().ok_or_else(short)?;
                self.groups.push(RecoveredGroup {
                    group: group.into(),
                    place,
                    committed: u64::from_le_bytes(*committed),
                });
            }
            Row::MailBox(id) => {
                let name = String::from_utf8(body.to_vec()).map_err(|_| short())?;
                self.boxes.insert(name, id);
            }
            Row::MailKey(..) => {
                MailBounds::decode(body).ok_or_else(short)?;
            }
        }
        self.tally.add(row);
        Ok(())
    }

    fn recovered(&mut self, transaction: &ReadTransaction) -> Result<Recovered, Fault> {
        let runs = transaction.open_table(RUNS)?;
        let mut topics = std::mem::take(&mut self.topics);
        for (place, bounds) in &self.partitions {
            let topic = topics.get_mut(&place.0);
            let topic = topic.filter(|topic| topic.partitions.len() == place.1 as usize);
            let Some(topic) = topic else {
                return Err(Fault::damaged(format!(
                    "partition {} of topic #{}: others are missing",
                    place.1, place.0
                )));
            };
            // Records behind the end: it is the bounds that are out of date.
            let key = |offset| (place.0, place.1, offset);
            if let Some(row) = runs.range(key(bounds.next)..=key(u64::MAX))?.next() {
                return Err(Fault::damaged(format!(
                    "partition {} of topic `{}`: it ends at offset {} and has records at {}",
                    place.1,
                    topic.name,
                    bounds.next,
                    row?.0.value().2
                )));
            }
            let (records, bytes) = if bounds.records > 0 && bounds.lowest < bounds.first {
                let row = runs.get(key(bounds.lowest))?;
                let row = row.as_ref().map(redb::AccessGuard::value);
                below(row, *place, bounds, &topic.name).map_err(|wrong| {
                    Fault::damaged(format!(
                        "partition {} of topic `{}`, from offset {}: {wrong}",
                        place.1, topic.name, bounds.lowest
                    ))
                })?
            } else {
                (0, 0)
            };
            topic.partitions.push(RecoveredPartition {
                first: bounds.first,
                next: bounds.next,
                records: bounds.records.saturating_sub(records),
                bytes: bounds.bytes.saturating_sub(bytes),
                time: bounds.time,
            });
        }
        for topic in topics.values() {
            if topic.partitions.len() != topic.config.partitions as usize {
                return Err(Fault::damaged(format!(
                    "topic `{}`: partitions are missing",
                    topic.name
                )));
            }
        }
        Ok(Recovered {
            topics: topics.into_values().collect(),
            groups: std::mem::take(&mut self.groups),
        })
    }
}

/// What of the partition's oldest run lies below the oldest offset retained: records, and their bytes.
fn below(
    row: Option<&[u8]>,
    place: Place,
    bounds: &Bounds,
    topic: &str,
) -> Result<(u64, u64), &'static str> {
    let run = Run::open(place, bounds.lowest, row.ok_or("records are missing")?)?;
    let topic = Topic::from(topic);
    let (mut records, mut bytes) = (0, 0);
    for record in run.records() {
        let (offset, record) = record?;
        if offset >= bounds.first {
            break;
        }
        let entry = run.decode(&Bytes::copy_from_slice(record), &topic, place.1);
        records += 1;
        bytes += entry.ok_or("a record contradicts itself")?.record.size() as u64;
    }
    Ok((records, bytes))
}
