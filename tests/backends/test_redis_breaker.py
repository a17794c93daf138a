"""The circuit breaker in Redis, against a real server: what it refuses, learns and costs."""

import asyncio
import contextvars
import gc
import itertools
import multiprocessing
import os
import signal
import time

import pytest
import redis.asyncio
import valkey.asyncio

from sluicegate import (
    CircuitBreakerConfig,
    CircuitBreakerManualControl,
    CircuitBreakerStateProvider,
    CircuitIsolatedError,
    CircuitOpenError,
    CircuitState,
    ConfigurationError,
    Pipeline,
)
from sluicegate.backends.redis import AsyncRedisCircuitBreaker, RedisCircuitBreaker


def fail(breaker, times=1):
    for _ in range(times):
        breaker.try_enter().failure(OSError("down"))


def raises():
    raise OSError("down")


def test_processes_of_one_name_trip_together_and_others_do_not(breaker_of):
    one, two = breaker_of(consecutive_failures=2), breaker_of(consecutive_failures=2)
    other = breaker_of(name="other")
    fail(one)
    fail(two)

    assert two.state is CircuitState.OPEN
    assert one.try_enter() is not None  # it was told less than `refresh` ago
    fail(one)
    assert one.try_enter() is None
    assert other.try_enter() is not None
    assert one.snapshot().trips == 1


def test_a_process_learns_of_a_trip_within_the_refresh(breaker_of, clock):
    one, two = (breaker_of(consecutive_failures=1, refresh=0.5, clock=clock) for _ in range(2))
    two.try_enter().success()
    fail(one)

    clock.advance(0.499)
    assert two.state is CircuitState.CLOSED
    clock.advance(0.001)
    assert two.try_enter() is None
    assert 29 < two.retry_after <= 30


def test_a_refusal_says_why_and_for_how_long(breaker_of):
    breaker = breaker_of(consecutive_failures=1, break_duration=5)
    with pytest.raises(OSError, match="down"):
        breaker.call(raises)

    with pytest.raises(CircuitOpenError, match="'test' is open") as caught:
        breaker.call(len, "four")
    assert 4 < caught.value.retry_after <= 5
    assert isinstance(caught.value.last_failure, OSError)
    assert caught.value.state is CircuitState.OPEN


def test_they_probe_together(breaker_of):
    options = {"consecutive_failures": 1, "break_duration": 0, "refresh": 0}
    one, two = breaker_of(**options), breaker_of(**options)
    fail(one)

    probe = two.try_enter()
    assert probe is not None
    assert one.try_enter() is None
    assert one.state is CircuitState.HALF_OPEN
    probe.success()
    assert one.try_enter() is not None
    assert two.state is CircuitState.CLOSED


def test_a_verdict_comes_as_soon_as_the_rest_cannot_change_it(breaker_of):
    breaker = breaker_of(consecutive_failures=1, break_duration=0, half_open_max_calls=4)
    fail(breaker)
    probes = [breaker.try_enter() for _ in range(4)]
    assert breaker.try_enter() is None

    for probe in probes[:3]:
        probe.success()
    assert breaker.state is CircuitState.CLOSED
    probes[3].failure()
    assert breaker.state is CircuitState.CLOSED
    assert breaker.snapshot().total_failures == 2


def test_a_closed_breaker_costs_one_round_trip_a_call(breaker_of):
    breaker = breaker_of()
    breaker.call(len, "four")
    asked = breaker.stats().round_trips

    for _ in range(20):
        breaker.call(len, "four")
    assert breaker.stats().round_trips == asked + 20
    assert breaker.snapshot().total_successes == 21


def test_a_batch_costs_one_round_trip_for_its_successes(breaker_of, clock):
    breaker = breaker_of(batch=10, refresh=1, clock=clock)
    breaker.call(len, "four")
    asked = breaker.stats().round_trips

    for _ in range(100):
        breaker.call(len, "four")
    assert breaker.stats().round_trips == asked + 10
    breaker.call(len, "four")
    clock.advance(1)
    breaker.call(len, "four")
    assert breaker.stats().round_trips == asked + 11
    assert breaker.snapshot().total_successes == 103


def test_what_a_batch_kept_back_counts_before_the_failure_that_brings_it(breaker_of):
    breaker = breaker_of(batch=100, min_throughput=6, failure_ratio=0.3, consecutive_failures=2)
    breaker.snapshot()
    breaker.try_enter().success()
    fail(breaker)
    for _ in range(3):
        breaker.try_enter().success()
    fail(breaker)

    # Two failures of six, not of two; and not in a row.
    snapshot = breaker.snapshot()
    assert (snapshot.throughput, snapshot.failures) == (6, 2)
    assert snapshot.state is CircuitState.OPEN


def test_an_open_breaker_is_asked_once_a_refresh(breaker_of, clock):
    breaker = breaker_of(consecutive_failures=1, refresh=0.5, clock=clock)
    fail(breaker)
    asked = breaker.stats().round_trips

    for _ in range(50):
        assert breaker.try_enter() is None
    assert breaker.stats().round_trips == asked
    clock.advance(0.5)
    assert breaker.try_enter() is None
    assert breaker.stats().round_trips == asked + 1
    assert breaker.snapshot().total_rejected == 51


def test_the_generator_is_told_how_often_in_a_row_it_tripped(breaker_of):
    told = []

    def longer(trips):
        told.append(trips)
        return 0 if trips < 3 else 60

    breaker = breaker_of(consecutive_failures=1, break_duration_generator=longer)
    fail(breaker, 3)

    assert told == [1, 2, 3]
    assert 59 < breaker.retry_after <= 60
    assert breaker.try_enter() is None


def test_a_generator_that_fails_leaves_the_break_as_it_was(breaker_of, caplog):
    breaker = breaker_of(consecutive_failures=1, break_duration=7, break_duration_generator=lambda _: -1)
    fail(breaker)

    assert 6 < breaker.retry_after <= 7
    assert "break_duration holds" in caplog.text


def test_a_listener_hears_of_the_changes_that_its_process_brought(breaker_of):
    events = []
    one = breaker_of(consecutive_failures=1, break_duration=0, listener=events.append)
    two = breaker_of(consecutive_failures=1, break_duration=0, refresh=0)
    fail(one)
    one.try_enter().success()
    two.isolate()

    assert [(event.kind, event.breaker) for event in events] == [
        ("opened", one),
        ("half_opened", one),
        ("closed", one),
    ]


def test_an_isolation_holds_for_all_and_says_why(breaker_of):
    one, two = breaker_of(), breaker_of(refresh=0)
    one.isolate("maintenance")

    with pytest.raises(CircuitIsolatedError, match="maintenance") as caught:
        two.call(len, "four")
    assert (caught.value.reason, caught.value.retry_after) == ("maintenance", None)
    two.reset()
    assert one.snapshot().state is CircuitState.CLOSED


def test_forced_states_admit_and_never_trip(breaker_of):
    breaker = breaker_of(consecutive_failures=1)
    breaker.metrics_only()
    fail(breaker, 3)
    assert (breaker.state, breaker.snapshot().failures) == (CircuitState.METRICS_ONLY, 3)
    breaker.disable()
    fail(breaker, 3)
    assert (breaker.state, breaker.snapshot().total_failures) == (CircuitState.DISABLED, 3)


def test_a_manual_control_and_a_state_provider_serve_the_blocking_one(breaker_of, server):
    control, provider = CircuitBreakerManualControl(), CircuitBreakerStateProvider()
    breaker = breaker_of(manual_control=control, state_provider=provider)
    control.isolate("by hand")
    assert breaker.try_enter() is None
    assert provider.circuit_state is CircuitState.ISOLATED
    assert provider.snapshot.total_rejected == 1
    control.reset()
    assert breaker.try_enter() is not None
    client = redis.asyncio.Redis(unix_socket_path=server.path)
    for field in ({"manual_control": control}, {"state_provider": CircuitBreakerStateProvider()}):
        with pytest.raises(ConfigurationError, match="cannot await"):
            AsyncRedisCircuitBreaker(client, name="test", **field)


def test_blocks_decorated_functions_and_pipelines_go_through_it(breaker_of):
    breaker = breaker_of(min_throughput=100, handle_result=lambda result: result == 0)

    @breaker
    def size(text):
        """Measure."""
        return len(text)

    assert (size("four"), size(""), size.__doc__) == (4, 0, "Measure.")
    with breaker, breaker:
        pass
    with pytest.raises(OSError, match="down"), breaker:
        raise OSError("down")
    assert Pipeline(breaker).call(len, "four") == 4
    snapshot = breaker.snapshot()
    assert (snapshot.total_successes, snapshot.total_failures) == (4, 2)


def test_blocks_of_two_breakers_may_end_in_any_order(breaker_of):
    first, second = breaker_of(name="first"), breaker_of(name="second")
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    second.__exit__(OSError, OSError(), None)
    assert (first.snapshot().total_successes, second.snapshot().total_failures) == (1, 1)


def test_a_block_left_in_another_context_is_ignored(breaker_of):
    breaker = breaker_of()
    contextvars.Context().run(breaker.__enter__)
    breaker.__exit__(None, None, None)
    gc.collect()
    snapshot = breaker.snapshot()
    assert (snapshot.total_successes, snapshot.total_ignored) == (0, 1)


def test_a_permit_is_settled_once(breaker_of):
    breaker = breaker_of()
    permit = breaker.try_enter()
    permit.success()
    permit.failure(OSError())
    permit.ignore()
    snapshot = breaker.snapshot()
    assert (snapshot.total_successes, snapshot.total_failures, snapshot.total_ignored) == (1, 0, 0)


def test_what_a_function_returns_to_be_awaited_is_refused_and_counts_nothing(breaker_of):
    class Pending:
        def __await__(self):
            yield

    breaker = breaker_of()
    with pytest.raises(TypeError, match="use AsyncRedisCircuitBreaker"):
        breaker.call(Pending)
    assert breaker.snapshot().total_ignored == 1


@pytest.mark.parametrize("batch", [True, 1.5, "9"])
def test_a_batch_is_a_whole_number(breaker_of, batch):
    with pytest.raises(TypeError, match="batch must be an integer"):
        breaker_of(batch=batch)


def test_what_is_handled_and_ignored_is_told_apart(breaker_of):
    breaker = breaker_of(handle=(OSError,), ignore=FileNotFoundError)
    for error in (OSError, ValueError, FileNotFoundError, KeyboardInterrupt):
        with pytest.raises(error), breaker:
            raise error

    snapshot = breaker.snapshot()
    assert (snapshot.total_failures, snapshot.total_successes, snapshot.total_ignored) == (1, 1, 2)


def test_a_predicate_that_raises_counts_nothing_and_frees_the_place(breaker_of):
    def broken(_error):
        raise LookupError("predicate")

    breaker = breaker_of(consecutive_failures=1, break_duration=0, handle=broken)
    fail(breaker)
    with pytest.raises(LookupError, match="predicate"):
        breaker.call(raises)
    assert breaker.try_enter() is not None
    assert breaker.snapshot().total_ignored >= 1


def test_coroutines_are_refused_by_the_blocking_one(breaker_of):
    async def fetch():
        pass

    def gives(func):
        return func()

    breaker = breaker_of()
    for use in (lambda: breaker.call(fetch), lambda: breaker(fetch), lambda: breaker.call(gives, fetch)):
        with pytest.raises(TypeError, match="AsyncRedisCircuitBreaker"):
            use()


def test_a_permit_that_is_dropped_frees_the_place_of_a_probe(breaker_of):
    breaker = breaker_of(consecutive_failures=1, break_duration=0)
    fail(breaker)
    permit = breaker.try_enter()
    assert breaker.try_enter() is None
    del permit
    gc.collect()

    assert breaker.try_enter() is not None


def test_a_slow_probe_whose_place_was_taken_counts_in_totals_only(breaker_of):
    breaker = breaker_of(consecutive_failures=1, break_duration=0, probe_timeout=0.05)
    fail(breaker)
    slow = breaker.try_enter()
    deadline = time.monotonic() + 5
    while (other := breaker.try_enter()) is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    slow.success()
    assert breaker.state is CircuitState.HALF_OPEN
    other.success()
    assert breaker.state is CircuitState.CLOSED


def test_slow_calls_trip(breaker_of, clock):
    breaker = breaker_of(slow_call_duration=2, slow_call_ratio=0.5, min_throughput=2, clock=clock, refresh=60)
    fast, slow = breaker.try_enter(), breaker.try_enter()
    clock.advance(2)
    fast.success()
    clock.advance(1)
    slow.success()

    assert breaker.state is CircuitState.OPEN
    assert breaker.snapshot().slow_call_ratio == 0.5


def test_every_key_ends_some_day_and_an_isolation_not_before_it_is_lifted(breaker_of, server):
    breaker = breaker_of()
    breaker.call(len, "four")
    (key,) = server.client.keys("*")
    assert key == b"sluicegate:{test:}breaker"
    assert 86_000 < server.client.ttl(key) < 87_000
    breaker.isolate()
    assert server.client.ttl(key) > 300_000_000


def test_a_flush_leaves_a_closed_breaker_and_makes_old_results_late(breaker_of, server):
    breaker = breaker_of(consecutive_failures=1, refresh=0)
    permit = breaker.try_enter()
    server.client.flushall()

    permit.failure()
    assert breaker.snapshot().state is CircuitState.CLOSED
    assert breaker.snapshot().total_failures == 1


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"name": ""}, "name"),
        ({"on_error": "panic"}, "on_error"),
        ({"batch": -1}, "batch"),
        ({"refresh": -1}, "refresh"),
        ({"failure_ratio": 2}, "failure_ratio"),
        ({"listener": 3}, "listener"),
        ({"client": "redis://"}, "client"),
        ({"client": redis.asyncio.Redis()}, "client"),
    ],
)
def test_an_option_out_of_range_is_named(breaker_of, options, field):
    with pytest.raises(ConfigurationError) as caught:
        breaker_of(**options)
    assert caught.value.field == field


def test_the_client_of_valkey_shares_breakers_with_that_of_redis(server, breaker_of):
    client = valkey.Valkey(unix_socket_path=server.path, socket_timeout=1)
    one, two = breaker_of(consecutive_failures=1), breaker_of(consecutive_failures=1, client=client)
    fail(two)

    assert one.try_enter() is None
    client.close()


@pytest.fixture(params=[redis.asyncio.Redis, valkey.asyncio.Valkey], ids=["redis", "valkey"])
async def asynchronous(server, request):
    client = request.param(unix_socket_path=server.path, socket_timeout=1)
    config = CircuitBreakerConfig(consecutive_failures=1, break_duration=0)
    breaker = AsyncRedisCircuitBreaker(client, config, name="test", on_error="raise")
    yield breaker
    await breaker.aclose()
    await client.aclose()


async def test_coroutines_go_through_the_same_breaker(asynchronous, breaker_of):
    @asynchronous
    async def size(text):
        return len(text)

    async with asynchronous:
        pass
    assert await size("four") == 4
    assert await asynchronous.call(size, "four") == 4
    with pytest.raises(OSError, match="down"):
        async with asynchronous:
            raise OSError("down")
    assert (await asynchronous.snapshot()).trips == 1
    probe = await asynchronous.try_enter()
    assert breaker_of().try_enter() is None
    await probe.success()
    await asynchronous.isolate("by hand")
    with pytest.raises(CircuitIsolatedError, match="by hand"):
        await size("four")
    await asynchronous.reset()
    assert await asynchronous.call(len, "four") == 4
    with pytest.raises(TypeError, match="RedisCircuitBreaker"):
        asynchronous(len)


async def test_a_cancelled_probe_frees_its_place(asynchronous):
    await (await asynchronous.try_enter()).failure()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05), asynchronous:
            await asyncio.sleep(10)

    assert await asynchronous.try_enter() is not None


async def test_a_stream_that_is_closed_early_frees_the_place_of_its_probe(asynchronous):
    async def stream():
        async with asynchronous:
            yield "part"
            pytest.fail("went on")

    await (await asynchronous.try_enter()).failure()
    parts = stream()
    assert await anext(parts) == "part"
    assert await asynchronous.try_enter() is None
    await parts.aclose()
    permit = await asynchronous.try_enter()
    assert permit is not None
    assert (await asynchronous.snapshot()).total_ignored == 1
    await permit.success()


LEASE = 1.0
"""Seconds of a probe's lease, where a test lets them pass; a busy machine adds less than as much again."""


def _probe_and_hang(path, entered):
    client = redis.Redis(unix_socket_path=path, socket_timeout=5)
    breaker = RedisCircuitBreaker(client, name="test", probe_timeout=LEASE, on_error="raise")
    entered.put(breaker.try_enter() is not None)
    signal.pause()


def test_the_lease_of_a_killed_probe_runs_out_with_its_timeout(server, breaker_of):
    breaker = breaker_of(consecutive_failures=1, break_duration=0, probe_timeout=LEASE, refresh=0)
    fail(breaker)
    fork = multiprocessing.get_context("fork")
    entered = fork.SimpleQueue()
    worker = fork.Process(target=_probe_and_hang, args=(server.path, entered))
    worker.start()
    assert entered.get()
    began = time.monotonic()
    os.kill(worker.pid, signal.SIGKILL)
    worker.join(10)
    assert breaker.try_enter() is None

    while (permit := breaker.try_enter()) is None:
        assert time.monotonic() < began + 5
        time.sleep(min(breaker.retry_after, LEASE) + 0.001)
    assert time.monotonic() < began + 2 * LEASE
    permit.success()
    assert breaker.state is CircuitState.CLOSED


def _call_and_fail(path, seed):
    client = redis.Redis(unix_socket_path=path, socket_timeout=5)
    breaker = RedisCircuitBreaker(
        client,
        name="test",
        consecutive_failures=3,
        break_duration=0.002,
        probe_timeout=0.05,
        half_open_max_calls=2,
        refresh=0.002,
        batch=3,
    )
    for turn in itertools.count(seed):
        permit = breaker.try_enter()
        if permit is not None and turn % 5:
            permit.failure()
        elif permit is not None:
            permit.success()


def test_killed_processes_never_leave_it_stuck(server, breaker_of):
    fork = multiprocessing.get_context("fork")
    breaker = breaker_of(half_open_max_calls=2, refresh=0, probe_timeout=0.05)
    for seed in range(int(os.environ.get("SLUICEGATE_KILLS", "5"))):
        workers = [fork.Process(target=_call_and_fail, args=(server.path, seed + step)) for step in range(2)]
        trips, began = breaker.snapshot().trips, time.monotonic()
        try:
            for worker in workers:
                worker.start()
            while breaker.snapshot().trips == trips:
                assert time.monotonic() < began + 20, "the workers do not begin"
                time.sleep(0.003 + seed % 7 / 1000)
        finally:
            for worker in workers:
                worker.kill()
                worker.join(10)

    began = time.monotonic()
    while (state := breaker.snapshot().state) is not CircuitState.CLOSED:
        assert time.monotonic() < began + 5, state
        permit = breaker.try_enter()
        if permit is not None:
            permit.success()
        time.sleep(0.001)
