//! A breaker's options, converted once and shared by every breaker built from one config.

use pyo3::exceptions::PyException;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyTuple, PyTupleMethods, PyType};
use sluicegate_core::breaker::{
    BreakerConfig, BreakerOptions as CoreOptions, Outcome, Ratio, Sampling,
};

use crate::convert::nanos_from_seconds;
use crate::errors::configuration_error;

/// Which exceptions a user meant: types, or a predicate.
enum Matcher {
    Nothing,
    Everything,
    Types(Py<PyAny>),
    Predicate(Py<PyAny>),
}

impl Matcher {
    fn new(given: &Bound<'_, PyAny>) -> Self {
        let py = given.py();
        if given.cast::<PyTuple>().is_ok_and(PyTupleMethods::is_empty) {
            Self::Nothing
        } else if given.is(py.get_type::<PyException>()) {
            Self::Everything
        } else if given.is_instance_of::<PyType>() || given.is_instance_of::<PyTuple>() {
            Self::Types(given.clone().unbind())
        } else {
            Self::Predicate(given.clone().unbind())
        }
    }

    fn matches(&self, error: &Bound<'_, PyAny>) -> PyResult<bool> {
        match self {
            Self::Nothing => Ok(false),
            Self::Everything => Ok(true),
            Self::Types(types) => error.is_instance(types.bind(error.py())),
            Self::Predicate(predicate) => predicate.bind(error.py()).call1((error,))?.is_truthy(),
        }
    }

    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Self::Nothing | Self::Everything => Ok(()),
            Self::Types(given) | Self::Predicate(given) => visit.call(given),
        }
    }
}

/// The options of a breaker in the core's own units.
#[pyclass(frozen, module = "sluicegate._native")]
pub(crate) struct BreakerOptions {
    pub(super) core: BreakerConfig,
    handle: Matcher,
    ignore: Matcher,
    handle_result: Option<Py<PyAny>>,
}

impl BreakerOptions {
    /// Says what an exception means; one that is no `Exception` (a cancellation, an exit) means
    /// nothing.
    pub(super) fn outcome_of_error(&self, error: &Bound<'_, PyAny>) -> PyResult<Outcome> {
        if !error.is_instance_of::<PyException>() || self.ignore.matches(error)? {
            return Ok(Outcome::Ignored);
        }
        Ok(if self.handle.matches(error)? { Outcome::Failure } else { Outcome::Success })
    }

    /// What says of results whether they are failures; none of them is where nothing does.
    #[inline]
    pub(super) fn predicate_of_results<'py>(&self, py: Python<'py>) -> Option<&Bound<'py, PyAny>> {
        self.handle_result.as_ref().map(|predicate| predicate.bind(py))
    }
}

#[pymethods]
impl BreakerOptions {
    #[new]
    #[pyo3(signature = (
        *, failure_ratio, min_throughput, sampling_duration, sampling_count, consecutive_failures,
        slow_call_duration, slow_call_ratio, break_duration, half_open_max_calls, probe_timeout,
        handle, ignore, handle_result
    ))]
    #[expect(clippy::too_many_arguments, reason = "by keyword; the config's fields, one for one")]
    fn new(
        py: Python<'_>,
        failure_ratio: (u64, u64),
        min_throughput: u64,
        sampling_duration: &Bound<'_, PyAny>,
        sampling_count: Option<u16>,
        consecutive_failures: Option<u64>,
        slow_call_duration: Option<&Bound<'_, PyAny>>,
        slow_call_ratio: (u64, u64),
        break_duration: &Bound<'_, PyAny>,
        half_open_max_calls: u8,
        probe_timeout: Option<&Bound<'_, PyAny>>,
        handle: &Bound<'_, PyAny>,
        ignore: &Bound<'_, PyAny>,
        handle_result: Option<Py<PyAny>>,
    ) -> PyResult<Self> {
        let invalid = |field: &str| {
            configuration_error(py, format!("{field} makes no sense"), field, py.None())
        };
        let ratio = |(part, whole), field| Ratio::new(part, whole).ok_or_else(|| invalid(field));
        let span = |given: Option<&Bound<'_, PyAny>>, field| {
            given.map(|given| nanos_from_seconds(given, field)).transpose()
        };
        let sampling = match sampling_count {
            Some(count) => Sampling::Count(count),
            None => Sampling::Time(nanos_from_seconds(sampling_duration, "sampling_duration")?),
        };
        let core = BreakerConfig::new(CoreOptions {
            failure_ratio: ratio(failure_ratio, "failure_ratio")?,
            min_throughput,
            sampling,
            consecutive_failures,
            slow_call_duration: span(slow_call_duration, "slow_call_duration")?,
            slow_call_ratio: ratio(slow_call_ratio, "slow_call_ratio")?,
            break_duration: nanos_from_seconds(break_duration, "break_duration")?,
            half_open_max_calls,
            probe_timeout: span(probe_timeout, "probe_timeout")?,
        })
        .map_err(|error| invalid(error.0))?;
        let (handle, ignore) = (Matcher::new(handle), Matcher::new(ignore));
        Ok(Self { core, handle, ignore, handle_result })
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.handle.traverse(&visit)?;
        self.ignore.traverse(&visit)?;
        visit.call(&self.handle_result)
    }
}
