//! [`PullExt`]: what can be done to any [`Stream`] on its way from where it is pulled.

use futures_core::Stream;

/// Operators for every [`Stream`].
pub trait PullExt: Stream {
    // -- batch --

    // -- rate --

    // -- queue: buffer --

    // -- broadcast --

    // -- meter --

    // -- pump --
}

impl<S: Stream + ?Sized> PullExt for S {}
