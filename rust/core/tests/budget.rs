//! A retry budget against an obvious one, in exact fractions, on random traces.
#![cfg(not(loom))]
#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]

use proptest::collection::vec;
use proptest::prelude::*;
use sluicegate_core::breaker::Ratio;
use sluicegate_core::{Clock as _, ManualClock, Nanos, Quota, Rate, RateLimiter, RetryBudget};

#[derive(Clone, Debug)]
enum Step {
    Advance(u64),
    Deposit(u16),
    Withdraw(u16),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0_u64..2_000_000_000).prop_map(Step::Advance),
        (1_u16..700).prop_map(Step::Deposit),
        (1_u16..60).prop_map(Step::Withdraw),
    ]
}

/// The same by the book: what is saved as a fraction of two numbers that cannot overflow.
struct Oracle {
    saved: u128,
    part: u128,
    whole: u128,
    reserve: RateLimiter,
}

impl Oracle {
    fn deposit(&mut self) {
        self.saved = (self.saved + self.part).min((500 * self.part).max(self.whole));
    }

    fn withdraw(&mut self, clock: &ManualClock) -> bool {
        if self.saved >= self.whole {
            self.saved -= self.whole;
            return true;
        }
        self.reserve.try_acquire(clock, 1)
    }
}

fn quota(reserve: u64) -> Quota {
    Quota::new(Rate::per(reserve, Nanos::from_secs(1)).unwrap(), reserve).unwrap()
}

proptest! {
    #[test]
    fn grants_what_the_book_grants_and_never_more_than_it_promises(
        part in 0_u64..100, rest in 0_u64..1_000, reserve in 0_u64..20, steps in vec(step(), 1..60)
    ) {
        let whole = part + rest.max(1);
        let budget = RetryBudget::new(Ratio::new(part, whole).unwrap(), quota(reserve)).unwrap();
        let mut oracle = Oracle {
            saved: 0,
            part: part.into(),
            whole: whole.into(),
            reserve: RateLimiter::new(&[quota(reserve)]).unwrap(),
        };
        let clock = ManualClock::new(Nanos::ZERO);
        let (mut calls, mut retries) = (0_u128, 0_u128);
        for step in steps {
            match step {
                Step::Advance(nanos) => {
                    clock.advance(Nanos::new(nanos));
                }
                Step::Deposit(count) => for _ in 0..count {
                    budget.deposit();
                    oracle.deposit();
                    calls += 1;
                },
                Step::Withdraw(count) => for _ in 0..count {
                    let granted = budget.try_withdraw(&clock);
                    prop_assert_eq!(granted, oracle.withdraw(&clock));
                    retries += u128::from(granted);
                },
            }
            let second = 1_000_000_000;
            let elapsed = u128::from(clock.now().get());
            let earned = calls * u128::from(part) * second;
            let reserved = u128::from(reserve) * (second + elapsed) * u128::from(whole);
            prop_assert!(retries * u128::from(whole) * second <= earned + reserved);
        }
    }
}
