//! [`PullExt`]: what can be done to any [`Stream`] on its way from where it is pulled.

use futures_core::Stream;

use crate::meter::Metered;

/// Operators for every [`Stream`].
pub trait PullExt: Stream {
    // -- batch --

    // -- rate --

    // -- queue: buffer --

    // -- broadcast --

    // -- meter --

    /// Counts the items that pass, and how often the stream was waited for, under a name in the
    /// [registry](crate::meter::registry). Items, order, end and `size_hint` stay as they are.
    ///
    /// Of two equal names the later one gets an index: `parsed`, `parsed#2`. The entry leaves with the stream; its last
    /// counters stay for the next snapshot. An item costs a few nanoseconds: one store, no lock and no clock.
    ///
    /// # Back-pressure
    ///
    /// None of its own: each poll is passed on once.
    ///
    /// # Cancel safety
    ///
    /// It holds no item; dropping it loses nothing that the stream had not handed out.
    ///
    /// ```
    /// use futures::StreamExt;
    /// use pushpull::{meter, prelude::*};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let parsed = futures::stream::iter(["1", "x", "3"]).map(str::parse::<u8>).metered("parsed");
    /// let seen: Vec<_> = parsed.collect().await;
    /// assert_eq!(seen[0], Ok(1));
    /// assert!(seen[1].is_err(), "an error of a stream is an item like any other");
    ///
    /// let snapshot = meter::registry().snapshot();
    /// let parsed = snapshot.operator("parsed").expect("gone, and so in one more snapshot");
    /// assert_eq!((parsed.items, parsed.errors, parsed.ended), (3, 0, true));
    /// assert!(meter::registry().snapshot().operator("parsed").is_none());
    /// # }
    /// ```
    fn metered(self, name: impl Into<String>) -> Metered<Self>
    where
        Self: Sized,
    {
        Metered::new(self, &name.into())
    }

    // -- pump --
}

impl<S: Stream + ?Sized> PullExt for S {}
