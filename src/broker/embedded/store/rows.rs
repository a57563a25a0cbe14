//! The three tables, and what lies in the rows of the small one.
//!
//! `runs` has the records, `mail` the mailboxes' messages. Everything else is in `state`: its rows are few and small, so
//! they share pages, and a commit rewrites few. Opening reads all of it and nothing of the others.

use std::time::Duration;

use redb::{Table, TableDefinition};

use super::Place;
use super::codec::{Reader, put_prefixed, seal, sealed_with, unseal};
use super::fault::Fault;
use crate::broker::{TopicConfig, WhenFull};

pub(super) const RUNS: TableDefinition<(u32, u32, u64), &[u8]> = TableDefinition::new("runs");
pub(super) const MAIL: TableDefinition<(u32, &[u8], u64), &[u8]> = TableDefinition::new("mail");
pub(super) const STATE: TableDefinition<&[u8], &[u8]> = TableDefinition::new("state");

/// The version of the format that this release writes, and the only one that it reads.
pub(super) const FORMAT: u32 = 1;

/// What a row of the table `state` is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Row<'a> {
    /// The version of the format.
    Format,
    /// How many rows there are below, and the sum of their checksums.
    Tally,
    Topic(u32),
    Partition(Place),
    /// How far a group has come in a partition.
    Group(&'a str, Place),
    MailBox(u32),
    /// The bounds of a key's mail.
    MailKey(u32, &'a [u8]),
}

impl<'a> Row<'a> {
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(16);
        let number = |bytes: &mut Vec<u8>, number: u32| bytes.extend(number.to_be_bytes());
        match *self {
            Self::Format => bytes.push(0),
            Self::Tally => bytes.push(1),
            Self::Topic(topic) => {
                bytes.push(2);
                number(&mut bytes, topic);
            }
            Self::Partition((topic, partition)) => {
                bytes.push(3);
                number(&mut bytes, topic);
                number(&mut bytes, partition);
            }
            Self::Group(group, (topic, partition)) => {
                bytes.push(4);
                number(&mut bytes, topic);
                number(&mut bytes, partition);
                bytes.extend_from_slice(group.as_bytes());
            }
            Self::MailBox(id) => {
                bytes.push(5);
                number(&mut bytes, id);
            }
            Self::MailKey(id, key) => {
                bytes.push(6);
                number(&mut bytes, id);
                bytes.extend_from_slice(key);
            }
        }
        bytes
    }

    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let key = match reader.u8()? {
            0 => Self::Format,
            1 => Self::Tally,
            2 => Self::Topic(reader.key_u32()?),
            3 => Self::Partition((reader.key_u32()?, reader.key_u32()?)),
            4 => {
                let place = (reader.key_u32()?, reader.key_u32()?);
                Self::Group(std::str::from_utf8(reader.rest()).ok()?, place)
            }
            5 => Self::MailBox(reader.key_u32()?),
            6 => Self::MailKey(reader.key_u32()?, reader.rest()),
            _ => return None,
        };
        (reader.len() == 0).then_some(key)
    }
}

/// How many rows the table `state` has, and the sum of their checksums: a row that is missing or out of date is found out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    rows: u64,
    sum: u64,
}

impl Tally {
    pub(super) fn add(&mut self, row: &[u8]) {
        self.rows = self.rows.wrapping_add(1);
        self.sum = self
            .sum
            .wrapping_add(sealed_with(row).unwrap_or_default().into());
    }

    fn take_off(&mut self, row: &[u8]) {
        self.rows = self.rows.wrapping_sub(1);
        self.sum = self
            .sum
            .wrapping_sub(sealed_with(row).unwrap_or_default().into());
    }

    pub(super) fn decode(body: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(body);
        Some(Self {
            rows: reader.u64()?,
            sum: reader.u64()?,
        })
    }

    fn encode(&self) -> Vec<u8> {
        [self.rows, self.sum].map(u64::to_le_bytes).concat()
    }
}

/// Writes into the table `state` and keeps the tally.
pub(super) struct State<'t, 'a> {
    pub(super) table: Table<'t, &'static [u8], &'static [u8]>,
    pub(super) tally: &'a mut Tally,
}

impl State<'_, '_> {
    pub(super) fn put(&mut self, key: Row<'_>, body: Vec<u8>) -> Result<(), Fault> {
        let key = key.bytes();
        let row = seal(&key, body);
        if let Some(old) = self.table.insert(key.as_slice(), row.as_slice())? {
            self.tally.take_off(old.value());
        }
        self.tally.add(&row);
        Ok(())
    }

    /// Writes the tally; the last thing in a transaction.
    pub(super) fn finish(mut self) -> Result<(), Fault> {
        for (key, body) in [
            (Row::Format, FORMAT.to_le_bytes().to_vec()),
            (Row::Tally, self.tally.encode()),
        ] {
            if key == Row::Format && self.tally.rows > 0 {
                continue;
            }
            let key = key.bytes();
            self.table
                .insert(key.as_slice(), seal(&key, body).as_slice())?;
        }
        Ok(())
    }
}

/// The row's body, if its checksum is right.
pub(super) fn body<'a>(key: &[u8], row: &'a [u8]) -> Result<&'a [u8], Fault> {
    unseal(key, row).ok_or_else(|| {
        Fault::damaged(format!(
            "the row of {}: a checksum does not match",
            name(key)
        ))
    })
}

/// What a row is about, for those who read an error.
pub(super) fn name(key: &[u8]) -> String {
    match Row::parse(key) {
        Some(Row::Format) => "the format's version".into(),
        Some(Row::Tally) => "the tally".into(),
        Some(Row::Topic(topic)) => format!("topic #{topic}"),
        Some(Row::Partition((topic, partition))) => {
            format!("partition {partition} of topic #{topic}")
        }
        Some(Row::Group(group, (topic, partition))) => {
            format!("group `{group}` in partition {partition} of topic #{topic}")
        }
        Some(Row::MailBox(id)) => format!("mailbox #{id}"),
        Some(Row::MailKey(id, key)) => format!("key {:?} of mailbox #{id}", key.escape_ascii()),
        None => format!("the unknown key {:?}", key.escape_ascii()),
    }
}

/// The bounds of a partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Bounds {
    /// The oldest offset that is retained.
    pub(super) first: u64,
    /// The offset at which the oldest run begins, which may have records below `first`.
    pub(super) lowest: u64,
    pub(super) next: u64,
    /// Records in all runs, and what they count against bounds in bytes.
    pub(super) records: u64,
    pub(super) bytes: u64,
    /// The time of the newest record there ever was.
    pub(super) time: u64,
}

impl Bounds {
    pub(super) fn encode(&self) -> Vec<u8> {
        [
            self.first,
            self.lowest,
            self.next,
            self.records,
            self.bytes,
            self.time,
        ]
        .map(u64::to_le_bytes)
        .concat()
    }

    pub(super) fn decode(body: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(body);
        Some(Self {
            first: reader.u64()?,
            lowest: reader.u64()?,
            next: reader.u64()?,
            records: reader.u64()?,
            bytes: reader.u64()?,
            time: reader.u64()?,
        })
    }
}

/// The bounds of a key's mail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct MailBounds {
    /// The oldest sequence number that is retained, or the next one if none is.
    pub(crate) first: u64,
    /// The newest sequence number there ever was.
    pub(crate) last: u64,
    /// The newest of which a message was stored; 0 if none was.
    pub(crate) stored: u64,
    /// How many messages are retained.
    pub(crate) messages: u64,
    /// Bytes of their values.
    pub(crate) bytes: u64,
}

impl MailBounds {
    pub(super) fn encode(&self) -> Vec<u8> {
        [
            self.first,
            self.last,
            self.stored,
            self.messages,
            self.bytes,
        ]
        .map(u64::to_le_bytes)
        .concat()
    }

    pub(super) fn decode(body: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(body);
        Some(Self {
            first: reader.u64()?,
            last: reader.u64()?,
            stored: reader.u64()?,
            messages: reader.u64()?,
            bytes: reader.u64()?,
        })
    }
}

pub(super) fn encode_topic(name: &str, config: &TopicConfig) -> Vec<u8> {
    let mut body = Vec::new();
    put_prefixed(&mut body, name.as_bytes());
    body.extend_from_slice(&config.partitions.to_le_bytes());
    for bound in [config.max_records, config.max_bytes] {
        body.push(bound.is_some().into());
        body.extend_from_slice(&bound.unwrap_or_default().to_le_bytes());
    }
    body.push(config.max_age.is_some().into());
    let age = config.max_age.unwrap_or_default();
    body.extend_from_slice(&age.as_secs().to_le_bytes());
    body.extend_from_slice(&age.subsec_nanos().to_le_bytes());
    body.push(match config.when_full {
        WhenFull::DropOldest => 0,
        WhenFull::Wait => 1,
        WhenFull::Reject => 2,
    });
    body.extend_from_slice(&(config.max_record_bytes as u64).to_le_bytes());
    body
}

pub(super) fn decode_topic(body: &[u8]) -> Option<(String, TopicConfig)> {
    let mut reader = Reader::new(body);
    let name = String::from_utf8(reader.prefixed()?.to_vec()).ok()?;
    let mut config = TopicConfig::partitions(reader.u32()?);
    let bound = |reader: &mut Reader<'_>| {
        let bounded = reader.u8()? == 1;
        reader.u64().map(|bound| bounded.then_some(bound))
    };
    config.max_records = bound(&mut reader)?;
    config.max_bytes = bound(&mut reader)?;
    let aged = reader.u8()? == 1;
    let (seconds, nanos) = (reader.u64()?, reader.u32()?);
    config.max_age = aged.then(|| Duration::new(seconds, nanos));
    config.when_full = match reader.u8()? {
        0 => WhenFull::DropOldest,
        1 => WhenFull::Wait,
        2 => WhenFull::Reject,
        _ => return None,
    };
    config.max_record_bytes = usize::try_from(reader.u64()?).unwrap_or(usize::MAX);
    Some((name, config))
}
