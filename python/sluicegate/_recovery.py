"""What to do after an error, decided by its category: wait, try again, refresh, fall back, or give up."""

from __future__ import annotations

import enum
import inspect
import math
from collections.abc import Awaitable, Callable
from typing import Any, ParamSpec, TypeAlias, TypeVar, cast

from sluicegate._durations import Duration, nanoseconds, seconds
from sluicegate._structured_error import ErrorCategory, StructuredError
from sluicegate._time import Clock, resolve_clock, sleep_until
from sluicegate.policies import RetryConfig

P = ParamSpec("P")
R = TypeVar("R")


class RecoveryAction(enum.StrEnum):
    """What is to be done after an error, once `recover` has done its part."""

    RETRY = "retry"
    """Make the call again, now: whatever had to be waited for is over."""
    FALL_BACK = "fall_back"
    """Use what stands in for the call."""
    FAIL = "fail"
    """Nothing helps: let the error through."""


Handler: TypeAlias = Callable[[StructuredError, int], RecoveryAction | Awaitable[RecoveryAction]]
"""Called with the error and how many attempts were made before the one that raised it, from 0."""


class ErrorRecoveryStrategy:
    """Does what the category of an error asks for, and says what is to follow.

    By default a rate limit is waited out as told, or with a growing wait where nothing was told; an external
    service is tried again with backoff, then given up for the fallback; a failed authentication is tried
    again once, after `refresh`; what is invalid, or a mistake of our own, is never tried again. `register`
    puts a handler of yours in the place of any of these.

    It holds no state of a call: one strategy serves any number of tasks, in asyncio and trio.

    Args:
        retry: How many attempts there are in all, and how the waits between them grow.
        refresh: Called once a call when its credentials are refused, with the error; may be a coroutine
            function. None: such an error fails at once.
        fallback: Called with the error when an external service is given up; what it returns, or its
            awaitable gives, stands in for the call's result. None: the error is raised.
        max_wait: The longest a rate limit may ask to wait; an error that asks for more fails.
        clock: None for the machine's monotonic clock, or a `sluicegate.testing.ManualClock`.

    Raises:
        ConfigurationError: `max_wait` is negative or NaN.

    Example:
        >>> import asyncio
        >>> from sluicegate import RateLimitError
        >>> from sluicegate.testing import ManualClock
        >>> clock = ManualClock(autojump=True)
        >>> strategy = ErrorRecoveryStrategy(clock=clock)
        >>> asyncio.run(strategy.recover(RateLimitError(7.0))), clock.now()
        (<RecoveryAction.RETRY: 'retry'>, 7.0)
    """

    def __init__(
        self,
        *,
        retry: RetryConfig | None = None,
        refresh: Callable[[StructuredError], object] | None = None,
        fallback: Callable[[StructuredError], object] | None = None,
        max_wait: Duration = math.inf,
        clock: Clock | None = None,
    ) -> None:
        self._retry = retry or RetryConfig()
        self._refresh = refresh
        self._fallback = fallback
        self._max_wait = seconds(max_wait, "max_wait")
        self._clock = resolve_clock(clock)
        self._handlers: dict[ErrorCategory, Handler] = {
            ErrorCategory.VALIDATION: _fail,
            ErrorCategory.AUTHENTICATION: self._authenticate,
            ErrorCategory.RATE_LIMIT: self._wait_as_told,
            ErrorCategory.EXTERNAL_SERVICE: self._try_again,
            ErrorCategory.INTERNAL: _fail,
        }

    def register(self, category: ErrorCategory | str, handler: Handler) -> None:
        """Have `handler` decide what follows an error of `category`, from now on.

        Args:
            category: An `ErrorCategory`, or its value as a string.
            handler: Called with the `StructuredError` and the number of attempts before this one; returns a
                `RecoveryAction`, or an awaitable of one. It does its own waiting.

        Raises:
            ValueError: `category` is none.
            TypeError: `handler` cannot be called.
        """
        if not callable(handler):
            raise TypeError(f"handler must be a function of an error and an attempt, not {handler!r}")
        self._handlers[ErrorCategory(category)] = handler

    async def recover(self, error: BaseException, attempt: int = 0) -> RecoveryAction:
        """Do what the error asks for, such as waiting, and return what is to follow.

        Args:
            error: Anything that was raised; see `StructuredError.from_exception`.
            attempt: How many attempts were made before the one that raised it.

        Raises:
            ValueError: `attempt` is negative.
            TypeError: The handler returned something else than a `RecoveryAction`.
        """
        if attempt < 0:
            raise ValueError(f"attempt counts the attempts before this one, from 0; not {attempt}")
        structured = StructuredError.from_exception(error)
        action = await _awaited(self._handlers[structured.category](structured, attempt))
        if not isinstance(action, RecoveryAction):
            raise TypeError(
                f"a handler returns a RecoveryAction, not {action!r}; see {structured.category.name}"
            )
        return action

    async def call(self, func: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Await `func(*args, **kwargs)` until it returns, or nothing helps; then raise its own exception.

        Example:
            >>> import asyncio
            >>> async def ask():
            ...     raise ConnectionError("no route")
            >>> from sluicegate.testing import ManualClock
            >>> strategy = ErrorRecoveryStrategy(
            ...     fallback=lambda error: f"as of yesterday ({error.code})", clock=ManualClock(autojump=True)
            ... )
            >>> asyncio.run(strategy.call(ask))
            'as of yesterday (connection_failed)'
        """
        attempt = 0
        while True:
            try:
                return await func(*args, **kwargs)
            except Exception as error:
                action = await self.recover(error, attempt)
                if action is RecoveryAction.FALL_BACK and self._fallback is not None:
                    stand_in = self._fallback(StructuredError.from_exception(error))
                    return cast(R, await _awaited(stand_in))
                if action is not RecoveryAction.RETRY:
                    raise
            attempt += 1

    async def _wait_as_told(self, error: StructuredError, attempt: int) -> RecoveryAction:
        if attempt + 1 >= self._retry.max_attempts:
            return RecoveryAction.FAIL
        wait = self._retry.get_delay(attempt) if error.retry_after is None else error.retry_after
        if math.isinf(wait) or wait > self._max_wait:
            return RecoveryAction.FAIL
        await self._sleep(wait)
        return RecoveryAction.RETRY

    async def _try_again(self, error: StructuredError, attempt: int) -> RecoveryAction:
        wait = max(self._retry.get_delay(attempt), error.retry_after or 0.0)
        if (
            attempt + 1 < self._retry.max_attempts
            and not math.isinf(wait)
            and error.code != "circuit_isolated"
        ):
            await self._sleep(wait)
            return RecoveryAction.RETRY
        return RecoveryAction.FALL_BACK if self._fallback is not None else RecoveryAction.FAIL

    async def _authenticate(self, error: StructuredError, attempt: int) -> RecoveryAction:
        if self._refresh is None or attempt > 0:
            return RecoveryAction.FAIL
        await _awaited(self._refresh(error))
        return RecoveryAction.RETRY

    async def _sleep(self, wait: float) -> None:
        await sleep_until(self._clock, self._clock.now_ns() + nanoseconds(wait, "retry_after"))


def _fail(error: StructuredError, attempt: int) -> RecoveryAction:
    return RecoveryAction.FAIL


async def _awaited(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value
