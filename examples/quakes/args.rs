//! The command line.

use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use pushpull::queue::Overflow;

/// Replays a USGS earthquake feed as if it came in live: through a bounded queue, in batches, past a rate limit, to a
/// file and to several subscribers. Ctrl-C stops it and still says where every event went; again, and it does not wait.
#[derive(Debug, Parser)]
#[command(name = "quakes", allow_negative_numbers = true)]
pub(crate) struct Args {
    /// A feed in the USGS CSV format, or `-` for standard input [default: an excerpt that is built in]
    pub file: Option<PathBuf>,

    /// The least magnitude that is an alert
    #[arg(long, value_name = "M", default_value_t = 4.5, value_parser = finite)]
    pub alert: f64,

    /// Write what is delivered to this file as JSON Lines, in place of what it held
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,

    /// Replay at so many times real time [default: as fast as possible]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub speed: Option<f64>,

    /// How many events may wait in the queue
    #[arg(long, value_name = "N", default_value = "1024")]
    pub capacity: NonZeroUsize,

    /// What happens to an event that finds the queue full
    #[arg(long, value_enum, default_value_t = OnFull::Wait)]
    pub overflow: OnFull,

    /// Deliver no more than so many events a second [default: no limit]
    #[arg(long, value_name = "N")]
    pub rate: Option<NonZeroU32>,

    /// How long Ctrl-C waits for what is queued to be delivered
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = seconds)]
    pub grace: Duration,

    /// Print the summary as one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `--overflow`.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum OnFull {
    /// The replay waits for room
    Wait,
    /// The event is refused
    Reject,
    /// The event is dropped
    DropNewest,
    /// The event that has waited longest is dropped
    DropOldest,
}

impl From<OnFull> for Overflow {
    fn from(on_full: OnFull) -> Self {
        match on_full {
            OnFull::Wait => Self::Wait,
            OnFull::Reject => Self::Reject,
            OnFull::DropNewest => Self::DropNewest,
            OnFull::DropOldest => Self::DropOldest,
        }
    }
}

fn finite(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(number),
        _ => Err("not a number".into()),
    }
}

fn positive(text: &str) -> Result<f64, String> {
    let number = finite(text)?;
    if number > 0.0 {
        Ok(number)
    } else {
        Err("must be above zero".into())
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    Duration::try_from_secs_f64(finite(text)?).map_err(|e| e.to_string())
}
