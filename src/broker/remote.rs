//! The seat of a consumer whose engine is outside the process.
//!
//! A [`Seat`] is a [group](super::group) with one member. Its partitions are granted and revoked by the engine; what the
//! engine's own task feeds it, it delivers by the group's rules, and it tells the engine what is done with. So windows,
//! redelivery, attempts, order by key, fairness and fencing are the same for every engine.
//!
//! To bring an engine: implement [`Engine`], run a task (or a thread) that feeds the seat and does what it asks for when
//! [`Engine::nudge`] is called, and wrap [`Consumer`] with [`delegate_consumer`].

mod after;
mod answers;
mod bury;
mod consumer;
mod delegate;
mod engine;
mod feed;
mod seat;
mod seen;
mod subscribe;
mod take;
#[cfg(test)]
mod tests;
mod window;

pub(crate) use super::check::names;
pub(crate) use super::group::Place;
pub(crate) use consumer::Consumer;
pub(crate) use delegate::delegate_consumer;
pub(crate) use engine::{Answers, Arrival, Engine, Remains, Room, Standing};
pub(crate) use seat::Seat;
