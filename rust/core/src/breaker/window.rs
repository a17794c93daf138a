//! The cells of a breaker, and the two windows that recorded calls are kept in.
//!
//! Every cell starts with a tag, the low 8 bits of the generation that wrote it, and a write meets
//! only cells of its own or an older generation: whatever a stalled thread of an earlier generation
//! still does, it never touches what a later one keeps.

use crate::sync::{AtomicU64, Ordering};

use super::state::ahead;

/// The steps of a time window, and with them its error: a result is forgotten at most one step early.
pub(super) const TIME_CELLS: u64 = if cfg!(loom) { 2 } else { 64 };
/// The results a cell of a count window holds, at two bits each.
const SAMPLES_PER_CELL: u64 = 28;
/// The longest count window.
pub(super) const MAX_SAMPLES: u16 = 2_048;
const CELLS: usize = if cfg!(loom) { 2 } else { 74 };

const TAG_BITS: u32 = 8;
const BODY_BITS: u32 = u64::BITS - TAG_BITS;
pub(super) const BODY_MASK: u64 = (1 << BODY_BITS) - 1;

const EPOCH_BITS: u32 = 5;
const EPOCH_MASK: u64 = (1 << EPOCH_BITS) - 1;
const COUNT_BITS: u32 = 17;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;

/// Every other bit of the 28 pairs of a count window's cell.
const FAILED_BITS: u64 = 0x0055_5555_5555_5555;

/// How a recorded call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    pub(super) failed: bool,
    pub(super) slow: bool,
}

/// The recorded calls of a window, added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) throughput: u64,
    pub(super) failures: u64,
    pub(super) slow: u64,
}

impl Tally {
    pub(super) fn add(&mut self, sample: Sample) {
        self.throughput += 1;
        self.failures += u64::from(sample.failed);
        self.slow += u64::from(sample.slow);
    }
}

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
pub(super) struct Cells {
    /// The last step of a time window, or the number of results a count window was given.
    head: AtomicU64,
    /// The failures in a row.
    streak: AtomicU64,
    ring: [AtomicU64; CELLS],
}

impl Cells {
    pub(super) fn new() -> Self {
        Self {
            head: AtomicU64::new(0),
            streak: AtomicU64::new(0),
            ring: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }

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

    fn cell(&self, index: u64) -> &AtomicU64 {
        // Indices are taken modulo a number of cells; the remainder fits usize.
        #[expect(clippy::cast_possible_truncation, reason = "less than the number of cells")]
        let index = (index % CELLS as u64) as usize;
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
    fn step(word: &AtomicU64, generation: u64, step: impl Fn(u64) -> Option<u64>) -> Option<u64> {
        let next = |seen| if is_later(seen, generation) { None } else { step(seen) };
        // Relaxed: the word carries all that belongs together.
        word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).ok()
    }

    /// Records a call in the time window at `slot`, or in the last slot where that lies later.
    #[inline]
    pub(super) fn record_at(&self, generation: u64, slot: u64, sample: Sample) {
        let Some(slot) = self.advance(generation, slot) else { return };
        let cell = self.cell(slot % TIME_CELLS);
        Self::step(cell, generation, |seen| {
            let mine = tagged(seen, generation);
            // An epoch ahead of the slot's means that this thread slept for a whole window: its
            // call counts where the window is now.
            let kept = mine && ahead(epoch_of(seen), epoch(slot), EPOCH_BITS) >= 0;
            let counts = if kept { seen } else { fresh(generation, slot) };
            Some(add(counts, sample))
        });
    }

    /// Brings the head of the time window to `slot` and wipes the cells that were skipped; gives
    /// the slot to record in, or nothing where a later generation has the window.
    #[inline]
    fn advance(&self, generation: u64, slot: u64) -> Option<u64> {
        let slot = slot & BODY_MASK;
        // Relaxed: the head carries its generation.
        let seen = self.head.load(Ordering::Relaxed);
        if tagged(seen, generation) && seen & BODY_MASK >= slot {
            return Some(seen & BODY_MASK);
        }
        let moved = Self::step(&self.head, generation, |seen| {
            let ahead = tagged(seen, generation) && seen & BODY_MASK >= slot;
            Some(if ahead { seen } else { tag(generation) | slot })
        })?;
        if !tagged(moved, generation) {
            return Some(slot);
        }
        let before = moved & BODY_MASK;
        let oldest = slot.saturating_sub(TIME_CELLS - 1);
        for skipped in oldest.max(before + 1)..=slot {
            let seen = self.load(skipped % TIME_CELLS);
            if tagged(seen, generation) && ahead(epoch_of(seen), epoch(skipped), EPOCH_BITS) < 0 {
                // A lost race means that somebody already records there.
                self.swap(skipped % TIME_CELLS, seen, fresh(generation, skipped));
            }
        }
        Some(slot.max(before))
    }

    /// Adds up the time window of `generation` as seen from `slot`, or as its head left it.
    pub(super) fn tally_at(&self, generation: u64, slot: Option<u64>) -> Tally {
        let mut tally = Tally::default();
        // Relaxed: the head carries its generation.
        let head = self.head.load(Ordering::Relaxed);
        if !tagged(head, generation) {
            return tally;
        }
        let head = head & BODY_MASK;
        let latest = slot.map_or(head, |slot| head.max(slot & BODY_MASK));
        for slot in latest.saturating_sub(TIME_CELLS - 1)..=head {
            let seen = self.load(slot % TIME_CELLS);
            if tagged(seen, generation) && epoch_of(seen) == epoch(slot) {
                tally.throughput += seen & COUNT_MASK;
                tally.failures += seen >> COUNT_BITS & COUNT_MASK;
                tally.slow += seen >> (2 * COUNT_BITS) & COUNT_MASK;
            }
        }
        tally
    }

    /// Records a call in the count window of `size`, in place of the oldest.
    #[inline]
    pub(super) fn record_next(&self, generation: u64, size: u16, sample: Sample) {
        let claimed = Self::step(&self.head, generation, |seen| {
            Some(if tagged(seen, generation) { seen + 1 } else { tag(generation) | 1 })
        });
        let Some(claimed) = claimed else { return };
        let count = if tagged(claimed, generation) { claimed & BODY_MASK } else { 0 };
        let place = count % u64::from(size);
        let shift = place % SAMPLES_PER_CELL * 2;
        let bits = u64::from(sample.failed) | u64::from(sample.slow) << 1;
        Self::step(self.cell(place / SAMPLES_PER_CELL), generation, |seen| {
            let kept = if tagged(seen, generation) { seen } else { tag(generation) };
            Some(kept & !(0b11 << shift) | bits << shift)
        });
    }

    /// Adds up the count window of `generation`; a call that is being recorded may be missing.
    pub(super) fn tally_last(&self, generation: u64, size: u16) -> Tally {
        // Relaxed: the head carries its generation.
        let head = self.head.load(Ordering::Relaxed);
        if !tagged(head, generation) {
            return Tally::default();
        }
        let throughput = (head & BODY_MASK).min(u64::from(size));
        let mut tally = Tally { throughput, ..Tally::default() };
        for index in 0..throughput.div_ceil(SAMPLES_PER_CELL) {
            let seen = self.load(index);
            if tagged(seen, generation) {
                tally.failures += u64::from((seen & FAILED_BITS).count_ones());
                tally.slow += u64::from((seen >> 1 & FAILED_BITS).count_ones());
            }
        }
        tally
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
            Some(if failed { row + 1 } else { tag(generation) })
        });
        match before {
            Some(before) if failed && tagged(before, generation) => (before & BODY_MASK) + 1,
            Some(_) => u64::from(failed),
            None => 0,
        }
    }
}

/// The turn of the ring that a slot belongs to.
const fn epoch(slot: u64) -> u64 {
    (slot / TIME_CELLS) & EPOCH_MASK
}

const fn epoch_of(cell: u64) -> u64 {
    cell >> (3 * COUNT_BITS) & EPOCH_MASK
}

const fn fresh(generation: u64, slot: u64) -> u64 {
    tag(generation) | epoch(slot) << (3 * COUNT_BITS)
}

/// Adds a call to a cell; a full one halves its counts first, which keeps its ratios.
const fn add(cell: u64, sample: Sample) -> u64 {
    let full = cell & COUNT_MASK == COUNT_MASK;
    let kept = if full { halved(cell) } else { cell };
    // Failures and slow calls are never more than all calls, so no count leaves its bits.
    kept + 1 + ((sample.failed as u64) << COUNT_BITS) + ((sample.slow as u64) << (2 * COUNT_BITS))
}

const fn halved(cell: u64) -> u64 {
    const HALVES: u64 = COUNT_MASK >> 1;
    const ALL_HALVES: u64 = HALVES | HALVES << COUNT_BITS | HALVES << (2 * COUNT_BITS);
    const COUNTS: u64 = (1 << (3 * COUNT_BITS)) - 1;
    cell & !COUNTS | (cell & COUNTS) >> 1 & ALL_HALVES
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const FAILED: Sample = Sample { failed: true, slow: false };
    const SLOW: Sample = Sample { failed: false, slow: true };
    const FINE: Sample = Sample { failed: false, slow: false };

    fn tally(throughput: u64, failures: u64, slow: u64) -> Tally {
        Tally { throughput, failures, slow }
    }

    #[test]
    fn a_result_is_forgotten_once_64_slots_have_passed() {
        let cells = Cells::new();
        cells.record_at(1, 0, FAILED);
        assert_eq!(cells.tally_at(1, Some(63)), tally(1, 1, 0));
        assert_eq!(cells.tally_at(1, Some(64)), tally(0, 0, 0));
        assert_eq!(cells.tally_at(1, None), tally(1, 1, 0), "the head left it so");
    }

    #[test]
    fn an_earlier_time_records_in_the_last_slot_and_evicts_nothing() {
        let cells = Cells::new();
        cells.record_at(1, 100, FAILED);
        cells.record_at(1, 7, SLOW);
        assert_eq!(cells.tally_at(1, Some(7)), tally(2, 1, 1));
        assert_eq!(cells.tally_at(1, Some(163)), tally(2, 1, 1));
        assert_eq!(cells.tally_at(1, Some(164)), tally(0, 0, 0));
    }

    #[test]
    fn skipped_cells_are_wiped_before_their_epoch_comes_round_again() {
        let cells = Cells::new();
        cells.record_at(1, 5, FAILED);
        let wrap = TIME_CELLS << EPOCH_BITS;
        for slot in (64..=wrap).step_by(64) {
            cells.record_at(1, slot, FINE);
        }
        cells.record_at(1, wrap + 6, FINE);
        assert_eq!(cells.tally_at(1, Some(wrap + 6)).failures, 0);
    }

    #[test]
    fn a_full_cell_halves_and_keeps_its_ratio() {
        let cells = Cells::new();
        for _ in 0..=COUNT_MASK / 2 {
            cells.record_at(1, 0, FAILED);
            cells.record_at(1, 0, SLOW);
        }
        let tally = cells.tally_at(1, None);
        assert_eq!(tally.throughput, (COUNT_MASK / 2) + 1);
        assert!(tally.failures.abs_diff(tally.throughput / 2) <= 1);
        assert!(tally.slow.abs_diff(tally.throughput / 2) <= 1);
    }

    #[test]
    fn an_older_generation_never_touches_a_later_ones_window() {
        let cells = Cells::new();
        cells.record_at(2, 10, FINE);
        cells.record_at(1, 11, FAILED);
        assert_eq!(cells.tally_at(2, Some(11)), tally(1, 0, 0));
        assert_eq!(cells.tally_at(1, Some(11)), tally(0, 0, 0));
        let cells = Cells::new();
        cells.record_next(2, 4, FINE);
        cells.record_next(1, 4, FAILED);
        assert_eq!(cells.tally_last(2, 4), tally(1, 0, 0));
    }

    #[test]
    fn a_count_window_holds_the_last_results() {
        let cells = Cells::new();
        for sample in [FINE, FINE, FAILED, FAILED, FAILED, SLOW] {
            cells.record_next(3, 4, sample);
        }
        assert_eq!(cells.tally_last(3, 4), tally(4, 3, 1));
        for _ in 0..3 {
            cells.record_next(3, 4, FINE);
        }
        assert_eq!(cells.tally_last(3, 4), tally(4, 0, 1));
    }

    #[test]
    fn the_longest_count_window_has_a_place_for_each_result() {
        let cells = Cells::new();
        for _ in 0..MAX_SAMPLES {
            cells.record_next(1, MAX_SAMPLES, FAILED);
        }
        assert_eq!(cells.tally_last(1, MAX_SAMPLES), tally(2_048, 2_048, 0));
        cells.record_next(1, MAX_SAMPLES, SLOW);
        assert_eq!(cells.tally_last(1, MAX_SAMPLES), tally(2_048, 2_047, 1));
    }

    #[test]
    fn a_success_ends_the_row_of_failures() {
        let cells = Cells::new();
        assert_eq!(cells.streak(1, true), 1);
        assert_eq!(cells.streak(1, true), 2);
        assert_eq!(cells.streak(1, false), 0);
        assert_eq!(cells.streak(1, true), 1);
        assert_eq!(cells.streak(2, true), 1, "a new generation starts its own row");
        assert_eq!(cells.streak(1, true), 0, "an old one has none any more");
        assert_eq!(cells.streak(2, true), 2);
    }

    #[test]
    fn a_tag_never_meets_its_own_past() {
        let cells = Cells::new();
        cells.record_at(3, 0, FAILED);
        cells.scrub(3 + 128);
        assert_eq!(cells.tally_at(3, None), tally(0, 0, 0));
    }
}
