//! [`PushExt`]: what can be done to any [`Sink`] on the way to where it is pushed, and sinks to start from.

use futures_sink::Sink;

use crate::meter::SinkMetered;

/// Operators for every [`Sink`] of `T`.
pub trait PushExt<T>: Sink<T> {
    // -- batch --

    // -- rate --

    // -- meter --

    /// Counts the items that are pushed, how often there was no room, and the errors, under a name in the
    /// [registry](crate::meter::registry). Everything is passed on as it is.
    ///
    /// An item counts when `start_send` took it, a wait when `poll_ready` had to wait, an error when any of the four
    /// phases failed. Names, the entry's life and the cost are as for [`metered`](crate::PullExt::metered).
    ///
    /// # Back-pressure
    ///
    /// The sink's own.
    ///
    /// # Errors
    ///
    /// The sink's own.
    ///
    /// ```
    /// use futures::{SinkExt, channel::mpsc};
    /// use pushpull::{meter, prelude::*};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let (tx, mut rx) = mpsc::channel(8);
    /// let mut saved = tx.sink_metered("saved");
    /// saved.send(1).await.unwrap();
    /// saved.send(2).await.unwrap();
    /// assert_eq!((rx.recv().await, rx.recv().await), (Ok(1), Ok(2)));
    /// drop(rx);
    /// assert!(saved.send(3).await.is_err());
    ///
    /// let snapshot = meter::registry().snapshot();
    /// let saved = snapshot.operator("saved").unwrap();
    /// assert_eq!((saved.items, saved.errors), (2, 1));
    /// # }
    /// ```
    fn sink_metered(self, name: impl Into<String>) -> SinkMetered<Self>
    where
        Self: Sized,
    {
        SinkMetered::new(self, &name.into())
    }

    // -- pump: send_timeout, spawn --
}

impl<T, S: Sink<T> + ?Sized> PushExt<T> for S {}
