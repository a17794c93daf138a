"""Try again: the retry policy, its block form and `retry_async`.

What to do after an attempt is written once, in a generator of the moments to wait for; functions, coroutine
functions and blocks only differ in how they wait and how they try.
"""

import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Self, TypeAlias, TypeVar, Unpack, cast

from sluicegate._calls import is_coroutine_function, refuse_generator_function
from sluicegate._config import config_of
from sluicegate._durations import Duration
from sluicegate._native import FirstAttempt, FirstCall
from sluicegate._tailor import Wrapper
from sluicegate._time import Clock, resolve_clock, sleep_until, sleep_until_blocking
from sluicegate.policies._policy import Policy
from sluicegate.policies._retry_block import Attempt, Attempts
from sluicegate.policies._retry_config import Errors, RetryConfig, RetryFields
from sluicegate.policies._retry_plan import Counts, Plan, RetryStats

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])
Args: TypeAlias = tuple[Any, ...]
Kwargs: TypeAlias = dict[str, Any]

# What a dressed function does where nothing watches its first attempt. `+first` counts the call and gives the
# function. `try` has no line of its own, which would be an instruction of its own.
RETRIED = Wrapper(
    """
def retried($parameters):
    try: _s_result = (+_s_first)($arguments)
    except _s_Exception as _s_error:
        _s_plan = _s_retry._plan_after(_s_error)
    else:
        if _s_result is None or _s_type(_s_result) in _s_plain:
            return _s_result
        return _s_retry._conclude(_s_result, _s_func, $packed)
    return _s_retry._again(_s_plan, _s_func, $packed)
""",
    "first",
    "retry",
)
RETRIED_ASYNC = Wrapper(
    """
async def retried($parameters):
    try: return await (+_s_first)($arguments)
    except _s_Exception as _s_error:
        _s_plan = _s_retry._plan_after(_s_error)
    return await _s_retry._await_again(_s_plan, _s_func, $packed)
""",
    "first",
    "retry",
)


class Retry(FirstAttempt, Policy):
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

    config: RetryConfig

    def __new__(
        cls,
        config: RetryConfig | None = None,
        *,
        name: str = "",
        clock: Clock | None = None,
        **fields: Unpack[RetryFields],
    ) -> Self:
        """Build the native part, which makes first attempts by itself where nothing else asks about them."""
        config = config_of(RetryConfig, config, fields)
        options = (config.max_elapsed, config.budget, config.retry_result)
        is_simple = all(option is None for option in options)
        retry = super().__new__(cls, is_simple)
        retry.config = config
        retry.name = name
        retry.clock = resolve_clock(clock)
        retry._is_simple = is_simple
        retry._counts = Counts()
        return retry

    _is_simple: bool
    _counts: Counts

    def __repr__(self) -> str:
        return f"Retry({self.config!r}, name={self.name!r})"

    def _plan(self) -> Plan:
        return Plan(self.config, self.clock, self._counts, self._tell)

    def _plan_after(self, error: Exception) -> Plan:
        """Begin to plan once the first attempt has failed."""
        plan = self._plan()
        plan.error = error
        return plan

    def __call__(self, func: F) -> F:
        """Return `func` with every call made in the policy's manner; signature and awaitability stay.

        Raises:
            TypeError: `func` is a generator function, which has done nothing yet when its call returns.
        """
        if not self._is_simple:
            return super().__call__(func)
        refuse_generator_function(func, "Retry")
        form = RETRIED_ASYNC if is_coroutine_function(func) else RETRIED
        return cast(F, functools.update_wrapper(form.fit(func, FirstCall(self, func), self), func))

    def _conclude(self, result: Any, func: Callable[..., Any], args: Args, kwargs: Kwargs) -> Any:
        """Return the result of a first attempt, or go on with it where it is to be awaited."""
        return self._await(None, result, func, args, kwargs) if hasattr(result, "__await__") else result

    def _call_planned(self, func: Callable[..., Any], args: Args, kwargs: Kwargs) -> Any:
        """Make a call that is watched from its beginning; called by the native part."""
        self._begin()
        plan = self._plan()
        try:
            result = func(*args, **kwargs)
        except Exception as error:
            plan.error = error
        else:
            if hasattr(result, "__await__"):
                return self._await(plan, result, func, args, kwargs)
            plan.result = result
        return self._again(plan, func, args, kwargs)

    def _call_again(self, error: Exception, func: Callable[..., Any], args: Args, kwargs: Kwargs) -> Any:
        """Go on after a first attempt that failed; called by the native part."""
        plan = self._plan_after(error)
        # The frame would hold an exception that holds the frame.
        del error
        return self._again(plan, func, args, kwargs)

    def _call_later(
        self, first: Awaitable[Any], func: Callable[..., Any], args: Args, kwargs: Kwargs
    ) -> Awaitable[Any]:
        """Go on with a first attempt that is to be awaited; called by the native part."""
        return self._await(None, first, func, args, kwargs)

    def _again(self, plan: Plan, func: Callable[..., Any], args: Args, kwargs: Kwargs) -> Any:
        for wake_at in plan.waits():
            sleep_until_blocking(self.clock, wake_at)
            try:
                plan.result = func(*args, **kwargs)
            except Exception as error:
                plan.error = error
        return plan.end()

    async def _await(
        self, plan: Plan | None, first: Awaitable[Any], func: Callable[..., Any], args: Args, kwargs: Kwargs
    ) -> Any:
        try:
            result = await first
        except Exception as error:
            plan = plan or self._plan()
            plan.error = error
        else:
            if plan is None:
                return result
            plan.result = result
        return await self._await_again(plan, func, args, kwargs)

    async def _await_again(self, plan: Plan, func: Callable[..., Any], args: Args, kwargs: Kwargs) -> Any:
        for wake_at in plan.waits():
            await sleep_until(self.clock, wake_at)
            try:
                plan.result = await func(*args, **kwargs)
            except Exception as error:
                plan.error = error
        return plan.end()

    def _dress(self, func: Callable[..., Any]) -> Callable[..., Any]:
        return RETRIED.wrap(func, FirstCall(self, func), self) if self._is_simple else super()._dress(func)

    def _dress_async(self, func: Callable[..., Any]) -> Callable[..., Any]:
        if self._is_simple:
            return RETRIED_ASYNC.wrap(func, FirstCall(self, func), self)

        async def retried(*args: Any, **kwargs: Any) -> Any:
            self._begin()
            plan = self._plan()
            try:
                plan.result = await func(*args, **kwargs)
            except Exception as error:
                plan.error = error
            return await self._await_again(plan, func, args, kwargs)

        return retried

    def __iter__(self) -> Iterator[Attempt]:
        """Begin a block of attempts: `for attempt in retry:`, and in it `with attempt:`."""
        return self._attempts()

    def __aiter__(self) -> AsyncIterator[Attempt]:
        """Begin a block of attempts that waits without blocking: `async for attempt in retry:`."""
        return self._attempts()

    def _attempts(self) -> Attempts:
        self._begin()
        return Attempts(self._plan(), self.clock)

    def get_delay(self, attempt: int) -> float:
        """Return the seconds to wait after `attempt`, from 0, as `RetryConfig.get_delay` does."""
        return self.config.get_delay(attempt)

    def stats(self) -> RetryStats:
        """Return what has been done so far."""
        return self._counts.stats(self._calls)


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
