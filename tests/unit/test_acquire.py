"""Waiting for permits: tasks of asyncio and trio, and threads."""

import asyncio
import collections.abc
import dis
import gc
import itertools
import math
import random
import subprocess
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest
import trio

from sluicegate import (
    CompositeRateLimiter,
    KeyedRateLimiter,
    LimitExceededError,
    RateLimiter,
    RateLimiterConfig,
    ShardedRateLimiter,
)


async def test_a_free_permit_is_there_at_once(clock):
    limiter = RateLimiter("2/s", clock=clock)
    result = await limiter.acquire()
    assert (result.allowed, result.remaining) == (True, 1)


async def test_waiters_are_served_first_in_first_out(jumping):
    limiter = RateLimiter("10/s;burst=1", clock=jumping)
    served = []

    async def wait(number):
        await limiter.acquire()
        served.append((number, jumping.now()))

    await asyncio.gather(*map(wait, range(5)))
    assert served == [(number, number / 10) for number in range(5)]


async def test_a_large_request_is_not_overtaken_by_small_ones(jumping):
    limiter = RateLimiter("10/s;burst=5", clock=jumping)
    limiter.try_acquire(5)
    order = []

    async def wait(name, count):
        await limiter.acquire(count)
        order.append(name)

    await asyncio.gather(wait("large", 5), wait("small", 1), wait("smaller", 1))
    assert order == ["large", "small", "smaller"]


async def test_a_wait_past_the_timeout_is_refused_at_once_and_costs_nothing(clock):
    """[27]"""
    limiter = RateLimiter("10/s;burst=3", clock=clock)
    assert await limiter.acquire(2)
    refused = await limiter.acquire(3, timeout=0.1)
    assert (refused.allowed, refused.retry_after) == (False, 0.2)
    assert limiter.peek(0).remaining == 1


async def test_a_cancelled_wait_gives_back_what_it_charged(clock):
    """[27]"""
    limiter = RateLimiter("10/s;burst=3", clock=clock)
    limiter.try_acquire(3)
    task = asyncio.create_task(limiter.acquire(3))
    await asyncio.sleep(0)
    assert limiter.stats().waiting == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert limiter.stats().waiting == 0
    assert limiter.attempt(2).retry_after == 0.2


async def test_a_thousand_tasks_cancelled_at_random_leave_no_debt(clock):
    limiter = RateLimiter("10/s", clock=clock)
    assert limiter.try_acquire(10)
    before = limiter.peek(0)
    tasks = [asyncio.create_task(limiter.acquire()) for _ in range(1_000)]
    await asyncio.sleep(0)
    random.Random(7).shuffle(tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert limiter.peek(0) == before


async def test_a_task_cancelled_before_its_first_step_draws_nothing(clock):
    limiter = RateLimiter("10/s;burst=3", clock=clock)
    task = asyncio.create_task(limiter.acquire(3))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert limiter.peek(0).remaining == 3


async def test_a_queue_that_gives_up_from_its_end_leaks_no_permit(clock):
    limiter = RateLimiter("100/s;burst=10", clock=clock)
    limiter.try_acquire(10)
    tasks = [asyncio.create_task(limiter.acquire()) for _ in range(1_000)]
    await asyncio.sleep(0)
    for task in reversed(tasks):
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert limiter.reserve().delay == 0.01
    assert limiter.stats().waiting == 0


async def test_a_timeout_of_the_event_loop_gives_back(clock):
    limiter = RateLimiter("1/s", clock=clock)
    limiter.try_acquire()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await limiter.acquire()
    assert limiter.reserve().delay == 1.0


def test_waiters_are_served_in_order_on_trio(jumping):
    limiter = RateLimiter("10/s;burst=1", clock=jumping)
    served = []

    async def wait(number):
        await trio.lowlevel.checkpoint()
        await limiter.acquire()
        served.append(jumping.now())

    async def main():
        async with trio.open_nursery() as nursery:
            for number in range(5):
                nursery.start_soon(wait, number)

    trio.run(main)
    assert served == [0.0, 0.1, 0.2, 0.3, 0.4]


def test_a_cancel_scope_of_trio_gives_back(clock):
    limiter = RateLimiter("1/s", clock=clock)
    limiter.try_acquire()

    async def main():
        with trio.CancelScope() as scope:
            scope.cancel()
            await limiter.acquire()
        assert scope.cancelled_caught

    trio.run(main)
    assert limiter.reserve().delay == 1.0


async def test_asking_for_more_than_can_ever_be_granted_is_an_error_without_a_timeout(clock):
    limiter = RateLimiter("5/s", clock=clock)
    with pytest.raises(ValueError, match="6 permits can never be granted"):
        await limiter.acquire(6)
    with pytest.raises(ValueError, match="6 permits can never be granted"):
        limiter.acquire_blocking(6)
    assert (await limiter.acquire(6, timeout=1)).retry_after == math.inf


@pytest.mark.parametrize("timeout", [-1, math.nan])
def test_a_negative_timeout_is_a_value_error(timeout):
    limiter = RateLimiter("5/s")
    with pytest.raises(ValueError, match="timeout"):
        limiter.acquire(timeout=timeout)
    with pytest.raises(ValueError, match="timeout"):
        limiter.acquire_blocking(timeout=timeout)


async def test_an_acquisition_can_be_awaited_once(clock):
    limiter = RateLimiter("5/s", clock=clock)
    acquisition = limiter.acquire()
    await acquisition
    with pytest.raises(RuntimeError, match="already awaited"):
        await acquisition


async def test_an_acquisition_that_nobody_awaits_draws_nothing(clock):
    limiter = RateLimiter("5/s", clock=clock)
    limiter.acquire().close()
    assert limiter.peek(0).remaining == 5


async def test_what_dies_with_an_acquisition_finds_it_over(clock):
    await RateLimiter("5/s", clock=clock).acquire()
    limiter = RateLimiter("5/s", clock=clock)
    acquisition, heard = limiter.acquire(), []
    weakref.finalize(limiter, lambda: heard.append(acquisition.close()))
    del limiter
    assert await acquisition
    assert heard == [None]


async def test_an_acquisition_passes_for_a_coroutine(clock):
    limiter = RateLimiter("5/s", clock=clock)
    acquisition = limiter.acquire()
    assert isinstance(acquisition, collections.abc.Coroutine)
    assert await asyncio.wait_for(acquisition, 1)
    assert await asyncio.gather(limiter.acquire(), limiter.acquire())


class TestObjectsThatAreUsedAgain:
    async def test_results_that_are_kept_stay_as_they_are(self, clock):
        limiter = RateLimiter("5/s", clock=clock)
        await limiter.acquire()
        kept = [await limiter.acquire() for _ in range(4)]
        assert [result.remaining for result in kept] == [3, 2, 1, 0]
        assert len({id(result) for result in kept}) == 4

    async def test_results_that_nobody_keeps_are_of_each_call(self, clock):
        limiter = RateLimiter("5/s", clock=clock)
        assert [(await limiter.acquire()).remaining for _ in range(5)] == [4, 3, 2, 1, 0]
        assert not (await limiter.acquire(timeout=0)).allowed

    async def test_an_acquisition_that_somebody_holds_stays_done(self, clock):
        limiter = RateLimiter("5/s", clock=clock)
        held = limiter.acquire()
        await held
        another = limiter.acquire()
        assert another is not held
        assert (await another).remaining == 3
        with pytest.raises(RuntimeError, match="already awaited"):
            await held
        assert limiter.peek(0).remaining == 3

    async def test_one_that_waited_is_not_taken_for_one_that_is_done(self, jumping):
        limiter = RateLimiter("10/s;burst=1", clock=jumping)
        times = []
        for _ in range(4):
            await limiter.acquire()
            times.append(jumping.now())
        assert times == [0.0, 0.1, 0.2, 0.3]

    async def test_what_is_done_holds_no_limiter(self, clock):
        limiter = RateLimiter("5/s", clock=clock)
        before = sys.getrefcount(limiter)
        await limiter.acquire()
        assert sys.getrefcount(limiter) == before
        limiter.acquire().close()
        assert sys.getrefcount(limiter) == before

    async def test_results_that_are_held_until_the_next_are_of_each_call(self, clock):
        limiter, held = RateLimiter("5/s", clock=clock), None
        for left in range(4, -1, -1):
            last, held = held, await limiter.acquire()
            assert held.remaining == left
            assert last is None or last.remaining == left + 1

    async def test_awaits_that_were_begun_and_left_keep_their_results(self, clock):
        limiter = RateLimiter("5/s", clock=clock)
        begun = [limiter.acquire().__await__() for _ in range(2)]
        assert [(await limiter.acquire()).remaining for _ in range(2)] == [2, 1]
        assert [ended(each).value.remaining for each in begun] == [4, 3]
        assert (await limiter.acquire()).remaining == 0

    async def test_an_await_makes_no_future(self, clock):
        def futures():
            # By type: an object of some library may answer for another where it is asked for its class.
            return [each for each in gc.get_objects() if issubclass(type(each), asyncio.Future)]

        limiter = RateLimiter("1000/s", clock=clock)
        kept = [await limiter.acquire() for _ in range(3)]
        before = futures()  # held, so that none goes and another takes its place
        for _ in range(100):
            await limiter.acquire()
            kept.append(await limiter.acquire())
        known = set(map(id, before))
        assert [each for each in futures() if id(each) not in known] == []

    async def test_an_await_that_is_traced_gives_the_same(self, clock):
        limiter, seen = RateLimiter("5/s", clock=clock), []

        async def draw():
            return (await limiter.acquire()).remaining

        tracer = sys.gettrace()
        sys.settrace(lambda frame, event, arg: seen.append(event))
        try:
            left = [await draw() for _ in range(3)]
        finally:
            sys.settrace(tracer)
        assert left == [4, 3, 2]
        assert seen

    def test_exceptions_are_of_each_call(self, clock):
        limiter = RateLimiter("5/s", clock=clock)
        kept = [ended(limiter.acquire()) for _ in range(3)]
        assert [stop.value.remaining for stop in kept] == [4, 3, 2]
        assert [stop.args for stop in kept] == [(stop.value,) for stop in kept]

    @pytest.mark.parametrize(
        ("before", "run"),
        [
            # Nobody loads asyncio for a user of trio.
            ("import trio", "print(trio.run(main), 'asyncio' in sys.modules)"),
            # What is being loaded, or torn down, has nothing to offer yet, or no more.
            (
                "import _asyncio; del _asyncio.Future",
                "try: main().send(None)\nexcept StopIteration as stop: print(stop.value, False)",
            ),
        ],
    )
    def test_an_await_does_without_a_future_where_asyncio_has_none(self, before, run):
        script = f"""
import sys
{before}
import sluicegate
async def main():
    limiter = sluicegate.RateLimiter("1/day;burst=3")
    return [(await limiter.acquire()).remaining for _ in range(3)]
{run}
"""
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        assert done.stdout == "[2, 1, 0] False\n"

    def test_a_thread_gets_its_futures_without_running_python(self, clock):
        """Else the handler of a signal might raise there, and an `await` swallow it."""
        limiter, seen, kinds = RateLimiter("5/s", clock=clock), [], []

        def first_awaits_of_a_thread():
            first, second = limiter.acquire(), limiter.acquire()
            sys.settrace(lambda frame, *_: seen.append(frame.f_code.co_qualname))
            iterators = first.__await__(), second.__await__()
            sys.settrace(None)
            kinds.extend(type(each).__name__ for each in iterators)

        thread = threading.Thread(target=first_awaits_of_a_thread)
        thread.start()
        thread.join()
        assert seen == []
        assert kinds == ["Acquire", "FutureIter"]


def ended(acquisition):
    """Take the step that an `await` takes, and catch by what it ends."""
    try:
        next(acquisition)
    except StopIteration as stop:
        return stop
    raise RuntimeError("it waits")


def test_a_thread_waits_its_turn(jumping):
    limiter = RateLimiter("10/s;burst=1", clock=jumping)
    limiter.acquire_blocking()
    assert limiter.acquire_blocking().allowed
    assert jumping.now() == 0.1


def test_a_thread_sleeps_until_the_clock_is_moved(clock):
    limiter = RateLimiter("10/s;burst=1", clock=clock)
    limiter.acquire_blocking()
    results = []
    thread = threading.Thread(target=lambda: results.append(limiter.acquire_blocking()))
    thread.start()
    clock.wait_for_sleepers(1)
    clock.advance(0.1)
    thread.join()
    assert results[0].allowed
    assert limiter.stats().waited == 0.1


async def test_a_limiter_is_a_context_manager_for_one_permit(jumping):
    limiter = RateLimiter("10/s;burst=1", clock=jumping)
    async with limiter:
        pass
    async with limiter:
        assert jumping.now() == 0.1
    with limiter:
        assert jumping.now() == 0.2


async def test_a_limiter_decorates_functions_and_coroutine_functions(jumping):
    limiter = RateLimiter("10/s;burst=1", clock=jumping)

    @limiter
    def plain(value):
        return value

    @limiter
    async def coroutine(value):
        """Say it."""
        return value

    assert plain(1) == 1
    assert await coroutine(2) == 2
    assert jumping.now() == 0.1
    assert (coroutine.__name__, coroutine.__doc__) == ("coroutine", "Say it.")


class TestLimit:
    def test_a_refusal_is_raised_with_what_the_caller_needs(self, clock):
        limiter = RateLimiter("10/s;burst=1", name="search", clock=clock)
        with limiter.limit(timeout=0) as result:
            assert result.remaining == 0
        with (
            pytest.raises(LimitExceededError, match="search refuses, with 0 of 1 left") as caught,
            limiter.limit(timeout=0),
        ):
            pass
        error = caught.value
        assert (error.policy, error.limit, error.remaining, error.retry_after) == ("search", 1, 0, 0.1)
        like = LimitExceededError(str(error), policy="search", retry_after=0.1, limit=1)
        assert (error.args, vars(error)) == (like.args, vars(like))

    @pytest.mark.parametrize(
        ("name", "count", "text"),
        [
            ("", 1, "the rate limiter refuses, with 0 of 1 left: try again in 0.500 s"),
            ("search", 2, "search refuses, with 0 of 1 left: try again in inf s"),
            ("se\udc80rch", 1, "se\udc80rch refuses, with 0 of 1 left: try again in 0.500 s"),
        ],
    )
    def test_a_refusal_says_who_refuses_and_when_to_try_again(self, clock, name, count, text):
        limiter = RateLimiter("2/s;burst=1", name=name, clock=clock)
        limiter.try_acquire()
        with pytest.raises(LimitExceededError) as caught, limiter.limit(count, timeout=0):
            pytest.fail("admitted")
        assert str(caught.value) == text

    @pytest.mark.parametrize(
        ("period", "told"),
        [
            (1e-9, "0.001"),
            (0.0004, "0.001"),
            (0.001, "0.001"),
            (0.001000001, "0.002"),
            (0.0994, "0.100"),
            (59.9991, "60.000"),
            (3600.05, "3600.050"),
            (31_557_600, "31557600.000"),
        ],
    )
    def test_a_refusal_tells_milliseconds_and_never_too_few(self, clock, period, told):
        limiter = RateLimiter(RateLimiterConfig(1, period, burst=1), clock=clock)
        limiter.try_acquire()
        with pytest.raises(LimitExceededError) as caught, limiter.limit(timeout=0):
            pytest.fail("admitted")
        assert str(caught.value).endswith(f": try again in {told} s")
        assert caught.value.retry_after == period

    @pytest.mark.parametrize("config", ["0/s;burst=1", "5/s;burst=0"])
    def test_a_refusal_that_time_cannot_change_says_so(self, clock, config):
        limiter = RateLimiter(config, clock=clock)
        limiter.try_acquire()
        with (
            pytest.raises(LimitExceededError, match="try again in inf s") as caught,
            limiter.limit(timeout=0),
        ):
            pytest.fail("admitted")
        assert caught.value.retry_after == math.inf

    def test_of_several_quotas_a_refusal_tells_the_one_that_decides(self, clock):
        limiter = RateLimiter("10/s;burst=5", "60/min;burst=2", name="search", clock=clock)
        limiter.try_acquire(2)
        with pytest.raises(LimitExceededError) as caught, limiter.limit(timeout=0):
            pytest.fail("admitted")
        assert str(caught.value) == "search refuses, with 0 of 2 left: try again in 1.000 s"

    async def test_who_would_not_wait_is_refused_and_counted_once(self, clock):
        limiter = RateLimiter("2/s;burst=1", clock=clock)
        limiter.try_acquire()
        refused = limiter.acquire_blocking(timeout=0)
        assert refused == await limiter.acquire(timeout=0) == limiter.peek()
        assert (limiter.stats().denied, limiter.stats().denied_permits) == (2, 2)

    async def test_it_guards_async_blocks_and_waits_its_turn(self, jumping):
        limiter = RateLimiter("10/s;burst=1", clock=jumping)
        guard = limiter.limit(timeout=1)
        async with guard:
            pass
        async with guard as result:
            assert result.allowed
        assert jumping.now() == 0.1

    async def test_an_async_block_that_would_not_wait_is_refused(self, clock):
        limiter = RateLimiter("10/s;burst=1", name="search", clock=clock)
        async with limiter.limit(timeout=0):
            with pytest.raises(LimitExceededError) as caught:
                async with limiter.limit(timeout=0):
                    pytest.fail("admitted")
        assert (caught.value.policy, caught.value.retry_after) == ("search", 0.1)

    def test_what_it_decorates_asks_for_as_much_each_time_and_follows_an_update(self, clock):
        limiter = RateLimiter("1/s;burst=7", clock=clock)
        asked = limiter.limit(3, timeout=0)(str.upper)
        assert [asked("a"), asked("b")] == ["A", "B"]
        with pytest.raises(LimitExceededError, match="1 of 7 left"):
            asked("c")
        limiter.update("1/s;burst=9")
        assert asked("d") == "D"
        with pytest.raises(LimitExceededError, match="0 of 9 left"):
            asked("e")

    def test_what_it_decorates_waits_as_long_as_its_guard_says(self, jumping):
        limiter = RateLimiter("1/s;burst=1", clock=jumping)
        asked = limiter.limit(timeout=2)(jumping.now)
        assert [asked(), asked(), asked()] == [0.0, 1.0, 2.0]
        with pytest.raises(LimitExceededError):
            limiter.limit(timeout=0.5)(jumping.now)()

    async def test_it_decorates_functions_and_coroutine_functions(self, clock):
        limiter = RateLimiter("10/s;burst=3", clock=clock)

        @limiter.limit(2, timeout=0)
        async def coroutine():
            return "done"

        @limiter.limit(timeout=0)
        def plain():
            return "done"

        assert await coroutine() == plain() == "done"
        with pytest.raises(LimitExceededError):
            await coroutine()
        with pytest.raises(LimitExceededError):
            plain()


def test_an_interrupted_thread_gives_back_what_it_waited_for(clock, monkeypatch):
    def interrupt(clock, deadline_ns):
        assert limiter.stats().waiting == 1
        raise KeyboardInterrupt

    limiter = RateLimiter("1/s", clock=clock)
    assert limiter.try_acquire()
    monkeypatch.setattr("sluicegate._waiting.sleep_until_blocking", interrupt)
    with pytest.raises(KeyboardInterrupt):
        limiter.acquire_blocking(timeout=5)
    assert limiter.stats().waiting == 0
    clock.advance(1.0)
    assert limiter.try_acquire()


class Interrupter:
    """A trace that interrupts once, before the instruction of ours that comes after so many others."""

    def __init__(self, after):
        self.left = after

    def __call__(self, frame, event, arg):
        if not frame.f_globals["__name__"].startswith("sluicegate."):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if dis.opname[frame.f_code.co_code[frame.f_lasti]] == "PUSH_EXC_INFO":
            return self  # no signal is handled there, and what a trace raises there is never freed
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1
        return self

    def trace(self, call):
        tracer = sys.gettrace()
        sys.settrace(self)
        try:
            return call()
        finally:
            sys.settrace(tracer)


def used_up(kind, clock):
    """Draw all that a limiter has: how to wait for more, in a task and in a thread, and how it stands."""
    match kind:
        case "direct":
            limiter, key = RateLimiter("1/s", clock=clock), ()
        case "keyed":
            limiter, key = KeyedRateLimiter("1/s", max_keys=8, clock=clock), ("alice",)
        case "sharded":
            limiter, key = ShardedRateLimiter("1/s", shards=3, clock=clock), ("alice",)
        case "composite":
            limiter, key = CompositeRateLimiter(requests="1/s", tokens="1/s", clock=clock), ()
    assert limiter.try_acquire(*key)

    def standing():
        stats = limiter.stats()
        each = stats.values() if isinstance(stats, dict) else [stats]
        return limiter.peek(*key), [(one.waiting, one.allowed - one.returned_permits) for one in each]

    return (lambda: limiter.acquire(*key)), (lambda: limiter.acquire_blocking(*key)), standing


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")  # interrupted before it was
@pytest.mark.parametrize("kind", ["direct", "keyed", "sharded", "composite"])
class TestInterrupts:
    """A wait that is interrupted at whatever instruction is as if it had never begun."""

    async def test_of_a_task(self, clock, kind):
        acquire, _, standing = used_up(kind, clock)
        before = standing()
        for after in itertools.count():
            acquisition = acquire()
            try:
                Interrupter(after).trace(lambda: acquisition.send(None))  # noqa: B023 - called at once
            except KeyboardInterrupt:
                # A composite's way there is in Python: what was charged lasts as long as its frames.
                assert kind == "composite" or standing() == before
            else:
                break
            assert standing() == before
        assert after > 20
        assert standing() != before
        acquisition.close()
        assert standing() == before

    def test_of_a_thread(self, clock, monkeypatch, kind):
        def stop(*_):
            raise TimeoutError

        monkeypatch.setattr("sluicegate._waiting.sleep_until_blocking", stop)
        _, acquire_blocking, standing = used_up(kind, clock)
        before = standing()
        for after in itertools.count():
            try:
                # Of its own, for it ends with an exception in hand: not every instruction can raise one.
                with ThreadPoolExecutor(1) as thread:
                    thread.submit(Interrupter(after).trace, acquire_blocking).result()
            except (KeyboardInterrupt, TimeoutError) as error:
                stopped = isinstance(error, TimeoutError)
                assert kind == "composite" or standing() == before
            assert standing() == before
            if stopped:
                break
        assert after > 5


class Attributed(RateLimiter):
    """A limiter of a user's own, with a place for attributes."""


@pytest.mark.parametrize(
    "begin",
    [
        lambda limiter: limiter.acquire(),
        lambda limiter: begun(limiter.acquire()),
        lambda limiter: limiter.reserve(),
    ],
    ids=["acquisition", "wait", "reservation"],
)
async def test_what_only_its_own_limiter_holds_is_collected(clock, begin):
    limiter = Attributed("1/s", clock=clock)
    assert limiter.try_acquire()
    limiter.own = begin(limiter)
    left = weakref.ref(limiter)
    del limiter
    gc.collect()
    assert left() is None


def begun(acquisition):
    """Take the first step."""
    acquisition.send(None)
    return acquisition
