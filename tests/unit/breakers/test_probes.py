"""Half-open: who is let through, when the verdict falls, and what a probe that never returns can do."""

import asyncio

import pytest

from sluicegate import CircuitOpenError, CircuitState


def test_while_the_probe_is_out_the_second_call_is_refused_and_told_when_to_come(half_open):
    breaker = half_open(probe_timeout=5.0)
    with breaker.try_enter():
        error = breaker.rejection()
        assert (error.state, error.retry_after) == (CircuitState.HALF_OPEN, 5.0)
    assert breaker.state is CircuitState.CLOSED


def test_as_many_probes_are_let_through_as_there_are_places(half_open):
    breaker = half_open(half_open_max_calls=4)
    permits = [breaker.try_enter() for _ in range(6)]
    assert [permit is not None for permit in permits] == [True] * 4 + [False] * 2
    permits[0].ignore()
    assert breaker.retry_after == 0.0
    permits.append(breaker.try_enter())
    assert permits[-1] is not None
    assert breaker.try_enter() is None


def test_four_probes_open_it_as_soon_as_half_have_failed(half_open, events):
    breaker = half_open(half_open_max_calls=4)
    permits = [breaker.try_enter() for _ in range(4)]
    permits[0].failure()
    assert breaker.state is CircuitState.HALF_OPEN
    permits[1].failure()
    assert breaker.state is CircuitState.OPEN
    assert events == ["opened", "half_opened", "opened"]
    permits[2].success()
    permits[3].failure()
    snapshot = breaker.snapshot()
    assert (snapshot.throughput, snapshot.failure_ratio) == (2, 1.0)
    assert (snapshot.total_successes, snapshot.total_failures) == (1, 13)


def test_one_failure_of_four_probes_closes_it_with_a_fresh_window(half_open):
    breaker = half_open(half_open_max_calls=4)
    permits = [breaker.try_enter() for _ in range(4)]
    permits[0].failure()
    permits[1].success()
    permits[2].success()
    assert breaker.state is CircuitState.HALF_OPEN
    permits[3].success()
    assert breaker.state is CircuitState.CLOSED
    assert breaker.snapshot().throughput == 0


def test_the_verdict_falls_once_the_rest_cannot_change_it(half_open):
    breaker = half_open(half_open_max_calls=4, failure_ratio=0.75)
    permits = [breaker.try_enter() for _ in range(4)]
    permits[0].success()
    assert breaker.state is CircuitState.HALF_OPEN
    permits[1].success()
    assert breaker.state is CircuitState.CLOSED


def test_the_minimum_throughput_plays_no_part_in_the_verdict(half_open):
    breaker = half_open(half_open_max_calls=2)
    breaker.succeed()
    assert breaker.state is CircuitState.HALF_OPEN
    breaker.fail()
    assert breaker.state is CircuitState.OPEN


def test_slow_probes_open_it_though_none_fails(half_open, clock):
    breaker = half_open(half_open_max_calls=4, slow_call_duration=4.0, slow_call_ratio=0.75)
    for _ in range(3):
        breaker.call(clock.advance, 5.0)
    snapshot = breaker.snapshot()
    assert (snapshot.state, snapshot.failure_ratio, snapshot.slow_call_ratio) == (CircuitState.OPEN, 0.0, 1.0)


def test_a_slow_probe_leaves_the_verdict_to_the_others(half_open, clock):
    breaker = half_open(half_open_max_calls=4, slow_call_duration=4.0, slow_call_ratio=0.75)
    breaker.call(clock.advance, 5.0)
    breaker.succeed(2)
    assert breaker.state is CircuitState.CLOSED


def test_a_probe_past_its_lease_is_replaced_at_its_very_end(half_open, clock):
    breaker = half_open(break_duration=1.0, probe_timeout=2.0)
    first = breaker.try_enter()
    clock.advance_ns(1_999_999_999)
    assert breaker.try_enter() is None
    clock.advance_ns(1)
    second = breaker.try_enter()
    assert breaker.try_enter() is None
    first.failure()
    assert breaker.state is CircuitState.HALF_OPEN
    second.success()
    assert breaker.state is CircuitState.CLOSED
    assert breaker.snapshot().total_failures == 11


def test_a_probe_past_its_lease_whose_place_nobody_took_still_counts(half_open, clock):
    breaker = half_open(probe_timeout=2.0)
    permit = breaker.try_enter()
    clock.advance(60.0)
    permit.success()
    assert breaker.state is CircuitState.CLOSED


def test_without_a_timeout_the_lease_is_thirty_seconds_after_a_shorter_break(build, clock):
    breaker = build(min_throughput=2, break_duration=30.0)
    breaker.fail(2)
    clock.advance(30.0)
    probe = breaker.try_enter()
    assert (probe is not None, breaker.try_enter()) == (True, None)
    clock.advance(30.0)
    assert breaker.try_enter() is not None


def test_without_a_timeout_the_lease_is_as_long_as_a_longer_break_truly_was(build, clock):
    breaker = build(min_throughput=2, break_duration_generator=lambda trips: 100.0)
    breaker.fail(2)
    clock.advance(100.0)
    with breaker.try_enter():
        assert breaker.retry_after == 100.0


@pytest.mark.parametrize("verb", ["success", "failure"])
def test_a_stale_result_does_not_move_a_half_open_breaker(build, clock, verb):
    breaker = build()
    late = breaker.try_enter()
    breaker.fail(10)
    clock.advance(1.0)
    probe = breaker.try_enter()
    getattr(late, verb)()
    assert breaker.state is CircuitState.HALF_OPEN
    assert breaker.snapshot().throughput == 0
    probe.success()
    assert breaker.state is CircuitState.CLOSED


def test_a_stale_release_frees_no_place(build, clock):
    breaker = build(break_duration=1.0)
    breaker.fail(10)
    clock.advance(1.0)
    late = breaker.try_enter()
    breaker.reset()
    breaker.fail(10)
    clock.advance(1.0)
    probe = breaker.try_enter()
    late.ignore()
    assert breaker.try_enter() is None
    probe.success()


def test_a_release_after_the_place_was_taken_over_frees_no_place(half_open, clock):
    breaker = half_open(probe_timeout=2.0)
    late = breaker.try_enter()
    clock.advance(2.0)
    successor = breaker.try_enter()
    late.ignore()
    assert breaker.try_enter() is None
    successor.success()


def test_the_event_of_half_open_comes_with_the_first_call_let_in(half_open, events):
    breaker = half_open()
    assert (breaker.state, events) == (CircuitState.HALF_OPEN, ["opened"])
    breaker.try_enter().ignore()
    assert events == ["opened", "half_opened"]


async def test_a_cancelled_probe_frees_its_place_and_changes_nothing(half_open):
    breaker = half_open()
    started = asyncio.Event()

    async def hang():
        started.set()
        await asyncio.Event().wait()

    probe = asyncio.create_task(breaker.call(hang))
    await started.wait()
    assert breaker.try_enter() is None
    probe.cancel()
    with pytest.raises(asyncio.CancelledError):
        await probe
    assert breaker.state is CircuitState.HALF_OPEN
    assert breaker.snapshot().total_ignored == 1
    breaker.succeed()
    assert breaker.state is CircuitState.CLOSED


async def test_of_twenty_calls_at_once_one_is_the_probe(half_open):
    breaker = half_open()
    calls = []

    async def call():
        calls.append(None)
        await asyncio.sleep(0)
        return "fine"

    answers = await asyncio.gather(*(breaker.call(call) for _ in range(20)), return_exceptions=True)
    assert (len(calls), answers.count("fine")) == (1, 1)
    assert sum(isinstance(answer, CircuitOpenError) for answer in answers) == 19
    assert breaker.state is CircuitState.CLOSED
