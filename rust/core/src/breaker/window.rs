//! The two windows that recorded calls are kept in: of the last time, or of the last calls.

use crate::sync::Ordering;

use super::cells::{BODY_BITS, BODY_MASK, Cells, tag, tagged};
use super::state::ahead;

/// The steps of a time window, and with them its error: a result is forgotten at most one step early.
pub(super) const TIME_CELLS: u64 = if cfg!(loom) { 2 } else { 64 };
/// The results a cell of a count window holds, at two bits each.
pub(super) const SAMPLES_PER_CELL: u64 = 28;
/// The longest count window.
pub(super) const MAX_SAMPLES: u16 = 2_048;

const EPOCH_BITS: u32 = 5;
const EPOCH_MASK: u64 = (1 << EPOCH_BITS) - 1;
/// The head of a time window: its slot, and what its epochs are shifted by.
const SLOT_BITS: u32 = BODY_BITS - EPOCH_BITS;
const SLOT_MASK: u64 = (1 << SLOT_BITS) - 1;
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

impl Sample {
    /// Neither failed nor slow: it can trip nothing.
    pub(super) const GOOD: Self = Self { failed: false, slow: false };
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

impl Cells {
    /// Records a call in the time window at `slot`, or in the last slot where that lies later.
    #[inline]
    pub(super) fn record_at(&self, generation: u64, slot: u64, sample: Sample) {
        let Some(head) = self.advance(generation, slot & SLOT_MASK) else { return };
        let slot = slot_of(head);
        Self::step(self.cell(slot % TIME_CELLS), generation, |seen| {
            // An epoch ahead of the slot's means that this thread slept for a whole window: its
            // call counts where the window is now.
            let is_kept = tagged(seen, generation) && !is_behind(seen, head, slot);
            add(if is_kept { seen } else { fresh(generation, head, slot) }, sample)
        });
    }

    /// Brings the head of the time window to `slot`; gives the head, or nothing where a later
    /// generation has the window.
    #[inline]
    fn advance(&self, generation: u64, slot: u64) -> Option<u64> {
        // Relaxed: the head carries its generation.
        let seen = self.head.load(Ordering::Relaxed);
        if is_reached(seen, generation, slot) { Some(seen) } else { self.open(generation, slot) }
    }

    /// Moves the head of the time window to `slot` and wipes the cells that were skipped.
    #[cold]
    fn open(&self, generation: u64, slot: u64) -> Option<u64> {
        let next = |seen| {
            if is_reached(seen, generation, slot) {
                seen
            } else if tagged(seen, generation) {
                tag(generation) | shift_to(seen, slot) << SLOT_BITS | slot
            } else {
                tag(generation) | slot
            }
        };
        let before = Self::step(&self.head, generation, next)?;
        let head = next(before);
        if tagged(before, generation) {
            let oldest = slot.saturating_sub(TIME_CELLS - 1);
            for skipped in oldest.max(slot_of(before) + 1)..=slot {
                let seen = self.load(skipped % TIME_CELLS);
                if tagged(seen, generation) && is_behind(seen, head, skipped) {
                    // A lost race means that somebody already records there.
                    self.swap(skipped % TIME_CELLS, seen, fresh(generation, head, skipped));
                }
            }
        }
        Some(head)
    }

    /// The slot of the time window's head, whichever generation has it.
    #[inline]
    pub(super) fn last_slot(&self) -> u64 {
        // Relaxed: a guess, which the caller checks.
        slot_of(self.head.load(Ordering::Relaxed))
    }

    /// Adds up the time window of `generation` as seen from `slot`, or as its head left it.
    pub(super) fn tally_at(&self, generation: u64, slot: Option<u64>) -> Tally {
        let mut tally = Tally::default();
        // Relaxed: the head carries its generation.
        let head = self.head.load(Ordering::Relaxed);
        if !tagged(head, generation) {
            return tally;
        }
        let latest = slot.map_or(0, |slot| slot & SLOT_MASK).max(slot_of(head));
        for slot in latest.saturating_sub(TIME_CELLS - 1)..=slot_of(head) {
            let seen = self.load(slot % TIME_CELLS);
            if tagged(seen, generation) && epoch_of(seen) == epoch_at(head, slot) {
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
            if tagged(seen, generation) { seen + 1 } else { tag(generation) | 1 }
        });
        let Some(claimed) = claimed else { return };
        let count = if tagged(claimed, generation) { claimed & BODY_MASK } else { 0 };
        let place = count % u64::from(size);
        let shift = place % SAMPLES_PER_CELL * 2;
        let bits = u64::from(sample.failed) | u64::from(sample.slow) << 1;
        Self::step(self.cell(place / SAMPLES_PER_CELL), generation, |seen| {
            let kept = if tagged(seen, generation) { seen } else { tag(generation) };
            kept & !(0b11 << shift) | bits << shift
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
}

const fn slot_of(head: u64) -> u64 {
    head & SLOT_MASK
}

/// Whether the window of `generation` has come to `slot`.
const fn is_reached(head: u64, generation: u64, slot: u64) -> bool {
    tagged(head, generation) && slot_of(head) >= slot
}

/// The epoch of a slot as the head counts: the turn of the ring, shifted.
const fn epoch_at(head: u64, slot: u64) -> u64 {
    (slot / TIME_CELLS + (head >> SLOT_BITS)) & EPOCH_MASK
}

/// The shift with which the epochs of the slots up to `slot` lie right after those of the window
/// that ends with `head`: at most two turns on, so that an idle time, however long, never lets an
/// old cell pass for a present one.
const fn shift_to(head: u64, slot: u64) -> u64 {
    let (turn, last) = (slot / TIME_CELLS, slot_of(head) / TIME_CELLS);
    let skipped = (turn - last).saturating_sub(2);
    (head >> SLOT_BITS).wrapping_sub(skipped) & EPOCH_MASK
}

const fn epoch_of(cell: u64) -> u64 {
    cell >> (3 * COUNT_BITS) & EPOCH_MASK
}

const fn is_behind(cell: u64, head: u64, slot: u64) -> bool {
    ahead(epoch_of(cell), epoch_at(head, slot), EPOCH_BITS) < 0
}

const fn fresh(generation: u64, head: u64, slot: u64) -> u64 {
    tag(generation) | epoch_at(head, slot) << (3 * COUNT_BITS)
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
    use crate::breaker::cells::LONG;
    use crate::sync::AtomicU64;

    use super::*;

    const FAILED: Sample = Sample { failed: true, slow: false };
    const SLOW: Sample = Sample { failed: false, slow: true };
    const FINE: Sample = Sample::GOOD;

    fn empty() -> Box<Cells> {
        Box::new(Cells::<[AtomicU64; LONG]>::new())
    }

    fn tally(throughput: u64, failures: u64, slow: u64) -> Tally {
        Tally { throughput, failures, slow }
    }

    #[test]
    fn a_result_is_forgotten_once_64_slots_have_passed() {
        let cells = empty();
        cells.record_at(1, 0, FAILED);
        assert_eq!(cells.tally_at(1, Some(63)), tally(1, 1, 0));
        assert_eq!(cells.tally_at(1, Some(64)), tally(0, 0, 0));
        assert_eq!(cells.tally_at(1, None), tally(1, 1, 0), "the head left it so");
    }

    #[test]
    fn an_earlier_time_records_in_the_last_slot_and_evicts_nothing() {
        let cells = empty();
        cells.record_at(1, 100, FAILED);
        cells.record_at(1, 7, SLOW);
        assert_eq!(cells.tally_at(1, Some(7)), tally(2, 1, 1));
        assert_eq!(cells.tally_at(1, Some(163)), tally(2, 1, 1));
        assert_eq!(cells.tally_at(1, Some(164)), tally(0, 0, 0));
    }

    #[test]
    fn skipped_cells_are_wiped_before_their_epoch_comes_round_again() {
        for first in 1..TIME_CELLS {
            let cells = empty();
            cells.record_at(1, first, FAILED);
            let wrap = TIME_CELLS << EPOCH_BITS;
            for slot in (TIME_CELLS..=wrap).step_by(64) {
                cells.record_at(1, slot, FINE);
            }
            cells.record_at(1, wrap + first + 1, FINE);
            assert_eq!(cells.tally_at(1, None).failures, 0, "in cell {first}");
        }
    }

    #[test]
    fn an_idle_time_of_any_length_leaves_nothing_of_the_window_before() {
        for idle in 1..200 {
            let cells = empty();
            cells.record_at(1, 5, FAILED);
            cells.record_at(1, 68, FAILED);
            let slot = 68 + idle * TIME_CELLS;
            cells.record_at(1, slot, SLOW);
            cells.record_at(1, slot + 3, FINE);
            assert_eq!(cells.tally_at(1, None), tally(2, 0, 1), "after {idle} windows");
        }
    }

    #[test]
    fn a_full_cell_halves_and_keeps_its_ratio() {
        let cells = empty();
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
        let cells = empty();
        cells.record_at(2, 10, FINE);
        cells.record_at(1, 11, FAILED);
        assert_eq!(cells.tally_at(2, Some(11)), tally(1, 0, 0));
        assert_eq!(cells.tally_at(1, Some(11)), tally(0, 0, 0));
        let cells = empty();
        cells.record_next(2, 4, FINE);
        cells.record_next(1, 4, FAILED);
        assert_eq!(cells.tally_last(2, 4), tally(1, 0, 0));
    }

    #[test]
    fn a_count_window_holds_the_last_results() {
        let cells = empty();
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
        let cells = empty();
        for _ in 0..MAX_SAMPLES {
            cells.record_next(1, MAX_SAMPLES, FAILED);
        }
        assert_eq!(cells.tally_last(1, MAX_SAMPLES), tally(2_048, 2_048, 0));
        cells.record_next(1, MAX_SAMPLES, SLOW);
        assert_eq!(cells.tally_last(1, MAX_SAMPLES), tally(2_048, 2_047, 1));
    }

    #[test]
    fn a_tag_never_meets_its_own_past() {
        let cells = empty();
        cells.record_at(3, 0, FAILED);
        cells.scrub(3 + 128);
        assert_eq!(cells.tally_at(3, None), tally(0, 0, 0));
    }
}
