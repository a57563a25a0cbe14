//! What is particular to NATS, against a real server that each test starts for itself.
//!
//! What every broker does is in `tests/contract`.

mod hearing;
mod kit;
mod losing;
mod members;
mod options;
mod pushing;
mod seeking;
mod takeover;
mod topics;
