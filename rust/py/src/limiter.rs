//! The rate limiter's verbs; waiting itself is Python's.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyList;
use sluicegate_core::limiter::check_bandwidths;
use sluicegate_core::{Bandwidth, Clock as _, ConfigError, Decision, Nanos, Stats, Tally, Writers};
use sluicegate_shm::{Anywhere, Home, Kind, Plan};

use crate::acquire::{Acquire, Source};
use crate::answer::Answer;
use crate::charged::Charged;
use crate::clock::Clock;
use crate::convert::{Count, nanos_or_forever, seconds};
use crate::errors::configuration_error;
use crate::quota::Quota;
use crate::reservation::Reservation;
use crate::shared::{Place, Shared};

/// What a limiter has done since it was built; calls and permits are counted apart.
#[pyclass(frozen, subclass, eq, get_all, module = "sluicegate")]
#[derive(PartialEq)]
pub(crate) struct RateLimiterStats {
    /// Calls that were granted.
    allowed: u64,
    /// Calls that were refused.
    denied: u64,
    /// Permits granted.
    allowed_permits: u64,
    /// Permits refused.
    denied_permits: u64,
    /// Whole permits given back by cancelled and committed reservations.
    returned_permits: u64,
    /// Callers that wait for their turn now.
    waiting: u64,
    /// Seconds spent waiting by all who are done with it.
    waited: f64,
}

impl From<Stats> for RateLimiterStats {
    fn from(stats: Stats) -> Self {
        Self {
            allowed: stats.allowed,
            denied: stats.denied,
            allowed_permits: stats.allowed_permits,
            denied_permits: stats.denied_permits,
            returned_permits: stats.returned_permits,
            waiting: stats.waiting,
            waited: seconds(stats.waited),
        }
    }
}

#[pymethods]
impl RateLimiterStats {
    pub(crate) fn __repr__(&self) -> String {
        format!(
            "RateLimiterStats(allowed={}, denied={}, allowed_permits={}, denied_permits={}, \
             returned_permits={}, waiting={}, waited={:?})",
            self.allowed,
            self.denied,
            self.allowed_permits,
            self.denied_permits,
            self.returned_permits,
            self.waiting,
            self.waited,
        )
    }
}

/// With its lock the interpreter lets one thread count at a time.
pub(crate) const WRITERS: Writers =
    if cfg!(Py_GIL_DISABLED) { Writers::Many } else { Writers::One };

/// The limiter's decisions; `sluicegate.RateLimiter` adds the waiting.
#[pyclass(frozen, subclass, module = "sluicegate._native")]
pub(crate) struct RateLimiter {
    pub(crate) core: sluicegate_core::RateLimiter<Anywhere>,
    pub(crate) clock: Clock,
    /// Apart, for the interpreter's objects are not aligned to cache lines.
    pub(crate) tally: Home<Tally>,
    pub(crate) shared: Option<Shared>,
}

pub(crate) fn quotas(list: &Bound<'_, PyList>) -> PyResult<Vec<sluicegate_core::Quota>> {
    list.iter().map(|quota| Ok(quota.cast::<Quota>()?.get().core)).collect()
}

#[pymethods]
impl RateLimiter {
    #[new]
    #[pyo3(signature = (quotas, clock = None, shared = None))]
    fn new(
        quotas: &Bound<'_, PyList>,
        clock: Option<&Bound<'_, PyAny>>,
        shared: Option<Place>,
    ) -> PyResult<Self> {
        let py = quotas.py();
        let invalid = |error: ConfigError| {
            configuration_error(py, error.to_string(), error.field, quotas.len())
        };
        let clock = Clock::from_argument(clock)?;
        let quotas = self::quotas(quotas)?;
        check_bandwidths(quotas.len()).map_err(invalid)?;
        let (core, tally, shared) = match shared {
            None => {
                let words = quotas.iter().map(Bandwidth::new).collect();
                let tally = Box::new(Tally::new(WRITERS)).into();
                (sluicegate_core::RateLimiter::alone(words), tally, None)
            }
            Some(place) => {
                let mut plan = Plan::default();
                let (tallies, words) = (plan.section(1), plan.section(quotas.len()));
                let shared = place.open(py, Kind::Limiter, plan, |draft| {
                    draft.fill(tallies, |_| Tally::new(Writers::Many))?;
                    draft.fill(words, |index| Bandwidth::new(&quotas[index]))
                })?;
                let core = sluicegate_core::RateLimiter::over(shared.words(py, words)?);
                (core, shared.word(py, tallies)?, Some(shared))
            }
        };
        Ok(Self { core: core.map_err(invalid)?, clock, tally, shared })
    }

    /// Draw `count` permits and say whether they were there; never waits.
    #[pyo3(signature = (count = Count::ONE), text_signature = "($self, count=1)")]
    fn try_acquire(&self, count: Count) -> bool {
        let allowed = self.core.try_acquire(&self.clock, count.0);
        self.tally.decided(allowed, count.0);
        allowed
    }

    /// Draw `count` permits and say how things stand; never waits.
    #[pyo3(signature = (count = Count::ONE), text_signature = "($self, count=1)")]
    fn attempt(&self, count: Count) -> Answer {
        let decision = self.core.attempt(&self.clock, count.0);
        self.tally.decided(decision.allowed, count.0);
        decision.into()
    }

    /// Say what `attempt` would say; draws nothing.
    #[pyo3(signature = (count = Count::ONE), text_signature = "($self, count=1)")]
    fn peek(&self, count: Count) -> Answer {
        self.core.peek(self.clock.now(), count.0).into()
    }

    /// Charge `count` permits now for the first start that the limit allows; None where that is
    /// more than `max_wait` seconds away.
    #[pyo3(
        signature = (count = Count::ONE, max_wait = None),
        text_signature = "($self, count=1, max_wait=None)"
    )]
    fn _reserve(
        slf: &Bound<'_, Self>,
        count: Count,
        max_wait: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Option<Reservation>> {
        let this = slf.get();
        let max_wait = nanos_or_forever(max_wait, "max_wait")?;
        let reserved = this.core.reserve(&this.clock, count.0, max_wait).ok();
        this.tally.decided(reserved.is_some(), count.0);
        Ok(reserved
            .map(|(grant, _)| Reservation::new(Charged::Direct(slf.clone().unbind(), grant))))
    }

    /// Draw `count` permits, waiting for them up to `timeout` seconds: an awaitable of the result.
    #[pyo3(
        signature = (count = Count::ONE, timeout = None),
        text_signature = "($self, count=1, timeout=None)"
    )]
    fn acquire(
        slf: Py<Self>,
        py: Python<'_>,
        count: Count,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<Acquire>> {
        let max_wait = nanos_or_forever(timeout, "timeout")?;
        Acquire::make(py, count.0, max_wait, || Source::Direct(slf))
    }

    /// Draw `count` permits, waiting for them up to `timeout` seconds in this thread.
    #[pyo3(
        signature = (count = Count::ONE, timeout = None),
        text_signature = "($self, count=1, timeout=None)"
    )]
    fn acquire_blocking<'py>(
        slf: Py<Self>,
        py: Python<'py>,
        count: Count,
        timeout: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let max_wait = nanos_or_forever(timeout, "timeout")?;
        Source::Direct(slf).acquire_blocking(py, count.0, max_wait)
    }

    /// Put other quotas in force; what is owed stays owed, granted times stand.
    fn _update(&self, quotas: &Bound<'_, PyList>) -> PyResult<()> {
        let read = self::quotas(quotas)?;
        let _changing = Shared::changing(quotas.py(), self.shared.as_ref())?;
        let updated = self.core.update(self.clock.now(), &read);
        updated.map_err(|error| {
            configuration_error(quotas.py(), error.to_string(), error.field, quotas.len())
        })
    }

    /// Read the counts since the start.
    fn stats(&self) -> RateLimiterStats {
        self.tally.read().into()
    }
}

impl RateLimiter {
    /// Reserves `count` permits that were not there: the charge, or the refusal.
    ///
    /// `ValueError` where a wait without a bound would be endless.
    pub(crate) fn queue(
        slf: Py<Self>,
        count: u64,
        max_wait: Nanos,
    ) -> PyResult<Result<Charged, Decision>> {
        let this = slf.get();
        let reserved = this.core.reserve(&this.clock, count, max_wait);
        this.tally.decided(reserved.is_ok(), count);
        match reserved {
            Ok((grant, _)) => Ok(Ok(Charged::Direct(slf, grant))),
            Err(decision) => refusal(decision, count, max_wait).map(Err),
        }
    }
}

/// The refusal of a wait; `ValueError` where one without a bound would be endless.
pub(crate) fn refusal(decision: Decision, count: u64, max_wait: Nanos) -> PyResult<Decision> {
    if max_wait == Nanos::MAX && decision.retry_after == Nanos::MAX {
        return Err(PyValueError::new_err(format!(
            "{count} permits can never be granted here, where the limit is {}: ask for fewer, or \
             pass a timeout and read the result",
            decision.limit
        )));
    }
    Ok(decision)
}
