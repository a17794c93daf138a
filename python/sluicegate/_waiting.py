"""What limiters share: waiting for a reservation's time, and guarding blocks and functions."""

from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, ParamSpec, Protocol, TypeVar, cast

from sluicegate._limit import Acquirer, Limit
from sluicegate._native import RateLimitResult
from sluicegate._time import Clock, sleep_until, sleep_until_blocking

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Future

P = ParamSpec("P")
R = TypeVar("R")


class Reserved(Protocol):
    """A charge that waits for its time."""

    @property
    def execute_at_ns(self) -> int:
        """When its time comes, in nanoseconds on the limiter's clock."""
        ...

    def cancel(self) -> object:
        """Give it back, as far as that is sound."""
        ...

    def granted(self) -> RateLimitResult:
        """Say how things stand once its time has come."""
        ...


class Waiter(Protocol):
    """A native limiter that counts who waits, its name, and the clock that they wait on."""

    _clock: Clock
    _name: str

    def _begin_wait(self) -> int: ...
    def _end_wait(self, began: int) -> None: ...


class Waiting:
    """Sleeps until a reservation's time has come; whoever is cancelled or interrupted gives it back."""

    __slots__ = ()

    @property
    def name(self: Waiter) -> str:
        """What tells it from other limiters."""
        return self._name

    async def _wait(self: Waiter, reservation: Reserved) -> RateLimitResult:
        began = self._begin_wait()
        try:
            await sleep_until(self._clock, reservation.execute_at_ns)
        except BaseException:
            reservation.cancel()
            raise
        finally:
            self._end_wait(began)
        return reservation.granted()

    def _wait_blocking(self: Waiter, reservation: Reserved) -> RateLimitResult:
        began = self._begin_wait()
        try:
            sleep_until_blocking(self._clock, reservation.execute_at_ns)
        except BaseException:
            reservation.cancel()
            raise
        finally:
            self._end_wait(began)
        return reservation.granted()


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


class _Nowhere:
    """The loop of futures that nobody waits for; each asks once whether it is debugged."""

    def get_debug(self) -> bool:
        return False


def done(result: R) -> "Future[R]":
    """Make a future that is done, from which an `await` takes `result` without an exception, in any loop."""
    from asyncio.futures import Future  # noqa: PLC0415 - loaded by who runs it, and slow to load for nothing

    future: Future[R] = Future(loop=cast("AbstractEventLoop", _Nowhere()))
    future.set_result(result)
    return future
