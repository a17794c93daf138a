//! The limiter against exact arithmetic: long runs, extreme rates, changes in use.
#![cfg(not(loom))]
#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]

use num_bigint::BigUint;
use proptest::collection::vec;
use proptest::prelude::*;
use sluicegate_core::{Nanos, Quota, Rate, RateLimiter};

const SECOND: u64 = 1_000_000_000;
const DAY: u64 = 86_400 * SECOND;

/// `permits` per `period` nanoseconds.
#[derive(Clone, Copy, Debug)]
struct PerPeriod {
    permits: u64,
    period: u128,
}

impl PerPeriod {
    fn quota(self, burst: u64) -> Quota {
        Quota::new(Rate::new(self.permits.into(), self.period).unwrap(), burst).unwrap()
    }

    /// ⌊rate · span⌋.
    fn earned(self, span: u64) -> u64 {
        let earned = BigUint::from(span) * self.permits / self.period;
        u64::try_from(earned).unwrap()
    }

    /// The first instant by which so many permits are earned, or the end of time.
    fn instant(self, permits: u64) -> u64 {
        let product = BigUint::from(permits) * self.period;
        u64::try_from((product + (self.permits - 1)) / self.permits).unwrap_or(u64::MAX)
    }
}

const RATES: [(&str, PerPeriod); 9] = [
    ("three a second", PerPeriod { permits: 3, period: SECOND as u128 }),
    ("seven in eleven seconds", PerPeriod { permits: 7, period: 11 * SECOND as u128 }),
    ("600 million a second", PerPeriod { permits: 600_000_000, period: SECOND as u128 }),
    ("a billion and one a second", PerPeriod { permits: SECOND + 1, period: SECOND as u128 }),
    ("three billion a second", PerPeriod { permits: 3 * SECOND, period: SECOND as u128 }),
    ("just below four billion", PerPeriod { permits: 4 * SECOND - 1, period: SECOND as u128 }),
    ("one a day", PerPeriod { permits: 1, period: DAY as u128 }),
    ("a thousand a day", PerPeriod { permits: 1_000, period: DAY as u128 }),
    ("1e-10 a second", PerPeriod { permits: 1, period: 10_000_000_000 * SECOND as u128 }),
];

/// Draws all there is as permits become due, and says how many that were.
fn saturate(limiter: &RateLimiter, now: u64, burst: u64) -> u64 {
    let now = Nanos::new(now);
    let mut drawn = 0;
    // Halving the request finds all that is left in few steps.
    let mut count = burst;
    while count > 0 {
        if limiter.try_acquire(&now, count) {
            drawn += count;
        } else {
            count /= 2;
        }
    }
    drawn
}

#[test]
fn a_saturated_limiter_grants_burst_and_rate_exactly_at_any_rate() {
    for (name, rate) in RATES {
        for burst in [8, 50, 1_000_003] {
            let limiter = RateLimiter::new(&[rate.quota(burst)]).unwrap();
            let mut drawn = saturate(&limiter, 0, burst);
            assert_eq!(drawn, burst, "{name}");
            for round in 1..=500 {
                // Just before and at the instant of a permit, and before the bucket is full again (four
                // permits may come in a nanosecond): a
                // full one loses what comes in.
                let due = rate.instant(drawn - burst + 1 + round % (burst - 5));
                if due > 20 * 365 * DAY {
                    break;
                }
                for now in [due - 1, due] {
                    drawn += saturate(&limiter, now, burst);
                    assert_eq!(drawn, burst + rate.earned(now), "{name}, burst {burst}, at {now}");
                }
            }
        }
    }
}

#[test]
fn a_billion_permits_are_counted_to_the_last() {
    for (name, rate) in RATES {
        let burst = 1_000_000_000;
        let limiter = RateLimiter::new(&[rate.quota(burst)]).unwrap();
        assert_eq!(saturate(&limiter, 0, burst), burst, "{name}");
        let due = rate.instant(1);
        assert!(!limiter.try_acquire(&Nanos::new(due - 1), 1), "{name}");
        assert!(limiter.try_acquire(&Nanos::new(due), 1), "{name}");
    }
}

#[test]
fn three_a_second_are_exact_after_a_billion_acquisitions() {
    let (rate, burst) = (PerPeriod { permits: 3, period: SECOND.into() }, 1_000);
    let limiter = RateLimiter::new(&[rate.quota(burst)]).unwrap();
    let mut drawn = saturate(&limiter, 0, burst);
    while drawn < 1_000_000_000 {
        // Half the burst at a time, so that the bucket is never full.
        drawn += burst / 2;
        let now = rate.instant(drawn - burst);
        assert!(!limiter.try_acquire(&Nanos::new(now - 1), burst / 2));
        assert!(limiter.try_acquire(&Nanos::new(now), burst / 2));
    }
}

#[test]
fn a_long_rest_fills_the_bucket_and_no_more() {
    for (name, rate) in RATES {
        let limiter = RateLimiter::new(&[rate.quota(5)]).unwrap();
        saturate(&limiter, 0, 5);
        let now = 100 * 365 * DAY;
        let expected = rate.earned(now).min(5);
        assert_eq!(saturate(&limiter, now, 5), expected, "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_saturated_limiter_grants_burst_and_rate_exactly(
        permits in 1_u64..4_000_000_000,
        period in 1_000_000_000_u64..1 << 45,
        burst in 1_u64..10_000,
        spans in vec(0_u64..1 << 40, 1..40),
    ) {
        let rate = PerPeriod { permits, period: period.into() };
        let limiter = RateLimiter::new(&[rate.quota(burst)]).unwrap();
        let mut drawn = saturate(&limiter, 0, burst);
        let mut now = 0;
        for span in spans {
            // Never until the bucket is full, which loses what comes in.
            now += span.min((rate.instant(drawn) - 1).saturating_sub(now));
            drawn += saturate(&limiter, now, burst);
            prop_assert_eq!(drawn, burst + rate.earned(now));
        }
    }

    #[test]
    fn a_change_in_use_keeps_what_is_owed(
        rates in vec((1_u64..4_000_000_000, 1_000_000_000_u64..1 << 50), 2..6),
        burst in 1_u64..1_000,
        owed in 1_u64..1_000,
    ) {
        let now = Nanos::new(12_345);
        let owed = owed.min(burst);
        let rates = rates.into_iter().map(|(permits, period)| PerPeriod { permits, period: period.into() });
        let mut limiter = None;
        for rate in rates {
            let limiter = limiter.get_or_insert_with(|| {
                let limiter = RateLimiter::new(&[rate.quota(burst)]).unwrap();
                assert!(limiter.try_acquire(&now, owed));
                limiter
            });
            limiter.update(now, &[rate.quota(burst)]).unwrap();
            let state = limiter.peek(now, 0);
            // A coarser unit rounds what is owed up, by less than itself.
            let paid = BigUint::from(state.reset_after.get()) * rate.permits;
            prop_assert!(paid >= BigUint::from(owed) * rate.period);
            prop_assert!(state.remaining == burst - owed || state.remaining + 1 == burst - owed);
            let exact = rate.instant(owed);
            prop_assert!(state.reset_after.get() - exact <= 1 + exact / (1 << 20), "{state:?} {exact}");
        }
    }

    #[test]
    fn the_first_permit_of_an_astronomical_fraction_is_due_to_the_nanosecond(
        permits in 1_u128..1 << 100,
        nanos in 1_u128..1 << 120,
    ) {
        // From a nanosecond to 36 years a permit.
        prop_assume!(permits / nanos < 4 && nanos / permits < 1 << 60);
        let rate = Rate::new(permits, nanos).unwrap();
        let quota = Quota::new(rate, 1);
        prop_assume!(quota.is_ok());
        let limiter = RateLimiter::new(&[quota.unwrap()]).unwrap();
        prop_assert!(limiter.try_acquire(&Nanos::ZERO, 1));
        let exact = BigUint::from(nanos) / permits;
        let wait = limiter.peek(Nanos::ZERO, 1).retry_after.get();
        prop_assert!(BigUint::from(wait) >= exact.clone());
        prop_assert!(BigUint::from(wait) <= exact.clone() + 2_u8 + exact / (1_u64 << 60), "{wait}");
    }
}
