//! What a registry's breakers leave behind when they are dropped.

use std::sync::atomic::{AtomicU64, Ordering};

use pyo3::prelude::*;
use pyo3::sync::critical_section::with_critical_section;
use pyo3::types::PyDict;
use sluicegate_core::Clock as _;

use super::CircuitBreaker;

/// The totals of a breaker: trips, successes, failures, slow, ignored and rejected calls.
const TOTALS: usize = 6;

/// The breakers that a registry has dropped: how many, and what they had counted.
///
/// Every step is one, for other threads and for the collector: no Python runs in its middle.
#[pyclass(frozen, module = "sluicegate._native")]
pub(crate) struct DroppedBreakers {
    count: AtomicU64,
    totals: [AtomicU64; TOTALS],
}

#[pymethods]
impl DroppedBreakers {
    #[new]
    fn new() -> Self {
        Self { count: AtomicU64::new(0), totals: std::array::from_fn(|_| AtomicU64::new(0)) }
    }

    /// Take the breaker of `key` out of `live` where nobody else holds it and it is idle.
    ///
    /// It is returned so that what dies with it dies in the caller's hands.
    fn take<'py>(
        &self,
        live: &Bound<'py, PyDict>,
        key: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, CircuitBreaker>>> {
        with_critical_section(live, || {
            let Some(breaker) = live.get_item(key)? else { return Ok(None) };
            let breaker = breaker.cast_into::<CircuitBreaker>()?;
            // Held by `live` and by us.
            if holders(&breaker) > 2 || !breaker.get().is_idle() {
                return Ok(None);
            }
            live.del_item(key)?;
            // Without the interpreter's lock, a reader may have got it a moment before.
            if holders(&breaker) > 1 || !breaker.get().is_idle() {
                live.set_item(key, breaker)?;
                return Ok(None);
            }
            // Relaxed: counters that order nothing.
            self.count.fetch_add(1, Ordering::Relaxed);
            // What is shared keeps its totals itself.
            let counted =
                if breaker.get().state.is_shared() { [0; TOTALS] } else { breaker.get().totals() };
            for (total, counted) in self.totals.iter().zip(counted) {
                // Relaxed: as above.
                total.fetch_add(counted, Ordering::Relaxed);
            }
            Ok(Some(breaker))
        })
    }

    /// Count the breakers in `live` and those dropped, and add up the totals of all of them.
    fn figures(&self, live: &Bound<'_, PyDict>) -> PyResult<(usize, u64, [u64; TOTALS])> {
        with_critical_section(live, || {
            // Relaxed: counters that order nothing.
            let mut totals = self.totals.each_ref().map(|total| total.load(Ordering::Relaxed));
            for (_, breaker) in live {
                let counted = breaker.cast::<CircuitBreaker>()?.get().totals();
                for (total, counted) in totals.iter_mut().zip(counted) {
                    *total = total.saturating_add(counted);
                }
            }
            // Relaxed: as above.
            Ok((live.len(), self.count.load(Ordering::Relaxed), totals))
        })
    }
}

impl CircuitBreaker {
    fn is_idle(&self) -> bool {
        self.core().is_idle(self.clock().now())
    }

    fn totals(&self) -> [u64; TOTALS] {
        self.core().totals()
    }
}

fn holders(breaker: &Bound<'_, CircuitBreaker>) -> isize {
    #[expect(deprecated, reason = "what replaces it is unsafe to call")]
    breaker.as_unbound().get_refcnt(breaker.py())
}
