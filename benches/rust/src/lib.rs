//! What the benchmarks run: each case times a number of calls, ours and the peer's alike.
//!
//! The peer is the crate [governor], a GCRA on one atomic as well. Both are handed the same time by
//! [`Present`], so that neither pays for a clock, and asked for one permit, which the compiler knows: the
//! peer has another method for a count.
//!
//! [governor]: https://docs.rs/governor

#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
#![allow(clippy::missing_panics_doc, reason = "every quota here is a constant that makes sense")]
#![allow(clippy::unwrap_used, reason = "as above")]

use std::cell::Cell;
use std::hint::black_box;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use governor::clock::{Clock as PeerClock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::state::{InMemoryState, NotKeyed};
use sluicegate_core::breaker::{
    Breaker, BreakerConfig, BreakerOptions, LongBreakerState, Outcome, Ratio, Sampling,
};
use sluicegate_core::{
    Clock, Fingerprint, KeyedRateLimiter, Nanos, Quota, Rate, RateLimiter, Seed, ShardedRateLimiter,
};

/// A line of the table: ours and, where there is one, the peer's.
pub struct Case {
    /// What is measured.
    pub name: &'static str,
    /// Makes so many of our calls.
    pub ours: Run,
    /// Makes so many of the peer's.
    pub peer: Option<Run>,
}

/// Makes a number of calls and says how long they took.
pub type Run = Box<dyn Fn(u64) -> Duration>;

/// The time both are handed: an atomic that is read once a call.
#[derive(Clone, Debug, Default)]
pub struct Present(Arc<AtomicU64>);

impl Present {
    fn pass(&self, nanos: u64) {
        let now = self.0.load(Ordering::Relaxed);
        self.0.store(now + nanos, Ordering::Relaxed);
    }
}

impl Clock for Present {
    #[inline]
    fn now(&self) -> Nanos {
        Nanos::new(self.0.load(Ordering::Relaxed))
    }
}

impl PeerClock for Present {
    type Instant = Instantaneous;

    #[inline]
    fn now(&self) -> Instantaneous {
        Instantaneous(self.0.load(Ordering::Relaxed))
    }
}

/// An instant of [`Present`], as the peer wants to have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instantaneous(u64);

impl std::ops::Add<governor::nanos::Nanos> for Instantaneous {
    type Output = Self;

    #[inline]
    fn add(self, span: governor::nanos::Nanos) -> Self {
        Self(self.0 + span.as_u64())
    }
}

impl Reference for Instantaneous {
    #[inline]
    fn duration_since(&self, earlier: Self) -> governor::nanos::Nanos {
        self.0.saturating_sub(earlier.0).into()
    }

    #[inline]
    fn saturating_sub(&self, span: governor::nanos::Nanos) -> Self {
        Self(self.0.saturating_sub(span.as_u64()))
    }
}

type KeyedPeer =
    governor::RateLimiter<u64, DashMapStateStore<u64>, Present, NoOpMiddleware<Instantaneous>>;

type Peer = governor::RateLimiter<NotKeyed, InMemoryState, Present, NoOpMiddleware<Instantaneous>>;

fn ours(rate: u32, burst: u32) -> RateLimiter {
    let rate = Rate::per(rate.into(), Nanos::from_secs(1)).unwrap();
    RateLimiter::new(&[Quota::new(rate, burst.into()).unwrap()]).unwrap()
}

fn peer(rate: u32, burst: u32, present: &Present) -> Peer {
    let [rate, burst] = [rate, burst].map(|number| NonZeroU32::new(number).unwrap());
    Peer::direct_with_clock(governor::Quota::per_second(rate).allow_burst(burst), present.clone())
}

fn timed(calls: u64, mut call: impl FnMut()) -> Duration {
    let start = Instant::now();
    for _ in 0..calls {
        call();
    }
    start.elapsed()
}

/// Makes `calls` calls in all, shared among threads that begin together.
fn on_threads(threads: u32, calls: u64, call: impl Fn() + Sync) -> Duration {
    let start = Barrier::new(threads as usize);
    std::thread::scope(|scope| {
        let thread = || {
            start.wait();
            timed(calls / u64::from(threads), &call)
        };
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(thread)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).max().unwrap_or_default()
    })
}

/// One limiter: granted as time passes, refused, and granted to threads that share it.
#[must_use]
pub fn limiter() -> Vec<Case> {
    let mut cases = vec![
        granted("granted", 100_000_000),
        // Its interval is no whole number of nanoseconds; the peer rounds it down.
        granted("granted, uneven", 70_000_000),
        refused(),
    ];
    cases.extend([(2, "2 threads"), (8, "8 threads")].map(|(threads, name)| shared(threads, name)));
    cases
}

fn granted(name: &'static str, rate: u32) -> Case {
    let present = Present::default();
    let (limiter, rival) = (ours(rate, 100), peer(rate, 100, &present));
    let clock = present.clone();
    Case {
        name,
        ours: Box::new(move |calls| {
            timed(calls, || {
                clock.pass(20);
                assert!(black_box(&limiter).try_acquire(black_box(&clock), 1));
            })
        }),
        peer: Some(Box::new(move |calls| {
            timed(calls, || {
                present.pass(20);
                assert!(black_box(&rival).check().is_ok());
            })
        })),
    }
}

fn refused() -> Case {
    let present = Present::default();
    let (limiter, rival) = (ours(1, 1), peer(1, 1, &present));
    let _ = (limiter.try_acquire(&present, 1), rival.check());
    let clock = present;
    Case {
        name: "refused",
        ours: Box::new(move |calls| {
            timed(calls, || assert!(!black_box(&limiter).try_acquire(black_box(&clock), 1)))
        }),
        peer: Some(Box::new(move |calls| {
            timed(calls, || assert!(black_box(&rival).check().is_err()))
        })),
    }
}

fn shared(threads: u32, name: &'static str) -> Case {
    let present = Present::default();
    // A burst that no run uses up.
    let (limiter, rival) = (ours(1_000_000_000, u32::MAX), peer(1_000_000_000, u32::MAX, &present));
    let clock = present;
    Case {
        name,
        ours: Box::new(move |calls| {
            on_threads(threads, calls, || {
                black_box(black_box(&limiter).try_acquire(black_box(&clock), 1));
            })
        }),
        peer: Some(Box::new(move |calls| {
            on_threads(threads, calls, || {
                let _ = black_box(black_box(&rival).check());
            })
        })),
    }
}

/// A limiter for each of many keys, which come at random: integers, which ours tells apart by a
/// permutation under its seed and the peer by the hasher it comes with, `SipHash`-1-3.
#[must_use]
pub fn keyed() -> Vec<Case> {
    [(1_000, "1 k keys"), (100_000, "100 k keys"), (1_000_000, "1 M keys")]
        .map(|(keys, name)| one_of_many(keys, name))
        .into()
}

fn one_of_many(keys: u64, name: &'static str) -> Case {
    let quota = Quota::new(Rate::per(1_000, Nanos::from_secs(1)).unwrap(), 1_000_000).unwrap();
    let seed = Seed::new([7, 11]);
    let capacity = usize::try_from(keys).unwrap();
    let limiter = KeyedRateLimiter::new(&[quota], capacity, seed).unwrap();
    let seed = Seed::new([7, 11]);
    let present = Present::default();
    let [rate, burst] = [1_000, 1_000_000].map(|number| NonZeroU32::new(number).unwrap());
    let terms = governor::Quota::per_second(rate).allow_burst(burst);
    let rival: KeyedPeer = governor::RateLimiter::dashmap_with_clock(terms, present.clone());
    let clock = present;
    // Kept from round to round, so that all keys come in the end.
    let [row, other] = [1, 1].map(Cell::new);
    Case {
        name,
        ours: Box::new(move |calls| {
            timed(calls, || {
                let key = (next_key(&row) % keys).to_le_bytes();
                let key = seed.integer(&key);
                black_box(black_box(&limiter).try_acquire(black_box(&clock), key, 1));
            })
        }),
        peer: Some(Box::new(move |calls| {
            timed(calls, || {
                let _ = black_box(black_box(&rival).check_key(&(next_key(&other) % keys)));
            })
        })),
    }
}

/// The next of a row of numbers without order (Marsaglia's xorshift), the same in every run.
fn next_key(row: &Cell<u64>) -> u64 {
    let mut next = row.get();
    next ^= next << 13;
    next ^= next >> 7;
    next ^= next << 17;
    row.set(next);
    next
}

/// One limit shared out to shards, drawn from by threads with keys of their own; its peer is the
/// one limiter that it takes the place of.
#[must_use]
pub fn sharded() -> Vec<Case> {
    [(1, "1 thread"), (2, "2 threads"), (8, "8 threads")]
        .map(|(threads, name)| spread(threads, name))
        .into()
}

fn spread(threads: u32, name: &'static str) -> Case {
    let rate = Rate::per(1_000_000_000, Nanos::from_secs(1)).unwrap();
    let limiter = ShardedRateLimiter::new(&Quota::new(rate, u32::MAX.into()).unwrap(), 8).unwrap();
    let (seed, present) = (Seed::new([7, 11]), Present::default());
    let rival = peer(1_000_000_000, u32::MAX, &present);
    let clock = present;
    Case {
        name,
        ours: Box::new(move |calls| {
            let keys = AtomicU64::new(0);
            on_threads(threads, calls, || {
                let key = KEY.get().unwrap_or_else(|| {
                    let number = keys.fetch_add(1, Ordering::Relaxed);
                    KEY.set(Some(seed.integer(&number.to_le_bytes())));
                    seed.integer(&number.to_le_bytes())
                });
                black_box(black_box(&limiter).try_acquire(black_box(&clock), key, 1));
            })
        }),
        peer: Some(Box::new(move |calls| {
            on_threads(threads, calls, || {
                let _ = black_box(black_box(&rival).check());
            })
        })),
    }
}

thread_local! {
    /// The key that a thread draws by.
    static KEY: Cell<Option<Fingerprint>> = const { Cell::new(None) };
}

/// A closed breaker: admitted, and settled as a success or a failure that does not trip.
#[must_use]
pub fn breaker() -> Vec<Case> {
    vec![guarded("success", Outcome::Success), guarded("failure", Outcome::Failure)]
}

fn guarded(name: &'static str, outcome: Outcome) -> Case {
    let config = BreakerConfig::new(BreakerOptions {
        failure_ratio: Ratio::new(1, 2).unwrap(),
        min_throughput: u64::MAX,
        sampling: Sampling::Time(Nanos::from_secs(10)),
        consecutive_failures: None,
        slow_call_duration: None,
        slow_call_ratio: Ratio::new(1, 1).unwrap(),
        break_duration: Nanos::from_secs(30),
        half_open_max_calls: 1,
        probe_timeout: None,
    })
    .unwrap();
    let state = LongBreakerState::new(Nanos::ZERO);
    let now = Nanos::from_secs(1);
    Case {
        name,
        ours: Box::new(move |calls| {
            let breaker = Breaker::new(&config, &state);
            timed(calls, || {
                if let Ok(permit) = breaker.enter(black_box(now)).verdict {
                    black_box(breaker.settle(&permit, outcome, black_box(now)));
                }
            })
        }),
        peer: None,
    }
}
