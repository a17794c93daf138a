//! Where a breaker lives: one packed word, its window, its totals; plain atomics, no pointers.

use crate::nanos::Nanos;
use crate::sync::{AtomicU64, Ordering};

use super::cells::{Cells, LONG, SHORT};

const DEADLINE_BITS: u32 = 48;
const GENERATION_BITS: u32 = 13;
const DEADLINE_MASK: u64 = (1 << DEADLINE_BITS) - 1;
const GENERATION_MASK: u64 = (1 << GENERATION_BITS) - 1;
const NANOS_PER_MICRO: u64 = 1_000;

/// What a breaker does with calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum CircuitState {
    /// Admits and records; trips.
    Closed = 0,
    /// Refuses until the break is over.
    Open = 1,
    /// Admits probes and waits for their verdict.
    HalfOpen = 2,
    /// Refuses until it is told otherwise.
    Isolated = 3,
    /// Admits and records, never trips.
    MetricsOnly = 4,
    /// Admits, records nothing.
    Disabled = 5,
}

impl CircuitState {
    const fn of(bits: u64) -> Self {
        match bits {
            0 => Self::Closed,
            1 => Self::Open,
            2 => Self::HalfOpen,
            3 => Self::Isolated,
            4 => Self::MetricsOnly,
            _ => Self::Disabled,
        }
    }
}

/// State (3 bits), generation (13) and deadline (48), all of which change at once.
///
/// The deadline counts microseconds from the breaker's origin, rounded up: 8.9 years. It is the end
/// of the break while open, the length of a lease while half-open, and the mark of a threshold once
/// exceeded while in metrics-only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word(pub(super) u64);

impl Word {
    pub(super) const fn new(state: CircuitState, generation: u64, deadline: u64) -> Self {
        Self(
            (state as u64) << (GENERATION_BITS + DEADLINE_BITS)
                | (generation & GENERATION_MASK) << DEADLINE_BITS
                | deadline & DEADLINE_MASK,
        )
    }

    pub(super) const fn state(self) -> CircuitState {
        CircuitState::of(self.0 >> (GENERATION_BITS + DEADLINE_BITS))
    }

    pub(super) const fn generation(self) -> u64 {
        self.0 >> DEADLINE_BITS & GENERATION_MASK
    }

    pub(super) const fn deadline(self) -> u64 {
        self.0 & DEADLINE_MASK
    }

    /// The same state in the same generation with another deadline.
    pub(super) const fn with_deadline(self, deadline: u64) -> Self {
        Self::new(self.state(), self.generation(), deadline)
    }
}

/// The generation of the last trip (13 bits), its number among consecutive ones (19) and all trips
/// since the start (32), which stop at the end of their range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Trips(pub(super) u64);

const TOTAL_BITS: u32 = 32;
const CONSECUTIVE_BITS: u32 = u64::BITS - GENERATION_BITS - TOTAL_BITS;
const TOTAL_MASK: u64 = (1 << TOTAL_BITS) - 1;
const CONSECUTIVE_MASK: u64 = (1 << CONSECUTIVE_BITS) - 1;

impl Trips {
    /// The trips after these, of which the last was `consecutive` and led to `generation`: not
    /// counted yet among all, for its word may still be moved by another.
    pub(super) fn announcing(self, generation: u64, consecutive: u64) -> Self {
        Self(
            generation << (CONSECUTIVE_BITS + TOTAL_BITS)
                | consecutive.min(CONSECUTIVE_MASK) << TOTAL_BITS
                | self.total(),
        )
    }

    /// The same with one more, or nothing where no more can be counted.
    pub(super) fn counted(self) -> Option<Self> {
        (self.total() < TOTAL_MASK).then_some(Self(self.0 + 1))
    }

    /// Tells how far `generation` is ahead of the one that the last trip led to.
    pub(super) const fn behind(self, generation: u64) -> i64 {
        ahead(generation, self.0 >> (CONSECUTIVE_BITS + TOTAL_BITS), GENERATION_BITS)
    }

    pub(super) const fn consecutive(self) -> u64 {
        self.0 >> TOTAL_BITS & CONSECUTIVE_MASK
    }

    pub(super) const fn total(self) -> u64 {
        self.0 & TOTAL_MASK
    }
}

/// The generation after this one, on their ring.
pub(super) const fn following(generation: u64) -> u64 {
    (generation + 1) & GENERATION_MASK
}

/// The generation before this one, on their ring.
pub(super) const fn preceding(generation: u64) -> u64 {
    generation.wrapping_sub(1) & GENERATION_MASK
}

/// Rounds a span up to microseconds; what passes the range stops at its end.
pub(super) fn micros_up(span: Nanos) -> u64 {
    span.get().div_ceil(NANOS_PER_MICRO).min(DEADLINE_MASK)
}

/// Gives microseconds as nanoseconds; 48 bits of them fit.
pub(super) const fn from_micros(micros: u64) -> Nanos {
    Nanos::new(micros * NANOS_PER_MICRO)
}

/// Compares two numbers of a ring of `bits` bits: how far `left` is ahead of `right`.
pub(super) const fn ahead(left: u64, right: u64, bits: u32) -> i64 {
    let unused = u64::BITS - bits;
    (left.wrapping_sub(right) << unused).cast_signed() >> unused
}

/// What happened since the start, whatever the state did.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Totals {
    pub(super) successes: AtomicU64,
    pub(super) failures: AtomicU64,
    pub(super) slow: AtomicU64,
    pub(super) ignored: AtomicU64,
    pub(super) rejected: AtomicU64,
}

/// A breaker's whole mutable state: atomics with no pointer among them, so that it lives on the heap
/// or in memory that processes share.
#[derive(Debug)]
#[repr(C)]
pub struct BreakerState<R: ?Sized = [AtomicU64]> {
    pub(super) word: AtomicU64,
    /// When this generation began: its low bits and nanoseconds from the origin.
    since: AtomicU64,
    /// How often it tripped: [`Trips`].
    trips: AtomicU64,
    /// The instant all other times count from, so that 48 bits last whatever the clock's scale.
    origin: AtomicU64,
    pub(super) totals: Totals,
    pub(super) cells: Cells<R>,
}

/// The state that every configuration can use: 680 bytes.
pub type LongBreakerState = BreakerState<[AtomicU64; LONG]>;
/// The state of whoever [asks for no more](super::BreakerConfig::is_short): 600 bytes.
pub type ShortBreakerState = BreakerState<[AtomicU64; SHORT]>;

/// 58 bits of nanoseconds last as long as 48 bits of microseconds.
const SINCE_BITS: u32 = 58;
const SINCE_MASK: u64 = (1 << SINCE_BITS) - 1;
const SINCE_TAG_BITS: u32 = u64::BITS - SINCE_BITS;

impl LongBreakerState {
    /// Builds a closed breaker with nothing recorded.
    #[must_use]
    pub fn new(now: Nanos) -> Self {
        Self::closed(now)
    }
}

impl ShortBreakerState {
    /// Builds a closed breaker with nothing recorded and no place for the longest windows.
    #[must_use]
    pub fn short(now: Nanos) -> Self {
        Self::closed(now)
    }
}

impl<const N: usize> BreakerState<[AtomicU64; N]> {
    fn closed(now: Nanos) -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            word: AtomicU64::new(Word::new(CircuitState::Closed, 0, 0).0),
            since: zero(),
            trips: zero(),
            origin: AtomicU64::new(now.get()),
            totals: Totals {
                successes: zero(),
                failures: zero(),
                slow: zero(),
                ignored: zero(),
                rejected: zero(),
            },
            cells: Cells::new(),
        }
    }
}

impl BreakerState {
    #[inline]
    pub(super) fn word(&self) -> Word {
        // Acquire: what led to this state (the trips announced for it) is seen with it.
        Word(self.word.load(Ordering::Acquire))
    }

    /// Moves the word from `seen` to `next`, unless somebody else moved it first.
    pub(super) fn swap(&self, seen: Word, next: Word) -> bool {
        // AcqRel: publishes what led here, and sees what led to `seen`; a failure is looked at
        // again by a load of its own.
        self.word.compare_exchange(seen.0, next.0, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    pub(super) fn trips(&self) -> Trips {
        // Acquire: who announced a trip had seen a word; what is read of the word next is no older
        // than that one, so a late writer finds out that it is late.
        Trips(self.trips.load(Ordering::Acquire))
    }

    /// Moves the trips from `seen` to `next`, unless somebody else moved them first.
    pub(super) fn swap_trips(&self, seen: Trips, next: Trips) -> bool {
        // AcqRel: pairs with the load above.
        self.trips.compare_exchange(seen.0, next.0, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Counts a trip among all of them.
    pub(super) fn count_trip(&self) {
        let next = |seen| Trips(seen).counted().map(|next| next.0);
        // AcqRel: what was announced before stays published by whoever comes after.
        let _ = self.trips.fetch_update(Ordering::AcqRel, Ordering::Relaxed, next);
    }

    /// Gives `now` on the scale of the deadlines: 0 before the origin.
    #[inline]
    pub(super) fn elapsed(&self, now: Nanos) -> Nanos {
        // Relaxed: written once, before the breaker was shared.
        now - Nanos::new(self.origin.load(Ordering::Relaxed))
    }

    /// Notes that `generation` began at `elapsed`, unless a later one already did.
    pub(super) fn began(&self, generation: u64, elapsed: Nanos) {
        let next = generation << SINCE_BITS | elapsed.get().min(SINCE_MASK);
        // Relaxed: the tag tells which generation the time belongs to.
        let _ = self.since.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |seen| {
            (ahead(generation, seen >> SINCE_BITS, SINCE_TAG_BITS) > 0).then_some(next)
        });
    }

    /// Tells when `generation` began, or nothing while that is still being written.
    pub(super) fn since(&self, generation: u64) -> Option<Nanos> {
        // Relaxed: the tag tells which generation the time belongs to.
        let since = self.since.load(Ordering::Relaxed);
        (ahead(generation, since >> SINCE_BITS, SINCE_TAG_BITS) == 0)
            .then_some(Nanos::new(since & SINCE_MASK))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_breaker_takes_at_most_700_bytes_with_its_window() {
        assert_eq!(size_of::<ShortBreakerState>(), 600);
        assert_eq!(size_of::<LongBreakerState>(), 680);
    }

    #[test]
    fn a_word_keeps_its_parts_apart() {
        for state in [CircuitState::Closed, CircuitState::Disabled] {
            let word = Word::new(state, GENERATION_MASK, DEADLINE_MASK);
            assert_eq!(word.state(), state);
            assert_eq!(word.generation(), GENERATION_MASK);
            assert_eq!(word.deadline(), DEADLINE_MASK);
            assert_eq!(word.with_deadline(1).deadline(), 1);
        }
        assert_eq!(Word::new(CircuitState::Open, GENERATION_MASK + 1, 0).generation(), 0);
    }

    #[test]
    fn trips_are_counted_and_announced_apart_and_stop_at_the_end_of_their_range() {
        let none = Trips(0);
        let first = none.announcing(GENERATION_MASK, 1);
        assert_eq!((first.behind(0), first.consecutive(), first.total()), (1, 1, 0));
        let counted = first.counted().unwrap();
        assert_eq!((counted.behind(0), counted.consecutive(), counted.total()), (1, 1, 1));
        let many = Trips(TOTAL_MASK).announcing(3, u64::MAX);
        assert_eq!(many.counted(), None);
        assert_eq!((many.behind(3), many.consecutive()), (0, CONSECUTIVE_MASK));
        assert_eq!(many.total(), 4_294_967_295);
        assert_eq!(many.announcing(4, many.consecutive() + 1).consecutive(), 524_287);
    }

    #[test]
    fn a_deadline_rounds_up_and_stops_at_the_end_of_its_range() {
        assert_eq!(micros_up(Nanos::new(1)), 1);
        assert_eq!(micros_up(Nanos::new(1_000)), 1);
        assert_eq!(micros_up(Nanos::MAX), DEADLINE_MASK);
    }

    #[test]
    fn a_ring_knows_who_is_ahead() {
        assert_eq!(ahead(3, 2, 5), 1);
        assert_eq!(ahead(0, 31, 5), 1);
        assert_eq!(ahead(31, 0, 5), -1);
        assert_eq!(ahead(300, 44, 8), 0);
    }

    #[test]
    fn an_older_generation_never_overwrites_when_a_later_one_began() {
        let state: Box<BreakerState> = Box::new(LongBreakerState::new(Nanos::ZERO));
        state.began(2, Nanos::new(20));
        state.began(1, Nanos::new(10));
        state.began(2, Nanos::new(30));
        assert_eq!(state.since(2), Some(Nanos::new(20)));
        assert_eq!(state.since(1), None);
    }
}
