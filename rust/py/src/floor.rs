//! The floor of the benches: what a call into the binding costs before it does anything.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};
use sluicegate_core::{Clock as _, MonotonicClock, Nanos, Seed};

/// Calls that do next to nothing; the benches subtract them to see what a decision itself costs.
#[pyclass(frozen, module = "sluicegate._native")]
pub(crate) struct CallFloor {
    seed: Seed,
}

#[pymethods]
#[expect(clippy::unused_self, reason = "methods, because what they are held against are methods")]
impl CallFloor {
    #[new]
    fn new() -> Self {
        Self { seed: Seed::random() }
    }

    /// Return True: the least a native method can do.
    fn empty(&self) -> bool {
        true
    }

    /// Return True, having taken an optional count as the limiters do.
    #[pyo3(signature = (count = 1))]
    fn count(&self, count: u64) -> bool {
        count > 0
    }

    /// Call a function with what it is handed, and do nothing else: the least of a native `call`.
    #[pyo3(signature = (*given, **kwargs), text_signature = "($self, func, /, *args, **kwargs)")]
    fn through<'py>(
        &self,
        given: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let func = given.get_borrowed_item(0)?;
        match kwargs.filter(|kwargs| !kwargs.is_empty()) {
            None if given.len() == 1 => func.call0(),
            kwargs => func.call(given.get_slice(1, given.len()), kwargs),
        }
    }

    /// Hash a text as the keyed limiters do, read the clock once and return True.
    fn hash(&self, key: &Bound<'_, PyString>) -> PyResult<bool> {
        let fingerprint = self.seed.bytes(key.to_str()?.as_bytes());
        std::hint::black_box(fingerprint);
        Ok(MonotonicClock.now() > Nanos::ZERO)
    }

    /// Read the machine's monotonic clock once and return True.
    fn clock(&self) -> bool {
        MonotonicClock.now() > Nanos::ZERO
    }
}
