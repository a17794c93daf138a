//! How a decision gets to Python: as a value, as what an `await` finds done, or by the exception with
//! which an awaitable returns to whoever takes its steps by hand.

use std::cell::Cell;

use pyo3::exceptions::PyStopIteration;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{IntoPyDict as _, PyDict, PyIterator};
use sluicegate_core::Decision;

use crate::decision::RateLimitResult;
use crate::spare::{Spare, has_holders};

thread_local! {
    /// The object of this thread's latest answer.
    static LATEST: Spare<RateLimitResult> = const { Spare::new() };
    /// What this thread's awaits find done: two in turn, for the result of one is often held until the
    /// next has come.
    static CARRIERS: [Place; 2] = const { [Place::new(None), Place::new(None)] };
}

type Place = Cell<Option<Carrier>>;

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
                    dropped.get().write(&self.0);
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
    /// The exception by which an awaitable returns.
    pub(crate) fn raised(&self, py: Python<'_>) -> PyErr {
        let returned = Py::new(py, RateLimitResult::new(self.0))
            .and_then(|result| py.get_type::<PyStopIteration>().call1((result,)));
        returned.map_or_else(|error| error, PyErr::from_value)
    }
}

/// Decides, for an `await` that is to find it done: what that is to look at; nothing where nothing was
/// decided, since `decide`, which writes the result, would wait or nothing that could carry it is free.
///
/// No error comes of it: to hand on the room for one takes longer than to decide.
#[inline]
pub(crate) fn carried(
    py: Python<'_>,
    decide: impl FnOnce(&RateLimitResult) -> bool,
) -> Option<Bound<'_, PyIterator>> {
    let given = CARRIERS.try_with(|places| {
        let (place, carrier) = places.iter().find_map(|place| Carrier::free(py, place))?;
        let given = carrier.carry(py, decide);
        place.set(Some(carrier));
        given
    });
    // A thread that ends has no place left for one.
    given.ok().flatten()
}

/// Makes what is to carry this thread's next results, where there is none.
#[cold]
pub(crate) fn make_carriers(py: Python<'_>) -> PyResult<()> {
    let is_empty = |place: &Place| {
        let carrier = place.take();
        let is_empty = carrier.is_none();
        place.set(carrier);
        is_empty
    };
    let lacks = |places: &[Place; 2]| places.iter().any(is_empty);
    // A thread that ends has no place left for one, here and below.
    while CARRIERS.try_with(lacks).unwrap_or(false) {
        let Some(made) = Carrier::make(py)? else { break };
        let _ = CARRIERS.try_with(|places| {
            places.iter().find(|place| is_empty(place)).map(|place| place.set(Some(made)))
        });
    }
    Ok(())
}

/// A future that was done before anybody saw it, and the result in it.
///
/// From asyncio's futures the interpreter takes a result without an exception. It does so for no other
/// object but generators, unless unsafe code tells it how; and an exception, raised and caught, costs
/// more than the decision.
struct Carrier {
    future: Py<PyAny>,
    result: Py<RateLimitResult>,
}

impl Carrier {
    /// Takes one that nobody else holds out of its place.
    #[inline]
    fn free<'a>(py: Python<'_>, place: &'a Place) -> Option<(&'a Place, Self)> {
        let carrier = place.take()?;
        if carrier.is_free(py) {
            return Some((place, carrier));
        }
        place.set(Some(carrier));
        None
    }

    /// Makes one where asyncio is: not while it is being loaded, or torn down with the interpreter. No
    /// asyncio is loaded for those who run without it.
    ///
    /// No bytecode runs meanwhile, in which the handler of a signal might raise.
    #[cold]
    fn make(py: Python<'_>) -> PyResult<Option<Self>> {
        static MODULES: PyOnceLock<Py<PyDict>> = PyOnceLock::new();
        if cfg!(Py_GIL_DISABLED) {
            return Ok(None);
        }
        let Ok(modules) = MODULES.import(py, "sys", "modules") else { return Ok(None) };
        let Some(asyncio) = modules.get_item(intern!(py, "_asyncio"))? else { return Ok(None) };
        let Ok(class) = asyncio.getattr(intern!(py, "Future")) else { return Ok(None) };
        let options = [(intern!(py, "loop"), Nowhere)].into_py_dict(py)?;
        let result = Py::new(py, RateLimitResult::default())?;
        let future = class.call((), Some(&options))?;
        future.call_method1(intern!(py, "set_result"), (&result,))?;
        Ok(Some(Self { future: future.unbind(), result }))
    }

    /// Whether nobody else holds the future, or the result that is in it.
    #[inline]
    fn is_free(&self, py: Python<'_>) -> bool {
        has_holders(py, &self.future, 1) && has_holders(py, &self.result, 2)
    }

    #[inline]
    fn carry<'py>(
        &self,
        py: Python<'py>,
        decide: impl FnOnce(&RateLimitResult) -> bool,
    ) -> Option<Bound<'py, PyIterator>> {
        // Before the decision: where this fails, nothing was drawn.
        let carrying = self.future.bind(py).try_iter().ok()?;
        decide(self.result.get()).then_some(carrying)
    }
}

/// The loop of futures that nobody waits for; each asks once whether it is debugged.
#[pyclass(frozen, module = "sluicegate._native")]
struct Nowhere;

#[pymethods]
impl Nowhere {
    #[expect(clippy::unused_self, reason = "a loop's method")]
    fn get_debug(&self) -> bool {
        false
    }
}
