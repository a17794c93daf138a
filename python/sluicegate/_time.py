"""Telling the time and waiting for it: the machine's clock or a manual one; threads, asyncio and trio.

Deadlines are absolute, in nanoseconds on the scale of the clock's `now_ns`. A wait never ends before its
deadline, since the clock is read again on waking. A manual clock makes its sleepers wait on its own time.
"""

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, cast

from sluicegate._durations import NANOS_PER_SECOND
from sluicegate._native import ManualClock, MonotonicClock

if TYPE_CHECKING:
    import asyncio
    import threading
    from types import ModuleType

LONGEST_NAP_NS = 86_400 * NANOS_PER_SECOND
"""A day: longer sleeps are taken in parts, since a platform's timers may overflow."""

_SAME_SCALE = 1.0
"""Seconds by which two reads of one clock may differ, with the machine's interruptions in between."""

_RESOLUTION = 2e-9
"""Seconds: twice the resolution of a loop's clock, since a loop runs what is due within it."""


class Clock(Protocol):
    """What limiters, breakers and policies read: `MonotonicClock`, or `sluicegate.testing.ManualClock`."""

    def now(self) -> float:
        """Read the clock in seconds."""
        ...

    def now_ns(self) -> int:
        """Read the clock in whole nanoseconds."""
        ...


class Alarm(Protocol):
    """A call that has been set for a later time."""

    def cancel(self) -> None:
        """Take the call back; once it was made this does nothing."""
        ...


class SleepingClock(Clock, Protocol):
    """A clock whose time is not the machine's, so that waiting for it is its own affair."""

    async def sleep_until(self, deadline_ns: int) -> None:
        """Wait, in asyncio or trio, until the clock shows `deadline_ns`."""
        ...

    def sleep_until_blocking(self, deadline_ns: int, woken: "threading.Event | None" = None) -> None:
        """Block the thread until the clock shows `deadline_ns`, or `woken` is set."""
        ...

    def call_at(self, deadline_ns: int, callback: Callable[[], object]) -> Alarm:
        """Set `callback` to be called, in the running event loop, once the clock shows `deadline_ns`."""
        ...


_MONOTONIC = MonotonicClock()


def resolve_clock(clock: Clock | None) -> Clock:
    """Return the clock that a `clock=` argument stands for; None is the machine's monotonic clock.

    Raises:
        TypeError: It is neither of the two kinds of clock there are.
    """
    if clock is None:
        return _MONOTONIC
    if isinstance(clock, MonotonicClock | ManualClock):
        return clock
    kind = type(clock).__name__
    raise TypeError(f"clock must be None, MonotonicClock or sluicegate.testing.ManualClock, not {kind}")


def running_trio() -> "ModuleType | None":
    """Return the trio module inside a trio task, None elsewhere; trio is never imported for the question.

    Asked before asyncio, because trio may run as a guest of an asyncio loop.
    """
    trio = sys.modules.get("trio")
    return trio if trio is not None and trio.lowlevel.in_trio_task() else None


async def sleep_until(clock: Clock, deadline_ns: int) -> None:
    """Wait, in asyncio or trio, until `clock` shows `deadline_ns`; past it, return without yielding.

    As late as the library's own sleep and never early. Cancellation leaves nothing behind.
    """
    if not isinstance(clock, MonotonicClock):
        await cast(SleepingClock, clock).sleep_until(deadline_ns)
        return
    trio = running_trio()
    while (left := deadline_ns - clock.now_ns()) > 0:
        if trio is not None:
            await trio.sleep(min(left, LONGEST_NAP_NS) / NANOS_PER_SECOND)
        else:
            part = min(left, LONGEST_NAP_NS)
            await _sleep_asyncio(deadline_ns - left + part, part)


async def _sleep_asyncio(deadline_ns: int, left: int) -> None:
    """Wait for an absolute time of the loop, so that nobody is overtaken by a sleeper whose time comes later.

    `asyncio.sleep` adds its delay to the time at which it comes to run: of two sleepers the one that the
    machine stops in between wakes last, whatever their deadlines.
    """
    from asyncio import get_running_loop  # noqa: PLC0415 - loaded by who runs it, and slow to load for nothing

    loop = get_running_loop()
    when, relative = deadline_ns / NANOS_PER_SECOND, loop.time() + left / NANOS_PER_SECOND
    # The loops of asyncio read the clock that we read; another's may begin elsewhere.
    if abs(relative - when) > _SAME_SCALE:
        when = relative
    woken = loop.create_future()
    alarm = loop.call_at(when + _RESOLUTION, _wake, woken)
    try:
        await woken
    finally:
        alarm.cancel()


def _wake(sleeper: "asyncio.Future[None]") -> None:
    if not sleeper.done():
        sleeper.set_result(None)


def sleep_until_blocking(clock: Clock, deadline_ns: int) -> None:
    """Block the thread until `clock` shows `deadline_ns`; past it, return at once. Never early."""
    if not isinstance(clock, MonotonicClock):
        cast(SleepingClock, clock).sleep_until_blocking(deadline_ns)
        return
    while (left := deadline_ns - clock.now_ns()) > 0:
        time.sleep(min(left, LONGEST_NAP_NS) / NANOS_PER_SECOND)
