//! The embedded broker beyond the contract: dropped futures, hostile records, extremes, and many at once.
#![cfg(feature = "broker")]

mod cancel;
#[cfg(feature = "durable")]
mod dir;
mod extremes;
mod hostile;
mod joints;
#[cfg(feature = "durable")]
mod mailbox;
#[cfg(feature = "durable")]
mod mailbox_race;
mod sink;
mod stress;
