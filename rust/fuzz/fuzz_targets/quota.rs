//! Any rate and burst, asked at any instants of a clock that goes where it likes: no panic, and a
//! refusal names the first instant of a grant.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use sluicegate_core::{Nanos, Quota, Rate, RateLimiter};

#[derive(Arbitrary, Debug)]
struct Terms {
    permits: u128,
    nanos: u128,
    burst: u64,
}

#[derive(Arbitrary, Debug)]
struct Input {
    terms: Terms,
    later: Option<Terms>,
    asked: Vec<(u64, u64)>,
}

/// A line is exact for 73 years; beyond that it need only refuse.
const RANGE: u64 = 1 << 61;

fn quota(terms: &Terms) -> Option<Quota> {
    Quota::new(Rate::new(terms.permits, terms.nanos)?, terms.burst).ok()
}

fuzz_target!(|input: Input| {
    let Some(first) = quota(&input.terms) else { return };
    let Ok(limiter) = RateLimiter::new(&[first]) else { return };
    let mut later = input.later.as_ref().and_then(quota);
    for (now, count) in input.asked {
        let now = Nanos::new(now);
        let said = limiter.peek(now, count);
        assert_eq!(said, limiter.attempt(&now, count));
        assert!(said.remaining <= said.limit);
        let opens = now + said.retry_after;
        if !said.allowed
            && opens.get() < RANGE
            && now.get() < RANGE
            && said.retry_after > Nanos::ZERO
        {
            assert!(limiter.peek(opens, count).allowed);
            assert!(!limiter.peek(opens - Nanos::new(1), count).allowed);
        }
        if let Some(quota) = later.take() {
            limiter.update(now, &[quota]).expect("as many quotas as before");
        }
    }
});
