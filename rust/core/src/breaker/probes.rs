//! The probes of a half-open breaker: each leases a cell and leaves its verdict there.

use crate::nanos::Nanos;

use super::cells::{BODY_MASK, Cells, tag, tagged};
use super::config::BreakerConfig;
use super::state::{from_micros, micros_up};
use super::window::{Sample, Tally};

const KIND_SHIFT: u32 = 48;
const DEADLINE_MASK: u64 = (1 << KIND_SHIFT) - 1;
const LEASED: u64 = 1 << KIND_SHIFT;
const SETTLED: u64 = 4 << KIND_SHIFT;
const FAILED: u64 = 1 << KIND_SHIFT;
const SLOW: u64 = 2 << KIND_SHIFT;

/// A probe's place: its cell, and what the cell holds for as long as the place is the probe's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lease {
    index: u64,
    value: u64,
}

/// What became of the search for a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Search {
    /// A place was free, or its lease had run out.
    Found(Lease),
    /// All are taken; the first lease runs out then. Nothing where every probe has come back.
    Full(Option<Nanos>),
}

/// What the probes say of the far side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Well,
    Ill,
}

enum Place {
    Free,
    Leased(Nanos),
    Settled(Sample),
}

fn read(cell: u64, generation: u64) -> Place {
    let body = cell & BODY_MASK;
    if !tagged(cell, generation) || body == 0 {
        Place::Free
    } else if body & SETTLED == 0 {
        Place::Leased(from_micros(body & DEADLINE_MASK))
    } else {
        Place::Settled(Sample { failed: body & FAILED != 0, slow: body & SLOW != 0 })
    }
}

/// Takes a free place for as long as `lease` (µs), or else one whose lease has run out.
pub(super) fn take(
    cells: &Cells,
    generation: u64,
    places: u8,
    elapsed: Nanos,
    lease: u64,
) -> Search {
    let until = micros_up(elapsed + from_micros(lease));
    let value = tag(generation) | LEASED | until;
    let mut earliest = None;
    for may_evict in [false, true] {
        for index in 0..u64::from(places) {
            loop {
                let seen = cells.load(index);
                match read(seen, generation) {
                    Place::Free => {}
                    Place::Leased(end) if may_evict && end <= elapsed => {}
                    Place::Leased(end) => {
                        earliest = Some(earliest.map_or(end, |other: Nanos| other.min(end)));
                        break;
                    }
                    Place::Settled(_) => break,
                }
                if cells.swap(index, seen, value) {
                    return Search::Found(Lease { index, value });
                }
            }
        }
    }
    Search::Full(earliest)
}

/// Tells how long until a place is free: no time where one is.
pub(super) fn wait(cells: &Cells, generation: u64, places: u8, elapsed: Nanos) -> Nanos {
    let ends =
        (0..u64::from(places)).filter_map(|index| match read(cells.load(index), generation) {
            Place::Settled(_) => None,
            Place::Leased(end) => Some(end - elapsed),
            Place::Free => Some(Nanos::ZERO),
        });
    ends.min().unwrap_or(Nanos::ZERO)
}

/// Frees the place; false where the lease had run out and the place was taken.
pub(super) fn free(cells: &Cells, generation: u64, lease: Lease) -> bool {
    cells.swap(lease.index, lease.value, tag(generation))
}

/// Leaves the probe's result; false where the lease had run out and the place was taken.
pub(super) fn settle(cells: &Cells, generation: u64, lease: Lease, sample: Sample) -> bool {
    let failed = if sample.failed { FAILED } else { 0 };
    let slow = if sample.slow { SLOW } else { 0 };
    cells.swap(lease.index, lease.value, tag(generation) | SETTLED | failed | slow)
}

/// Adds up the results that are in.
pub(super) fn tally(cells: &Cells, generation: u64, places: u8) -> Tally {
    let mut tally = Tally::default();
    for index in 0..u64::from(places) {
        if let Place::Settled(sample) = read(cells.load(index), generation) {
            tally.add(sample);
        }
    }
    tally
}

/// Judges by the results that are in, or nothing while the rest can still change the verdict.
pub(super) fn verdict(config: &BreakerConfig, tally: Tally) -> Option<Verdict> {
    let options = config.options();
    let all = u64::from(options.half_open_max_calls);
    let is_ill = |failures, slow| {
        options.failure_ratio.is_reached(failures, all)
            || options.slow_call_ratio.is_reached(slow, all)
    };
    // Never more results than places.
    let open = all - tally.throughput;
    if is_ill(tally.failures, tally.slow) {
        return Some(Verdict::Ill);
    }
    let worst_slow = if options.slow_call_duration.is_some() { tally.slow + open } else { 0 };
    (!is_ill(tally.failures + open, worst_slow)).then_some(Verdict::Well)
}
