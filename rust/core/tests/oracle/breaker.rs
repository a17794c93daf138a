//! A circuit breaker that is slow and obvious: lists, one case after the other, no cleverness.

use sluicegate_core::Nanos;
use sluicegate_core::breaker::{BreakerOptions, CircuitState, Outcome, Sampling};

const NEVER_MICROS: u64 = (1 << 48) - 1;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    slot: u64,
    failed: bool,
    slow: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Free,
    Leased { holder: u64, until: u64 },
    Settled { failed: bool, slow: bool },
}

/// A permit: who holds it, and under what circumstances it was given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticket {
    holder: u64,
    generation: u64,
    entered: u64,
    untracked: bool,
    probe: bool,
}

/// What is compared with the real one after every step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) trips: u64,
    pub(crate) successes: u64,
    pub(crate) failures: u64,
    pub(crate) slow: u64,
    pub(crate) ignored: u64,
    pub(crate) rejected: u64,
}

pub(crate) struct Oracle {
    options: BreakerOptions,
    state: CircuitState,
    generation: u64,
    since: u64,
    /// The end of the break, in microseconds.
    until: u64,
    /// The length of a lease, in microseconds.
    lease: u64,
    window: Vec<Call>,
    row: u64,
    exceeded: bool,
    places: Vec<Place>,
    /// The figures that tripped it.
    frozen: (u64, u64, u64),
    pub(crate) consecutive: u64,
    pub(crate) totals: Totals,
    holders: u64,
}

fn micros_up(nanos: u64) -> u64 {
    nanos.div_ceil(1_000).min(NEVER_MICROS)
}

impl Oracle {
    pub(crate) fn new(options: BreakerOptions) -> Self {
        Self {
            options,
            state: CircuitState::Closed,
            generation: 0,
            since: 0,
            until: 0,
            lease: 0,
            window: Vec::new(),
            row: 0,
            exceeded: false,
            places: Vec::new(),
            frozen: (0, 0, 0),
            consecutive: 0,
            totals: Totals::default(),
            holders: 0,
        }
    }

    pub(crate) fn state(&self, now: u64) -> CircuitState {
        if self.is_over(now) { CircuitState::HalfOpen } else { self.state }
    }

    fn is_over(&self, now: u64) -> bool {
        self.state == CircuitState::Open && now >= self.until * 1_000
    }

    pub(crate) fn time_in_state(&self, now: u64) -> u64 {
        let since = if self.is_over(now) { self.until * 1_000 } else { self.since };
        now.saturating_sub(since)
    }

    pub(crate) fn retry_after(&self, now: u64) -> Option<u64> {
        match self.state {
            CircuitState::Open => Some((self.until * 1_000).saturating_sub(now)),
            CircuitState::HalfOpen => Some(
                self.places
                    .iter()
                    .filter_map(|place| match place {
                        Place::Free => Some(0),
                        Place::Leased { until, .. } => Some((until * 1_000).saturating_sub(now)),
                        Place::Settled { .. } => None,
                    })
                    .min()
                    .unwrap_or(0),
            ),
            _ => None,
        }
    }

    /// Throughput, failures and slow calls.
    pub(crate) fn figures(&self, now: u64) -> (u64, u64, u64) {
        match self.state {
            CircuitState::Closed | CircuitState::MetricsOnly => self.tally(now),
            CircuitState::HalfOpen => self.results(),
            CircuitState::Open => self.frozen,
            _ => (0, 0, 0),
        }
    }

    fn slot(&self, now: u64) -> u64 {
        match self.options.sampling {
            Sampling::Time(span) => now / (span.get() / 64).max(1),
            Sampling::Count(_) => 0,
        }
    }

    fn tally(&self, now: u64) -> (u64, u64, u64) {
        let latest = self.window.last().map_or(0, |call| call.slot).max(self.slot(now));
        let calls: Vec<&Call> = match self.options.sampling {
            Sampling::Time(_) => {
                self.window.iter().filter(|call| call.slot + 64 > latest).collect()
            }
            Sampling::Count(size) => self.window.iter().rev().take(usize::from(size)).collect(),
        };
        let count = |wanted: fn(&Call) -> bool| calls.iter().filter(|call| wanted(call)).count();
        (calls.len() as u64, count(|call| call.failed) as u64, count(|call| call.slow) as u64)
    }

    fn results(&self) -> (u64, u64, u64) {
        let mut results = (0, 0, 0);
        for place in &self.places {
            if let Place::Settled { failed, slow } = *place {
                results.0 += 1;
                results.1 += u64::from(failed);
                results.2 += u64::from(slow);
            }
        }
        results
    }

    fn turn(&mut self, to: CircuitState, since: u64) {
        self.state = to;
        self.generation += 1;
        self.since = since;
        self.window.clear();
        self.row = 0;
        self.exceeded = false;
        self.places.clear();
        if matches!(to, CircuitState::HalfOpen) {
            self.places = vec![Place::Free; usize::from(self.options.half_open_max_calls)];
        }
        if !matches!(to, CircuitState::HalfOpen | CircuitState::Open) {
            self.consecutive = 0;
        }
    }

    /// Gives a ticket or the time to wait, and whether the state changed.
    pub(crate) fn enter(&mut self, now: u64) -> (Result<Ticket, Option<u64>>, bool) {
        let mut changed = false;
        if self.is_over(now) {
            let broken = self.until * 1_000 - self.since.min(self.until * 1_000);
            let longest = broken.max(30_000_000_000);
            let lease = self.options.probe_timeout.map_or(longest, Nanos::get);
            self.lease = micros_up(lease).max(1);
            self.turn(CircuitState::HalfOpen, self.until * 1_000);
            changed = true;
        }
        self.holders += 1;
        let mut ticket = Ticket {
            holder: self.holders,
            generation: self.generation,
            entered: now,
            untracked: self.state == CircuitState::Disabled,
            probe: false,
        };
        let admitted = match self.state {
            CircuitState::Open | CircuitState::Isolated => false,
            CircuitState::HalfOpen => {
                ticket.probe = true;
                let until = micros_up(now + self.lease * 1_000);
                let is_free = |place: &Place| *place == Place::Free;
                let is_over = |place: &Place| matches!(place, Place::Leased { until, .. } if now >= *until * 1_000);
                let place = self.places.iter().position(is_free);
                let place = place.or_else(|| self.places.iter().position(is_over));
                if let Some(index) = place {
                    self.places[index] = Place::Leased { holder: ticket.holder, until };
                }
                place.is_some()
            }
            _ => true,
        };
        if admitted {
            return (Ok(ticket), changed);
        }
        self.totals.rejected += 1;
        (Err(self.retry_after(now)), changed)
    }

    /// Settles, and gives the states it changed between.
    pub(crate) fn settle(
        &mut self,
        ticket: Ticket,
        outcome: Outcome,
        now: u64,
    ) -> Option<(CircuitState, CircuitState)> {
        if ticket.untracked {
            return None;
        }
        let place = self.places.iter().position(|place| {
            ticket.probe
                && matches!(place, Place::Leased { holder, .. } if *holder == ticket.holder)
        });
        let failed = match outcome {
            Outcome::Ignored => {
                self.totals.ignored += 1;
                if let Some(index) = place {
                    self.places[index] = Place::Free;
                }
                return None;
            }
            Outcome::Success => false,
            Outcome::Failure => true,
        };
        let limit = self.options.slow_call_duration.map(Nanos::get);
        let slow = limit.is_some_and(|limit| now.saturating_sub(ticket.entered) > limit);
        self.totals.successes += u64::from(!failed);
        self.totals.failures += u64::from(failed);
        self.totals.slow += u64::from(slow);
        if ticket.generation != self.generation {
            return None;
        }
        let (before, had_exceeded) = (self.state, self.exceeded);
        if ticket.probe {
            self.places[place?] = Place::Settled { failed, slow };
            self.judge(now);
        } else {
            self.record(now, failed, slow);
        }
        let changed = self.state != before || self.exceeded != had_exceeded;
        changed.then_some((before, self.state))
    }

    fn record(&mut self, now: u64, failed: bool, slow: bool) {
        let last = self.window.last().map_or(0, |call| call.slot);
        self.window.push(Call { slot: self.slot(now).max(last), failed, slow });
        self.row = if failed { self.row + 1 } else { 0 };
        if !failed && !slow {
            return;
        }
        let tally = self.tally(now);
        let in_a_row = self.options.consecutive_failures.is_some_and(|limit| self.row >= limit);
        let enough = tally.0 >= self.options.min_throughput;
        let ratio = self.options.failure_ratio.is_reached(tally.1, tally.0)
            || self.options.slow_call_ratio.is_reached(tally.2, tally.0);
        if in_a_row || (enough && ratio) {
            if self.state == CircuitState::Closed {
                self.trip(now, tally);
            } else {
                self.exceeded = true;
            }
        }
    }

    fn judge(&mut self, now: u64) {
        let results = self.results();
        let all = self.places.len() as u64;
        let rest = all - results.0;
        let is_ill = |failures, slow| {
            self.options.failure_ratio.is_reached(failures, all)
                || self.options.slow_call_ratio.is_reached(slow, all)
        };
        let may_be_slow = self.options.slow_call_duration.is_some();
        if is_ill(results.1, results.2) {
            self.trip(now, results);
        } else if !is_ill(results.1 + rest, if may_be_slow { results.2 + rest } else { 0 }) {
            self.turn(CircuitState::Closed, now);
        }
    }

    fn trip(&mut self, now: u64, figures: (u64, u64, u64)) {
        self.frozen = figures;
        self.turn(CircuitState::Open, now);
        self.until = micros_up(now + self.options.break_duration.get());
        self.consecutive += 1;
        self.totals.trips += 1;
    }

    /// Gives the break its true length, where the trip of `generation` still holds.
    pub(crate) fn set_break(&mut self, generation: u64, tripped_at: u64, duration: u64) {
        if self.state == CircuitState::Open && self.generation == generation {
            self.until = micros_up(tripped_at + duration);
        }
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    pub(crate) fn force(&mut self, to: CircuitState, now: u64) -> bool {
        let before = self.state;
        if to != before || to == CircuitState::Closed {
            self.turn(to, now);
        }
        to != before
    }
}
