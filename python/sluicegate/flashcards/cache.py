"""Answers that were paid for, kept in one SQLite file: compressed, checked, and written off the event loop.

A value is stored as a tag for its codec, a CRC-32 of the text, and the text as it is or compressed; nothing
in the file is ever run or unpickled. What cannot be read back is a miss, and is paid for again.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import queue
import random
import sqlite3
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, TypeAlias

from sluicegate import ConfigurationError

COMPRESSION_THRESHOLD = 1024
"""Values of more bytes than this are compressed."""

MAX_BATCH = 256
"""The most answers that are committed at once."""

_PLAIN, _ZLIB = b"\x00", b"\x01"
_MAX_VALUE = 16 * 1024**2  # a bomb in a damaged file must not fill the memory
_ROWS = 64  # of one statement; SQLite takes 999 values or more

# Rows in the order in which they come: by their keys, which are random, each would change a page of its own.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (
    key BLOB PRIMARY KEY, value BLOB NOT NULL, stored_at REAL NOT NULL, expires_at REAL NOT NULL
)
"""
_EVICT = """
DELETE FROM answers WHERE key IN (
    SELECT key FROM answers ORDER BY stored_at LIMIT 1 + (SELECT COUNT(*) / 10 FROM answers)
)
"""


def get_ttl_with_jitter(base_ttl: float, jitter_percent: float = 0.1) -> float:
    """Return a time to live in seconds, drawn evenly around `base_ttl`, so that not all expires at once.

    Args:
        base_ttl: seconds, more than 0; small ones vary as well.
        jitter_percent: the share it varies by either way, from 0 to 1.

    Raises:
        ConfigurationError: either is out of its range.

    Examples:
        >>> 90 <= get_ttl_with_jitter(100) <= 110
        True
        >>> get_ttl_with_jitter(5, 0)
        5.0
    """
    if not (math.isfinite(base_ttl) and base_ttl > 0):
        raise ConfigurationError(
            f"base_ttl is {base_ttl}; give seconds above 0", field="base_ttl", value=base_ttl
        )
    if not 0 <= jitter_percent <= 1:
        message = f"jitter_percent is {jitter_percent}; give a share from 0 to 1"
        raise ConfigurationError(message, field="jitter_percent", value=jitter_percent)
    share = random.uniform(-jitter_percent, jitter_percent)  # noqa: S311 - spreads load, keeps no secret
    return max(base_ttl * (1 + share), base_ttl / 1000)


def pack(text: str, level: int = -1) -> bytes:
    """Return a text as it is stored; `level` is how hard it is compressed, from 1 to 9, -1 for the usual."""
    raw = text.encode()
    check = zlib.crc32(raw).to_bytes(4)
    if len(raw) > COMPRESSION_THRESHOLD:
        return _ZLIB + check + zlib.compress(raw, level)
    return _PLAIN + check + raw


def unpack(value: object) -> str | None:
    """Return the text of a stored value; None where it is damaged, or of a codec that is not known.

    Examples:
        >>> unpack(pack("water")), unpack(b"what is this?")
        ('water', None)
    """
    if not isinstance(value, bytes) or len(value) < 5:
        return None
    codec, check, raw = value[:1], value[1:5], value[5:]
    try:
        if codec == _ZLIB:
            inflater = zlib.decompressobj()
            raw = inflater.decompress(raw, _MAX_VALUE)
            if not inflater.eof:
                return None
        elif codec != _PLAIN:
            return None
        return raw.decode() if zlib.crc32(raw).to_bytes(4) == check else None
    except (zlib.error, UnicodeDecodeError):
        return None


_Waiter: TypeAlias = "asyncio.Future[None] | threading.Event | None"


@dataclass(frozen=True, slots=True)
class CacheStats:
    """What a cache holds, and how it served since it was opened; `hit_rate` is 0 where nothing was asked."""

    entries: int
    bytes: int
    hits: int
    misses: int

    @property
    def hit_rate(self) -> float:
        """The share of look-ups that were answered."""
        asked = self.hits + self.misses
        return self.hits / asked if asked else 0.0


class CompressedCache:
    """Texts by the SHA-256 of what they answer; a context manager that commits what is on its way.

    Look-ups take some ten microseconds. Writes go to a thread of their own, which commits what has gathered
    in one transaction. Several processes may use one file.

    Args:
        path: the file; its folder is made.
        ttl: seconds an answer is kept.
        jitter: the share by which that varies.
        size: the most bytes of values; beyond them the oldest go, a tenth at a time.
        clock: for tests; seconds since the epoch.

    Attributes:
        fault: why nothing is written any more, in one line; empty while all is well.

    Raises:
        sqlite3.Error, OSError: the file cannot be opened, or is none of ours.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, CompressedCache(Path(folder) / "a.db") as cache:
        ...     asyncio.run(cache.keep(b"key", "water"))
        ...     cache.get(b"key"), cache.get(b"other"), cache.stats().hit_rate
        ('water', None, 0.5)
    """

    def __init__(
        self,
        path: Path,
        *,
        ttl: float = 30 * 86_400.0,
        jitter: float = 0.1,
        size: int = 256 * 1024**2,
        clock: Callable[[], float] = time.time,
    ) -> None:
        get_ttl_with_jitter(ttl, jitter)
        self.fault = ""
        self._ttl, self._jitter, self._size, self._clock = ttl, jitter, size, clock
        self._hits = self._misses = 0
        path.parent.mkdir(parents=True, exist_ok=True)
        self._reader = _connect(path)
        self._queue: queue.SimpleQueue[tuple[bytes, str, _Waiter] | None] = queue.SimpleQueue()
        try:
            self._writer = _connect(path)
            try:
                self._stored = self._prepare()
            except BaseException:
                self._writer.close()
                raise
        except BaseException:
            self._reader.close()
            raise
        self._thread = threading.Thread(target=self._write, name="answers", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Commit what is on its way, and let go of the file; again is a no-op."""
        self._queue.put(None)
        self._thread.join()
        self._reader.close()
        self._writer.close()

    def get(self, key: bytes) -> str | None:
        """Return what is kept under a key; None where there is nothing, or it is too old or damaged."""
        try:
            found = self._reader.execute(
                "SELECT value FROM answers WHERE key = ? AND expires_at > ?", (key, self._clock())
            ).fetchone()
        except sqlite3.Error as error:
            self.fault, found = self.fault or str(error), None
        text = None if found is None else unpack(found[0])
        if text is None:
            self._misses += 1
        else:
            self._hits += 1
        return text

    async def keep(self, key: bytes, text: str) -> None:
        """Keep a text, and return once it is on the disk, or `fault` says why it is not.

        Whoever is cancelled while waiting loses nothing: the text is on its way.
        """
        committed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.put((key, text, committed))
        await committed

    def warm(self, answers: Iterable[tuple[bytes, str]]) -> int:
        """Keep many texts, and return how many; they are on the disk once the cache is closed.

        No more than twice `MAX_BATCH` of them are held at once.
        """
        count = 0
        written = threading.Event()
        written.set()
        for key, text in answers:
            count += 1
            waiter: _Waiter = None
            if count % MAX_BATCH == 0:
                written.wait()
                written.clear()
                waiter = written
            self._queue.put((key, text, waiter))
        return count

    def answers(self) -> Iterator[tuple[bytes, str]]:
        """Yield every text that could be got now, by its key and in the order of the keys."""
        rows = self._reader.execute(
            "SELECT key, value FROM answers WHERE expires_at > ? ORDER BY key", (self._clock(),)
        )
        for key, value in rows:
            text = unpack(value)
            if text is not None:
                yield key, text

    def clear(self) -> int:
        """Forget everything, and return how many answers that were."""
        with self._reader:
            return self._reader.execute("DELETE FROM answers").rowcount

    def stats(self) -> CacheStats:
        """Return what it holds and how it served; this reads the whole file."""
        entries, size = self._reader.execute(
            "SELECT COUNT(*), COALESCE(SUM(LENGTH(value)), 0) FROM answers"
        ).fetchone()
        return CacheStats(entries, size, self._hits, self._misses)

    @property
    def served(self) -> tuple[int, int]:
        """How many look-ups were hits, and how many misses."""
        return self._hits, self._misses

    @property
    def size(self) -> int:
        """Bytes of values it holds, as far as this process knows; `stats` counts anew."""
        return self._stored

    def _prepare(self) -> int:
        with self._writer:
            self._writer.execute(_SCHEMA)
            self._writer.execute("DELETE FROM answers WHERE expires_at <= ?", (self._clock(),))
        return self._measured()

    def _measured(self) -> int:
        (size,) = self._writer.execute("SELECT COALESCE(SUM(LENGTH(value)), 0) FROM answers").fetchone()
        return int(size)

    def _write(self) -> None:
        """Commit what comes, as much at once as has gathered, until None comes."""
        open_ = True
        while open_:
            batch = [self._queue.get()]
            while len(batch) < MAX_BATCH and not self._queue.empty():
                batch.append(self._queue.get())
            open_ = None not in batch
            entries = [entry for entry in batch if entry is not None]
            try:
                self._commit([(key, pack(text)) for key, text, _ in entries])
            except sqlite3.Error as error:
                self.fault = self.fault or str(error)
            _tell(waiter for _, _, waiter in entries)

    def _life(self) -> float:
        return get_ttl_with_jitter(self._ttl, self._jitter)

    def _commit(self, values: list[tuple[bytes, bytes]]) -> None:
        now = self._clock()
        with self._writer:
            # Many rows a statement: after each statement the interpreter's lock is waited for anew.
            for first in range(0, len(values), _ROWS):
                some = values[first : first + _ROWS]
                rows = ", ".join(["(?, ?, ?, ?)"] * len(some))
                self._writer.execute(
                    f"INSERT OR REPLACE INTO answers VALUES {rows}",  # noqa: S608 - of marks alone
                    [field for key, value in some for field in (key, value, now, now + self._life())],
                )
            self._stored += sum(len(value) for _, value in values)
            if self._stored > self._size:
                while (stored := self._measured()) > self._size:
                    self._writer.execute(_EVICT)
                self._stored = stored


def _tell(waiters: Iterable[_Waiter]) -> None:
    """Tell who waits that a text was written; each loop is woken once."""
    waiting: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = {}
    for waiter in waiters:
        if isinstance(waiter, threading.Event):
            waiter.set()
        elif waiter is not None:
            waiting.setdefault(waiter.get_loop(), []).append(waiter)
    for loop, some in waiting.items():
        with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody waits any more
            loop.call_soon_threadsafe(_settle, some)


def _settle(waiting: Iterable[asyncio.Future[None]]) -> None:
    for waiter in waiting:
        if not waiter.done():  # nor cancelled
            waiter.set_result(None)


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=30.0, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        # With WAL a killed process loses nothing; a machine that loses power may lose the last answers.
        connection.execute("PRAGMA synchronous = NORMAL")
    except BaseException:
        connection.close()
        raise
    return connection
