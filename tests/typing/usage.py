"""What a strict type checker says of code that uses the package; test_usage.py asks it, nobody calls this."""

from typing import assert_type

from sluicegate import (
    BreakerPermit,
    CircuitBreaker,
    CircuitState,
    Pipeline,
    RateLimiter,
    RateLimitResult,
    Retry,
    TokenReservation,
)


def plain(order: int, *, urgent: bool = False) -> str:
    return f"{order}{urgent}"


async def later(order: int) -> str:
    return f"{order}"


def decisions_are_values(limiter: RateLimiter, breaker: CircuitBreaker) -> None:
    assert_type(limiter.try_acquire(), bool)
    assert_type(limiter.attempt().retry_after, float)
    assert_type(limiter.acquire_blocking(timeout=1), RateLimitResult)
    assert_type(limiter.reserve(), TokenReservation | None)
    assert_type(breaker.try_enter(), BreakerPermit | None)
    assert_type(breaker.state, CircuitState)


def a_call_returns_what_its_function_returns(
    limiter: RateLimiter, breaker: CircuitBreaker, retry: Retry
) -> None:
    pipeline = Pipeline(retry, limiter, limiter.limit(2), breaker)
    assert_type(breaker.call(plain, 7, urgent=True), str)
    assert_type(retry.call(plain, 7), str)
    assert_type(pipeline.call(plain, 7), str)


def a_decorator_keeps_the_signature(limiter: RateLimiter, breaker: CircuitBreaker, retry: Retry) -> None:
    pipeline = Pipeline(retry, limiter, breaker)
    assert_type(limiter(plain)(7, urgent=True), str)
    assert_type(limiter.limit(2)(plain)(7), str)
    assert_type(breaker(plain)(7), str)
    assert_type(retry(plain)(7), str)
    assert_type(pipeline(plain)(7), str)
    breaker(plain)("seven")  # type: ignore[arg-type]
    pipeline(plain)()  # type: ignore[call-arg]


async def coroutines_stay_coroutines(limiter: RateLimiter, breaker: CircuitBreaker, retry: Retry) -> None:
    pipeline = Pipeline(retry, limiter, breaker)
    assert_type(await limiter.acquire(), RateLimitResult)
    assert_type(await breaker.call(later, 7), str)
    assert_type(await retry.call(later, 7), str)
    assert_type(await pipeline.call(later, 7), str)
    assert_type(await breaker(later)(7), str)
    assert_type(await retry(later)(7), str)
    assert_type(await pipeline(later)(7), str)
    async with limiter, breaker:
        pass
