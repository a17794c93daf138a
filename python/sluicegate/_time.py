"""Telling the time and waiting for it: the machine's clock or a manual one; threads, asyncio and trio.

Deadlines are absolute, in nanoseconds on the scale of the clock's `now_ns`. A wait never ends before its
deadline, since the clock is read again on waking. A manual clock makes its sleepers wait on its own time.
"""

import asyncio
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, cast

from sluicegate._durations import NANOS_PER_SECOND
from sluicegate._native import ManualClock, MonotonicClock

if TYPE_CHECKING:
    from types import ModuleType

LONGEST_NAP_NS = 86_400 * NANOS_PER_SECOND
"""A day: longer sleeps are taken in parts, since a platform's timers may overflow."""


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

    def sleep_until_blocking(self, deadline_ns: int) -> None:
        """Block the thread until the clock shows `deadline_ns`."""
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
    sleep = asyncio.sleep if trio is None else trio.sleep
    while (left := deadline_ns - clock.now_ns()) > 0:
        await sleep(min(left, LONGEST_NAP_NS) / NANOS_PER_SECOND)


def sleep_until_blocking(clock: Clock, deadline_ns: int) -> None:
    """Block the thread until `clock` shows `deadline_ns`; past it, return at once. Never early."""
    if not isinstance(clock, MonotonicClock):
        cast(SleepingClock, clock).sleep_until_blocking(deadline_ns)
        return
    while (left := deadline_ns - clock.now_ns()) > 0:
        time.sleep(min(left, LONGEST_NAP_NS) / NANOS_PER_SECOND)
