//! Lock-free rate limiters and circuit breakers on plain integers.
//!
//! Nothing here sleeps, spawns, logs or reads an ambient clock: time is an argument, a refusal is
//! a value, and every state is a word that one compare-and-swap moves.

#![forbid(unsafe_code)]

mod bandwidth;
pub mod breaker;
mod bucket;
pub mod budget;
pub mod clock;
pub mod composite;
pub mod decision;
pub mod error;
pub mod fingerprint;
mod gcra;
mod joint;
pub mod keyed;
mod ledger;
pub mod limiter;
mod line;
pub mod memory;
pub mod nanos;
mod posting;
pub mod quota;
pub mod rate;
pub mod reservation;
pub mod sharded;
mod sync;
pub mod tally;

pub use bandwidth::Bandwidth;
pub use budget::RetryBudget;
pub use clock::{Clock, ManualClock, MonotonicClock};
pub use decision::Decision;
pub use error::ConfigError;
pub use fingerprint::{Fingerprint, Seed};
pub use keyed::{KeyedGrant, KeyedRateLimiter};
pub use limiter::RateLimiter;
pub use memory::{Heap, Memory};
pub use nanos::Nanos;
pub use quota::Quota;
pub use rate::Rate;
pub use reservation::Grant;
pub use sharded::ShardedRateLimiter;
pub use tally::{Stats, Tally, Writers};
