//! Models of tables of one or two groups, of two slots each: every order in which takeovers, charges and the overflow meet.
//!
//! Run with `RUSTFLAGS="--cfg loom" LOOM_MAX_PREEMPTIONS=2 cargo test --profile model -p sluicegate-core
//! --test loom_keyed`; without the bound, one at a time, as CONTRIBUTING.md says.
#![cfg(loom)]
#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]

use loom::sync::Arc;
use loom::thread;
use sluicegate_core::{Fingerprint, KeyedRateLimiter, Nanos, Quota, Rate, Seed};

const NOW: Nanos = Nanos::new(3_000);

#[derive(Clone)]
struct Table(Arc<KeyedRateLimiter>);

impl Table {
    /// A permit in 1,000 ns, `burst` at once, for each key; in two slots, both used and paid off.
    fn new(bandwidths: usize, burst: u64) -> Self {
        let table = Self::empty(bandwidths, burst, 1);
        assert_eq!(table.0.slots(), 2);
        assert!(table.take("alice", Nanos::new(0)));
        assert!(table.take("bob", Nanos::new(500)));
        table
    }

    /// The same in four slots, of which one of the two that alice and carol come to first is used.
    fn of_two_groups() -> Self {
        let table = Self::empty(1, 1, 2);
        assert_eq!(table.0.slots(), 4);
        assert!(["alice", "carol"].iter().all(|name| table.key(name).get() >> 63 == 0));
        assert!(table.take("alice", Nanos::new(0)));
        table
    }

    fn empty(bandwidths: usize, burst: u64, max_keys: usize) -> Self {
        let rate = Rate::per(1, Nanos::new(1_000)).unwrap();
        let quotas = vec![Quota::new(rate, burst).unwrap(); bandwidths];
        let limiter = KeyedRateLimiter::new(&quotas, max_keys, Seed::new([1, 2])).unwrap();
        Self(Arc::new(limiter))
    }

    /// The fingerprint of a name; in a table of two groups its highest bit tells the first of them.
    fn key(&self, name: &str) -> Fingerprint {
        self.0.seed().bytes(name.as_bytes())
    }

    fn take(&self, name: &str, now: Nanos) -> bool {
        self.0.try_acquire(&now, self.key(name), 1)
    }

    /// Draws in two threads, a permit for each caller, and says who was granted one.
    fn race(&self, [here, there]: [Callers; 2]) -> Vec<(&'static str, bool)> {
        let draw = |table: &Self, callers: Callers| -> Vec<_> {
            callers.iter().map(|&(name, now)| (name, table.take(name, now))).collect()
        };
        let table = self.clone();
        let other = thread::spawn(move || draw(&table, there));
        let mut granted = draw(self, here);
        granted.extend(other.join().unwrap());
        granted
    }
}

type Callers = &'static [(&'static str, Nanos)];

/// A table with these bandwidths for each key, of this burst.
#[derive(Clone, Copy)]
struct House {
    bandwidths: usize,
    burst: u64,
    preemptions: usize,
}

const SMALL: House = House { bandwidths: 1, burst: 1, preemptions: 2 };

/// Nobody is granted more than the burst, not even who goes on asking.
fn nobody_is_granted_too_much(house: House, callers: [Callers; 2]) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = model.preemption_bound.map(|bound| bound.min(house.preemptions));
    model.check(move || {
        let table = Table::new(house.bandwidths, house.burst);
        let mut granted = table.race(callers);
        for name in ["alice", "carol", "dave"] {
            granted.extend((0..house.burst).map(|_| (name, table.take(name, NOW))));
            let total = granted.iter().filter(|each| **each == (name, true)).count();
            assert!(total as u64 <= house.burst, "{name}: {total}");
        }
    });
}

#[test]
fn loom_a_takeover_forgets_nothing_that_the_owner_charges() {
    nobody_is_granted_too_much(SMALL, [&[("carol", NOW)], &[("alice", NOW)]]);
}

#[test]
fn loom_a_takeover_meets_the_owner_and_a_second_taker() {
    nobody_is_granted_too_much(SMALL, [&[("carol", NOW)], &[("alice", NOW), ("dave", NOW)]]);
    nobody_is_granted_too_much(SMALL, [&[("carol", NOW)], &[("dave", NOW), ("alice", NOW)]]);
}

#[test]
fn loom_a_charge_that_lands_in_the_takers_word_does_not_count() {
    let house = House { burst: 2, ..SMALL };
    nobody_is_granted_too_much(house, [&[("carol", NOW)], &[("alice", NOW)]]);
}

#[test]
fn loom_a_takeover_of_two_words_forgets_neither() {
    nobody_is_granted_too_much(
        House { bandwidths: 2, preemptions: 1, ..SMALL },
        [&[("carol", NOW)], &[("alice", NOW)]],
    );
}

#[test]
fn loom_one_new_key_in_two_threads_is_granted_once() {
    nobody_is_granted_too_much(SMALL, [&[("carol", NOW)], &[("carol", NOW)]]);
}

#[test]
fn loom_one_new_key_in_two_threads_is_granted_once_whatever_else_comes() {
    nobody_is_granted_too_much(SMALL, [&[("carol", NOW)], &[("dave", NOW), ("carol", NOW)]]);
    nobody_is_granted_too_much(SMALL, [&[("carol", NOW), ("dave", NOW)], &[("carol", NOW)]]);
}

#[test]
fn loom_what_the_overflow_granted_is_known_to_a_slot() {
    // At 900 alice and bob are in debt, at 1,400 only bob is.
    const EARLY: Nanos = Nanos::new(900);
    const LATE: Nanos = Nanos::new(1_400);
    let model = loom::model::Builder::new();
    model.check(|| {
        let table = Table::new(1, 1);
        let mut granted = table.race([&[("carol", EARLY)], &[("carol", LATE)]]);
        granted.push(("carol", table.take("carol", LATE)));
        assert!(granted.iter().filter(|(_, granted)| *granted).count() < 2);
    });
}

#[test]
fn loom_one_new_key_that_takes_a_slot_of_each_group_is_granted_once() {
    // At 900 alice is in debt, so that carol goes to the other group; at 1,400 she need not.
    const EARLY: Nanos = Nanos::new(900);
    const LATE: Nanos = Nanos::new(1_400);
    let races: [[Callers; 2]; 2] = [
        [&[("carol", EARLY)], &[("carol", LATE)]],
        [&[("carol", EARLY)], &[("alice", LATE), ("carol", LATE)]],
    ];
    for callers in races {
        loom::model(move || {
            let table = Table::of_two_groups();
            let mut granted = table.race(callers);
            granted.push(("carol", table.take("carol", LATE)));
            assert!(granted.iter().filter(|each| **each == ("carol", true)).count() < 2);
        });
    }
}

#[test]
fn loom_whoever_would_wait_for_a_key_is_granted_a_start_of_its_own() {
    loom::model(|| {
        let table = Table::new(1, 1);
        let reserve = |table: &Table| {
            let reserved = table.0.reserve(&NOW, table.key("alice"), 1, Nanos::MAX);
            reserved.unwrap().0.grant().execute_at()
        };
        let other = table.clone();
        let other = thread::spawn(move || reserve(&other));
        let mut starts = [reserve(&table), other.join().unwrap()];
        starts.sort();
        assert_eq!(starts, [NOW, NOW + Nanos::new(1_000)]);
    });
}
