"""The retry policy: when it tries again, how long it waits, what it ends with."""

import asyncio
import contextlib
import gc
import itertools
import random
import threading
import weakref
from datetime import timedelta

import pytest
import trio

from sluicegate import (
    CircuitIsolatedError,
    CircuitOpenError,
    ConfigurationError,
    RateLimitError,
    Retry,
    RetryConfig,
    retry_async,
)
from sluicegate.testing import ManualClock


class Flaky:
    """Fails as often as it is told, then succeeds; notes when it was called."""

    def __init__(self, clock, *failures):
        self.clock = clock
        self.failures = list(failures)
        self.called_at = []

    def __call__(self, result="done"):
        self.called_at.append(self.clock.now())
        if self.failures:
            raise self.failures.pop(0)
        return result

    async def later(self, result="done"):
        return self(result)


class Budget:
    """As many retries as it is told; notes what was asked of it."""

    def __init__(self, left):
        self.left = left
        self.deposits = 0

    def deposit(self):
        self.deposits += 1

    def try_withdraw(self):
        self.left -= 1
        return self.left >= 0


@pytest.fixture
def clock():
    return ManualClock(autojump=True)


def by_call(retry, flaky):
    return retry.call(flaky)


def by_decorator(retry, flaky):
    return retry(flaky)()


def by_block(retry, flaky):
    for attempt in retry:
        with attempt:
            attempt.result = flaky()
            return attempt.result
    raise AssertionError("the block ended without a result")


def by_coroutine_on_asyncio(retry, flaky):
    return asyncio.run(retry(flaky.later)())


def by_coroutine_on_trio(retry, flaky):
    return trio.run(retry(flaky.later))


async def in_async_block(retry, flaky):
    async for attempt in retry:
        async with attempt:
            return await flaky.later()
    raise AssertionError("the block ended without a result")


def by_async_block_on_asyncio(retry, flaky):
    return asyncio.run(in_async_block(retry, flaky))


def by_async_block_on_trio(retry, flaky):
    return trio.run(in_async_block, retry, flaky)


def by_awaitable(retry, flaky):
    def plain():
        return flaky.later()

    async def main():
        return await retry.call(plain)

    return asyncio.run(main())


@pytest.mark.parametrize(
    "run",
    [
        by_call,
        by_decorator,
        by_block,
        by_coroutine_on_asyncio,
        by_coroutine_on_trio,
        by_async_block_on_asyncio,
        by_async_block_on_trio,
        by_awaitable,
    ],
)
class TestHoweverItIsUsed:
    def test_succeeds_at_once_where_nothing_fails(self, run, clock):
        retry, flaky = Retry(clock=clock), Flaky(clock)
        assert run(retry, flaky) == "done"
        assert flaky.called_at == [0.0]
        assert retry.stats().calls == 1
        assert retry.stats().retries == 0

    def test_tries_again_after_waits_that_double(self, run, clock):
        retry = Retry(max_attempts=4, jitter=False, clock=clock)
        flaky = Flaky(clock, OSError(), ValueError(), OSError())
        assert run(retry, flaky) == "done"
        assert flaky.called_at == [0.0, 1.0, 3.0, 7.0]

    def test_ends_with_the_last_attempts_own_exception(self, run, clock):
        failures = [OSError(1), OSError(2), OSError(3)]
        flaky = Flaky(clock, *failures)
        with pytest.raises(OSError) as caught:
            run(Retry(jitter=False, clock=clock), flaky)
        assert caught.value is failures[2]
        assert flaky.called_at == [0.0, 1.0, 3.0]

    def test_does_not_chain_one_attempts_exception_to_the_next(self, run, clock):
        with pytest.raises(OSError) as caught:
            run(Retry(jitter=False, clock=clock), Flaky(clock, ValueError(), KeyError(), OSError()))
        assert caught.value.__context__ is None

    def test_raises_at_once_what_is_not_listed(self, run, clock):
        error = KeyError("unlisted")
        flaky = Flaky(clock, error)
        with pytest.raises(KeyError) as caught:
            run(Retry(retry_on=(OSError, ValueError), clock=clock), flaky)
        assert caught.value is error
        assert flaky.called_at == [0.0]

    def test_asks_a_predicate_which_exceptions_to_retry(self, run, clock):
        flaky = Flaky(clock, OSError("retry"), OSError("give up"))
        with pytest.raises(OSError, match="give up"):
            run(Retry(retry_on=lambda error: str(error) == "retry", clock=clock), flaky)
        assert len(flaky.called_at) == 2

    def test_waits_the_retry_after_of_an_exception_in_full(self, run, clock):
        retry = Retry(max_attempts=2, max_interval=5.0, jitter=False, clock=clock)
        flaky = Flaky(clock, RateLimitError(7.0))
        assert run(retry, flaky) == "done"
        assert flaky.called_at == [0.0, 7.0]

    def test_ends_at_once_where_retry_after_is_infinite(self, run, clock):
        error = CircuitOpenError("open", retry_after=float("inf"))
        flaky = Flaky(clock, error)
        with pytest.raises(CircuitOpenError) as caught:
            run(Retry(clock=clock), flaky)
        assert caught.value is error
        assert flaky.called_at == [0.0]

    def test_does_not_begin_a_wait_that_would_end_past_max_elapsed(self, run, clock):
        flaky = Flaky(clock, OSError(1), OSError(2), OSError(3))
        with pytest.raises(OSError, match="2"):
            run(Retry(max_attempts=10, max_elapsed=2.5, jitter=False, clock=clock), flaky)
        assert clock.now() == 1.0

    def test_ends_with_the_attempts_own_exception_where_the_budget_is_exhausted(self, run, clock):
        budget = Budget(1)
        failures = [OSError(1), OSError(2), OSError(3)]
        with pytest.raises(OSError) as caught:
            run(Retry(budget=budget, clock=clock), Flaky(clock, *failures))
        assert caught.value is failures[1]
        assert budget.deposits == 1

    def test_counts_what_it_did(self, run, clock):
        retry = Retry(max_attempts=2, jitter=False, clock=clock)
        run(retry, Flaky(clock))
        run(retry, Flaky(clock, OSError()))
        with pytest.raises(OSError):
            run(retry, Flaky(clock, OSError(), OSError()))
        stats = retry.stats()
        assert (stats.calls, stats.retries, stats.failures, stats.waited) == (3, 2, 1, 2.0)

    def test_tells_on_retry_which_attempt_failed_how_long_it_waits_and_why(self, run, clock):
        told, failures = [], [OSError(1), ValueError(2)]
        retry = Retry(jitter=False, on_retry=lambda *call: told.append(call), clock=clock)
        run(retry, Flaky(clock, *failures))
        assert told == [(0, 1.0, failures[0]), (1, 2.0, failures[1])]

    def test_lets_what_on_retry_raises_end_the_call(self, run, clock):
        def refuse(attempt, delay, error):
            raise PermissionError("no more")

        flaky = Flaky(clock, OSError())
        with pytest.raises(PermissionError):
            run(Retry(on_retry=refuse, clock=clock), flaky)
        assert flaky.called_at == [0.0]

    def test_ends_at_once_where_a_breaker_is_held_open_by_hand(self, run, clock):
        flaky = Flaky(clock, *[CircuitIsolatedError("isolated", reason="maintenance")] * 3)
        with pytest.raises(CircuitIsolatedError):
            run(Retry(clock=clock), flaky)
        assert flaky.called_at == [0.0]


class TestResults:
    def test_tries_again_after_a_result_that_will_not_do(self, clock):
        answers = iter([None, None, "page"])
        retry = Retry(retry_result=lambda result: result is None, jitter=False, clock=clock)
        assert retry.call(lambda: next(answers)) == "page"
        assert clock.now() == 3.0

    def test_returns_the_last_result_where_the_attempts_run_out(self, clock):
        answers = iter([1, 2, 3])
        retry = Retry(retry_result=lambda result: True, clock=clock)
        assert retry.call(lambda: next(answers)) == 3
        assert retry.stats().failures == 0

    async def test_looks_at_what_a_coroutine_returns(self, clock):
        flaky = iter([None, "page"])

        async def fetch():
            return next(flaky)

        retry = Retry(retry_result=lambda result: result is None, clock=clock)
        assert await retry.call(fetch) == "page"

    def test_looks_at_the_result_that_a_block_sets(self, clock):
        retry = Retry(retry_result=lambda result: result is None, jitter=False, clock=clock)
        seen = []
        for attempt in retry:
            with attempt:
                attempt.result = None if attempt.number < 2 else "page"
                seen.append(attempt.number)
        assert seen == [0, 1, 2]
        assert clock.now() == 3.0

    def test_a_block_that_sets_no_result_is_not_asked_for_one(self, clock):
        def refuse(result):
            raise AssertionError(result)

        for attempt in Retry(retry_result=refuse, clock=clock):
            with attempt:
                pass

    def test_an_exception_after_a_poor_result_is_raised(self, clock):
        answers = [None]
        retry = Retry(retry_result=lambda result: result is None, retry_on=OSError, clock=clock)
        with pytest.raises(IndexError):
            retry.call(answers.pop)


class TestRetryAfter:
    @pytest.mark.parametrize(
        ("asked", "waited"),
        [
            (0, 1.0),
            (0.5, 1.0),
            (timedelta(seconds=9), 9.0),
            (None, 1.0),
            ("soon", 1.0),
            (-5, 1.0),
            (float("nan"), 1.0),
        ],
    )
    def test_is_a_floor_and_ignored_where_it_makes_no_sense(self, clock, asked, waited):
        error = OSError()
        error.retry_after = asked
        Retry(jitter=False, clock=clock).call(Flaky(clock, error))
        assert clock.now() == waited

    def test_may_be_ignored(self, clock):
        Retry(jitter=False, respect_retry_after=False, clock=clock).call(Flaky(clock, RateLimitError(7)))
        assert clock.now() == 1.0

    def test_counts_against_the_deadline(self, clock):
        with pytest.raises(RateLimitError):
            Retry(max_elapsed=5, clock=clock).call(Flaky(clock, RateLimitError(7)))
        assert clock.now() == 0.0


class TestDeadline:
    def test_a_wait_that_ends_on_it_is_begun(self, clock):
        assert Retry(max_elapsed=1.0, jitter=False, clock=clock).call(Flaky(clock, OSError())) == "done"

    def test_counts_the_time_that_attempts_take(self, clock):
        def slow():
            clock.advance(2)
            raise OSError

        with pytest.raises(OSError):
            Retry(max_attempts=9, max_elapsed=4.5, jitter=False, clock=clock).call(slow)
        assert clock.now() == 5.0


class TestCancellation:
    async def test_during_an_attempt_passes_through(self, clock):
        attempts = []

        async def hang():
            attempts.append(1)
            await asyncio.Event().wait()

        task = asyncio.create_task(Retry(retry_on=(BaseException,), clock=clock).call(hang))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(attempts) == 1

    async def test_during_a_wait_passes_through_and_leaves_no_sleeper(self):
        clock = ManualClock()
        flaky = Flaky(clock, OSError())
        task = asyncio.create_task(Retry(clock=clock).call(flaky.later))
        while not clock.sleepers:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert clock.sleepers == 0
        assert len(flaky.called_at) == 1

    def test_in_trio_passes_through(self):
        clock = ManualClock()
        attempts = []

        async def hang():
            attempts.append(1)
            await trio.sleep_forever()

        async def main():
            with trio.move_on_after(0) as scope:
                await Retry(retry_on=(BaseException,), clock=clock).call(hang)
            assert scope.cancelled_caught

        trio.run(main)
        assert len(attempts) == 1


class TestSharing:
    def test_one_policy_serves_many_tasks_each_with_its_own_state(self, clock):
        retry = Retry(max_attempts=4, jitter=False, clock=clock)

        async def main():
            flakies = [Flaky(clock, *[OSError()] * failures) for failures in (0, 1, 2, 3) * 5]
            await asyncio.gather(*(retry.call(flaky.later) for flaky in flakies))
            return {len(flaky.called_at): flaky.called_at for flaky in flakies}

        assert asyncio.run(main()) == {1: [0.0], 2: [0.0, 1.0], 3: [0.0, 1.0, 3.0], 4: [0.0, 1.0, 3.0, 7.0]}

    @pytest.mark.parametrize("jitter", [False, True, "full", "equal", "decorrelated"])
    def test_four_users_at_once_back_off_independently(self, clock, jitter):
        told = {}

        def note(attempt, delay, error):
            told.setdefault(error.args[0], []).append((attempt, delay))

        retry = Retry(max_attempts=6, jitter=jitter, rng=random.Random(7), on_retry=note, clock=clock)
        users = {user: Flaky(clock, *[OSError(user)] * 5) for user in range(4)}

        async def main():
            await asyncio.gather(*(retry.call(flaky.later) for flaky in users.values()))

        asyncio.run(main())
        for user, flaky in users.items():
            assert [attempt for attempt, _ in told[user]] == [0, 1, 2, 3, 4]
            # Each waited its own waits, no more and no less, from a first attempt at zero.
            expected = itertools.accumulate((delay for _, delay in told[user]), initial=0.0)
            assert flaky.called_at == pytest.approx([*expected], abs=1e-8)
        if jitter:
            assert len({flaky.called_at[-1] for flaky in users.values()}) == 4

    def test_a_call_within_a_call_has_its_own_attempts(self, clock):
        retry, inner = Retry(max_attempts=2, jitter=False, clock=clock), []

        def outer():
            flaky = Flaky(clock, OSError(), OSError())
            try:
                retry.call(flaky)
            finally:
                inner.append(len(flaky.called_at))

        with pytest.raises(OSError):
            retry.call(outer)
        assert inner == [2, 2]

    def test_counts_every_call_of_every_thread(self):
        retry = Retry()

        def work():
            for _ in range(2_000):
                retry.call(int)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert retry.stats().calls == 8_000

    def test_decorrelated_waits_grow_from_those_before(self, clock):
        waits = []
        retry = Retry(
            max_attempts=30,
            jitter="decorrelated",
            max_interval=1e9,
            rng=random.Random(6),
            on_retry=lambda attempt, delay, error: waits.append(delay),
            clock=clock,
        )
        retry.call(Flaky(clock, *[OSError()] * 29))
        assert all(later <= 3 * earlier for earlier, later in itertools.pairwise(waits))

    def test_decorrelated_waits_of_two_calls_do_not_mix(self, clock):
        retry = Retry(max_attempts=50, jitter="decorrelated", rng=random.Random(5), clock=clock)
        flaky = Flaky(clock, *[OSError()] * 40)
        retry.call(flaky)
        before = clock.now()
        retry.call(Flaky(clock, OSError()))
        assert clock.now() - before <= 3.0


@pytest.mark.parametrize("passing", [KeyboardInterrupt, SystemExit, GeneratorExit])
@pytest.mark.parametrize("run", [by_call, by_block, by_coroutine_on_asyncio, by_async_block_on_asyncio])
def test_what_is_no_exception_proper_is_never_taken_in(run, clock, passing):
    flaky = Flaky(clock, passing())
    with pytest.raises(passing):
        run(Retry(retry_on=(BaseException,), clock=clock), flaky)
    assert flaky.called_at == [0.0]


def by_hand(retry, flaky):
    return retry.call(flaky.later).send(None)


def by_async_block_by_hand(retry, flaky):
    return in_async_block(retry, flaky).send(None)


@pytest.mark.parametrize("run", [by_call, by_block, by_hand, by_async_block_by_hand])
def test_no_exception_is_left_in_a_cycle_of_garbage(run, clock):
    class LocalError(Exception):
        pass

    failures = [LocalError(), LocalError()]
    remains = [weakref.ref(failure) for failure in failures]
    flaky = Flaky(clock, *failures)
    failures.clear()
    gc.collect()
    gc.disable()
    try:
        with contextlib.suppress(LocalError):
            run(Retry(max_attempts=2, initial_interval=0, clock=clock), flaky)
        assert [remain() for remain in remains] == [None, None]
    finally:
        gc.enable()


class TestBlocks:
    def test_end_after_a_success_without_a_further_round(self, clock):
        rounds = []
        for attempt in Retry(clock=clock):
            with attempt:
                rounds.append(attempt.number)
        assert rounds == [0]

    def test_end_where_the_attempt_was_never_entered(self, clock):
        assert [attempt.number for attempt in Retry(clock=clock)] == [0]

    def test_may_be_begun_by_hand(self, clock):
        attempts = iter(iter(Retry(jitter=False, clock=clock)))
        with next(attempts):
            raise OSError
        with next(attempts) as attempt:
            pass
        assert attempt.number == 1
        assert next(attempts, None) is None

    async def test_end_after_an_asynchronous_success_without_a_further_round(self, clock):
        rounds = []
        async for attempt in aiter(Retry(clock=clock)):
            async with attempt:
                rounds.append(attempt.number)
        assert rounds == [0]

    def test_may_be_left_by_break(self, clock):
        for attempt in Retry(clock=clock):
            with attempt:
                break
        assert clock.now() == 0.0

    def test_an_async_block_left_early_leaves_nothing_to_close(self, clock):
        async def main():
            async for attempt in Retry(clock=clock):
                async with attempt:
                    return "early"
            return None

        assert trio.run(main) == "early"


class TestBuilding:
    def test_takes_fields_in_place_of_a_config_or_on_top_of_it(self):
        config = RetryConfig(max_attempts=5, jitter=False)
        assert Retry(config).config is config or Retry(config).config == config
        assert Retry(config, max_attempts=2).config == RetryConfig(max_attempts=2, jitter=False)
        assert Retry(max_attempts=2).config.max_attempts == 2

    def test_has_a_name_and_a_clock(self, clock):
        retry = Retry(name="search", clock=clock)
        assert (retry.name, retry.clock) == ("search", clock)

    def test_refuses_what_makes_no_sense(self):
        with pytest.raises(ConfigurationError, match="max_attempts"):
            Retry(max_attempts=0)

    def test_an_unknown_option_is_a_type_error(self):
        with pytest.raises(TypeError, match="attempts"):
            Retry(attempts=3)

    def test_gives_the_delays_of_its_config(self):
        assert Retry(jitter=False).get_delay(3) == 8.0


class TestRetryAsync:
    async def test_fails_twice_then_succeeds_after_one_and_two_seconds(self, clock):
        flaky = Flaky(clock, OSError(), OSError())
        assert await retry_async(flaky.later, "result", clock=clock) == "result"
        assert flaky.called_at == [0.0, 1.0, 3.0]

    async def test_raises_an_unlisted_exception_at_once(self, clock):
        flaky = Flaky(clock, KeyError())
        with pytest.raises(KeyError):
            await retry_async(flaky.later, retry_on=(OSError,), clock=clock)
        assert flaky.called_at == [0.0]

    async def test_ends_with_the_last_exception_itself(self, clock):
        failures = [OSError(1), OSError(2)]
        with pytest.raises(OSError) as caught:
            await retry_async(Flaky(clock, *failures).later, max_attempts=2, clock=clock)
        assert caught.value is failures[1]

    async def test_asks_delay_func_with_attempts_from_zero(self, clock):
        asked = []
        flaky = Flaky(clock, OSError(), OSError())
        await retry_async(flaky.later, delay_func=lambda attempt: asked.append(attempt) or 5, clock=clock)
        assert asked == [0, 1]
        assert flaky.called_at == [0.0, 5.0, 10.0]

    async def test_hands_arguments_on(self, clock):
        async def echo(*args, **kwargs):
            return args, kwargs

        assert await retry_async(echo, 1, 2, max_attempts=1, key="value") == ((1, 2), {"key": "value"})

    async def test_lets_cancellation_through(self):
        clock = ManualClock()
        task = asyncio.create_task(retry_async(Flaky(clock, OSError()).later, clock=clock))
        while not clock.sleepers:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    def test_works_on_trio(self, clock):
        flaky = Flaky(clock, OSError())

        async def main():
            return await retry_async(flaky.later, clock=clock)

        assert trio.run(main) == "done"
        assert clock.now() == 1.0
