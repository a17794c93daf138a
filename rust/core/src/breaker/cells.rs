//! The cells of a breaker, which hold a window of calls or the leases of probes.
//!
//! Every cell starts with a tag, the low 8 bits of the generation that wrote it, and a write meets
//! only cells of its own or an older generation: whatever a stalled thread of an earlier generation
//! still does, it never touches what a later one keeps.

use crate::sync::{AtomicU64, Ordering};

use super::state::ahead;

/// The cells of a window of time, of up to 1,792 results, and of probes.
pub(super) const SHORT: usize = if cfg!(loom) { 2 } else { 64 };
/// The cells of the longest window of results.
pub(super) const LONG: usize = if cfg!(loom) { 2 } else { 74 };

const TAG_BITS: u32 = 8;
/// What a cell keeps beside its tag.
pub(super) const BODY_BITS: u32 = u64::BITS - TAG_BITS;
pub(super) const BODY_MASK: u64 = (1 << BODY_BITS) - 1;

/// The tag of a generation, already in its place.
pub(super) const fn tag(generation: u64) -> u64 {
    generation << BODY_BITS
}

pub(super) const fn tagged(value: u64, generation: u64) -> bool {
    ahead(value >> BODY_BITS, generation, TAG_BITS) == 0
}

const fn is_later(value: u64, generation: u64) -> bool {
    ahead(value >> BODY_BITS, generation, TAG_BITS) > 0
}

/// The cells, which hold a window or the leases of probes, and how far a window has come.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Cells<R: ?Sized = [AtomicU64]> {
    /// The last step of a time window, or the number of results a count window was given.
    pub(super) head: AtomicU64,
    /// The failures in a row.
    streak: AtomicU64,
    ring: R,
}

impl<const N: usize> Cells<[AtomicU64; N]> {
    pub(super) fn new() -> Self {
        Self {
            head: AtomicU64::new(0),
            streak: AtomicU64::new(0),
            ring: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }
}

impl Cells {
    #[inline]
    pub(super) fn load(&self, index: u64) -> u64 {
        // Relaxed: a cell carries all that belongs together; where two writers must not miss each
        // other, the caller has a fence.
        self.cell(index).load(Ordering::Relaxed)
    }

    #[inline]
    pub(super) fn swap(&self, index: u64, seen: u64, next: u64) -> bool {
        // Relaxed: as above.
        let swapped =
            self.cell(index).compare_exchange(seen, next, Ordering::Relaxed, Ordering::Relaxed);
        swapped.is_ok()
    }

    /// The cell of an index, which is below their number where the state suits the options.
    #[inline]
    pub(super) fn cell(&self, index: u64) -> &AtomicU64 {
        #[expect(clippy::cast_possible_truncation, reason = "less than the number of cells")]
        let index = index as usize;
        &self.ring[index]
    }

    /// Wipes what is left of the generation that is furthest from `generation` on the ring of tags,
    /// so that a tag never meets its own past.
    pub(super) fn scrub(&self, generation: u64) {
        let far = generation + (1 << (TAG_BITS - 1));
        for word in self.ring.iter().chain([&self.head, &self.streak]) {
            // Relaxed: a lost race means that somebody wrote the word afresh.
            let _ = word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |seen| {
                tagged(seen, far).then_some(tag(generation.wrapping_sub(1)))
            });
        }
    }

    /// Applies `step` to a word until it takes; gives what it was before, or nothing where a later
    /// generation owns the word.
    pub(super) fn step(
        word: &AtomicU64,
        generation: u64,
        step: impl Fn(u64) -> u64,
    ) -> Option<u64> {
        let next = |seen| (!is_later(seen, generation)).then(|| step(seen));
        // Relaxed: the word carries all that belongs together.
        word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).ok()
    }

    /// Tells how many failures in a row `generation` has seen.
    pub(super) fn row(&self, generation: u64) -> u64 {
        // Relaxed: the streak carries its generation.
        let seen = self.streak.load(Ordering::Relaxed);
        if tagged(seen, generation) { seen & BODY_MASK } else { 0 }
    }

    /// Counts a failure in a row, or ends the row; gives its length.
    pub(super) fn streak(&self, generation: u64, failed: bool) -> u64 {
        // Relaxed: the streak carries its generation.
        let seen = self.streak.load(Ordering::Relaxed);
        if !failed && tagged(seen, generation) && seen & BODY_MASK == 0 {
            return 0;
        }
        let before = Self::step(&self.streak, generation, |seen| {
            let row = if tagged(seen, generation) { seen } else { tag(generation) };
            if failed { row + 1 } else { tag(generation) }
        });
        match before {
            Some(before) if failed && tagged(before, generation) => (before & BODY_MASK) + 1,
            Some(_) => u64::from(failed),
            None => 0,
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_success_ends_the_row_of_failures() {
        let cells: Box<Cells> = Box::new(Cells::<[AtomicU64; LONG]>::new());
        assert_eq!(cells.streak(1, true), 1);
        assert_eq!(cells.streak(1, true), 2);
        assert_eq!(cells.streak(1, false), 0);
        assert_eq!(cells.streak(1, true), 1);
        assert_eq!(cells.streak(2, true), 1, "a new generation starts its own row");
        assert_eq!(cells.streak(1, true), 0, "an old one has none any more");
        assert_eq!(cells.streak(2, true), 2);
        assert_eq!((cells.row(2), cells.row(3)), (2, 0));
    }
}
