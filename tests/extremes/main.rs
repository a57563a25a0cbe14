//! The smallest and the largest of everything: a documented panic or correct behaviour, and nothing allocated ahead.

mod operators;
mod queue;
#[cfg(feature = "rate")]
mod rate;
