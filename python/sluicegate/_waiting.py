"""What limiters share: waiting for a charge's time, and guarding blocks and functions."""

from collections.abc import Callable
from types import TracebackType
from typing import ParamSpec, Protocol, TypeVar

from sluicegate._limit import Acquirer, Limit
from sluicegate._native import RateLimitResult, Wait
from sluicegate._time import Clock, sleep_until, sleep_until_blocking

P = ParamSpec("P")
R = TypeVar("R")


class Waiter(Protocol):
    """A limiter: its name, and the clock that its callers wait on."""

    _clock: Clock
    _name: str


class Waiting:
    """Sleeps until a charge's time has come; whoever is cancelled or interrupted gives it back."""

    __slots__ = ()

    @property
    def name(self: Waiter) -> str:
        """What tells it from other limiters."""
        return self._name

    async def _wait(self: Waiter, wait: Wait) -> RateLimitResult:
        with wait:
            await sleep_until(self._clock, wait.execute_at_ns)
        return wait.granted()

    def _wait_blocking(self: Waiter, wait: Wait) -> RateLimitResult:
        with wait:
            sleep_until_blocking(self._clock, wait.execute_at_ns)
        return wait.granted()


class Guarding:
    """Lets a limiter guard blocks and functions by itself: each waits for one permit, of every unit."""

    __slots__ = ()

    def __call__(self: Acquirer, func: Callable[P, R]) -> Callable[P, R]:
        """Decorate a function or coroutine function: every call waits for one permit."""
        return Limit(self)(func)

    def __enter__(self: Acquirer) -> RateLimitResult:
        return Limit(self).__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the block: the permit stays used."""

    async def __aenter__(self: Acquirer) -> RateLimitResult:
        return await Limit(self).__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the block: the permit stays used."""
