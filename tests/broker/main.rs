//! The embedded broker beyond the contract: dropped futures, hostile records, extremes, and many at once.
#![cfg(feature = "broker")]

mod cancel;
mod extremes;
mod hostile;
mod sink;
mod stress;
