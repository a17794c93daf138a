//! The first attempt of a retried call, which is the last as a rule.

use std::sync::atomic::{AtomicU64, Ordering};

use pyo3::exceptions::PyException;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::breaker::{is_awaitable, is_plain};

/// The native part of `sluicegate.Retry`, which adds what comes after a failure.
#[pyclass(frozen, subclass, module = "sluicegate._native")]
pub(crate) struct FirstAttempt {
    calls: AtomicU64,
    is_simple: bool,
}

#[pymethods]
impl FirstAttempt {
    /// Where it is not simple, every call is a matter of `_call_planned`.
    #[new]
    fn new(is_simple: bool) -> Self {
        Self { calls: AtomicU64::new(0), is_simple }
    }

    /// Call `func` until it succeeds or is not worth another attempt.
    #[pyo3(
        signature = (func, /, *args, **kwargs),
        text_signature = "($self, func, /, *args, **kwargs)"
    )]
    fn call<'py>(
        slf: &Bound<'py, Self>,
        func: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let named = || kwargs.map_or_else(|| PyDict::new(py), Clone::clone);
        if !slf.get().is_simple {
            return slf.call_method1(intern!(py, "_call_planned"), (func, args, named()));
        }
        slf.get().begin();
        let called = match kwargs.filter(|kwargs| !kwargs.is_empty()) {
            None if args.is_empty() => func.call0(),
            kwargs => func.call(args, kwargs),
        };
        match called {
            Ok(result) if is_plain(&result) || !is_awaitable(&result)? => Ok(result),
            Ok(result) => {
                slf.call_method1(intern!(py, "_call_later"), (result, func, args, named()))
            }
            Err(error) if error.is_instance_of::<PyException>(py) => {
                let error = error.into_value(py);
                slf.call_method1(intern!(py, "_call_again"), (error, func, args, named()))
            }
            Err(error) => Err(error),
        }
    }

    /// Count a call that begins elsewhere.
    fn _begin(&self) {
        self.begin();
    }

    /// How many calls were begun.
    #[getter]
    fn _calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }
}

impl FirstAttempt {
    fn begin(&self) {
        // Relaxed: a count orders nothing.
        if cfg!(Py_GIL_DISABLED) {
            self.calls.fetch_add(1, Ordering::Relaxed);
        } else {
            // The GIL lets no other in between, and a locked addition costs 5 ns more.
            self.calls.store(self.calls.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        }
    }
}
