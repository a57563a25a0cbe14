//! The broker inside the process.

#[cfg_attr(not(test), expect(dead_code, reason = "the consumer comes over it"))]
pub(crate) mod group;
