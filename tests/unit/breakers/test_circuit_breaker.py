"""When a circuit breaker trips, how it recovers, and what it says meanwhile."""

import pytest

from sluicegate import (
    CircuitBreaker,
    CircuitState,
)


def test_ten_failures_of_ten_open_it_and_the_next_call_is_refused(breaker, events):
    breaker.fail(10)
    assert breaker.state is CircuitState.OPEN
    error = breaker.rejection()
    assert (error.retry_after, error.state, error.policy) == (1.0, CircuitState.OPEN, "far")
    assert events == ["opened"]


def test_the_refusal_says_how_much_of_the_break_is_left(breaker, clock):
    breaker.fail(10)
    clock.advance(0.5)
    assert breaker.rejection().retry_after == breaker.retry_after == 0.5


def test_the_break_is_over_at_its_very_end_and_a_failing_probe_begins_another(breaker, clock, events):
    breaker.fail(10)
    clock.advance(1.0)
    breaker.fail()
    assert breaker.state is CircuitState.OPEN
    assert breaker.rejection().retry_after == 1.0
    assert events == ["opened", "half_opened", "opened"]


def test_a_nanosecond_before_its_end_the_break_is_not_over(breaker, clock):
    breaker.fail(10)
    clock.advance_ns(999_999_999)
    assert breaker.rejection().retry_after == 1e-9
    clock.advance_ns(1)
    breaker.succeed()


def test_a_successful_probe_closes_it(breaker, clock, events):
    breaker.fail(10)
    clock.advance(1.0)
    breaker.succeed()
    assert breaker.state is CircuitState.CLOSED
    assert breaker.retry_after is None
    assert events == ["opened", "half_opened", "closed"]


def test_the_generator_chooses_the_break_in_place_of_its_duration(build, clock, events):
    breaker = build(break_duration=30.0, break_duration_generator=lambda trips: 1.0)
    breaker.fail(10)
    assert breaker.rejection().retry_after == 1.0
    clock.advance(1.0)
    breaker.fail()
    assert breaker.rejection().retry_after == 1.0
    clock.advance(1.0)
    breaker.succeed()
    assert events == ["opened", "half_opened", "opened", "half_opened", "closed"]


@pytest.mark.parametrize(
    ("calls", "failures", "state"),
    [(10, 1, CircuitState.OPEN), (9, 1, CircuitState.CLOSED), (10, 0, CircuitState.CLOSED)],
)
def test_a_threshold_of_a_tenth_is_reached_by_one_of_ten(build, calls, failures, state):
    breaker = build(failure_ratio=0.1)
    breaker.succeed(calls - failures)
    breaker.fail(failures)
    assert breaker.state is state


@pytest.mark.parametrize(
    ("failures", "successes", "state"),
    [(9, 0, CircuitState.CLOSED), (4, 6, CircuitState.CLOSED), (5, 5, CircuitState.OPEN)],
)
def test_half_of_ten_trip_and_nothing_less_does(breaker, failures, successes, state):
    breaker.succeed(successes)
    breaker.fail(failures)
    assert breaker.state is state


def test_a_ratio_is_the_decimal_that_was_written(build):
    breaker = build(failure_ratio=0.3)
    breaker.succeed(7)
    breaker.fail(3)
    assert breaker.state is CircuitState.OPEN


def test_a_ratio_of_zero_trips_on_the_first_failure_that_has_the_throughput(build):
    breaker = build(failure_ratio=0.0)
    breaker.succeed(10)
    assert breaker.state is CircuitState.CLOSED
    breaker.fail()
    assert breaker.state is CircuitState.OPEN


def test_failures_as_old_as_the_window_no_longer_count(build, clock):
    breaker = build(min_throughput=4)
    breaker.succeed(2)
    breaker.fail()
    clock.advance(10.0)
    breaker.fail()
    assert breaker.state is CircuitState.CLOSED
    assert breaker.snapshot().throughput == 1


def test_results_leave_the_window_one_by_one_as_they_age(breaker, clock):
    for _ in range(10):
        breaker.succeed()
        clock.advance(1.0)
    assert breaker.snapshot().throughput == 9
    clock.advance(1.0)
    assert breaker.snapshot().throughput == 8


def test_an_emptied_window_has_no_calls_and_a_ratio_of_zero(breaker, clock):
    breaker.succeed(2)
    clock.advance(10.0)
    snapshot = breaker.snapshot()
    assert (snapshot.throughput, snapshot.failure_ratio) == (0, 0.0)


def test_a_break_beyond_the_range_of_time_stops_at_its_end(build, clock):
    breaker = build(break_duration=1e300)
    breaker.fail(10)
    clock.advance(86_400.0 * 365 * 8)
    assert breaker.rejection().retry_after > 86_400 * 180


def test_a_success_never_trips_even_where_it_brings_the_throughput(build):
    breaker = build(min_throughput=5)
    breaker.fail(3)
    breaker.succeed(2)
    assert breaker.state is CircuitState.CLOSED
    breaker.fail()
    assert breaker.state is CircuitState.OPEN
    breaker.rejection()
    assert breaker.snapshot().total_rejected == 1


def test_the_ratio_decides_from_the_minimum_throughput_on(build, clock):
    breaker = build(sampling_duration=20.0, min_throughput=5)
    for outcome in (breaker.succeed, breaker.succeed, breaker.succeed, breaker.fail, breaker.fail):
        outcome()
        clock.advance(1.0)
    assert breaker.state is CircuitState.CLOSED
    breaker.fail()
    assert breaker.state is CircuitState.OPEN
    assert breaker.snapshot().failure_ratio == 0.5


def test_while_open_the_figures_that_tripped_it_stand_still(build, clock):
    breaker = build(min_throughput=5, break_duration=60.0)
    breaker.succeed(2)
    breaker.fail(3)
    clock.advance(30.0)
    snapshot = breaker.snapshot()
    assert (snapshot.throughput, snapshot.failures, snapshot.failure_ratio) == (5, 3, 0.6)
    assert (snapshot.trips, snapshot.consecutive_trips, snapshot.time_in_state) == (1, 1, 30.0)


def test_a_count_window_holds_the_last_results(build):
    breaker = build(sampling_count=10, failure_ratio=1.0)
    breaker.succeed(2)
    breaker.fail(2)
    assert breaker.snapshot().throughput == 4
    breaker.fail(4)
    breaker.succeed(4)
    assert (breaker.snapshot().throughput, breaker.snapshot().failure_ratio) == (10, 0.6)
    breaker.succeed(3)
    assert (breaker.snapshot().throughput, breaker.snapshot().failure_ratio) == (10, 0.3)


@pytest.mark.parametrize("size", [1_792, 1_793, 2_048])
def test_the_longest_count_windows_have_a_place_for_each_result(build, size):
    breaker = build(sampling_count=size, min_throughput=size, failure_ratio=1.0)
    breaker.succeed()
    breaker.fail(size - 1)
    assert breaker.state is CircuitState.CLOSED
    assert (breaker.snapshot().throughput, breaker.snapshot().failures) == (size, size - 1)
    breaker.fail()
    assert breaker.state is CircuitState.OPEN


def test_a_count_window_trips_and_forgets_nothing_by_time(build, clock):
    breaker = build(sampling_count=10)
    breaker.fail(9)
    clock.advance(86_400.0)
    breaker.fail()
    assert breaker.state is CircuitState.OPEN


def test_failures_in_a_row_trip_whatever_the_throughput(build):
    breaker = build(consecutive_failures=3)
    breaker.fail(2)
    breaker.succeed()
    breaker.fail(2)
    assert breaker.state is CircuitState.CLOSED
    breaker.fail()
    assert breaker.state is CircuitState.OPEN


def test_the_longest_open_break_lasts_to_its_end(build, clock):
    breaker = build(break_duration=7200.0)
    breaker.fail(10)
    clock.advance(3600.0)
    breaker.rejection()
    clock.advance(3601.0)
    assert breaker.state is CircuitState.HALF_OPEN
    breaker.succeed()


def test_breaks_grow_with_the_trips_that_follow_each_other(build, clock):
    breaker = build(break_duration_generator=lambda trips: 5.0 * 1.5 ** (trips - 1))
    breaker.fail(10)
    clock.advance(5.0)
    breaker.fail()
    clock.advance(6.0)
    breaker.rejection()
    clock.advance(5.0)
    breaker.succeed()


def test_the_generator_counts_the_trips_in_a_row_and_begins_anew_once_it_closed(build, clock):
    counted = []
    breaker = build(break_duration_generator=lambda trips: counted.append(trips) or 1.0)
    breaker.fail(10)
    for _ in range(2):
        clock.advance(1.0)
        breaker.fail()
    clock.advance(1.0)
    breaker.succeed()
    breaker.fail(10)
    assert counted == [1, 2, 3, 1]
    assert (breaker.snapshot().trips, breaker.snapshot().consecutive_trips) == (4, 1)


def test_a_break_of_zero_makes_the_next_call_a_probe(build, events):
    breaker = build(break_duration=0)
    breaker.fail(10)
    assert breaker.state is CircuitState.HALF_OPEN
    assert breaker.retry_after == 0.0
    breaker.succeed()
    assert events == ["opened", "half_opened", "closed"]


def test_no_break_duration_means_thirty_seconds():
    assert CircuitBreaker(min_throughput=1).config.break_duration == 30.0


def test_time_in_state_runs_from_the_change_and_half_open_from_the_end_of_the_break(breaker, clock):
    clock.advance(2.0)
    assert breaker.snapshot().time_in_state == 2.0
    breaker.fail(10)
    assert breaker.snapshot().time_in_state == 0.0
    clock.advance(1.25)
    assert (breaker.state, breaker.snapshot().time_in_state) == (CircuitState.HALF_OPEN, 0.25)
    breaker.try_enter().ignore()
    assert breaker.snapshot().time_in_state == 0.25


def test_a_clock_that_steps_back_changes_no_state_and_forgets_nothing(build, clock):
    breaker = build(min_throughput=3)
    clock.set(100.0)
    breaker.fail(2)
    clock.set(50.0)
    assert breaker.snapshot().throughput == 2
    breaker.succeed()
    breaker.fail()
    assert breaker.state is CircuitState.OPEN
    clock.set(0.0)
    assert breaker.state is CircuitState.OPEN
    assert breaker.snapshot().time_in_state == 0.0
    assert breaker.snapshot().throughput == 4


def test_a_clock_that_shows_the_time_of_day_is_as_good_as_any(build, clock):
    clock.set(1_760_000_000.0)
    breaker = build()
    breaker.fail(10)
    assert breaker.rejection().retry_after == 1.0
    clock.advance(1.0)
    breaker.succeed()


def test_a_success_closes_with_a_window_that_is_empty(breaker, clock):
    breaker.fail(10)
    clock.advance(1.0)
    breaker.succeed()
    assert breaker.snapshot().throughput == 0
    breaker.fail(9)
    assert breaker.state is CircuitState.CLOSED


def test_a_hundred_refusals_have_one_traceback_that_does_not_grow(breaker):
    breaker.fail(10)
    errors = [breaker.rejection() for _ in range(100)]
    depths = set()
    for error in errors:
        depth, traceback = 0, error.__traceback__
        while traceback is not None:
            depth, traceback = depth + 1, traceback.tb_next
        depths.add(depth)
    assert len(depths) == 1
    assert all(error.last_failure is errors[0].last_failure for error in errors)


def test_the_last_failure_is_the_exception_that_opened_it(breaker):
    error = ConnectionError("the last")
    breaker.fail(9)
    breaker.fail(error=error)
    assert breaker.last_failure is error
    assert breaker.rejection().last_failure is error


def test_opened_by_a_result_it_has_no_last_failure(build):
    breaker = build(handle_result=lambda result: result == 99)
    breaker.fail(9)
    assert breaker.call(lambda: 99) == 99
    assert breaker.state is CircuitState.OPEN
    assert breaker.rejection().last_failure is None


def test_the_last_failure_is_known_to_the_generator(build):
    seen = []
    breaker = build(
        consecutive_failures=1, break_duration_generator=lambda trips: seen.append(breaker.last_failure) or 1
    )
    error = ConnectionError()
    breaker.fail(error=error)
    assert seen == [error]


def test_results_of_several_types_share_one_state(build):
    breaker = build(failure_ratio=1.0, handle_result=lambda result: result in (-1, "error"))
    for _ in range(5):
        assert breaker.call(lambda: -1) == -1
        assert breaker.call(lambda: "error") == "error"
    assert breaker.state is CircuitState.OPEN


def test_a_slow_call_is_one_that_took_longer_than_the_limit(build, clock):
    breaker = build(min_throughput=5, slow_call_duration=4.0, slow_call_ratio=0.5, sampling_duration=20.0)
    breaker.call(clock.advance, 4.0)
    assert breaker.snapshot().slow_calls == 0
    breaker.call(clock.advance_ns, 4_000_000_001)
    assert breaker.snapshot().slow_calls == 1


def test_slow_calls_trip_at_their_own_ratio_though_they_succeed(build, clock):
    breaker = build(min_throughput=5, slow_call_duration=4.0, slow_call_ratio=0.5, sampling_duration=20.0)

    def take(duration, error=None):
        clock.advance(duration)
        if error:
            raise error

    with pytest.raises(ConnectionError):
        breaker.call(take, 5.0, ConnectionError())
    breaker.call(take, 5.0)
    with pytest.raises(ConnectionError):
        breaker.call(take, 0.1, ConnectionError())
    breaker.call(take, 0.1)
    assert breaker.state is CircuitState.CLOSED
    breaker.call(take, 5.0)
    assert breaker.state is CircuitState.OPEN
    snapshot = breaker.snapshot()
    assert (snapshot.slow_call_ratio, snapshot.failure_ratio, snapshot.total_slow) == (0.6, 0.4, 3)
