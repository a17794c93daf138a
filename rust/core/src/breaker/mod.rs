//! The circuit breaker: states, generations, trips and probes over borrowed atomics.
//!
//! Every change of state begins a new generation. A permit remembers the generation that gave it,
//! and what a call of an older one brings back counts in the totals and moves nothing. While
//! half-open, the window's cells hold the leases and verdicts of probes: a probe that never comes
//! back loses its place when its lease runs out, so a breaker cannot wedge.
//!
//! The words are those of Polly and resilience4j; where the two differ, a breaker here trips only
//! on a failed or slow completion, and a break is over at its very end.

mod cells;
mod change;
mod config;
mod probes;
mod snapshot;
mod state;
mod window;

pub use change::{Change, Entry, Outcome, Permit, Refusal, Trip};
pub use config::{BreakerConfig, BreakerOptions, InvalidOption, MAX_PROBES, Ratio, Sampling};
pub use snapshot::Snapshot;
pub use state::{BreakerState, CircuitState, LongBreakerState, ShortBreakerState};

use crate::nanos::Nanos;
use crate::sync::{Ordering, fence};

use change::Role;
use probes::{Search, Verdict};
use state::{Word, from_micros, micros_up};
use window::{Sample, Tally};

/// A breaker: options applied to a state that lives elsewhere.
///
/// Admitting a call costs a load while closed; recording a success two compare-and-swaps. Only a
/// failed or slow completion adds up the window (some 64 loads).
#[derive(Clone, Copy, Debug)]
pub struct Breaker<'a> {
    config: &'a BreakerConfig,
    state: &'a BreakerState,
}

impl<'a> Breaker<'a> {
    /// Joins the options to the state.
    ///
    /// # Panics
    /// While calls are recorded or the window is read, where the state is
    /// [short](ShortBreakerState) and the window is [not](BreakerConfig::is_short).
    #[must_use]
    pub const fn new(config: &'a BreakerConfig, state: &'a BreakerState) -> Self {
        Self { config, state }
    }

    /// Admits a call without a look at the clock, where the state admits all calls and nobody asks
    /// how long they take; else nothing, and [`Breaker::enter`] decides.
    #[inline]
    #[must_use]
    pub fn enter_freely(self) -> Option<Permit> {
        if self.config.options.slow_call_duration.is_some() {
            return None;
        }
        Self::admit(self.state.word(), Nanos::ZERO)
    }

    /// Admits a call, or refuses it and counts the refusal.
    ///
    /// The first call after a break turns the breaker half-open. A call changes the state once at
    /// most; where it would have to twice, it is refused with nothing to wait for.
    #[must_use = "a permit is to be settled"]
    pub fn enter(self, now: Nanos) -> Entry {
        let mut change = None;
        let verdict = loop {
            let word = self.state.word();
            if let Some(permit) = Self::admit(word, now) {
                break Ok(permit);
            }
            let elapsed = self.state.elapsed(now);
            match word.state() {
                CircuitState::Open => {
                    let end = from_micros(word.deadline());
                    if elapsed < end || change.is_some() {
                        break Err(Some(end - elapsed));
                    }
                    change = self.half_open(word, now);
                }
                CircuitState::HalfOpen => match self.probe(word, elapsed) {
                    Search::Found(lease) => {
                        break Ok(Permit::new(word, Role::Probe(lease), now));
                    }
                    Search::Full(earliest) => {
                        // Where whoever brought the last result has not drawn the conclusion, or
                        // died before it could, this call draws it.
                        if change.is_none() {
                            change = self.judge(word, now);
                        }
                        if self.state.word() == word {
                            break Err(Some(earliest.map_or(Nanos::ZERO, |end| end - elapsed)));
                        }
                    }
                },
                _ => break Err(None),
            }
        };
        let verdict = verdict.map_err(|retry_after| {
            // Relaxed: a counter that orders nothing.
            self.state.totals.rejected.fetch_add(1, Ordering::Relaxed);
            Refusal { state: self.state(now), retry_after }
        });
        Entry { verdict, change }
    }

    #[inline]
    fn admit(word: Word, now: Nanos) -> Option<Permit> {
        match word.state() {
            CircuitState::Closed | CircuitState::MetricsOnly => {
                Some(Permit::new(word, Role::Recorded, now))
            }
            CircuitState::Disabled => Some(Permit::new(word, Role::Untracked, now)),
            _ => None,
        }
    }

    /// Tells whether [`Breaker::settle`] may be handed a time that lags by `lag`: where this outcome
    /// changes no state and the window is coarse.
    #[inline]
    #[must_use]
    pub fn tolerates(self, permit: &Permit, outcome: Outcome, lag: Nanos) -> bool {
        outcome == Outcome::Success
            && !matches!(permit.role, Role::Probe(_))
            && self.config.tolerates(lag)
    }

    fn probe(self, word: Word, elapsed: Nanos) -> Search {
        let places = self.config.options.half_open_max_calls;
        probes::take(&self.state.cells, word.generation(), places, elapsed, word.deadline())
    }

    /// Takes note of how an admitted call ended; gives the change of state that this brought.
    ///
    /// A permit is settled once. A result of an older generation, or of a probe whose lease ran out
    /// and whose place was taken, counts in the totals only.
    #[inline]
    #[must_use = "a change is for whoever listens, and a trip awaits its break"]
    pub fn settle(self, permit: &Permit, outcome: Outcome, now: Nanos) -> Option<Change> {
        let slow = self.config.is_slow(now - permit.entered);
        if outcome == Outcome::Success && permit.role == Role::Recorded && !slow {
            // The rule, and short: what went well moves no state.
            self.take_note(permit, Sample::GOOD, now);
            return None;
        }
        self.settle_rare(permit, outcome, slow, now)
    }

    /// Settles whatever is no good call that is recorded.
    #[cold]
    fn settle_rare(
        self,
        permit: &Permit,
        outcome: Outcome,
        slow: bool,
        now: Nanos,
    ) -> Option<Change> {
        if outcome == Outcome::Ignored {
            self.ignore(permit);
            return None;
        }
        let sample = Sample { failed: outcome == Outcome::Failure, slow };
        match permit.role {
            Role::Recorded => {
                let (word, is_row_long) = self.take_note(permit, sample, now)?;
                self.consider(word, is_row_long, now)
            }
            Role::Probe(lease) => {
                let word = self.count(permit, sample)?;
                probes::settle(&self.state.cells, permit.generation, lease, sample)
                    .then(|| self.judge(word, now))
                    .flatten()
            }
            Role::Untracked => None,
        }
    }

    fn ignore(self, permit: &Permit) {
        if permit.role != Role::Untracked {
            // Relaxed: a counter that orders nothing.
            self.state.totals.ignored.fetch_add(1, Ordering::Relaxed);
        }
        if let Role::Probe(lease) = permit.role {
            // The cell carries its generation: a stale permit frees nothing.
            probes::free(&self.state.cells, permit.generation, lease);
        }
    }

    /// Counts a call in the totals; gives the word, where its generation goes on.
    #[inline]
    fn count(self, permit: &Permit, sample: Sample) -> Option<Word> {
        let totals = &self.state.totals;
        let outcome = if sample.failed { &totals.failures } else { &totals.successes };
        // Relaxed: counters that order nothing.
        outcome.fetch_add(1, Ordering::Relaxed);
        if sample.slow {
            // Relaxed: as above.
            totals.slow.fetch_add(1, Ordering::Relaxed);
        }
        let word = self.state.word();
        (word.generation() == permit.generation).then_some(word)
    }

    /// Counts a call and puts it into the window; gives the word, and whether that makes as many
    /// failures in a row as trip.
    #[inline]
    fn take_note(self, permit: &Permit, sample: Sample, now: Nanos) -> Option<(Word, bool)> {
        let word = self.count(permit, sample)?;
        let (cells, generation) = (&self.state.cells, permit.generation);
        match self.config.options.sampling {
            Sampling::Time(_) => cells.record_at(generation, self.slot(now), sample),
            Sampling::Count(size) => cells.record_next(generation, size, sample),
        }
        let limit = self.config.options.consecutive_failures;
        Some((word, limit.is_some_and(|limit| cells.streak(generation, sample.failed) >= limit)))
    }

    /// Trips where a bad call that was recorded brings a ratio or the row there.
    fn consider(self, word: Word, is_row_long: bool, now: Nanos) -> Option<Change> {
        // Of two bad calls that end at once, the one whose fence comes last sees both.
        fence(Ordering::SeqCst);
        if !is_row_long && !self.is_reached(self.window(word, now)) {
            return None;
        }
        match word.state() {
            CircuitState::MetricsOnly => self.exceed(word, now),
            _ => self.trip(word, now),
        }
    }

    fn is_reached(self, tally: Tally) -> bool {
        let options = &self.config.options;
        tally.throughput >= options.min_throughput
            && (options.failure_ratio.is_reached(tally.failures, tally.throughput)
                || options.slow_call_ratio.is_reached(tally.slow, tally.throughput))
    }

    fn window(self, word: Word, now: Nanos) -> Tally {
        match self.config.options.sampling {
            Sampling::Time(_) => self.state.cells.tally_at(word.generation(), Some(self.slot(now))),
            Sampling::Count(size) => self.state.cells.tally_last(word.generation(), size),
        }
    }

    #[inline]
    fn slot(self, now: Nanos) -> u64 {
        let (elapsed, span) = (self.state.elapsed(now).get(), self.config.cell_span);
        // Most calls end in the slot of the last one, which a product tells sooner than a quotient.
        let last = self.state.cells.last_slot();
        match last.checked_mul(span).and_then(|begin| elapsed.checked_sub(begin)) {
            Some(past) if past < span => last,
            _ => elapsed / span,
        }
    }

    /// Says once a generation that a threshold was passed where nothing trips.
    fn exceed(self, word: Word, now: Nanos) -> Option<Change> {
        (word.deadline() == 0 && self.state.swap(word, word.with_deadline(1))).then_some(Change {
            from: CircuitState::MetricsOnly,
            to: CircuitState::MetricsOnly,
            at: now,
            trip: None,
        })
    }

    fn judge(self, word: Word, now: Nanos) -> Option<Change> {
        // Of two probes that come back at once, the one whose fence comes last sees both.
        fence(Ordering::SeqCst);
        let places = self.config.options.half_open_max_calls;
        let tally = probes::tally(&self.state.cells, word.generation(), places);
        match probes::verdict(self.config, tally)? {
            Verdict::Ill => self.trip(word, now),
            Verdict::Well => self.advance(word, CircuitState::Closed, 0, now),
        }
    }

    /// Opens for the configured break, and hands out the ticket for a better one.
    fn trip(self, word: Word, now: Nanos) -> Option<Change> {
        let consecutive = self.announce(word)?;
        let end = self.state.elapsed(now) + self.config.options.break_duration;
        let change = self.advance(word, CircuitState::Open, micros_up(end), now)?;
        self.state.count_trip();
        let trip = Trip { generation: state::following(word.generation()), at: now, consecutive };
        Some(Change { trip: Some(trip), ..change })
    }

    /// Writes down how many consecutive trips the next generation stands for, before it begins:
    /// whoever trips from the same word writes the same. Gives nothing where the word has moved.
    fn announce(self, word: Word) -> Option<u64> {
        loop {
            // Acquire: who wrote this count had seen a word; what is read of the word next is no
            // older than that one, so a late writer finds out that it is late.
            let seen = self.state.trips();
            if self.state.word() != word {
                return None;
            }
            let next = snapshot::next_trip(word, seen);
            if self.state.swap_trips(seen, next) {
                return Some(next.consecutive());
            }
        }
    }

    /// Begins the half-open generation, whose probes keep their places for a lease.
    fn half_open(self, word: Word, now: Nanos) -> Option<Change> {
        let end = from_micros(word.deadline());
        let broken_for =
            self.state.since(word.generation()).map_or(Nanos::ZERO, |since| end - since);
        let lease = micros_up(self.config.lease_after(broken_for));
        self.advance(word, CircuitState::HalfOpen, lease, now)
    }

    fn advance(self, word: Word, to: CircuitState, deadline: u64, now: Nanos) -> Option<Change> {
        let next = Word::new(to, state::following(word.generation()), deadline);
        if !self.state.swap(word, next) {
            return None;
        }
        // Half-open begins with the end of the break, not with the first call after it.
        let began = match to {
            CircuitState::HalfOpen => from_micros(word.deadline()),
            _ => self.state.elapsed(now),
        };
        self.state.began(next.generation(), began);
        self.state.cells.scrub(next.generation());
        Some(Change { from: word.state(), to, at: now, trip: None })
    }

    /// Gives the break of a trip its true length, counted from the trip; a trip that is over
    /// already stays so.
    pub fn set_break(self, trip: Trip, duration: Nanos) {
        let end = micros_up(self.state.elapsed(trip.at) + duration);
        loop {
            let word = self.state.word();
            let is_over =
                word.state() != CircuitState::Open || word.generation() != trip.generation;
            if is_over || self.state.swap(word, word.with_deadline(end)) {
                return;
            }
        }
    }

    /// Brings the breaker into `to` by hand: closed, isolated, metrics-only or disabled.
    ///
    /// Gives nothing where it is in that state already; closing a closed breaker forgets its window
    /// all the same. Open and half-open come by themselves and are left alone here.
    #[must_use = "a change is for whoever listens"]
    pub fn force(self, to: CircuitState, now: Nanos) -> Option<Change> {
        if matches!(to, CircuitState::Open | CircuitState::HalfOpen) {
            return None;
        }
        loop {
            let word = self.state.word();
            let same = word.state() == to;
            if same && to != CircuitState::Closed {
                return None;
            }
            if let Some(change) = self.advance(word, to, 0, now) {
                return (!same).then_some(change);
            }
        }
    }
}
