//! The limiter against the promise it makes, on random traces.
#![cfg(not(loom))]
#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]

mod oracle;

use oracle::window::{Promise, Use};
use proptest::collection::vec;
use proptest::prelude::*;
use sluicegate_core::composite::{self, Share};
use sluicegate_core::{Clock as _, Grant, ManualClock, Nanos, Quota, Rate, RateLimiter};

fn limiter(promises: &[Promise]) -> RateLimiter {
    let quotas: Vec<Quota> = promises
        .iter()
        .map(|promise| {
            let rate = Rate::per(promise.permits, Nanos::new(promise.period)).unwrap();
            Quota::new(rate, promise.burst).unwrap()
        })
        .collect();
    RateLimiter::new(&quotas).unwrap()
}

prop_compose! {
    fn promise()(permits in 1_u64..40, period in 1_u64..1_000, burst in 1_u64..12) -> Promise {
        // A slower period than a nanosecond a permit keeps the rate within the range.
        Promise { permits, period: period.max(permits), burst }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Advance(u64),
    Attempt(u64),
    Reserve { count: u64, max_wait: u64 },
    Cancel(usize),
    Commit { which: usize, unused: u64 },
    Defer { which: usize, by: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0_u64..300).prop_map(Step::Advance),
        3 => (1_u64..8).prop_map(Step::Attempt),
        4 => (1_u64..8, 0_u64..2_000).prop_map(|(count, max_wait)| Step::Reserve { count, max_wait }),
        3 => any::<usize>().prop_map(Step::Cancel),
        2 => (any::<usize>(), 0_u64..8).prop_map(|(which, unused)| Step::Commit { which, unused }),
        1 => (any::<usize>(), 0_u64..500).prop_map(|(which, by)| Step::Defer { which, by }),
    ]
}

struct Trace {
    limiter: RateLimiter,
    clock: ManualClock,
    uses: Vec<Use>,
    open: Vec<(Grant, usize)>,
}

impl Trace {
    fn new(promises: &[Promise]) -> Self {
        let clock = ManualClock::new(Nanos::new(7));
        Self { limiter: limiter(promises), clock, uses: Vec::new(), open: Vec::new() }
    }

    fn take(&mut self, step: &Step) {
        let now = self.clock.now();
        match *step {
            Step::Advance(span) => drop(self.clock.advance(Nanos::new(span))),
            Step::Attempt(count) => {
                if self.limiter.try_acquire(&self.clock, count) {
                    self.uses.push(Use { at: now.get(), count });
                }
            }
            Step::Reserve { count, max_wait } => {
                let reserved = self.limiter.reserve(&self.clock, count, Nanos::new(max_wait));
                if let Ok((grant, _)) = reserved {
                    assert!(grant.execute_at() <= now + Nanos::new(max_wait));
                    self.open.push((grant, self.uses.len()));
                    self.uses.push(Use { at: grant.execute_at().get(), count });
                }
            }
            Step::Cancel(which) if !self.open.is_empty() => {
                let (grant, place) = self.open.swap_remove(which % self.open.len());
                if now < grant.execute_at() {
                    self.limiter.cancel(&grant, &self.clock);
                    self.uses[place].count = 0;
                }
            }
            Step::Commit { which, unused } if !self.open.is_empty() => {
                let (grant, place) = self.open.swap_remove(which % self.open.len());
                let actual = grant.count().saturating_sub(unused);
                self.limiter.commit(&grant, &self.clock, actual);
                self.uses[place].count = actual;
            }
            Step::Defer { which, by } if !self.open.is_empty() => {
                let place = which % self.open.len();
                let (grant, _) = &mut self.open[place];
                self.limiter.defer(grant, grant.reserved_at() + Nanos::new(by));
            }
            Step::Cancel(_) | Step::Commit { .. } | Step::Defer { .. } => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn one_bandwidth_admits_exactly_what_the_promise_allows(
        promise in promise(),
        steps in vec((0_u64..200, 1_u64..6), 1..60),
    ) {
        let (limiter, mut now, mut uses) = (limiter(&[promise]), 3, Vec::new());
        for (span, count) in steps {
            now += span;
            let more = Use { at: now, count };
            let allowed = limiter.try_acquire(&Nanos::new(now), count);
            prop_assert_eq!(allowed, promise.allows(&uses, more));
            if allowed {
                uses.push(more);
            }
        }
    }

    #[test]
    fn several_bandwidths_admit_what_all_of_them_allow(
        promises in vec(promise(), 1..4),
        steps in vec((0_u64..200, 1_u64..6), 1..40),
    ) {
        let (limiter, mut now, mut uses) = (limiter(&promises), 3, Vec::new());
        for (span, count) in steps {
            now += span;
            let more = Use { at: now, count };
            let allowed = limiter.attempt(&Nanos::new(now), count).allowed;
            prop_assert_eq!(allowed, promises.iter().all(|promise| promise.allows(&uses, more)));
            if allowed {
                uses.push(more);
            }
        }
    }

    #[test]
    fn several_limiters_are_drawn_from_all_or_not_at_all(
        requests in promise(),
        tokens in promise(),
        steps in vec((0_u64..200, 1_u64..4, 1_u64..6, 0_u64..400, any::<bool>()), 1..40),
    ) {
        let (of_requests, of_tokens) = (limiter(&[requests]), limiter(&[tokens]));
        let clock = ManualClock::new(Nanos::new(3));
        let (mut asked, mut spent) = (Vec::new(), Vec::new());
        for (span, count, cost, wait, settles) in steps {
            clock.advance(Nanos::new(span));
            let shares = [
                Share { limiter: &of_requests, count },
                Share { limiter: &of_tokens, count: cost },
            ];
            let before = shares.map(|share| share.limiter.peek(clock.now(), 0));
            let Ok((grants, _)) = composite::reserve(&shares, &clock, Nanos::new(wait)) else {
                prop_assert_eq!(shares.map(|share| share.limiter.peek(clock.now(), 0)), before);
                continue;
            };
            let [Some(request), Some(token), ..] = grants else { panic!("two shares, two grants") };
            prop_assert_eq!(request.execute_at(), token.execute_at());
            let actual = if settles { cost / 2 } else { cost };
            of_tokens.commit(&token, &clock, actual);
            asked.push(Use { at: request.execute_at().get(), count });
            spent.push(Use { at: token.execute_at().get(), count: actual });
        }
        prop_assert!(requests.is_kept_by(&asked));
        prop_assert!(tokens.is_kept_by(&spent));
    }

    #[test]
    fn retry_after_is_the_first_instant_of_a_grant(
        promises in vec(promise(), 1..4),
        steps in vec(step(), 1..30),
        count in 1_u64..8,
    ) {
        let mut trace = Trace::new(&promises);
        for step in &steps {
            trace.take(step);
        }
        let now = trace.clock.now();
        let decision = trace.limiter.peek(now, count);
        prop_assert_eq!(decision.allowed, decision.retry_after == Nanos::ZERO);
        if !decision.allowed && decision.retry_after < Nanos::MAX {
            let opens = now + decision.retry_after;
            prop_assert!(trace.limiter.peek(opens, count).allowed);
            prop_assert!(!trace.limiter.peek(opens - Nanos::new(1), count).allowed);
        }
        prop_assert_eq!(trace.limiter.attempt(&now, count), decision);
    }

    #[test]
    fn a_queue_that_gives_up_in_any_order_is_as_if_it_had_never_stood(
        promise in promise(),
        queue in vec((1_u64..8, any::<u64>()), 1..40),
    ) {
        let (limiter, now) = (limiter(&[promise]), Nanos::new(50));
        // Only who has to wait gets anything back by cancelling.
        prop_assert!(limiter.try_acquire(&now, promise.burst));
        let before = limiter.peek(now, 0);
        let mut grants: Vec<(u64, Grant)> = queue
            .into_iter()
            .filter(|(count, _)| *count <= promise.burst)
            .map(|(count, order)| (order, limiter.reserve(&now, count, Nanos::MAX).unwrap().0))
            .collect();
        grants.sort_by_key(|(order, _)| *order);
        for (_, grant) in &grants {
            limiter.cancel(grant, &now);
        }
        let after = limiter.peek(now, 0);
        prop_assert!(after.remaining >= before.remaining);
        // A start in the midst of a nanosecond is rounded up, which may stay.
        let rounded = Nanos::new(grants.len().try_into().unwrap());
        prop_assert!(after.reset_after <= before.reset_after + rounded, "{after:?} {before:?}");
    }

    #[test]
    fn a_reservation_cancelled_at_once_by_the_last_in_line_is_as_if_never_made(
        promises in vec(promise(), 1..4),
        spent in vec(1_u64..8, 0..6),
        count in 1_u64..8,
    ) {
        let (limiter, now) = (limiter(&promises), Nanos::new(50));
        for spent in spent {
            limiter.try_acquire(&now, spent);
        }
        let before = limiter.peek(now, 0);
        if let Ok((grant, _)) = limiter.reserve(&now, count, Nanos::from_secs(1)) {
            let given_back = limiter.cancel(&grant, &now);
            prop_assert_eq!(given_back, if grant.execute_at() > now { count } else { 0 });
            if grant.execute_at() > now {
                prop_assert_eq!(limiter.peek(now, 0), before);
            }
        }
    }
}

proptest! {
    // The rarest of the mistakes tried on it (see the page on proof) takes thousands to show.
    #![proptest_config(ProptestConfig {
        cases: if cfg!(debug_assertions) { 2_048 } else { 65_536 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_trace_of_reservations_breaks_the_promise(
        promises in vec(promise(), 1..4),
        steps in vec(step(), 1..60),
    ) {
        let mut trace = Trace::new(&promises);
        for step in &steps {
            trace.take(step);
        }
        for promise in &promises {
            prop_assert!(promise.is_kept_by(&trace.uses), "{promise:?} {:?}", trace.uses);
        }
    }
}
