//! Runs: consecutive records of one partition as the bytes of one row.
//!
//! A row for each record would cost a walk through the tree for each; a run costs one for hundreds.
//!
//! ```text
//! checksum  u32   over topic, partition, first offset and all that follows
//! version   u8
//! count     u32
//! previous  u64   where the partition ended before this run: a missing run is found out
//! size      u64   what the records count against bounds in bytes
//! started   u64   the first record's time
//! ended     u64   the last record's time
//! then for each record: length, flags, time, [key], [id], [headers], value
//! ```

use bytes::Bytes;

use super::Place;
use super::codec::{
    Reader, checksum, difference, differing, prefixed_len, put_prefixed, put_varint, varint_len,
};
use crate::broker::embedded::entry::Entry;
use crate::broker::{Record, Topic};

/// Bytes of a row at the most, unless one record alone has more. The engine keeps a row in pages of powers of two and
/// needs a few bytes of its own there.
pub(super) const ROW: usize = 256 * 1024 - 256;
const VERSION: u8 = 1;
const SUM: usize = 4;
const HEAD: usize = SUM + 1 + 4 + 4 * 8;

const KEY: u8 = 1;
const ID: u8 = 2;
const HEADERS: u8 = 4;
const PARTITION: u8 = 8;

/// What a run says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) base: u64,
    pub(super) count: u32,
    pub(super) previous: u64,
    pub(super) size: u64,
    pub(super) started: u64,
    pub(super) ended: u64,
}

impl Head {
    /// The offset behind the last record.
    pub(super) const fn end(&self) -> u64 {
        self.base + self.count as u64
    }
}

fn key(place: Place, base: u64) -> [u8; 16] {
    let mut key = [0; 16];
    key[..4].copy_from_slice(&place.0.to_be_bytes());
    key[4..8].copy_from_slice(&place.1.to_be_bytes());
    key[8..].copy_from_slice(&base.to_be_bytes());
    key
}

/// A run that is being put together.
pub(super) struct Encoder {
    bytes: Vec<u8>,
    head: Head,
}

impl Encoder {
    pub(super) fn new(base: u64, previous: u64) -> Self {
        let mut bytes = Vec::with_capacity(1024);
        bytes.resize(HEAD, 0);
        Self {
            bytes,
            head: Head {
                base,
                count: 0,
                previous,
                size: 0,
                started: 0,
                ended: 0,
            },
        }
    }

    pub(super) const fn end(&self) -> u64 {
        self.head.end()
    }

    /// Takes the record, or refuses it because it would make the row too long.
    pub(super) fn push(&mut self, entry: &Entry) -> bool {
        let record = &entry.record;
        if self.head.count == 0 {
            self.head.started = entry.time;
        }
        let time = difference(self.head.started, entry.time);
        let headers: usize = record
            .headers
            .iter()
            .map(|(name, value)| prefixed_len(name.as_bytes()) + prefixed_len(value))
            .sum();
        let mut flags = 0;
        let mut len = 1 + varint_len(time) + record.value.len();
        if let Some(key) = &record.key {
            flags |= KEY;
            len += prefixed_len(key);
        }
        if let Some(id) = &record.id {
            flags |= ID;
            len += prefixed_len(id.as_bytes());
        }
        if !record.headers.is_empty() {
            flags |= HEADERS;
            len += varint_len(record.headers.len() as u64) + headers;
        }
        if record.partition.is_some() {
            flags |= PARTITION;
        }
        let full = self.bytes.len() + varint_len(len as u64) + len > ROW;
        if self.head.count > 0 && (full || self.head.count == u32::MAX) {
            return false;
        }

        let bytes = &mut self.bytes;
        put_varint(bytes, len as u64);
        let start = bytes.len();
        bytes.push(flags);
        put_varint(bytes, time);
        if let Some(key) = &record.key {
            put_prefixed(bytes, key);
        }
        if let Some(id) = &record.id {
            put_prefixed(bytes, id.as_bytes());
        }
        if !record.headers.is_empty() {
            put_varint(bytes, record.headers.len() as u64);
            for (name, value) in &record.headers {
                put_prefixed(bytes, name.as_bytes());
                put_prefixed(bytes, value);
            }
        }
        bytes.extend_from_slice(&record.value);
        debug_assert_eq!(bytes.len() - start, len);
        self.head.count += 1;
        self.head.size += record.size() as u64;
        self.head.ended = entry.time;
        true
    }

    /// The row, and what it says about itself.
    pub(super) fn finish(mut self, place: Place) -> (Vec<u8>, Head) {
        let head = self.head;
        let mut front = Vec::with_capacity(HEAD);
        front.extend_from_slice(&[0; SUM]);
        front.push(VERSION);
        front.extend_from_slice(&head.count.to_le_bytes());
        for number in [head.previous, head.size, head.started, head.ended] {
            front.extend_from_slice(&number.to_le_bytes());
        }
        self.bytes[..HEAD].copy_from_slice(&front);
        let sum = checksum(&key(place, head.base), &self.bytes[SUM..]);
        self.bytes[..SUM].copy_from_slice(&sum.to_le_bytes());
        (self.bytes, head)
    }
}

/// A run as it lies in the store.
pub(super) struct Run<'a> {
    pub(super) head: Head,
    records: &'a [u8],
}

impl<'a> Run<'a> {
    /// Checks the row and reads what it says about itself. The error says what is wrong.
    pub(super) fn open(place: Place, base: u64, row: &'a [u8]) -> Result<Self, &'static str> {
        let sum = Reader::new(row).u32().ok_or("a row is cut short")?;
        if sum != checksum(&key(place, base), &row[SUM..]) {
            return Err("a checksum does not match");
        }
        let head = Self::head(base, row)?;
        let records = &row[HEAD..];
        Ok(Self { head, records })
    }

    /// What the row says about itself, taken at its word.
    pub(super) fn head(base: u64, row: &[u8]) -> Result<Head, &'static str> {
        let mut reader = Reader::new(row);
        reader.u32().ok_or("a row is cut short")?;
        if reader.u8() != Some(VERSION) {
            return Err("a row is of an unknown version");
        }
        let head = (|| {
            Some(Head {
                base,
                count: reader.u32()?,
                previous: reader.u64()?,
                size: reader.u64()?,
                started: reader.u64()?,
                ended: reader.u64()?,
            })
        })();
        let head = head.ok_or("a row is cut short")?;
        if head.count == 0 || head.previous > base || base.checked_add(head.count.into()).is_none()
        {
            return Err("a row contradicts itself");
        }
        Ok(head)
    }

    /// The records with their offsets, undecoded, in order.
    pub(super) fn records(&self) -> impl Iterator<Item = Result<(u64, &'a [u8]), &'static str>> {
        let mut reader = Reader::new(self.records);
        (self.head.base..self.head.end()).map(move |offset| match reader.prefixed() {
            Some(bytes) => Ok((offset, bytes)),
            None => Err("a record is cut short"),
        })
    }

    /// The time of an undecoded record.
    pub(super) fn time(&self, bytes: &[u8]) -> Option<u64> {
        let mut reader = Reader::new(bytes);
        reader.u8()?;
        Some(differing(self.head.started, reader.varint()?))
    }

    /// The record. It shares `bytes`.
    pub(super) fn decode(&self, bytes: &Bytes, topic: &Topic, partition: u32) -> Option<Entry> {
        let mut reader = Reader::new(bytes);
        let shared = |part: &[u8]| bytes.slice_ref(part);
        let text = |part: &[u8]| String::from_utf8(part.to_vec()).ok();
        let flags = reader.u8()?;
        let time = differing(self.head.started, reader.varint()?);
        let mut record = Record::new(topic, Bytes::new());
        if flags & KEY != 0 {
            record.key = Some(shared(reader.prefixed()?));
        }
        if flags & ID != 0 {
            record.id = Some(text(reader.prefixed()?)?);
        }
        if flags & HEADERS != 0 {
            for _ in 0..reader.varint()? {
                let name = text(reader.prefixed()?)?;
                record.headers.push((name, shared(reader.prefixed()?)));
            }
        }
        record.partition = (flags & PARTITION != 0).then_some(partition);
        record.value = shared(reader.rest());
        Some(Entry { record, time })
    }
}
