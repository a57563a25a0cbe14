//! Push into a `Sink`, pull from a `Stream`, and everything that belongs between the two.

#![warn(missing_docs)]
#![cfg_attr(not(test), warn(clippy::unwrap_used))]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod batch;
mod block;
pub mod broadcast;
mod coop;
pub mod meter;
pub mod pull;
pub mod pump;
pub mod push;
pub mod queue;
#[cfg(feature = "rate")]
pub mod rate;
mod sync;
mod wake;

pub use batch::{Batch, BatchPolicy, FlushReason};
pub use pull::PullExt;
pub use push::PushExt;

/// The two extension traits, and nothing else.
pub mod prelude {
    pub use crate::{PullExt, PushExt};
}

/// The examples of the README, run with those of the documentation.
#[cfg(all(doctest, feature = "rate"))]
#[doc = include_str!("../README.md")]
struct Readme;
