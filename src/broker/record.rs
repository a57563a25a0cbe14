//! What is pushed into a topic, what comes out of it, and where it lies.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;

/// The name of a topic: text that is cheap to clone.
///
/// It compares with and converts from strings, and derefs to `str`.
#[derive(Clone)]
pub struct Topic(Name);

#[derive(Clone)]
enum Name {
    /// Copied at no cost, where counting references is what a delivery would cost most.
    Fixed(&'static str),
    Counted(Arc<str>),
}

impl Topic {
    /// A name that is known to the compiler. It is copied where others are counted.
    pub const fn from_static(name: &'static str) -> Self {
        Self(Name::Fixed(name))
    }

    /// The name as text.
    #[inline]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Name::Fixed(name) => name,
            Name::Counted(name) => name,
        }
    }

    /// The same name, fixed. Each name is kept once, until the process ends: for the names of topics that are created, of
    /// which there are few.
    pub(crate) fn fixed(&self) -> Self {
        static FIXED: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());

        if let Name::Fixed(_) = self.0 {
            return self.clone();
        }
        let mut all = FIXED.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.get(self.as_str()).copied();
        let name = known.unwrap_or_else(|| {
            let name: &'static str = Box::leak(self.as_str().into());
            all.insert(name);
            name
        });
        Self(Name::Fixed(name))
    }
}

impl PartialEq for Topic {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        let (one, two) = (self.as_str(), other.as_str());
        std::ptr::eq(one, two) || one == two
    }
}

impl Eq for Topic {}

impl PartialOrd for Topic {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Topic {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl Hash for Topic {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl Deref for Topic {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl Borrow<str> for Topic {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for Topic {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl From<&str> for Topic {
    fn from(name: &str) -> Self {
        Self(Name::Counted(name.into()))
    }
}

impl From<String> for Topic {
    fn from(name: String) -> Self {
        Self(Name::Counted(name.into()))
    }
}

impl From<&String> for Topic {
    fn from(name: &String) -> Self {
        Self(Name::Counted(name.as_str().into()))
    }
}

impl From<&Self> for Topic {
    fn from(name: &Self) -> Self {
        name.clone()
    }
}

impl From<Topic> for String {
    fn from(topic: Topic) -> Self {
        topic.as_str().into()
    }
}

impl PartialEq<str> for Topic {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Topic {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl PartialEq<String> for Topic {
    fn eq(&self, other: &String) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<Topic> for str {
    fn eq(&self, other: &Topic) -> bool {
        self == other.as_str()
    }
}

impl PartialEq<Topic> for &str {
    fn eq(&self, other: &Topic) -> bool {
        *self == other.as_str()
    }
}

impl PartialEq<Topic> for String {
    fn eq(&self, other: &Topic) -> bool {
        self == other.as_str()
    }
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One message for a topic.
///
/// ```
/// use pushpull::broker::Record;
///
/// let record = Record::new("orders", "two apples").key("alice").header("source", "web");
/// assert_eq!(record.topic, "orders");
/// assert_eq!(record.value, "two apples");
/// assert_eq!(record.header_value("source").unwrap(), "web");
/// assert_eq!(record.header_value("target"), None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record {
    /// The topic it goes to, or came from.
    pub topic: Topic,
    /// Records with the same key go to the same partition, and so stay in order among each other.
    pub key: Option<Bytes>,
    /// The partition it must go to, whatever its key.
    pub partition: Option<u32>,
    /// The payload.
    pub value: Bytes,
    /// Named values beside the payload, in the order in which they were added; a name may occur more than once.
    pub headers: Vec<(String, Bytes)>,
    /// An identity given by whoever made the record. Consumers can tell duplicates by it, and so do engines that
    /// [`deduplicate`](super::Capabilities::deduplicates).
    pub id: Option<String>,
}

impl Record {
    /// A record with neither key, partition, headers nor id.
    pub fn new(topic: impl Into<Topic>, value: impl Into<Bytes>) -> Self {
        Self {
            topic: topic.into(),
            key: None,
            partition: None,
            value: value.into(),
            headers: Vec::new(),
            id: None,
        }
    }

    /// Sets the key.
    #[must_use]
    pub fn key(mut self, key: impl Into<Bytes>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Sets the partition.
    #[must_use]
    pub fn partition(mut self, partition: u32) -> Self {
        self.partition = Some(partition);
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Bytes>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the id.
    #[must_use]
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// The value of the first header with this name.
    pub fn header_value(&self, name: &str) -> Option<&Bytes> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value)
    }

    /// Bytes of value, key, headers and id together: what bounds in bytes count.
    #[inline]
    pub fn size(&self) -> usize {
        let headers: usize = self
            .headers
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum();
        self.value.len()
            + self.key.as_ref().map_or(0, Bytes::len)
            + self.id.as_ref().map_or(0, String::len)
            + headers
    }
}

/// Where a record lies: an offset in a partition of a topic.
///
/// A position that came with a [`Delivery`] also remembers under which assignment of the partition it was delivered, so
/// that a late [`commit_to`](super::Consumer::commit_to) can be told from a valid one. That memory takes no part in
/// comparisons.
#[derive(Clone)]
pub struct Position {
    /// The topic.
    pub topic: Topic,
    /// The partition, counted from 0.
    pub partition: u32,
    /// The record's place in the partition. Offsets grow, and may have gaps.
    pub offset: u64,
    generation: u64,
}

impl Position {
    /// A position that belongs to no assignment.
    pub fn new(topic: impl Into<Topic>, partition: u32, offset: u64) -> Self {
        Self {
            topic: topic.into(),
            partition,
            offset,
            generation: 0,
        }
    }

    /// The same position, delivered under an assignment. Generations begin at 1; for those who implement an engine.
    #[must_use]
    #[inline]
    pub fn with_generation(mut self, generation: u64) -> Self {
        self.generation = generation;
        self
    }

    /// The assignment under which it was delivered, or 0.
    pub fn generation(&self) -> u64 {
        self.generation
    }
}

impl PartialEq for Position {
    fn eq(&self, other: &Self) -> bool {
        (self.offset, self.partition, &self.topic) == (other.offset, other.partition, &other.topic)
    }
}

impl Eq for Position {}

impl Hash for Position {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.topic, self.partition, self.offset).hash(state);
    }
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}@{}", self.topic, self.partition, self.offset)
    }
}

/// A record on its way to a consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Delivery {
    /// The record.
    pub record: Record,
    /// Where it lies, and under which assignment it was delivered.
    pub position: Position,
    /// How often it has been delivered to the group, this time included.
    pub attempt: u32,
    /// When the broker took it.
    pub time: SystemTime,
}

impl Delivery {
    /// Puts a delivery together; for those who implement an engine.
    pub fn new(record: Record, position: Position, attempt: u32, time: SystemTime) -> Self {
        Self {
            record,
            position,
            attempt,
            time,
        }
    }
}

/// Where reading begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Start {
    /// At the oldest record that is retained.
    Earliest,
    /// After the newest record: only what comes from now on.
    Latest,
    /// At this offset.
    Offset(u64),
    /// At the first record that was taken at this time or later.
    Time(SystemTime),
}
