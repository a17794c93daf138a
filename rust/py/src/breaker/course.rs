//! The course of a call through a breaker: how it enters, how it is settled, who is told.

use pyo3::intern;
use pyo3::prelude::*;
use sluicegate_core::breaker::{Breaker, Change, CircuitState, Outcome, Permit, Refusal};
use sluicegate_core::{Clock as _, MonotonicClock, Nanos};

use super::{BreakerOptions, BreakerTrip, CircuitBreaker};
use crate::clock::Clock;
use crate::convert::seconds;

impl CircuitBreaker {
    #[inline]
    pub(super) fn options(&self) -> &BreakerOptions {
        self.terms.get().options.get()
    }

    #[inline]
    pub(super) fn core(&self) -> Breaker<'_> {
        Breaker::new(&self.options().core, self.state.get())
    }

    #[inline]
    pub(super) fn clock(&self) -> &Clock {
        &self.terms.get().clock
    }

    pub(super) fn ignore(&self, permit: &Permit) {
        // An ignored call changes no state, and no time goes into it.
        let change = self.core().settle(permit, Outcome::Ignored, Nanos::ZERO);
        debug_assert!(change.is_none());
    }

    /// Enters, and has what that changed reported; gives a permit or why there is none.
    pub(super) fn enter(slf: &Bound<'_, Self>) -> PyResult<Result<Permit, Refusal>> {
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

    pub(super) fn enter_or_raise(slf: &Bound<'_, Self>) -> PyResult<Permit> {
        Self::enter(slf)?
            .map_err(|refusal| Self::refuse(slf, refusal).unwrap_or_else(|error| error))
    }

    pub(super) fn refuse(slf: &Bound<'_, Self>, refusal: Refusal) -> PyResult<PyErr> {
        let retry_after = refusal.retry_after.map(seconds);
        let name = intern!(slf.py(), "_refusal");
        slf.call_method1(name, (refusal.state as u8, retry_after)).map(PyErr::from_value)
    }

    pub(super) fn report(slf: &Bound<'_, Self>, change: Change) -> PyResult<()> {
        let trip = change.trip.map(|core| BreakerTrip { core });
        let arguments = (change.from as u8, change.to as u8, seconds(change.at), trip);
        slf.call_method1(intern!(slf.py(), "_changed"), arguments).map(drop)
    }

    /// Settles a call that ended with a result.
    #[inline]
    pub(super) fn succeed(
        slf: &Bound<'_, Self>,
        permit: &Permit,
        result: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        match slf.get().options().predicate_of_results(slf.py()) {
            Some(is_failure) => Self::judge(slf, permit, result, is_failure),
            None => Self::conclude(slf, permit, Outcome::Success, None),
        }
    }

    /// Settles a call by what the predicate says of its result.
    #[cold]
    pub(super) fn judge(
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
    pub(super) fn fail(
        slf: &Bound<'_, Self>,
        permit: &Permit,
        error: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
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
    pub(super) fn conclude(
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

    pub(super) fn force(slf: &Bound<'_, Self>, to: CircuitState) -> PyResult<()> {
        let this = slf.get();
        match this.core().force(to, this.clock().now()) {
            Some(change) => Self::report(slf, change),
            None => Ok(()),
        }
    }
}
