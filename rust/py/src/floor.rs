//! The floor of the benches: what a call into the binding costs before it does anything.

use std::sync::atomic::{AtomicU64, Ordering};

use pyo3::exceptions::PyMemoryError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};
use sluicegate_core::{Clock as _, Memory as _, MonotonicClock, Nanos, Seed};
use sluicegate_shm::Anywhere;

/// As much as comes from memory at once: four places of a tag and a count.
#[repr(align(64))]
struct Line([[AtomicU64; 2]; 4]);

/// Calls that do next to nothing; the benches subtract them to see what a decision itself costs.
#[pyclass(frozen, module = "sluicegate._native")]
pub(crate) struct CallFloor {
    seed: Seed,
    lines: Box<[Line]>,
}

#[pymethods]
#[expect(clippy::unused_self, reason = "methods, because what they are held against are methods")]
impl CallFloor {
    /// Make room for so many lines of memory, for `look`.
    #[new]
    #[pyo3(signature = (lines = 1))]
    fn new(lines: u32) -> PyResult<Self> {
        let count = lines.max(1) as usize;
        let mut lines = Vec::new();
        lines
            .try_reserve_exact(count)
            .map_err(|_| PyMemoryError::new_err(format!("there is no memory for {count} lines")))?;
        lines.resize_with(count, || Line([(); 4].map(|()| [0; 2].map(AtomicU64::new))));
        Ok(Self { seed: Seed::random(), lines: lines.into() })
    }

    /// Return True: the least a native method can do.
    fn empty(&self) -> bool {
        true
    }

    /// Return True, having taken an optional count as the limiters do.
    #[pyo3(signature = (count = 1))]
    fn count(&self, count: u64) -> bool {
        count > 0
    }

    /// Call a function with what it is handed, and do nothing else: the least of a native `call`.
    #[pyo3(signature = (*given, **kwargs), text_signature = "($self, func, /, *args, **kwargs)")]
    fn through<'py>(
        &self,
        given: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let func = given.get_borrowed_item(0)?;
        match kwargs.filter(|kwargs| !kwargs.is_empty()) {
            None if given.len() == 1 => func.call0(),
            kwargs => func.call(given.get_slice(1, given.len()), kwargs),
        }
    }

    /// Hash a text as the keyed limiters do, read the clock once and return True.
    fn hash(&self, key: &Bound<'_, PyString>) -> PyResult<bool> {
        let fingerprint = self.seed.bytes(key.to_str()?.as_bytes());
        std::hint::black_box(fingerprint);
        Ok(MonotonicClock.now() > Nanos::ZERO)
    }

    /// Hash a text, read the clock once and count in a place of the line that the hash tells, which is
    /// fetched meanwhile; return True. The least that a key costs in a table of that size whose lines
    /// have places for four: where to count is known when the line is there.
    fn look(&self, key: &Bound<'_, PyString>) -> PyResult<bool> {
        let fingerprint = self.seed.bytes(key.to_str()?.as_bytes());
        // The upper half scaled to the lines, as a table does: below their number.
        let index = ((fingerprint.get() >> 32) * self.lines.len() as u64) >> 32;
        let line = &self.lines[index as usize];
        Anywhere::fetch(line);
        let now = MonotonicClock.now();
        let mut hits = 0_u32;
        for (place, [tag, _]) in line.0.iter().enumerate() {
            // Relaxed: nobody else looks at it, here and below.
            hits |= u32::from(tag.load(Ordering::Relaxed) == 0) << place;
        }
        let Some([_, count]) = line.0.get(hits.trailing_zeros() as usize) else { return Ok(false) };
        let seen = count.load(Ordering::Relaxed);
        let counted = count.compare_exchange(seen, seen + 1, Ordering::Relaxed, Ordering::Relaxed);
        Ok(counted.is_ok() && now > Nanos::ZERO)
    }

    /// Read the machine's monotonic clock once and return True.
    fn clock(&self) -> bool {
        MonotonicClock.now() > Nanos::ZERO
    }
}
