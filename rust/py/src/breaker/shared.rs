//! Breakers whose state other processes see as well: one in a segment, or many by their keys.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use pyo3::prelude::*;
use sluicegate_core::breaker::{BreakerConfig, BreakerState, LongBreakerState, ShortBreakerState};
use sluicegate_core::{Nanos, Seed};
use sluicegate_shm::{Home, Kind, Plan};

use crate::clock::Clock;
use crate::key::fingerprint;
use crate::shared::Place;

/// How many places are looked at for a key before there is none.
const REACH: usize = 128;

/// The state of a breaker: short where its window allows it and nobody else sees it.
///
/// Behind a pointer each, so that a breaker has two words for it.
pub(super) enum State {
    Short(Box<ShortBreakerState>),
    Long(Box<Home<LongBreakerState>>),
}

impl State {
    /// A state of its own.
    pub(super) fn alone(config: &BreakerConfig, now: Nanos) -> Self {
        if config.is_short() {
            Self::Short(Box::new(ShortBreakerState::short(now)))
        } else {
            Self::Long(Box::new(Box::new(LongBreakerState::new(now)).into()))
        }
    }

    #[inline]
    pub(super) fn get(&self) -> &BreakerState {
        match self {
            Self::Short(state) => &**state,
            Self::Long(state) => &***state,
        }
    }

    pub(super) fn is_shared(&self) -> bool {
        matches!(self, Self::Long(state) if state.is_shared())
    }
}

/// Where the state of a breaker lives: in a segment of its own, or in one of many, under a key.
#[derive(FromPyObject)]
pub(super) enum StatePlace<'py> {
    Own(Place),
    Keyed(PyRef<'py, SharedBreakers>, Bound<'py, PyAny>),
}

impl StatePlace<'_> {
    /// The state; `None` where the many have no place left.
    pub(super) fn state(self, py: Python<'_>, now: Nanos) -> PyResult<Option<State>> {
        let home = match self {
            Self::Own(place) => {
                let mut plan = Plan::default();
                let states = plan.section(1);
                let shared = place.open(py, Kind::Breaker, plan, |draft| {
                    draft.fill(states, |_| LongBreakerState::new(now))
                })?;
                Some(shared.word(py, states)?)
            }
            Self::Keyed(breakers, key) => breakers.state(&key)?,
        };
        Ok(home.map(|home| State::Long(Box::new(home))))
    }
}

/// The states of a registry's breakers, each in the place of its key for as long as the segment
/// lasts.
#[pyclass(frozen, module = "sluicegate._native")]
pub(crate) struct SharedBreakers {
    seed: Seed,
    /// The fingerprint of the key that has the place; 0 where none has.
    tags: Home<[AtomicU64]>,
    states: Home<[LongBreakerState]>,
}

#[pymethods]
impl SharedBreakers {
    #[new]
    #[pyo3(signature = (shared, max_keys, clock = None))]
    fn new(
        py: Python<'_>,
        shared: Place,
        max_keys: usize,
        clock: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        use sluicegate_core::Clock as _;
        let now = Clock::from_argument(clock)?.now();
        // At 70 % a key finds a place within reach.
        let places = max_keys.saturating_mul(10).div_ceil(7).max(1);
        let mut plan = Plan::default();
        let (tags, states) = (plan.section(places), plan.section(places));
        let secret = [(); 2].map(|()| RandomState::new().hash_one(0));
        let shared = shared.open_with(py, Kind::Registry, secret, plan, |draft| {
            draft.fill(states, |_| LongBreakerState::new(now))
        })?;
        let seed = shared.seed();
        Ok(Self { seed, tags: shared.words(py, tags)?, states: shared.words(py, states)? })
    }

    /// How many keys have a place.
    fn __len__(&self) -> usize {
        // Relaxed: only to tell of it.
        self.tags.iter().filter(|tag| tag.load(Ordering::Relaxed) != 0).count()
    }
}

impl SharedBreakers {
    /// The state of a key, which takes a place when it is first asked for, by one swap; `None`
    /// where all within reach are taken.
    fn state(&self, key: &Bound<'_, PyAny>) -> PyResult<Option<Home<LongBreakerState>>> {
        let tag = fingerprint(key, &self.seed)?.get().max(1);
        let places = self.tags.len();
        #[expect(clippy::cast_possible_truncation, reason = "below the number of places")]
        let first = (tag % places as u64) as usize;
        for step in 0..REACH.min(places) {
            let index = (first + step) % places;
            // Relaxed: a place is taken for good, and its state was made with the segment.
            let taken =
                self.tags[index].compare_exchange(0, tag, Ordering::Relaxed, Ordering::Relaxed);
            if taken.is_ok() || taken == Err(tag) {
                return Ok(self.states.one(index));
            }
        }
        Ok(None)
    }
}
