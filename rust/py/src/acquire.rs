//! The awaitable that `acquire` returns: a coroutine in all but the frame.

use std::sync::OnceLock;

use pyo3::exceptions::{PyRuntimeError, PyStopIteration};
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use sluicegate_core::{Admission, Nanos};

use crate::decision::RateLimitResult;
use crate::limiter::RateLimiter;
use crate::reservation::Reservation;

/// Draws the permits when it is awaited, and hands over to Python's waiting only where there is a
/// wait: without one it costs no task, future or coroutine.
///
/// It has a coroutine's methods, so that event loops and `create_task` take it for one.
#[pyclass(frozen, module = "sluicegate._native")]
pub(crate) struct Acquire {
    limiter: Py<RateLimiter>,
    count: u64,
    max_wait: Nanos,
    /// The coroutine that waits, once there is one; empty once the result was there at once.
    waiting: OnceLock<Option<Py<PyAny>>>,
}

impl Acquire {
    pub(crate) fn new(limiter: Py<RateLimiter>, count: u64, max_wait: Nanos) -> Self {
        Self { limiter, count, max_wait, waiting: OnceLock::new() }
    }

    /// Decides at the first step: the result, or the coroutine that waits for it.
    fn start<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let limiter = self.limiter.bind(py);
        match limiter.get().admit(self.count, self.max_wait)? {
            Admission::Now(decision) | Admission::Refused(decision) => {
                self.settle(None)?;
                let result = Py::new(py, RateLimitResult::from(decision))?;
                Err(PyStopIteration::new_err(result))
            }
            Admission::Later(grant) => {
                let reservation = Reservation::new(self.limiter.clone_ref(py), &grant);
                let waiting = limiter.call_method1("_wait", (reservation,))?;
                self.settle(Some(waiting.clone().unbind()))?;
                waiting.call_method1("send", (py.None(),))
            }
        }
    }

    fn settle(&self, waiting: Option<Py<PyAny>>) -> PyResult<()> {
        self.waiting.set(waiting).map_err(|_| reused())
    }
}

fn reused() -> PyErr {
    PyRuntimeError::new_err("cannot reuse already awaited acquire()")
}

#[pymethods]
impl Acquire {
    fn __await__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self.waiting.get() {
            None => self.start(py),
            Some(None) => Err(reused()),
            Some(Some(waiting)) => waiting.bind(py).call_method1("send", (py.None(),)),
        }
    }

    /// Take a step, as a coroutine does; nothing but the waiting looks at `value`.
    fn send<'py>(&self, py: Python<'py>, value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        match self.waiting.get() {
            Some(Some(waiting)) => waiting.bind(py).call_method1("send", (value,)),
            _ => self.__next__(py),
        }
    }

    /// Raise an exception where it waits; before the first step nothing is drawn.
    #[pyo3(signature = (*error))]
    fn throw<'py>(
        &self,
        py: Python<'py>,
        error: &Bound<'py, PyTuple>,
    ) -> PyResult<Bound<'py, PyAny>> {
        if let Some(Some(waiting)) = self.waiting.get() {
            return waiting.bind(py).call_method1("throw", error);
        }
        self.settle(None)?;
        let thrown = if error.len() > 1 && !error.get_item(1)?.is_none() {
            error.get_item(1)?
        } else {
            error.get_item(0)?
        };
        Err(PyErr::from_value(thrown))
    }

    /// End the wait, if there is one, and give its permits back.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        match self.waiting.get() {
            Some(Some(waiting)) => waiting.bind(py).call_method0("close").map(drop),
            Some(None) => Ok(()),
            None => self.settle(None),
        }
    }
}
