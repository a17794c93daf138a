"""What follows an error of each category, and who decides it."""

import asyncio
import math

import pytest
import trio

from sluicegate import (
    AuthenticationError,
    CircuitIsolatedError,
    ConfigurationError,
    ErrorCategory,
    ErrorRecoveryStrategy,
    InvalidRequestError,
    RateLimitError,
    RecoveryAction,
    RetryConfig,
    ServerError,
)
from sluicegate.testing import ManualClock

STEADY = RetryConfig(max_attempts=3, initial_interval=1.0, jitter=False)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(autojump=True)


def failing(*errors: Exception):
    left = list(errors)

    async def call() -> str:
        if left:
            raise left.pop(0)
        return "answer"

    return call


@pytest.mark.parametrize("run", [asyncio.run, lambda coroutine: trio.run(lambda: coroutine)])
def test_a_rate_limit_waits_as_told(clock, run):
    strategy = ErrorRecoveryStrategy(retry=STEADY, clock=clock)
    assert run(strategy.call(failing(RateLimitError(7.0)))) == "answer"
    assert clock.now() == 7.0


async def test_a_rate_limit_that_tells_nothing_is_waited_out_with_backoff(clock):
    strategy = ErrorRecoveryStrategy(retry=STEADY, clock=clock)
    assert await strategy.call(failing(RateLimitError(), RateLimitError())) == "answer"
    assert clock.now() == 3.0


@pytest.mark.parametrize("wait", [60.001, math.inf])
async def test_a_wait_that_is_too_long_is_not_begun(clock, wait):
    strategy = ErrorRecoveryStrategy(max_wait=60.0, clock=clock)
    assert await strategy.recover(RateLimitError(wait)) is RecoveryAction.FAIL
    assert clock.now() == 0.0


async def test_a_service_is_tried_again_with_backoff_and_then_its_own_error_raised(clock):
    errors = [ServerError(503, str(number)) for number in range(3)]
    with pytest.raises(ServerError, match="2") as caught:
        await ErrorRecoveryStrategy(retry=STEADY, clock=clock).call(failing(*errors))
    assert caught.value is errors[2]
    assert clock.now() == 3.0


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_service_that_is_given_up_is_stood_in_for(clock, is_async):
    async def later(error):
        return error.code

    fallback = later if is_async else lambda error: error.code
    strategy = ErrorRecoveryStrategy(retry=STEADY, fallback=fallback, clock=clock)
    assert await strategy.call(failing(*[ConnectionError("no")] * 3)) == "connection_failed"


async def test_an_isolated_circuit_is_not_waited_for(clock):
    strategy = ErrorRecoveryStrategy(clock=clock)
    assert await strategy.recover(CircuitIsolatedError("held open")) is RecoveryAction.FAIL
    assert clock.now() == 0.0


@pytest.mark.parametrize("error", [InvalidRequestError(400, "no"), ValueError("no"), KeyError("no")])
async def test_what_is_invalid_or_our_own_mistake_is_never_tried_again(clock, error):
    strategy = ErrorRecoveryStrategy(fallback=lambda _: "never", clock=clock)
    with pytest.raises(type(error)) as caught:
        await strategy.call(failing(error))
    assert caught.value is error


async def test_credentials_are_refreshed_once(clock):
    refreshed = []
    strategy = ErrorRecoveryStrategy(refresh=refreshed.append, clock=clock)
    refused = AuthenticationError(401, "expired")
    assert await strategy.call(failing(refused)) == "answer"
    with pytest.raises(AuthenticationError):
        await strategy.call(failing(refused, refused))
    assert [error.code for error in refreshed] == ["unauthenticated"] * 2


async def test_without_a_refresh_refused_credentials_fail(clock):
    assert (
        await ErrorRecoveryStrategy(clock=clock).recover(AuthenticationError(401, "no"))
        is RecoveryAction.FAIL
    )


async def test_a_registered_handler_decides_in_place_of_the_default(clock):
    async def handler(error, attempt):
        return RecoveryAction.RETRY if attempt < 1 else RecoveryAction.FAIL

    strategy = ErrorRecoveryStrategy(clock=clock)
    strategy.register("internal", handler)
    assert await strategy.recover(KeyError("word")) is RecoveryAction.RETRY
    assert await strategy.recover(KeyError("word"), attempt=1) is RecoveryAction.FAIL


async def test_a_handler_that_decides_nothing_is_named(clock):
    strategy = ErrorRecoveryStrategy(clock=clock)
    strategy.register(ErrorCategory.INTERNAL, lambda error, attempt: None)
    with pytest.raises(TypeError, match="INTERNAL"):
        await strategy.recover(KeyError("word"))


def test_nonsense_is_refused():
    strategy = ErrorRecoveryStrategy()
    with pytest.raises(ValueError, match="weather"):
        strategy.register("weather", lambda error, attempt: RecoveryAction.FAIL)
    with pytest.raises(TypeError, match="seven"):
        strategy.register("internal", "seven")
    with pytest.raises(ConfigurationError, match="max_wait"):
        ErrorRecoveryStrategy(max_wait=-1)
    with pytest.raises(ValueError, match="-1"):
        asyncio.run(strategy.recover(KeyError(), attempt=-1))


async def test_cancellation_is_not_recovered_from(clock):
    async def cancelled() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await ErrorRecoveryStrategy(fallback=lambda _: "never", clock=clock).call(cancelled)


async def test_a_service_that_says_when_it_is_back_is_waited_for(clock):
    strategy = ErrorRecoveryStrategy(retry=STEADY, clock=clock)
    error = ServerError(503, "down for repairs")
    error.retry_after = 30.0
    assert await strategy.recover(error) is RecoveryAction.RETRY
    assert clock.now() == 30.0


async def test_a_rate_limit_is_waited_out_as_often_as_there_are_attempts(clock):
    strategy = ErrorRecoveryStrategy(retry=STEADY, clock=clock)
    with pytest.raises(RateLimitError):
        await strategy.call(failing(*(RateLimitError(7.0) for _ in range(5))))
    assert clock.now() == 14.0
