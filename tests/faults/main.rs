//! NATS when things go wrong: servers that are killed, lines that are cut, members that stall. What was acknowledged is there,
//! what comes twice is what may, and the application is told.

mod consume;
mod kit;
mod members;
#[path = "../support/nats.rs"]
mod nats_server;
mod produce;
#[path = "../support/proxy.rs"]
mod proxy;
