//! A rate as an exact fraction, and the line that turns time into units by it.

use crate::nanos::Nanos;

/// Permits per nanosecond, as a reduced fraction of two 64-bit integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    permits: u64,
    nanos: u64,
}

impl Rate {
    /// No permits, ever.
    pub const ZERO: Self = Self { permits: 0, nanos: 1 };

    /// Takes `permits` per `nanos` nanoseconds; `None` where `nanos` is 0 or the rate is beyond
    /// 64 bits a nanosecond.
    ///
    /// A fraction whose reduced parts do not fit 64 bits becomes the best one from below: over the
    /// whole range of the clock it grants less than a unit fewer.
    #[must_use]
    pub fn new(permits: u128, nanos: u128) -> Option<Self> {
        if nanos == 0 || permits / nanos > u128::from(u64::MAX) {
            return None;
        }
        let (permits, nanos) = reduced_from_below(permits, nanos);
        Some(Self { permits, nanos })
    }

    /// Takes `permits` per `period`; `None` where the period is zero.
    #[must_use]
    pub fn per(permits: u64, period: Nanos) -> Option<Self> {
        Self::new(u128::from(permits), u128::from(period.get()))
    }

    /// Tells whether nothing is ever granted by it.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.permits == 0
    }

    /// The nanoseconds in which a permit comes, where they are a whole number.
    pub(crate) fn whole_nanos(self) -> Option<u64> {
        (self.permits == 1).then_some(self.nanos)
    }

    /// The least shift by which a permit is worth at least a unit a nanosecond, so that a unit is
    /// a nanosecond at most; 64 and more for a rate below a permit in 584 years.
    pub(crate) fn finest_shift(self) -> u32 {
        let (permits, nanos) = (u128::from(self.permits), u128::from(self.nanos));
        (0..64).find(|shift| permits << shift >= nanos).unwrap_or(64)
    }

    /// The slope of units over nanoseconds where a permit is so many units.
    pub(crate) fn slope(self, unit: u64) -> Slope {
        // Both below 2^64: the product stays below 2^128.
        let units = u128::from(self.permits) * u128::from(unit);
        let (rise, run) = reduced_from_below(units, self.nanos.into());
        Slope::new(rise, run)
    }
}

/// `numerator / denominator` in lowest terms if both parts fit 64 bits, else the largest fraction
/// below it that does: the last even convergent or semiconvergent of its continued fraction.
///
/// A quotient beyond 64 bits gives `u64::MAX`.
fn reduced_from_below(numerator: u128, denominator: u128) -> (u64, u64) {
    const LIMIT: u128 = u64::MAX as u128;
    let (mut over, mut under) = (numerator, denominator);
    // The convergents before the last and the last: 0/1 and 1/0 start the recurrence.
    let (mut before, mut last) = ((0_u128, 1_u128), (1_u128, 0_u128));
    let mut below = true;
    while under != 0 {
        let quotient = over / under;
        let room = |before: u128, last: u128| (LIMIT - before).checked_div(last);
        let fits = [room(before.0, last.0), room(before.1, last.1)].into_iter().flatten().min();
        let steps = fits.map_or(quotient, |fits| fits.min(quotient));
        if steps < quotient && !below {
            break;
        }
        // Both products stay within LIMIT because steps is at most what fits. One that is cut
        // short leaves no room for another.
        (before, last) = (last, (steps * last.0 + before.0, steps * last.1 + before.1));
        below = !below;
        (over, under) = (under, over % under);
    }
    let narrow = |part: u128| u64::try_from(part).unwrap_or(u64::MAX);
    (narrow(last.0), narrow(last.1))
}

/// Units per nanosecond: `rise / run`, with its reciprocal worked out beforehand.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slope {
    pub(crate) rise: u64,
    pub(crate) run: u64,
    pub(crate) whole: u64,
    /// The fraction of `rise / run` in 2^-128, rounded up: its upper and lower half.
    pub(crate) fraction: [u64; 2],
}

impl Slope {
    fn new(rise: u64, run: u64) -> Self {
        let (wide, divisor) = (|part: u64| u128::from(part) << 64, u128::from(run));
        let upper = wide(rise % run) / divisor;
        let rest = wide(rise % run) % divisor;
        // The remainder is below the divisor, so both digits are below 2^64.
        let lower = (rest << 64) / divisor;
        let fraction = (upper << 64 | lower) + u128::from((rest << 64) % divisor != 0);
        Self { rise, run, whole: rise / run, fraction: [high(fraction), low(fraction)] }
    }

    /// ⌊`nanos` · rise / run⌋, exactly: the error of the reciprocal, below 2^-128, times 2^64
    /// nanoseconds stays below 1 / run, the least distance to the next integer from below.
    ///
    /// Costs nothing where a unit is a nanosecond, as of most rates, and else three multiplications,
    /// 2 ns against 5 of a division.
    #[inline]
    pub(crate) fn climb(&self, nanos: u64) -> u64 {
        if self.rise == self.run { nanos } else { self.climb_by_parts(nanos) }
    }

    #[inline]
    fn climb_by_parts(&self, nanos: u64) -> u64 {
        let nanos = u128::from(nanos);
        let [upper, lower] = self.fraction.map(u128::from);
        // (2^64 - 1)^2 + 2^64 - 1 < 2^128, and the same again below.
        let fraction = (nanos * upper + ((nanos * lower) >> 64)) >> 64;
        u64::try_from(nanos * u128::from(self.whole) + fraction).unwrap_or(u64::MAX)
    }

    /// ⌈`nanos` · rise / run⌉, by division: for what is off the way of decisions.
    pub(crate) fn climb_up(&self, nanos: u64) -> u64 {
        let product = u128::from(nanos) * u128::from(self.rise);
        u64::try_from(product.div_ceil(self.run.into())).unwrap_or(u64::MAX)
    }

    /// The most nanoseconds in which it climbs by no more than `units`, or `None` for any number.
    pub(crate) fn time_within(&self, units: u64) -> Option<u64> {
        let nanos = u128::from(units) * u128::from(self.run);
        u64::try_from(nanos.checked_div(self.rise.into())?).ok()
    }

    /// The least number of nanoseconds in which it climbs by `units`, or `None` for never.
    #[inline]
    pub(crate) fn time_to_climb(&self, units: u64) -> Option<u64> {
        if self.rise == self.run { Some(units) } else { self.time_by_parts(units) }
    }

    fn time_by_parts(&self, units: u64) -> Option<u64> {
        if units == 0 {
            return Some(0);
        }
        let nanos = (u128::from(units) * u128::from(self.run)).checked_sub(1)?;
        let nanos = nanos.checked_div(self.rise.into())? + 1;
        u64::try_from(nanos).ok()
    }
}

const fn high(wide: u128) -> u64 {
    (wide >> 64) as u64
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half is what is asked for")]
const fn low(wide: u128) -> u64 {
    wide as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_fraction_that_fits_is_kept_in_lowest_terms() {
        assert_eq!(reduced_from_below(6, 4), (3, 2));
        assert_eq!(reduced_from_below(0, 7), (0, 1));
        assert_eq!(reduced_from_below(u64::MAX.into(), 1), (u64::MAX, 1));
        assert_eq!(reduced_from_below(1, u64::MAX.into()), (1, u64::MAX));
    }

    /// Fractions whose parts do not fit 64 bits, each with the largest one below it that does, by
    /// bisection in the Stern-Brocot tree.
    const BEST: [(u128, u128, u64, u64); 13] = [
        (1, 18_446_744_073_709_551_616, 0, 1),
        (3, 73_786_976_294_838_206_465, 0, 1),
        (
            1_267_650_600_228_229_401_496_703_205_383,
            2_535_301_200_456_458_802_993_406_410_751,
            1,
            2,
        ),
        (
            100_000_000_000_000_000_000_000_000_000_000_000_000,
            30_000_000_000_000_000_000_000_000_000_000_000_001,
            18_446_744_073_709_551_613,
            5_534_023_222_112_865_484,
        ),
        (18_446_744_073_709_551_617, 18_446_744_073_709_551_616, 1, 1),
        (
            355_000_000_000_000_000_000_000_000_000_001,
            113_000_000_000_000_000_000_000_000_000_000,
            355,
            113,
        ),
        (
            6_999_999_999_999_999_999_999_999_999_999,
            11_000_000_000_000_000_000_000_000_000_000,
            11_738_837_137_815_169_205,
            18_446_744_073_709_551_608,
        ),
        (
            157_674_360_855_259_575_177_362,
            146_712_463_888_304_485_751_806_965,
            3_366_299_553_619_453,
            3_132_266_393_969_879_965,
        ),
        (
            523_349_513_606_418_109_833_961_191_677,
            5_856_946_925_789_371_308_479_160_148_656_676_777,
            1_570_025_417_441,
            17_570_581_997_345_090_132,
        ),
        (
            433_498_405_393_566_474_314_791,
            21_773_133_789_809_707_231_156_716_469,
            346_114_008_938_611,
            17_384_116_133_728_254_227,
        ),
        (
            34_108_599_734_682_588_628_887_706_754,
            2_870_956_443_624_135_409_030,
            17_956_663_626_847_240_961,
            1_511_431_121_374,
        ),
        (
            985_292_710_320_438_087_821_715_584_562_990_516,
            14_337_449_376_440_491_864,
            11_270_345_251_092_961_977,
            164,
        ),
        (
            22_338_223_032_560_506_331_282,
            14_389_871_456_448_143_519,
            15_069_191_631_824_046_078,
            9_707_295_437_889_469,
        ),
    ];

    #[test]
    fn a_fraction_that_does_not_fit_is_the_largest_below_it_that_does() {
        for (numerator, denominator, over, under) in BEST {
            assert_eq!(reduced_from_below(numerator, denominator), (over, under));
        }
    }

    #[test]
    fn a_rate_below_a_permit_in_584_years_is_none() {
        assert!(Rate::new(1, 1 << 64).is_some_and(Rate::is_zero));
    }

    #[test]
    fn a_rate_without_time_or_beyond_the_range_is_refused() {
        assert_eq!(Rate::new(1, 0), None);
        assert_eq!(Rate::new(1 << 64, 1), None);
    }

    /// Compares `a / b` with `c / d` by their continued fractions: exact at any size.
    fn compare(mut a: u128, mut b: u128, mut c: u128, mut d: u128) -> std::cmp::Ordering {
        loop {
            let order = (a / b).cmp(&(c / d));
            if order.is_ne() {
                return order;
            }
            match (a % b, c % d) {
                (0, 0) => return std::cmp::Ordering::Equal,
                (0, _) => return std::cmp::Ordering::Less,
                (_, 0) => return std::cmp::Ordering::Greater,
                (left, right) => (a, b, c, d) = (d, right, b, left),
            }
        }
    }

    proptest! {
        #[test]
        fn a_fraction_is_never_rounded_up(over in 0..1_u128 << 120, under in 1_u128..1 << 126) {
            prop_assume!(over / under < 1 << 60);
            let (permits, nanos) = reduced_from_below(over, under);
            prop_assert!(compare(permits.into(), nanos.into(), over, under).is_le());
        }

        #[test]
        fn climbing_is_a_floored_product(rise in any::<u64>(), run in 1_u64.., nanos in any::<u64>()) {
            let slope = Slope::new(rise, run);
            let (product, run) = (u128::from(nanos) * u128::from(rise), u128::from(run));
            prop_assert_eq!(slope.climb(nanos), u64::try_from(product / run).unwrap_or(u64::MAX));
        }

        #[test]
        fn a_unit_a_nanosecond_takes_as_many_of_both(step in 1_u64.., units in any::<u64>()) {
            let slope = Slope::new(step, step);
            prop_assert_eq!((slope.climb(units), slope.time_to_climb(units)), (units, Some(units)));
            prop_assert_eq!((slope.climb_by_parts(units), slope.time_by_parts(units)), (units, Some(units)));
        }

        #[test]
        fn the_time_to_climb_is_the_least(rise in 1_u64.., run in 1_u64.., units in 1_u64..) {
            let slope = Slope::new(rise, run);
            if let Some(nanos) = slope.time_to_climb(units) {
                prop_assert!(slope.climb(nanos) >= units);
                prop_assert!(nanos == 0 || slope.climb(nanos - 1) < units);
            }
        }
    }
}
