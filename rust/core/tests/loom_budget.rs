//! Models of a retry budget: every order in which two calls can meet.
//!
//! Run with `RUSTFLAGS="--cfg loom" cargo test -p sluicegate-core --test loom_budget --release`.
#![cfg(loom)]

use loom::sync::Arc;
use loom::thread;
use sluicegate_core::breaker::Ratio;
use sluicegate_core::{ManualClock, Nanos, Quota, Rate, RetryBudget};

fn budget(part: u64, whole: u64, reserve: u64) -> RetryBudget {
    let rate = Rate::per(reserve, Nanos::from_secs(1)).unwrap();
    RetryBudget::new(Ratio::new(part, whole).unwrap(), Quota::new(rate, reserve).unwrap()).unwrap()
}

fn clock() -> ManualClock {
    ManualClock::new(Nanos::ZERO)
}

#[test]
fn loom_what_two_calls_earn_at_once_is_all_there() {
    loom::model(|| {
        let budget = Arc::new(budget(1, 2, 0));
        let theirs = Arc::clone(&budget);
        let other = thread::spawn(move || theirs.deposit());
        budget.deposit();
        other.join().unwrap();
        assert!(budget.try_withdraw(&clock()));
        assert!(!budget.try_withdraw(&clock()));
    });
}

#[test]
fn loom_one_retry_is_taken_by_one_of_two() {
    loom::model(|| {
        let budget = Arc::new(budget(1, 1, 0));
        budget.deposit();
        let theirs = Arc::clone(&budget);
        let other = thread::spawn(move || theirs.try_withdraw(&clock()));
        let mine = budget.try_withdraw(&clock());
        assert!(mine ^ other.join().unwrap());
    });
}

#[test]
fn loom_a_retry_taken_while_a_call_earns_is_paid_for_once() {
    loom::model(|| {
        let budget = Arc::new(budget(1, 1, 0));
        let theirs = Arc::clone(&budget);
        let other = thread::spawn(move || theirs.deposit());
        let taken = u64::from(budget.try_withdraw(&clock()));
        other.join().unwrap();
        assert_eq!(taken + budget.available(&clock()), 1);
    });
}

#[test]
fn loom_the_reserve_is_taken_by_one_of_two() {
    loom::model(|| {
        let budget = Arc::new(budget(0, 1, 1));
        let theirs = Arc::clone(&budget);
        let other = thread::spawn(move || theirs.try_withdraw(&clock()));
        let mine = budget.try_withdraw(&clock());
        assert!(mine ^ other.join().unwrap());
    });
}
