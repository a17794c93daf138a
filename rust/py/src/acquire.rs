//! The awaitable that `acquire` returns: a coroutine in all but the frame.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::IntoPyObjectExt as _;
use pyo3::exceptions::{PyRuntimeError, PyStopIteration};
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use sluicegate_core::{Fingerprint, Nanos};

use crate::decision::Answer;
use crate::keyed::KeyedRateLimiter;
use crate::limiter::RateLimiter;
use crate::reservation::Reservation;
use crate::sharded::ShardedRateLimiter;

/// Whose permits are acquired.
pub(crate) enum Source {
    Direct(Py<RateLimiter>),
    Keyed(Py<KeyedRateLimiter>, Fingerprint),
    Sharded(Py<ShardedRateLimiter>, Fingerprint),
}

impl Source {
    #[inline]
    fn draw(&self, count: u64, max_wait: Nanos) -> Option<Answer> {
        match self {
            Self::Direct(limiter) => limiter.get().draw(count, max_wait),
            Self::Keyed(limiter, key) => limiter.get().draw(*key, count, max_wait),
            Self::Sharded(limiter, key) => limiter.get().draw(*key, count, max_wait),
        }
    }

    fn queue(
        &self,
        py: Python<'_>,
        count: u64,
        max_wait: Nanos,
    ) -> PyResult<Result<Reservation, Answer>> {
        match self {
            Self::Direct(limiter) => RateLimiter::queue(limiter.clone_ref(py), count, max_wait),
            Self::Keyed(limiter, key) => {
                KeyedRateLimiter::queue(limiter.clone_ref(py), *key, count, max_wait)
            }
            Self::Sharded(limiter, key) => {
                ShardedRateLimiter::queue(limiter.clone_ref(py), *key, count, max_wait)
            }
        }
    }

    /// Draws the permits, or waits for them in this thread: the result.
    pub(crate) fn acquire_blocking<'py>(
        &self,
        py: Python<'py>,
        count: u64,
        max_wait: Nanos,
    ) -> PyResult<Bound<'py, PyAny>> {
        if let Some(result) = self.draw(count, max_wait) {
            return result.into_bound_py_any(py);
        }
        match self.queue(py, count, max_wait)? {
            Ok(reservation) => self.limiter(py).call_method1("_wait_blocking", (reservation,)),
            Err(refusal) => refusal.into_bound_py_any(py),
        }
    }

    fn limiter<'py>(&self, py: Python<'py>) -> &Bound<'py, PyAny> {
        match self {
            Self::Direct(limiter) => limiter.bind(py),
            Self::Keyed(limiter, _) => limiter.bind(py),
            Self::Sharded(limiter, _) => limiter.bind(py),
        }
    }
}

/// Draws the permits when it is awaited, and hands over to Python's waiting only where there is a
/// wait: without one it costs no task, future or coroutine.
///
/// It has a coroutine's methods, so that event loops and `create_task` take it for one.
#[pyclass(frozen, module = "sluicegate._native")]
pub(crate) struct Acquire {
    source: Source,
    count: u64,
    max_wait: Nanos,
    begun: AtomicBool,
    /// The coroutine that waits, where there is a wait.
    waiting: OnceLock<Py<PyAny>>,
}

impl Acquire {
    pub(crate) fn new(source: Source, count: u64, max_wait: Nanos) -> Self {
        let (begun, waiting) = (AtomicBool::new(false), OnceLock::new());
        Self { source, count, max_wait, begun, waiting }
    }

    /// Decides at the first step: raises the result, or begins to wait for it.
    fn begin<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.mark_begun()?;
        match self.source.draw(self.count, self.max_wait) {
            Some(result) => Err(returned(py, result)),
            None => self.wait(py),
        }
    }

    #[cold]
    fn wait<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self.source.queue(py, self.count, self.max_wait)? {
            Ok(reservation) => {
                let waiting = self.source.limiter(py).call_method1("_wait", (reservation,))?;
                self.waiting.get_or_init(|| waiting.clone().unbind());
                waiting.call_method1("send", (py.None(),))
            }
            Err(refusal) => Err(returned(py, refusal)),
        }
    }

    fn mark_begun(&self) -> PyResult<()> {
        // AcqRel: whoever finds it begun comes after what began it.
        if self.begun.swap(true, Ordering::AcqRel) {
            return Err(PyRuntimeError::new_err("cannot reuse already awaited acquire()"));
        }
        Ok(())
    }
}

/// The exception by which an awaitable returns.
///
/// Made here and now: handed over as a type and a value, lazily, it costs 40 ns more, even on an
/// interpreter that makes no exception of them then.
fn returned(py: Python<'_>, result: Answer) -> PyErr {
    let stop = py.get_type::<PyStopIteration>().call1((result,));
    stop.map_or_else(|error| error, PyErr::from_value)
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
            Some(waiting) => waiting.bind(py).call_method1("send", (py.None(),)),
            None => self.begin(py),
        }
    }

    /// Take a step, as a coroutine does; nothing but the waiting looks at `value`.
    fn send<'py>(&self, py: Python<'py>, value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        match self.waiting.get() {
            Some(waiting) => waiting.bind(py).call_method1("send", (value,)),
            None => self.begin(py),
        }
    }

    /// Raise an exception where it waits; before the first step nothing is drawn.
    #[pyo3(signature = (*error))]
    fn throw<'py>(
        &self,
        py: Python<'py>,
        error: &Bound<'py, PyTuple>,
    ) -> PyResult<Bound<'py, PyAny>> {
        if let Some(waiting) = self.waiting.get() {
            return waiting.bind(py).call_method1("throw", error);
        }
        self.mark_begun()?;
        let thrown = if error.len() > 1 && !error.get_item(1)?.is_none() {
            error.get_item(1)?
        } else {
            error.get_item(0)?
        };
        Err(PyErr::from_value(thrown))
    }

    /// End the wait, if there is one, and give its permits back.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        // Release: as in `mark_begun`.
        self.begun.store(true, Ordering::Release);
        let waiting = self.waiting.get();
        waiting.map_or(Ok(()), |waiting| waiting.bind(py).call_method0("close").map(drop))
    }
}
