//! Every public async function, polled a number of times and dropped: nothing is lost, doubled or left waiting.

mod broadcast;
mod pump;
mod queue;
#[cfg(feature = "rate")]
mod rate;
