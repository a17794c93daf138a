"""A limiter's guard for a block or a function: it acquires, or raises."""

import functools
import inspect
from collections.abc import Callable
from datetime import timedelta
from types import TracebackType
from typing import Any, ParamSpec, Protocol, TypeVar, cast

from sluicegate._errors import LimitExceededError
from sluicegate._native import Acquire, RateLimitResult

P = ParamSpec("P")
R = TypeVar("R")


class Acquirer(Protocol):
    """What a guard needs of its limiter."""

    @property
    def name(self) -> str:
        """The limiter's name, empty where it has none."""
        ...

    def acquire(self, count: int = 1, timeout: float | timedelta | None = None) -> Acquire:
        """Draw permits, waiting up to `timeout` seconds in a task."""
        ...

    def acquire_blocking(self, count: int = 1, timeout: float | timedelta | None = None) -> RateLimitResult:
        """Draw permits, waiting up to `timeout` seconds in this thread."""
        ...


class Limit:
    """Acquires `count` permits on the way into a block or call, or raises; holds no state of its own.

    A context manager for `with` and `async with`, and a decorator for functions and coroutine functions; one
    guard may be in use many times at once.
    """

    __slots__ = ("_count", "_limiter", "_timeout")

    def __init__(self, limiter: Acquirer, count: int = 1, timeout: float | timedelta | None = None) -> None:
        self._limiter = limiter
        self._count = count
        self._timeout = timeout

    def __enter__(self) -> RateLimitResult:
        return self._granted(self._limiter.acquire_blocking(self._count, self._timeout))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the block: what was acquired stays used."""

    async def __aenter__(self) -> RateLimitResult:
        return self._granted(await self._limiter.acquire(self._count, self._timeout))

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the block: what was acquired stays used."""

    def __call__(self, func: Callable[P, R]) -> Callable[P, R]:
        """Decorate a function or coroutine function: every call acquires first."""
        if inspect.iscoroutinefunction(func):

            @functools.wraps(func)
            async def limited_async(*args: P.args, **kwargs: P.kwargs) -> Any:
                async with self:
                    return await func(*args, **kwargs)

            return cast(Callable[P, R], limited_async)

        @functools.wraps(func)
        def limited(*args: P.args, **kwargs: P.kwargs) -> R:
            with self:
                return func(*args, **kwargs)

        return limited

    def __repr__(self) -> str:
        return f"{self._limiter!r}.limit({self._count}, timeout={self._timeout!r})"

    def _granted(self, result: RateLimitResult) -> RateLimitResult:
        if result.allowed:
            return result
        limiter = self._limiter.name or "the limiter"
        raise LimitExceededError(
            f"{limiter} refuses {self._count} permits, {result.remaining} of {result.limit} are left: "
            f"try again in {result.retry_after:.3f} s",
            policy=self._limiter.name,
            retry_after=result.retry_after,
            limit=result.limit,
            remaining=result.remaining,
        )
