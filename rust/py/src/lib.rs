//! The Python binding: each method converts, calls the core and converts back.

mod acquire;
mod answer;
mod awaitable;
mod breaker;
mod budget;
mod charged;
mod clock;
mod composite;
mod convert;
mod decision;
mod errors;
mod first_attempt;
mod floor;
mod key;
mod keyed;
mod limiter;
mod quota;
mod reservation;
mod sharded;
mod shared;
mod spare;
mod wait;

use pyo3::prelude::*;

/// The compiled core of sluicegate; its names reach users through the package.
#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<clock::MonotonicClock>()?;
    module.add_class::<clock::ManualClock>()?;
    module.add_class::<breaker::BreakerGate>()?;
    module.add_class::<breaker::BreakerOptions>()?;
    module.add_class::<breaker::BreakerPermit>()?;
    module.add_class::<breaker::BreakerTerms>()?;
    module.add_class::<breaker::BreakerTrip>()?;
    module.add_class::<breaker::CircuitBreaker>()?;
    module.add_class::<breaker::DroppedBreakers>()?;
    module.add_class::<breaker::SharedBreakers>()?;
    module.add_class::<budget::RetryBudget>()?;
    module.add_class::<first_attempt::FirstAttempt>()?;
    module.add_class::<first_attempt::FirstCall>()?;
    module.add_class::<floor::CallFloor>()?;
    module.add_class::<quota::Quota>()?;
    module.add_class::<decision::RateLimitResult>()?;
    module.add_class::<acquire::Acquire>()?;
    module.add_class::<limiter::RateLimiter>()?;
    module.add_class::<limiter::RateLimiterStats>()?;
    module.add_class::<keyed::KeyedRateLimiter>()?;
    module.add_class::<keyed::KeyedRateLimiterStats>()?;
    module.add_class::<sharded::ShardedRateLimiter>()?;
    module.add_class::<reservation::Reservation>()?;
    module.add_class::<wait::Wait>()?;
    module.add_class::<composite::CompositeRateLimiter>()?;
    module.add_function(wrap_pyfunction!(shared::inspect_segment, module)?)?;
    Ok(())
}
