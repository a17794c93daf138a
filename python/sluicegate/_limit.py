"""A limiter's guard for a block or a function: it acquires, or raises."""

import functools
from collections.abc import Awaitable, Callable
from datetime import timedelta
from types import TracebackType
from typing import Any, ParamSpec, Protocol, TypeVar, cast

from sluicegate._calls import is_coroutine_function, refuse_generator_function
from sluicegate._errors import LimitExceededError, rebuilt
from sluicegate._native import RateLimitResult
from sluicegate._tailor import Wrapper

P = ParamSpec("P")
R = TypeVar("R")

# Raised here rather than by `with`: each frame that a refusal leaves costs as much as a decision.
LIMITED = Wrapper(
    """
def limited($parameters):
    _s_result = _s_draw()
    if _s_result:
        return _s_func($arguments)
    raise _s_guard._refusal(_s_result)
""",
    "draw",
    "guard",
)


class Acquirer(Protocol):
    """What a guard needs of its limiter."""

    @property
    def name(self) -> str:
        """The limiter's name, empty where it has none."""
        ...

    @property
    def acquire(self) -> Callable[..., Awaitable[RateLimitResult]]:
        """Draw permits, waiting up to `timeout` seconds in a task."""
        ...

    @property
    def acquire_blocking(self) -> Callable[..., RateLimitResult]:
        """Draw permits, waiting up to `timeout` seconds in this thread."""
        ...


class Limit:
    """Acquires permits on the way into a block or call, or raises `LimitExceededError`.

    A context manager for `with` and `async with`, and a decorator for functions and coroutine functions. It
    holds no state of its own: one guard may be in use many times at once.

    Args:
        limiter: Whose permits to acquire.
        asked: What to ask of it: a count, or a key and a count.
        timeout: The longest wait in seconds, 0 for none at all; None for any.
        counts: What to ask of it by name, where it goes by names.
    """

    __slots__ = ("_asked", "_counts", "_limiter", "_timeout")

    def __init__(
        self,
        limiter: Acquirer,
        *asked: object,
        timeout: float | timedelta | None = None,
        **counts: int,
    ) -> None:
        self._limiter = limiter
        self._asked = asked
        self._timeout = timeout
        self._counts = counts

    def __enter__(self) -> RateLimitResult:
        result = self._draw_blocking()
        if not result.allowed:
            raise self._refusal(result)
        return result

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the block: what was acquired stays used."""

    async def __aenter__(self) -> RateLimitResult:
        result = await self._draw()
        if not result.allowed:
            raise self._refusal(result)
        return result

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the block: what was acquired stays used."""

    def __call__(self, func: Callable[P, R]) -> Callable[P, R]:
        """Decorate a function or coroutine function: every call acquires first.

        Raises:
            TypeError: It is a generator function, which would be through the guard before it has begun.
        """
        refuse_generator_function(func, "a limit")
        if is_coroutine_function(func):

            @functools.wraps(func)
            async def limited_async(*args: P.args, **kwargs: P.kwargs) -> Any:
                guard = self._of_call(args, kwargs)
                result = await guard._draw()
                if not result.allowed:
                    raise guard._refusal(result)
                return await cast(Callable[..., Awaitable[Any]], func)(*args, **kwargs)

            return cast(Callable[P, R], limited_async)

        draw = self._prepared()
        if draw is not None:
            return cast(Callable[P, R], functools.update_wrapper(LIMITED.fit(func, draw, self), func))

        @functools.wraps(func)
        def limited(*args: P.args, **kwargs: P.kwargs) -> R:
            guard = self._of_call(args, kwargs)
            result = guard._draw_blocking()
            if not result.allowed:
                raise guard._refusal(result)
            return func(*args, **kwargs)

        return limited

    def __repr__(self) -> str:
        named = [f"{name}={count}" for name, count in self._counts.items()]
        asked = ", ".join([*map(repr, self._asked), *named, f"timeout={self._timeout!r}"])
        return f"{self._limiter!r}.limit({asked})"

    def _of_call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> "Limit":
        """Return the guard of one call."""
        return self

    def _prepared(self) -> Callable[[], RateLimitResult] | None:
        """Return what draws the permits of every call, None where a call has a guard of its own.

        Made once, for to unpack what is asked costs as much as the decision, and so does every name.
        """
        draw = self._limiter.acquire_blocking
        if self._asked and not self._counts:
            return functools.partial(draw, *self._asked, self._timeout)
        return functools.partial(draw, *self._asked, timeout=self._timeout, **self._counts)

    def _draw(self) -> Awaitable[RateLimitResult]:
        return self._limiter.acquire(*self._asked, timeout=self._timeout, **self._counts)

    def _draw_blocking(self) -> RateLimitResult:
        return self._limiter.acquire_blocking(*self._asked, timeout=self._timeout, **self._counts)

    def _refusal(self, result: RateLimitResult) -> LimitExceededError:
        name = self._limiter.name
        words, retry_after, limit, remaining = result._refusal()
        fields = {"policy": name, "retry_after": retry_after, "limit": limit, "remaining": remaining}
        # Not by its `__init__`, whose keywords cost as much as all the rest.
        return rebuilt(LimitExceededError, ((name or "the rate limiter") + words,), fields)
