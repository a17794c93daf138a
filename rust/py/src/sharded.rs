//! The sharded limiter's verbs: the limiter's, key first.

use pyo3::prelude::*;
use sluicegate_core::{Clock as _, Decision, Fingerprint, Nanos, Seed, Stats, Tally};

use crate::acquire::{Acquire, Source};
use crate::answer::Answer;
use crate::charged::Charged;
use crate::clock::Clock;
use crate::convert::{Count, nanos_or_forever};
use crate::errors::configuration_error;
use crate::key::fingerprint;
use crate::limiter::{RateLimiterStats, WRITERS, refusal};
use crate::quota::Quota;
use crate::reservation::Reservation;

/// No secret: a key has the same shards in every process, and whoever crowds one gains nothing.
const SEED: [u64; 2] = [0x736c_7569_6365, 0x6761_7465];

/// The sharded limiter's decisions; `sluicegate.ShardedRateLimiter` adds the waiting.
#[pyclass(frozen, subclass, module = "sluicegate._native")]
pub(crate) struct ShardedRateLimiter {
    pub(crate) core: sluicegate_core::ShardedRateLimiter,
    pub(crate) clock: Clock,
    seed: Seed,
    /// One for each shard, so that counting is shared out as well.
    tallies: Box<[Tally]>,
}

impl ShardedRateLimiter {
    /// Counts the calls that come to a key's first shard.
    #[inline]
    pub(crate) fn tally(&self, key: Fingerprint) -> &Tally {
        &self.tallies[self.core.shard(key)]
    }

    fn reserve(
        slf: Py<Self>,
        key: Fingerprint,
        count: u64,
        max_wait: Nanos,
    ) -> Result<Charged, Decision> {
        let this = slf.get();
        let reserved = this.core.reserve(&this.clock, count, max_wait);
        this.tally(key).decided(reserved.is_ok(), count);
        let (grant, _) = reserved?;
        Ok(Charged::Sharded(slf, key, grant))
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

#[pymethods]
impl ShardedRateLimiter {
    #[new]
    #[pyo3(signature = (quota, shards, clock = None))]
    fn new(
        py: Python<'_>,
        quota: &Bound<'_, Quota>,
        shards: i64,
        clock: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        // A number below none is refused as none is.
        let number = usize::try_from(shards).unwrap_or(0);
        let core = sluicegate_core::ShardedRateLimiter::new(&quota.get().core, number);
        let core = core.map_err(|error| {
            configuration_error(py, format!("{error}, not {shards}"), error.field, shards)
        })?;
        let tallies = (0..number).map(|_| Tally::new(WRITERS)).collect();
        Ok(Self { core, clock: Clock::from_argument(clock)?, seed: Seed::new(SEED), tallies })
    }

    /// Draw `count` permits for `key` and say whether they were there; never waits.
    #[pyo3(signature = (key, count = Count::ONE), text_signature = "($self, key, count=1)")]
    fn try_acquire(&self, key: &Bound<'_, PyAny>, count: Count) -> PyResult<bool> {
        let key = fingerprint(key, &self.seed)?;
        let allowed = self.core.try_acquire(&self.clock, key, count.0);
        self.tally(key).decided(allowed, count.0);
        Ok(allowed)
    }

    /// Draw `count` permits for `key` and say how things stand; never waits.
    #[pyo3(signature = (key, count = Count::ONE), text_signature = "($self, key, count=1)")]
    fn attempt(&self, key: &Bound<'_, PyAny>, count: Count) -> PyResult<Answer> {
        let key = fingerprint(key, &self.seed)?;
        let decision = self.core.attempt(&self.clock, key, count.0);
        self.tally(key).decided(decision.allowed, count.0);
        Ok(decision.into())
    }

    /// Say what `attempt` would say; draws nothing.
    #[pyo3(signature = (key, count = Count::ONE), text_signature = "($self, key, count=1)")]
    fn peek(&self, key: &Bound<'_, PyAny>, count: Count) -> PyResult<Answer> {
        // One limit over all keys: it is the same for each, but what is no key is refused.
        fingerprint(key, &self.seed)?;
        Ok(self.core.peek(self.clock.now(), count.0).into())
    }

    /// Charge `count` permits now for the first start that the limit allows; None where that is
    /// more than `max_wait` seconds away.
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
        let key = fingerprint(key, &slf.get().seed)?;
        let max_wait = nanos_or_forever(max_wait, "max_wait")?;
        let charged = Self::reserve(slf.clone().unbind(), key, count.0, max_wait);
        Ok(charged.ok().map(Reservation::new))
    }

    /// Draw `count` permits for `key`, waiting for them up to `timeout` seconds: an awaitable of
    /// the result.
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
        let key = fingerprint(key, &slf.get().seed)?;
        let max_wait = nanos_or_forever(timeout, "timeout")?;
        Acquire::make(py, count.0, max_wait, || Source::Sharded(slf, key))
    }

    /// Draw `count` permits for `key`, waiting for them up to `timeout` seconds in this thread.
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
        let key = fingerprint(key, &slf.get().seed)?;
        let max_wait = nanos_or_forever(timeout, "timeout")?;
        Source::Sharded(slf, key).acquire_blocking(py, count.0, max_wait)
    }

    /// Put another quota in force; what is owed stays owed, granted times stand.
    fn _update(&self, quota: &Bound<'_, Quota>) {
        self.core.update(self.clock.now(), &quota.get().core);
    }

    /// Read the counts since the start.
    fn stats(&self) -> RateLimiterStats {
        let counts = self.tallies.iter().map(Tally::read);
        counts.fold(Stats::default(), |sum, count| sum + count).into()
    }

    /// Read how many calls each shard has granted.
    fn balance(&self) -> Vec<u64> {
        self.tallies.iter().map(|tally| tally.read().allowed).collect()
    }
}
