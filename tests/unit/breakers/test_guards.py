"""The ways through a breaker: `call`, decorators, blocks and permits, for functions and coroutines."""

import asyncio
import contextvars
import functools
import gc
import inspect
import types

import pytest

from sluicegate import BreakerPermit, CircuitOpenError, CircuitState


def outcomes(breaker):
    snapshot = breaker.snapshot()
    return snapshot.total_successes, snapshot.total_failures, snapshot.total_ignored


async def double(number, *, plus=0):
    await asyncio.sleep(0)
    return number * 2 + plus


def begin(number):
    return double(number)


class Doubler:
    async def __call__(self, number):
        return number * 2

    async def method(self, number):
        return number * 2


def test_call_hands_on_its_arguments_and_the_result(breaker):
    assert breaker.call(divmod, 7, 3) == (2, 1)
    assert breaker.call(int, "ff", base=16) == 255
    assert breaker.call(dict) == {}
    assert breaker.call(lambda **fields: fields, func=1, self=2) == {"func": 1, "self": 2}


def test_call_without_a_function_is_a_type_error(breaker):
    with pytest.raises(TypeError):
        breaker.call()
    with pytest.raises(TypeError):
        breaker.call(func=print)


@pytest.mark.parametrize(
    "func",
    [
        double,
        functools.partial(double, plus=0),
        begin,
        lambda number: asyncio.ensure_future(double(number)),
        Doubler(),
        Doubler().method,
    ],
    ids=["async def", "partial", "function", "future", "object", "method"],
)
async def test_what_returns_an_awaitable_is_guarded_until_it_is_done(breaker, func):
    awaitable = breaker.call(func, 4)
    assert inspect.isawaitable(awaitable)
    assert outcomes(breaker) == (0, 0, 0)
    assert await awaitable == 8
    assert outcomes(breaker) == (1, 0, 0)


async def test_a_coroutine_of_the_old_kind_is_guarded_too(breaker):
    @types.coroutine
    def old():
        yield from asyncio.sleep(0).__await__()
        return 5

    assert await breaker.call(old) == 5
    assert outcomes(breaker) == (1, 0, 0)


def test_a_generator_that_is_no_coroutine_is_a_result_like_any_other(breaker):
    assert list(breaker.call(lambda: (number for number in range(3)))) == [0, 1, 2]


async def test_a_coroutine_that_fails_counts_as_a_failure(build):
    breaker = build(consecutive_failures=1)

    async def fail():
        raise ConnectionError

    with pytest.raises(ConnectionError):
        await breaker.call(fail)
    assert breaker.state is CircuitState.OPEN
    assert isinstance(breaker.last_failure, ConnectionError)


@pytest.mark.parametrize("func", [double, begin])
async def test_a_coroutine_is_let_in_when_it_is_awaited(breaker, func):
    begun = [breaker.call(func, 1) for _ in range(2)]
    breaker.isolate()
    for awaitable in begun:
        with pytest.raises(CircuitOpenError):
            await awaitable


async def test_an_open_breaker_refuses_a_coroutine_function_when_it_is_awaited(breaker):
    breaker.isolate()
    refused = breaker.call(double, 1)
    with pytest.raises(CircuitOpenError):
        await refused


def test_an_open_breaker_refuses_a_plain_function_at_once_and_never_calls_it(breaker):
    calls = []
    breaker.isolate()
    with pytest.raises(CircuitOpenError):
        breaker.call(calls.append, 1)
    assert calls == []


def test_a_decorated_function_keeps_its_name_and_goes_through_the_breaker(build):
    breaker = build(consecutive_failures=1)

    @breaker
    def divide(dividend, divisor=2):
        """Divide."""
        return dividend / divisor

    assert (divide.__name__, divide.__doc__) == ("divide", "Divide.")
    assert (divide(4), divide(9, divisor=3)) == (2, 3)
    with pytest.raises(ZeroDivisionError):
        divide(1, 0)
    with pytest.raises(CircuitOpenError):
        divide(4)


async def test_a_decorated_coroutine_function_stays_one(build):
    breaker = build(consecutive_failures=1)

    @breaker
    async def fetch(answer):
        await asyncio.sleep(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert inspect.iscoroutinefunction(fetch)
    assert await fetch("page") == "page"
    with pytest.raises(ConnectionError):
        await fetch(ConnectionError())
    with pytest.raises(CircuitOpenError):
        await fetch("page")
    assert outcomes(breaker) == (1, 1, 0)


@pytest.mark.parametrize("by_call", [False, True])
async def test_a_coroutine_that_outlives_a_change_of_state_counts_in_the_totals_alone(breaker, by_call):
    async def fetch():
        breaker.reset()
        raise ConnectionError

    with pytest.raises(ConnectionError):
        await (breaker.call(fetch) if by_call else breaker(fetch)())
    assert outcomes(breaker) == (0, 1, 0)
    assert breaker.snapshot().throughput == 0


async def test_a_coroutine_begun_while_disabled_is_never_counted(breaker):
    async def fetch():
        breaker.reset()

    breaker.disable()
    await breaker(fetch)()
    assert outcomes(breaker) == (0, 0, 0)


@pytest.mark.parametrize("by_call", [False, True])
async def test_a_coroutine_that_is_a_probe_frees_its_place_when_it_is_cancelled(half_open, by_call):
    async def fetch():
        raise asyncio.CancelledError

    breaker = half_open()
    with pytest.raises(asyncio.CancelledError):
        await (breaker.call(fetch) if by_call else breaker(fetch)())
    assert outcomes(breaker) == (0, 10, 1)
    assert breaker.retry_after == 0.0


async def test_a_decorated_coroutine_that_takes_long_is_slow(build, clock):
    breaker = build(slow_call_duration=2.0)

    async def fetch(seconds):
        clock.advance(seconds)

    await breaker(fetch)(2.0)
    await breaker(fetch)(seconds=2.5)
    assert breaker.snapshot().slow_calls == 1


async def test_methods_can_be_decorated(breaker):
    class Client:
        def __init__(self):
            self.base = 10

        @breaker
        def add(self, number):
            return self.base + number

        @breaker
        async def fetch(self, number):
            return self.base * number

    assert (Client().add(1), await Client().fetch(2)) == (11, 20)


async def test_an_object_whose_call_is_a_coroutine_function_can_be_decorated(breaker):
    doubled = breaker(Doubler())
    assert inspect.iscoroutinefunction(doubled)
    assert await doubled(4) == 8


def test_a_decorated_function_returns_the_very_object(breaker):
    made = object()
    assert breaker(lambda: made)() is made
    assert outcomes(breaker) == (1, 0, 0)


@pytest.mark.parametrize("free", [False, True])
async def test_what_a_decorated_function_returns_to_be_awaited_counts_once_it_was(breaker, free):
    if free:
        breaker.metrics_only()

    async def fetch(answer):
        if isinstance(answer, Exception):
            raise answer
        return answer

    @breaker
    def guarded(answer):
        return fetch(answer)

    pending = guarded("page")
    assert outcomes(breaker) == (0, 0, 0)
    assert await pending == "page"
    assert outcomes(breaker) == (1, 0, 0)
    with pytest.raises(ConnectionError):
        await guarded(ConnectionError())
    assert outcomes(breaker) == (1, 1, 0)


async def test_a_future_that_a_decorated_function_returns_counts_as_it_ends(breaker):
    future = asyncio.get_running_loop().create_future()
    pending = breaker(lambda: future)()
    future.set_exception(ConnectionError())
    with pytest.raises(ConnectionError):
        await pending
    assert outcomes(breaker) == (0, 1, 0)


def test_blocks_of_two_breakers_may_end_in_any_order(build):
    first, second = build(), build()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    second.__exit__(OSError, OSError(), None)
    assert (outcomes(first), outcomes(second)) == ((1, 0, 0), (0, 1, 0))


def test_a_block_left_in_another_context_is_ignored(breaker):
    contextvars.Context().run(breaker.__enter__)
    breaker.__exit__(None, None, None)
    gc.collect()
    assert outcomes(breaker) == (0, 0, 1)


def test_a_generator_function_cannot_be_decorated(breaker):
    def count():
        yield 1

    async def count_later():
        yield 1

    for func in (count, count_later):
        with pytest.raises(TypeError, match="generator"):
            breaker(func)


def test_a_block_counts_by_how_it_ends(breaker):
    with breaker:
        pass
    with pytest.raises(ConnectionError), breaker:
        raise ConnectionError
    with pytest.raises(KeyboardInterrupt), breaker:
        raise KeyboardInterrupt
    assert outcomes(breaker) == (1, 1, 1)


async def test_an_async_block_counts_by_how_it_ends(breaker):
    async with breaker:
        await asyncio.sleep(0)
    with pytest.raises(ConnectionError):
        async with breaker:
            raise ConnectionError
    assert outcomes(breaker) == (1, 1, 0)


def test_an_open_breaker_never_enters_the_block(breaker):
    breaker.isolate()
    with pytest.raises(CircuitOpenError), breaker:
        pytest.fail("entered")


def test_blocks_nest_and_each_counts_its_own_end(build, clock):
    outer, inner = build(), build()
    with outer, inner, outer:
        with pytest.raises(ConnectionError), inner:
            raise ConnectionError
        clock.advance(1.0)
    assert (outcomes(outer), outcomes(inner)) == ((2, 0, 0), (1, 1, 0))


async def test_blocks_of_several_tasks_do_not_meet(breaker):
    async def work(error):
        async with breaker:
            await asyncio.sleep(0)
            if error:
                raise error

    await asyncio.gather(work(None), work(ConnectionError()), work(None), return_exceptions=True)
    assert outcomes(breaker) == (2, 1, 0)


def test_a_block_gives_its_permit_which_may_settle_it_early(breaker):
    with breaker as permit:
        permit.failure()
    assert outcomes(breaker) == (0, 1, 0)


def test_a_block_left_in_another_context_counts_as_ignored(half_open):
    breaker = half_open()
    context = contextvars.copy_context()
    context.run(breaker.__enter__)
    breaker.__exit__(None, None, None)
    del context
    gc.collect()
    assert outcomes(breaker) == (0, 10, 1)
    assert breaker.try_enter() is not None


def test_a_permit_is_settled_once(breaker):
    permit = breaker.try_enter()
    permit.success()
    permit.failure()
    permit.ignore()
    with permit:
        pass
    assert outcomes(breaker) == (1, 0, 0)


def test_a_permit_that_is_dropped_counts_as_ignored(half_open):
    breaker = half_open()
    permit = breaker.try_enter()
    assert isinstance(permit, BreakerPermit)
    del permit
    assert outcomes(breaker) == (0, 10, 1)
    assert breaker.try_enter() is not None


def test_a_permit_takes_a_failure_at_its_word(build):
    breaker = build(handle=OSError, ignore=KeyError)
    error = KeyError()
    breaker.try_enter().failure(error)
    assert outcomes(breaker) == (0, 1, 0)
    assert breaker.last_failure is error


def test_a_permit_asks_the_predicate_about_its_result(build):
    breaker = build(handle_result=lambda result: result == 503)
    breaker.try_enter().success(503)
    breaker.try_enter().success(200)
    assert outcomes(breaker) == (1, 1, 0)


def test_a_permit_as_a_block_asks_what_the_exception_means(build):
    breaker = build(ignore=KeyError)
    for error in (KeyError(), OSError()):
        with pytest.raises(type(error)), breaker.try_enter():
            raise error
    assert outcomes(breaker) == (0, 1, 1)


def test_try_enter_gives_none_where_it_would_raise_and_counts_the_refusal(breaker):
    breaker.isolate()
    assert breaker.try_enter() is None
    assert breaker.snapshot().total_rejected == 1
