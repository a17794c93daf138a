//! What a breaker is told: its thresholds, its window, its breaks and its probes.

use crate::nanos::Nanos;

use super::cells::SHORT;
use super::window::{MAX_SAMPLES, SAMPLES_PER_CELL, TIME_CELLS};

/// The most probes a half-open breaker can have out: each has a cell of its own.
pub const MAX_PROBES: u8 = 64;

/// The shortest lease of a probe whose timeout nobody chose.
const LEAST_LEASE: Nanos = Nanos::from_secs(30);

/// A microsecond: with it, the slots of a time window last 71 years.
const LEAST_CELL_SPAN: u64 = 1_000;

/// A threshold from 0 to 1, kept as a fraction so that it is compared exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ratio {
    part: u64,
    whole: u64,
}

impl Ratio {
    /// Takes `part / whole`, or nothing where that is no number from 0 to 1.
    #[must_use]
    pub const fn new(part: u64, whole: u64) -> Option<Self> {
        if whole == 0 || part > whole { None } else { Some(Self { part, whole }) }
    }

    /// Gives the two numbers it is the ratio of, the second never 0.
    #[must_use]
    pub const fn parts(self) -> (u64, u64) {
        (self.part, self.whole)
    }

    /// Tells whether `part` of `whole` reaches the threshold; none of it never does.
    #[must_use]
    pub fn is_reached(self, part: u64, whole: u64) -> bool {
        // Products of two u64 fit u128.
        let (share, threshold) =
            (u128::from(part) * u128::from(self.whole), u128::from(self.part) * u128::from(whole));
        part > 0 && share >= threshold
    }
}

/// Which completed calls the ratios are taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampling {
    /// Those of the last so many nanoseconds, in 64 steps of a microsecond or longer.
    Time(Nanos),
    /// The last so many, up to 2,048.
    Count(u16),
}

/// The options of a breaker, as plain values; [`BreakerConfig::new`] checks them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerOptions {
    /// The share of failures that trips.
    pub failure_ratio: Ratio,
    /// The completed calls below which no ratio trips; 0 counts as 1.
    pub min_throughput: u64,
    /// The calls the ratios are taken over.
    pub sampling: Sampling,
    /// The failures in a row that trip whatever the throughput.
    pub consecutive_failures: Option<u64>,
    /// The duration beyond which a call is slow.
    pub slow_call_duration: Option<Nanos>,
    /// The share of slow calls that trips.
    pub slow_call_ratio: Ratio,
    /// How long a break lasts, or holds until [`super::Breaker::set_break`] tells better.
    pub break_duration: Nanos,
    /// The most probes at once, and the number of results a verdict is taken over.
    pub half_open_max_calls: u8,
    /// How long a probe keeps its place; by default the longer of the break and 30 s.
    pub probe_timeout: Option<Nanos>,
}

/// The field of [`BreakerOptions`] that makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidOption(pub &'static str);

/// Checked options, with what every decision needs computed beforehand.
#[derive(Clone, Copy, Debug)]
pub struct BreakerConfig {
    pub(super) options: BreakerOptions,
    /// The span of one cell of a time window; 1 where the window counts.
    pub(super) cell_span: u64,
}

impl BreakerConfig {
    /// Checks `options`.
    ///
    /// # Errors
    /// Names the first field that makes no sense: a window without extent or of more than 2,048
    /// samples, a minimum throughput that a count window can never hold, no probe or more than 64,
    /// a trip at no failure at all, a lease of no length.
    pub fn new(options: BreakerOptions) -> Result<Self, InvalidOption> {
        let cell_span = match options.sampling {
            Sampling::Time(Nanos::ZERO) => return Err(InvalidOption("sampling_duration")),
            // Rounded down, so that a result is gone once it is as old as the window.
            Sampling::Time(span) => (span.get() / TIME_CELLS).max(LEAST_CELL_SPAN),
            Sampling::Count(count) if count == 0 || count > MAX_SAMPLES => {
                return Err(InvalidOption("sampling_count"));
            }
            Sampling::Count(count) if options.min_throughput > u64::from(count) => {
                return Err(InvalidOption("min_throughput"));
            }
            Sampling::Count(_) => 1,
        };
        if !(1..=MAX_PROBES).contains(&options.half_open_max_calls) {
            return Err(InvalidOption("half_open_max_calls"));
        }
        if options.consecutive_failures == Some(0) {
            return Err(InvalidOption("consecutive_failures"));
        }
        if options.probe_timeout == Some(Nanos::ZERO) {
            return Err(InvalidOption("probe_timeout"));
        }
        Ok(Self { options, cell_span })
    }

    /// The options it was built from.
    #[must_use]
    pub const fn options(&self) -> &BreakerOptions {
        &self.options
    }

    /// Tells whether a [`ShortBreakerState`](super::ShortBreakerState) has cells enough.
    #[must_use]
    pub fn is_short(&self) -> bool {
        match self.options.sampling {
            Sampling::Time(_) => true,
            Sampling::Count(size) => u64::from(size) <= SHORT as u64 * SAMPLES_PER_CELL,
        }
    }

    /// Tells whether a time that lags by `lag` is good enough to record a success: where it only
    /// has to find its cell, an eighth of which the lag does not pass.
    pub(super) fn tolerates(&self, lag: Nanos) -> bool {
        let finds_its_cell = match self.options.sampling {
            Sampling::Time(_) => lag.get() <= self.cell_span / 8,
            Sampling::Count(_) => true,
        };
        finds_its_cell && self.options.slow_call_duration.is_none()
    }

    /// Tells whether a call of this duration was slow.
    pub(super) fn is_slow(&self, duration: Nanos) -> bool {
        self.options.slow_call_duration.is_some_and(|limit| duration > limit)
    }

    /// Gives the lease of a probe after a break that lasted so long.
    pub(super) fn lease_after(&self, broken_for: Nanos) -> Nanos {
        self.options.probe_timeout.unwrap_or_else(|| broken_for.max(LEAST_LEASE))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_compared_exactly() {
        let third = Ratio::new(3_333_333_333_333_333, 10_000_000_000_000_000).unwrap();
        assert!(third.is_reached(1, 3), "a third lies above 0.3333333333333333");
        let above = Ratio::new(3_333_333_333_333_334, 10_000_000_000_000_000).unwrap();
        assert!(!above.is_reached(1, 3));
        assert!(above.is_reached(u64::MAX, u64::MAX));
    }

    #[test]
    fn a_ratio_of_zero_needs_one() {
        let zero = Ratio::new(0, 1).unwrap();
        assert!(!zero.is_reached(0, 10));
        assert!(zero.is_reached(1, 10));
    }

    #[test]
    fn a_ratio_lies_between_zero_and_one() {
        assert_eq!(Ratio::new(2, 1), None);
        assert_eq!(Ratio::new(0, 0), None);
    }
}
