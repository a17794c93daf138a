//! Models of a breaker's word, window and probes: every order in which two threads can meet.
//!
//! Run with `RUSTFLAGS="--cfg loom" cargo test -p sluicegate-core --test loom_breaker --release`.
#![cfg(loom)]

use loom::sync::Arc;
use loom::thread;
use sluicegate_core::Nanos;
use sluicegate_core::breaker::{
    Breaker, BreakerConfig, BreakerOptions, Change, CircuitState, LongBreakerState, Outcome,
    Permit, Ratio, Sampling,
};

const START: Nanos = Nanos::ZERO;

fn options() -> BreakerOptions {
    BreakerOptions {
        failure_ratio: Ratio::new(1, 2).unwrap(),
        min_throughput: 2,
        sampling: Sampling::Time(Nanos::from_secs(2)),
        consecutive_failures: None,
        slow_call_duration: None,
        slow_call_ratio: Ratio::new(1, 1).unwrap(),
        break_duration: Nanos::from_secs(1),
        half_open_max_calls: 1,
        probe_timeout: Some(Nanos::from_secs(1)),
    }
}

#[derive(Clone)]
struct Shared {
    config: BreakerConfig,
    state: Arc<LongBreakerState>,
}

impl Shared {
    fn new(options: BreakerOptions) -> Self {
        let config = BreakerConfig::new(options).unwrap();
        Self { config, state: Arc::new(LongBreakerState::new(START)) }
    }

    fn breaker(&self) -> Breaker<'_> {
        Breaker::new(&self.config, &*self.state)
    }

    fn permit(&self, now: Nanos) -> Permit {
        self.breaker().enter(now).verdict.expect("admitted")
    }

    fn settle(&self, permit: &Permit, outcome: Outcome, now: Nanos) -> Option<Change> {
        self.breaker().settle(permit, outcome, now)
    }

    /// Opens by as many failures as it takes, one after the other.
    fn opened(self) -> Self {
        for _ in 0..2 {
            let permit = self.permit(START);
            let _ = self.settle(&permit, Outcome::Failure, START);
        }
        assert_eq!(self.breaker().state(START), CircuitState::Open);
        self
    }

    fn ends(&self) -> CircuitState {
        self.breaker().snapshot(START).state
    }
}

/// Does one thing in a thread of its own and the other here; gives what both gave.
fn at_once<A: 'static, B>(
    shared: &Shared,
    one: impl FnOnce(&Shared) -> A + 'static,
    other: impl FnOnce(&Shared) -> B,
) -> (A, B) {
    let theirs = shared.clone();
    let thread = thread::spawn(move || one(&theirs));
    let mine = other(shared);
    (thread.join().unwrap(), mine)
}

#[test]
fn loom_two_failures_at_once_in_two_cells_trip_once() {
    loom::model(|| {
        let shared = Shared::new(options());
        let (one, other) = (shared.permit(START), shared.permit(START));
        let later = Nanos::from_secs(1);
        let (one, other) = at_once(
            &shared,
            move |shared| shared.settle(&one, Outcome::Failure, START),
            |shared| shared.settle(&other, Outcome::Failure, later),
        );
        assert!(one.is_some() ^ other.is_some(), "exactly one of them trips");
        let snapshot = shared.breaker().snapshot(later);
        assert_eq!((snapshot.trips, snapshot.throughput, snapshot.failures), (1, 2, 2));
    });
}

#[test]
fn loom_two_failures_at_once_trip_a_count_window_once() {
    loom::model(|| {
        let shared = Shared::new(BreakerOptions { sampling: Sampling::Count(2), ..options() });
        let (one, other) = (shared.permit(START), shared.permit(START));
        let (one, other) = at_once(
            &shared,
            move |shared| shared.settle(&one, Outcome::Failure, START),
            |shared| shared.settle(&other, Outcome::Failure, START),
        );
        assert!(one.is_some() ^ other.is_some(), "exactly one of them trips");
        assert_eq!(shared.ends(), CircuitState::Open);
    });
}

#[test]
fn loom_two_failures_in_a_row_trip_once() {
    loom::model(|| {
        let in_a_row =
            BreakerOptions { consecutive_failures: Some(2), min_throughput: 9, ..options() };
        let shared = Shared::new(in_a_row);
        let (one, other) = (shared.permit(START), shared.permit(START));
        let (one, other) = at_once(
            &shared,
            move |shared| shared.settle(&one, Outcome::Failure, START),
            |shared| shared.settle(&other, Outcome::Failure, START),
        );
        assert!(one.is_some() ^ other.is_some(), "exactly one of them trips");
    });
}

#[test]
fn loom_a_trip_that_is_still_being_counted_and_the_next_are_two() {
    loom::model(|| {
        let shared = Shared::new(BreakerOptions { min_throughput: 1, ..options() });
        let one = shared.permit(START);
        let later = Nanos::from_secs(1);
        let (first, second) = at_once(
            &shared,
            move |shared| shared.settle(&one, Outcome::Failure, START),
            |shared| {
                let entry = shared.breaker().enter(later);
                entry.verdict.ok().and_then(|it| shared.settle(&it, Outcome::Failure, later))
            },
        );
        let trips = [first, second].into_iter().flatten().filter_map(|change| change.trip);
        let last = trips.clone().map(|trip| trip.consecutive).max();
        let snapshot = shared.breaker().snapshot(later);
        assert_eq!(snapshot.trips, trips.count() as u64);
        assert_eq!(Some(snapshot.consecutive_trips), last);
    });
}

/// Records one call at the start and two at once later, and gives what the window then holds.
fn window_after(one: Nanos, other: Nanos) -> u64 {
    let shared = Shared::new(options());
    let before = shared.permit(START);
    let _ = shared.settle(&before, Outcome::Success, START);
    let (first, second) = (shared.permit(START), shared.permit(START));
    at_once(
        &shared,
        move |shared| shared.settle(&first, Outcome::Success, one),
        |shared| shared.settle(&second, Outcome::Success, other),
    );
    let snapshot = shared.breaker().snapshot(one.max(other));
    assert_eq!(snapshot.total_successes, 3);
    snapshot.throughput
}

#[test]
fn loom_calls_that_move_the_window_to_the_same_cell_lose_no_result() {
    loom::model(|| {
        let later = Nanos::from_secs(2);
        assert_eq!(window_after(later, later), 2);
    });
}

#[test]
fn loom_calls_that_move_the_window_one_after_the_other_lose_no_result() {
    loom::model(|| {
        assert_eq!(window_after(Nanos::from_secs(2), Nanos::from_secs(3)), 2);
    });
}

#[test]
fn loom_one_of_two_callers_becomes_the_probe() {
    loom::model(|| {
        let shared = Shared::new(options()).opened();
        let after = Nanos::from_secs(1);
        let (one, other) = at_once(
            &shared,
            move |shared| shared.breaker().enter(after),
            |shared| shared.breaker().enter(after),
        );
        assert!(one.verdict.is_ok() ^ other.verdict.is_ok(), "one place, one probe");
        assert!(one.change.is_some() ^ other.change.is_some(), "half-open is told once");
    });
}

/// Brings back two probes at once and gives the state this ends in, and the trips in a row.
fn verdict_of(one: Outcome, other: Outcome) -> (CircuitState, u64) {
    let two = BreakerOptions { half_open_max_calls: 2, ..options() };
    let shared = Shared::new(two).opened();
    let after = Nanos::from_secs(1);
    let (first, second) = (shared.permit(after), shared.permit(after));
    let (one, other) = at_once(
        &shared,
        move |shared| shared.settle(&first, one, after),
        |shared| shared.settle(&second, other, after),
    );
    assert!(one.is_some() ^ other.is_some(), "the verdict is drawn once");
    let snapshot = shared.breaker().snapshot(after);
    (snapshot.state, snapshot.consecutive_trips)
}

#[test]
fn loom_two_probes_that_do_well_close_it() {
    loom::model(|| {
        let verdict = verdict_of(Outcome::Success, Outcome::Success);
        assert_eq!(verdict, (CircuitState::Closed, 0));
    });
}

#[test]
fn loom_one_of_two_probes_that_fails_opens_it_for_the_second_time_in_a_row() {
    loom::model(|| {
        let verdict = verdict_of(Outcome::Success, Outcome::Failure);
        assert_eq!(verdict, (CircuitState::Open, 2));
    });
}

#[test]
fn loom_a_late_result_never_reaches_the_window_after_a_reset() {
    loom::model(|| {
        let shared = Shared::new(BreakerOptions { min_throughput: 1, ..options() });
        let late = shared.permit(START);
        at_once(
            &shared,
            move |shared| shared.settle(&late, Outcome::Failure, START),
            |shared| {
                let _ = shared.breaker().force(CircuitState::Isolated, START);
                let _ = shared.breaker().force(CircuitState::Closed, START);
            },
        );
        let snapshot = shared.breaker().snapshot(START);
        assert_eq!((snapshot.state, snapshot.throughput), (CircuitState::Closed, 0));
        assert_eq!(snapshot.total_failures, 1);
    });
}

#[test]
fn loom_an_expired_probe_and_its_successor_never_both_count() {
    loom::model(|| {
        let shared = Shared::new(options()).opened();
        let (after, expired) = (Nanos::from_secs(1), Nanos::from_secs(2));
        let first = shared.permit(after);
        let (late, successor) = at_once(
            &shared,
            move |shared| shared.settle(&first, Outcome::Failure, expired),
            |shared| {
                // A refused successor may have drawn the conclusion for the probe that came back.
                let entry = shared.breaker().enter(expired);
                match entry.verdict {
                    Ok(permit) => shared.settle(&permit, Outcome::Success, expired),
                    Err(_) => entry.change,
                }
            },
        );
        assert!(late.is_some() ^ successor.is_some(), "{late:?} {successor:?}");
        let change = late.or(successor).expect("a verdict");
        assert_eq!(shared.breaker().state(START), change.to);
    });
}

#[test]
fn loom_a_break_that_comes_late_opens_nothing() {
    loom::model(|| {
        let shared = Shared::new(BreakerOptions { min_throughput: 1, ..options() });
        let permit = shared.permit(START);
        let change = shared.settle(&permit, Outcome::Failure, START).expect("a trip");
        let trip = change.trip.expect("a ticket");
        at_once(
            &shared,
            move |shared| shared.breaker().set_break(trip, Nanos::from_secs(9)),
            |shared| shared.breaker().force(CircuitState::Closed, START),
        );
        assert_eq!(shared.ends(), CircuitState::Closed);
    });
}
