//! Sinks to start from and what is done to any sink, on the paused clock.

mod each;
mod fan_out;
#[path = "../pump_kit/mod.rs"]
mod pump_kit;
#[cfg(feature = "retry")]
mod retry;
mod send_timeout;

use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
