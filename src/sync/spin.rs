//! Short waits on the processor, measured in time.

use std::hint::spin_loop;
use std::time::{Duration, Instant};

/// Keeps the core for this long. How long a pause instruction takes differs by a factor of ten between processors, so
/// the clock decides: the machine's own, for this is about cores, not about anything a program could see or pause.
pub(crate) fn spin_for(duration: Duration) {
    let start = Instant::now();
    while start.elapsed() < duration {
        spin_loop();
    }
}
