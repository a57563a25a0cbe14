//! What the clients of engines outside the process tell of themselves.

use std::ops::Deref;
use std::time::Duration;

#[cfg(feature = "kafka")]
use super::registry::{Kind, Naming, Reading, Registration, Source};
#[cfg(feature = "kafka")]
use crate::sync::{Arc, Mutex, lock};

/// The client of an engine outside the process.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct EngineEntry {
    /// What it is: `kafka producer`, or `kafka` and the group of a consumer; with an index where the name was taken.
    pub name: String,
    /// Whether it has gone, and these are its last figures.
    pub gone: bool,
    /// Its figures.
    #[cfg_attr(feature = "serde", serde(flatten))]
    pub stats: EngineStats,
    #[cfg_attr(feature = "serde", serde(skip))]
    #[cfg_attr(
        not(feature = "metrics"),
        expect(dead_code, reason = "only an exporter tells entries apart")
    )]
    pub(super) id: u64,
}

/// What a client of an engine outside the process said of itself last.
///
/// Kafka's clients do so where `kafka::Options::statistics_every` asks them to. All is 0 until they have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct EngineStats {
    /// Records that were sent, those that were sent again included.
    pub pushed: u64,
    /// Their bytes.
    pub pushed_bytes: u64,
    /// Records that came in.
    pub delivered: u64,
    /// Their bytes.
    pub delivered_bytes: u64,
    /// Records that wait in the client: to be sent and acknowledged, or to be taken.
    pub waiting: u64,
    /// Their bytes.
    pub waiting_bytes: u64,
    /// Servers that the client is connected with.
    pub connections: u64,
    /// Requests that failed or were not answered in time.
    pub errors: u64,
    /// Requests that were made again.
    pub retries: u64,
    /// How long a request takes, on average over the last interval; the slowest server's. `None`: there was none.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "round_trip_seconds", serialize_with = "seconds")
    )]
    pub round_trip: Option<Duration>,
    /// How many records the group has not acknowledged in the partitions that are this consumer's, where that is known.
    pub lag: Option<u64>,
}

#[cfg(feature = "serde")]
fn seconds<S: serde::Serializer>(time: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => super::seconds(time, to),
        None => to.serialize_none(),
    }
}

impl Deref for EngineEntry {
    type Target = EngineStats;

    fn deref(&self) -> &EngineStats {
        &self.stats
    }
}

/// Keeps what a client said last.
#[cfg(feature = "kafka")]
pub(crate) struct EngineMeter {
    last: Mutex<EngineStats>,
    registration: Option<Registration>,
}

#[cfg(feature = "kafka")]
impl EngineMeter {
    pub(crate) fn new(name: &str) -> Arc<Self> {
        let naming = Naming::new(Kind::Engine, name);
        Naming::build(Some(&naming), |registration| Self {
            last: Mutex::new(EngineStats::default()),
            registration,
        })
    }

    pub(crate) fn set(&self, stats: EngineStats) {
        *lock(&self.last) = stats;
    }
}

#[cfg(feature = "kafka")]
impl Source for EngineMeter {
    fn read(&self) -> Reading {
        Reading::Engine(*lock(&self.last))
    }
}

#[cfg(feature = "kafka")]
impl Drop for EngineMeter {
    fn drop(&mut self) {
        if let Some(registration) = &self.registration {
            registration.finish(self.read());
        }
    }
}
