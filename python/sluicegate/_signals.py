"""A mark that one thread or task waits for, until it is set or a clock shows a deadline."""

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, Any, cast

from sluicegate._durations import FOREVER_NS, NANOS_PER_SECOND
from sluicegate._homes import Home, Loop, Thread, TrioRun
from sluicegate._native import MonotonicClock
from sluicegate._time import LONGEST_NAP_NS, Clock, SleepingClock, running_trio

if TYPE_CHECKING:
    from types import ModuleType


class Signal:
    """Set once, from whatever thread or loop; waited for once, where it was made.

    Args:
        blocking: Whether it is a thread that waits, rather than a task of the running event loop.
    """

    __slots__ = ("_event", "_home", "_trio")

    def __init__(self, *, blocking: bool) -> None:
        self._trio: ModuleType | None = None if blocking else running_trio()
        self._home: Home
        self._event: Any
        if blocking:
            self._home, self._event = Thread(), threading.Event()
        elif self._trio is not None:
            self._home, self._event = TrioRun.current(self._trio), self._trio.Event()
        else:
            self._home, self._event = Loop.current(), asyncio.Event()

    def set(self) -> None:
        """Wake who waits; a loop that is closed has nobody to wake."""
        with contextlib.suppress(RuntimeError):
            self._home.call(self._event.set)

    def wait_blocking(self, clock: Clock, deadline_ns: int) -> None:
        """Block the thread until the signal is set, or `clock` shows `deadline_ns`."""
        if deadline_ns >= FOREVER_NS:
            self._event.wait()
        elif not isinstance(clock, MonotonicClock):
            cast(SleepingClock, clock).sleep_until_blocking(deadline_ns, self._event)
        else:
            while (left := deadline_ns - clock.now_ns()) > 0:
                if self._event.wait(min(left, LONGEST_NAP_NS) / NANOS_PER_SECOND):
                    return

    async def wait(self, clock: Clock, deadline_ns: int) -> None:
        """Wait, in asyncio or trio, until the signal is set, or `clock` shows `deadline_ns`."""
        if deadline_ns >= FOREVER_NS:
            await self._event.wait()
        elif not isinstance(clock, MonotonicClock):
            alarm = cast(SleepingClock, clock).call_at(deadline_ns, self._event.set)
            try:
                await self._event.wait()
            finally:
                alarm.cancel()
        else:
            await self._wait_real((deadline_ns - clock.now_ns()) / NANOS_PER_SECOND)

    async def _wait_real(self, left: float) -> None:
        if self._trio is not None:
            with self._trio.move_on_after(max(left, 0)):
                await self._event.wait()
            return
        alarm = asyncio.get_running_loop().call_later(left, self._event.set)
        try:
            await self._event.wait()
        finally:
            alarm.cancel()
