//! [`PushExt`]: what can be done to any [`Sink`] on the way to where it is pushed, and sinks to start from.

use futures_sink::Sink;

/// Operators for every [`Sink`] of `T`.
pub trait PushExt<T>: Sink<T> {
    // -- batch --

    // -- rate --

    // -- meter --

    // -- pump: send_timeout, spawn --
}

impl<T, S: Sink<T> + ?Sized> PushExt<T> for S {}
