//! The answer of a limiter as Python sees it.

use pyo3::prelude::*;
use sluicegate_core::{Decision, Nanos};

use crate::convert::{span_from_seconds, span_seconds};

/// What a limiter says of a request; true where it was allowed.
///
/// Keeps the decision as it is: seconds are made when they are asked for.
#[pyclass(frozen, eq, hash, module = "sluicegate")]
#[derive(PartialEq, Eq, Hash)]
pub(crate) struct RateLimitResult(Decision);

impl From<Decision> for RateLimitResult {
    fn from(decision: Decision) -> Self {
        Self(decision)
    }
}

#[pymethods]
impl RateLimitResult {
    #[new]
    fn new(
        allowed: bool,
        limit: u64,
        remaining: u64,
        retry_after: f64,
        reset_after: f64,
    ) -> PyResult<Self> {
        Ok(Self(Decision {
            allowed,
            limit,
            remaining,
            retry_after: span_from_seconds(retry_after, "retry_after")?,
            reset_after: span_from_seconds(reset_after, "reset_after")?,
        }))
    }

    /// Whether the permits were granted.
    #[getter]
    fn allowed(&self) -> bool {
        self.0.allowed
    }

    /// The burst; of several bandwidths that of the one with the least remaining.
    #[getter]
    fn limit(&self) -> u64 {
        self.0.limit
    }

    /// Whole permits left, 0 in debt.
    #[getter]
    fn remaining(&self) -> u64 {
        self.0.remaining
    }

    /// Seconds after which the same request succeeds; 0.0 where allowed, inf where it never can.
    #[getter]
    fn retry_after(&self) -> f64 {
        span_seconds(self.0.retry_after)
    }

    /// Seconds until nothing is owed any more.
    #[getter]
    fn reset_after(&self) -> f64 {
        span_seconds(self.0.reset_after)
    }

    /// Say in words, to follow on the limiter's name, and in figures how things stand for who was
    /// refused: what an error is made of. In one call, since a busy service makes thousands.
    fn _refusal(&self) -> (String, f64, u64, u64) {
        let Decision { limit, remaining, retry_after, .. } = self.0;
        let words = if retry_after == Nanos::MAX {
            format!(" refuses, with {remaining} of {limit} left: try again in inf s")
        } else {
            // Upwards, as the wait itself; in whole numbers, for a float takes longer to write.
            let millis = retry_after.get().div_ceil(1_000_000);
            let (secs, millis) = (millis / 1_000, millis % 1_000);
            format!(" refuses, with {remaining} of {limit} left: try again in {secs}.{millis:03} s")
        };
        (words, span_seconds(retry_after), limit, remaining)
    }

    fn __bool__(&self) -> bool {
        self.0.allowed
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> (Bound<'py, PyAny>, (bool, u64, u64, f64, f64)) {
        let this = slf.get();
        let (allowed, limit, remaining) = (this.allowed(), this.limit(), this.remaining());
        let fields = (allowed, limit, remaining, this.retry_after(), this.reset_after());
        (slf.get_type().into_any(), fields)
    }

    fn __repr__(&self) -> String {
        format!(
            "RateLimitResult(allowed={}, limit={}, remaining={}, retry_after={:?}, reset_after={:?})",
            if self.0.allowed { "True" } else { "False" },
            self.0.limit,
            self.0.remaining,
            self.retry_after(),
            self.reset_after(),
        )
    }
}
