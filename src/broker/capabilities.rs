//! What an engine can do.

/// What an engine can do. What it cannot answers [`Error::Unsupported`](super::Error::Unsupported).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// The engine's name.
    pub engine: &'static str,
    /// Acknowledged records outlive the process.
    pub durable: bool,
    /// [`seek`](super::Consumer::seek) to an offset, to the earliest and to the latest.
    pub seek: bool,
    /// [`seek`](super::Consumer::seek) to a time.
    pub seek_time: bool,
    /// Single deliveries are redelivered by [`nack`](super::Consumer::nack) and when they are not acknowledged in time.
    pub redelivers: bool,
    /// [`nack`](super::Consumer::nack) with a delay.
    pub nack_delay: bool,
    /// Offsets without gaps, counted from 0.
    pub dense_offsets: bool,
    /// A record's [`id`](super::Record::id) keeps it from being stored twice.
    pub deduplicates: bool,
    /// Records may name their partition.
    pub partitions: bool,
    /// Partitions can be paused.
    pub pauses: bool,
    /// The committed offset and the lag are known.
    pub lag: bool,
    /// A topic keeps at most so many records: [`retain_records`](super::TopicConfig::retain_records).
    pub retains_records: bool,
    /// A topic keeps at most so many bytes: [`retain_bytes`](super::TopicConfig::retain_bytes).
    pub retains_bytes: bool,
    /// A topic removes records by age: [`retain_for`](super::TopicConfig::retain_for).
    pub retains_age: bool,
    /// A full topic makes its producers wait or refuses them:
    /// [`WhenFull::Wait`](super::WhenFull::Wait) and [`WhenFull::Reject`](super::WhenFull::Reject).
    pub waits_when_full: bool,
    /// A topic has its own bound on the size of a record: [`max_record_bytes`](super::TopicConfig::max_record_bytes).
    pub bounds_records: bool,
    /// When members come and go, only the partitions that change hands pause. Otherwise all do for a moment.
    pub cooperative: bool,
}

impl Capabilities {
    /// Those of an engine that can do nothing beyond what every engine must; for those who implement one.
    pub const fn none(engine: &'static str) -> Self {
        Self {
            engine,
            durable: false,
            seek: false,
            seek_time: false,
            redelivers: false,
            nack_delay: false,
            dense_offsets: false,
            deduplicates: false,
            partitions: false,
            pauses: false,
            lag: false,
            retains_records: false,
            retains_bytes: false,
            retains_age: false,
            waits_when_full: false,
            bounds_records: false,
            cooperative: false,
        }
    }
}
