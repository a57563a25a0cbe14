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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::Capabilities;
    use crate::broker::Broker;

    const PAGE: &str = include_str!("../../docs/engines.md");

    /// A column of the page's table: `yes` and `no` by flag.
    fn column(name: &str) -> BTreeMap<&'static str, &'static str> {
        let table = PAGE
            .split_once("<!-- capabilities: start -->")
            .and_then(|(_, rest)| rest.split_once("<!-- capabilities: end -->"))
            .expect("the page has a table")
            .0;
        let mut rows = table
            .lines()
            .filter(|line| line.starts_with('|'))
            .map(|line| line.split('|').map(str::trim).collect::<Vec<_>>());
        let header = rows.next().expect("it has a header");
        let at = header.iter().position(|&cell| cell == name);
        let at = at.expect("it has this column");
        rows.skip(1)
            .map(|row| (row[1].trim_matches('`'), row[at]))
            .collect()
    }

    #[track_caller]
    fn shown(name: &str, can: Capabilities) {
        // All flags there are, by the names that they have.
        let text = format!("{can:?}");
        let flags = text.split(['{', ',', '}']).filter_map(|field| {
            let (flag, value) = field.trim().split_once(": ")?;
            let answer = match value {
                "true" => "yes",
                "false" => "no",
                _the_name => return None,
            };
            Some((flag, answer))
        });
        let flags: BTreeMap<_, _> = flags.collect();
        assert!(flags.len() > 10);
        assert_eq!(column(name), flags, "{name} in docs/engines.md");
    }

    #[test]
    fn the_page_says_what_the_memory_can() {
        shown("memory", Broker::in_memory().capabilities());
    }

    #[cfg(feature = "durable")]
    #[tokio::test]
    async fn the_page_says_what_the_disk_can() {
        let dir = std::env::temp_dir().join(format!("pushpull-table-{}", std::process::id()));
        let policy = crate::broker::SyncPolicy::Os;
        let broker = Broker::open(&dir, policy).await.expect("a store");
        shown("durable", broker.capabilities());
        broker.close().await.expect("stored");
        std::fs::remove_dir_all(dir).expect("nobody has it");
    }

    #[cfg(feature = "nats")]
    #[test]
    fn the_page_says_what_nats_can() {
        shown("NATS", crate::nats::CAPABILITIES);
    }

    #[cfg(feature = "kafka")]
    #[test]
    fn the_page_says_what_kafka_can() {
        shown("Kafka", crate::kafka::capabilities(true));
    }
}
