//! The awaitable that `acquire` returns: a coroutine in all but the frame.

use pyo3::IntoPyObjectExt as _;
use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::pyclass::PyClassGuardMut;
use pyo3::types::PyTuple;
use pyo3::{PyTraverseError, PyVisit};
use sluicegate_core::{Decision, Fingerprint, Nanos};

use crate::answer::{Answer, carried, make_carriers};
use crate::charged::Charged;
use crate::keyed::KeyedRateLimiter;
use crate::limiter::RateLimiter;
use crate::sharded::ShardedRateLimiter;
use crate::spare::Spare;
use crate::wait::Wait;

/// Whose permits are acquired.
pub(crate) enum Source {
    Direct(Py<RateLimiter>),
    Keyed(Py<KeyedRateLimiter>, Fingerprint),
    Sharded(Py<ShardedRateLimiter>, Fingerprint),
}

impl Source {
    /// Draws the permits if they are there now, and has the decision given on from where it lies, for
    /// to move it takes longer than to make it; who would not wait has the refusal at once.
    #[inline]
    fn draw<R>(&self, count: u64, max_wait: Nanos, give: impl FnOnce(&Decision) -> R) -> Option<R> {
        let (decision, tally) = match self {
            Self::Direct(limiter) => {
                let this = limiter.get();
                (this.core.attempt(&this.clock, count), &*this.tally)
            }
            Self::Keyed(limiter, key) => {
                let this = limiter.get();
                (this.core.attempt(&this.clock, *key, count), &*this.tally)
            }
            Self::Sharded(limiter, key) => {
                let this = limiter.get();
                (this.core.attempt(&this.clock, *key, count), this.tally(*key))
            }
        };
        if !decision.allowed && max_wait > Nanos::ZERO {
            return None;
        }
        tally.decided(decision.allowed, count);
        Some(give(&decision))
    }

    /// Lets go of the limiter, which may die of it, and then run code of its own.
    #[inline]
    fn drop_ref(self, py: Python<'_>) {
        match self {
            Self::Direct(limiter) => limiter.drop_ref(py),
            Self::Keyed(limiter, _) => limiter.drop_ref(py),
            Self::Sharded(limiter, _) => limiter.drop_ref(py),
        }
    }

    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Self::Direct(limiter) => visit.call(limiter),
            Self::Keyed(limiter, _) => visit.call(limiter),
            Self::Sharded(limiter, _) => visit.call(limiter),
        }
    }

    fn queue(
        &self,
        py: Python<'_>,
        count: u64,
        max_wait: Nanos,
    ) -> PyResult<Result<Charged, Decision>> {
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
        if let Some(result) = self.draw(count, max_wait, |decision| *decision) {
            return Answer::from(result).into_bound_py_any(py);
        }
        match self.queue(py, count, max_wait)? {
            Ok(charged) => {
                let wait = Bound::new(py, Wait::new([charged]))?;
                let waited = self.limiter(py).call_method1("_wait_blocking", (&wait,));
                // An interrupt may come before the method has got so far as to see to it.
                waited.inspect_err(|_| wait.get().end(false))
            }
            Err(refusal) => Answer::from(refusal).into_bound_py_any(py),
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

/// What to draw, and how long to wait for it.
struct Order {
    source: Source,
    count: u64,
    max_wait: Nanos,
}

thread_local! {
    /// The awaitable of this thread that was done last.
    static DONE: Spare<Acquire> = const { Spare::new() };
}

/// Draws the permits when it is awaited, and hands over to Python's waiting only where there is a
/// wait: without one it costs no task, future or coroutine.
///
/// It has a coroutine's methods, so that event loops and `create_task` take it for one.
#[pyclass(module = "sluicegate._native")]
pub(crate) struct Acquire {
    /// What it is to do, until it begins.
    order: Option<Order>,
    /// The coroutine that waits, where there is a wait.
    waiting: Option<Py<PyAny>>,
}

/// What a step led to.
enum Step<'py> {
    Waits(Bound<'py, PyAny>),
    Returns(Answer),
}

impl Acquire {
    /// Makes one: of the one that was done last, if nobody holds that any more. The order is put
    /// together where it is to lie, for to move it takes longer.
    #[inline]
    pub(crate) fn make(
        py: Python<'_>,
        count: u64,
        max_wait: Nanos,
        source: impl FnOnce() -> Source,
    ) -> PyResult<Py<Self>> {
        let order = || Order { source: source(), count, max_wait };
        match DONE.try_with(|done| done.take(py)).ok().flatten() {
            Some(done) => {
                // There is none in it: what is done holds nothing.
                PyClassGuardMut::try_from(done.bind(py))?.order.get_or_insert_with(order);
                Ok(done)
            }
            None => Py::new(py, Self { order: Some(order()), waiting: None }),
        }
    }

    /// Decides at the first step; at the next it goes on waiting.
    fn step<'py>(slf: &Bound<'py, Self>, value: Option<&Bound<'py, PyAny>>) -> PyResult<Step<'py>> {
        let py = slf.py();
        let Some(order) = Self::begin(slf)? else {
            let waiting = Self::waiting(slf)?.ok_or_else(already_awaited)?;
            return waiting.call_method1(intern!(py, "send"), (value,)).map(Step::Waits);
        };
        match order.source.draw(order.count, order.max_wait, |decision| *decision) {
            Some(decision) => {
                Self::done(slf);
                Ok(Step::Returns(decision.into()))
            }
            None => Self::wait(slf, &order),
        }
    }

    /// Keeps it for the next one: it holds nothing any more.
    #[inline]
    fn done(slf: &Bound<'_, Self>) {
        // A thread that ends has no place left for it.
        let _ = DONE.try_with(|done| done.keep(slf.clone().unbind()));
    }

    #[cold]
    fn wait<'py>(slf: &Bound<'py, Self>, order: &Order) -> PyResult<Step<'py>> {
        let py = slf.py();
        match order.source.queue(py, order.count, order.max_wait)? {
            Ok(charged) => {
                let wait = Bound::new(py, Wait::new([charged]))?;
                let waiting = order.source.limiter(py).call_method1("_wait", (&wait,))?;
                slf.try_borrow_mut()?.waiting = Some(waiting.clone().unbind());
                let step = waiting.call_method1(intern!(py, "send"), (py.None(),));
                // An interrupt may come before the coroutine has got so far as to see to it.
                step.inspect_err(|_| wait.get().end(false)).map(Step::Waits)
            }
            Err(refusal) => Ok(Step::Returns(refusal.into())),
        }
    }

    /// Takes out what is to do, which nobody may do again; nothing where that was done.
    fn begin(slf: &Bound<'_, Self>) -> PyResult<Option<Order>> {
        Ok(slf.try_borrow_mut()?.order.take())
    }

    fn waiting<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let waiting = &slf.try_borrow()?.waiting;
        Ok(waiting.as_ref().map(|waiting| waiting.bind(slf.py()).clone()))
    }
}

fn already_awaited() -> PyErr {
    PyRuntimeError::new_err("cannot reuse already awaited acquire()")
}

#[pymethods]
impl Acquire {
    /// Decide, where that takes no wait: what is given is done then. Else decide at the first step.
    fn __await__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let mut this = PyClassGuardMut::try_from(slf)?;
        let Some(Order { source, count, max_wait }) = &this.order else {
            return Ok(slf.clone().into_any());
        };
        let Some(decided) = carried(slf.py(), |result| {
            source.draw(*count, *max_wait, |decision| result.write(decision)).is_some()
        }) else {
            drop(this);
            make_carriers(slf.py())?;
            return Ok(slf.clone().into_any());
        };
        let order = this.order.take();
        drop(this);
        if let Some(order) = order {
            order.source.drop_ref(slf.py());
        }
        Self::done(slf);
        Ok(decided.into_any())
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        match Self::step(slf, None)? {
            Step::Waits(future) => Ok(future),
            Step::Returns(answer) => Err(answer.raised(slf.py())),
        }
    }

    /// Take a step, as a coroutine does; nothing but the waiting looks at `value`.
    fn send<'py>(slf: &Bound<'py, Self>, value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        match Self::step(slf, Some(value))? {
            Step::Waits(future) => Ok(future),
            Step::Returns(answer) => Err(answer.raised(slf.py())),
        }
    }

    /// Raise an exception where it waits; before the first step nothing is drawn.
    #[pyo3(signature = (*error))]
    fn throw<'py>(
        slf: &Bound<'py, Self>,
        error: &Bound<'py, PyTuple>,
    ) -> PyResult<Bound<'py, PyAny>> {
        if let Some(waiting) = Self::waiting(slf)? {
            return waiting.call_method1(intern!(slf.py(), "throw"), error);
        }
        Self::begin(slf)?.ok_or_else(already_awaited)?;
        let thrown = if error.len() > 1 && !error.get_item(1)?.is_none() {
            error.get_item(1)?
        } else {
            error.get_item(0)?
        };
        Err(PyErr::from_value(thrown))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.order.iter().try_for_each(|order| order.source.traverse(&visit))?;
        visit.call(&self.waiting)
    }

    fn __clear__(&mut self) {
        self.order = None;
        self.waiting = None;
    }

    /// End the wait, if there is one, and give its permits back.
    fn close(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::begin(slf)?;
        match Self::waiting(slf)? {
            Some(waiting) => waiting.call_method0(intern!(slf.py(), "close")).map(drop),
            None => Ok(()),
        }
    }
}
