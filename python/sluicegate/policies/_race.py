"""Attempts that run beside each other until one of them wins: on asyncio and on trio."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

from sluicegate._signals import Signal
from sluicegate._time import Clock, running_trio

Attempt: TypeAlias = Callable[[], Awaitable[Any]]


@dataclass(slots=True)
class Outcome:
    """How an attempt ended."""

    result: Any = None
    error: BaseException | None = None


class Race:
    """The attempts of one call: starts them, and tells how each ended, in the order in which they did."""

    __slots__ = ("_clock", "_outcomes", "_signal", "_start")

    def __init__(self, clock: Clock, start: Callable[[Attempt], object]) -> None:
        self._clock = clock
        self._start = start
        self._outcomes: deque[Outcome] = deque()
        self._signal: Signal | None = None

    def start(self, attempt: Attempt) -> None:
        """Start another attempt."""

        async def run() -> None:
            outcome = Outcome()
            try:
                outcome.result = await attempt()
            except self._cancelled():
                raise
            except BaseException as error:
                outcome.error = error
            self._outcomes.append(outcome)
            if self._signal is not None:
                self._signal.set()

        self._start(run)

    async def next(self, deadline_ns: int) -> Outcome | None:
        """Wait for the next to end; None where the clock shows the deadline before."""
        if not self._outcomes:
            self._signal = Signal(blocking=False)
            await self._signal.wait(self._clock, deadline_ns)
            self._signal = None
        return self._outcomes.popleft() if self._outcomes else None

    @staticmethod
    def _cancelled() -> type[BaseException]:
        trio = running_trio()
        cancelled: type[BaseException] = asyncio.CancelledError if trio is None else trio.Cancelled
        return cancelled


@asynccontextmanager
async def race(clock: Clock) -> AsyncIterator[Race]:
    """Hold a race; when the block ends, whoever still runs is cancelled and waited for."""
    if (trio := running_trio()) is not None:
        async with trio.open_nursery() as nursery:
            yield Race(clock, nursery.start_soon)
            nursery.cancel_scope.cancel()
        return
    tasks: set[asyncio.Task[None]] = set()
    try:
        yield Race(clock, lambda attempt: tasks.add(asyncio.ensure_future(attempt())))
    finally:
        for task in tasks:
            task.cancel()
        # One that will not be cancelled is waited for all the same: it is part of the call.
        await asyncio.gather(*tasks, return_exceptions=True)
