//! Counts of what was decided, read by whoever asks and never written out.

use crate::nanos::Nanos;
use crate::sync::{AtomicU64, Ordering};

/// What a limiter has done since it was built; calls and permits apart.
///
/// Each count is exact; read while calls are under way, they may be of slightly different instants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Calls that were granted.
    pub allowed: u64,
    /// Calls that were refused.
    pub denied: u64,
    /// Permits granted.
    pub allowed_permits: u64,
    /// Permits refused.
    pub denied_permits: u64,
    /// Whole permits given back by cancellations and by settling below the reserved count.
    pub returned_permits: u64,
    /// Callers that wait for their turn at this moment.
    pub waiting: u64,
    /// Time spent waiting, of all who are done with it.
    pub waited: Nanos,
}

/// Calls of one outcome: those for one permit, and the others with their permits.
#[repr(C)]
#[derive(Debug)]
struct Count {
    singles: AtomicU64,
    others: AtomicU64,
    permits: AtomicU64,
}

impl Count {
    fn new() -> Self {
        let [singles, others, permits] = [0; 3].map(AtomicU64::new);
        Self { singles, others, permits }
    }

    #[inline]
    fn add(&self, count: u64) {
        // Relaxed throughout this file: a count orders nothing.
        if count == 1 {
            self.singles.fetch_add(1, Ordering::Relaxed);
        } else if count > 1 {
            self.others.fetch_add(1, Ordering::Relaxed);
            self.permits.fetch_add(count, Ordering::Relaxed);
        }
    }

    fn calls(&self) -> u64 {
        self.singles.load(Ordering::Relaxed).wrapping_add(self.others.load(Ordering::Relaxed))
    }

    fn permits(&self) -> u64 {
        self.singles.load(Ordering::Relaxed).wrapping_add(self.permits.load(Ordering::Relaxed))
    }
}

/// The counters behind [`Stats`], on cache lines of their own.
#[repr(C, align(128))]
#[derive(Debug)]
pub(crate) struct Tally {
    allowed: Count,
    denied: Count,
    returned_permits: AtomicU64,
    waiting: AtomicU64,
    waited: AtomicU64,
}

impl Tally {
    pub(crate) fn new() -> Self {
        let [returned_permits, waiting, waited] = [0; 3].map(AtomicU64::new);
        Self { allowed: Count::new(), denied: Count::new(), returned_permits, waiting, waited }
    }

    /// Counts a decision on `count` permits; a peek, of none, is not counted.
    #[inline]
    pub(crate) fn decided(&self, allowed: bool, count: u64) {
        if allowed { self.allowed.add(count) } else { self.denied.add(count) }
    }

    pub(crate) fn returned(&self, permits: u64) {
        self.returned_permits.fetch_add(permits, Ordering::Relaxed);
    }

    pub(crate) fn begin_wait(&self) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn end_wait(&self, waited: Nanos) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        self.waited.fetch_add(waited.get(), Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Stats {
        Stats {
            allowed: self.allowed.calls(),
            denied: self.denied.calls(),
            allowed_permits: self.allowed.permits(),
            denied_permits: self.denied.permits(),
            returned_permits: self.returned_permits.load(Ordering::Relaxed),
            waiting: self.waiting.load(Ordering::Relaxed),
            waited: Nanos::new(self.waited.load(Ordering::Relaxed)),
        }
    }
}
