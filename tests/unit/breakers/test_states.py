"""The states that a hand brings about."""

import time

import pytest

from sluicegate import CircuitBreaker, CircuitIsolatedError, CircuitState


def test_an_isolated_breaker_refuses_until_it_is_reset(breaker, clock, events):
    breaker.isolate("maintenance")
    clock.advance(3600.0)
    for _ in range(3):
        error = breaker.rejection()
        assert type(error) is CircuitIsolatedError
        assert (error.reason, error.retry_after, breaker.retry_after) == ("maintenance", None, None)
    assert breaker.snapshot().total_rejected == 3
    breaker.reset()
    breaker.succeed()
    assert events == ["isolated", "closed"]


def test_closing_by_hand_what_a_hand_has_isolated_clears_its_figures(breaker, events):
    breaker.fail(9)
    breaker.isolate()
    breaker.reset()
    snapshot = breaker.snapshot()
    assert (snapshot.throughput, snapshot.failures, snapshot.consecutive_trips) == (0, 0, 0)
    breaker.fail(9)
    assert breaker.state is CircuitState.CLOSED
    assert events == ["isolated", "closed"]


def test_isolating_never_asks_the_generator(build):
    counted = []
    build(break_duration_generator=counted.append).isolate()
    assert counted == []


def test_reset_closes_from_any_state_and_forgets_the_window(breaker):
    breaker.fail(9)
    breaker.reset()
    assert breaker.snapshot().throughput == 0
    assert breaker.last_failure is None
    breaker.fail(9)
    assert breaker.state is CircuitState.CLOSED
    breaker.fail()
    breaker.reset()
    assert breaker.state is CircuitState.CLOSED


def test_metrics_only_records_but_never_trips_and_says_so_once(build, events):
    breaker = build(min_throughput=5)
    breaker.metrics_only()
    breaker.fail(3)
    breaker.succeed(2)
    assert breaker.snapshot().failure_ratio == 0.6
    breaker.fail(3)
    assert breaker.state is CircuitState.METRICS_ONLY
    assert events == ["metrics_only", "exceeded"]


def test_a_disabled_breaker_counts_nothing(breaker, events):
    breaker.disable()
    breaker.fail(20)
    breaker.succeed(20)
    breaker.try_enter().ignore()
    snapshot = breaker.snapshot()
    assert snapshot.state is CircuitState.DISABLED
    assert snapshot.throughput == snapshot.total_failures == snapshot.total_successes == 0
    assert snapshot.total_ignored == 0
    assert events == ["disabled"]


@pytest.mark.parametrize("verb", ["isolate", "reset", "metrics_only", "disable"])
def test_a_state_set_to_itself_is_no_event(breaker, events, verb):
    getattr(breaker, verb)()
    events.clear()
    getattr(breaker, verb)()
    assert events == []


def test_it_shows_its_name_and_state(breaker):
    assert repr(breaker) == "<CircuitBreaker 'far' closed>"


def test_time_in_state_knows_nothing_of_the_wall_clock(monkeypatch):
    breaker = CircuitBreaker()
    breaker.isolate()
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert 0.0 <= breaker.snapshot().time_in_state < 60.0
