//! The circuit breaker: its guards enter, call and settle; the class in Python waits for changes.

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
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple, PyType};
use sluicegate_core::breaker::{Breaker, Change, CircuitState, Outcome, Permit, Refusal, Trip};
use sluicegate_core::{Clock as _, MonotonicClock, Nanos};

use shared::{State, StatePlace};

use crate::clock::Clock;
use crate::convert::{nanos_from_seconds, seconds};

/// The flag of a code object whose function is a coroutine function.
const CO_COROUTINE: u32 = 0x80;

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

impl CircuitBreaker {
    #[inline]
    fn options(&self) -> &BreakerOptions {
        self.terms.get().options.get()
    }

    #[inline]
    fn core(&self) -> Breaker<'_> {
        Breaker::new(&self.options().core, self.state.get())
    }

    #[inline]
    fn clock(&self) -> &Clock {
        &self.terms.get().clock
    }

    fn ignore(&self, permit: &Permit) {
        // An ignored call changes no state, and no time goes into it.
        let change = self.core().settle(permit, Outcome::Ignored, Nanos::ZERO);
        debug_assert!(change.is_none());
    }

    /// Enters, and has what that changed reported; gives a permit or why there is none.
    fn enter(slf: &Bound<'_, Self>) -> PyResult<Result<Permit, Refusal>> {
        let this = slf.get();
        let entry = this.core().enter(this.clock().now());
        let reported = entry.change.map_or(Ok(()), |change| Self::report(slf, change));
        if let Err(error) = reported {
            if let Ok(permit) = &entry.verdict {
                this.ignore(permit);
            }
            return Err(error);
        }
        Ok(entry.verdict)
    }

    fn enter_or_raise(slf: &Bound<'_, Self>) -> PyResult<Permit> {
        Self::enter(slf)?
            .map_err(|refusal| Self::refuse(slf, refusal).unwrap_or_else(|error| error))
    }

    fn refuse(slf: &Bound<'_, Self>, refusal: Refusal) -> PyResult<PyErr> {
        let retry_after = refusal.retry_after.map(seconds);
        let name = intern!(slf.py(), "_refusal");
        slf.call_method1(name, (refusal.state as u8, retry_after)).map(PyErr::from_value)
    }

    fn report(slf: &Bound<'_, Self>, change: Change) -> PyResult<()> {
        let trip = change.trip.map(|core| BreakerTrip { core });
        let arguments = (change.from as u8, change.to as u8, seconds(change.at), trip);
        slf.call_method1(intern!(slf.py(), "_changed"), arguments).map(drop)
    }

    /// Settles a call that ended with a result.
    #[inline]
    fn succeed(slf: &Bound<'_, Self>, permit: &Permit, result: &Bound<'_, PyAny>) -> PyResult<()> {
        match slf.get().options().predicate_of_results(slf.py()) {
            Some(is_failure) => Self::judge(slf, permit, result, is_failure),
            None => Self::conclude(slf, permit, Outcome::Success, None),
        }
    }

    /// Settles a call by what the predicate says of its result.
    #[cold]
    fn judge(
        slf: &Bound<'_, Self>,
        permit: &Permit,
        result: &Bound<'_, PyAny>,
        is_failure: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        match is_failure.call1((result,)).and_then(|said| said.is_truthy()) {
            Ok(true) => Self::conclude(slf, permit, Outcome::Failure, None),
            Ok(false) => Self::conclude(slf, permit, Outcome::Success, None),
            Err(error) => {
                slf.get().ignore(permit);
                Err(error)
            }
        }
    }

    /// Settles a call that raised `error`; an error of its own is what a predicate raised.
    fn fail(slf: &Bound<'_, Self>, permit: &Permit, error: &Bound<'_, PyAny>) -> PyResult<()> {
        let concluded = match slf.get().options().outcome_of_error(error) {
            Ok(outcome) => Self::conclude(slf, permit, outcome, Some(error)),
            Err(raised) => {
                slf.get().ignore(permit);
                Err(raised)
            }
        };
        if let Err(raised) = &concluded {
            raised.value(slf.py()).setattr(intern!(slf.py(), "__context__"), error)?;
        }
        concluded
    }

    #[inline]
    fn conclude(
        slf: &Bound<'_, Self>,
        permit: &Permit,
        outcome: Outcome,
        error: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let this = slf.get();
        if outcome == Outcome::Failure {
            slf.setattr(intern!(slf.py(), "_last_failure"), error)?;
        }
        let core = this.core();
        let is_tick_enough = core.tolerates(permit, outcome, MonotonicClock::TICK);
        let now = if is_tick_enough { this.clock().tick() } else { this.clock().now() };
        match core.settle(permit, outcome, now) {
            Some(change) => Self::report(slf, change),
            None => Ok(()),
        }
    }

    fn force(slf: &Bound<'_, Self>, to: CircuitState) -> PyResult<()> {
        let this = slf.get();
        match this.core().force(to, this.clock().now()) {
            Some(change) => Self::report(slf, change),
            None => Ok(()),
        }
    }
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

/// Tells by a few comparisons that a result of a common type is no awaitable.
#[inline]
pub(crate) fn is_plain(result: &Bound<'_, PyAny>) -> bool {
    result.is_none()
        || result.is_exact_instance_of::<PyBool>()
        || result.is_exact_instance_of::<PyInt>()
        || result.is_exact_instance_of::<PyString>()
        || result.is_exact_instance_of::<PyBytes>()
        || result.is_exact_instance_of::<PyFloat>()
        || result.is_exact_instance_of::<PyDict>()
        || result.is_exact_instance_of::<PyList>()
        || result.is_exact_instance_of::<PyTuple>()
}

pub(crate) fn is_awaitable(result: &Bound<'_, PyAny>) -> PyResult<bool> {
    static GENERATOR: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    static IS_AWAITABLE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let (py, kind) = (result.py(), result.get_type());
    if kind.is(GENERATOR.import(py, "types", "GeneratorType")?) {
        // Some generators are coroutines of the old kind; a flag in their code tells.
        let is_awaitable = IS_AWAITABLE.import(py, "inspect", "isawaitable")?;
        return is_awaitable.call1((result,))?.is_truthy();
    }
    kind.hasattr(intern!(py, "__await__"))
}

fn is_coroutine(result: &Bound<'_, PyAny>) -> PyResult<bool> {
    static COROUTINE: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    Ok(result.get_type().is(COROUTINE.import(result.py(), "types", "CoroutineType")?))
}

/// Asks the code object first: most functions have one, and `inspect` takes its time.
fn is_coroutine_function(func: &Bound<'_, PyAny>) -> PyResult<bool> {
    static IS_COROUTINE_FUNCTION: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = func.py();
    if let Some(code) = func.getattr_opt(intern!(py, "__code__"))? {
        let flags: u32 = code.getattr(intern!(py, "co_flags"))?.extract()?;
        return Ok(flags & CO_COROUTINE != 0);
    }
    let is_coroutine_function =
        IS_COROUTINE_FUNCTION.import(py, "sluicegate._calls", "is_coroutine_function")?;
    is_coroutine_function.call1((func,))?.is_truthy()
}
