//! A reservation that settles once, whoever comes first.

use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use sluicegate_core::{Clock as _, Grant};

use crate::convert::{Count, nanos_from_seconds, seconds, span_seconds};
use crate::limiter::RateLimiter;

/// Permits charged already, to be used from `execute_at` on; `TokenReservation` wraps it.
#[pyclass(frozen, module = "sluicegate._native")]
pub(crate) struct Reservation {
    limiter: Py<RateLimiter>,
    state: Mutex<State>,
}

struct State {
    grant: Grant,
    settled: bool,
}

impl Reservation {
    pub(crate) fn new(limiter: Py<RateLimiter>, grant: &Grant) -> Self {
        Self { limiter, state: Mutex::new(State { grant: *grant, settled: false }) }
    }

    /// No Python is called while it is held, and nothing in it can be half done.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `settle` on the grant unless it was settled before.
    fn settle<T: Default>(&self, settle: impl FnOnce(&RateLimiter, &Grant) -> T) -> T {
        let mut state = self.state();
        if std::mem::replace(&mut state.settled, true) {
            return T::default();
        }
        settle(self.limiter.get(), &state.grant)
    }
}

#[pymethods]
impl Reservation {
    /// The permits charged.
    #[getter]
    fn count(&self) -> u64 {
        self.state().grant.count()
    }

    /// The instant of the charge in seconds, on the limiter's clock.
    #[getter]
    fn reserved_at(&self) -> f64 {
        seconds(self.state().grant.reserved_at())
    }

    /// The first instant of use in seconds, on the limiter's clock.
    #[getter]
    fn execute_at(&self) -> f64 {
        span_seconds(self.state().grant.execute_at())
    }

    /// The first instant of use in whole nanoseconds.
    #[getter]
    fn execute_at_ns(&self) -> u64 {
        self.state().grant.execute_at().get()
    }

    /// Seconds from now until `execute_at`, 0.0 once it has come.
    #[getter]
    fn delay(&self) -> f64 {
        span_seconds(self.state().grant.execute_at() - self.limiter.get().clock.now())
    }

    /// Whether it was cancelled or committed.
    #[getter]
    fn settled(&self) -> bool {
        self.state().settled
    }

    /// Set `execute_at` to `reserved_at` + `seconds`, never earlier than granted.
    fn delay_execution(&self, seconds: &Bound<'_, PyAny>) -> PyResult<()> {
        let delay = nanos_from_seconds(seconds, "seconds")?;
        let mut state = self.state();
        let start = state.grant.reserved_at() + delay;
        self.limiter.get().core.defer(&mut state.grant, start);
        Ok(())
    }

    /// Give back what cannot break the limit: whole permits, 0 from `execute_at` on.
    fn cancel(&self) -> u64 {
        self.settle(|limiter, grant| {
            let permits = limiter.core.cancel(grant, &limiter.clock);
            limiter.tally.returned(permits);
            permits
        })
    }

    /// Settle at `actual` permits: those given back, negative where more was charged.
    #[pyo3(signature = (actual = None))]
    fn commit(&self, actual: Option<Count>) -> i64 {
        self.settle(|limiter, grant| {
            let actual = actual.map_or(grant.count(), |actual| actual.0);
            let permits = limiter.core.commit(grant, &limiter.clock, actual);
            limiter.tally.returned(u64::try_from(permits).unwrap_or(0));
            permits
        })
    }
}
