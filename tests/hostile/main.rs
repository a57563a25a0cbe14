//! User code that panics, re-enters or forgets: nothing hangs, aborts or is poisoned, and everybody else is served.

mod broadcast;
mod leaving;
mod operators;
mod queue;
