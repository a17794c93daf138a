//! The circuit breaker: its guards enter, call and settle; the class in Python waits for changes.

mod course;
mod dropped;
mod gate;
mod options;
mod permit;
mod shared;
mod terms;

pub(crate) use dropped::DroppedBreakers;
pub(crate) use gate::BreakerGate;
pub(crate) use options::BreakerOptions;
pub(crate) use permit::BreakerPermit;
pub(crate) use shared::SharedBreakers;
pub(crate) use terms::BreakerTerms;

use pyo3::exceptions::PyTypeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt, PyTuple};
use sluicegate_core::Clock as _;
use sluicegate_core::breaker::{CircuitState, Permit, Trip};

use shared::{State, StatePlace};

use crate::awaitable::{is_awaitable, is_coroutine, is_coroutine_function, is_plain};
use crate::convert::{nanos_from_seconds, seconds};

/// The ticket of a trip, to be given back with the true length of the break.
#[pyclass(frozen, module = "sluicegate._native")]
pub(crate) struct BreakerTrip {
    core: Trip,
}

#[pymethods]
impl BreakerTrip {
    /// How many times in a row the breaker has tripped, from 1.
    #[getter]
    fn consecutive(&self) -> u64 {
        self.core.consecutive
    }
}

/// The native part of `sluicegate.CircuitBreaker`, which adds what waits for changes of state.
///
/// The class in Python offers `_last_failure` (set here before a failure is counted) and the methods
/// `_changed`, `_refusal`, `_call_later`, `_await_later` and `_await_now`.
#[pyclass(frozen, subclass, module = "sluicegate._native")]
pub(crate) struct CircuitBreaker {
    terms: Py<BreakerTerms>,
    state: State,
}

#[pymethods]
impl CircuitBreaker {
    #[new]
    #[pyo3(signature = (terms, shared = None))]
    fn new(
        py: Python<'_>,
        terms: Py<BreakerTerms>,
        shared: Option<StatePlace<'_>>,
    ) -> PyResult<Self> {
        let BreakerTerms { options, clock, .. } = terms.get();
        let shared = shared.map(|place| place.state(py, clock.now())).transpose()?.flatten();
        let state = shared.unwrap_or_else(|| State::alone(&options.get().core, clock.now()));
        Ok(Self { terms, state })
    }

    /// The config that it was built from.
    #[getter]
    fn _config(&self, py: Python<'_>) -> Py<PyAny> {
        self.terms.get().config.clone_ref(py)
    }

    /// Who is told of its changes of state.
    #[getter]
    fn _listener(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.terms.get().listener.as_ref().map(|listener| listener.clone_ref(py))
    }

    /// Whether other processes see its state as well.
    #[getter]
    fn _is_shared(&self) -> bool {
        self.state.is_shared()
    }

    /// Call `func` where the state admits it, and take note of how it ends.
    ///
    /// A coroutine function, or whatever else returns an awaitable, gives an awaitable; a coroutine
    /// is let in when it is first awaited. Raises `CircuitOpenError` where the call is refused, and
    /// whatever `func` raises, as it is.
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
        let free = slf.get().core().enter_freely();
        let is_free = free.is_some();
        let permit = match free {
            Some(permit) => permit,
            None if is_coroutine_function(func)? => {
                return slf.call_method1(intern!(py, "_call_later"), (func, args(), kwargs));
            }
            None => Self::enter_or_raise(slf)?,
        };
        let kwargs = kwargs.filter(|kwargs| !kwargs.is_empty());
        let called = match kwargs {
            None if given.len() == 1 => func.call0(),
            None => func.call1(args()),
            Some(_) => func.call(args(), kwargs),
        };
        match called {
            Ok(result) if is_plain(&result) || !is_awaitable(&result)? => {
                Self::succeed(slf, &permit, &result)?;
                Ok(result)
            }
            // What admits freely has kept no place for it, and lets it in when it starts.
            Ok(result) if is_free && is_coroutine(&result)? => {
                if is_coroutine_function(func)? {
                    // Begun again then: if it never starts, nothing was made that misses its await.
                    result.call_method0(intern!(py, "close"))?;
                    return slf.call_method1(intern!(py, "_call_later"), (func, args(), kwargs));
                }
                slf.call_method1(intern!(py, "_await_later"), (result,))
            }
            Ok(result) => {
                let permit = BreakerPermit::new(slf, permit);
                slf.call_method1(intern!(py, "_await_now"), (permit, result))
            }
            Err(error) => {
                Self::fail(slf, &permit, error.value(py))?;
                Err(error)
            }
        }
    }

    /// Let a call in, or return None; never raises.
    fn try_enter(slf: &Bound<'_, Self>) -> PyResult<Option<BreakerPermit>> {
        let permit = match slf.get().core().enter_freely() {
            Some(permit) => Some(permit),
            None => Self::enter(slf)?.ok(),
        };
        Ok(permit.map(|permit| BreakerPermit::new(slf, permit)))
    }

    /// Let a call in, or raise `CircuitOpenError`.
    fn _enter(slf: &Bound<'_, Self>) -> PyResult<BreakerPermit> {
        let permit = match slf.get().core().enter_freely() {
            Some(permit) => permit,
            None => Self::enter_or_raise(slf)?,
        };
        Ok(BreakerPermit::new(slf, permit))
    }

    /// Let a call in, or raise; to be settled however the call ends. A number stands for the permit
    /// where there is no place to free and no time to keep: an object costs as much as the rest.
    pub(super) fn _admit<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        match slf.get().core().enter_freely().and_then(|permit| permit.pack()) {
            Some(packed) => Ok(packed.into_pyobject(py)?.into_any()),
            None => Ok(Bound::new(py, Self::_enter(slf)?)?.into_any()),
        }
    }

    /// Settle what `_admit` gave by a result.
    pub(super) fn _returned(
        slf: &Bound<'_, Self>,
        admitted: &Bound<'_, PyAny>,
        result: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        // The number first, since it is the rule; what is neither is a `TypeError`.
        match admitted.cast_exact::<PyInt>() {
            Ok(packed) => Self::succeed(slf, &Permit::unpack(packed.extract()?), result),
            Err(_) => admitted.cast::<BreakerPermit>()?.get().success(slf.py(), Some(result)),
        }
    }

    /// Settle what `_admit` gave by what the call raised.
    fn _raised(
        slf: &Bound<'_, Self>,
        admitted: &Bound<'_, PyAny>,
        error: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        match admitted.cast::<BreakerPermit>() {
            Ok(permit) => permit.get().raised(slf.py(), error),
            Err(_) => Self::fail(slf, &Permit::unpack(admitted.extract()?), error),
        }
    }

    /// Seconds until a call may be let in; None where no clock will tell.
    #[getter]
    fn retry_after(&self) -> Option<f64> {
        self.core().retry_after(self.clock().now()).map(seconds)
    }

    fn _state(&self) -> u8 {
        self.core().state(self.clock().now()) as u8
    }

    fn _snapshot(&self) -> (u8, f64, [u64; 10]) {
        let figures = self.core().snapshot(self.clock().now());
        let counts = [
            figures.throughput,
            figures.failures,
            figures.slow_calls,
            figures.trips,
            figures.total_successes,
            figures.total_failures,
            figures.total_slow,
            figures.total_ignored,
            figures.total_rejected,
            figures.consecutive_trips,
        ];
        (figures.state as u8, seconds(figures.time_in_state), counts)
    }

    fn _set_break(&self, trip: &BreakerTrip, duration: &Bound<'_, PyAny>) -> PyResult<()> {
        let duration = nanos_from_seconds(duration, "break_duration_generator")?;
        self.core().set_break(trip.core, duration);
        Ok(())
    }

    fn _isolate(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::force(slf, CircuitState::Isolated)
    }

    fn _reset(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::force(slf, CircuitState::Closed)
    }

    /// Let every call through and record it, but never trip.
    fn metrics_only(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::force(slf, CircuitState::MetricsOnly)
    }

    /// Let every call through and record nothing.
    fn disable(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::force(slf, CircuitState::Disabled)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.terms)
    }
}
