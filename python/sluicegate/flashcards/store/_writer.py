"""What writes behind a run's back: a thread that commits what has gathered, many entries at once."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")

LINGER = 0.1
"""Seconds that entries may gather for: each commit costs as much as many words."""

MAX_BATCH = 512
"""The most entries that are committed at once."""

HEARTBEAT = 10.0
"""Seconds after which a commit is made though there is nothing to write."""


class Writer(Generic[T]):
    """Hands entries to `commit` in their order, from a thread of its own, and stops where it fails twice.

    Once more it is tried because a connection may have been cut, or another process have been in its way.

    Args:
        commit: does all or nothing; takes what has gathered, which is nothing at all where the heart beats.
        error: the one that `commit` may raise; what comes after it is dropped.
        tell: called with each entry once it is on the disk, or never will be.
    """

    def __init__(
        self, commit: Callable[[Sequence[T]], None], error: type[Exception], tell: Callable[[T], None]
    ) -> None:
        self.fault = ""
        self._commit, self._error, self._tell = commit, error, tell
        self._queue: queue.SimpleQueue[T] = queue.SimpleQueue()
        self._closing = False
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._work, name="runs", daemon=True)
        self._thread.start()

    @property
    def backlog(self) -> int:
        """How many entries wait."""
        return self._queue.qsize()

    def put(self, entry: T, *, at_once: bool = False) -> None:
        """Have an entry written, after a while or at once; this never waits."""
        if not self.fault:
            self._queue.put(entry)
        if at_once:
            self._wake.set()

    def close(self) -> None:
        """Commit what is left, and end the thread."""
        self._closing = True
        self._wake.set()
        self._thread.join()

    def _work(self) -> None:
        beat = 0.0
        while True:
            self._wake.wait(LINGER)
            self._wake.clear()
            closing = self._closing
            beat += LINGER
            while self._queue.qsize() or beat >= HEARTBEAT:
                beat = 0.0
                if not self._write():
                    return
            if closing and not self._queue.qsize():
                return

    def _write(self) -> bool:
        batch = [self._queue.get() for _ in range(min(self._queue.qsize(), MAX_BATCH))]
        try:
            try:
                self._commit(batch)
            except self._error:
                self._commit(batch)
        except self._error as error:
            self.fault = str(error)
            batch += [self._queue.get() for _ in range(self._queue.qsize())]
        for entry in batch:
            self._tell(entry)
        return not self.fault
