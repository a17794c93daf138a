//! A reservation that settles once, whoever comes first.

use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};
use sluicegate_core::Clock as _;

use crate::charged::Charged;
use crate::convert::{Count, nanos_from_seconds, seconds, span_seconds};

/// Permits charged already, to be used from `execute_at` on; `TokenReservation` wraps it.
#[pyclass(frozen, module = "sluicegate._native")]
pub(crate) struct Reservation {
    state: Mutex<State>,
}

struct State {
    charged: Charged,
    settled: bool,
}

impl Reservation {
    pub(crate) fn new(charged: Charged) -> Self {
        Self { state: Mutex::new(State { charged, settled: false }) }
    }

    /// No Python is called while it is held, and nothing in it can be half done.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `settle` on what was charged unless it was settled before.
    fn settle<T: Default>(&self, settle: impl FnOnce(&Charged) -> T) -> T {
        let mut state = self.state();
        if std::mem::replace(&mut state.settled, true) {
            return T::default();
        }
        settle(&state.charged)
    }
}

#[pymethods]
impl Reservation {
    /// The permits charged.
    #[getter]
    fn count(&self) -> u64 {
        self.state().charged.grant().count()
    }

    /// The instant of the charge in seconds, on the limiter's clock.
    #[getter]
    fn reserved_at(&self) -> f64 {
        seconds(self.state().charged.grant().reserved_at())
    }

    /// The first instant of use in seconds, on the limiter's clock.
    #[getter]
    fn execute_at(&self) -> f64 {
        span_seconds(self.state().charged.grant().execute_at())
    }

    /// The first instant of use in whole nanoseconds.
    #[getter]
    fn execute_at_ns(&self) -> u64 {
        self.state().charged.grant().execute_at().get()
    }

    /// Seconds from now until `execute_at`, 0.0 once it has come.
    #[getter]
    fn delay(&self) -> f64 {
        let charged = &self.state().charged;
        span_seconds(charged.grant().execute_at() - charged.clock().now())
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
        let start = state.charged.grant().reserved_at() + delay;
        state.charged.defer(start);
        Ok(())
    }

    /// Give back what cannot break the limit: whole permits, 0 from `execute_at` on.
    fn cancel(&self) -> u64 {
        self.settle(Charged::cancel)
    }

    /// Settle at `actual` permits: those given back, negative where more was charged.
    #[pyo3(signature = (actual = None))]
    fn commit(&self, actual: Option<Count>) -> i64 {
        self.settle(|charged| {
            charged.commit(actual.map_or(charged.grant().count(), |actual| actual.0))
        })
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // Held by another thread it is in use, and so no garbage.
        self.state.try_lock().map_or(Ok(()), |state| state.charged.traverse(&visit))
    }
}
