//! Several limiters in one draw: counts by the name of the unit.

use pyo3::IntoPyObjectExt as _;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use pyo3::{PyTraverseError, PyVisit};
use sluicegate_core::composite::{self, MAX_SHARES, Share};
use sluicegate_core::{Clock as _, Decision, Nanos};
use sluicegate_shm::Anywhere;

use crate::answer::Answer;
use crate::charged::Charged;
use crate::convert::{Count, nanos_or_forever};
use crate::errors::configuration_error;
use crate::limiter::RateLimiter;
use crate::reservation::Reservation;
use crate::wait::Wait;

/// The composite's decisions; `sluicegate.CompositeRateLimiter` adds the waiting.
#[pyclass(frozen, subclass, module = "sluicegate._native")]
pub(crate) struct CompositeRateLimiter {
    units: Vec<(String, Py<RateLimiter>)>,
}

/// The counts of one draw, in the order of the units.
type Counts = [u64; MAX_SHARES];

impl CompositeRateLimiter {
    fn first(&self) -> &RateLimiter {
        // There is one: `new` refuses none at all.
        self.units[0].1.get()
    }

    /// Reads counts by name; a unit that is not named is asked for one.
    fn counts(&self, named: Option<&Bound<'_, PyDict>>) -> PyResult<Counts> {
        let mut counts = [1; MAX_SHARES];
        for (name, count) in named.into_iter().flatten() {
            let place = self.units.iter().position(|(unit, _)| name.eq(unit).unwrap_or(false));
            let Some(place) = place else {
                let units: Vec<&str> = self.units.iter().map(|(unit, _)| unit.as_str()).collect();
                return Err(PyTypeError::new_err(format!(
                    "this limiter has no unit {name}, only {}",
                    units.join(", ")
                )));
            };
            counts[place] = count.extract::<Count>()?.0;
        }
        Ok(counts)
    }

    fn with_shares<R>(&self, counts: &Counts, draw: impl FnOnce(&[Share<'_, Anywhere>]) -> R) -> R {
        let first = Share { limiter: &self.first().core, count: 0 };
        let mut shares = [first; MAX_SHARES];
        for ((share, (_, limiter)), count) in shares.iter_mut().zip(&self.units).zip(counts) {
            *share = Share { limiter: &limiter.get().core, count: *count };
        }
        draw(&shares[..self.units.len()])
    }

    /// Every limiter counts its own share.
    fn count(&self, allowed: bool, counts: &Counts) {
        for ((_, limiter), count) in self.units.iter().zip(counts) {
            limiter.get().tally.decided(allowed, *count);
        }
    }

    fn draw(&self, counts: &Counts) -> Decision {
        let clock = &self.first().clock;
        let drawn = self.with_shares(counts, |shares| {
            composite::reserve(shares, clock, Nanos::ZERO).map(|(_, decision)| decision)
        });
        let decision = drawn.unwrap_or_else(|refusal| refusal);
        self.count(decision.allowed, counts);
        decision
    }

    /// Charges every unit for the same time: what was charged of each, in order, or the refusal.
    fn charge(
        &self,
        py: Python<'_>,
        counts: &Counts,
        max_wait: Nanos,
    ) -> Result<Vec<Charged>, Decision> {
        let clock = &self.first().clock;
        let reserved =
            self.with_shares(counts, |shares| composite::reserve(shares, clock, max_wait));
        self.count(reserved.is_ok(), counts);
        let (grants, _) = reserved?;
        let grants = self.units.iter().zip(grants.into_iter().flatten());
        Ok(grants.map(|((_, unit), grant)| Charged::Direct(unit.clone_ref(py), grant)).collect())
    }
}

#[pymethods]
impl CompositeRateLimiter {
    #[new]
    fn new(py: Python<'_>, units: Vec<(String, Py<RateLimiter>)>) -> PyResult<Self> {
        if units.is_empty() || units.len() > MAX_SHARES {
            let message = format!("a composite has 1 to {MAX_SHARES} units, not {}", units.len());
            return Err(configuration_error(py, message, "limiters", units.len()));
        }
        if let Some((name, _)) =
            units.iter().find(|(_, each)| !each.get().clock.is(&units[0].1.get().clock))
        {
            let message =
                format!("all units share one clock, but {name} has another than {}", units[0].0);
            return Err(configuration_error(py, message, "limiters", name));
        }
        for (place, (name, unit)) in units.iter().enumerate() {
            if let Some((twin, _)) = units[..place].iter().find(|(_, other)| other.is(unit)) {
                let message = format!(
                    "each unit is a limiter of its own, but {twin} and {name} are one: ask it for the \
                     sum of both"
                );
                return Err(configuration_error(py, message, "limiters", name));
            }
        }
        Ok(Self { units })
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.units.iter().try_for_each(|(_, unit)| visit.call(unit))
    }

    /// Draw from every unit or from none, and say whether it was done; never waits.
    #[pyo3(signature = (**counts))]
    fn try_acquire(&self, counts: Option<&Bound<'_, PyDict>>) -> PyResult<bool> {
        Ok(self.draw(&self.counts(counts)?).allowed)
    }

    /// Draw from every unit or from none, and say how things stand; never waits.
    #[pyo3(signature = (**counts))]
    fn attempt(&self, counts: Option<&Bound<'_, PyDict>>) -> PyResult<Answer> {
        Ok(self.draw(&self.counts(counts)?).into())
    }

    /// Say what `attempt` would say; draws nothing.
    #[pyo3(signature = (**counts))]
    fn peek(&self, counts: Option<&Bound<'_, PyDict>>) -> PyResult<Answer> {
        let counts = self.counts(counts)?;
        let now = self.first().clock.now();
        Ok(self.with_shares(&counts, |shares| composite::peek(shares, now)).into())
    }

    /// Charge every unit now for the first start that all allow: a reservation of each, in order,
    /// or the refusal where that is more than `max_wait` seconds away.
    #[pyo3(signature = (counts, max_wait = None))]
    fn _reserve<'py>(
        &self,
        py: Python<'py>,
        counts: &Bound<'py, PyDict>,
        max_wait: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let counts = self.counts(Some(counts))?;
        match self.charge(py, &counts, nanos_or_forever(max_wait, "max_wait")?) {
            Ok(charges) => {
                let reservations = charges.into_iter().map(Reservation::new);
                reservations.collect::<Vec<_>>().into_bound_py_any(py)
            }
            Err(refusal) => Answer::from(refusal).into_bound_py_any(py),
        }
    }

    /// Charge every unit for who acquires: the grant where that is for now, the wait where it is not,
    /// or the refusal where it is more than `timeout` seconds away.
    #[pyo3(signature = (counts, timeout = None))]
    fn _charge<'py>(
        &self,
        py: Python<'py>,
        counts: &Bound<'py, PyDict>,
        timeout: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let counts = self.counts(Some(counts))?;
        match self.charge(py, &counts, nanos_or_forever(timeout, "timeout")?) {
            Ok(charges) => {
                let wait = Wait::new(charges);
                if !wait.is_due() {
                    return wait.into_bound_py_any(py);
                }
                wait.end(true);
                wait.granted().into_bound_py_any(py)
            }
            Err(refusal) => Answer::from(refusal).into_bound_py_any(py),
        }
    }
}
