//! How a decision gets to Python: as a value, or by the exception with which an awaitable returns.

use std::cell::Cell;

use pyo3::exceptions::PyStopIteration;
use pyo3::prelude::*;
use sluicegate_core::Decision;

use crate::decision::RateLimitResult;
use crate::spare::{Spare, has_holders};

thread_local! {
    /// The object of this thread's latest answer.
    static LATEST: Spare<RateLimitResult> = const { Spare::new() };
    /// By what this thread's awaitables returned last.
    static RETURN: Cell<Option<Return>> = const { Cell::new(None) };
}

/// A decision on its way to Python.
///
/// Most are looked at and dropped before the next: the same object carries that one too.
pub(crate) struct Answer(Decision);

impl From<Decision> for Answer {
    fn from(decision: Decision) -> Self {
        Self(decision)
    }
}

impl<'py> IntoPyObject<'py> for Answer {
    type Target = RateLimitResult;
    type Output = Bound<'py, RateLimitResult>;
    type Error = PyErr;

    fn into_pyobject(self, py: Python<'py>) -> PyResult<Self::Output> {
        let given = LATEST.try_with(|latest| {
            let carrier = match latest.take(py) {
                Some(dropped) => {
                    dropped.get().write(self.0);
                    dropped
                }
                None => Py::new(py, RateLimitResult::new(self.0))?,
            };
            let given = carrier.bind(py).clone();
            latest.keep(carrier);
            Ok(given)
        });
        // A thread that ends has no place left for it.
        given.unwrap_or_else(|_| Bound::new(py, RateLimitResult::new(self.0)))
    }
}

impl Answer {
    /// The exception by which an awaitable returns, for the interpreter, which takes the result out
    /// and drops the rest.
    pub(crate) fn returned(self, py: Python<'_>) -> PyErr {
        RETURN.try_with(|last| self.returned_again(py, last)).unwrap_or_else(|_| self.raised(py))
    }

    fn returned_again(&self, py: Python<'_>, last: &Cell<Option<Return>>) -> PyErr {
        if let Some(dropped) = last.take().filter(|last| last.is_dropped(py)) {
            let error = dropped.error(py);
            if error.traceback(py).is_none() {
                dropped.result.get().write(self.0);
                last.set(Some(dropped));
                return error;
            }
        }
        match Return::new(py, self.0) {
            Ok(made) => {
                let error = made.error(py);
                last.set(Some(made));
                error
            }
            Err(error) => error,
        }
    }

    /// The same for whoever catches it, and may look at it for as long as they like.
    pub(crate) fn raised(&self, py: Python<'_>) -> PyErr {
        Return::new(py, self.0).map_or_else(|error| error, |made| made.error(py))
    }
}

/// The exception by which an awaitable returns, and the result in it.
///
/// Made here and now: handed over as a type and a value, lazily, it costs 40 ns more, since an
/// exception is made of them after all.
struct Return {
    stop: Py<PyAny>,
    result: Py<RateLimitResult>,
}

impl Return {
    fn new(py: Python<'_>, decision: Decision) -> PyResult<Self> {
        let result = Py::new(py, RateLimitResult::new(decision))?;
        let stop = py.get_type::<PyStopIteration>().call1((&result,))?.unbind();
        Ok(Self { stop, result })
    }

    fn error(&self, py: Python<'_>) -> PyErr {
        PyErr::from_value(self.stop.bind(py).clone())
    }

    /// Whether nobody holds either any more, and the exception still has the result: as its value and
    /// among its arguments.
    fn is_dropped(&self, py: Python<'_>) -> bool {
        has_holders(py, &self.stop, 1) && has_holders(py, &self.result, 3)
    }
}
