//! The gate in a decorated function: the breaker's shortest way in and out.

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use super::CircuitBreaker;

/// What a decorated function passes: `admitted = +gate` lets a call in or raises, and `gate[admitted] =
/// result` settles it.
///
/// Operators since they are the shortest way from the interpreter into native code: methods that
/// do the same take more than twice as long.
#[pyclass(frozen, module = "sluicegate._native")]
pub(crate) struct BreakerGate {
    breaker: Py<CircuitBreaker>,
}

#[pymethods]
impl BreakerGate {
    #[new]
    fn new(breaker: Py<CircuitBreaker>) -> Self {
        Self { breaker }
    }

    fn __pos__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        CircuitBreaker::_admit(self.breaker.bind(py))
    }

    fn __setitem__(&self, admitted: &Bound<'_, PyAny>, result: &Bound<'_, PyAny>) -> PyResult<()> {
        CircuitBreaker::_returned(self.breaker.bind(admitted.py()), admitted, result)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.breaker)
    }
}
