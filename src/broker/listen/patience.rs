//! How long to wait after a poll that brought nothing.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_secs(1);

/// Doubles from 10 ms up to a second, until something comes.
#[derive(Default)]
pub(super) struct Patience(u32);

impl Patience {
    pub(super) fn next(&mut self) -> Duration {
        let pause = FIRST.saturating_mul(1 << self.0).min(LONGEST);
        self.0 = (self.0 + 1).min(7);
        pause
    }

    pub(super) fn reset(&mut self) {
        self.0 = 0;
    }
}
