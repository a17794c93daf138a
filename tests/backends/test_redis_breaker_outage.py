"""What a breaker does when its server is dead, hangs or comes back."""

import time

import pytest
import redis.asyncio

from sluicegate import BackendError, CircuitIsolatedError, CircuitOpenError, CircuitState
from sluicegate.backends.redis import AsyncRedisCircuitBreaker


def fail(breaker):
    breaker.try_enter().failure(OSError("down"))


@pytest.fixture
def down(server):
    """The server, killed."""
    server.kill()
    return server


@pytest.mark.usefixtures("down")
def test_a_process_alone_has_a_breaker_of_its_own(breaker_of, clock):
    breaker = breaker_of(on_error="local", consecutive_failures=2, break_duration=5, clock=clock)
    fail(breaker)
    assert breaker.call(len, "four") == 4
    fail(breaker)
    fail(breaker)

    assert breaker.state is CircuitState.OPEN
    with pytest.raises(CircuitOpenError) as caught:
        breaker.call(len, "four")
    assert caught.value.retry_after == 5
    clock.advance(5)
    assert breaker.call(len, "four") == 4
    assert breaker.state is CircuitState.CLOSED
    assert breaker.stats().without_server == 6


@pytest.mark.usefixtures("down")
def test_results_are_judged_here_once(breaker_of):
    breaker = breaker_of(
        on_error="local", consecutive_failures=1, handle_result=lambda result: result is None
    )
    assert breaker.call(len, "four") == 4
    assert breaker.state is CircuitState.CLOSED
    breaker.call(lambda: None)
    assert breaker.state is CircuitState.OPEN


@pytest.mark.usefixtures("down")
def test_allows_denies_or_raises_as_told(breaker_of):
    allowing = breaker_of(on_error="allow", consecutive_failures=1)
    fail(allowing)
    assert allowing.call(len, "four") == 4
    denying = breaker_of(on_error="deny")
    with pytest.raises(CircuitOpenError) as caught:
        denying.call(len, "four")
    assert 0 < caught.value.retry_after <= 1
    for use in ("try_enter", "snapshot", "isolate"):
        with pytest.raises(BackendError, match="breaker 'test' does not answer"):
            getattr(breaker_of(on_error="raise"), use)()


@pytest.mark.usefixtures("down")
def test_what_a_hand_wants_never_gets_lost(breaker_of):
    breaker = breaker_of(on_error="local")
    for use in ("isolate", "reset", "metrics_only", "disable", "snapshot"):
        with pytest.raises(BackendError):
            getattr(breaker, use)()


@pytest.mark.parametrize("on_error", ["local", "allow", "deny"])
def test_what_the_server_said_of_the_time_to_come_stands(server, breaker_of, clock, on_error):
    isolated = breaker_of(on_error=on_error, name="isolated", clock=clock)
    isolated.isolate("by hand")
    broken = breaker_of(on_error=on_error, consecutive_failures=1, break_duration=60, clock=clock)
    fail(broken)
    server.kill()
    clock.advance(50)

    with pytest.raises(CircuitIsolatedError):
        isolated.call(len, "four")
    with pytest.raises(CircuitOpenError) as caught:
        broken.call(len, "four")
    assert caught.value.retry_after == pytest.approx(10)


def test_how_a_call_ends_is_no_error_of_the_breaker(server, breaker_of):
    breaker = breaker_of(on_error="raise", refresh=60)
    breaker.call(len, "four")

    def last():
        server.kill()
        return "done"

    assert breaker.call(last) == "done"


@pytest.mark.usefixtures("down")
def test_an_outage_asks_the_server_once_a_second(breaker_of, clock):
    breaker = breaker_of(on_error="local", clock=clock)
    for _ in range(50):
        breaker.call(len, "four")
    assert breaker.stats().round_trips == 1
    clock.advance(1)
    breaker.call(len, "four")
    assert breaker.stats().round_trips == 2


def test_goes_back_to_the_server_once_it_answers(server, breaker_of, clock):
    one = breaker_of(on_error="local", consecutive_failures=1, clock=clock, refresh=0.5)
    one.call(len, "four")
    server.kill()
    clock.advance(1)
    fail(one)
    assert one.state is CircuitState.OPEN
    server.start()
    clock.advance(1)

    assert one.call(len, "four") == 4
    assert one.state is CircuitState.CLOSED
    assert one.snapshot().total_successes == 1


def test_a_server_that_hangs_costs_one_timeout_and_not_one_a_call(server, breaker_of):
    client = redis.Redis(unix_socket_path=server.path, socket_timeout=1)
    breaker = breaker_of(client=client, on_error="local")
    breaker.call(len, "four")
    server.pause()

    began = time.monotonic()
    for _ in range(200):
        breaker.call(len, "four")
    took = time.monotonic() - began

    server.resume()
    assert breaker.stats().errors == 1
    assert 0.9 < took < 2, took


async def test_the_asynchronous_one_does_the_same(server):
    client = redis.asyncio.Redis(unix_socket_path=server.path, socket_timeout=1)
    breaker = AsyncRedisCircuitBreaker(client, name="test", consecutive_failures=1)
    assert await breaker.call(len, "four") == 4
    server.pause()

    began = time.monotonic()
    await (await breaker.try_enter()).failure()
    await (await breaker.try_enter()).failure()
    assert await breaker.try_enter() is None
    assert 0.9 < time.monotonic() - began < 2
    assert breaker.stats().errors == 1
    server.resume()
    await breaker.aclose()
    await client.aclose()


def test_a_thread_that_read_the_clock_before_the_last_answer_is_not_refused(server, breaker_of, clock):
    breaker = breaker_of(on_error="local", clock=clock)
    clock.advance(5)
    breaker.call(len, "four")
    server.kill()
    clock.set(4)

    assert [breaker.call(len, "four") for _ in range(2)] == [4, 4]
    assert breaker.stats().without_server == 1
