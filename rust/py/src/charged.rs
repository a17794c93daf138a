//! Permits that a limiter has charged, in terms that are the same for every kind of limiter.

use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};
use sluicegate_core::{Clock as _, Decision, Fingerprint, Grant, KeyedGrant, Nanos, Tally};

use crate::clock::Clock;
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
    pub(crate) fn grant(&self) -> &Grant {
        match self {
            Self::Direct(_, grant) | Self::Sharded(_, _, grant) => grant,
            Self::Keyed(_, grant) => grant.grant(),
        }
    }

    pub(crate) fn clock(&self) -> &Clock {
        match self {
            Self::Direct(limiter, _) => &limiter.get().clock,
            Self::Keyed(limiter, _) => &limiter.get().clock,
            Self::Sharded(limiter, ..) => &limiter.get().clock,
        }
    }

    /// How things stand now with what was charged.
    pub(crate) fn state(&self) -> Decision {
        match self {
            Self::Direct(limiter, _) => limiter.get().core.peek(self.clock().now(), 0),
            Self::Sharded(limiter, ..) => limiter.get().core.peek(self.clock().now(), 0),
            Self::Keyed(limiter, grant) => {
                limiter.get().core.peek(self.clock().now(), grant.key(), 0)
            }
        }
    }

    pub(crate) fn defer(&mut self, start: Nanos) {
        match self {
            Self::Direct(limiter, grant) => limiter.get().core.defer(grant, start),
            Self::Keyed(limiter, grant) => limiter.get().core.defer(grant, start),
            Self::Sharded(limiter, _, grant) => limiter.get().core.defer(grant, start),
        }
    }

    /// Gives back what cannot break the limit: the permits.
    pub(crate) fn cancel(&self) -> u64 {
        let permits = match self {
            Self::Direct(limiter, grant) => limiter.get().core.cancel(grant, self.clock()),
            Self::Keyed(limiter, grant) => limiter.get().core.cancel(grant, self.clock()),
            Self::Sharded(limiter, _, grant) => limiter.get().core.cancel(grant, self.clock()),
        };
        self.tally().returned(permits);
        permits
    }

    /// Settles at `actual` permits: those given back, negative where more was charged.
    pub(crate) fn commit(&self, actual: u64) -> i64 {
        let permits = match self {
            Self::Direct(limiter, grant) => limiter.get().core.commit(grant, self.clock(), actual),
            Self::Keyed(limiter, grant) => limiter.get().core.commit(grant, self.clock(), actual),
            Self::Sharded(limiter, _, grant) => {
                limiter.get().core.commit(grant, self.clock(), actual)
            }
        };
        self.tally().returned(u64::try_from(permits).unwrap_or(0));
        permits
    }

    /// Where the limiter counts it.
    pub(crate) fn tally(&self) -> &Tally {
        match self {
            Self::Direct(limiter, _) => &limiter.get().tally,
            Self::Keyed(limiter, _) => &limiter.get().tally,
            Self::Sharded(limiter, key, _) => limiter.get().tally(*key),
        }
    }

    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Self::Direct(limiter, _) => visit.call(limiter),
            Self::Keyed(limiter, _) => visit.call(limiter),
            Self::Sharded(limiter, ..) => visit.call(limiter),
        }
    }
}
