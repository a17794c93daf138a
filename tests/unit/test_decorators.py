"""What decorates a function leaves it its name, its signature and its awaitability, and a method a method."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import pytest
import redis
import redis.asyncio

from sluicegate import (
    AdaptiveConcurrency,
    Bulkhead,
    CircuitBreaker,
    CircuitBreakerRegistry,
    CompositeRateLimiter,
    Fallback,
    Hedge,
    KeyedRateLimiter,
    Pipeline,
    RateLimiter,
    Retry,
    Timeout,
)
from sluicegate.backends.redis import AsyncRedisCircuitBreaker, RedisCircuitBreaker, RedisRateLimiter
from sluicegate.testing import Chaos

NOWHERE = redis.Redis(port=1, socket_timeout=0.1)
NOWHERE_ASYNC = redis.asyncio.Redis(port=1, socket_timeout=0.1)

BOTH = {
    "adaptive": AdaptiveConcurrency,
    "breaker": CircuitBreaker,
    "breaker of a registry": lambda: CircuitBreakerRegistry()["host"],
    "bulkhead": lambda: Bulkhead(5),
    "chaos": Chaos,
    "composite limiter": lambda: CompositeRateLimiter(requests="inf/s"),
    "composite limit": lambda: CompositeRateLimiter(requests="inf/s", tokens="inf/s").limit(tokens=2),
    "fallback": lambda: Fallback(None),
    "keyed limit": lambda: KeyedRateLimiter("inf/s").limit("key"),
    "keyed limit of arguments": lambda: KeyedRateLimiter("inf/s").limit(lambda *_, **__: "key"),
    "limit": lambda: RateLimiter("inf/s").limit(2),
    "limiter": lambda: RateLimiter("inf/s"),
    "pipeline": lambda: Pipeline(Retry(), RateLimiter("inf/s"), CircuitBreaker(), Bulkhead(5), name="p"),
    "pipeline of none": Pipeline,
    "retry": Retry,
}
PLAIN_ALONE = {
    "breaker in redis": lambda: RedisCircuitBreaker(NOWHERE, name="b"),
    "limit in redis": lambda: RedisRateLimiter(NOWHERE, "inf/s", name="l").limit("key"),
}
COROUTINES_ALONE = {
    "breaker in redis": lambda: AsyncRedisCircuitBreaker(NOWHERE_ASYNC, name="b"),
    "hedge": lambda: Hedge(60.0),
    "pipeline with a timeout": lambda: Pipeline(Timeout(60.0), Retry()),
    "timeout": lambda: Timeout(60.0),
}
Make = Callable[[], Callable[..., Any]]
FOR_PLAIN = BOTH | PLAIN_ALONE
FOR_COROUTINES = BOTH | COROUTINES_ALONE
for_plain = pytest.mark.parametrize("make", FOR_PLAIN.values(), ids=FOR_PLAIN)
for_coroutines = pytest.mark.parametrize("make", FOR_COROUTINES.values(), ids=FOR_COROUTINES)


def plain(a: int, b: int = 2, /, c: int = 3, *args: int, d: int, e: int = 5, **kwargs: int) -> list[Any]:
    """Say it."""
    return [a, b, c, args, d, e, kwargs]


async def coroutine(
    a: int, b: int = 2, /, c: int = 3, *args: int, d: int, e: int = 5, **kwargs: int
) -> list[Any]:
    """Say it later."""
    return [a, b, c, args, d, e, kwargs]


# Names of the decorators' own parameters must be free for those of the function.
CALLS: list[tuple[tuple[int, ...], dict[str, int]]] = [
    ((1,), {"d": 4}),
    ((1, 20, 30, 31, 32), {"d": 40, "e": 50}),
    ((1,), {"c": 30, "d": 40, "a": 70}),
    ((1,), {"d": 4, "func": 1, "self": 2, "args": 3, "kwargs": 5, "call": 6, "key": 7, "count": 8}),
    ((1,), {"d": 4, "timeout": 1, "limiter": 2, "breaker": 3, "policy": 5, "name": 6, "clock": 7}),
]


def told(function: Callable[..., Any]) -> tuple[Any, ...]:
    return (
        function.__name__,
        function.__qualname__,
        function.__module__,
        function.__doc__,
        function.__annotations__,
        inspect.signature(function),
    )


@for_plain
def test_a_plain_function_keeps_its_name_and_signature_and_stays_plain(make: Make) -> None:
    decorated = make()(plain)
    assert decorated is not plain
    assert told(decorated) == told(plain)
    assert inspect.unwrap(decorated) is plain
    assert not inspect.iscoroutinefunction(decorated)
    for args, kwargs in CALLS:
        assert decorated(*args, **kwargs) == plain(*args, **kwargs)


@for_coroutines
async def test_a_coroutine_function_keeps_its_name_and_signature_and_stays_one(make: Make) -> None:
    decorated = make()(coroutine)
    assert decorated is not coroutine
    assert told(decorated) == told(coroutine)
    assert inspect.unwrap(decorated) is coroutine
    assert inspect.iscoroutinefunction(decorated)
    for args, kwargs in CALLS:
        assert await decorated(*args, **kwargs) == plain(*args, **kwargs)


@for_plain
def test_methods_of_every_kind_stay_what_they_were(make: Make) -> None:
    class Client:
        base = 10

        @make()
        def add(self, number: int) -> int:
            return self.base + number

        @classmethod
        @make()
        def double(cls, number: int) -> int:
            return cls.base * number

        @staticmethod
        @make()
        def square(number: int) -> int:
            return number * number

    assert (Client().add(1), Client().add(number=2), Client.double(3), Client.square(4)) == (11, 12, 30, 16)
    assert list(inspect.signature(Client().add).parameters) == ["number"]


@for_coroutines
async def test_methods_that_are_coroutine_functions_stay_so(make: Make) -> None:
    class Client:
        base = 10

        @make()
        async def add(self, number: int) -> int:
            return self.base + number

    assert (await Client().add(1), await Client().add(number=2)) == (11, 12)
    assert inspect.iscoroutinefunction(Client().add)


@for_coroutines
async def test_a_partial_of_a_coroutine_function_is_awaited(make: Make) -> None:
    decorated = make()(functools.partial(coroutine, 1, d=4))
    assert inspect.iscoroutinefunction(decorated)
    assert await decorated(c=30) == plain(1, c=30, d=4)


@for_plain
def test_what_a_plain_function_raises_is_raised(make: Make) -> None:
    class Odd(BaseException):
        pass

    error = Odd()

    @make()
    def fail() -> None:
        raise error

    with pytest.raises(Odd) as caught:
        fail()
    assert caught.value is error


@for_coroutines
async def test_what_a_coroutine_raises_is_raised(make: Make) -> None:
    class Odd(BaseException):
        pass

    error = Odd()

    @make()
    async def fail() -> None:
        raise error

    with pytest.raises(Odd) as caught:
        await fail()
    assert caught.value is error


@for_plain
@pytest.mark.parametrize("kind", ["generator", "asynchronous generator"])
def test_a_generator_function_is_refused_when_it_is_decorated(make: Make, kind: str) -> None:
    def generator() -> Any:
        yield 1

    async def asynchronous() -> Any:
        yield 1

    with pytest.raises(TypeError, match=r"generator|coroutine functions"):
        make()(generator if kind == "generator" else asynchronous)


@pytest.mark.parametrize("make", COROUTINES_ALONE.values(), ids=COROUTINES_ALONE)
def test_what_must_await_refuses_a_plain_function_when_it_decorates_it(make: Make) -> None:
    with pytest.raises(TypeError):
        make()(plain)


CALLING = {name: make for name, make in FOR_PLAIN.items() if hasattr(make(), "call")}


@pytest.mark.parametrize("make", CALLING.values(), ids=CALLING)
def test_a_call_hands_on_whatever_arguments_by_name(make: Make) -> None:
    policy: Any = make()
    for args, kwargs in CALLS:
        assert policy.call(plain, *args, **kwargs) == plain(*args, **kwargs)
