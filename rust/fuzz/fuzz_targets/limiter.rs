//! Draws, reservations, cancellations, settlements and delays in any order: the promise is kept.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use sluicegate_core::{Clock as _, Grant, ManualClock, Nanos, Quota, Rate, RateLimiter};

#[allow(dead_code)]
#[path = "../../core/tests/oracle/window.rs"]
mod window;

use window::{Promise, Use};

#[derive(Arbitrary, Debug)]
enum Step {
    Advance(u8),
    Draw(u8),
    Reserve { count: u8, max_wait: u16 },
    Cancel(u8),
    Commit { which: u8, unused: u8 },
    Defer { which: u8, by: u16 },
}

#[derive(Arbitrary, Debug)]
struct Input {
    promises: Vec<(u8, u16, u8)>,
    steps: Vec<Step>,
}

fuzz_target!(|input: Input| {
    let promises: Vec<Promise> = input
        .promises
        .iter()
        .take(3)
        .map(|&(permits, period, burst)| {
            let (permits, period) = (u64::from(permits) + 1, u64::from(period) + 1);
            Promise { permits, period: period.max(permits), burst: u64::from(burst) + 1 }
        })
        .collect();
    let quotas: Vec<Quota> = promises
        .iter()
        .map(|promise| {
            let rate = Rate::per(promise.permits, Nanos::new(promise.period)).expect("a rate");
            Quota::new(rate, promise.burst).expect("a quota")
        })
        .collect();
    let Ok(limiter) = RateLimiter::new(&quotas) else { return };
    let clock = ManualClock::new(Nanos::new(7));
    let (mut uses, mut open): (Vec<Use>, Vec<(Grant, usize)>) = (Vec::new(), Vec::new());
    for step in input.steps.iter().take(200) {
        let now = clock.now();
        match *step {
            Step::Advance(span) => drop(clock.advance(Nanos::new(span.into()))),
            Step::Draw(count) => {
                if limiter.try_acquire(&clock, count.into()) {
                    uses.push(Use { at: now.get(), count: count.into() });
                }
            }
            Step::Reserve { count, max_wait } => {
                let max_wait = Nanos::new(max_wait.into());
                if let Ok((grant, _)) = limiter.reserve(&clock, count.into(), max_wait) {
                    open.push((grant, uses.len()));
                    uses.push(Use { at: grant.execute_at().get(), count: count.into() });
                }
            }
            Step::Cancel(which) if !open.is_empty() => {
                let (grant, place) = open.swap_remove(usize::from(which) % open.len());
                if now < grant.execute_at() {
                    limiter.cancel(&grant, &clock);
                    uses[place].count = 0;
                }
            }
            Step::Commit { which, unused } if !open.is_empty() => {
                let (grant, place) = open.swap_remove(usize::from(which) % open.len());
                let actual = grant.count().saturating_sub(unused.into());
                limiter.commit(&grant, &clock, actual);
                uses[place].count = actual;
            }
            Step::Defer { which, by } if !open.is_empty() => {
                let which = usize::from(which) % open.len();
                let grant = &mut open[which].0;
                limiter.defer(grant, grant.reserved_at() + Nanos::new(by.into()));
            }
            Step::Cancel(_) | Step::Commit { .. } | Step::Defer { .. } => {}
        }
    }
    for promise in &promises {
        assert!(promise.is_kept_by(&uses), "{promise:?} {uses:?}");
    }
});
