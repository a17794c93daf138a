//! The clocks, one Rust clock serving both languages.

use std::sync::Arc;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use sluicegate_core::{Clock as _, Nanos};

use crate::convert::{nanos_from_seconds, seconds};

/// The clock a limiter or breaker reads: chosen when it is built, dispatched without a table.
#[derive(Clone)]
pub(crate) enum Clock {
    Monotonic,
    Manual(Arc<sluicegate_core::ManualClock>),
}

impl Clock {
    /// Takes the `clock=` argument: `None` or a `MonotonicClock`, or a `ManualClock`.
    pub(crate) fn from_argument(clock: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        let Some(clock) = clock else { return Ok(Self::Monotonic) };
        if let Ok(manual) = clock.cast::<ManualClock>() {
            return Ok(Self::Manual(Arc::clone(&manual.get().core)));
        }
        if clock.is_instance_of::<MonotonicClock>() {
            return Ok(Self::Monotonic);
        }
        Err(PyTypeError::new_err(format!(
            "clock must be None, MonotonicClock or sluicegate.testing.ManualClock, not {clock:?}"
        )))
    }

    /// Reads the time as of the last tick: cheap, and behind by [`MonotonicClock::TICK`] at most.
    #[inline]
    pub(crate) fn tick(&self) -> Nanos {
        match self {
            Self::Monotonic => sluicegate_core::MonotonicClock.tick(),
            Self::Manual(clock) => clock.now(),
        }
    }

    /// Tells whether both read the same clock.
    pub(crate) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Monotonic, Self::Monotonic) => true,
            (Self::Manual(mine), Self::Manual(theirs)) => Arc::ptr_eq(mine, theirs),
            _ => false,
        }
    }
}

impl sluicegate_core::Clock for Clock {
    #[inline]
    fn now(&self) -> Nanos {
        match self {
            Self::Monotonic => sluicegate_core::MonotonicClock.now(),
            Self::Manual(clock) => clock.now(),
        }
    }
}

/// The machine's monotonic clock: the scale of `time.monotonic` and of the event loops.
#[pyclass(frozen, module = "sluicegate._native")]
pub(crate) struct MonotonicClock;

#[pymethods]
impl MonotonicClock {
    #[new]
    fn new() -> Self {
        Self
    }

    /// Read the clock in seconds.
    #[expect(clippy::unused_self, reason = "a method, so that every clock is read alike")]
    fn now(&self) -> f64 {
        seconds(sluicegate_core::MonotonicClock.now())
    }

    /// Read the clock in whole nanoseconds.
    #[expect(clippy::unused_self, reason = "a method, so that every clock is read alike")]
    fn now_ns(&self) -> u64 {
        sluicegate_core::MonotonicClock.now().get()
    }
}

/// A clock that stands still until it is moved; `sluicegate.testing.ManualClock` adds sleepers.
#[pyclass(frozen, subclass, module = "sluicegate._native")]
pub(crate) struct ManualClock {
    core: Arc<sluicegate_core::ManualClock>,
}

#[pymethods]
impl ManualClock {
    #[new]
    #[pyo3(signature = (start = None))]
    fn new(start: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        let start = start.map_or(Ok(Nanos::ZERO), |start| nanos_from_seconds(start, "start"))?;
        Ok(Self { core: Arc::new(sluicegate_core::ManualClock::new(start)) })
    }

    /// Read the clock in seconds.
    fn now(&self) -> f64 {
        seconds(self.core.now())
    }

    /// Read the clock in whole nanoseconds.
    fn now_ns(&self) -> u64 {
        self.core.now().get()
    }

    /// Move the clock forward by `seconds`, rounded to the nearest nanosecond.
    fn advance(&self, seconds: &Bound<'_, PyAny>) -> PyResult<()> {
        self.core.advance(nanos_from_seconds(seconds, "seconds")?);
        Ok(())
    }

    /// Move the clock forward by `nanoseconds`.
    fn advance_ns(&self, nanoseconds: u64) {
        self.core.advance(Nanos::new(nanoseconds));
    }

    /// Set the clock to `seconds`, which may lie in its past.
    fn set(&self, seconds: &Bound<'_, PyAny>) -> PyResult<()> {
        self.core.set(nanos_from_seconds(seconds, "seconds")?);
        Ok(())
    }
}
