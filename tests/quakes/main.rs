//! The main job as its users meet it: `examples/quakes` as a process of its own, on good and bad feeds.
#![cfg(feature = "rate")]

// The two parts that compute without a process, for what only they can show.
#[path = "../../examples/quakes/feed.rs"]
mod feed;
#[path = "../../examples/quakes/report.rs"]
mod report;

mod files;
mod process;

mod excerpt;
mod input;
#[cfg(unix)]
mod interrupt;
mod options;
mod output;
mod sums;
