//! A validated rate and burst, in token units.

use crate::error::ConfigError;
use crate::nanos::Nanos;
use crate::rate::{Rate, Slope};

/// The largest burst in units: a word holds the present, a burst and as much debt again.
const CAPACITY_LIMIT: u64 = 1 << 62;

/// The largest unit and its shift; no permit is worth more than half a capacity.
const SHIFT_LIMIT: u32 = 61;
const UNIT_LIMIT: u64 = 1 << SHIFT_LIMIT;

/// The steepest slope in units a nanosecond; the word's range is then 73 years.
const SLOPE_LIMIT: u64 = 8;

/// How many permits an unlimited quota has, the largest integer that every peer reads alike.
const UNLIMITED: u64 = i64::MAX as u64;

/// At most `burst` permits at once and a rate of them after that, or no limit at all.
///
/// Inside, a permit is a number of units. Where it comes in a whole number of nanoseconds, a unit is a
/// nanosecond; else it is 2^f units, with the least f by which a unit passes in a nanosecond or less,
/// and a burst that would leave the word's range takes a coarser f. The count of units is exact for
/// any rate: a permit costs a whole number of them, and the present is ⌊ns · rate · unit⌋.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    rate: Option<Rate>,
    burst: u64,
    /// A permit in units.
    unit: u64,
}

impl Quota {
    /// Takes a rate, zero included, and a burst.
    ///
    /// # Errors
    /// [`ConfigError`] on `rate` above 4 permits a nanosecond, and on `burst` above 2^62.
    pub fn new(rate: Rate, burst: u64) -> Result<Self, ConfigError> {
        let room = CAPACITY_LIMIT / burst.max(1);
        let Some(room_shift) = room.checked_ilog2() else {
            let reason = format!("must be at most 2^62 permits at once, not {burst}");
            return Err(ConfigError::new("burst", reason));
        };
        let whole = rate.whole_nanos().filter(|nanos| *nanos <= room.min(UNIT_LIMIT));
        let power = || 1 << rate.finest_shift().min(SHIFT_LIMIT).min(room_shift);
        let quota = Self { rate: Some(rate), burst, unit: whole.unwrap_or_else(power) };
        if quota.slope().whole >= SLOPE_LIMIT / 2 {
            let reason = "must be at most 4,000,000,000 permits a second, or infinite for no limit";
            return Err(ConfigError::new("rate", reason));
        }
        Ok(quota)
    }

    /// No limit, whatever is asked for.
    #[must_use]
    pub const fn unlimited() -> Self {
        Self { rate: None, burst: UNLIMITED, unit: 0 }
    }

    /// The most permits at once.
    #[must_use]
    pub const fn burst(&self) -> u64 {
        self.burst
    }

    /// The same quota where a permit is so many units, where that loses nothing: the unit is no
    /// longer than a nanosecond, or than its own, and the burst stays within the word.
    pub(crate) fn in_unit(&self, unit: u64) -> Option<Self> {
        self.in_unit_up_to(1, unit)
    }

    /// The same quota where a permit is so many units, where the word serves it: no unit is longer
    /// than 1,024 nanoseconds, or of its own, by which a permit may then come early.
    pub(crate) fn near_unit(&self, unit: u64) -> Option<Self> {
        self.in_unit_up_to(1_024, unit)
    }

    fn in_unit_up_to(&self, longest: u64, unit: u64) -> Option<Self> {
        let moved = Self { unit, ..*self };
        let slope = moved.slope();
        let [rise, moved_unit] =
            [slope.rise, unit].map(|part| u128::from(part) * u128::from(longest));
        let is_fine = rise >= slope.run.into() || moved_unit >= self.unit.into();
        let room = CAPACITY_LIMIT.checked_div(unit).unwrap_or(0);
        let is_within = self.rate.is_some() && self.burst <= room && slope.whole < SLOPE_LIMIT;
        (is_fine && is_within).then_some(moved)
    }

    fn slope(&self) -> Slope {
        self.rate.unwrap_or(Rate::ZERO).slope(self.unit)
    }

    /// What decisions need of it, on a line that is at `units` when the clock is at `since`.
    pub(crate) fn terms(&self, since: Nanos, units: u64) -> Terms {
        let unit = self.unit;
        // Validated: burst · unit ≤ 2^62.
        let capacity = self.burst.wrapping_mul(unit);
        Terms { slope: self.slope(), since, origin: units, unit, burst: self.burst, capacity }
    }
}

/// A quota as decisions read it: the line from nanoseconds to units, and the worth of a permit.
///
/// The unlimited quota has a unit of zero, so that no charge moves a word.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) slope: Slope,
    pub(crate) since: Nanos,
    pub(crate) origin: u64,
    pub(crate) unit: u64,
    pub(crate) burst: u64,
    /// The burst in units.
    pub(crate) capacity: u64,
}

impl Terms {
    /// The units that `now` is at: origin + ⌊(now - since) · slope⌋, also before `since`.
    #[inline]
    pub(crate) fn units(&self, now: Nanos) -> u64 {
        match now.get().checked_sub(self.since.get()) {
            Some(passed) => self.origin.saturating_add(self.slope.climb(passed)),
            None => self.units_before(self.since - now),
        }
    }

    /// The units at `back` before the line began: there the floor turns into a ceiling.
    #[cold]
    #[inline(never)]
    fn units_before(&self, back: Nanos) -> u64 {
        self.origin.saturating_sub(self.slope.climb_up(back.get()))
    }

    /// The first instant at which the line is at `units` or above, [`Nanos::MAX`] for never.
    #[inline]
    pub(crate) fn instant(&self, units: u64) -> Nanos {
        if units >= self.origin {
            let climb = self.slope.time_to_climb(units - self.origin);
            return climb.map_or(Nanos::MAX, |nanos| self.since + Nanos::new(nanos));
        }
        let back = self.slope.time_within(self.origin - units);
        back.map_or(Nanos::ZERO, |nanos| self.since - Nanos::new(nanos))
    }

    /// How long it is from `now` until the line is at `units`, [`Nanos::MAX`] for ever.
    #[inline]
    pub(crate) fn until(&self, units: u64, now: Nanos) -> Nanos {
        match self.instant(units) {
            Nanos::MAX => Nanos::MAX,
            instant => instant - now,
        }
    }

    /// The cost of `count` permits in units; `None` where it can never be granted.
    #[inline]
    pub(crate) fn cost(&self, count: u64) -> Option<u64> {
        if count <= self.burst || self.unit == 0 { Some(self.units_of(count)) } else { None }
    }

    /// The cost of `count` permits in units, which are no more than the burst.
    #[inline]
    pub(crate) fn units_of(&self, count: u64) -> u64 {
        // Validated: no more than the capacity, so no more than 2^62.
        count.wrapping_mul(self.unit)
    }

    /// The cost of `count` permits in units, where debt is allowed: at the end of the range it stays.
    pub(crate) fn debt(&self, count: u64) -> u64 {
        count.saturating_mul(self.unit)
    }

    /// The whole permits in `units`, rounded down.
    pub(crate) fn permits(&self, units: u64) -> u64 {
        units.checked_div(self.unit).unwrap_or(UNLIMITED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn quota(permits: u64, period: Nanos, burst: u64) -> Quota {
        Quota::new(Rate::per(permits, period).unwrap(), burst).unwrap()
    }

    #[test]
    fn a_unit_passes_in_a_nanosecond_or_less() {
        let second = Nanos::from_secs(1);
        assert_eq!(quota(3, second, 1).unit, 1 << 29);
        assert_eq!(quota(3_000_000_000, second, 1).unit, 1);
        assert_eq!(quota(600_000_000, second, 1).unit, 2);
    }

    #[test]
    fn a_unit_is_a_nanosecond_where_a_permit_takes_a_whole_number_of_them() {
        let second = Nanos::from_secs(1);
        for permits in [1, 8, 100, 1_000_000_000] {
            let quota = quota(permits, second, 1);
            assert_eq!(quota.unit, 1_000_000_000 / permits);
            assert_eq!(quota.slope().climb(1_234_567), 1_234_567);
        }
        let quota = quota(1, second, CAPACITY_LIMIT / 1_000_000_000);
        assert_eq!(quota.unit, 1_000_000_000);
    }

    #[test]
    fn a_large_burst_takes_a_coarser_unit() {
        assert_eq!(quota(1, Nanos::from_secs(1), 1 << 40).unit, 1 << 22);
        assert_eq!(quota(1, Nanos::from_secs(3_155_760_000), 1).unit, 1 << 61);
    }

    #[test]
    fn a_burst_or_rate_beyond_the_word_names_its_field() {
        let rate = Rate::per(1, Nanos::from_secs(1)).unwrap();
        assert_eq!(Quota::new(rate, (1 << 62) + 1).unwrap_err().field, "burst");
        assert!(Quota::new(rate, 1 << 62).is_ok());
        let rate = Rate::per(4, Nanos::new(1)).unwrap();
        assert_eq!(Quota::new(rate, 1).unwrap_err().field, "rate");
    }

    #[test]
    fn a_unit_fits_that_passes_in_a_nanosecond_or_is_no_coarser_than_the_own() {
        let second = quota(1, Nanos::from_secs(1), 1);
        for (unit, fits) in [(999_999_999, false), (1_000_000_000, true), (7_999_999_999, true)] {
            let expected = fits.then_some(Quota { unit, ..second });
            assert_eq!(second.in_unit(unit), expected);
        }
        // A unit of its own takes 1.4 ns.
        let century = quota(1, Nanos::from_secs(3_155_760_000), 1);
        for (unit, fits) in [((1 << 61) - 1, false), (1 << 61, true), ((1 << 61) + 1, true)] {
            assert_eq!(century.in_unit(unit).is_some(), fits);
        }
    }

    #[test]
    fn a_unit_is_near_that_is_no_longer_than_1_024_nanoseconds_or_of_the_own() {
        let second = quota(1, Nanos::from_secs(1), 1);
        for (unit, is_near) in [(976_562, false), (976_563, true), (7_999_999_999, true)] {
            let expected = is_near.then_some(Quota { unit, ..second });
            assert_eq!(second.near_unit(unit), expected);
        }
        let century = quota(1, Nanos::from_secs(3_155_760_000), 1);
        for (unit, is_near) in [((1 << 51) - 1, false), (1 << 51, true)] {
            assert_eq!(century.near_unit(unit).is_some(), is_near);
        }
    }

    #[test]
    fn no_unit_fits_that_leaves_the_word_or_has_no_limit_to_count() {
        let slow = quota(1, Nanos::new(1 << 58), 16);
        assert!(slow.in_unit(1 << 58).is_some());
        let steep = quota(1, Nanos::from_secs(1), 1);
        for fits in [Quota::in_unit, Quota::near_unit] {
            assert_eq!(fits(&slow, (1 << 58) + 1), None, "the burst leaves the word");
            assert_eq!(fits(&steep, 8_000_000_000), None, "the line climbs too fast");
            assert_eq!(fits(&steep, 0), None, "a permit is worth nothing");
            assert_eq!(fits(&Quota::unlimited(), 1_000_000_000), None);
            assert_eq!(fits(&Quota::unlimited(), 0), None);
        }
    }

    #[test]
    fn a_line_that_began_at_the_end_of_time_reaches_back_to_its_origin() {
        let terms = quota(3_999_999_999, Nanos::from_secs(1), 1).terms(Nanos::MAX, u64::MAX);
        assert_eq!(terms.units(Nanos::ZERO), 0);
    }

    proptest! {
        #[test]
        fn an_instant_is_the_first_at_its_units(
            permits in 1_u64..4_000_000_000,
            period in 1_000_000_000_u64..1 << 50,
            since in 0..1_u64 << 55,
            origin in 0..1_u64 << 60,
            now in 0..1_u64 << 56,
            ahead in 0..1_u64 << 50,
        ) {
            let terms = quota(permits, Nanos::new(period), 1).terms(Nanos::new(since), origin);
            let units = terms.units(Nanos::new(now)).saturating_add(ahead);
            let instant = terms.instant(units);
            if instant < Nanos::MAX {
                prop_assert!(terms.units(instant) >= units);
                let earlier = Nanos::new(instant.get().wrapping_sub(1));
                prop_assert!(instant == Nanos::ZERO || terms.units(earlier) < units);
            }
        }

        #[test]
        fn the_line_is_a_floor_on_both_sides_of_its_beginning(
            permits in 0_u64..4_000_000_000,
            period in 1_000_000_000_u64..1 << 50,
            since in 0..1_u64 << 55,
            now in 0..1_u64 << 56,
        ) {
            let origin = 1_u64 << 60;
            let terms = quota(permits, Nanos::new(period), 1).terms(Nanos::new(since), origin);
            let (rise, run) = (i128::from(terms.slope.rise), i128::from(terms.slope.run));
            let units = i128::from(origin) + ((i128::from(now) - i128::from(since)) * rise).div_euclid(run);
            prop_assert_eq!(i128::from(terms.units(Nanos::new(now))), units.max(0));
        }

        #[test]
        fn the_line_never_falls(permits in 0_u64..1 << 30, since in 0..1_u64 << 40, now in 0..1_u64 << 41) {
            let terms = quota(permits, Nanos::from_secs(1), 1).terms(Nanos::new(since), 1 << 60);
            prop_assert!(terms.units(Nanos::new(now)) <= terms.units(Nanos::new(now + 1)));
        }
    }
}
