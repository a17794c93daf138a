//! Calls, trips and hands in any order, on a clock that goes where it likes: every answer is that of
//! the slow and obvious breaker.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use sluicegate_core::Nanos;
use sluicegate_core::breaker::{
    Breaker, BreakerConfig, BreakerOptions, BreakerState, CircuitState, LongBreakerState, Outcome,
    Ratio, Sampling, ShortBreakerState,
};

#[allow(dead_code)]
#[path = "../../core/tests/oracle/breaker.rs"]
mod oracle;

#[derive(Arbitrary, Debug)]
enum Step {
    Enter,
    Settle { which: u8, how: u8 },
    Advance(u32),
    Back(u32),
    Force(u8),
}

#[derive(Arbitrary, Debug)]
struct Input {
    ratios: [u8; 2],
    min_throughput: u8,
    time: bool,
    window: u8,
    row: Option<u8>,
    slow: Option<u32>,
    break_duration: u32,
    probes: u8,
    lease: Option<u32>,
    steps: Vec<Step>,
}

impl Input {
    fn options(&self) -> BreakerOptions {
        let ratio = |tenths: u8| Ratio::new(u64::from(tenths % 11), 10).expect("a ratio");
        let window = self.window.max(1);
        BreakerOptions {
            failure_ratio: ratio(self.ratios[0]),
            min_throughput: u64::from(self.min_throughput % window),
            sampling: if self.time {
                Sampling::Time(Nanos::from_secs(window.into()))
            } else {
                Sampling::Count(window.into())
            },
            consecutive_failures: self.row.map(|row| u64::from(row) + 1),
            slow_call_duration: self.slow.map(|span| Nanos::new(span.into())),
            slow_call_ratio: ratio(self.ratios[1]),
            break_duration: Nanos::new(self.break_duration.into()),
            half_open_max_calls: self.probes % 64 + 1,
            probe_timeout: self.lease.map(|lease| Nanos::new(u64::from(lease) + 1)),
        }
    }
}

fuzz_target!(|input: Input| {
    let options = input.options();
    let Ok(config) = BreakerConfig::new(options) else { return };
    let state: Box<BreakerState> = if config.is_short() {
        Box::new(ShortBreakerState::short(Nanos::ZERO))
    } else {
        Box::new(LongBreakerState::new(Nanos::ZERO))
    };
    let breaker = Breaker::new(&config, &state);
    let mut oracle = oracle::Oracle::new(options);
    let (mut now, mut permits) = (0_u64, Vec::new());
    for step in input.steps.iter().take(400) {
        match *step {
            Step::Enter => {
                let entry = breaker.enter(Nanos::new(now));
                let (expected, changed) = oracle.enter(now);
                assert_eq!(entry.change.is_some(), changed);
                match (entry.verdict, expected) {
                    (Ok(permit), Ok(ticket)) => permits.push((permit, ticket)),
                    (Err(refusal), Err(wait)) => {
                        assert_eq!(refusal.retry_after.map(Nanos::get), wait);
                    }
                    (verdict, expected) => panic!("{verdict:?} where {expected:?} was due"),
                }
            }
            Step::Settle { which, how } if !permits.is_empty() => {
                let (permit, ticket) = permits.swap_remove(usize::from(which) % permits.len());
                let outcome =
                    [Outcome::Success, Outcome::Failure, Outcome::Ignored][usize::from(how % 3)];
                let change = breaker.settle(&permit, outcome, Nanos::new(now));
                let changed = change.map(|change| (change.from, change.to));
                assert_eq!(changed, oracle.settle(ticket, outcome, now));
            }
            Step::Settle { .. } => {}
            Step::Advance(span) => now += u64::from(span),
            Step::Back(span) => now = now.saturating_sub(span.into()),
            Step::Force(to) => {
                let to = [
                    CircuitState::Closed,
                    CircuitState::Isolated,
                    CircuitState::MetricsOnly,
                    CircuitState::Disabled,
                ][usize::from(to % 4)];
                assert_eq!(breaker.force(to, Nanos::new(now)).is_some(), oracle.force(to, now));
            }
        }
        let seen = breaker.snapshot(Nanos::new(now));
        assert_eq!(seen.state, oracle.state(now));
        assert_eq!((seen.throughput, seen.failures, seen.slow_calls), oracle.figures(now));
    }
});
