//! Instants and spans of time as whole nanoseconds.

use std::ops::{Add, Sub};
use std::time::Duration;

/// A whole number of nanoseconds: an instant on a clock's scale, or a span between two of them.
///
/// Sums and differences saturate, so that a far deadline stays in the future and an instant before
/// another is at distance zero. The range is 584 years.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Nanos(u64);

impl Nanos {
    /// The origin of a clock, or no time at all.
    pub const ZERO: Self = Self(0);
    /// The end of the range; it stands for "never" where a deadline may have none.
    pub const MAX: Self = Self(u64::MAX);

    /// Takes a number of nanoseconds.
    #[must_use]
    pub const fn new(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Takes a number of whole seconds.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1_000_000_000))
    }

    /// Gives the number of nanoseconds.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl Add for Nanos {
    type Output = Self;

    fn add(self, span: Self) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

impl Sub for Nanos {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self(self.0.saturating_sub(earlier.0))
    }
}

impl From<Duration> for Nanos {
    /// Converts, and takes a span beyond the range for [`Nanos::MAX`].
    fn from(span: Duration) -> Self {
        Self(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_and_differences_saturate() {
        assert_eq!(Nanos::MAX + Nanos::new(1), Nanos::MAX);
        assert_eq!(Nanos::new(1) - Nanos::new(2), Nanos::ZERO);
        assert_eq!(Nanos::from_secs(u64::MAX), Nanos::MAX);
        assert_eq!(Nanos::from(Duration::MAX), Nanos::MAX);
    }

    #[test]
    fn a_duration_keeps_its_nanoseconds() {
        assert_eq!(Nanos::from(Duration::new(2, 5)), Nanos::new(2_000_000_005));
    }
}
