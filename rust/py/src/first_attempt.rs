//! The first attempt of a retried call, which is the last as a rule.

use std::sync::atomic::{AtomicU64, Ordering};

use pyo3::exceptions::{PyException, PyTypeError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::awaitable::{is_awaitable, is_plain};

/// The native part of `sluicegate.Retry`, which adds what comes after a failure.
#[pyclass(frozen, subclass, module = "sluicegate._native")]
pub(crate) struct FirstAttempt {
    calls: AtomicU64,
    is_simple: bool,
}

/// A function whose calls are retried: `+first` counts one more call, and gives what to call.
///
/// An operator since that is the shortest way from the interpreter into native code: a method takes
/// three times as long.
#[pyclass(frozen, module = "sluicegate._native")]
pub(crate) struct FirstCall {
    retry: Py<FirstAttempt>,
    func: Py<PyAny>,
}

#[pymethods]
impl FirstCall {
    #[new]
    fn new(retry: Py<FirstAttempt>, func: Py<PyAny>) -> Self {
        Self { retry, func }
    }

    fn __pos__<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.retry.get().begin();
        self.func.bind(py).clone()
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.retry)?;
        visit.call(&self.func)
    }
}

#[pymethods]
impl FirstAttempt {
    /// Where it is not simple, every call is a matter of `_call_planned`.
    #[new]
    fn new(is_simple: bool) -> Self {
        Self { calls: AtomicU64::new(0), is_simple }
    }

    /// Call `func` until it succeeds or is not worth another attempt.
    // Taken whole, since slicing the function off costs a tuple where nothing is left of them.
    #[pyo3(
        signature = (*given, **kwargs),
        text_signature = "($self, func, /, *args, **kwargs)"
    )]
    fn call<'py>(
        slf: &Bound<'py, Self>,
        given: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let Ok(func) = given.get_borrowed_item(0) else {
            return Err(PyTypeError::new_err("call() needs a function to call"));
        };
        let func = &*func;
        let args = || given.get_slice(1, given.len());
        let named = || kwargs.map_or_else(|| PyDict::new(py), Clone::clone);
        if !slf.get().is_simple {
            return slf.call_method1(intern!(py, "_call_planned"), (func, args(), named()));
        }
        slf.get().begin();
        let called = match kwargs.filter(|kwargs| !kwargs.is_empty()) {
            None if given.len() == 1 => func.call0(),
            None => func.call1(args()),
            Some(kwargs) => func.call(args(), Some(kwargs)),
        };
        match called {
            Ok(result) if is_plain(&result) || !is_awaitable(&result)? => Ok(result),
            Ok(result) => {
                slf.call_method1(intern!(py, "_call_later"), (result, func, args(), named()))
            }
            Err(error) if error.is_instance_of::<PyException>(py) => {
                let error = error.into_value(py);
                slf.call_method1(intern!(py, "_call_again"), (error, func, args(), named()))
            }
            Err(error) => Err(error),
        }
    }

    /// Count a call.
    #[pyo3(name = "_begin")]
    fn begin(&self) {
        // Relaxed: a count orders nothing.
        if cfg!(Py_GIL_DISABLED) {
            self.calls.fetch_add(1, Ordering::Relaxed);
        } else {
            // The GIL lets no other in between, and a locked addition costs 5 ns more.
            self.calls.store(self.calls.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        }
    }

    /// How many calls were begun.
    #[getter]
    fn _calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }
}
