//! Counts of what was decided, read by whoever asks and never written out.

use std::ops::Add;

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

impl Add for Stats {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        // Counts come round as their counters do.
        Self {
            allowed: self.allowed.wrapping_add(other.allowed),
            denied: self.denied.wrapping_add(other.denied),
            allowed_permits: self.allowed_permits.wrapping_add(other.allowed_permits),
            denied_permits: self.denied_permits.wrapping_add(other.denied_permits),
            returned_permits: self.returned_permits.wrapping_add(other.returned_permits),
            waiting: self.waiting.wrapping_add(other.waiting),
            waited: self.waited + other.waited,
        }
    }
}

/// Who may count at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writers {
    /// One thread at a time: the caller keeps them apart, as an interpreter's lock does. A count
    /// is a load and a store.
    One,
    /// Any number: a count is a locked addition, 5 ns more.
    Many,
}

/// Calls of one outcome: those for one permit, and the others with their permits.
#[repr(C)]
#[derive(Debug)]
struct Count {
    singles: AtomicU64,
    others: AtomicU64,
    permits: AtomicU64,
}

#[inline]
fn add(counter: &AtomicU64, amount: u64, writers: Writers) {
    // Relaxed throughout this file: a count orders nothing.
    match writers {
        Writers::One => {
            let sum = counter.load(Ordering::Relaxed).wrapping_add(amount);
            counter.store(sum, Ordering::Relaxed);
        }
        Writers::Many => drop(counter.fetch_add(amount, Ordering::Relaxed)),
    }
}

impl Count {
    fn new() -> Self {
        let [singles, others, permits] = [0; 3].map(AtomicU64::new);
        Self { singles, others, permits }
    }

    #[inline]
    fn add(&self, count: u64, writers: Writers) {
        if count == 1 {
            add(&self.singles, 1, writers);
        } else if count > 1 {
            add(&self.others, 1, writers);
            add(&self.permits, count, writers);
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
///
/// A limiter keeps none: whoever makes decisions for others counts them here.
#[repr(C, align(128))]
#[derive(Debug)]
pub struct Tally {
    allowed: Count,
    denied: Count,
    returned_permits: AtomicU64,
    waiting: AtomicU64,
    waited: AtomicU64,
    /// Not 0 where any number may count at the same time: a number, so that any bytes are one.
    many: u64,
}

impl Tally {
    /// Starts at zero.
    #[must_use]
    pub fn new(writers: Writers) -> Self {
        let [returned_permits, waiting, waited] = [0; 3].map(AtomicU64::new);
        let [allowed, denied] = [(); 2].map(|()| Count::new());
        Self {
            allowed,
            denied,
            returned_permits,
            waiting,
            waited,
            many: u64::from(writers == Writers::Many),
        }
    }

    #[inline]
    fn writers(&self) -> Writers {
        if self.many == 0 { Writers::One } else { Writers::Many }
    }

    /// Counts a decision on `count` permits; a peek, of none, is not counted.
    #[inline]
    pub fn decided(&self, allowed: bool, count: u64) {
        let outcome = if allowed { &self.allowed } else { &self.denied };
        outcome.add(count, self.writers());
    }

    /// Counts permits given back.
    pub fn returned(&self, permits: u64) {
        add(&self.returned_permits, permits, self.writers());
    }

    /// Counts a caller that begins to wait.
    pub fn begin_wait(&self) {
        add(&self.waiting, 1, self.writers());
    }

    /// Counts a caller that ends its wait, granted or not.
    pub fn end_wait(&self, waited: Nanos) {
        add(&self.waiting, 1_u64.wrapping_neg(), self.writers());
        add(&self.waited, waited.get(), self.writers());
    }

    /// Reads the counts.
    #[must_use]
    pub fn read(&self) -> Stats {
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

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn calls_and_permits_are_counted_apart_by_one_writer_and_by_many() {
        for writers in [Writers::One, Writers::Many] {
            let tally = Tally::new(writers);
            for count in [0, 1, 1, 5] {
                tally.decided(true, count);
            }
            for count in [0, 1, 2, 9] {
                tally.decided(false, count);
            }
            tally.returned(3);
            tally.returned(4);
            tally.begin_wait();
            tally.begin_wait();
            tally.end_wait(Nanos::new(70));
            let expected = Stats {
                allowed: 3,
                denied: 3,
                allowed_permits: 7,
                denied_permits: 12,
                returned_permits: 7,
                waiting: 1,
                waited: Nanos::new(70),
            };
            assert_eq!(tally.read(), expected);
            let twice = tally.read() + expected;
            assert_eq!((twice.allowed, twice.denied_permits, twice.waiting), (6, 24, 2));
            assert_eq!((twice.waited, twice.returned_permits), (Nanos::new(140), 14));
        }
    }
}
