//! The permit to make one call, held by whoever makes it.

use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::PyType;
use sluicegate_core::breaker::{Outcome, Permit};

use super::CircuitBreaker;

/// The permit to make one call; settle it with `success`, `failure` or `ignore`, once.
///
/// As a context manager it is settled by how its block ends. One that is dropped unsettled counts as
/// ignored. Settling it again does nothing.
#[pyclass(frozen, module = "sluicegate")]
pub(crate) struct BreakerPermit {
    breaker: Py<CircuitBreaker>,
    permit: Permit,
    settled: AtomicBool,
}

impl BreakerPermit {
    pub(super) fn new(breaker: &Bound<'_, CircuitBreaker>, permit: Permit) -> Self {
        Self { breaker: breaker.clone().unbind(), permit, settled: AtomicBool::new(false) }
    }

    fn is_first(&self) -> bool {
        // Relaxed: only one caller may settle, and the flag guards nothing else.
        !self.settled.swap(true, Ordering::Relaxed)
    }
}

impl Drop for BreakerPermit {
    fn drop(&mut self) {
        if self.is_first() {
            self.breaker.get().ignore(&self.permit);
        }
    }
}

#[pymethods]
impl BreakerPermit {
    /// Count a success; a failure where `handle_result` says so of `result`.
    #[pyo3(signature = (result = None))]
    pub(super) fn success(
        &self,
        py: Python<'_>,
        result: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        if !self.is_first() {
            return Ok(());
        }
        let breaker = self.breaker.bind(py);
        let none = py.None();
        CircuitBreaker::succeed(breaker, &self.permit, result.unwrap_or_else(|| none.bind(py)))
    }

    /// Count a failure, whatever `handle` and `ignore` would say; `error` becomes `last_failure`.
    #[pyo3(signature = (error = None))]
    fn failure(&self, py: Python<'_>, error: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        if !self.is_first() {
            return Ok(());
        }
        let breaker = self.breaker.bind(py);
        CircuitBreaker::conclude(breaker, &self.permit, Outcome::Failure, error)
    }

    /// Count nothing, and free the place where the call was a probe.
    fn ignore(&self) {
        if self.is_first() {
            self.breaker.get().ignore(&self.permit);
        }
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (kind, error, traceback, /))]
    fn __exit__(
        &self,
        py: Python<'_>,
        kind: Option<&Bound<'_, PyType>>,
        error: Option<&Bound<'_, PyAny>>,
        traceback: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<bool> {
        let _ = (kind, traceback);
        match error {
            None => self.success(py, None)?,
            Some(error) => self.raised(py, error)?,
        }
        Ok(false)
    }

    /// Count what `handle` and `ignore` say of `error`.
    #[pyo3(name = "_raised")]
    pub(super) fn raised(&self, py: Python<'_>, error: &Bound<'_, PyAny>) -> PyResult<()> {
        if !self.is_first() {
            return Ok(());
        }
        CircuitBreaker::fail(self.breaker.bind(py), &self.permit, error)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.breaker)
    }
}
