"""The hedge: another attempt beside one that is slow, and the first to answer wins."""

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, cast

from sluicegate._calls import is_coroutine_function
from sluicegate._durations import FOREVER_NS, Duration, nanoseconds
from sluicegate._durations import seconds as read_seconds
from sluicegate._time import Clock, resolve_clock
from sluicegate.policies._crowd import check_count
from sluicegate.policies._policy import P, Policy
from sluicegate.policies._race import Race, race

T = TypeVar("T")
C = TypeVar("C", bound=Callable[..., Coroutine[Any, Any, Any]])


class Hedge(Policy):
    """Begins another attempt where one has not answered after a delay; the first result is the call's.

    Who loses is cancelled, and waited for until it is gone. An attempt that fails makes the next begin at
    once; when all have failed, the call ends with the exception of the last that did. Only for what may be
    made twice. After Jeffrey Dean and Luiz André Barroso, "The Tail at Scale", 2013: hedging what takes
    longer than the 95th percentile costs 5 % more calls, and cuts the longest waits.

    A plain function runs in the caller's thread, where nothing could cancel it, and is refused.

    Args:
        delay: Seconds, or a `timedelta`, before each further attempt; 0 begins all at once.
        max_hedged: How many further attempts there may be, at least 1.
        name: What telemetry calls it.
        clock: What the delay is measured on; None for the machine's monotonic clock.

    Raises:
        ConfigurationError: An option makes no sense.

    Example:
        >>> import asyncio
        >>> from sluicegate.testing import ManualClock
        >>> clock = ManualClock(autojump=True)
        >>> durations = iter([10, 1])
        >>> @Hedge(0.5, clock=clock)
        ... async def ask():
        ...     await clock.sleep_until(clock.now_ns() + next(durations) * 1_000_000_000)
        ...     return f"answered after {clock.now()} s"
        >>> asyncio.run(ask())
        'answered after 1.5 s'
    """

    takes_plain_functions = False

    def __init__(
        self, delay: Duration, max_hedged: int = 1, *, name: str = "", clock: Clock | None = None
    ) -> None:
        check_count("max_hedged", max_hedged, 1)
        self.delay = read_seconds(delay, "delay")
        self.max_hedged = max_hedged
        self.name = name
        self.clock = resolve_clock(clock)
        self._delay_ns = nanoseconds(delay, "delay")

    def __repr__(self) -> str:
        return f"Hedge({self.delay!r}, max_hedged={self.max_hedged}, name={self.name!r})"

    def __call__(self, func: C) -> C:
        """Return the coroutine function `func` with every call hedged.

        Raises:
            TypeError: `func` is no coroutine function.
        """
        _refuse_plain(func)
        return super().__call__(func)

    # Narrower than a policy in general, so that a type checker refuses what could not be cancelled.
    def call(  # type: ignore[override]
        self, func: Callable[P, Coroutine[Any, Any, T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, T]:
        """Call a coroutine function, more than once where that takes long.

        Raises:
            TypeError: `func` is no coroutine function.
        """
        _refuse_plain(func)
        return self._run(lambda: func(*args, **kwargs))

    async def _run(self, func: Callable[[], Coroutine[Any, Any, T]]) -> T:
        async with race(self.clock) as attempts:
            result, error = await self._decide(attempts, func)
        if error is None:
            return cast(T, result)
        try:
            raise error
        finally:
            # Its traceback holds this frame, which must not hold it in turn.
            del error

    async def _decide(
        self, attempts: Race, func: Callable[[], Coroutine[Any, Any, T]]
    ) -> tuple[Any, BaseException | None]:
        """Run the race; return the winner's result, or the error to end with."""
        started = failed = 0
        while True:
            if started <= self.max_hedged:
                if started:
                    self._tell("hedged", attempt=started)
                attempts.start(func)
                started += 1
            may_start = started <= self.max_hedged
            deadline_ns = min(self.clock.now_ns() + self._delay_ns, FOREVER_NS) if may_start else FOREVER_NS
            outcome = await attempts.next(deadline_ns)
            if outcome is None:
                continue
            if outcome.error is None or not isinstance(outcome.error, Exception):
                return outcome.result, outcome.error
            failed += 1
            if failed > self.max_hedged:
                return None, outcome.error


def _refuse_plain(func: Callable[..., Any]) -> None:
    if not is_coroutine_function(func):
        raise TypeError(f"a hedge can cancel coroutine functions only, not {func!r}")
