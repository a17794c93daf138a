//! Random lives of a breaker, step for step beside one that is slow and obvious.
#![cfg(not(loom))]

#[path = "oracle/breaker.rs"]
mod oracle;

use oracle::{Oracle, Ticket};
use proptest::prelude::*;
use sluicegate_core::Nanos;
use sluicegate_core::breaker::{
    Breaker, BreakerConfig, BreakerOptions, BreakerState, CircuitState, LongBreakerState, Outcome,
    Permit, Ratio, Sampling, ShortBreakerState, Trip,
};

const SECOND: u64 = 1_000_000_000;

#[derive(Clone, Debug)]
enum Step {
    Enter,
    Settle(usize, Outcome),
    Advance(u64),
    /// Waits as long as the breaker asks, or a nanosecond less.
    WaitOut(u64),
    /// Goes on to where the next cell of a time window begins, or a nanosecond less.
    NextCell(u64),
    Back(u64),
    Force(CircuitState),
    /// Gives a break to the latest trip, or to the one before.
    SetBreak(usize, u64),
}

fn forced() -> impl Strategy<Value = CircuitState> {
    prop_oneof![
        2 => Just(CircuitState::Closed),
        1 => Just(CircuitState::Isolated),
        1 => Just(CircuitState::MetricsOnly),
        1 => Just(CircuitState::Disabled)
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let outcome = prop_oneof![
        4 => Just(Outcome::Failure),
        3 => Just(Outcome::Success),
        1 => Just(Outcome::Ignored)
    ];
    prop_oneof![
        20 => Just(Step::Enter),
        20 => (any::<usize>(), outcome).prop_map(|(of, how)| Step::Settle(of, how)),
        8 => prop_oneof![0..SECOND / 10, 0..4 * SECOND, Just(SECOND), Just(31 * SECOND)]
            .prop_map(Step::Advance),
        3 => (0..2_u64).prop_map(Step::WaitOut),
        3 => (0..2_u64).prop_map(Step::NextCell),
        1 => (0..SECOND).prop_map(Step::Back),
        1 => forced().prop_map(Step::Force),
        3 => (0..2_usize, 0..8 * SECOND).prop_map(|(back, span)| Step::SetBreak(back, span)),
    ]
}

fn ratio() -> impl Strategy<Value = Ratio> {
    (0..=10_u64).prop_map(|tenths| Ratio::new(tenths, 10).expect("a ratio"))
}

/// Any span of up to two seconds, or one that the steps of time meet exactly.
fn span() -> impl Strategy<Value = Nanos> {
    prop_oneof![(0..2 * SECOND).prop_map(Nanos::new), Just(Nanos::new(SECOND))]
}

prop_compose! {
    fn options()(
        failure_ratio in ratio(),
        slow_call_ratio in ratio(),
        min_throughput in 0..5_u64,
        sampling in prop_oneof![
            (1..10_u64).prop_map(|span| Sampling::Time(Nanos::from_secs(span))),
            (5..70_u16).prop_map(Sampling::Count)
        ],
        consecutive_failures in prop::option::of(1..5_u64),
        slow_call_duration in prop::option::of(span()),
        break_duration in span(),
        half_open_max_calls in 1..6_u8,
        probe_timeout in prop::option::of((1..2 * SECOND).prop_map(Nanos::new)),
    ) -> BreakerOptions {
        BreakerOptions {
            failure_ratio, min_throughput, sampling, consecutive_failures, slow_call_duration,
            slow_call_ratio, break_duration, half_open_max_calls, probe_timeout,
        }
    }
}

/// The least state that serves.
fn state(config: &BreakerConfig, now: Nanos) -> Box<BreakerState> {
    if config.is_short() {
        Box::new(ShortBreakerState::short(now))
    } else {
        Box::new(LongBreakerState::new(now))
    }
}

/// The breaker and its oracle at one time, and the permits they gave.
struct Pair {
    config: BreakerConfig,
    state: Box<BreakerState>,
    origin: u64,
    oracle: Oracle,
    now: u64,
    permits: Vec<(Permit, Ticket)>,
    trips: Vec<(Trip, u64, u64)>,
}

impl Pair {
    fn new(options: BreakerOptions, origin: u64) -> Self {
        let config = BreakerConfig::new(options).expect("options that make sense");
        let state = state(&config, Nanos::new(origin));
        let oracle = Oracle::new(options);
        Self { config, state, origin, oracle, now: 0, permits: Vec::new(), trips: Vec::new() }
    }

    fn apply(&mut self, step: &Step) {
        let now = Nanos::new(self.origin + self.now);
        let breaker = Breaker::new(&self.config, &self.state);
        match *step {
            Step::Enter => {
                let entry = breaker.enter(now);
                let (expected, changed) = self.oracle.enter(self.now);
                assert_eq!(entry.change.is_some(), changed);
                match (entry.verdict, expected) {
                    (Ok(permit), Ok(ticket)) => self.permits.push((permit, ticket)),
                    (Err(refusal), Err(wait)) => {
                        assert_eq!(refusal.retry_after.map(Nanos::get), wait);
                    }
                    (verdict, expected) => panic!("{verdict:?} where {expected:?} was due"),
                }
            }
            Step::Settle(of, outcome) => {
                if self.permits.is_empty() {
                    return;
                }
                let (permit, ticket) = self.permits.swap_remove(of % self.permits.len());
                let change = breaker.settle(&permit, outcome, now);
                let expected = self.oracle.settle(ticket, outcome, self.now);
                if let Some(trip) = change.and_then(|change| change.trip) {
                    assert_eq!(trip.consecutive, self.oracle.consecutive);
                    self.trips.push((trip, self.oracle.generation(), self.now));
                }
                let changed = change.map(|change| (change.from, change.to));
                assert_eq!(changed, expected);
            }
            Step::Advance(span) => self.now += span,
            Step::WaitOut(less) => {
                let wait = self.oracle.retry_after(self.now).unwrap_or(0);
                self.now += wait.saturating_sub(less);
            }
            Step::NextCell(less) => {
                if let Sampling::Time(span) = self.config.options().sampling {
                    let cell = span.get() / 64;
                    self.now = (self.now / cell + 1) * cell - less;
                }
            }
            Step::Back(span) => self.now = self.now.saturating_sub(span),
            Step::Force(to) => {
                assert_eq!(breaker.force(to, now).is_some(), self.oracle.force(to, self.now));
            }
            Step::SetBreak(back, duration) => {
                if let Some(&(trip, generation, at)) = self.trips.iter().rev().nth(back) {
                    breaker.set_break(trip, Nanos::new(duration));
                    self.oracle.set_break(generation, at, duration);
                }
            }
        }
    }

    fn compare(&self) {
        let breaker = Breaker::new(&self.config, &self.state);
        let now = Nanos::new(self.origin + self.now);
        let (seen, oracle) = (breaker.snapshot(now), &self.oracle);
        assert_eq!(seen.state, oracle.state(self.now));
        assert_eq!(breaker.state(now), seen.state);
        assert_eq!(breaker.retry_after(now).map(Nanos::get), oracle.retry_after(self.now));
        assert_eq!((seen.throughput, seen.failures, seen.slow_calls), oracle.figures(self.now));
        assert_eq!(seen.consecutive_trips, oracle.consecutive);
        assert_eq!(seen.time_in_state.get(), oracle.time_in_state(self.now));
        let totals = oracle::Totals {
            trips: seen.trips,
            successes: seen.total_successes,
            failures: seen.total_failures,
            slow: seen.total_slow,
            ignored: seen.total_ignored,
            rejected: seen.total_rejected,
        };
        assert_eq!(totals, oracle.totals);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 256,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_breaker_lives_as_the_obvious_one_does(
        options in options(),
        origin in prop_oneof![Just(0), Just(1_760_000_000 * SECOND), 0..SECOND],
        begin in forced(),
        steps in prop::collection::vec(step(), 1..400),
    ) {
        let mut pair = Pair::new(options, origin);
        pair.apply(&Step::Force(begin));
        for step in steps {
            pair.apply(&step);
            pair.compare();
        }
    }
}

fn plain_options() -> BreakerOptions {
    BreakerOptions {
        failure_ratio: Ratio::new(1, 2).expect("a ratio"),
        min_throughput: 2,
        sampling: Sampling::Time(Nanos::from_secs(10)),
        consecutive_failures: None,
        slow_call_duration: None,
        slow_call_ratio: Ratio::new(1, 1).expect("a ratio"),
        break_duration: Nanos::from_secs(1),
        half_open_max_calls: 3,
        probe_timeout: None,
    }
}

#[test]
fn a_result_at_the_edge_of_two_cells_goes_to_the_later_one() {
    let config = BreakerConfig::new(BreakerOptions {
        sampling: Sampling::Time(Nanos::from_secs(64)),
        ..plain_options()
    })
    .expect("options that make sense");
    let state = ShortBreakerState::short(Nanos::ZERO);
    let breaker = Breaker::new(&config, &state);
    let throughput = |seconds| breaker.snapshot(Nanos::from_secs(seconds)).throughput;
    for seconds in 0..3 {
        let permit = breaker.enter(Nanos::ZERO).verdict.expect("admitted");
        let ends = Nanos::from_secs(seconds);
        assert_eq!(breaker.settle(&permit, Outcome::Success, ends), None);
    }
    assert_eq!([63, 64, 65, 66].map(throughput), [3, 2, 1, 0]);
}

#[test]
fn only_a_success_that_merely_finds_its_cell_may_be_handed_a_late_time() {
    let tolerates = |options, outcome, lag| {
        let config = BreakerConfig::new(options).expect("options that make sense");
        let state = LongBreakerState::new(Nanos::ZERO);
        let breaker = Breaker::new(&config, &state);
        let permit = breaker.enter(Nanos::ZERO).verdict.expect("admitted");
        breaker.tolerates(&permit, outcome, Nanos::new(lag))
    };
    let (plain, eighth) = (plain_options(), 10 * SECOND / 64 / 8);
    assert!(tolerates(plain, Outcome::Success, eighth));
    assert!(!tolerates(plain, Outcome::Success, eighth + 1));
    assert!(!tolerates(plain, Outcome::Failure, 1));
    assert!(tolerates(
        BreakerOptions { sampling: Sampling::Count(10), ..plain },
        Outcome::Success,
        SECOND
    ));
    let timed = BreakerOptions { slow_call_duration: Some(Nanos::ZERO), ..plain };
    assert!(!tolerates(timed, Outcome::Success, 1));
}

#[test]
fn a_probe_is_never_handed_a_late_time() {
    let options = BreakerOptions {
        consecutive_failures: Some(1),
        break_duration: Nanos::ZERO,
        ..plain_options()
    };
    let config = BreakerConfig::new(options).expect("options that make sense");
    let state = LongBreakerState::new(Nanos::ZERO);
    let breaker = Breaker::new(&config, &state);
    let permit = breaker.enter(Nanos::ZERO).verdict.expect("admitted");
    assert!(breaker.settle(&permit, Outcome::Failure, Nanos::ZERO).is_some());
    let probe = breaker.enter(Nanos::ZERO).verdict.expect("a probe");
    assert!(!breaker.tolerates(&probe, Outcome::Success, Nanos::new(1)));
}

#[test]
fn generations_come_round_and_meet_nothing_of_their_past() {
    let mut pair = Pair::new(plain_options(), 7);
    let mut apply = |step| {
        pair.apply(&step);
        pair.compare();
    };
    let settle = |outcome| Step::Settle(0, outcome);
    // A round takes two to seven generations; 13 bits of them come round several times.
    for round in 0..20_000_u64 {
        for outcome in [Outcome::Failure, Outcome::Failure] {
            apply(Step::Enter);
            apply(settle(outcome));
        }
        apply(Step::Advance(SECOND + round * 7_919 % SECOND));
        match round % 5 {
            0 => apply(Step::Force(CircuitState::Isolated)),
            1 => apply(Step::Force(CircuitState::MetricsOnly)),
            _ => {}
        }
        for outcome in [Outcome::Success, Outcome::Failure, Outcome::Success] {
            apply(Step::Enter);
            apply(settle(outcome));
        }
        if round % 3 == 0 {
            apply(Step::Force(CircuitState::Closed));
        }
    }
}

#[test]
fn a_breaker_is_idle_while_one_built_now_would_decide_the_same() {
    let life = |options: BreakerOptions, outcome| {
        let config = BreakerConfig::new(options).expect("options that make sense");
        let state = LongBreakerState::new(Nanos::ZERO);
        let breaker = Breaker::new(&config, &state);
        assert!(breaker.is_idle(Nanos::ZERO), "before its first call");
        let permit = breaker.enter(Nanos::ZERO).verdict.expect("admitted");
        let _ = breaker.settle(&permit, outcome, Nanos::ZERO);
        [0, 10 * SECOND - 1, 10 * SECOND].map(|now| breaker.is_idle(Nanos::new(now)))
    };
    let plain = plain_options();
    assert_eq!(life(plain, Outcome::Ignored), [true, true, true]);
    assert_eq!(life(plain, Outcome::Success), [false, false, true]);
    assert_eq!(life(plain, Outcome::Failure), [false, false, true]);
    let row = BreakerOptions { consecutive_failures: Some(2), ..plain };
    assert_eq!(life(row, Outcome::Failure), [false, false, false], "the row has no end");
    let opened = BreakerOptions { consecutive_failures: Some(1), ..plain };
    assert_eq!(life(opened, Outcome::Failure), [false, false, false], "it is open");
    let counted = BreakerOptions { sampling: Sampling::Count(5), ..plain };
    assert_eq!(life(counted, Outcome::Success), [false, false, false], "no time empties it");
}

#[test]
fn a_breaker_that_times_no_calls_lets_in_freely_while_it_lets_in_at_all() {
    let state = LongBreakerState::new(Nanos::ZERO);
    let config = BreakerConfig::new(plain_options()).expect("options that make sense");
    let breaker = Breaker::new(&config, &state);
    let permit = breaker.enter_freely().expect("closed").pack().expect("no probe");
    assert!(breaker.settle(&Permit::unpack(permit), Outcome::Success, Nanos::ZERO).is_none());
    assert_eq!(breaker.snapshot(Nanos::ZERO).throughput, 1);
    let timed = BreakerOptions { slow_call_duration: Some(Nanos::ZERO), ..plain_options() };
    let timing = BreakerConfig::new(timed).expect("options that make sense");
    assert!(Breaker::new(&timing, &state).enter_freely().is_none());
    for to in [CircuitState::MetricsOnly, CircuitState::Disabled] {
        assert!(breaker.force(to, Nanos::ZERO).is_some());
        assert!(breaker.enter_freely().is_some());
    }
    assert!(breaker.force(CircuitState::Isolated, Nanos::ZERO).is_some());
    assert!(breaker.enter_freely().is_none());
    assert_eq!(breaker.snapshot(Nanos::ZERO).total_rejected, 0, "whoever refuses counts it");
}

#[test]
fn probes_that_may_yet_prove_slow_keep_the_verdict_open() {
    let options = BreakerOptions {
        failure_ratio: Ratio::new(1, 1).expect("a ratio"),
        slow_call_ratio: Ratio::new(1, 2).expect("a ratio"),
        slow_call_duration: Some(Nanos::from_secs(1)),
        consecutive_failures: Some(1),
        half_open_max_calls: 4,
        ..plain_options()
    };
    let config = BreakerConfig::new(options).expect("options that make sense");
    let state = LongBreakerState::new(Nanos::ZERO);
    let breaker = Breaker::new(&config, &state);
    let failing = breaker.enter(Nanos::ZERO).verdict.expect("closed");
    assert!(breaker.settle(&failing, Outcome::Failure, Nanos::ZERO).is_some());
    let [then, now, slow] = [1, 2, 4].map(Nanos::from_secs);
    let probes = [(); 4].map(|()| breaker.enter(then).verdict.expect("a probe"));
    let settle = |place: usize, at| breaker.settle(&probes[place], Outcome::Success, at);
    assert_eq!((settle(0, now), breaker.state(now)), (None, CircuitState::HalfOpen));
    assert_eq!((settle(1, slow), breaker.state(slow)), (None, CircuitState::HalfOpen));
    let change = settle(2, slow).expect("two of four were slow");
    assert_eq!(
        (change.to, change.trip.map(|trip| trip.consecutive)),
        (CircuitState::Open, Some(2))
    );
}

#[test]
fn a_short_state_has_a_place_for_each_of_1792_results_and_a_long_one_for_2048() {
    for (size, short) in [(1, true), (1_792, true), (1_793, false), (2_048, false)] {
        let options = BreakerOptions {
            sampling: Sampling::Count(size),
            min_throughput: u64::from(size),
            ..plain_options()
        };
        let config = BreakerConfig::new(options).expect("options that make sense");
        assert_eq!(config.is_short(), short);
        let state = state(&config, Nanos::ZERO);
        let breaker = Breaker::new(&config, &state);
        for number in 0..size {
            let outcome = if number % 3 == 0 { Outcome::Failure } else { Outcome::Success };
            let permit = breaker.enter(Nanos::ZERO).verdict.expect("admitted");
            assert!(breaker.settle(&permit, outcome, Nanos::ZERO).is_none() || size == 1);
        }
        let seen = breaker.snapshot(Nanos::ZERO);
        assert_eq!((seen.throughput, seen.failures), (size.into(), size.div_ceil(3).into()));
    }
    let timed = BreakerConfig::new(plain_options()).expect("options that make sense");
    assert!(timed.is_short());
}
