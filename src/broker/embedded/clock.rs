//! The time of day on tokio's clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// Reads the wall once and goes on with tokio's clock from there: paused time stands still here as well.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    began: Instant,
    wall: u64,
}

impl Clock {
    /// `not_before`: the newest time that is stored already. A wall clock that was set back does not go behind it.
    pub(crate) fn new(not_before: u64) -> Self {
        Self {
            began: Instant::now(),
            wall: micros(SystemTime::now()).max(not_before),
        }
    }

    /// Microseconds since the Unix epoch.
    pub(crate) fn at(&self, now: Instant) -> u64 {
        let passed = now.saturating_duration_since(self.began).as_micros();
        self.wall
            .saturating_add(u64::try_from(passed).unwrap_or(u64::MAX))
    }
}

pub(crate) fn micros(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| {
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    })
}

pub(crate) fn system_time(micros: u64) -> SystemTime {
    UNIX_EPOCH
        .checked_add(Duration::from_micros(micros))
        .unwrap_or(UNIX_EPOCH)
}
