//! A reservation that settles once, whoever comes first.

use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use sluicegate_core::{Clock as _, Decision, Fingerprint, Grant, KeyedGrant, Nanos};

use crate::answer::Answer;
use crate::clock::Clock;
use crate::convert::{Count, nanos_from_seconds, seconds, span_seconds};
use crate::keyed::KeyedRateLimiter;
use crate::limiter::RateLimiter;
use crate::sharded::ShardedRateLimiter;

/// The limiter that was charged, and the grant in its terms.
pub(crate) enum Charged {
    Direct(Py<RateLimiter>, Grant),
    Keyed(Py<KeyedRateLimiter>, KeyedGrant),
    Sharded(Py<ShardedRateLimiter>, Fingerprint, Grant),
}

impl Charged {
    fn grant(&self) -> &Grant {
        match self {
            Self::Direct(_, grant) | Self::Sharded(_, _, grant) => grant,
            Self::Keyed(_, grant) => grant.grant(),
        }
    }

    fn clock(&self) -> &Clock {
        match self {
            Self::Direct(limiter, _) => &limiter.get().clock,
            Self::Keyed(limiter, _) => &limiter.get().clock,
            Self::Sharded(limiter, ..) => &limiter.get().clock,
        }
    }

    fn state(&self) -> Decision {
        match self {
            Self::Direct(limiter, _) => limiter.get().core.peek(self.clock().now(), 0),
            Self::Sharded(limiter, ..) => limiter.get().core.peek(self.clock().now(), 0),
            Self::Keyed(limiter, grant) => {
                limiter.get().core.peek(self.clock().now(), grant.key(), 0)
            }
        }
    }

    fn defer(&mut self, start: Nanos) {
        match self {
            Self::Direct(limiter, grant) => limiter.get().core.defer(grant, start),
            Self::Keyed(limiter, grant) => limiter.get().core.defer(grant, start),
            Self::Sharded(limiter, _, grant) => limiter.get().core.defer(grant, start),
        }
    }

    fn cancel(&self) -> u64 {
        let (permits, tally) = match self {
            Self::Direct(limiter, grant) => {
                let limiter = limiter.get();
                (limiter.core.cancel(grant, &limiter.clock), &*limiter.tally)
            }
            Self::Keyed(limiter, grant) => {
                let limiter = limiter.get();
                (limiter.core.cancel(grant, &limiter.clock), &*limiter.tally)
            }
            Self::Sharded(limiter, key, grant) => {
                let limiter = limiter.get();
                (limiter.core.cancel(grant, &limiter.clock), limiter.tally(*key))
            }
        };
        tally.returned(permits);
        permits
    }

    fn commit(&self, actual: u64) -> i64 {
        let (permits, tally) = match self {
            Self::Direct(limiter, grant) => {
                let limiter = limiter.get();
                (limiter.core.commit(grant, &limiter.clock, actual), &*limiter.tally)
            }
            Self::Keyed(limiter, grant) => {
                let limiter = limiter.get();
                (limiter.core.commit(grant, &limiter.clock, actual), &*limiter.tally)
            }
            Self::Sharded(limiter, key, grant) => {
                let limiter = limiter.get();
                (limiter.core.commit(grant, &limiter.clock, actual), limiter.tally(*key))
            }
        };
        tally.returned(u64::try_from(permits).unwrap_or(0));
        permits
    }
}

/// Permits charged already, to be used from `execute_at` on; `TokenReservation` wraps it.
#[pyclass(frozen, module = "sluicegate._native")]
pub(crate) struct Reservation {
    state: Mutex<State>,
}

struct State {
    charged: Charged,
    settled: bool,
}

impl Reservation {
    pub(crate) fn new(charged: Charged) -> Self {
        Self { state: Mutex::new(State { charged, settled: false }) }
    }

    /// No Python is called while it is held, and nothing in it can be half done.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `settle` on what was charged unless it was settled before.
    fn settle<T: Default>(&self, settle: impl FnOnce(&Charged) -> T) -> T {
        let mut state = self.state();
        if std::mem::replace(&mut state.settled, true) {
            return T::default();
        }
        settle(&state.charged)
    }
}

#[pymethods]
impl Reservation {
    /// The permits charged.
    #[getter]
    fn count(&self) -> u64 {
        self.state().charged.grant().count()
    }

    /// The instant of the charge in seconds, on the limiter's clock.
    #[getter]
    fn reserved_at(&self) -> f64 {
        seconds(self.state().charged.grant().reserved_at())
    }

    /// The first instant of use in seconds, on the limiter's clock.
    #[getter]
    fn execute_at(&self) -> f64 {
        span_seconds(self.state().charged.grant().execute_at())
    }

    /// The first instant of use in whole nanoseconds.
    #[getter]
    fn execute_at_ns(&self) -> u64 {
        self.state().charged.grant().execute_at().get()
    }

    /// Seconds from now until `execute_at`, 0.0 once it has come.
    #[getter]
    fn delay(&self) -> f64 {
        let charged = &self.state().charged;
        span_seconds(charged.grant().execute_at() - charged.clock().now())
    }

    /// Whether it was cancelled or committed.
    #[getter]
    fn settled(&self) -> bool {
        self.state().settled
    }

    /// Set `execute_at` to `reserved_at` + `seconds`, never earlier than granted.
    fn delay_execution(&self, seconds: &Bound<'_, PyAny>) -> PyResult<()> {
        let delay = nanos_from_seconds(seconds, "seconds")?;
        let mut state = self.state();
        let start = state.charged.grant().reserved_at() + delay;
        state.charged.defer(start);
        Ok(())
    }

    /// Give back what cannot break the limit: whole permits, 0 from `execute_at` on.
    fn cancel(&self) -> u64 {
        self.settle(Charged::cancel)
    }

    /// Settle at `actual` permits: those given back, negative where more was charged.
    #[pyo3(signature = (actual = None))]
    fn commit(&self, actual: Option<Count>) -> i64 {
        self.settle(|charged| {
            charged.commit(actual.map_or(charged.grant().count(), |actual| actual.0))
        })
    }

    /// Say how things stand after a wait that was granted.
    fn granted(&self) -> Answer {
        let state = self.state().charged.state();
        Decision { allowed: true, retry_after: Nanos::ZERO, ..state }.into()
    }
}
