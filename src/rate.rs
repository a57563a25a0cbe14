//! Rate limits: shaping, which waits, and policing, which refuses.
//!
//! ```
//! use futures::StreamExt;
//! use pushpull::prelude::*;
//! use pushpull::rate::{RateLimit, RateLimiter};
//! use tokio::time::Instant;
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! let start = Instant::now();
//! let limiter = RateLimiter::new(RateLimit::per_second(100).burst(5));
//! let mut requests = futures::stream::iter(0..30).rate_limit(&limiter);
//! for n in 0..15 {
//!     assert_eq!(requests.next().await, Some(n));
//! }
//! assert_eq!(start.elapsed().as_millis(), 100, "5 at once, then 10 in 100 ms");
//!
//! limiter.set_limit(RateLimit::per_second(10)); // while it runs
//! assert_eq!(requests.next().await, Some(15));
//! assert_eq!(start.elapsed().as_millis(), 200);
//! # }
//! ```
//!
//! # Guarantees
//!
//! - **R1** Over any span of time t at most burst + rate x t units pass, what is leased included; of a cost above the
//!   burst that holds as if it were spread over its wait. Where input never lacks, the limit is reached in the long run:
//!   within 0.1 % up to a million a second, within 1 % above, where timers that tick in milliseconds make up for their
//!   lateness within the burst. (A burst of 1 leaves no room for that: there each wait is rounded up to the next
//!   millisecond.)
//! - **R2** The bucket is full at first and never fuller than the burst, however long it rests. The burst is 100
//!   milliseconds' worth, at least 1, unless it is set.
//! - **R3** What costs more than the burst is paid in instalments, in its turn: nobody overtakes a waiter, save one that is
//!   due and does not come for 100 ms. What costs nothing passes.
//! - **R4** A new limit keeps the level, adds nothing to it, and counts for those who wait already. Clones share one bucket.
//!   The instalments of a waiter that is dropped return to it, as far as the burst has room for them.
//! - **R5** Time is tokio's: exact under `tokio::time::pause`.
//! - **R6** An item that still waits when the input ends is delivered. Waiting (shaping) and refusing (policing) are two
//!   operators.
//! - **R7** The bucket is [`governor`](https://docs.rs/governor)'s wherever that can be.
//!
//! # How
//!
//! Governor decides what passes (its generic cell rate algorithm), over a clock and a state store of ours. The clock
//! counts in ticks so fine that the interval of a unit is a whole number of them, because in whole nanoseconds a third of
//! a second is inexact and an interval below one is nothing. The state store is the bucket here, so that what governor has
//! no operation for can be done to the level directly: debts for costs above the burst, what a cancelled waiter gives
//! back, leases, and another limit at the same level. Where filling the bucket takes 2^62 ticks or more (at a unit a minute,
//! a burst of a hundred million), the same rule is applied in 128 bits instead; tests hold the two against each other.
//!
//! Looking at the clock takes longer than all the rest, so units are taken from the bucket some at a time, on lease. A
//! stream adaptor whose limiter is nobody else's pays for up to 63 items in advance, yet not more than for a 256th of the
//! burst, and settles when its input is pending. Everybody else is lent from one purse, up to 127 units and not more than a
//! 1024th of the burst, as long as less than a millisecond lies between those who find it empty. Whoever finds too little
//! in it has it emptied into the bucket first, so every refusal, wait and level is exact; while somebody waits nothing
//! is lent. What is on lease counts as part of the burst (R1). It shows in one way: how long ago the used part of a lease
//! was used is not known, so a bucket that was full before may lack that part after a pause, until it has come again.

mod acquire;
mod bucket;
mod clock;
mod gcra;
mod keyed;
mod limit;
mod limiter;
mod line;
mod pull;
mod purse;
mod push;
mod turn;

pub use keyed::KeyedRateLimiter;
pub use limit::{Limited, RateLimit};
pub use limiter::RateLimiter;
pub use pull::{Cost, PerItem, Policed, RateLimited, RateLimitedBy, Weighted};
pub use push::SinkRateLimited;
