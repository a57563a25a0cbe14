//! What `engines` and `bridge` share: the earthquakes as records, and a NATS server.

#[cfg(feature = "nats")]
pub(crate) mod nats;
pub(crate) mod quakes;
