//! What a limiter decided, as Python sees it.

use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use pyo3::prelude::*;
use sluicegate_core::{Decision, Nanos};

use crate::convert::{span_from_seconds, span_seconds};

/// What a limiter says of a request; true where it was allowed.
///
/// Keeps the decision as it is: seconds are made when they are asked for. Whoever holds one never sees
/// it change; its fields are atomics because an [`Answer`](crate::answer::Answer) writes another
/// decision into one that nobody holds any more.
#[pyclass(frozen, eq, hash, module = "sluicegate")]
#[derive(Default)]
pub(crate) struct RateLimitResult {
    allowed: AtomicBool,
    limit: AtomicU64,
    remaining: AtomicU64,
    retry_after: AtomicU64,
    reset_after: AtomicU64,
}

// Relaxed throughout: it is written only while nobody else can reach it.
impl RateLimitResult {
    pub(crate) fn new(decision: Decision) -> Self {
        Self {
            allowed: AtomicBool::new(decision.allowed),
            limit: AtomicU64::new(decision.limit),
            remaining: AtomicU64::new(decision.remaining),
            retry_after: AtomicU64::new(decision.retry_after.get()),
            reset_after: AtomicU64::new(decision.reset_after.get()),
        }
    }

    pub(crate) fn write(&self, decision: &Decision) {
        self.allowed.store(decision.allowed, Ordering::Relaxed);
        self.limit.store(decision.limit, Ordering::Relaxed);
        self.remaining.store(decision.remaining, Ordering::Relaxed);
        self.retry_after.store(decision.retry_after.get(), Ordering::Relaxed);
        self.reset_after.store(decision.reset_after.get(), Ordering::Relaxed);
    }

    fn decision(&self) -> Decision {
        Decision {
            allowed: self.allowed.load(Ordering::Relaxed),
            limit: self.limit.load(Ordering::Relaxed),
            remaining: self.remaining.load(Ordering::Relaxed),
            retry_after: Nanos::new(self.retry_after.load(Ordering::Relaxed)),
            reset_after: Nanos::new(self.reset_after.load(Ordering::Relaxed)),
        }
    }
}

impl PartialEq for RateLimitResult {
    fn eq(&self, other: &Self) -> bool {
        self.decision() == other.decision()
    }
}

impl Eq for RateLimitResult {}

impl Hash for RateLimitResult {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.decision().hash(state);
    }
}

#[pymethods]
impl RateLimitResult {
    #[new]
    fn build(
        allowed: bool,
        limit: u64,
        remaining: u64,
        retry_after: f64,
        reset_after: f64,
    ) -> PyResult<Self> {
        Ok(Self::new(Decision {
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
        self.allowed.load(Ordering::Relaxed)
    }

    /// The burst; of several bandwidths that of the one with the least remaining.
    #[getter]
    fn limit(&self) -> u64 {
        self.limit.load(Ordering::Relaxed)
    }

    /// Whole permits left, 0 in debt.
    #[getter]
    fn remaining(&self) -> u64 {
        self.remaining.load(Ordering::Relaxed)
    }

    /// Seconds after which the same request succeeds; 0.0 where allowed, inf where it never can.
    #[getter]
    fn retry_after(&self) -> f64 {
        span_seconds(self.decision().retry_after)
    }

    /// Seconds until nothing is owed any more.
    #[getter]
    fn reset_after(&self) -> f64 {
        span_seconds(self.decision().reset_after)
    }

    /// Say in words, to follow on the limiter's name, and in figures how things stand for who was
    /// refused: what an error is made of. In one call, since a busy service makes thousands.
    fn _refusal(&self) -> (String, f64, u64, u64) {
        let Decision { limit, remaining, retry_after, .. } = self.decision();
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
        self.allowed()
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
            if self.allowed() { "True" } else { "False" },
            self.limit(),
            self.remaining(),
            self.retry_after(),
            self.reset_after(),
        )
    }
}
