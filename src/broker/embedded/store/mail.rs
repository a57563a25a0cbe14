//! Mailboxes: for each key a chain of messages with growing sequence numbers.

use std::path::Path;

use bytes::Bytes;
use redb::{ReadableDatabase, ReadableTable, Table};

use super::codec::{Reader, seal, unseal};
use super::fault::{Fault, guarded};
use super::queue::Shared;
use super::rows::{MAIL, MailBounds, Row, STATE, State, body};
use crate::broker::Error;

/// A message of a mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mail {
    pub(crate) seq: u64,
    /// Microseconds since the Unix epoch.
    pub(crate) time: u64,
    pub(crate) value: Bytes,
}

/// A message that is to be stored.
pub(super) struct Message<'a> {
    pub(super) seq: u64,
    pub(super) time: u64,
    pub(super) value: &'a [u8],
}

/// A mailbox and a key in it.
pub(super) type At<'a> = (u32, &'a [u8]);
type Letters<'t> = Table<'t, (u32, &'static [u8], u64), &'static [u8]>;

fn row_key((box_id, key): At<'_>, seq: u64) -> Vec<u8> {
    [&box_id.to_be_bytes(), key, &seq.to_be_bytes()].concat()
}

fn place((box_id, key): At<'_>) -> String {
    format!("key \"{}\" of mailbox #{box_id}", key.escape_ascii())
}

pub(super) fn error(path: &Path, at: At<'_>, wrong: &str) -> Error {
    Error::Damaged {
        path: path.into(),
        place: format!("{}: {wrong}", place(at)),
    }
}

/// A row: where the chain ended before it, so that a missing row is found out; the time; the value.
fn encode(previous: u64, message: &Message<'_>) -> Vec<u8> {
    let mut body = Vec::with_capacity(20 + message.value.len());
    body.extend_from_slice(&previous.to_le_bytes());
    body.extend_from_slice(&message.time.to_le_bytes());
    body.extend_from_slice(message.value);
    body
}

pub(super) fn decode(at: At<'_>, seq: u64, row: &[u8]) -> Result<(u64, Mail), Fault> {
    let decoded = unseal(&row_key(at, seq), row).and_then(|body| {
        let mut reader = Reader::new(body);
        let previous = reader.u64()?;
        let time = reader.u64()?;
        let value = Bytes::copy_from_slice(reader.rest());
        Some((previous, Mail { seq, time, value }))
    });
    decoded.ok_or_else(|| {
        Fault::damaged(format!(
            "{}, message {seq}: a checksum does not match",
            place(at)
        ))
    })
}

/// Stores a message and removes old ones. The inner error says why that makes no sense.
pub(super) fn put(
    state: &mut State<'_, '_>,
    letters: &mut Letters<'_>,
    at: At<'_>,
    message: Option<Message<'_>>,
    keep_from: u64,
) -> Result<Result<(), String>, Fault> {
    let key = Row::MailKey(at.0, at.1);
    let known = match state.table.get(key.bytes().as_slice())? {
        Some(row) => MailBounds::decode(body(&key.bytes(), row.value())?),
        None => Some(MailBounds::default()),
    };
    let mut bounds =
        known.ok_or_else(|| Fault::damaged(format!("{}: a row is cut short", place(at))))?;
    if let Some(message) = message {
        if message.seq <= bounds.last {
            return Ok(Err(format!(
                "sequence number {} was handed out twice, the last one was {}",
                message.seq, bounds.last
            )));
        }
        if keep_from <= message.seq {
            let row_key = row_key(at, message.seq);
            let row = seal(&row_key, encode(bounds.stored, &message));
            letters.insert((at.0, at.1, message.seq), row.as_slice())?;
            if bounds.messages == 0 {
                bounds.first = message.seq;
            }
            bounds.stored = message.seq;
            bounds.messages += 1;
            bounds.bytes += message.value.len() as u64;
        }
        bounds.last = message.seq;
    }
    while bounds.messages > 0 && bounds.first < keep_from {
        let oldest = {
            let mut rows = letters.range((at.0, at.1, bounds.first)..=(at.0, at.1, u64::MAX))?;
            match rows.next() {
                Some(row) => {
                    let (key, row) = row?;
                    decode(at, key.value().2, row.value())?.1
                }
                None => return Err(missing(at, bounds.first)),
            }
        };
        bounds.first = oldest.seq;
        if oldest.seq >= keep_from {
            break;
        }
        letters.remove((at.0, at.1, oldest.seq))?;
        bounds.messages -= 1;
        bounds.bytes = bounds.bytes.saturating_sub(oldest.value.len() as u64);
        bounds.first = oldest.seq + 1;
    }
    if bounds.messages == 0 {
        bounds.first = bounds.last + 1;
    }
    state.put(key, bounds.encode())?;
    Ok(Ok(()))
}

fn missing(at: At<'_>, from: u64) -> Fault {
    Fault::damaged(format!(
        "{}: messages are missing from sequence number {from}",
        place(at)
    ))
}

fn find_bounds(
    state: &impl ReadableTable<&'static [u8], &'static [u8]>,
    at: At<'_>,
) -> Result<Option<MailBounds>, Fault> {
    let key = Row::MailKey(at.0, at.1).bytes();
    let Some(row) = state.get(key.as_slice())? else {
        return Ok(None);
    };
    let bounds = MailBounds::decode(body(&key, row.value())?);
    bounds
        .map(Some)
        .ok_or_else(|| Fault::damaged(format!("{}: a row is cut short", place(at))))
}

pub(super) fn bounds(
    shared: &Shared,
    box_id: u32,
    key: &[u8],
) -> Result<Option<MailBounds>, Error> {
    guarded(|| {
        shared.with_database(|database| {
            let transaction = database.begin_read()?;
            find_bounds(&transaction.open_table(STATE)?, (box_id, key))
        })
    })
    .map_err(|fault| fault.told(&shared.path, "reading mail"))
}

pub(super) fn after(
    shared: &Shared,
    box_id: u32,
    key: &[u8],
    after: u64,
    limit: usize,
) -> Result<Vec<Mail>, Error> {
    let at = (box_id, key);
    let read = |database: &redb::Database| {
        let transaction = database.begin_read()?;
        let Some(bounds) = find_bounds(&transaction.open_table(STATE)?, at)? else {
            return Ok(Vec::new());
        };
        let mut messages = Vec::new();
        // Everything up to here is accounted for.
        let mut end = after.max(bounds.first.saturating_sub(1));
        if end >= bounds.stored || limit == 0 {
            return Ok(messages);
        }
        let letters = transaction.open_table(MAIL)?;
        for row in letters.range((box_id, key, end + 1)..=(box_id, key, u64::MAX))? {
            let (row_key, row) = row?;
            let seq = row_key.value().2;
            let (previous, message) = decode(at, seq, row.value())?;
            if previous > end {
                return Err(missing(at, end + 1));
            }
            end = seq;
            messages.push(message);
            if messages.len() == limit {
                return Ok(messages);
            }
        }
        if end < bounds.stored {
            return Err(missing(at, end + 1));
        }
        Ok(messages)
    };
    guarded(|| shared.with_database(read)).map_err(|fault| fault.told(&shared.path, "reading mail"))
}
