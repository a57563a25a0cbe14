//! One value to many subscribers, through one log with a cursor for each.
//!
//! A [`Publisher`] appends to the log; a [`Subscriber`] or a [`LossySubscriber`] reads it at its own pace. Values are
//! kept until everybody has read them, never more than the capacity, and cloned by the subscribers outside of the lock.
//!
//! # Guarantees
//!
//! - **C1.** All subscribers see values in the same order. What came after a subscriber did reaches it without a gap,
//!   or it learns, at the place of the gap, how many are missing.
//! - **C2.** It is the subscriber's choice to be [waited for](Publisher::subscribe), to lose the
//!   [oldest](Lossy::DropOldest), or to be [cut off](Lossy::Disconnect). The latter two never slow anybody.
//! - **C3.** The capacity is exact: never more values than that are kept, nor left unread by a lossless subscriber. A
//!   value is read when it is handed out: a subscriber takes whole runs out of the log, but what it has taken and not
//!   handed out counts as unread, and takes up its slot, like everything else.
//!   Newcomers are [replayed](Builder::replay) the last `n`, none of them twice, none left out.
//! - **C4.** With nobody subscribed a publish goes through at once, and counts. After [`close`](Publisher::close) all
//!   read what is there, and then see the end. Who cancels a publish has published to everybody or to nobody.
//! - **C5.** A value is cloned at most once per delivery, and the last one to read it gets it moved: a sole subscriber
//!   without replay never clones.
//!
//! # What it costs
//!
//! Publishing takes the lock once. A lossless subscriber takes it once for up to 256 values, and hands these out with one
//! store each; publishers look at how far each has come only when the log seems full. Values without a destructor are
//! stored as they are and shared by whole runs; one with a destructor has an allocation of its own, so that it can be
//! dropped the moment the last one has read it. A lossy subscriber that reads one by one takes the lock for each value,
//! because what it has not read may yet be overwritten; [`pull_many`](LossySubscriber::pull_many) does not. Of tokio's
//! cooperative budget sixteen values cost one unit.
//!
//! # Waiting
//!
//! Publishers that wait are served in order: who waits leaves its value in the line, and whoever makes room publishes
//! it. Waking a subscriber or a publisher, dropping and cloning values all happen with no lock held, and a panic in any
//! of them leaves the broadcast whole.
//!
//! # When room is reserved
//!
//! A publisher used as a [`Sink`](futures_sink::Sink) reserves a slot in `poll_ready`. Slots that are reserved, and
//! values that lossless subscribers have not read, together never exceed the capacity. A newcomer whose replay does not
//! fit beside what is reserved takes the values that do not fit along, so that nobody loses anything.
//!
//! # Closing
//!
//! A broadcast closes by [`Publisher::close`], or when its last publisher is dropped or closed as a sink.
//!
//! ```
//! use pushpull::broadcast::{self, Lagged, Lossy};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let publisher = broadcast::channel(2);
//! let mut careful = publisher.subscribe();
//! let mut hasty = publisher.subscribe_lossy(Lossy::DropOldest);
//!
//! publisher.publish(1).await.unwrap();
//! publisher.publish(2).await.unwrap();
//! assert!(publisher.try_publish(3).unwrap_err().is_full(), "the careful one has not read");
//!
//! assert_eq!(careful.pull().await, Some(1));
//! publisher.publish(3).await.unwrap();
//! publisher.close();
//!
//! assert_eq!(careful.pull().await, Some(2));
//! assert_eq!(careful.pull().await, Some(3));
//! assert_eq!(careful.pull().await, None);
//!
//! assert_eq!(hasty.pull().await, Some(Err(Lagged { missed: 1 })));
//! assert_eq!(hasty.pull().await, Some(Ok(2)));
//! # }
//! ```

mod after;
mod builder;
mod hub;
mod log;
mod lossy;
mod marks;
mod publisher;
mod publishing;
mod reader;
mod state;
mod stats;
mod subscriber;
mod subscribing;
mod trash;
mod value;
mod waiting;

pub use builder::Builder;
pub use hub::Hub;
pub use lossy::{Lagged, Lossy, LossySubscriber};
pub use publisher::Publisher;
pub use stats::BroadcastStats;
pub use subscriber::Subscriber;

/// A broadcast that keeps at most `capacity` values, without replay.
///
/// # Panics
///
/// If `capacity` is 0.
///
/// ```
/// use pushpull::broadcast;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let publisher = broadcast::channel(16);
/// let mut subscriber = publisher.subscribe();
/// publisher.publish("one").await.unwrap();
/// publisher.publish("two").await.unwrap();
/// drop(publisher);
/// assert_eq!(subscriber.pull().await, Some("one"));
/// assert_eq!(subscriber.pull().await, Some("two"));
/// assert_eq!(subscriber.pull().await, None);
/// # }
/// ```
#[track_caller]
pub fn channel<T>(capacity: usize) -> Publisher<T> {
    builder().capacity(capacity).build()
}

/// Sets up a broadcast with replay or a name.
pub const fn builder<T>() -> Builder<T> {
    Builder::new()
}
