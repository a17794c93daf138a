//! Many threads at once: what they are granted together is what there was, to the last permit.
#![cfg(not(loom))]
#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]

use std::sync::Barrier;
use std::thread;

use sluicegate_core::breaker::{
    Breaker, BreakerConfig, BreakerOptions, CircuitState, LongBreakerState, Outcome, Ratio,
    Sampling,
};
use sluicegate_core::composite::{self, Share};
use sluicegate_core::{KeyedRateLimiter, Nanos, Quota, Rate, RateLimiter, Seed};

const THREADS: usize = 8;
const BURST: u64 = 20_011;
const NOW: Nanos = Nanos::from_secs(3);

fn quota(burst: u64) -> Quota {
    Quota::new(Rate::per(1, Nanos::from_secs(1)).unwrap(), burst).unwrap()
}

/// What all threads together are granted, and whoever comes alone after them: a draw may be refused
/// beside another's that is under way.
fn granted(draw: impl Fn(usize) -> bool + Sync) -> u64 {
    let barrier = Barrier::new(THREADS);
    let together: u64 = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|index| {
                let (draw, barrier) = (&draw, &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    (0..BURST / 4).map(|_| u64::from(draw(index))).sum::<u64>()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert!(together <= BURST);
    together + (0..=BURST).take_while(|_| draw(0)).map(|_| 1).sum::<u64>()
}

#[test]
fn of_one_quota_and_of_several() {
    for quotas in [vec![quota(BURST)], vec![quota(3 * BURST), quota(BURST), quota(BURST + 1)]] {
        let limiter = RateLimiter::new(&quotas).unwrap();
        assert_eq!(granted(|_| limiter.try_acquire(&NOW, 1)), BURST);
        assert_eq!(limiter.peek(NOW, 0).remaining, 0);
    }
}

#[test]
fn of_one_key_and_of_several_quotas_of_it() {
    for bandwidths in 1..3 {
        let quotas = vec![quota(BURST); bandwidths];
        let limiter = KeyedRateLimiter::new(&quotas, 100, Seed::new([1, 2])).unwrap();
        let key = limiter.seed().bytes(b"one");
        assert_eq!(granted(|_| limiter.try_acquire(&NOW, key, 1)), BURST);
        assert_eq!((limiter.slots_in_use(NOW), limiter.overflowed()), (1, 0));
    }
}

#[test]
fn of_several_limiters_all_or_nothing() {
    let [small, large] = [BURST, 3 * BURST].map(|burst| RateLimiter::new(&[quota(burst)]).unwrap());
    let shares = [Share { limiter: &large, count: 2 }, Share { limiter: &small, count: 1 }];
    let draw = |_| composite::reserve(&shares, &NOW, Nanos::ZERO).is_ok();
    assert_eq!(granted(draw), BURST);
    assert_eq!(small.peek(NOW, 0).remaining, 0);
    assert_eq!(large.peek(NOW, 0).remaining, BURST, "a refusal of the one costs the other nothing");
}

#[test]
fn of_the_probes_of_a_breaker() {
    let options = BreakerOptions {
        failure_ratio: Ratio::new(1, 2).unwrap(),
        min_throughput: 1,
        sampling: Sampling::Time(Nanos::from_secs(10)),
        consecutive_failures: None,
        slow_call_duration: None,
        slow_call_ratio: Ratio::new(1, 1).unwrap(),
        break_duration: Nanos::ZERO,
        half_open_max_calls: 5,
        probe_timeout: None,
    };
    let config = BreakerConfig::new(options).unwrap();
    let state = LongBreakerState::new(NOW);
    let breaker = Breaker::new(&config, &state);
    for round in 1..200 {
        let failing = breaker.enter(NOW).verdict.unwrap();
        assert!(breaker.settle(&failing, Outcome::Failure, NOW).is_some());
        let barrier = Barrier::new(THREADS);
        let probes: Vec<_> = thread::scope(|scope| {
            let enter = || {
                barrier.wait();
                breaker.enter(NOW).verdict.ok()
            };
            let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(enter)).collect();
            threads.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(probes.len(), 5);
        let closed: usize = thread::scope(|scope| {
            let settle = |probe| breaker.settle(probe, Outcome::Success, NOW).is_some();
            let threads: Vec<_> =
                probes.iter().map(|probe| scope.spawn(move || settle(probe))).collect();
            threads.into_iter().map(|thread| usize::from(thread.join().unwrap())).sum()
        });
        assert_eq!((closed, breaker.state(NOW)), (1, CircuitState::Closed), "in round {round}");
    }
}
