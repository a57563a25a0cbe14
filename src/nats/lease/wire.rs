//! How keys and values are written in the store.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::broker::Topic;

use super::{Key, Part, Value};

/// What a member says of itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Member {
    /// Whoever sees nothing new of it for so long may declare it gone.
    pub(crate) term: Duration,
    /// Counts the writes.
    pub(crate) beat: u64,
    /// What it reads, and how many partitions that has.
    pub(crate) topics: BTreeMap<Topic, u32>,
}

/// Whose a partition is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Lease {
    pub(crate) owner: Option<String>,
    pub(crate) note: Note,
}

/// What a partition's owners tell their successors.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Note {
    /// Where the group goes on if the durable that the server keeps for it is new, and nothing was acknowledged in it.
    pub(crate) home: Option<u64>,
    /// The committed offset in that case.
    pub(crate) committed: Option<u64>,
    /// From where to where the server delivered what no consumer ever got, once for each of these. Without an end: as far as it
    /// had delivered when the owner gave the partition up.
    pub(crate) unread: Vec<(u64, Option<u64>)>,
}

const VERSION: &str = "1";

impl Key {
    /// The key's name below that of its group.
    pub(crate) fn encode(&self, group: &str) -> String {
        let group = token(group);
        match self {
            Self::Member(name) => format!("{group}.member.{}", token(name)),
            Self::Part(part) => {
                format!("{group}.lease.{}.{}", token(&part.topic), part.partition)
            }
        }
    }

    pub(crate) fn decode(group: &str, name: &str) -> Option<Self> {
        let rest = name.strip_prefix(&token(group))?.strip_prefix('.')?;
        let mut tokens = rest.split('.');
        let key = match (tokens.next()?, tokens.next()?) {
            ("member", name) => Self::Member(untoken(name)?),
            ("lease", topic) => Self::Part(Part {
                topic: untoken(topic)?.into(),
                partition: tokens.next()?.parse().ok()?,
            }),
            _ => return None,
        };
        tokens.next().is_none().then_some(key)
    }
}

impl Value {
    /// Lines of words. Whoever is gone is nothing.
    pub(crate) fn encode(&self) -> String {
        let mut lines = format!("version {VERSION}\n");
        let mut line = |words: &[&str]| {
            lines.push_str(&words.join(" "));
            lines.push('\n');
        };
        match self {
            Self::Member(member) => {
                line(&["term", &member.term.as_millis().to_string()]);
                line(&["beat", &member.beat.to_string()]);
                for (topic, partitions) in &member.topics {
                    line(&["topic", &token(topic), &partitions.to_string()]);
                }
            }
            Self::Lease(lease) => {
                if let Some(owner) = &lease.owner {
                    line(&["owner", &token(owner)]);
                }
                if let Some(home) = lease.note.home {
                    line(&["home", &home.to_string()]);
                }
                if let Some(committed) = lease.note.committed {
                    line(&["committed", &committed.to_string()]);
                }
                for (from, to) in &lease.note.unread {
                    let to = to.map_or_else(String::new, |to| to.to_string());
                    line(&["unread", &from.to_string(), &to]);
                }
            }
            Self::Gone => lines.clear(),
        }
        lines
    }

    /// What stands under this key. `None`: nothing that this version understands.
    pub(crate) fn decode(key: &Key, value: &[u8]) -> Option<Self> {
        if value.is_empty() {
            return Some(Self::Gone);
        }
        let text = std::str::from_utf8(value).ok()?;
        let mut lines = text.lines().map(|line| {
            let mut words = line.split(' ');
            (words.next().unwrap_or_default(), words)
        });
        let (name, mut version) = lines.next()?;
        if name != "version" || version.next()? != VERSION {
            return None;
        }
        // Lines that are not known are from a later version, which thought that they may be left out.
        match key {
            Key::Member(_) => {
                let mut member = Member {
                    term: Duration::ZERO,
                    beat: 0,
                    topics: BTreeMap::new(),
                };
                for (name, mut words) in lines {
                    match name {
                        "term" => member.term = Duration::from_millis(words.next()?.parse().ok()?),
                        "beat" => member.beat = words.next()?.parse().ok()?,
                        "topic" => {
                            let topic = untoken(words.next()?)?.into();
                            member.topics.insert(topic, words.next()?.parse().ok()?);
                        }
                        _ => {}
                    }
                }
                Some(Self::Member(member))
            }
            Key::Part(_) => {
                let mut lease = Lease {
                    owner: None,
                    note: Note::default(),
                };
                for (name, mut words) in lines {
                    match name {
                        "owner" => lease.owner = Some(untoken(words.next()?)?),
                        "home" => lease.note.home = Some(words.next()?.parse().ok()?),
                        "committed" => lease.note.committed = Some(words.next()?.parse().ok()?),
                        "unread" => {
                            let from = words.next()?.parse().ok()?;
                            let to = words.next().filter(|to| !to.is_empty());
                            let to = to.map(str::parse).transpose().ok()?;
                            lease.note.unread.push((from, to));
                        }
                        _ => {}
                    }
                }
                Some(Self::Lease(lease))
            }
        }
    }
}

/// One token of a key, of letters that every server takes.
pub(crate) fn token(text: &str) -> String {
    use std::fmt::Write as _;

    let mut token = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => token.push(char::from(byte)),
            other => {
                // Writing into a string does not fail.
                let _ = write!(token, "={other:02X}");
            }
        }
    }
    token
}

fn untoken(token: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(token.len());
    let mut rest = token.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        rest = behind;
        if first != b'=' {
            bytes.push(first);
            continue;
        }
        let (code, behind) = rest.split_at_checked(2)?;
        rest = behind;
        bytes.push(u8::from_str_radix(std::str::from_utf8(code).ok()?, 16).ok()?);
    }
    String::from_utf8(bytes).ok()
}
