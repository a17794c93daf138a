"""Several policies around one call, the outermost first."""

import functools
from collections.abc import Callable
from typing import Any, Protocol, cast, runtime_checkable

from sluicegate._calls import is_coroutine_function
from sluicegate.policies._policy import P, Policy, R


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
    def __exit__(self, *exception: Any) -> bool | None: ...
    async def __aenter__(self) -> object: ...
    async def __aexit__(self, *exception: Any) -> bool | None: ...


class Pipeline(Policy):
    """Makes a call through several policies, the outermost first.

    Anything that has `call`, or that is a context manager for `with` and `async with` alike, is a policy: a
    bare limiter waits for its permit, `limiter.limit(timeout=...)` raises `LimitExceededError`. The order
    matters: `Pipeline(retry, limiter)` takes a permit for every attempt, `Pipeline(limiter, retry)` one for
    all of them.

    Whether a call waits by blocking depends on the function alone: coroutine functions never block.

    Args:
        *policies: The policies, the outermost first; with none of them, calls are made as they are.
        name: What the pipeline is called.

    Raises:
        TypeError: One of them is no policy.

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

    def __init__(self, *policies: Caller | Gate, name: str = "") -> None:
        for policy in policies:
            if isinstance(policy, type) or not isinstance(policy, Caller | Gate):
                raise TypeError(f"a policy has call, or is a context manager sync and async; not {policy!r}")
        self.policies = policies
        self.name = name
        self.takes_plain_functions = all(
            getattr(policy, "takes_plain_functions", True) for policy in policies
        )

    def __repr__(self) -> str:
        return f"Pipeline({', '.join(map(repr, self.policies))}, name={self.name!r})"

    def call(self, func: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call `func` through all policies; a coroutine function gives an awaitable.

        Raises:
            TypeError: `func` is a plain function, and one of the policies is a `Timeout`.
        """
        return self._dress(func)(*args, **kwargs)

    def _dress(self, func: Callable[P, R]) -> Callable[P, R]:
        if is_coroutine_function(func):
            wrap = _around_coroutine
        elif self.takes_plain_functions:
            wrap = _around
        else:
            raise TypeError(f"a timeout in the pipeline can cut short coroutine functions only, not {func!r}")
        dressed: Callable[..., Any] = func
        for policy in reversed(self.policies):
            dressed = wrap(policy, dressed)
        return dressed


def _around(policy: Caller | Gate, func: Callable[..., Any]) -> Callable[..., Any]:
    if (call := getattr(policy, "call", None)) is not None:
        return functools.partial(call, func)
    gate = cast(Gate, policy)

    def gated(*args: Any, **kwargs: Any) -> Any:
        with gate:
            return func(*args, **kwargs)

    return gated


def _around_coroutine(policy: Caller | Gate, func: Callable[..., Any]) -> Callable[..., Any]:
    if (call := getattr(policy, "call", None)) is not None:

        async def called(*args: Any, **kwargs: Any) -> Any:
            return await call(func, *args, **kwargs)

        return called
    gate = cast(Gate, policy)

    async def gated(*args: Any, **kwargs: Any) -> Any:
        async with gate:
            return await func(*args, **kwargs)

    return gated
