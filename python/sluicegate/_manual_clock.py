"""A clock that tests move by hand, and the sleepers that wait on it: threads, asyncio and trio alike.

Every wait is an alarm in one queue, ordered by deadline and then by arrival. Moving the time rings what is
due; with autojump, a watch in each event loop moves the time once nothing there is left to run.
"""

import asyncio
import contextlib
import threading
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from typing import Self

from sluicegate._durations import FOREVER_NS, seconds
from sluicegate._homes import HASTE, Home, Loop, Thread, TrioRun
from sluicegate._native import ManualClock as NativeClock
from sluicegate._time import running_trio


class ManualClock(NativeClock):
    """A clock that stands still until it is moved; every limiter, breaker and policy takes it as `clock=`.

    Sleepers wake when the time reaches their deadlines, in the order of these, first come first among equals.
    All those that one move passes see the time that was moved to. With `autojump`, time jumps to the next
    deadline whenever everyone is asleep, so that a test of minutes takes no time at all:

    - asyncio and trio: when every task of the loop waits. What happens beyond a socket or in another thread
      is not seen; give `quiet` where that matters.
    - threads: a lone thread jumps at once; where there are others, time jumps when for a millisecond (of
      real time) nobody has gone to sleep or woken.

    Args:
        start: What the clock shows at first, in seconds or as a `timedelta`.
        autojump: Whether time jumps by itself.
        quiet: Real seconds for which nobody must go to sleep or wake before time jumps. Leave it at 0 for
            tests in memory; choose more than an answer takes where a real server takes part.

    Raises:
        ValueError: A time is negative or NaN. Time moves on with `advance` and back only with `set`.

    Example:
        >>> clock = ManualClock()
        >>> clock.advance(1.5)
        >>> clock.now()
        1.5
        >>> clock = ManualClock(autojump=True)
        >>> asyncio.run(clock.sleep_until(60_000_000_000))
        >>> clock.now()
        60.0
    """

    def __new__(
        cls, start: float | timedelta = 0.0, *, autojump: bool = False, quiet: float | timedelta = 0.0
    ) -> Self:
        """Make the native clock, which knows nothing of sleepers."""
        return super().__new__(cls, start)

    def __init__(
        self, start: float | timedelta = 0.0, *, autojump: bool = False, quiet: float | timedelta = 0.0
    ) -> None:
        self._autojump = autojump
        self._quiet = seconds(quiet, "quiet")
        self._serials = count()
        self._alarms: list[tuple[int, int, _Alarm]] = []
        self._pending: Counter[Home] = Counter()
        self._sleepers = 0
        self._turn: _Alarm | None = None
        self._watched: set[Home] = set()
        self.changes = 0
        self._changed = threading.Condition()

    def __repr__(self) -> str:
        return f"ManualClock({self.now()!r}, autojump={self._autojump})"

    @property
    def sleepers(self) -> int:
        """How many sleep on this clock now, in whatever thread or loop."""
        return self._sleepers

    def advance(self, seconds: float | timedelta) -> None:
        """Move the clock forward by `seconds`, rounded to the nearest nanosecond, and wake who is due."""
        super().advance(seconds)
        self._ring_due()

    def advance_ns(self, nanoseconds: int) -> None:
        """Move the clock forward by `nanoseconds`, and wake who is due."""
        super().advance_ns(nanoseconds)
        self._ring_due()

    def set(self, seconds: float | timedelta) -> None:
        """Set the clock to `seconds`, which may lie in its past, and wake who is due."""
        super().set(seconds)
        self._ring_due()

    def wait_for_sleepers(self, number: int, timeout: float = 10.0) -> None:
        """Block until at least `number` sleep: for a test with threads, before it moves the time.

        Raises:
            TimeoutError: They did not, within `timeout` real seconds.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._sleepers >= number, timeout):
                raise TimeoutError(f"{self._sleepers} of {number} sleepers after {timeout} s")

    async def sleep_until(self, deadline_ns: int) -> None:
        """Wait, in asyncio or trio, until the clock shows `deadline_ns`; past it, return without yielding."""
        if self.now_ns() >= deadline_ns:
            return
        if (trio := running_trio()) is not None:
            woken = trio.Event()
            with self._sleeping(TrioRun.current(trio), deadline_ns, woken.set):
                await woken.wait()
        else:
            future = asyncio.get_running_loop().create_future()

            def wake() -> None:
                if not future.done():
                    future.set_result(None)

            with self._sleeping(Loop.current(), deadline_ns, wake):
                await future

    def sleep_until_blocking(self, deadline_ns: int, woken: threading.Event | None = None) -> None:
        """Block the thread until the clock shows `deadline_ns`, past which it returns, or `woken` is set."""
        if self.now_ns() >= deadline_ns:
            return
        woken = woken or threading.Event()
        with self._sleeping(Thread(), deadline_ns, woken.set):
            while self._autojump and not woken.is_set():
                changes = self.changes
                alone = threading.active_count() == 1
                woken.wait(self._quiet if alone else max(self._quiet, HASTE))
                if changes == self.changes and not self.jump():
                    break
            woken.wait()

    def call_at(self, deadline_ns: int, callback: Callable[[], object]) -> "_Alarm":
        """Set `callback` to be called, in the running event loop, once the clock shows `deadline_ns`.

        Raises:
            RuntimeError: Neither asyncio nor trio is running.
        """
        trio = running_trio()
        home: Home = Loop.current() if trio is None else TrioRun.current(trio)
        alarm = self._set_alarm(home, deadline_ns, callback)
        self._ring_due()
        return alarm

    @contextlib.contextmanager
    def _sleeping(self, home: Home, deadline_ns: int, wake: Callable[[], object]) -> Iterator[None]:
        with self._changed:
            self._sleepers += 1
            alarm = self._set_alarm(home, deadline_ns, wake, in_turn=home.shuffles)
        try:
            # The time may have moved between the caller's look and the alarm.
            self._ring_due()
            yield
        finally:
            with self._changed:
                self._sleepers -= 1
                alarm.cancel()
                if self._turn is alarm:
                    self._turn = None
            self._ring_due()

    def _set_alarm(
        self, home: Home, deadline_ns: int, ring: Callable[[], object], *, in_turn: bool = False
    ) -> "_Alarm":
        with self._changed:
            alarm = _Alarm(self, home, (deadline_ns, next(self._serials)), ring, in_turn)
            insort(self._alarms, (*alarm.place, alarm))
            self._pending[home] += 1
            self._note_change()
            if self._autojump and home not in self._watched:
                self._watched.add(home)
                home.watch(self, self._quiet)
            return alarm

    def _take(self, index: int) -> "_Alarm":
        """Remove an alarm from the queue; the lock is held."""
        alarm = self._alarms.pop(index)[-1]
        self._pending[alarm.home] -= 1
        self._note_change()
        return alarm

    def _note_change(self) -> None:
        self.changes += 1
        self._changed.notify_all()

    def _ring_due(self) -> None:
        """Ring what is due, in order; stop at one that must have its turn before the next may ring."""
        while True:
            with self._changed:
                if self._turn is not None or not self._alarms or self._alarms[0][0] > self.now_ns():
                    return
                alarm = self._take(0)
                if alarm.in_turn:
                    self._turn = alarm
            # A loop that is closed needs no waking.
            with contextlib.suppress(RuntimeError):
                alarm.home.call(alarm.ring)

    def is_awaited(self, home: Home) -> bool:
        """Tell whether any alarm is set in `home`."""
        return self._pending[home] > 0

    def leave(self, home: Home) -> None:
        """Note that `home` is watched no longer."""
        self._watched.discard(home)

    def jump(self) -> bool:
        """Move to the next deadline; False where there is none, or only one that is never reached."""
        with self._changed:
            if not self._alarms or self._alarms[0][0] >= FOREVER_NS:
                return False
            ahead = self._alarms[0][0] - self.now_ns()
            if ahead > 0:
                super().advance_ns(ahead)
        self._ring_due()
        return True


@dataclass(frozen=True, slots=True, eq=False)
class _Alarm:
    """A call to be made in its home once the time has come."""

    clock: ManualClock
    home: Home
    place: tuple[int, int]
    ring: Callable[[], object]
    in_turn: bool

    def cancel(self) -> None:
        """Take the call back; once it was made this does nothing."""
        clock = self.clock
        with clock._changed:
            index = bisect_left(clock._alarms, self.place)
            if index < len(clock._alarms) and clock._alarms[index][-1] is self:
                clock._take(index)
