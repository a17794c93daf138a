"""Cut a call short when it takes too long, by cancelling it: on asyncio and trio, by any clock."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias, TypeVar, cast

from sluicegate._calls import is_coroutine_function
from sluicegate._durations import FOREVER_NS, Duration, nanoseconds
from sluicegate._durations import seconds as read_seconds
from sluicegate._errors import AttemptTimeoutError
from sluicegate._native import MonotonicClock
from sluicegate._time import Clock, SleepingClock, resolve_clock, running_trio
from sluicegate.policies import _deadline
from sluicegate.policies._policy import P, Policy

T = TypeVar("T")
C = TypeVar("C", bound=Callable[..., Coroutine[Any, Any, Any]])

Thunk: TypeAlias = Callable[[], Coroutine[Any, Any, T]]


class Timeout(Policy):
    """Gives a call so many seconds, then cancels it and raises `AttemptTimeoutError`.

    The call is cancelled where it waits, in asyncio or trio; one that computes without ever waiting cannot be
    cut short. A plain function never can, and is refused. Around a `Retry` it bounds all the attempts
    together, and no wait is begun that would end past it; inside one it bounds each attempt.

    Args:
        seconds: How long a call may take, in seconds or as a `timedelta`; infinity for any time.
        name: What its error calls it.
        clock: What the time is measured on; None for the machine's monotonic clock.

    Raises:
        ConfigurationError: The seconds are negative or NaN.

    Example:
        >>> from sluicegate.testing import ManualClock
        >>> clock = ManualClock(autojump=True)
        >>> timeout = Timeout(2.0, clock=clock)
        >>> async def slow():
        ...     await clock.sleep_until(60_000_000_000)
        >>> asyncio.run(timeout.call(slow))
        Traceback (most recent call last):
        sluicegate._errors.AttemptTimeoutError: the call took longer than 2.0 s
        >>> clock.now()
        2.0
    """

    takes_plain_functions = False

    def __init__(self, seconds: Duration, *, name: str = "", clock: Clock | None = None) -> None:
        self.seconds = read_seconds(seconds, "seconds")
        self.name = name
        self.clock = resolve_clock(clock)
        self._nanoseconds = nanoseconds(seconds, "seconds")

    def __repr__(self) -> str:
        return f"Timeout({self.seconds!r}, name={self.name!r})"

    def __call__(self, func: C) -> C:
        """Return the coroutine function `func` with every call given so many seconds.

        Raises:
            TypeError: `func` is no coroutine function.
        """
        _refuse_plain(func)
        return super().__call__(func)

    # Narrower than a policy in general, so that a type checker refuses what could not keep its word.
    def call(  # type: ignore[override]
        self, func: Callable[P, Coroutine[Any, Any, T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, T]:
        """Call a coroutine function; what it gives raises where it takes longer than `seconds`.

        Raises:
            TypeError: `func` is no coroutine function.
        """
        _refuse_plain(func)
        return self._run(lambda: func(*args, **kwargs))

    async def _run(self, func: Thunk[T]) -> T:
        if self._nanoseconds >= FOREVER_NS:
            return await func()
        deadline_ns = self.clock.now_ns() + self._nanoseconds
        with _deadline.within(self.clock, deadline_ns):
            if (trio := running_trio()) is not None:
                return await self._run_in_trio(trio, func, deadline_ns)
            return await self._run_in_asyncio(func, deadline_ns)

    async def _run_in_asyncio(self, func: Thunk[T], deadline_ns: int) -> T:
        is_real = isinstance(self.clock, MonotonicClock)
        try:
            async with asyncio.timeout(self.seconds if is_real else None) as scope:
                if is_real:
                    return await func()
                loop = asyncio.get_running_loop()
                with _alarm(self.clock, deadline_ns, lambda: scope.reschedule(loop.time())):
                    return await func()
        except TimeoutError as error:
            if not scope.expired():
                raise
            raise self._error() from error

    async def _run_in_trio(self, trio: Any, func: Thunk[T], deadline_ns: int) -> T:
        with trio.CancelScope() as scope:
            if isinstance(self.clock, MonotonicClock):
                scope.deadline = trio.current_time() + self.seconds
                return await func()
            with _alarm(self.clock, deadline_ns, scope.cancel):
                return await func()
        raise self._error()

    def _error(self) -> AttemptTimeoutError:
        who = self.name or "the call"
        error = AttemptTimeoutError(f"{who} took longer than {self.seconds} s", timeout=self.seconds)
        self._tell("timed_out", error=error)
        return error


@contextmanager
def _alarm(clock: Clock, deadline_ns: int, ring: Callable[[], object]) -> Iterator[None]:
    """Have a clock that is not the machine's ring at the deadline, unless the block ends before."""
    alarm = cast(SleepingClock, clock).call_at(deadline_ns, ring)
    try:
        yield
    finally:
        alarm.cancel()


def _refuse_plain(func: Callable[..., Any]) -> None:
    if not is_coroutine_function(func):
        raise TypeError(f"a timeout can cut short coroutine functions only, not {func!r}")
