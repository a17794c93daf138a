//! What a breaker tells of itself; reading never changes it.

use crate::nanos::Nanos;
use crate::sync::Ordering;

use super::probes;
use super::state::{CircuitState, Trips, Word, following, from_micros, preceding};
use super::window::Tally;
use super::{Breaker, Sampling};

/// How often a snapshot is taken afresh because the state changed meanwhile.
const RETRIES: u32 = 8;

/// A breaker's figures at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The state; half-open from the end of the break on.
    pub state: CircuitState,
    /// How long it has been in that state.
    pub time_in_state: Nanos,
    /// The calls the window holds: those of the probes while half-open, those that tripped while
    /// open, none while isolated or disabled.
    pub throughput: u64,
    /// The failed ones among them.
    pub failures: u64,
    /// The slow ones among them.
    pub slow_calls: u64,
    /// The trips since the last time it was closed.
    pub consecutive_trips: u64,
    /// The trips since the start.
    pub trips: u64,
    /// The successes since the start, late ones included.
    pub total_successes: u64,
    /// The failures since the start, late ones included.
    pub total_failures: u64,
    /// The slow calls since the start, late ones included.
    pub total_slow: u64,
    /// The calls since the start that said nothing about the far side.
    pub total_ignored: u64,
    /// The refusals since the start.
    pub total_rejected: u64,
}

/// Gives the record of the trip that leads out of `word`.
pub(super) fn next_trip(word: Word, seen: Trips) -> Trips {
    let next = following(word.generation());
    let consecutive = match word.state() {
        // A rival that trips from the same word has written it down already.
        CircuitState::HalfOpen if seen.behind(next) == 0 => seen.consecutive(),
        // The trip before is on record: it led to the break that these probes followed.
        CircuitState::HalfOpen => seen.consecutive() + 1,
        _ => 1,
    };
    seen.announcing(next, consecutive)
}

impl Breaker<'_> {
    /// Tells the state; half-open from the end of the break on, though nobody has entered.
    #[must_use]
    pub fn state(self, now: Nanos) -> CircuitState {
        let word = self.state.word();
        if self.is_over(word, now) { CircuitState::HalfOpen } else { word.state() }
    }

    /// Tells how long until a call may be admitted, where the breaker itself limits that: while
    /// open, and while half-open (until a place is free, or the first lease has run out).
    #[must_use]
    pub fn retry_after(self, now: Nanos) -> Option<Nanos> {
        let (word, elapsed) = (self.state.word(), self.state.elapsed(now));
        let places = self.config.options.half_open_max_calls;
        match word.state() {
            CircuitState::Open => Some(from_micros(word.deadline()) - elapsed),
            CircuitState::HalfOpen => {
                Some(probes::wait(&self.state.cells, word.generation(), places, elapsed))
            }
            _ => None,
        }
    }

    /// Tells whether a breaker built now would decide the same: closed, nothing in the window, and
    /// no failure at the end of the row. Totals apart, and where nobody holds a permit.
    #[must_use]
    pub fn is_idle(self, now: Nanos) -> bool {
        let word = self.state.word();
        word.state() == CircuitState::Closed
            && self.state.cells.row(word.generation()) == 0
            && self.window(word, now).throughput == 0
    }

    /// Reads what it counted since the start: trips, successes, failures, slow calls, ignored calls
    /// and refusals.
    #[must_use]
    pub fn totals(self) -> [u64; 6] {
        let totals = &self.state.totals;
        let counters =
            [&totals.successes, &totals.failures, &totals.slow, &totals.ignored, &totals.rejected];
        // Relaxed: counters that order nothing.
        let [successes, failures, slow, ignored, rejected] =
            counters.map(|counter| counter.load(Ordering::Relaxed));
        [self.state.trips().total(), successes, failures, slow, ignored, rejected]
    }

    /// Takes the breaker's figures; the totals may be a few calls ahead of the window.
    #[must_use]
    pub fn snapshot(self, now: Nanos) -> Snapshot {
        let mut word = self.state.word();
        let mut figures = self.figures(word, now);
        for _ in 0..RETRIES {
            let seen = self.state.word();
            if seen == word {
                break;
            }
            word = seen;
            figures = self.figures(word, now);
        }
        figures
    }

    fn figures(self, word: Word, now: Nanos) -> Snapshot {
        let [trips, successes, failures, slow, ignored, rejected] = self.totals();
        let is_over = self.is_over(word, now);
        let began = if is_over {
            Some(from_micros(word.deadline()))
        } else {
            self.state.since(word.generation())
        };
        let tally = self.readable(word, now);
        Snapshot {
            state: if is_over { CircuitState::HalfOpen } else { word.state() },
            time_in_state: began.map_or(Nanos::ZERO, |began| self.state.elapsed(now) - began),
            throughput: tally.throughput,
            failures: tally.failures,
            slow_calls: tally.slow,
            consecutive_trips: self.consecutive_trips(word),
            trips,
            total_successes: successes,
            total_failures: failures,
            total_slow: slow,
            total_ignored: ignored,
            total_rejected: rejected,
        }
    }

    fn is_over(self, word: Word, now: Nanos) -> bool {
        word.state() == CircuitState::Open
            && self.state.elapsed(now) >= from_micros(word.deadline())
    }

    fn consecutive_trips(self, word: Word) -> u64 {
        let behind = match word.state() {
            CircuitState::Open => 0,
            CircuitState::HalfOpen => 1,
            _ => return 0,
        };
        let trips = self.state.trips();
        if trips.behind(word.generation()) == behind { trips.consecutive() } else { 0 }
    }

    /// Adds up what the cells hold: an open breaker keeps what tripped it, which is a window after
    /// the first trip and probes after the others.
    fn readable(self, word: Word, now: Nanos) -> Tally {
        let places = self.config.options.half_open_max_calls;
        let probes = |generation| probes::tally(&self.state.cells, generation, places);
        let before = preceding(word.generation());
        match word.state() {
            CircuitState::Closed | CircuitState::MetricsOnly => self.window(word, now),
            CircuitState::HalfOpen => probes(word.generation()),
            CircuitState::Open if self.consecutive_trips(word) > 1 => probes(before),
            CircuitState::Open => match self.config.options.sampling {
                Sampling::Time(_) => self.state.cells.tally_at(before, None),
                Sampling::Count(size) => self.state.cells.tally_last(before, size),
            },
            CircuitState::Isolated | CircuitState::Disabled => Tally::default(),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_trip_of_the_same_word_that_is_on_record_already_is_not_counted_again() {
        let probing = Word::new(CircuitState::HalfOpen, 4, 0);
        let before = Trips(9).announcing(3, 6);
        let first = next_trip(probing, before);
        assert_eq!(first, Trips(9).announcing(5, 7));
        assert_eq!(next_trip(probing, first), first);
        let closed = Word::new(CircuitState::Closed, 4, 0);
        assert_eq!(next_trip(closed, first), Trips(9).announcing(5, 1));
    }
}
