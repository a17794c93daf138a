"""The answers of a run that has no cache: kept until it is completed, so that no call is paid for twice."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import Protocol

from sluicegate.flashcards.cache import pack, unpack


class _Keeper(Protocol):
    def __call__(self, key: str, value: bytes, tell: Callable[[], None]) -> None:
        """Have an answer written, and `tell` called once it is on the disk, or never will be."""
        ...


class RunAnswers:
    """What a run was answered before it was cut off; it looks like a cache, and serves this run alone.

    What is asked twice in one go is paid for twice, as without a cache.

    Args:
        known: packed texts by their key, of the parts of the run before this one.
        keep: takes what is to be written.
    """

    def __init__(self, known: Mapping[str, bytes], keep: _Keeper) -> None:
        self._known, self._keep = known, keep

    def get(self, key: bytes) -> str | None:
        """Return what is kept under a key; None where there is nothing, or it is damaged."""
        return unpack(self._known.get(key.hex())) if self._known else None

    async def keep(self, key: bytes, text: str) -> None:
        """Keep a text, and return once it is on the disk, or the run's `fault` says why it is not."""
        loop = asyncio.get_running_loop()
        committed = asyncio.Event()

        def tell() -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody waits any more
                loop.call_soon_threadsafe(committed.set)

        self._keep(key.hex(), pack(text), tell)
        await committed.wait()
