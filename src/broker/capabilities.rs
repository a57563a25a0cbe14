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
        }
    }
}
