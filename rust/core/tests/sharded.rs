//! The sharded limiter against the direct one, and against threads.
#![cfg(not(loom))]
#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]

mod oracle;

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use oracle::window::{Promise, Use};
use proptest::collection::vec;
use proptest::prelude::*;
use sluicegate_core::{
    Clock as _, Fingerprint, Grant, ManualClock, Nanos, Quota, Rate, RateLimiter, Seed,
    ShardedRateLimiter,
};

fn quota(permits: u64, period: u64, burst: u64) -> Quota {
    Quota::new(Rate::per(permits, Nanos::new(period)).unwrap(), burst).unwrap()
}

fn sharded(permits: u64, period: u64, burst: u64, shards: usize) -> ShardedRateLimiter {
    ShardedRateLimiter::new(&quota(permits, period, burst), shards).unwrap()
}

fn key(number: u64) -> Fingerprint {
    Seed::new([1, 2]).integer(&number.to_le_bytes())
}

#[derive(Clone, Debug)]
enum Step {
    Advance(u64),
    Draw { key: u64, count: u64, times: u64 },
    Attempt { key: u64, count: u64 },
    Peek(u64),
    Reserve { count: u64, max_wait: u64 },
    Cancel(usize),
    Commit { which: usize, actual: u64 },
    Defer { which: usize, span: u64 },
}

fn count() -> impl Strategy<Value = u64> {
    prop_oneof![8 => 0_u64..4, 3 => 4_u64..80, 2 => 80_u64..700]
}

fn step() -> impl Strategy<Value = Step> {
    let span = || prop_oneof![4 => 0_u64..40, 2 => 0_u64..4_000, 1 => 0_u64..40_000];
    prop_oneof![
        4 => span().prop_map(Step::Advance),
        4 => (any::<u64>(), 1_u64..4, 1_u64..120)
            .prop_map(|(key, count, times)| Step::Draw { key, count, times }),
        4 => (any::<u64>(), count()).prop_map(|(key, count)| Step::Attempt { key, count }),
        1 => count().prop_map(Step::Peek),
        2 => (count(), span())
            .prop_map(|(count, max_wait)| Step::Reserve { count, max_wait }),
        1 => any::<usize>().prop_map(Step::Cancel),
        1 => (any::<usize>(), count()).prop_map(|(which, actual)| Step::Commit { which, actual }),
        1 => (any::<usize>(), span()).prop_map(|(which, span)| Step::Defer { which, span }),
    ]
}

/// Both limiters on one trace, and the grants of each.
struct Twins {
    direct: RateLimiter,
    sharded: ShardedRateLimiter,
    now: Nanos,
    open: Vec<(Grant, Grant)>,
}

impl Twins {
    fn take(&mut self, step: &Step) {
        let Self { direct, sharded, now, open } = self;
        match *step {
            Step::Advance(span) => *now = *now + Nanos::new(span),
            Step::Draw { key, count, times } => {
                for nth in 0..times {
                    let key = key.wrapping_add(nth);
                    let allowed = direct.try_acquire(now, count);
                    assert_eq!(sharded.try_acquire(now, self::key(key), count), allowed);
                }
            }
            Step::Attempt { key, count } => {
                assert_eq!(sharded.attempt(now, self::key(key), count), direct.attempt(now, count));
            }
            Step::Peek(count) => assert_eq!(sharded.peek(*now, count), direct.peek(*now, count)),
            Step::Reserve { count, max_wait } => {
                let max_wait = Nanos::new(max_wait);
                let one = direct.reserve(now, count, max_wait);
                match (one, sharded.reserve(now, count, max_wait)) {
                    (Ok((one, first)), Ok((other, second))) => {
                        assert_eq!(first, second);
                        assert_eq!(one.execute_at(), other.execute_at());
                        open.push((one, other));
                    }
                    (one, other) => assert_eq!(one.unwrap_err(), other.unwrap_err()),
                }
            }
            Step::Cancel(which) if !open.is_empty() => {
                let (one, other) = open.swap_remove(which % open.len());
                assert_eq!(sharded.cancel(&other, now), direct.cancel(&one, now));
            }
            Step::Commit { which, actual } if !open.is_empty() => {
                let (one, other) = open.swap_remove(which % open.len());
                let settled = direct.commit(&one, now, actual);
                assert_eq!(sharded.commit(&other, now, actual), settled);
            }
            Step::Defer { which, span } if !open.is_empty() => {
                let which = which % open.len();
                let (one, other) = &mut open[which];
                let start = one.reserved_at() + Nanos::new(span);
                direct.defer(one, start);
                sharded.defer(other, start);
            }
            Step::Cancel(_) | Step::Commit { .. } | Step::Defer { .. } => {}
        }
        assert_eq!(sharded.peek(*now, 1), direct.peek(*now, 1));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn one_after_another_calls_are_decided_as_by_one_bucket(
        permits in 1_u64..400,
        period in 1_u64..4_000,
        burst in 1_u64..700,
        shards in 1_usize..5,
        steps in vec(step(), 1..60),
    ) {
        let quota = quota(permits, period.max(permits), burst);
        let mut twins = Twins {
            direct: RateLimiter::new(&[quota]).unwrap(),
            sharded: ShardedRateLimiter::new(&quota, shards).unwrap(),
            now: Nanos::new(9),
            open: Vec::new(),
        };
        for step in &steps {
            twins.take(step);
        }
    }

    #[test]
    fn an_update_in_use_leaves_decisions_those_of_one_bucket(
        permits in 200_u64..400,
        burst in 128_u64..700,
        after in (1_u64..400, 1_u64..4_000, 1_u64..900),
        steps in vec(step(), 1..20),
        later in vec(step(), 1..20),
    ) {
        let quota = quota(permits, 1_000, burst);
        let mut twins = Twins {
            direct: RateLimiter::new(&[quota]).unwrap(),
            sharded: ShardedRateLimiter::new(&quota, 2).unwrap(),
            now: Nanos::new(9),
            open: Vec::new(),
        };
        for step in &steps {
            twins.take(step);
        }
        let quota = self::quota(after.0, after.1.max(after.0), after.2);
        twins.sharded.update(twins.now, &quota);
        twins.direct.update(twins.now, &[quota]).unwrap();
        for step in &later {
            twins.take(step);
        }
    }

    #[test]
    fn every_window_admits_burst_and_rate_exactly(
        permits in 1_u64..40,
        period in 1_u64..1_000,
        burst in 128_u64..300,
        steps in vec((0_u64..60, any::<u64>(), 1_u64..20), 1..120),
    ) {
        let promise = Promise { permits, period: period.max(permits), burst };
        let limiter = sharded(permits, promise.period, burst, 2);
        let (mut now, mut uses) = (3, Vec::new());
        for (span, key, count) in steps {
            now += span;
            let more = Use { at: now, count };
            let allowed = limiter.try_acquire(&Nanos::new(now), self::key(key), count);
            prop_assert_eq!(allowed, promise.allows(&uses, more));
            if allowed {
                uses.push(more);
            }
        }
    }
}

#[test]
fn a_burst_too_small_to_spread_is_kept_whole() {
    for shards in 1..=16 {
        let (limiter, now) = (sharded(100, 1_000_000_000, 100, shards), Nanos::ZERO);
        let granted =
            (0..1_000).filter(|&key| limiter.try_acquire(&now, self::key(key), 1)).count();
        assert_eq!(granted, 100);
    }
}

#[test]
fn one_hot_key_gets_the_whole_burst_and_so_does_one_call() {
    let limiter = sharded(1, 1_000_000_000, 1_000, 4);
    assert!(!limiter.attempt(&Nanos::ZERO, key(7), 1_001).allowed);
    assert_eq!((0..1_001).filter(|_| limiter.try_acquire(&Nanos::ZERO, key(7), 1)).count(), 1_000);
    let limiter = sharded(1, 1_000_000_000, 1_000, 4);
    assert!(limiter.try_acquire(&Nanos::ZERO, key(7), 1_000));
}

#[test]
fn permits_spread_over_stashes_are_gathered_for_one_call() {
    let limiter = sharded(1, 1_000_000_000, 1_000, 4);
    for key in 0..40 {
        assert!(limiter.try_acquire(&Nanos::ZERO, self::key(key), 1));
    }
    let refused = limiter.attempt(&Nanos::ZERO, key(3), 961);
    assert_eq!((refused.allowed, refused.remaining), (false, 960));
    assert!(limiter.try_acquire(&Nanos::ZERO, key(3), 960), "a refused draw consumes nothing");
}

#[test]
fn a_reservation_holds_its_room_against_what_others_give_back() {
    let (limiter, now) = (sharded(1, 1_000_000_000, 1_000, 4), Nanos::ZERO);
    let reserve = |count| limiter.reserve(&now, count, Nanos::MAX).unwrap().0;
    let (first, second) = (reserve(1_000), reserve(500));
    assert_eq!(second.execute_at(), Nanos::from_secs(500));
    assert_eq!(limiter.commit(&first, &now, 0), 500, "the other half is behind the second's start");
}

#[test]
fn at_the_end_of_the_range_the_answer_is_never() {
    let limiter = sharded(1, 1_000_000_000, 1_000, 4);
    let now = Nanos::MAX - Nanos::from_secs(20);
    let never = limiter.peek(now, 30);
    assert_eq!((never.allowed, never.remaining, never.retry_after), (false, 1_000, Nanos::MAX));
    assert_eq!(limiter.attempt(&now, key(1), 30), never);
    assert_eq!(limiter.reserve(&now, 30, Nanos::MAX).unwrap_err(), never);
}

#[test]
fn keys_spread_over_the_shards_and_each_keeps_its_own() {
    let limiter = sharded(1, 1_000_000_000, 100, 8);
    let mut keys = [0; 8];
    for key in 0..8_000 {
        keys[limiter.shard(self::key(key))] += 1;
    }
    assert!(keys.iter().all(|&keys| (850..1_150).contains(&keys)), "{keys:?}");
    assert_eq!([1, 2, 3, u64::MAX].map(|key| limiter.shard(self::key(key))), [4, 4, 2, 1]);
}

#[test]
fn a_number_of_shards_that_makes_no_sense_names_its_field() {
    for shards in [0, 1 << 17] {
        let error = ShardedRateLimiter::new(&quota(1, 1, 1), shards).unwrap_err();
        assert_eq!(error.field, "shards");
    }
}

#[test]
fn an_update_to_another_unit_and_to_no_limit_keeps_what_is_owed_where_there_is_a_limit() {
    let limiter = sharded(1_000, 1_000_000_000, 1_000, 2);
    for key in 0..300 {
        assert!(limiter.try_acquire(&Nanos::ZERO, self::key(key), 1));
    }
    limiter.update(Nanos::ZERO, &quota(1, 1_000_000_000, 1_000));
    assert_eq!(limiter.peek(Nanos::ZERO, 0).remaining, 700);
    limiter.update(Nanos::ZERO, &quota(1, 1 << 62, 1));
    assert!(!limiter.try_acquire(&Nanos::ZERO, key(1), 1));
    limiter.update(Nanos::ZERO, &Quota::unlimited());
    assert!((0..1_000).all(|key| limiter.try_acquire(&Nanos::ZERO, self::key(key), 1 << 40)));
    limiter.update(Nanos::ZERO, &quota(1, 1_000_000_000, 1_000));
    assert_eq!(
        (0..1_500).filter(|&key| limiter.try_acquire(&Nanos::ZERO, self::key(key), 1)).count(),
        1_000
    );
}

#[test]
fn without_a_limit_everything_is_granted() {
    let limiter = ShardedRateLimiter::new(&Quota::unlimited(), 4).unwrap();
    assert!((0..1_000).all(|key| limiter.try_acquire(&Nanos::ZERO, self::key(key), 1 << 40)));
}

/// Draws from eight threads while one of them moves the clock; permits granted.
fn storm(limiter: &ShardedRateLimiter, clock: &ManualClock, steps: u64, span: u64) -> u64 {
    let granted = AtomicU64::new(0);
    thread::scope(|scope| {
        for thread in 0..8_u64 {
            let granted = &granted;
            scope.spawn(move || {
                for nth in 0..6_000_u64 {
                    let count = 1 + (nth * 7 + thread) % 3;
                    let key = nth.wrapping_mul(thread + 1);
                    if limiter.try_acquire(clock, self::key(key), count) {
                        granted.fetch_add(count, Ordering::Relaxed);
                    }
                    if nth % 97 == 0
                        && let Ok((grant, _)) = limiter.reserve(clock, 5, Nanos::ZERO)
                    {
                        // Settled at what was used: the rest may or may not go back.
                        let back = limiter.commit(&grant, clock, 2);
                        granted.fetch_add(5 - u64::try_from(back).unwrap(), Ordering::Relaxed);
                    }
                    if thread == 0 && nth < steps {
                        clock.advance(Nanos::new(span));
                    }
                }
            });
        }
    });
    granted.into_inner()
}

/// Draws what is left, one by one.
fn drain(limiter: &ShardedRateLimiter, now: Nanos) -> u64 {
    (0..1 << 20).take_while(|&key| limiter.try_acquire(&now, self::key(key), 1)).count() as u64
}

#[test]
fn many_threads_draw_the_burst_to_the_permit() {
    for round in 0..20 {
        let limiter = sharded(1, 1_000_000_000, 20_000 + round, 4);
        let clock = ManualClock::new(Nanos::new(77));
        let granted = storm(&limiter, &clock, 0, 0);
        assert_eq!(granted + drain(&limiter, clock.now()), 20_000 + round);
        assert_eq!(limiter.peek(clock.now(), 1).remaining, 0);
    }
}

#[test]
fn many_threads_on_a_moving_clock_draw_all_that_is_earned_and_no_more() {
    for round in 0..20 {
        // Never full after the start: nothing overflows, so the sum is exact.
        let limiter = sharded(1, 10, 20_000 + round, 4);
        let clock = ManualClock::new(Nanos::new(77));
        assert!(limiter.try_acquire(&clock, key(0), 9_000));
        let granted = 9_000 + storm(&limiter, &clock, 5_000, 10);
        assert_eq!(granted + drain(&limiter, clock.now()), 25_000 + round);
    }
}

#[test]
fn many_threads_at_a_full_bucket_never_draw_more_than_it_overflows_to() {
    let limiter = sharded(1, 1, 2_000, 4);
    let clock = ManualClock::new(Nanos::new(77));
    let granted = storm(&limiter, &clock, 6_000, 100);
    assert!(granted + drain(&limiter, clock.now()) <= 2_000 + 600_000);
}
