//! The keyed limiter's verbs: those of the direct one, key first.

use std::hash::{BuildHasher as _, RandomState};

use pyo3::IntoPyObjectExt as _;
use pyo3::exceptions::PyOverflowError;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};
use sluicegate_core::keyed::{Dimensions, Words};
use sluicegate_core::{
    Bandwidth, Clock as _, ConfigError, Decision, Fingerprint, Heap, Nanos, Seed, Tally, Writers,
};
use sluicegate_shm::{Anywhere, Home, Kind, Plan};

use crate::acquire::{Acquire, Source};
use crate::answer::Answer;
use crate::charged::Charged;
use crate::clock::Clock;
use crate::convert::{Count, nanos_or_forever};
use crate::errors::configuration_error;
use crate::key::fingerprint;
use crate::limiter::{RateLimiterStats, WRITERS, quotas, refusal};
use crate::reservation::Reservation;
use crate::shared::{Place, Shared};

/// What a keyed limiter has done, over all keys, and how full its table is.
#[pyclass(frozen, get_all, extends = RateLimiterStats, module = "sluicegate")]
pub(crate) struct KeyedRateLimiterStats {
    /// Decisions made by the overflow, because every slot in a key's reach was in debt.
    overflowed: u64,
    /// Keys that the table has room for.
    slots: usize,
    /// Keys that owe something now.
    slots_in_use: usize,
}

#[pymethods]
impl KeyedRateLimiterStats {
    fn __eq__(slf: &Bound<'_, Self>, other: &Bound<'_, Self>) -> bool {
        let (this, that) = (slf.get(), other.get());
        let table = |stats: &Self| (stats.overflowed, stats.slots, stats.slots_in_use);
        slf.as_super().get() == other.as_super().get() && table(this) == table(that)
    }

    fn __repr__(slf: &Bound<'_, Self>) -> String {
        let this = slf.get();
        format!(
            "Keyed{}, overflowed={}, slots={}, slots_in_use={})",
            slf.as_super().get().__repr__().trim_end_matches(')'),
            this.overflowed,
            this.slots,
            this.slots_in_use,
        )
    }
}

/// The limiter's decisions; `sluicegate.KeyedRateLimiter` adds the waiting.
#[pyclass(frozen, subclass, module = "sluicegate._native")]
pub(crate) struct KeyedRateLimiter {
    pub(crate) core: sluicegate_core::KeyedRateLimiter<Anywhere>,
    pub(crate) clock: Clock,
    /// Apart, for the interpreter's objects are not aligned to cache lines.
    pub(crate) tally: Home<Tally>,
    shared: Option<Shared>,
}

#[pymethods]
impl KeyedRateLimiter {
    #[new]
    #[pyo3(signature = (quotas, max_keys, clock = None, shared = None))]
    fn new(
        quotas: &Bound<'_, PyList>,
        max_keys: &Bound<'_, PyAny>,
        clock: Option<&Bound<'_, PyAny>>,
        shared: Option<Place>,
    ) -> PyResult<Self> {
        let py = quotas.py();
        // Beyond the range is as wrong as zero, and told in the same words.
        let number = max_keys.extract::<usize>().or_else(|error| {
            let beyond = error.is_instance_of::<PyOverflowError>(max_keys.py());
            if beyond { Ok(0) } else { Err(error) }
        })?;
        let count = quotas.len().into_bound_py_any(py)?;
        let refused = |error: ConfigError| {
            let value = if error.field == "max_keys" { max_keys } else { &count };
            configuration_error(py, error.to_string(), error.field, value)
        };
        let clock = Clock::from_argument(clock)?;
        let quotas = self::quotas(quotas)?;
        let dimensions = Dimensions::new(number, quotas.len()).map_err(refused)?;
        let Some(place) = shared else {
            let words = Words::<Heap>::new(dimensions, &quotas).map_err(refused)?;
            let words = Words {
                bandwidths: words.bandwidths.into(),
                lines: words.lines.into(),
                ledgers: words.ledgers.into(),
                overflowed: words.overflowed.into(),
            };
            let tally = Box::new(Tally::new(WRITERS)).into();
            let core = sluicegate_core::KeyedRateLimiter::over(dimensions, words, Seed::random());
            return Ok(Self { core, clock, tally, shared: None });
        };
        let mut plan = Plan::default();
        let (tallies, overflowed) = (plan.section(1), plan.section(1));
        let (bandwidths, lines) = (plan.section(quotas.len()), plan.section(dimensions.lines));
        let ledgers = plan.section(dimensions.ledgers);
        let secret = [(); 2].map(|()| RandomState::new().hash_one(0));
        let shared = place.open_with(py, Kind::Keyed, secret, plan, |draft| {
            draft.fill(tallies, |_| Tally::new(Writers::Many))?;
            draft.fill(bandwidths, |index| Bandwidth::new(&quotas[index]))
        })?;
        let words = Words {
            bandwidths: shared.words(py, bandwidths)?,
            lines: shared.words(py, lines)?,
            ledgers: shared.words(py, ledgers)?,
            overflowed: shared.words(py, overflowed)?,
        };
        let core = sluicegate_core::KeyedRateLimiter::over(dimensions, words, shared.seed());
        Ok(Self { core, clock, tally: shared.word(py, tallies)?, shared: Some(shared) })
    }

    /// Draw `count` permits of `key` and say whether they were there; never waits.
    #[pyo3(signature = (key, count = Count::ONE), text_signature = "($self, key, count=1)")]
    fn try_acquire(&self, key: &Bound<'_, PyAny>, count: Count) -> PyResult<bool> {
        let key = fingerprint(key, self.core.seed())?;
        let allowed = self.core.try_acquire(&self.clock, key, count.0);
        self.tally.decided(allowed, count.0);
        Ok(allowed)
    }

    /// Draw `count` permits of `key` and say how things stand; never waits.
    #[pyo3(signature = (key, count = Count::ONE), text_signature = "($self, key, count=1)")]
    fn attempt(&self, key: &Bound<'_, PyAny>, count: Count) -> PyResult<Answer> {
        let key = fingerprint(key, self.core.seed())?;
        let decision = self.core.attempt(&self.clock, key, count.0);
        self.tally.decided(decision.allowed, count.0);
        Ok(decision.into())
    }

    /// Say what `attempt` would say; draws nothing.
    #[pyo3(signature = (key, count = Count::ONE), text_signature = "($self, key, count=1)")]
    fn peek(&self, key: &Bound<'_, PyAny>, count: Count) -> PyResult<Answer> {
        let key = fingerprint(key, self.core.seed())?;
        Ok(self.core.peek(self.clock.now(), key, count.0).into())
    }

    /// Charge `count` permits of `key` now for the first start that the limit allows; None where
    /// that is more than `max_wait` seconds away.
    #[pyo3(
        signature = (key, count = Count::ONE, max_wait = None),
        text_signature = "($self, key, count=1, max_wait=None)"
    )]
    fn _reserve(
        slf: &Bound<'_, Self>,
        key: &Bound<'_, PyAny>,
        count: Count,
        max_wait: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Option<Reservation>> {
        let key = fingerprint(key, slf.get().core.seed())?;
        let max_wait = nanos_or_forever(max_wait, "max_wait")?;
        let charged = Self::reserve(slf.clone().unbind(), key, count.0, max_wait);
        Ok(charged.ok().map(Reservation::new))
    }

    /// Draw `count` permits of `key`, waiting for them up to `timeout` seconds: an awaitable.
    #[pyo3(
        signature = (key, count = Count::ONE, timeout = None),
        text_signature = "($self, key, count=1, timeout=None)"
    )]
    fn acquire(
        slf: Py<Self>,
        py: Python<'_>,
        key: &Bound<'_, PyAny>,
        count: Count,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<Acquire>> {
        let key = fingerprint(key, slf.get().core.seed())?;
        let max_wait = nanos_or_forever(timeout, "timeout")?;
        Acquire::make(py, count.0, max_wait, || Source::Keyed(slf, key))
    }

    /// Draw `count` permits of `key`, waiting for them up to `timeout` seconds in this thread.
    #[pyo3(
        signature = (key, count = Count::ONE, timeout = None),
        text_signature = "($self, key, count=1, timeout=None)"
    )]
    fn acquire_blocking<'py>(
        slf: Py<Self>,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        count: Count,
        timeout: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let key = fingerprint(key, slf.get().core.seed())?;
        let max_wait = nanos_or_forever(timeout, "timeout")?;
        Source::Keyed(slf, key).acquire_blocking(py, count.0, max_wait)
    }

    /// Put other quotas in force, which an error shows as `configs`.
    fn _update(&self, quotas: &Bound<'_, PyList>, configs: &Bound<'_, PyTuple>) -> PyResult<()> {
        let read = self::quotas(quotas)?;
        let _changing = Shared::changing(quotas.py(), self.shared.as_ref())?;
        let updated = self.core.update(self.clock.now(), &read);
        updated.map_err(|error| {
            configuration_error(quotas.py(), error.to_string(), error.field, configs)
        })
    }

    /// Read the counts since the start, and walk the table.
    fn stats(slf: &Bound<'_, Self>) -> PyResult<Py<KeyedRateLimiterStats>> {
        let this = slf.get();
        let table = KeyedRateLimiterStats {
            overflowed: this.core.overflowed(),
            slots: this.core.slots(),
            slots_in_use: this.core.slots_in_use(this.clock.now()),
        };
        let counts = RateLimiterStats::from(this.tally.read());
        Py::new(slf.py(), PyClassInitializer::from(counts).add_subclass(table))
    }

    /// The memory it takes, in bytes.
    fn __sizeof__(&self) -> usize {
        size_of::<Self>() + self.core.size()
    }
}

impl KeyedRateLimiter {
    fn reserve(
        slf: Py<Self>,
        key: Fingerprint,
        count: u64,
        max_wait: Nanos,
    ) -> Result<Charged, Decision> {
        let this = slf.get();
        let reserved = this.core.reserve(&this.clock, key, count, max_wait);
        this.tally.decided(reserved.is_ok(), count);
        let (grant, _) = reserved?;
        Ok(Charged::Keyed(slf, grant))
    }

    /// Reserves `count` permits that were not there: the charge, or the refusal.
    pub(crate) fn queue(
        slf: Py<Self>,
        key: Fingerprint,
        count: u64,
        max_wait: Nanos,
    ) -> PyResult<Result<Charged, Decision>> {
        match Self::reserve(slf, key, count, max_wait) {
            Ok(charged) => Ok(Ok(charged)),
            Err(decision) => refusal(decision, count, max_wait).map(Err),
        }
    }
}
