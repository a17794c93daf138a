"""The timeout policy: it cuts short, in either library and by any clock, and nothing else."""

import asyncio
import inspect
import math
import time
from datetime import timedelta
from functools import partial

import pytest
import trio

from sluicegate import AttemptTimeoutError, ConfigurationError, Retry, Timeout
from sluicegate.testing import ManualClock

SECOND = 1_000_000_000


def run_asyncio(main):
    return asyncio.run(main())


@pytest.fixture(params=[run_asyncio, trio.run], ids=["asyncio", "trio"])
def run(request):
    """Run a coroutine function in either library."""
    return request.param


@pytest.fixture
def clock():
    return ManualClock(autojump=True)


def napper(clock, seconds):
    async def nap():
        await clock.sleep_until(clock.now_ns() + int(seconds * SECOND))
        return "rested"

    return nap


def test_a_call_that_ends_in_time_gives_its_result(run, clock):
    assert run(lambda: Timeout(2, clock=clock).call(napper(clock, 1.999))) == "rested"
    assert clock.now() == 1.999


def test_a_call_that_takes_longer_is_cut_short_at_the_deadline(run, clock):
    with pytest.raises(AttemptTimeoutError, match=r"search took longer than 2\.0 s") as caught:
        run(lambda: Timeout(2, name="search", clock=clock).call(napper(clock, 60)))
    assert caught.value.timeout == 2.0
    assert clock.now() == 2.0
    assert clock.sleepers == 0


def test_a_call_that_hangs_on_something_else_is_cut_short(run, clock):
    async def hang():
        await (trio.sleep_forever() if trio.lowlevel.in_trio_run() else asyncio.Event().wait())

    with pytest.raises(AttemptTimeoutError):
        run(lambda: Timeout(5, clock=clock).call(hang))
    assert clock.now() == 5.0


def test_works_by_the_machines_clock(run):
    async def hang():
        await (trio.sleep_forever() if trio.lowlevel.in_trio_run() else asyncio.Event().wait())

    begun = time.monotonic()
    with pytest.raises(AttemptTimeoutError):
        run(lambda: Timeout(0.002).call(hang))
    assert time.monotonic() - begun >= 0.002


def test_no_time_at_all_cuts_short_whatever_waits(run, clock):
    async def at_once():
        return "at once"

    timeout = Timeout(0, clock=clock)
    assert run(lambda: timeout.call(at_once)) == "at once"
    with pytest.raises(AttemptTimeoutError):
        run(lambda: timeout.call(napper(clock, 1)))


def test_infinity_never_cuts_short(run, clock):
    assert run(lambda: Timeout(math.inf, clock=clock).call(napper(clock, 10**9))) == "rested"


def test_a_timeout_error_of_the_calls_own_passes_through(run, clock):
    error = TimeoutError("of its own")

    async def fail():
        raise error

    with pytest.raises(TimeoutError) as caught:
        run(lambda: Timeout(1, clock=clock).call(fail))
    assert caught.value is error


def test_the_inner_of_two_cuts_short_its_own_call_only(run, clock):
    async def main():
        try:
            await Timeout(1, clock=clock).call(napper(clock, 60))
        except AttemptTimeoutError as error:
            return error.timeout, await napper(clock, 1)()

    assert run(lambda: Timeout(3, clock=clock).call(main)) == (1.0, "rested")


def test_the_outer_of_two_cuts_short_both(run, clock):
    inner = partial(Timeout(9, name="inner", clock=clock).call, napper(clock, 60))

    async def main():
        return await inner()

    with pytest.raises(AttemptTimeoutError) as caught:
        run(lambda: Timeout(2, name="outer", clock=clock).call(main))
    assert caught.value.timeout == 2.0


async def test_cancellation_from_outside_stays_a_cancellation():
    clock = ManualClock()
    task = asyncio.create_task(Timeout(5, clock=clock).call(napper(clock, 60)))
    while not clock.sleepers:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    clock.advance(10)
    assert clock.sleepers == 0


async def test_one_policy_times_many_calls_each_by_itself(clock):
    timeout = Timeout(2, clock=clock)
    naps = (timeout.call(napper(clock, seconds)) for seconds in (1, 3, 1.5, 4))
    results = await asyncio.gather(*naps, return_exceptions=True)
    assert [type(result) for result in results] == [str, AttemptTimeoutError, str, AttemptTimeoutError]


class TestAroundARetry:
    @pytest.mark.parametrize(
        ("limit", "attempts", "ended_at"), [(0.5, 1, 0.0), (2.5, 2, 1.0), (3.0, 2, 1.0), (3.1, 3, 3.0)]
    )
    def test_no_wait_is_begun_that_would_leave_no_time_for_an_attempt(
        self, run, clock, limit, attempts, ended_at
    ):
        errors = [OSError(number) for number in range(9)]
        raised = []

        async def fail():
            raised.append(errors[len(raised)])
            raise raised[-1]

        retry = Retry(max_attempts=3, jitter=False, clock=clock)
        with pytest.raises(OSError) as caught:
            run(lambda: Timeout(limit, clock=clock).call(partial_coroutine(retry, fail)))
        assert caught.value is raised[-1]
        assert (len(raised), clock.now()) == (attempts, ended_at)

    def test_the_tightest_of_several_counts(self, run, clock):
        async def fail():
            raise OSError

        retry = partial_coroutine(Retry(max_attempts=9, jitter=False, clock=clock), fail)
        wide = partial_coroutine(Timeout(100, clock=clock), retry)
        with pytest.raises(OSError):
            run(lambda: Timeout(2, clock=clock).call(wide))
        assert clock.now() == 1.0

    async def test_a_task_left_behind_is_bound_no_more(self, clock):
        tasks = []
        attempts = []

        async def fail():
            attempts.append(clock.now())
            if len(attempts) < 3:
                raise OSError
            return "late, but done"

        async def leave_behind():
            tasks.append(asyncio.create_task(Retry(jitter=False, clock=clock).call(fail)))

        await Timeout(0.5, clock=clock).call(leave_behind)
        assert await tasks[0] == "late, but done"

    def test_each_attempt_inside_has_its_own_time(self, run, clock):
        naps = iter([5, 5, 1])

        async def nap():
            return await napper(clock, next(naps))()

        retry = Retry(jitter=False, clock=clock)
        assert run(lambda: retry.call(partial_coroutine(Timeout(2, clock=clock), nap))) == "rested"
        assert clock.now() == 2 + 1 + 2 + 2 + 1


def partial_coroutine(policy, func):
    """Return a coroutine function that calls `func` through the policy."""

    async def call():
        return await policy.call(func)

    return call


class TestPlainFunctions:
    @pytest.mark.parametrize("plain", [lambda: None, time.sleep, partial(int, "1"), print])
    def test_are_refused_before_they_are_called(self, plain):
        with pytest.raises(TypeError, match="coroutine function"):
            Timeout(1)(plain)
        with pytest.raises(TypeError, match="coroutine function"):
            Timeout(1).call(plain)

    def test_objects_and_partials_that_give_coroutines_are_none(self, run, clock):
        class Sleeper:
            async def __call__(self, seconds):
                return await napper(clock, seconds)()

            async def method(self, seconds):
                return await napper(clock, seconds)()

        for func in (Sleeper(), Sleeper().method, partial(Sleeper().method)):
            assert run(lambda func=func: Timeout(2, clock=clock).call(func, 1)) == "rested"


def test_a_decorated_function_stays_a_coroutine_function_with_its_name(clock):
    @Timeout(1, clock=clock)
    async def fetch(url):
        """Fetch."""
        return url

    assert inspect.iscoroutinefunction(fetch)
    assert (fetch.__name__, fetch.__doc__) == ("fetch", "Fetch.")
    assert asyncio.run(fetch("here")) == "here"


@pytest.mark.parametrize("bad", [-1, math.nan, timedelta(seconds=-1)])
def test_seconds_that_make_no_sense_are_refused_by_name(bad):
    with pytest.raises(ConfigurationError) as caught:
        Timeout(bad)
    assert (caught.value.field, caught.value.value) == ("seconds", bad) or bad != bad


def test_seconds_may_be_a_timedelta():
    assert Timeout(timedelta(milliseconds=250)).seconds == 0.25
