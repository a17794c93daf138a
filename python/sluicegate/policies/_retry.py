"""Try again: the retry policy, its block form and `retry_async`.

What to do after an attempt is written once, in a generator of the moments to wait for; functions, coroutine
functions and blocks only differ in how they wait and how they try.
"""

import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, TypeVar, Unpack, cast

from sluicegate._durations import Duration
from sluicegate._time import Clock, resolve_clock, sleep_until, sleep_until_blocking
from sluicegate.policies._policy import P, Policy, R
from sluicegate.policies._retry_block import Attempt, Attempts
from sluicegate.policies._retry_config import Errors, RetryConfig, RetryFields
from sluicegate.policies._retry_plan import Counts, Plan, RetryStats

T = TypeVar("T")


class Retry(Policy):
    """Makes a call again when it fails, after a wait that grows; ends with the last attempt's own exception.

    One instance serves any number of threads, tasks and functions, in asyncio and trio. A wait that would end
    past `max_elapsed`, or leave no time before a `Timeout` around it cuts in, is not begun.

    Args:
        config: The options; None for the defaults.
        name: What statistics call it.
        clock: What the waits are measured on; None for the machine's monotonic clock.
        **fields: Fields of `RetryConfig`, in place of those of `config`.

    Raises:
        ConfigurationError: An option makes no sense.

    Example:
        >>> from sluicegate.testing import ManualClock
        >>> clock = ManualClock(autojump=True)
        >>> retry = Retry(max_attempts=3, jitter=False, retry_on=OSError, clock=clock)
        >>> answers = iter([OSError("reset"), OSError("reset again"), "at last"])
        >>> @retry
        ... def ask():
        ...     answer = next(answers)
        ...     if isinstance(answer, OSError):
        ...         raise answer
        ...     return answer
        >>> ask(), clock.now()
        ('at last', 3.0)

        As a block, where there is no function to wrap (`async for` and `async with` in a coroutine):

        >>> for attempt in retry:
        ...     with attempt:
        ...         if attempt.number == 0:
        ...             raise OSError("reset")
        >>> retry.stats()
        RetryStats(calls=2, retries=3, failures=0, waited=4.0)
    """

    def __init__(
        self,
        config: RetryConfig | None = None,
        *,
        name: str = "",
        clock: Clock | None = None,
        **fields: Unpack[RetryFields],
    ) -> None:
        self.config = dataclasses.replace(config, **fields) if config else RetryConfig(**fields)
        self.name = name
        self.clock = resolve_clock(clock)
        self._counts = Counts()
        options = (self.config.max_elapsed, self.config.budget, self.config.retry_result)
        self._needs_plan = any(option is not None for option in options)

    def __repr__(self) -> str:
        return f"Retry({self.config!r}, name={self.name!r})"

    def _plan(self) -> Plan:
        return Plan(self.config, self.clock, self._counts, self._tell)

    def call(self, func: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call `func` until it succeeds or is not worth another attempt.

        Returns:
            What the last attempt returned. Where `func` returns an awaitable, one that does all this when it
            is awaited.
        """
        # The GIL lets no thread between the parts of an increment; a lock would cost more than all the rest.
        self._counts.calls += 1
        plan = self._plan() if self._needs_plan else None
        try:
            result = func(*args, **kwargs)
        except Exception as error:
            plan = plan or self._plan()
            plan.error = error
        else:
            if hasattr(result, "__await__"):
                return cast(R, self._await(plan, cast(Awaitable[Any], result), func, args, kwargs))
            if plan is None:
                return result
            plan.result = result
        for wake_at in plan.waits():
            sleep_until_blocking(self.clock, wake_at)
            try:
                plan.result = func(*args, **kwargs)
            except Exception as error:
                plan.error = error
        return cast(R, plan.end())

    async def _await(
        self,
        plan: Plan | None,
        first: Awaitable[T],
        func: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> T:
        try:
            result = await first
        except Exception as error:
            plan = plan or self._plan()
            plan.error = error
        else:
            if plan is None:
                return result
            plan.result = result
        return cast(T, await self._again(plan, func, args, kwargs))

    async def _again(
        self, plan: Plan, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        for wake_at in plan.waits():
            await sleep_until(self.clock, wake_at)
            try:
                plan.result = await func(*args, **kwargs)
            except Exception as error:
                plan.error = error
        return plan.end()

    def _dress_async(self, func: Callable[..., Any]) -> Callable[..., Any]:
        counts = self._counts

        async def retried(*args: Any, **kwargs: Any) -> Any:
            counts.calls += 1
            if self._needs_plan:
                return await self._await(self._plan(), func(*args, **kwargs), func, args, kwargs)
            try:
                return await func(*args, **kwargs)
            except Exception as error:
                plan = self._plan()
                plan.error = error
            return await self._again(plan, func, args, kwargs)

        return retried

    def __iter__(self) -> Iterator[Attempt]:
        """Begin a block of attempts: `for attempt in retry:`, and in it `with attempt:`."""
        return self._attempts()

    def __aiter__(self) -> AsyncIterator[Attempt]:
        """Begin a block of attempts that waits without blocking: `async for attempt in retry:`."""
        return self._attempts()

    def _attempts(self) -> Attempts:
        self._counts.calls += 1
        return Attempts(self._plan(), self.clock)

    def get_delay(self, attempt: int) -> float:
        """Return the seconds to wait after `attempt`, from 0, as `RetryConfig.get_delay` does."""
        return self.config.get_delay(attempt)

    def stats(self) -> RetryStats:
        """Return what has been done so far."""
        return self._counts.stats()


async def retry_async(
    func: Callable[..., Awaitable[T]],
    *args: Any,
    max_attempts: int = 3,
    retry_on: Errors = (Exception,),
    delay_func: Callable[[int], Duration] | None = None,
    clock: Clock | None = None,
    **kwargs: Any,
) -> T:
    """Await `func(*args, **kwargs)`, and again where it fails; a `Retry` for once, without jitter.

    Args:
        func: A coroutine function, or anything that returns an awaitable.
        *args: Its arguments.
        max_attempts: How many attempts it gets in all.
        retry_on: Which exceptions are worth another: types or a predicate.
        delay_func: Returns the seconds to wait after an attempt, from 0; by default min(2^attempt, 60).
        clock: What the waits are measured on; None for the machine's monotonic clock.
        **kwargs: Its keyword arguments; wrap it in `functools.partial` where a name is taken here.

    Raises:
        ConfigurationError: An option makes no sense.
        Exception: That of the last attempt, the very object.

    Example:
        >>> from sluicegate.testing import ManualClock
        >>> clock = ManualClock(autojump=True)
        >>> answers = iter([OSError("reset"), OSError("reset again"), "at last"])
        >>> async def ask():
        ...     answer = next(answers)
        ...     if isinstance(answer, OSError):
        ...         raise answer
        ...     return answer
        >>> import asyncio
        >>> asyncio.run(retry_async(ask, clock=clock)), clock.now()
        ('at last', 3.0)
    """
    retry = Retry(
        max_attempts=max_attempts, retry_on=retry_on, delay_func=delay_func, jitter=False, clock=clock
    )

    async def attempt() -> T:
        return await func(*args, **kwargs)

    return await retry.call(attempt)
