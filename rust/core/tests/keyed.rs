//! The keyed limiter against independent limiters, and its table at its limits.
#![cfg(not(loom))]
#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]

mod oracle;

use std::collections::HashMap;

use oracle::window::{Promise, Use};
use proptest::collection::vec;
use proptest::prelude::*;
use sluicegate_core::{
    Clock as _, Fingerprint, KeyedGrant, KeyedRateLimiter, ManualClock, Nanos, Quota, Rate, Seed,
};

/// Keys that a limiter of one group of 32 slots has room for, and some more.
const ROOM: usize = 22;
const CROWD: usize = 100;

fn quota(promise: &Promise) -> Quota {
    let rate = Rate::per(promise.permits, Nanos::new(promise.period)).unwrap();
    Quota::new(rate, promise.burst).unwrap()
}

fn limiter(promises: &[Promise], max_keys: usize) -> KeyedRateLimiter {
    let quotas: Vec<Quota> = promises.iter().map(quota).collect();
    KeyedRateLimiter::new(&quotas, max_keys, Seed::new([1, 2])).unwrap()
}

fn key(limiter: &KeyedRateLimiter, number: usize) -> Fingerprint {
    limiter.seed().integer(&i64::try_from(number).unwrap().to_le_bytes())
}

prop_compose! {
    fn promise()(permits in 1_u64..40, period in 1_u64..1_000, burst in 1_u64..12) -> Promise {
        Promise { permits, period: period.max(permits), burst }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Advance(u64),
    Attempt { key: usize, count: u64 },
    Reserve { key: usize, count: u64, max_wait: u64 },
    Cancel(usize),
    Commit { which: usize, actual: u64 },
}

fn step(keys: usize) -> impl Strategy<Value = Step> {
    let count = 1_u64..8;
    prop_oneof![
        2 => (0_u64..300).prop_map(Step::Advance),
        5 => (0..keys, count.clone()).prop_map(|(key, count)| Step::Attempt { key, count }),
        4 => (0..keys, count, 0_u64..2_000)
            .prop_map(|(key, count, max_wait)| Step::Reserve { key, count, max_wait }),
        2 => any::<usize>().prop_map(Step::Cancel),
        2 => (any::<usize>(), 0_u64..8).prop_map(|(which, actual)| Step::Commit { which, actual }),
    ]
}

/// A run of steps, and what each key used when.
struct Trace {
    limiter: KeyedRateLimiter,
    clock: ManualClock,
    uses: HashMap<usize, Vec<Use>>,
    open: Vec<(KeyedGrant, usize, usize)>,
}

impl Trace {
    fn new(promises: &[Promise], max_keys: usize) -> Self {
        let clock = ManualClock::new(Nanos::new(7));
        let limiter = limiter(promises, max_keys);
        Self { limiter, clock, uses: HashMap::new(), open: Vec::new() }
    }

    fn used(&mut self, key: usize, at: Nanos, count: u64) -> usize {
        let uses = self.uses.entry(key).or_default();
        uses.push(Use { at: at.get(), count });
        uses.len() - 1
    }

    fn take(&mut self, step: &Step) {
        let now = self.clock.now();
        match *step {
            Step::Advance(span) => drop(self.clock.advance(Nanos::new(span))),
            Step::Attempt { key: number, count } => {
                let key = key(&self.limiter, number);
                if self.limiter.try_acquire(&self.clock, key, count) {
                    self.used(number, now, count);
                }
            }
            Step::Reserve { key: number, count, max_wait } => {
                let key = key(&self.limiter, number);
                let reserved = self.limiter.reserve(&self.clock, key, count, Nanos::new(max_wait));
                if let Ok((grant, _)) = reserved {
                    let place = self.used(number, grant.grant().execute_at(), count);
                    self.open.push((grant, number, place));
                }
            }
            Step::Cancel(which) if !self.open.is_empty() => {
                let (grant, key, place) = self.open.swap_remove(which % self.open.len());
                if now < grant.grant().execute_at() {
                    self.limiter.cancel(&grant, &self.clock);
                    self.uses.get_mut(&key).unwrap()[place].count = 0;
                }
            }
            Step::Commit { which, actual } if !self.open.is_empty() => {
                let (grant, key, place) = self.open.swap_remove(which % self.open.len());
                let actual = actual.min(grant.grant().count());
                self.limiter.commit(&grant, &self.clock, actual);
                self.uses.get_mut(&key).unwrap()[place].count = actual;
            }
            Step::Cancel(_) | Step::Commit { .. } => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn within_its_room_every_key_is_granted_what_a_limiter_of_its_own_would(
        promises in vec(promise(), 1..4),
        steps in vec((0_u64..100, 0..ROOM, 1_u64..6), 1..80),
    ) {
        let limiter = limiter(&promises, ROOM);
        let (mut now, mut uses): (u64, HashMap<usize, Vec<Use>>) = (3, HashMap::new());
        for (span, number, count) in steps {
            now += span;
            let (more, uses) = (Use { at: now, count }, uses.entry(number).or_default());
            let allowed = limiter.try_acquire(&Nanos::new(now), key(&limiter, number), count);
            let expected = promises.iter().all(|promise| promise.allows(uses, more));
            prop_assert_eq!(allowed, expected);
            if allowed {
                uses.push(more);
            }
        }
        prop_assert_eq!(limiter.overflowed(), 0);
    }

    #[test]
    fn a_crowd_beyond_the_room_is_granted_no_more_than_each_promise(
        promises in vec(promise(), 1..3),
        steps in vec((0_u64..40, 0..CROWD, 1_u64..6), 1..150),
    ) {
        let limiter = limiter(&promises, 1);
        let (mut now, mut uses): (u64, HashMap<usize, Vec<Use>>) = (3, HashMap::new());
        for (span, number, count) in steps {
            now += span;
            let (more, uses) = (Use { at: now, count }, uses.entry(number).or_default());
            if limiter.try_acquire(&Nanos::new(now), key(&limiter, number), count) {
                uses.push(more);
                prop_assert!(promises.iter().all(|promise| promise.is_kept_by(uses)));
            }
        }
    }

    #[test]
    fn no_trace_of_reservations_breaks_a_promise(
        promises in vec(promise(), 1..3),
        steps in vec(step(CROWD), 1..120),
        room in prop_oneof![Just(1), Just(ROOM)],
    ) {
        let mut trace = Trace::new(&promises, room);
        for step in &steps {
            trace.take(step);
        }
        for (key, uses) in &trace.uses {
            for promise in &promises {
                prop_assert!(promise.is_kept_by(uses), "{promise:?} {key} {uses:?}");
            }
        }
    }

    #[test]
    fn retry_after_is_the_first_instant_of_a_grant(
        promises in vec(promise(), 1..4),
        steps in vec(step(ROOM), 1..60),
        count in 1_u64..8,
    ) {
        let mut trace = Trace::new(&promises, ROOM);
        for step in &steps {
            trace.take(step);
        }
        let (limiter, now) = (&trace.limiter, trace.clock.now());
        for key in (0..=ROOM).map(|number| key(limiter, number)) {
            let decision = limiter.peek(now, key, count);
            if !decision.allowed && decision.retry_after < Nanos::MAX {
                let opens = now + decision.retry_after;
                prop_assert!(limiter.peek(opens, key, count).allowed);
                prop_assert!(!limiter.peek(opens - Nanos::new(1), key, count).allowed);
            }
            prop_assert_eq!(limiter.attempt(&now, key, count), decision);
        }
    }
}

const ONE_A_SECOND: Promise = Promise { permits: 1, period: 1_000_000_000, burst: 3 };

fn at(secs: u64) -> Nanos {
    Nanos::from_secs(secs)
}

#[test]
fn whoever_finds_every_slot_in_debt_shares_the_overflow() {
    let limiter = limiter(&[ONE_A_SECOND], 1);
    let slots = limiter.slots();
    for number in 0..slots {
        assert!(limiter.try_acquire(&at(0), key(&limiter, number), 3));
    }
    assert_eq!(limiter.slots_in_use(at(0)), slots);
    assert_eq!(limiter.overflowed(), 0);
    let late = (slots..slots + 10).map(|number| key(&limiter, number));
    assert_eq!(late.filter(|late| limiter.try_acquire(&at(0), *late, 1)).count(), 3);
    assert_eq!(limiter.overflowed(), 10);
}

#[test]
fn what_the_overflow_granted_is_owed_in_the_slot_taken_later() {
    let limiter = limiter(&[ONE_A_SECOND], 1);
    for number in 0..limiter.slots() {
        assert!(limiter.try_acquire(&at(0), key(&limiter, number), 1));
    }
    let late = key(&limiter, 1_000);
    assert!(limiter.try_acquire(&at(0), late, 3));
    let decision = limiter.attempt(&at(1), late, 1);
    assert_eq!((decision.allowed, decision.remaining), (true, 0));
    assert!(!limiter.try_acquire(&at(1), late, 1));
}

#[test]
fn a_key_that_owes_is_never_forgotten_for_others() {
    let limiter = limiter(&[ONE_A_SECOND], 100);
    let debtor = key(&limiter, 0);
    assert!(limiter.try_acquire(&at(0), debtor, 3));
    for number in 1..10_000 {
        limiter.try_acquire(&at(0), key(&limiter, number), 1);
    }
    assert!(!limiter.try_acquire(&at(0), debtor, 1));
    assert!(limiter.overflowed() > 0);
}

#[test]
fn a_paid_off_key_makes_room_for_others() {
    let limiter = limiter(&[ONE_A_SECOND], 100);
    for number in 0..10_000 {
        let now = Nanos::new(40_000_000 * u64::try_from(number).unwrap());
        assert!(limiter.try_acquire(&now, key(&limiter, number), 3), "{number}");
    }
    assert_eq!(limiter.overflowed(), 0);
}

#[test]
fn a_full_house_of_live_keys_needs_no_overflow() {
    let limiter = limiter(&[ONE_A_SECOND], 200_000);
    for number in 0..200_000 {
        assert!(limiter.try_acquire(&at(0), key(&limiter, number), 3));
    }
    assert_eq!(limiter.overflowed(), 0);
    assert!((0..200_000).all(|number| !limiter.try_acquire(&at(0), key(&limiter, number), 1)));
}

#[test]
fn integers_in_steps_of_any_size_find_room_as_others_do() {
    for step in [2, 10, 1 << 8, 1 << 20, 1 << 32, 1 << 45, 1_000_000_007] {
        let limiter = limiter(&[ONE_A_SECOND], 20_000);
        for number in 0..20_000 {
            assert!(limiter.try_acquire(&at(0), key(&limiter, number * step), 3));
        }
        assert_eq!(limiter.overflowed(), 0, "{step}");
    }
}

#[test]
fn integers_that_differ_in_their_upper_bits_find_room_under_any_secret() {
    let kinds = [
        |number: u64| number << 40,
        |number: u64| number << 48,
        u64::swap_bytes,
        u64::reverse_bits,
        |number: u64| f64::from(u32::try_from(number).unwrap()).to_bits(),
    ];
    for secret in 0..200 {
        for (place, kind) in kinds.iter().enumerate() {
            let quotas = [quota(&ONE_A_SECOND)];
            let limiter = KeyedRateLimiter::new(&quotas, 1_000, Seed::new([secret, 7])).unwrap();
            for number in 0..1_000 {
                let key = limiter.seed().integer(&kind(number).to_le_bytes());
                limiter.try_acquire(&at(0), key, 3);
            }
            assert_eq!(limiter.overflowed(), 0, "kind {place}, secret {secret}");
        }
    }
}

#[test]
fn a_key_of_a_large_house_takes_less_than_24_bytes() {
    let limiter = limiter(&[ONE_A_SECOND], 1_400_000);
    assert!(limiter.size() <= 24 * 1_400_000, "{}", limiter.size());
}

#[test]
fn those_who_wait_for_one_key_delay_no_other() {
    let limiter = limiter(&[ONE_A_SECOND], ROOM);
    let (busy, idle) = (key(&limiter, 1), key(&limiter, 2));
    let start = |key| limiter.reserve(&at(0), key, 3, Nanos::MAX).unwrap().0.grant().execute_at();
    assert_eq!([(); 3].map(|()| start(busy)), [at(0), at(3), at(6)]);
    assert_eq!(start(idle), at(0));
}

#[test]
fn the_last_in_line_of_a_key_gives_all_back() {
    let limiter = limiter(&[ONE_A_SECOND], ROOM);
    let busy = key(&limiter, 1);
    let reserve = || limiter.reserve(&at(0), busy, 3, Nanos::MAX).unwrap().0;
    let [_, last] = [(); 2].map(|()| reserve());
    assert_eq!(limiter.cancel(&last, &at(1)), 3);
    assert_eq!(reserve().grant().execute_at(), at(3));
}

#[test]
fn settling_at_more_is_owed_by_the_key() {
    let limiter = limiter(&[ONE_A_SECOND], ROOM);
    let (busy, idle) = (key(&limiter, 1), key(&limiter, 2));
    let (grant, _) = limiter.reserve(&at(0), busy, 3, Nanos::MAX).unwrap();
    assert_eq!(limiter.commit(&grant, &at(0), 10), -7);
    assert_eq!(limiter.peek(at(0), busy, 1).retry_after, at(8));
    assert!(limiter.peek(at(0), idle, 3).allowed);
    // Long paid off, and its slot somebody else's.
    assert_eq!(limiter.commit(&grant, &at(100), 1), 0);
}

#[test]
fn an_update_changes_every_key_and_keeps_what_is_owed() {
    let limiter = limiter(&[ONE_A_SECOND], ROOM);
    let (one, other) = (key(&limiter, 1), key(&limiter, 2));
    assert!(limiter.try_acquire(&at(0), one, 3));
    let faster = Promise { permits: 4, burst: 5, ..ONE_A_SECOND };
    limiter.update(at(0), &[quota(&faster)]).unwrap();
    assert_eq!(limiter.peek(at(0), one, 0).remaining, 2);
    assert_eq!(limiter.peek(at(0), other, 0).remaining, 5);
    let slower = Promise { period: 500 * ONE_A_SECOND.period, ..ONE_A_SECOND };
    limiter.update(at(0), &[quota(&slower)]).unwrap();
    assert_eq!(limiter.peek(at(0), one, 1).retry_after, at(500));
}

#[test]
fn draws_of_a_key_follow_the_quota_in_force() {
    let limiter = limiter(&[ONE_A_SECOND], ROOM);
    let known = key(&limiter, 1);
    assert!(limiter.try_acquire(&at(0), known, 1));
    limiter.update(at(0), &[quota(&Promise { permits: 2, burst: 9, ..ONE_A_SECOND })]).unwrap();
    // Counts that the first quota grants as well, so that no other way is taken.
    let twos = |now| (0..9).filter(|_| limiter.try_acquire(&now, known, 2)).count();
    assert_eq!([twos(at(0)), twos(at(2)), twos(at(9))], [4, 2, 4]);
}

#[test]
fn an_update_that_the_unit_cannot_serve_changes_nothing() {
    let limiter = limiter(&[ONE_A_SECOND; 2], ROOM);
    let near = quota(&Promise { permits: 2, ..ONE_A_SECOND });
    let far = quota(&Promise { permits: 1_000, ..ONE_A_SECOND });
    assert_eq!(limiter.update(at(0), &[near, far]).unwrap_err().field, "rate");
    assert_eq!(limiter.update(at(0), &[near]).unwrap_err().field, "configs");
    let fresh = key(&limiter, 1);
    assert!(limiter.try_acquire(&at(0), fresh, 3));
    assert_eq!(limiter.peek(at(0), fresh, 1).retry_after, at(1));
}

#[test]
fn an_unlimited_quota_grants_everything_and_takes_no_slot() {
    let limiter = KeyedRateLimiter::new(&[Quota::unlimited()], 1, Seed::new([1, 2])).unwrap();
    for number in 0..100 {
        assert!(limiter.try_acquire(&at(0), key(&limiter, number), u64::MAX));
    }
    assert_eq!((limiter.slots_in_use(at(0)), limiter.overflowed()), (0, 0));
}

#[test]
fn the_number_of_keys_is_bounded() {
    let quota = quota(&ONE_A_SECOND);
    for max_keys in [0, usize::MAX] {
        let limiter = KeyedRateLimiter::new(&[quota], max_keys, Seed::new([1, 2]));
        assert_eq!(limiter.unwrap_err().field, "max_keys");
    }
    assert_eq!(KeyedRateLimiter::new(&[], 1, Seed::random()).unwrap_err().field, "configs");
}

#[test]
fn no_debt_is_lost_however_many_settle_at_once() {
    const THREADS: u64 = 4;
    const ROUNDS: u64 = 5_000;
    let burst = 4 * THREADS * ROUNDS;
    let quotas = [Quota::new(Rate::ZERO, burst).unwrap(); 2];
    let limiter = KeyedRateLimiter::new(&quotas, 8, Seed::new([1, 2])).unwrap();
    let busy = key(&limiter, 0);
    std::thread::scope(|threads| {
        for _ in 0..THREADS {
            threads.spawn(|| {
                for _ in 0..ROUNDS {
                    let (grant, _) = limiter.reserve(&at(0), busy, 1, at(1)).unwrap();
                    assert_eq!(limiter.commit(&grant, &at(0), 3), -2);
                }
            });
        }
    });
    assert_eq!(limiter.peek(at(0), busy, 0).remaining, burst - 3 * THREADS * ROUNDS);
}

#[test]
fn the_last_of_eight_bandwidths_is_kept() {
    let wide = Promise { permits: 1, period: 1_000, burst: 9 };
    let mut promises = vec![wide; 8];
    promises[7].burst = 1;
    let limiter = limiter(&promises, 1);
    let (key, now) = (key(&limiter, 1), Nanos::new(5_000));
    assert!(limiter.try_acquire(&now, key, 1));
    assert!(!limiter.try_acquire(&now, key, 1));
}
