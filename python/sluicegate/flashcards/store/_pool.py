"""What the pool of connections does, counted by its own events."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.pool import ConnectionPoolEntry, Pool, QueuePool

_BORN = "sluicegate.born"
_INVALID = "sluicegate.invalid"


@dataclass(frozen=True, slots=True)
class PoolStats:
    """The pool at an instant, and what it did since it was made.

    Attributes:
        size: connections that are kept open.
        overflow: connections it may open above that.
        open: connections that are open.
        checked_out: those of them in use.
        most_checked_out: the most that were in use at once.
        checkouts: how often one was taken.
        waits: how often whoever took one had to wait for it.
        waited_seconds: how long that was, summed up.
        oldest_seconds: the age of the oldest that is open.
        recycled: how many were replaced because of their age.
        invalidated: how many were given up because they had broken.
    """

    size: int
    overflow: int
    open: int
    checked_out: int
    most_checked_out: int
    checkouts: int
    waits: int
    waited_seconds: float
    oldest_seconds: float
    recycled: int
    invalidated: int


class PoolMetrics:
    """Listens to the pool of an engine; any thread may read it.

    Args:
        engine: whose pool it is, before its first connection.
        size: connections it keeps.
        overflow: connections above that.
        clock: for tests; seconds that only grow.
    """

    def __init__(
        self, engine: sa.Engine, *, size: int, overflow: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._size, self._overflow, self._clock = size, overflow, clock
        self._pool = engine.pool
        self._lock = threading.Lock()
        self._born: dict[ConnectionPoolEntry, float] = {}
        self._out = self._most = self._checkouts = 0
        self._waits, self._waited = 0, 0.0
        self._recycled = self._invalidated = 0
        for name, listener in (
            ("connect", self._connected),
            ("close", self._closed),
            ("checkout", self._taken),
            ("checkin", self._returned),
            ("invalidate", self._broken),
        ):
            sa.event.listen(engine, name, listener)

    def stats(self) -> PoolStats:
        """Return what was counted so far."""
        with self._lock:
            now = self._clock()
            return PoolStats(
                size=self._size,
                overflow=self._overflow,
                open=len(self._born),
                checked_out=self._out,
                most_checked_out=self._most,
                checkouts=self._checkouts,
                waits=self._waits,
                waited_seconds=round(self._waited, 6),
                oldest_seconds=round(now - min(self._born.values(), default=now), 6),
                recycled=self._recycled,
                invalidated=self._invalidated,
            )

    @contextlib.contextmanager
    def taking(self) -> Iterator[None]:
        """Surround the taking of a connection, and take down the wait where none is free."""
        if not self._exhausted():
            yield
            return
        began = self._clock()
        try:
            yield
        finally:
            with self._lock:
                self._waits += 1
                self._waited += self._clock() - began

    def _exhausted(self) -> bool:
        pool: Pool = self._pool
        return isinstance(pool, QueuePool) and pool.checkedout() >= self._size + self._overflow

    def _connected(self, connection: Any, record: ConnectionPoolEntry) -> None:
        told = record.record_info
        with self._lock:
            if told is not None:
                # Where there was a connection before, and it did not break, it was too old.
                self._recycled += _BORN in told and not told.pop(_INVALID, False)
                told[_BORN] = True
            self._born[record] = self._clock()

    def _closed(self, connection: Any, record: ConnectionPoolEntry) -> None:
        with self._lock:
            self._born.pop(record, None)

    def _taken(self, connection: Any, record: ConnectionPoolEntry, proxy: Any) -> None:
        with self._lock:
            self._out += 1
            self._checkouts += 1
            self._most = max(self._most, self._out)

    def _returned(self, connection: Any, record: ConnectionPoolEntry) -> None:
        with self._lock:
            self._out -= 1

    def _broken(self, connection: Any, record: ConnectionPoolEntry, error: BaseException | None) -> None:
        told = record.record_info
        with self._lock:
            self._invalidated += 1
            self._born.pop(record, None)
            if told is not None:
                told[_INVALID] = True
