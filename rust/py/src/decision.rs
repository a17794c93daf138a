//! The answer of a limiter as Python sees it.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use pyo3::prelude::*;
use sluicegate_core::{Decision, Nanos};

use crate::convert::seconds_up;

/// What a limiter says of a request; true where it was allowed.
#[pyclass(frozen, eq, get_all, module = "sluicegate")]
#[derive(Clone, PartialEq)]
pub(crate) struct RateLimitResult {
    /// Whether the permits were granted.
    allowed: bool,
    /// The burst; of several bandwidths that of the one with the least remaining.
    limit: u64,
    /// Whole permits left, 0 in debt.
    remaining: u64,
    /// Seconds after which the same request succeeds; 0.0 where allowed, inf where it never can.
    retry_after: f64,
    /// Seconds until nothing is owed any more.
    reset_after: f64,
}

impl From<Decision> for RateLimitResult {
    fn from(decision: Decision) -> Self {
        let seconds = |span| if span == Nanos::MAX { f64::INFINITY } else { seconds_up(span) };
        Self {
            allowed: decision.allowed,
            limit: decision.limit,
            remaining: decision.remaining,
            retry_after: seconds(decision.retry_after),
            reset_after: seconds(decision.reset_after),
        }
    }
}

#[pymethods]
impl RateLimitResult {
    #[new]
    fn new(allowed: bool, limit: u64, remaining: u64, retry_after: f64, reset_after: f64) -> Self {
        Self { allowed, limit, remaining, retry_after, reset_after }
    }

    fn __bool__(&self) -> bool {
        self.allowed
    }

    fn __hash__(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.allowed, self.limit, self.remaining).hash(&mut hasher);
        (self.retry_after.to_bits(), self.reset_after.to_bits()).hash(&mut hasher);
        hasher.finish()
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> (Bound<'py, PyAny>, (bool, u64, u64, f64, f64)) {
        let this = slf.get();
        let fields = (this.allowed, this.limit, this.remaining, this.retry_after, this.reset_after);
        (slf.get_type().into_any(), fields)
    }

    fn __repr__(&self) -> String {
        format!(
            "RateLimitResult(allowed={}, limit={}, remaining={}, retry_after={:?}, reset_after={:?})",
            if self.allowed { "True" } else { "False" },
            self.limit,
            self.remaining,
            self.retry_after,
            self.reset_after,
        )
    }
}
