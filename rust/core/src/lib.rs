//! Lock-free rate limiters and circuit breakers on plain integers.
//!
//! Nothing here sleeps, spawns, logs or reads an ambient clock: time is an argument, a refusal is
//! a value, and every state is a word that one compare-and-swap moves.

#![forbid(unsafe_code)]

pub mod breaker;
pub mod clock;
pub mod nanos;
mod sync;

pub use clock::{Clock, ManualClock, MonotonicClock};
pub use nanos::Nanos;
