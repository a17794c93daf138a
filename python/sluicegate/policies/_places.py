"""Places for so many calls at once, and the line of those who wait for one: threads and tasks alike."""

import threading
from collections import deque
from collections.abc import Callable


class Waiter:
    """One who stands in line.

    Attributes:
        wake: Called once the place is there, in whatever thread gives it.
        has_place: Whether it is.
    """

    __slots__ = ("has_place", "wake")

    def __init__(self, wake: Callable[[], object]) -> None:
        self.wake = wake
        self.has_place = False


class Places:
    """Counts places, and hands each that is given up to the first in line.

    Nobody overtakes: while anyone waits, nobody else is let in. A lock is held for a few additions, and
    nothing of the user's runs under it.

    Args:
        limit: How many places there are.
        line: How many may wait.
    """

    __slots__ = ("_line", "_lock", "_waiters", "in_use", "limit")

    def __init__(self, limit: int, line: int) -> None:
        self.limit = limit
        self.in_use = 0
        self._line = line
        self._waiters: deque[Waiter] = deque()
        self._lock = threading.Lock()

    @property
    def waiting(self) -> int:
        """How many stand in line."""
        return len(self._waiters)

    def enter(self) -> bool:
        """Take a place, if there is one."""
        with self._lock:
            if self.in_use >= self.limit or self._waiters:
                return False
            self.in_use += 1
            return True

    def join(self, wake: Callable[[], object]) -> Waiter | None:
        """Stand in line, or take a place that has come free meanwhile; None where the line is full."""
        waiter = Waiter(wake)
        with self._lock:
            if self.in_use < self.limit and not self._waiters:
                self.in_use += 1
                waiter.has_place = True
            elif len(self._waiters) >= self._line:
                return None
            else:
                self._waiters.append(waiter)
        if waiter.has_place:
            wake()
        return waiter

    def quit(self, waiter: Waiter) -> bool:
        """Stop waiting; tell whether the place is there, which is then to be left like any other."""
        with self._lock:
            if not waiter.has_place:
                self._waiters.remove(waiter)
            return waiter.has_place

    def leave(self) -> None:
        """Give a place up."""
        with self._lock:
            self.in_use -= 1
            if not self._waiters:
                return
            woken = self._let_in()
        for waiter in woken:
            waiter.wake()

    def resize(self, limit: int) -> None:
        """Change how many places there are; whoever has one keeps it."""
        with self._lock:
            self.limit = limit
            woken = self._let_in()
        for waiter in woken:
            waiter.wake()

    def _let_in(self) -> list[Waiter]:
        woken = []
        while self._waiters and self.in_use < self.limit:
            waiter = self._waiters.popleft()
            waiter.has_place = True
            self.in_use += 1
            woken.append(waiter)
        return woken
