"""Several policies around one call, the outermost first."""

import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol, cast, runtime_checkable

from sluicegate._circuit_breaker import CircuitBreaker
from sluicegate._durations import NANOS_PER_SECOND
from sluicegate._limit import Acquirer
from sluicegate._time import Clock, resolve_clock
from sluicegate._waiting import Guarding
from sluicegate.policies._policy import Dressing, Policy


@runtime_checkable
class Caller(Protocol):
    """A policy that makes the call itself: a retry, a timeout, a breaker, a pipeline."""

    @property
    def call(self) -> Callable[..., Any]:
        """`call(func, *args, **kwargs)`; a coroutine function gives an awaitable."""
        ...


@runtime_checkable
class Gate(Protocol):
    """A policy that is passed before the call: a limiter, or its `limit(...)`."""

    def __enter__(self) -> object: ...
    def __exit__(self, kind: Any, error: Any, trace: Any, /) -> bool | None: ...
    async def __aenter__(self) -> object: ...
    async def __aexit__(self, kind: Any, error: Any, trace: Any, /) -> bool | None: ...


class Pipeline(Dressing):
    """Makes a call through several policies, the outermost first.

    Anything that has `call`, or that is a context manager for `with` and `async with` alike, is a policy: a
    bare limiter waits for its permit, `limiter.limit(timeout=...)` raises `LimitExceededError`. The order
    matters: `Pipeline(retry, limiter)` takes a permit for every attempt, `Pipeline(limiter, retry)` one for
    all of them.

    Whether a call waits by blocking depends on the function alone: coroutine functions never block.

    To those who `subscribe` it tells one thing of each call, "completed": how long it took with all its
    waits, how many attempts that were, and what it raised. A call that was refused took none.

    Args:
        *policies: The policies, the outermost first; with none of them, calls are made as they are.
        name: What the pipeline is called.
        clock: What the duration in its events is measured on; None for the machine's monotonic clock.

    Raises:
        TypeError: One of them is no policy; or a plain function is called where one is a `Timeout` or
            a `Hedge`.

    Example:
        >>> from sluicegate import Retry, Timeout
        >>> from sluicegate.testing import ManualClock
        >>> clock = ManualClock(autojump=True)
        >>> pipeline = Pipeline(Retry(jitter=False, clock=clock), Timeout(2.0, clock=clock))
        >>> durations = iter([5, 1])
        >>> @pipeline
        ... async def ask():
        ...     await clock.sleep_until(clock.now_ns() + next(durations) * 1_000_000_000)
        ...     return f"answered after {clock.now()} s"
        >>> import asyncio
        >>> asyncio.run(ask())
        'answered after 4.0 s'
    """

    def __init__(self, *policies: Caller | Gate, name: str = "", clock: Clock | None = None) -> None:
        for policy in policies:
            if isinstance(policy, type) or not isinstance(policy, Caller | Gate):
                raise TypeError(f"a policy has call, or is a context manager sync and async; not {policy!r}")
        self.policies = policies
        self.name = name
        self.clock = resolve_clock(clock)
        self.takes_plain_functions = all(
            getattr(policy, "takes_plain_functions", True) for policy in policies
        )

    def __repr__(self) -> str:
        return f"Pipeline({', '.join(map(repr, self.policies))}, name={self.name!r})"

    def _dress(self, func: Callable[..., Any]) -> Callable[..., Any]:
        chain = self._chain(func)

        def through(*args: Any, **kwargs: Any) -> Any:
            if self._listeners:
                return self._observe(func, args, kwargs)
            return chain(*args, **kwargs)

        return through

    def _dress_async(self, func: Callable[..., Any]) -> Callable[..., Any]:
        chain = self._chain_async(func)

        async def through(*args: Any, **kwargs: Any) -> Any:
            if self._listeners:
                return await self._observe_async(func, args, kwargs)
            return await chain(*args, **kwargs)

        return through

    def _chain(self, func: Callable[..., Any]) -> Callable[..., Any]:
        if not self.takes_plain_functions:
            raise TypeError(
                f"a timeout or hedge in the pipeline can cancel coroutine functions only, not {func!r}"
            )
        for policy in reversed(self.policies):
            func = _around(policy, func)
        return func

    def _chain_async(self, func: Callable[..., Any]) -> Callable[..., Any]:
        for policy in reversed(self.policies):
            func = _around_coroutine(policy, func)
        return func

    def _observe(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Make a call that is told of when it has ended: at once, or when its awaitable has."""
        course = _Course(self.clock.now_ns())

        def counted(*args: Any, **kwargs: Any) -> Any:
            course.attempts += 1
            return func(*args, **kwargs)

        try:
            result = self._chain(counted)(*args, **kwargs)
        except BaseException as error:
            self._completed(course, error)
            raise
        if hasattr(result, "__await__"):
            return self._observe_rest(course, result)
        self._completed(course, None)
        return result

    async def _observe_async(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        course = _Course(self.clock.now_ns())

        async def counted(*args: Any, **kwargs: Any) -> Any:
            course.attempts += 1
            return await func(*args, **kwargs)

        return await self._observe_rest(course, self._chain_async(counted)(*args, **kwargs))

    async def _observe_rest(self, course: "_Course", awaitable: Awaitable[Any]) -> Any:
        try:
            result = await awaitable
        except BaseException as error:
            self._completed(course, error)
            raise
        self._completed(course, None)
        return result

    def _completed(self, course: "_Course", error: BaseException | None) -> None:
        duration = (self.clock.now_ns() - course.began_ns) / NANOS_PER_SECOND
        self._tell("completed", attempts=course.attempts, duration=duration, error=error)


@dataclass(slots=True)
class _Course:
    """What is noted of a call that somebody listens to."""

    began_ns: int
    attempts: int = 0


def _around(policy: Caller | Gate, func: Callable[..., Any]) -> Callable[..., Any]:
    if isinstance(policy, Policy):
        return policy._dress(func)
    if (call := getattr(policy, "call", None)) is not None:
        return functools.partial(call, func)
    gate = cast(Gate, policy)

    def gated(*args: Any, **kwargs: Any) -> Any:
        with gate:
            return func(*args, **kwargs)

    return gated


def _around_coroutine(policy: Caller | Gate, func: Callable[..., Any]) -> Callable[..., Any]:
    if isinstance(policy, Policy | CircuitBreaker):
        return policy._dress_async(func)
    if (call := getattr(policy, "call", None)) is not None:

        async def called(*args: Any, **kwargs: Any) -> Any:
            return await call(func, *args, **kwargs)

        return called
    if isinstance(policy, Guarding):
        # What entering a limiter comes to, without an object for its guard.
        acquire = cast(Acquirer, policy).acquire

        async def limited(*args: Any, **kwargs: Any) -> Any:
            await acquire()
            return await func(*args, **kwargs)

        return limited
    gate = cast(Gate, policy)

    async def gated(*args: Any, **kwargs: Any) -> Any:
        async with gate:
            return await func(*args, **kwargs)

    return gated
