"""Circuit breakers that many processes share: they trip and probe together."""

import multiprocessing
import os
import random
import signal
import time
from datetime import timedelta

import pytest
from shared_workers import call_and_fail, fail_calls, probe_and_hang

from sluicegate import (
    CircuitBreaker,
    CircuitBreakerConfig,
    CircuitBreakerRegistry,
    CircuitOpenError,
    CircuitState,
    ConfigurationError,
)


def breakers(clock, **fields):
    return [CircuitBreaker(consecutive_failures=2, shared="search", clock=clock, **fields) for _ in range(2)]


def fail(breaker):
    breaker.try_enter().failure(OSError("down"))


def test_they_trip_together(clock):
    first, second = breakers(clock)
    fail(first)
    fail(second)
    assert (first.state, second.state) == (CircuitState.OPEN, CircuitState.OPEN)
    assert first.try_enter() is None
    with pytest.raises(CircuitOpenError):
        first.call(len, "x")
    assert first.snapshot() == second.snapshot()


def test_they_probe_together(clock):
    first, second = breakers(clock, break_duration=5.0)
    fail(first)
    fail(first)
    clock.advance(5.0)
    probe = second.try_enter()
    assert probe is not None
    assert first.try_enter() is None
    probe.success()
    assert first.state is CircuitState.CLOSED


def test_isolation_holds_for_all(clock):
    first, second = breakers(clock)
    first.isolate("maintenance")
    assert second.state is CircuitState.ISOLATED
    second.reset()
    assert first.try_enter() is not None


def test_another_configuration_is_refused_unless_it_is_adopted(clock):
    CircuitBreaker(failure_ratio=0.25, sampling_duration=5, shared="search", clock=clock)
    CircuitBreaker(failure_ratio=0.25, sampling_duration=5.0, shared="search", clock=clock)
    CircuitBreaker(failure_ratio=0.25, sampling_duration=timedelta(seconds=5), shared="search", clock=clock)
    with pytest.raises(ConfigurationError, match="adopt=True"):
        CircuitBreaker(failure_ratio=0.5, shared="search", clock=clock)
    adopted = CircuitBreaker(shared="search", adopt=True, handle=OSError, clock=clock)
    assert (adopted.config.failure_ratio, adopted.config.handle) == (0.25, OSError)


def test_functions_of_a_config_are_each_processs_own(clock):
    CircuitBreaker(CircuitBreakerConfig(handle=OSError), shared="search", clock=clock)
    CircuitBreaker(CircuitBreakerConfig(handle=ValueError), shared="search", clock=clock)


def test_a_registry_shares_the_breaker_of_a_key(clock):
    config = CircuitBreakerConfig(consecutive_failures=2)
    first, second = (
        CircuitBreakerRegistry(config, max_keys=20, shared="hosts", clock=clock) for _ in range(2)
    )
    fail(first["a.example"])
    fail(second[b"a.example"])
    assert first["a.example"].state is CircuitState.OPEN
    assert second["b.example"].state is CircuitState.CLOSED
    assert second.stats().trips == 1


def test_a_dropped_breaker_of_a_shared_registry_keeps_its_state(clock):
    config = CircuitBreakerConfig(consecutive_failures=2)
    registry = CircuitBreakerRegistry(config, max_keys=1, shared="hosts", clock=clock)
    registry["a"].try_enter().success()
    clock.advance(60.0)
    for key in ("b", "c"):
        registry[key].try_enter().success()
    assert registry["a"].snapshot().total_successes == 1


def test_a_key_that_finds_no_place_has_a_breaker_of_its_own(clock):
    registry = CircuitBreakerRegistry(max_keys=1, shared="hosts", clock=clock)
    shared = [registry[key]._is_shared for key in range(5)]
    assert shared == [True, True, False, False, False]
    assert registry[4].call(len, "four") == 4


@pytest.mark.parametrize("kind", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_failures_in_several_processes_trip_one_breaker(kind):
    context = multiprocessing.get_context(kind)
    states = context.Queue()
    workers = [context.Process(target=fail_calls, args=(states,)) for _ in range(2)]
    for worker in workers:
        worker.start()
    found = [states.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join(60)
    assert str(CircuitState.OPEN) in found


@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_the_lease_of_a_dead_probe_runs_out_with_its_timeout():
    breaker = CircuitBreaker(consecutive_failures=1, break_duration=0, probe_timeout=1, shared="search")
    fail(breaker)
    context = multiprocessing.get_context("fork")
    entered = context.Queue()
    worker = context.Process(target=probe_and_hang, args=(breaker, entered))
    worker.start()
    assert entered.get(timeout=60)
    os.kill(worker.pid, signal.SIGKILL)
    worker.join(60)
    began = time.monotonic()
    while (permit := breaker.try_enter()) is None:
        assert time.monotonic() - began < 5.0
        time.sleep(min(breaker.retry_after or 0.0, 1) + 0.001)
    assert time.monotonic() - began < 2  # one lease, and what a busy machine adds
    permit.success()
    assert breaker.state is CircuitState.CLOSED


@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_killed_processes_never_leave_a_breaker_stuck():
    breaker = CircuitBreaker(
        consecutive_failures=3,
        break_duration=0.002,
        probe_timeout=0.05,
        half_open_max_calls=2,
        shared="search",
    )
    context = multiprocessing.get_context("fork")
    chance = random.Random(5)
    for seed in range(int(os.environ.get("SLUICEGATE_KILLS", "20"))):
        workers = [context.Process(target=call_and_fail, args=(breaker, seed + step)) for step in range(2)]
        for worker in workers:
            worker.start()
        time.sleep(chance.uniform(0.0005, 0.01))
        for worker in workers:
            os.kill(worker.pid, signal.SIGKILL)
            worker.join(60)
    assert breaker.snapshot().trips > 0
    # Whatever state they left: those probes are replaced, and two that are well close it.
    began = time.monotonic()
    while breaker.state is not CircuitState.CLOSED:
        assert time.monotonic() - began < 5.0
        permit = breaker.try_enter()
        if permit is not None:
            permit.success()
        else:
            time.sleep(0.001)
    assert CircuitBreaker(breaker.config, shared="search").call(len, "four") == 4
