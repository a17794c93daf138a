//! The terms in force, posted where every thread and process can read them.

use crate::nanos::Nanos;
use crate::quota::Terms;
use crate::rate::Slope;
use crate::sync::{AtomicU64, Ordering};

/// The terms of a quota as atomics, written and read as a whole under a version beside them.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Posting {
    rise: AtomicU64,
    run: AtomicU64,
    whole: AtomicU64,
    fraction: [AtomicU64; 2],
    since: AtomicU64,
    origin: AtomicU64,
    unit: AtomicU64,
    burst: AtomicU64,
    capacity: AtomicU64,
    pub(crate) epoch: AtomicU64,
}

impl Posting {
    /// Posts terms of the first epoch.
    pub(crate) fn new(terms: &Terms) -> Self {
        let slope = &terms.slope;
        Self {
            rise: AtomicU64::new(slope.rise),
            run: AtomicU64::new(slope.run),
            whole: AtomicU64::new(slope.whole),
            fraction: slope.fraction.map(AtomicU64::new),
            since: AtomicU64::new(terms.since.get()),
            origin: AtomicU64::new(terms.origin),
            unit: AtomicU64::new(terms.unit),
            burst: AtomicU64::new(terms.burst),
            capacity: AtomicU64::new(terms.capacity),
            epoch: AtomicU64::new(0),
        }
    }

    /// Replaces the terms. Relaxed throughout: the version around a write or a read gives the order.
    pub(crate) fn write(&self, terms: &Terms, epoch: u64) {
        let [upper, lower] = terms.slope.fraction;
        let fields = [
            (&self.rise, terms.slope.rise),
            (&self.run, terms.slope.run),
            (&self.whole, terms.slope.whole),
            (&self.fraction[0], upper),
            (&self.fraction[1], lower),
            (&self.since, terms.since.get()),
            (&self.origin, terms.origin),
            (&self.unit, terms.unit),
            (&self.burst, terms.burst),
            (&self.capacity, terms.capacity),
            (&self.epoch, epoch),
        ];
        for (field, value) in fields {
            field.store(value, Ordering::Relaxed);
        }
    }

    /// Reads the terms and their epoch; a torn read shows in the version.
    #[inline]
    pub(crate) fn read(&self) -> (Terms, u64) {
        let load = |field: &AtomicU64| field.load(Ordering::Relaxed);
        let slope = Slope {
            rise: load(&self.rise),
            run: load(&self.run),
            whole: load(&self.whole),
            fraction: [load(&self.fraction[0]), load(&self.fraction[1])],
        };
        let terms = Terms {
            slope,
            since: Nanos::new(load(&self.since)),
            origin: load(&self.origin),
            unit: load(&self.unit),
            burst: load(&self.burst),
            capacity: load(&self.capacity),
        };
        (terms, load(&self.epoch))
    }
}
