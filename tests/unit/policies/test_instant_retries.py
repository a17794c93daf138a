"""The switch that makes retries instant: in its block alone, whatever else goes on."""

import asyncio
import threading

import pytest
import trio

from sluicegate import Retry
from sluicegate.testing import ManualClock, instant_retries


@pytest.fixture
def clock():
    return ManualClock(autojump=True)


class Failing:
    """Always fails, and counts."""

    def __init__(self):
        self.calls = 0

    def __call__(self):
        self.calls += 1
        raise OSError

    async def later(self):
        self()


def plainly(retry, failing):
    return retry.call(failing)


def on_asyncio(retry, failing):
    return asyncio.run(retry(failing.later)())


def on_trio(retry, failing):
    return trio.run(retry(failing.later))


@pytest.mark.parametrize("run", [plainly, on_asyncio, on_trio])
def test_no_retry_waits_and_all_are_made(clock, run):
    retry, failing = Retry(max_attempts=4, initial_interval=3_600, clock=clock), Failing()
    with instant_retries(), pytest.raises(OSError):
        run(retry, failing)
    assert (failing.calls, clock.now(), retry.stats().waited) == (4, 0.0, 0.0)


def test_by_the_machines_clock_as_well():
    failing = Failing()
    with instant_retries(), pytest.raises(OSError):
        Retry(initial_interval=3_600).call(failing)
    assert failing.calls == 3


def test_may_bound_the_attempts(clock):
    failing = Failing()
    with instant_retries(attempts=2), pytest.raises(OSError):
        Retry(max_attempts=10, clock=clock).call(failing)
    assert failing.calls == 2
    with instant_retries(attempts=20), pytest.raises(OSError):
        Retry(max_attempts=3, clock=clock).call(failing)
    assert failing.calls == 5


def test_hooks_are_told_the_wait_that_is_not_made(clock):
    told = []
    retry = Retry(jitter=False, clock=clock, on_retry=lambda attempt, delay, error: told.append(delay))
    with instant_retries(), pytest.raises(OSError):
        retry.call(Failing())
    assert told == [1.0, 2.0]


def test_ends_with_its_block_even_where_that_raises(clock):
    with pytest.raises(KeyError), instant_retries():
        raise KeyError
    with pytest.raises(OSError):
        Retry(jitter=False, clock=clock).call(Failing())
    assert clock.now() == 3.0


def test_another_thread_never_notices(clock):
    def work():
        with pytest.raises(OSError):
            Retry(jitter=False, clock=clock).call(Failing())

    with instant_retries():
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert clock.now() == 3.0


def test_refuses_no_attempts_at_all():
    with pytest.raises(ValueError, match="attempts must be at least 1, not 0"), instant_retries(attempts=0):
        pass
